/* The line that a sample moves on in index space while the wavenumber k changes (beyond 15.6), stamped out for one real type
 * like nb_math.h; CPU and CUDA alike.
 *
 *   (h, k, l) = k v,   v = (a.u, b.u, c.u),   u = d - i                              in m; the direct beam has v = 0
 *
 * The squared radius of the reflection h0 along it, in the metric M of the spot with fudge folded in, is
 *
 *   r^2(k) = rho^2 + A (k - k*)^2,   A = v.M.v,   k* = v.M.h0 / A,   rho^2 = h0.M.h0 - k*^2 A
 *
 * so that the mean of a Gaussian spot exp(-2 r^2 / 0.63) over a channel of wavenumbers is closed: with s = sqrt(2 A / 0.63)
 *
 *   exp(-2 rho^2 / 0.63) sqrt(pi) [erf(s (k+ - k*)) - erf(s (k- - k*))] / (2 s (k+ - k-))
 *
 * Of large numbers only differences are formed: h0 - k v at the middle of the spectrum, and from there. */

#ifndef NB_LINE_H
#define NB_LINE_H

#define NB_FAINT_RADIUS_SQR 14.6 /* where a Gaussian spot has fallen to 1e-20 of its peak: nothing for NB_LINE */

/* The wavenumbers of a run of sources, 1/m. */
typedef struct {
    double middle;
    double low, high; /* from the middle */
    double still;     /* added to A: nothing beside it, unless v = 0 */
} nb_span;

NB_FN nb_span nb_span_of(const nb_source *source)
{
    const double middle = 0.5 * (source->range[0] + source->range[1]);
    const nb_span s = {middle, source->range[0] - middle, source->range[1] - middle, 1e-30 / (middle * middle)};
    return s;
}

/* Squared radius beyond which a spot is left out.  NB_LINE: 1e-20 of the peak.  NB_CULLED: 1e-12 of a Gaussian's peak, so that
 * what is left out stays below 1e-9 of the brightest pixel, whose F may be small; 1e-9 of an ellipsoid's, whose F_latt stays
 * below 0.7236 * 3 sqrt(1 + x^2)/x^3 of Na Nb Nc, x = pi r. */
NB_FN double nb_outer_radius_sqr(int spectral, int shape)
{
    if (spectral == NB_LINE) return NB_FAINT_RADIUS_SQR;
    if (shape == NB_GAUSS) return 0.5 * NB_GAUSS_WIDTH * 27.6310;
    return shape == NB_TOPHAT ? 1.00001 * NB_TOPHAT_RADIUS_SQR : 9800.0;
}

/* Wavenumber at which the line leaves the whole index towards `last`; infinite where it stays. */
NB_FN double nb_leaves(double v, double whole, double last)
{
    return whole == last ? 1e300 : (whole + (last > whole ? 0.5 : -0.5)) / v;
}

/* Moves `whole` to the next whole index that the line passes on its way to `last`; 0 when it is there.  Axis by axis: a GPU
 * has no registers that are counted. */
NB_FN int nb_step_on(const double v[3], double whole[3], const double last[3])
{
    const double h = nb_leaves(v[0], whole[0], last[0]), k = nb_leaves(v[1], whole[1], last[1]);
    const double l = nb_leaves(v[2], whole[2], last[2]);
    if (!(fabs(last[0] - whole[0]) + fabs(last[1] - whole[1]) + fabs(last[2] - whole[2]) > 0.0)) return 0; /* of NaN too */
    if (h <= k && h <= l) whole[0] += last[0] > whole[0] ? 1.0 : -1.0;
    else if (k <= l) whole[1] += last[1] > whole[1] ? 1.0 : -1.0;
    else whole[2] += last[2] > whole[2] ? 1.0 : -1.0;
    return 1;
}

#endif

#if !NB_FLOAT
/* Whole index nearest to k v.  Rounded, since the product is not where a*b+c is one operation. */
NB_FN NB_REAL NB_R(nb_whole_index)(double k, NB_REAL v)
{
    const NB_REAL h = k * v;
    return NB_R(nb_round)(h - NB_R(nb_reduce)(h) - NB_SELECT(NB_R(nb_reduce)(h) == -0.5, NB_SET(1.0), NB_SET(0.0)));
}

/* How the line passes a reflection. */
typedef struct {
    NB_REAL closest; /* k* from the middle of the spectrum, 1/m */
    NB_REAL within;  /* the same moved into the spectrum */
    NB_REAL apart;   /* rho^2 */
    NB_REAL least;   /* smallest squared radius in the spectrum */
    NB_REAL speed;   /* A, m^2 */
} NB_R(nb_passage);

/* Whether it passes within the squared radius `outer`; p is right where it does.  m: the metric as nb_radius_sqr takes it;
 * d: from the line at the middle of the spectrum to the reflection, h0 - k v. */
NB_FN NB_MASK NB_R(nb_pass)(const nb_span *s, const double m[6], const NB_REAL v[3], const NB_REAL d[3], double outer,
                            NB_R(nb_passage) *p)
{
    NB_REAL g[3], at[3];
    g[0] = m[0] * v[0] + 0.5 * (m[3] * v[1] + m[4] * v[2]);
    g[1] = m[1] * v[1] + 0.5 * (m[3] * v[0] + m[5] * v[2]);
    g[2] = m[2] * v[2] + 0.5 * (m[4] * v[0] + m[5] * v[1]);
    p->speed = v[0] * g[0] + v[1] * g[1] + v[2] * g[2] + s->still;
    const NB_REAL along = d[0] * g[0] + d[1] * g[1] + d[2] * g[2];
    /* rho^2 A, a difference that is good enough to see what lies far off: nearly all, and without a division */
    const NB_MASK near = NB_R(nb_radius_sqr)(d, m) * p->speed - along * along < (1.001 * outer) * p->speed;
    p->closest = p->within = p->apart = p->least = p->speed;
    if (!NB_ANY(near)) return near;
    p->closest = along / p->speed;
    p->within = NB_SELECT(p->closest < s->low, NB_SET(s->low), p->closest);
    p->within = NB_SELECT(p->within > s->high, NB_SET(s->high), p->within);
    for (int r = 0; r < 3; r++) at[r] = d[r] - p->closest * v[r];
    p->apart = NB_R(nb_radius_sqr)(at, m);
    const NB_REAL beyond = p->closest - p->within;
    p->least = p->apart + p->speed * (beyond * beyond);
    return p->least < outer;
}
#endif

/* ---- mean of exp(-t^2) over an interval ---- */

#define NB_MEAN_TERMS (NB_FLOAT ? 4 : 6)

/* A channel's half width in units of 1/s, and the coefficients of nb_gauss_mean. */
typedef struct {
    NB_REAL half, c[6];
    NB_MASK wide;
} NB_R(nb_width);

/* The mean of exp(-t^2) from x - half to x + half is exp(-x^2) sum over m of half^2m H_2m(x)/(2m + 1)!, H the Hermite
 * polynomials: where the interval is narrow, half <= 0.1, and a difference of erf would cancel, up to m = 5 (float: 3), which
 * leaves 2e-16 (float: 1e-10) of the peak, and at x = 4 1e-9 (float: 5e-7) of the mean.  In powers of x^2:
 *   c[l] = (4 half^2)^l / (2l)! sum over p of (-half^2)^p / (p! (2 (p + l) + 1)) */
NB_FN NB_R(nb_width) NB_R(nb_width_of)(NB_REAL half)
{
    NB_R(nb_width) w;
    const NB_REAL narrow = NB_SET(NB_K(0.1));
    w.half = half;
    w.wide = half > narrow;
    const NB_REAL h = NB_SELECT(w.wide, narrow, half), e = h * h;
    NB_REAL power = NB_SET(NB_K(1));
    for (int l = 0; l < NB_MEAN_TERMS; l++) {
        NB_REAL sum = NB_SET(NB_K(0));
        for (int p = NB_MEAN_TERMS - 1 - l; p >= 0; p--) /* Horner, the factorials one by one */
            sum = NB_SET(NB_K(1.0 / (2 * (p + l) + 1))) - e * sum * NB_K(1.0 / (p + 1));
        w.c[l] = power * sum;
        power *= e * NB_K(4.0 / ((2 * l + 1) * (2 * l + 2)));
    }
    return w;
}

/* The mean itself; 0 where the interval lies so far out that it is below 1e-30. */
NB_FN NB_REAL NB_R(nb_gauss_mean)(const NB_R(nb_width) *w, NB_REAL x)
{
    const NB_REAL z = x * x;
    NB_REAL mean = w->c[NB_MEAN_TERMS - 1];
    for (int l = NB_MEAN_TERMS - 2; l >= 0; l--) mean = mean * z + w->c[l];
    mean *= NB_R(nb_exp)(-z);
    if (NB_ANY(w->wide)) {
        /* of the tails where both ends lie on one side */
        const NB_REAL inner = NB_ABS(x) - w->half, outer = NB_ABS(x) + w->half, one = NB_SET(NB_K(1));
        NB_REAL difference = NB_R(nb_erf)(outer) - NB_R(nb_erf)(inner);
        if (NB_ANY(inner > one))
            difference = NB_SELECT(inner > one, NB_R(nb_erf_tail)(inner) - NB_R(nb_erf_tail)(outer), difference);
        mean = NB_SELECT(w->wide, NB_DIVIDE(NB_K(0.44311346272637900682) * difference, w->half), mean);
    }
    return NB_SELECT(NB_ABS(x) < w->half + NB_K(8.4), mean, NB_SET(NB_K(0)));
}
