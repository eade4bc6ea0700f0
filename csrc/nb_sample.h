/* Geometry, polarization and table place of one sample, stamped out for doubles: a scalar or a vector of lanes.
 *
 * Macros as in nb_math.h.  Lengths m, q in 1/m; P and d are three NB_REAL in the laboratory frame. */

#include "nb_polar.h"

/* Position of the point (F, S) on a flat detector, O deep in the sensor (canonical 6.1). */
NB_FN void NB_R(nb_position_flat)(const nb_panel *p, NB_REAL F, NB_REAL S, double O, NB_REAL P[3])
{
    for (int i = 0; i < 3; i++) P[i] = F * p->fdet[i] + S * p->sdet[i] + (p->pix0[i] + O * p->odet[i]);
}

/* Mean depth of what a layer absorbs, as a fraction of its thickness: g(u) = 1/u - 1/(e^u - 1), 1/2 at u = 0, with u its
 * thickness in attenuation depths along the ray (canonical 11).  A ray from behind has u < 0: g(u) = 1 - g(-u).  Where the
 * two terms cancel their series in B_2k/(2k)!, which at |u| = 1/2 is cut off at 1e-17. */
NB_FN NB_REAL NB_R(nb_mean_absorption)(NB_REAL u)
{
    const NB_REAL x = NB_ABS(u), xx = x * x;
    NB_REAL series = xx * (1.0 / 74724249600.0) - 691.0 / 1307674368000.0;
    series = series * xx + 1.0 / 47900160.0;
    series = series * xx - 1.0 / 1209600.0;
    series = series * xx + 1.0 / 30240.0;
    series = series * xx - 1.0 / 720.0;
    series = series * xx + 1.0 / 12.0;
    NB_REAL g = 0.5 - x * series;
    if (NB_ANY(NB_RE(x) >= 0.5)) {
        const NB_REAL left = NB_R(nb_exp)(-x);
        g = NB_SELECT(NB_RE(x) < 0.5, g, 1.0 / x - left / (1.0 - left));
    }
    return NB_SELECT(NB_RE(u) < 0.0, 1.0 - g, g);
}

/* Slope of nb_mean_absorption: -1/u^2 + e^u/(e^u - 1)^2, an even function, -1/12 at u = 0. */
NB_FN NB_REAL NB_R(nb_mean_absorption_slope)(NB_REAL u)
{
    const NB_REAL x = NB_ABS(u), xx = x * x;
    NB_REAL series = xx * (13.0 / 74724249600.0) - 11.0 * 691.0 / 1307674368000.0;
    series = series * xx + 9.0 / 47900160.0;
    series = series * xx - 7.0 / 1209600.0;
    series = series * xx + 5.0 / 30240.0;
    series = series * xx - 3.0 / 720.0;
    series = series * xx + 1.0 / 12.0;
    NB_REAL slope = -series;
    if (NB_ANY(NB_RE(x) >= 0.5)) {
        const NB_REAL left = NB_R(nb_exp)(-x), gone = 1.0 - left;
        slope = NB_SELECT(NB_RE(x) < 0.5, slope, left / (gone * gone) - 1.0 / xx);
    }
    return slope;
}

/* Where layer t of a flat sensor has the photons of the point (F, S): at its front, or at the mean depth of what it absorbs
 * along the ray to the point on its front (canonical 6.1, 11). */
NB_FN void NB_R(nb_layer_position)(const nb_panel *p, NB_REAL F, NB_REAL S, int t, NB_REAL P[3])
{
    NB_R(nb_position_flat)(p, F, S, t * p->layer_step, P);
    if (!nb_at_mean_depth(p)) return;
    const NB_REAL R = NB_SQRT(P[0] * P[0] + P[1] * P[1] + P[2] * P[2]);
    const NB_REAL height = P[0] * p->odet[0] + P[1] * p->odet[1] + P[2] * p->odet[2];
    const NB_REAL deeper = p->layer_step * NB_R(nb_mean_absorption)((p->layer_step * p->mu) * R / height);
    for (int i = 0; i < 3; i++) P[i] += deeper * p->odet[i];
}

/* Solid angle of a pixel at distance R from the sample, sr; per_R = 1/R in 1/m (canonical 6.3). */
NB_FN NB_REAL NB_R(nb_solid_angle)(const nb_panel *p, NB_REAL per_R)
{
    if (p->point_pixel) return per_R * per_R;
    return p->pixel[0] * p->pixel[1] * p->close_distance * (per_R * per_R * per_R);
}

/* Fraction of the photons that sensor layer t absorbs: Beer-Lambert; path: minus a layer's attenuation depths along the ray. */
NB_FN NB_REAL NB_R(nb_layer_share)(int t, NB_REAL path)
{
    const NB_REAL last = (double)(t + 1) * path;
    const NB_REAL fraction = NB_R(nb_exp)((double)t * path) - NB_R(nb_exp)(last);
    const NB_REAL beyond = -1e300 * last * 1e8; /* more than nb_exp can hold: overflows to minus infinity */
    return NB_SELECT(NB_RE(last) > 700.0, beyond, fraction);
}

/* The same of photons along unit vector d, by the slanted path; mu: of their wavelength, 1/m.
 * Photons that come from behind (parallax < 0) make it negative and, near grazing, infinite: nothing hides that. */
NB_FN NB_REAL NB_R(nb_capture)(const nb_panel *p, double mu, int t, const NB_REAL d[3])
{
    const NB_REAL parallax = d[0] * p->odet[0] + d[1] * p->odet[1] + d[2] * p->odet[2];
    return NB_R(nb_layer_share)(t, (-p->layer_step * mu) / parallax);
}

/* Kahn polarization factor 0.5 (1 + c^2 - K cos(2 psi) (1 - c^2)), c = i.d, psi the azimuth of d about i measured from E
 * (canonical 8).  With e = d.E, b = d.B cos(2 psi) (1 - c^2) is e^2 - b^2, and of unit vectors b^2 = 1 - c^2 - e^2: a
 * polynomial in c and e, smooth at d = i. */
NB_FN NB_REAL NB_R(nb_polarization)(double K, const double i[3], const nb_axes *x, const NB_REAL d[3])
{
    const NB_REAL c = d[0] * i[0] + d[1] * i[1] + d[2] * i[2];
    if (K == 0.0) return 0.5 * (1.0 + c * c);
    const NB_REAL e = d[0] * x->E[0] + d[1] * x->E[1] + d[2] * x->E[2];
    /* one number that no sample changes: of three a GPU would keep each in registers */
    return 0.5 * (1.0 + c * c + K * (1.0 - c * c - 2.0 * (e * e)));
}

/* Whether a sample of squared scattering vector q_sqr is inside the resolution limit: d = 1/|q| >= dmin (canonical 6.4). */
NB_FN NB_MASK NB_R(nb_resolved)(const nb_scene *s, NB_REAL q_sqr)
{
    const NB_REAL stol = 0.5 * NB_SQRT(q_sqr);
    return (NB_RE(stol) <= 0.0) | (NB_RE(s->dmin * stol) <= 0.5);
}

/* Nearest whole index, a tie going down. */
NB_FN NB_REAL NB_R(nb_nearest)(NB_REAL h)
{
    const NB_REAL d = NB_R(nb_reduce)(h);
    return h - d - NB_SELECT(d == -0.5, NB_SET(1.0), NB_SET(0.0));
}

/* Largest whole number not above h. */
NB_FN NB_REAL NB_R(nb_floor)(NB_REAL h)
{
    const NB_REAL r = NB_R(nb_round)(h);
    return r - NB_SELECT(NB_RE(r) > NB_RE(h), NB_SET(1.0), NB_SET(0.0));
}

#ifndef NB_COMPLEX /* what follows is of crystals */

/* Whether the whole index (h0, k0, l0) is in the table's box (canonical 7.2) ... */
NB_FN NB_MASK NB_R(nb_in_table)(const nb_table *t, const NB_REAL index[3])
{
    const NB_REAL i = index[0] - (double)t->F_min[0], j = index[1] - (double)t->F_min[1], k = index[2] - (double)t->F_min[2];
    return (i >= 0.0) & (i < (double)t->F_count[0]) & (j >= 0.0) & (j < (double)t->F_count[1]) & (k >= 0.0)
         & (k < (double)t->F_count[2]);
}

/* ... and where: an exact whole number, below 2^31 inside the box. */
NB_FN NB_REAL NB_R(nb_table_place)(const nb_table *t, const NB_REAL index[3])
{
    const double row = t->F_count[2], plane = row * t->F_count[1];
    const double origin = t->F_min[0] * plane + t->F_min[1] * row + t->F_min[2];
    return index[0] * plane + (index[1] * row + (index[2] - origin));
}

/* Whether all four planes around (h, k, l) along each axis are in the table (canonical 7.3). */
NB_FN NB_MASK NB_R(nb_interpolable)(const nb_table *t, const NB_REAL index[3])
{
    const NB_REAL h = index[0], k = index[1], l = index[2];
    const double hmin = t->F_min[0], kmin = t->F_min[1], lmin = t->F_min[2];
    return (h - hmin + 3.0 <= (double)t->F_count[0]) & (h - 2.0 >= hmin) & (k - kmin + 3.0 <= (double)t->F_count[1])
         & (k - 2.0 >= kmin) & (l - lmin + 3.0 <= (double)t->F_count[2]) & (l - 2.0 >= lmin);
}

#include "nb_tricubic.h"

#endif
