/* Scattering without a lattice, stamped out for doubles like nb_sample.h: a scalar (the GPU) or a vector of lanes (the CPU).
 *
 *   background = r_e^2 / (sources oversample^2) * sum over layers, sub-pixels, places, sources, scatterers of
 *                w amount sgn(F) F^2 P Omega A T                                                      (beyond 12.4)
 *
 * with the number of molecules as the amount and everything as seen from the place where they are (12.6).  T:
 * nb_transmission.h.  Curves that are photons/sr are summed alike, apart and without r_e^2 (12.8). */

#ifndef NB_BACKGROUND_ONCE
#define NB_BACKGROUND_ONCE

/* The piece of a curve that holds s: no formula, what compares.  bucket: of s; steps: the curve's, known where compiled. */
NB_FN int32_t nb_piece_from(const nb_curve *c, double bucket, double s, int32_t steps)
{
    int32_t j = c->bucket[(int32_t)NB_RE(bucket)];
    for (int32_t i = 0; i < steps; i++) j += NB_RE(s) >= NB_RE(c->knot[j + 1]);
    return j;
}

NB_FN int32_t nb_piece(const nb_curve *c, double s, int32_t steps)
{
    const double last = c->buckets - 1, x = (s - c->low) * c->per_bucket;
    return nb_piece_from(c, NB_RE(x) > 0.0 ? (NB_RE(x) < NB_RE(last) ? x : last) : 0.0, s, steps);
}

#endif

/* Light that arrives at P in a layer of the sensor from a place, for a scattering of 1/sr: solid angle and capture, if that is
 * the same of all sources (else nb_caught); d: its direction.  Without `at` it comes from the sample.  Off the sample the
 * height above the pixel's plane takes the place of close_distance. */
NB_FN NB_REAL NB_R(nb_light)(const nb_panel *p, int layer, const double *at, const NB_REAL P[3], NB_REAL d[3])
{
    NB_REAL D[3] = {P[0], P[1], P[2]};
    for (int i = 0; at && i < 3; i++) D[i] -= at[i];
    const NB_REAL per_R = NB_RSQRT(D[0] * D[0] + D[1] * D[1] + D[2] * D[2]);
    for (int i = 0; i < 3; i++) d[i] = D[i] * per_R;
    NB_REAL light = NB_R(nb_solid_angle)(p, per_R);
    if (at && !p->point_pixel) {
        if (p->curved == NB_FLAT) light *= 1.0 - nb_dot(at, p->odet) / p->close_distance;
        else light *= (P[0] * D[0] + P[1] * D[1] + P[2] * D[2]) / (P[0] * P[0] + P[1] * P[1] + P[2] * P[2]);
    }
    return nb_absorbs(p) && !nb_mu_differs(p) ? light * NB_R(nb_capture)(p, p->mu, layer, d) : light;
}

/* The light of one source, with what nb_light leaves out. */
NB_FN NB_REAL NB_R(nb_caught)(const nb_panel *p, int number, int layer, const NB_REAL d[3], NB_REAL light)
{
    return nb_mu_differs(p) ? light * NB_R(nb_capture)(p, p->source_mu[number], layer, d) : light;
}

/* s = |q|/2 of light along d; half_per_wavelength 1/m. */
NB_FN NB_REAL NB_R(nb_stol)(double half_per_wavelength, const double incident[3], const NB_REAL d[3])
{
    const NB_REAL x = d[0] - incident[0], y = d[1] - incident[1], z = d[2] - incident[2];
    return half_per_wavelength * NB_SQRT(x * x + y * y + z * z);
}

/* What a scatterer adds to a pixel: cubic and t of its curve, light with its weight and all factors. */
NB_FN NB_REAL NB_R(nb_scattered)(const NB_REAL cubic[4], NB_REAL t, int squared, double amount, NB_REAL light)
{
    const NB_REAL value = cubic[0] + t * (cubic[1] + t * (cubic[2] + t * cubic[3]));
    return amount * light * (squared ? value * NB_ABS(value) : value);
}
