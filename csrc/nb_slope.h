/* Slopes of the squared lattice factor and of the structure factor by their arguments (gradients 6.2 to 6.4).
 *
 * Stamped out for one real type like nb_lattice.h, whose fractions of the maximum L^2 / (Na Nb Nc)^2 they are.  None has a
 * difference that cancels: near a peak and at it they are as exact as anywhere. */

/* S[i] = sin(pi x)/x and D[i] = dS/d(x^2) for |x| <= 1/2, from one pass over the coefficients. */
NB_FN void NB_R(nb_sinc_each)(const NB_REAL *x, NB_REAL *S, NB_REAL *D, const int count)
{
    const NB_SCALAR c[] = NB_SINC;
    NB_REAL z[NB_MOST];
    for (int i = 0; i < count; i++) z[i] = x[i] * x[i];
    for (int i = 0; i < count; i++) D[i] = NB_SET(c[0]), S[i] = z[i] * c[0] + c[1];
    for (int k = 2; k < (int)(sizeof c / sizeof c[0]); k++)
        for (int i = 0; i < count; i++) {
            D[i] = D[i] * z[i] + S[i];
            S[i] = S[i] * z[i] + c[k];
        }
}

/* Block of cells: s = sin^2(pi N x) / sin^2(pi x) of each axis, with N x = whole + t.  Returns the product of s/N^2;
 * G[r]: its slope by x[r]; by_N[r]: the product times (ds/dN)/s.  Neither x nor t may be 0 (nb_not_zero).  With S, D of x
 * and of t
 *   (ds/dx)/s = 2 [whole S_t S_x + 2 x t (N t D_t S_x - x D_x S_t)] / (x t S_t S_x),   (ds/dN)/s = 2 x [S_t + 2 t^2 D_t] / (t S_t):
 * where N x is small `whole` is 0, and so is the term that would have cancelled.
 * by_N may be NULL. */
NB_FN NB_REAL NB_R(nb_square_slopes)(const NB_REAL x[3], const NB_REAL t[3], const NB_REAL whole[3], const NB_SCALAR n[3],
                                     NB_REAL G[3], NB_REAL by_N[3])
{
    NB_REAL S[6], D[6], top[3], bottom[3], per[3], ratio;
    NB_R(nb_sinc_each)(t, S, D, 3); /* three at a time stay in the registers */
    NB_R(nb_sinc_each)(x, S + 3, D + 3, 3);
    for (int r = 0; r < 3; r++) top[r] = t[r] * S[r], bottom[r] = x[r] * S[3 + r], per[r] = top[r] * bottom[r];
#if NB_FLOAT
    ratio = NB_SET(NB_K(1) / (n[0] * n[1] * n[2]));
    for (int r = 0; r < 3; r++) {
        per[r] = NB_DIVIDE(NB_SET(1.0f), per[r]);
        ratio *= top[r] * top[r] * per[r];
    }
#else
    /* one division for three: the product is at least 1e-180 */
    const NB_REAL ab = per[0] * per[1], inverse = NB_DIVIDE(NB_SET(1.0), ab * per[2]);
    const NB_REAL of_ab = inverse * per[2], first = of_ab * per[1], tops = top[0] * top[1] * top[2];
    per[1] = of_ab * per[0];
    per[2] = inverse * ab;
    per[0] = first;
    ratio = (tops * (NB_K(1) / (n[0] * n[1] * n[2]))) * (tops * inverse);
#endif
    ratio *= ratio;
    const NB_REAL twice = ratio + ratio;
    for (int r = 0; r < 3; r++) {
        const NB_REAL weight = twice * per[r], tD = (t[r] + t[r]) * D[r], xD = (x[r] + x[r]) * D[3 + r];
        const NB_REAL bend = (n[r] * tD) * S[3 + r] - xD * S[r];
        if (by_N) by_N[r] = (weight * (bottom[r] * x[r])) * (S[r] + t[r] * tD);
        G[r] = weight * (whole[r] * (S[r] * S[3 + r]) + (x[r] * t[r]) * bend);
    }
    return ratio;
}

/* Ellipsoid: L = (c S(z))^2, z = pi^2 rho, S = 3 (sin X - X cos X) / X^3, X = sqrt z; dS/dz = (3/2) (sin X / X - S) / z, from
 * the series below X = 1 (float: 2).  *slope: dL/drho. */
NB_FN NB_REAL NB_R(nb_ellipsoid_slope)(NB_REAL radius_sqr, NB_REAL *slope)
{
    const NB_SCALAR pi_sqr = NB_K(NB_PI * NB_PI), scale_sqr = NB_K(NB_SPHERE_SCALE * NB_SPHERE_SCALE);
    const NB_REAL least = NB_SET(NB_K((NB_FLOAT ? 4.0 : 1.0) / (NB_PI * NB_PI)));
    const NB_MASK near_centre = radius_sqr < least;
    const NB_REAL u_sqr = NB_SELECT(near_centre, least, radius_sqr);
    const NB_REAL per_u = NB_RSQRT(u_sqr), u = u_sqr * per_u;
    const NB_REAL whole = NB_R(nb_round)(u), half = NB_K(0.5) * whole;
    const NB_REAL sign = NB_K(1) - NB_K(4) * NB_ABS(half - NB_R(nb_round)(half));
    const NB_REAL sine = sign * NB_R(nb_sinpi)(u - whole), cosine = sign * NB_R(nb_cospi)(u - whole);
    const NB_REAL per_X = NB_K(1.0 / NB_PI) * per_u, per_z = per_X * per_X;
    NB_REAL S = NB_K(3) * per_z * (sine * per_X - cosine);
    NB_REAL Sz = NB_K(1.5) * per_z * (sine * per_X - S);
    if (NB_ANY(near_centre)) {
        /* 3 (-1)^n (2n+2)/(2n+3)! */
        const NB_SCALAR c[] = {NB_K(3.0 * 18.0 / 121645100408832000.0), NB_K(-3.0 * 16.0 / 355687428096000.0),
                               NB_K(3.0 * 14.0 / 1307674368000.0), NB_K(-3.0 * 12.0 / 6227020800.0),
                               NB_K(3.0 * 10.0 / 39916800.0), NB_K(-3.0 * 8.0 / 362880.0), NB_K(3.0 * 6.0 / 5040.0),
                               NB_K(-3.0 * 4.0 / 120.0), NB_K(1)};
        const NB_REAL z = pi_sqr * radius_sqr;
        NB_REAL value = NB_SET(c[0]), rise = NB_SET(NB_K(0));
        for (int k = 1; k < (int)(sizeof c / sizeof c[0]); k++) {
            rise = rise * z + value;
            value = value * z + c[k];
        }
        S = NB_SELECT(near_centre, value, S);
        Sz = NB_SELECT(near_centre, rise, Sz);
    }
    *slope = (NB_K(2) * scale_sqr * pi_sqr) * S * Sz;
    return scale_sqr * S * S;
}

/* Shapes that know a spot radius: the fraction, and *slope by radius_sqr, which is fudge * dh.M.dh. */
NB_FN NB_REAL NB_R(nb_radius_slope)(int shape, NB_REAL radius_sqr, NB_REAL *slope)
{
    if (shape == NB_ELLIPSOID) return NB_R(nb_ellipsoid_slope)(radius_sqr, slope);
    if (shape == NB_GAUSS) {
        const NB_REAL L = NB_R(nb_lattice_gauss)(radius_sqr);
        *slope = NB_K(-2.0 / NB_GAUSS_WIDTH) * L;
        return L;
    }
    *slope = NB_SET(NB_K(0)); /* a top hat has steps and no slopes */
    return NB_R(nb_lattice_tophat)(radius_sqr);
}

/* Gradient of nb_radius_sqr by d; m as there. */
NB_FN void NB_R(nb_radius_gradient)(const NB_REAL d[3], const NB_SCALAR m[6], NB_REAL by_d[3])
{
    by_d[0] = NB_K(2) * m[0] * d[0] + m[3] * d[1] + m[4] * d[2];
    by_d[1] = m[3] * d[0] + NB_K(2) * m[1] * d[1] + m[5] * d[2];
    by_d[2] = m[4] * d[0] + m[5] * d[1] + NB_K(2) * m[2] * d[2];
}

/* Slopes of nb_lagrange_weights. */
NB_FN void NB_R(nb_lagrange_slopes)(NB_REAL u, NB_REAL w[4])
{
    const NB_REAL uu = NB_K(3) * u * u;
    w[0] = (uu - NB_K(6) * u + NB_K(2)) * NB_K(-1.0 / 6.0);
    w[1] = (uu - NB_K(4) * u - NB_K(1)) * NB_K(0.5);
    w[2] = (uu - NB_K(2) * u - NB_K(2)) * NB_K(-0.5);
    w[3] = (uu - NB_K(1)) * NB_K(1.0 / 6.0);
}

/* nb_tricubic_sum with its gradient by h, k, l; dw: slopes of w. */
NB_FN NB_REAL NB_R(nb_tricubic_slopes)(const nb_table *t, const NB_SCALAR *values, int64_t corner, NB_REAL w[3][4],
                                       NB_REAL dw[3][4], NB_REAL by_index[3])
{
    const int64_t row = t->F_count[2], plane = row * t->F_count[1];
    NB_REAL F = NB_SET(NB_K(0));
    for (int r = 0; r < 3; r++) by_index[r] = NB_SET(NB_K(0));
    for (int i = 0; i < 4; i++) {
        NB_REAL in = NB_SET(NB_K(0)), by_k = in, by_l = in;
        for (int j = 0; j < 4; j++) {
            const NB_SCALAR *p = values + (corner + i * plane + j * row);
            const NB_REAL line = p[0] * w[2][0] + p[1] * w[2][1] + p[2] * w[2][2] + p[3] * w[2][3];
            in += w[1][j] * line;
            by_k += dw[1][j] * line;
            by_l += w[1][j] * (p[0] * dw[2][0] + p[1] * dw[2][1] + p[2] * dw[2][2] + p[3] * dw[2][3]);
        }
        F += w[0][i] * in;
        by_index[0] += dw[0][i] * in;
        by_index[1] += w[0][i] * by_k;
        by_index[2] += w[0][i] * by_l;
    }
    return F;
}
