/* The physics of one sample: ONE source for the CPU and the GPU.
 *
 * nb_math.h, nb_lattice.h and nb_sample.h hold the formulas; they are stamped out here for scalars (suffix _d, _f) and
 * in nb_render.c for vectors (_vd, _vf).  All lengths m, angles rad, q in 1/m; section numbers are those of specs/. */
#ifndef NB_PHYSICS_H
#define NB_PHYSICS_H

#include "nb_constants.h"
#include "nb_scene.h"

#ifdef __CUDACC__
#define NB_FN __device__ static __forceinline__
#else
#include <math.h>
#define NB_FN static inline __attribute__((always_inline, unused))
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

#define NB_SELECT(m, a, b) ((m) ? (a) : (b))
#define NB_ANY(m) (m)
#define NB_SET(c) (c)

#define NB_REAL double
#define NB_SCALAR double
#define NB_FLOAT 0
#define NB_MASK int64_t
#define NB_BITS uint64_t
#define NB_R(name) name##_d
#define NB_SQRT sqrt
#ifdef __CUDACC__
#define NB_RSQRT rsqrt
#else
#define NB_RSQRT(x) (1.0 / sqrt(x))
#endif
#define NB_ABS fabs
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_sample.h"
#include "nb_undefine.h"

#define NB_REAL float
#define NB_SCALAR float
#define NB_FLOAT 1
#define NB_MASK int32_t
#define NB_BITS uint32_t
#define NB_R(name) name##_f
#define NB_SQRT sqrtf
#ifdef __CUDACC__
#define NB_RSQRT rsqrtf
#define NB_DIVIDE __fdividef
#else
#define NB_RSQRT(x) (1.0f / sqrtf(x))
#endif
#define NB_ABS fabsf
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_tricubic.h"
#include "nb_undefine.h"

#undef NB_SELECT
#undef NB_ANY
#undef NB_SET

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

/* Position on whichever detector the Scene has; a curved one is bent at `distance` about the sample (canonical 6.2). */
NB_FN void nb_position(const nb_scene *s, double F, double S, double O, double P[3])
{
    nb_position_flat_d(s, F, S, O, P);
    if (s->curved == NB_FLAT) return;
    double about_s, about_f;
    if (s->curved == NB_CURVED_LAB) {
        about_s = P[1] / s->distance;
        about_f = P[2] / s->distance;
    } else {
        /* offsets from the direct beam's spot along the detector's own axes; a left-handed (f, s, b) turns the other way */
        double n[3];
        nb_cross(s->fdet, s->sdet, n);
        const double hand = nb_dot(n, s->beam) < 0.0 ? -1.0 : 1.0;
        about_s = hand * (nb_dot(P, s->fdet) - s->distance * nb_dot(s->beam, s->fdet)) / s->distance;
        about_f = -hand * (nb_dot(P, s->sdet) - s->distance * nb_dot(s->beam, s->sdet)) / s->distance;
    }
    for (int i = 0; i < 3; i++) P[i] = s->distance * s->beam[i];
    nb_rotate(P, s->sdet, about_s);
    nb_rotate(P, s->fdet, about_f);
}

/* ---- structure factor of the unit cell (canonical 7.3) ---- */

/* Tricubic value at one (h, k, l) that is interpolable. */
NB_FN double nb_tricubic(const nb_scene *s, const double index[3])
{
    double w[3][4], corner[3];
    for (int r = 0; r < 3; r++) {
        const double low = nb_floor_d(index[r]);
        nb_lagrange_weights_d(index[r] - low, w[r]);
        corner[r] = low - 1.0;
    }
    return nb_tricubic_sum_d(s, s->F, (int64_t)nb_table_place_d(s, corner), w);
}

/* Whether the lattice factor F_latt (not its square) is exactly zero, so that the sample is not looked at (canonical 6.5). */
NB_FN int nb_lattice_is_zero(int shape, double radius_sqr)
{
    if (shape == NB_TOPHAT) return !(radius_sqr < NB_TOPHAT_RADIUS_SQR);
    /* exp(-x) is zero in double precision beyond x = 745.13 */
    return shape == NB_GAUSS && radius_sqr > 745.13 * NB_GAUSS_WIDTH;
}

/* ---- the same for every sample of a Scene ---- */

/* Distance (m) from a pixel's edge to the centre of its i-th sub-pixel (canonical 6.1). */
NB_FN double nb_sub_pixel(const nb_scene *s, int i)
{
    const double sub = s->pixel_size / s->oversample;
    return 0.5 * sub + sub * i;
}

/* The lattice factor to evaluate: enum nb_shape, or NB_POINT. */
NB_FN int nb_lattice_shape(const nb_scene *s)
{
    const int one_cell = s->N[0] == 1.0 && s->N[1] == 1.0 && s->N[2] == 1.0;
    return s->shape == NB_SQUARE && one_cell ? NB_POINT : s->shape;
}

/* fudge * (aa bb cc 2ab 2ac 2bc) of the spot metric, as nb_radius_sqr takes it. */
NB_FN void nb_spot_metric(const nb_scene *s, double metric[6])
{
    const double *m = s->metric;
    const double folded[6] = {m[0], m[4], m[8], m[1] + m[3], m[2] + m[6], m[5] + m[7]};
    for (int j = 0; j < 6; j++) metric[j] = s->fudge * folded[j];
}

/* Largest F_latt^2: (Na Nb Nc)^2. */
NB_FN double nb_lattice_peak(const nb_scene *s)
{
    double peak = 1.0;
    for (int j = 0; j < 3; j++) peak *= s->N[j] * s->N[j];
    return peak;
}

/* Photons/sr of one electron^2: r_e^2 fluence over the number of steps, sources * orientations * oversample^2. */
NB_FN double nb_photon_scale(const nb_scene *s)
{
    const double steps = (double)s->sources * (double)s->orientations * s->oversample * s->oversample;
    return NB_R_E_SQR * s->fluence / steps;
}

/* ---- water ---- */

/* Water's forward scattering, photons/sr: F^2 r_e^2 fluence times the number of molecules in the cube (canonical 8). */
NB_FN double nb_water_intensity(const nb_scene *s)
{
    const double molecules =
        s->water * s->water * s->water * NB_WATER_DENSITY * NB_AVOGADRO / NB_WATER_MOLAR_MASS;
    return NB_WATER_F * NB_WATER_F * NB_R_E_SQR * s->fluence * molecules;
}

#endif
