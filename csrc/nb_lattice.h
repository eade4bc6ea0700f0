/* Squared lattice factor of one sample, as a fraction of its maximum (Na Nb Nc)^2 (canonical 7.1).
 *
 * Stamped out for one real type like nb_math.h.  Arguments: d[3] = (h, k, l) minus the nearest integers, dimensionless;
 * fractions of the maximum keep the float version far from its range. */

/* Block of Na x Nb x Nc cells: prod sin(pi N h) / sin(pi h), which for whole N depends, but for its sign, on x = h - round(h)
 * and t = N h - round(N h) alone.  Neither may be exactly 0. */
NB_FN NB_REAL NB_R(nb_square_root)(const NB_REAL x[3], const NB_REAL t[3])
{
    NB_REAL v[6] = {t[0], t[1], t[2], x[0], x[1], x[2]};
    NB_R(nb_sinpi_each)(v, 6);
    return NB_DIVIDE(v[0] * v[1] * v[2], v[3] * v[4] * v[5]);
}

/* The square of that, as a fraction of its maximum. */
NB_FN NB_REAL NB_R(nb_square_ratio)(const NB_REAL x[3], const NB_REAL t[3], const NB_SCALAR n[3])
{
    const NB_REAL ratio = NB_R(nb_square_root)(x, t) * (NB_K(1) / (n[0] * n[1] * n[2]));
    return ratio * ratio;
}

/* added to x, and n times to t: below their resolution, makes the ratio 1 (to an ulp) at d = 0 without a branch */
NB_FN NB_SCALAR NB_R(nb_not_zero)(void)
{
    return NB_K(1e-12) * NB_K(NB_FLOAT ? 1 : 1e-18);
}

NB_FN NB_REAL NB_R(nb_lattice_square)(const NB_REAL d[3], const NB_SCALAR n[3])
{
    NB_REAL x[3], t[3];
    for (int j = 0; j < 3; j++) {
        x[j] = d[j] + NB_R(nb_not_zero)();
        t[j] = NB_R(nb_reduce_product)(n[j], d[j]) + n[j] * NB_R(nb_not_zero)();
    }
    return NB_R(nb_square_ratio)(x, t, n);
}

/* squared distance of the sample from the spot's centre, in the metric of the shape */
NB_FN NB_REAL NB_R(nb_radius_sqr)(const NB_REAL d[3], const NB_SCALAR m[6])
{
    return d[0] * (m[0] * d[0] + m[3] * d[1] + m[4] * d[2]) + d[1] * (m[1] * d[1] + m[5] * d[2])
         + m[2] * d[2] * d[2];
}

/* Ellipsoid: (0.7236 * 3 (sin x - x cos x) / x^3)^2 with x = pi sqrt(radius^2 fudge), 1 at the centre itself.
 * Below x = 1 the difference cancels, so the Taylor series takes over: 3 (-1)^k (2k+2) x^2k / (2k+3)!. */
NB_FN NB_REAL NB_R(nb_sphere_series)(NB_REAL z)
{
#if NB_FLOAT
    NB_REAL series = z * NB_K(3.0 * 10.0 / 39916800.0) - NB_K(3.0 * 8.0 / 362880.0);
#else
    NB_REAL series = z * (3.0 * 18.0 / 121645100408832000.0) - 3.0 * 16.0 / 355687428096000.0;
    series = series * z + 3.0 * 14.0 / 1307674368000.0;
    series = series * z - 3.0 * 12.0 / 6227020800.0;
    series = series * z + 3.0 * 10.0 / 39916800.0;
    series = series * z - 3.0 * 8.0 / 362880.0;
#endif
    series = series * z + NB_K(3.0 * 6.0 / 5040.0);
    series = series * z - NB_K(3.0 * 4.0 / 120.0);
    return series * z + NB_K(1);
}

NB_FN NB_REAL NB_R(nb_lattice_ellipsoid)(NB_REAL radius_sqr)
{
    const NB_REAL least = NB_SET(NB_K(1.0 / (NB_PI * NB_PI))); /* x = 1 */
    const NB_MASK near_centre = radius_sqr < least;
    const NB_REAL u_sqr = NB_SELECT(near_centre, least, radius_sqr);
    const NB_REAL per_u = NB_RSQRT(u_sqr), u = u_sqr * per_u;
    const NB_REAL whole = NB_R(nb_round)(u), half = NB_K(0.5) * whole;
    const NB_REAL sign = NB_K(1) - NB_K(4) * NB_ABS(half - NB_R(nb_round)(half));
    const NB_REAL difference = NB_R(nb_sinpi)(u - whole) - NB_K(NB_PI) * u * NB_R(nb_cospi)(u - whole);
    NB_REAL sphere = NB_K(NB_SPHERE_SCALE * 3.0 / (NB_PI * NB_PI * NB_PI)) * sign * difference * (per_u * per_u * per_u);
    if (NB_ANY(near_centre)) {
        const NB_REAL series = NB_R(nb_sphere_series)(NB_K(NB_PI * NB_PI) * radius_sqr);
        sphere = NB_SELECT(near_centre, NB_K(NB_SPHERE_SCALE) * series, sphere);
    }
    return sphere * sphere;
}

/* Gaussian spot: exp(-radius^2 fudge / 0.63)^2; most samples lie where it is too small for a normal number */
NB_FN NB_REAL NB_R(nb_lattice_gauss)(NB_REAL radius_sqr)
{
    const NB_REAL exponent = NB_K(-2.0 / NB_GAUSS_WIDTH) * radius_sqr;
    if (!NB_ANY(exponent > NB_K(NB_FLOAT ? -87.0 : -708.0))) return NB_SET(NB_K(0));
    return NB_R(nb_exp)(exponent);
}

/* Flat spot with a sharp edge */
NB_FN NB_REAL NB_R(nb_lattice_tophat)(NB_REAL radius_sqr)
{
    return NB_SELECT(radius_sqr < NB_K(NB_TOPHAT_RADIUS_SQR), NB_SET(NB_K(1)), NB_SET(NB_K(0)));
}

/* One entry for all; `shape` is a constant at every call, so the switch vanishes.  metric: aa bb cc 2ab 2ac 2bc, fudge
 * folded in. */
NB_FN NB_REAL NB_R(nb_lattice)(int shape, const NB_REAL d[3], const NB_SCALAR n[3], const NB_SCALAR metric[6])
{
    switch (shape) {
    case NB_POINT: return NB_SET(NB_K(1));
    case NB_SQUARE: return NB_R(nb_lattice_square)(d, n);
    case NB_ELLIPSOID: return NB_R(nb_lattice_ellipsoid)(NB_R(nb_radius_sqr)(d, metric));
    case NB_GAUSS: return NB_R(nb_lattice_gauss)(NB_R(nb_radius_sqr)(d, metric));
    default: return NB_R(nb_lattice_tophat)(NB_R(nb_radius_sqr)(d, metric));
    }
}
