/* The physics of one sample: ONE source for the CPU and the GPU.
 *
 * nb_math.h, nb_lattice.h, nb_sample.h and nb_pixel.h hold the formulas; they are stamped out here for scalars (suffix
 * _d, _f) and in nb_tile.h for vectors (_vd, _vf).  All lengths m, angles rad, q in 1/m; section numbers are those of specs/. */
#ifndef NB_PHYSICS_H
#define NB_PHYSICS_H

#include "nb_constants.h"
#include "nb_scene.h"

#ifdef __CUDACC__
#define NB_FN __device__ static __forceinline__
#define NB_SMALL __device__ static inline
#else
#include <math.h>
#define NB_FN static inline __attribute__((always_inline, unused))
#define NB_SMALL static inline /* not in the loops: as the compiler likes */
#endif

/* a block with one cell along every axis has no lattice factor at all */
#define NB_POINT (-1)

NB_FN double nb_dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

NB_FN void nb_cross(const double a[3], const double b[3], double out[3])
{
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

/* Whether a panel's sensor absorbs; otherwise every layer captures everything. */
NB_FN int nb_absorbs(const nb_panel *p)
{
    return p->thickness > 0.0 && p->mu > 0.0;
}

/* Whether its layers have their photons deeper than at their fronts. */
NB_FN int nb_at_mean_depth(const nb_panel *p)
{
    return p->mean_depth && nb_absorbs(p);
}

#include "nb_as_d.h"
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_sample.h"
#include "nb_pixel.h"
#include "nb_undefine.h"

#include "nb_as_f.h"
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_tricubic.h"
#include "nb_undefine.h"

/* ---- curved detector ---- */

/* rotate v about the unit axis n by `angle` (Rodrigues' formula) */
NB_FN void nb_rotate(double v[3], const double n[3], double angle)
{
    const double turns = angle * (1.0 / NB_PI);
    const double whole = nb_round_d(turns);
    const double sign = 1.0 - 4.0 * fabs(0.5 * whole - nb_round_d(0.5 * whole));
    const double s = sign * nb_sinpi_d(turns - whole), c = sign * nb_cospi_d(turns - whole);
    double w[3];
    nb_cross(n, v, w);
    const double along = nb_dot(n, v) * (1.0 - c);
    for (int i = 0; i < 3; i++) v[i] = v[i] * c + w[i] * s + n[i] * along;
}

/* Where a layer of a panel of whichever kind has the photons of the point (F, S); a curved one is bent at `distance` about
 * the sample (canonical 6.2), so that every ray from there goes straight through its layers. */
NB_FN void nb_position(const nb_panel *p, double F, double S, int layer, double P[3])
{
    if (p->curved == NB_FLAT) {
        nb_layer_position_d(p, F, S, layer, P);
        return;
    }
    const double share = nb_at_mean_depth(p) ? nb_mean_absorption_d(p->layer_step * p->mu) : 0.0;
    nb_position_flat_d(p, F, S, (layer + share) * p->layer_step, P);
    double about_s, about_f;
    if (p->curved == NB_CURVED_LAB) {
        about_s = P[1] / p->distance;
        about_f = P[2] / p->distance;
    } else {
        /* offsets from the direct beam's spot along the detector's own axes; a left-handed (f, s, b) turns the other way */
        double n[3];
        nb_cross(p->fdet, p->sdet, n);
        const double hand = nb_dot(n, p->beam) < 0.0 ? -1.0 : 1.0;
        about_s = hand * (nb_dot(P, p->fdet) - p->distance * nb_dot(p->beam, p->fdet)) / p->distance;
        about_f = -hand * (nb_dot(P, p->sdet) - p->distance * nb_dot(p->beam, p->sdet)) / p->distance;
    }
    for (int i = 0; i < 3; i++) P[i] = p->distance * p->beam[i];
    nb_rotate(P, p->sdet, about_s);
    nb_rotate(P, p->fdet, about_f);
}

/* ---- structure factor of the unit cell (canonical 7.3) ---- */

/* Tricubic value at one (h, k, l) that is interpolable. */
NB_FN double nb_tricubic(const nb_table *t, const double index[3])
{
    double w[3][4], corner[3];
    for (int r = 0; r < 3; r++) {
        const double low = nb_floor_d(index[r]);
        nb_lagrange_weights_d(index[r] - low, w[r]);
        corner[r] = low - 1.0;
    }
    return nb_tricubic_sum_d(t, t->F, (int64_t)nb_table_place_d(t, corner), w);
}

/* Whether the lattice factor F_latt (not its square) is exactly zero, so that the sample is not looked at (canonical 6.5). */
NB_FN int nb_lattice_is_zero(int shape, double radius_sqr)
{
    if (shape == NB_TOPHAT) return !(radius_sqr < NB_TOPHAT_RADIUS_SQR);
    /* exp(-x) is zero in double precision beyond x = 745.13 */
    return shape == NB_GAUSS && radius_sqr > 745.13 * NB_GAUSS_WIDTH;
}

/* ---- the same for every sample of a crystal ---- */

/* The lattice factor to evaluate: enum nb_shape, or NB_POINT. */
NB_FN int nb_lattice_shape(const nb_crystal *c)
{
    const int one_cell = c->N[0] == 1.0 && c->N[1] == 1.0 && c->N[2] == 1.0;
    return c->shape == NB_SQUARE && one_cell ? NB_POINT : c->shape;
}

/* fudge * (aa bb cc 2ab 2ac 2bc) of the spot metric, as nb_radius_sqr takes it. */
NB_FN void nb_spot_metric(const nb_crystal *c, double metric[6])
{
    const double *m = c->metric;
    const double folded[6] = {m[0], m[4], m[8], m[1] + m[3], m[2] + m[6], m[5] + m[7]};
    for (int j = 0; j < 6; j++) metric[j] = c->fudge * folded[j];
}

/* Largest F_latt^2: (Na Nb Nc)^2. */
NB_FN double nb_lattice_peak(const nb_crystal *c)
{
    double peak = 1.0;
    for (int j = 0; j < 3; j++) peak *= c->N[j] * c->N[j];
    return peak;
}

#endif
