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
#define NB_SET(c) (c)

#define NB_REAL double
#define NB_SCALAR double
#define NB_FLOAT 0
#define NB_MASK int64_t
#define NB_BITS uint64_t
#define NB_R(name) name##_d
#define NB_SQRT sqrt
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
#define NB_ABS fabsf
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_undefine.h"

#undef NB_SELECT
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

/* Whether all four planes around h along one axis are in the table. */
NB_FN int nb_interpolable(double h, int32_t F_min, int32_t F_count)
{
    return (h - F_min + 3.0 <= F_count) & (h - 2.0 >= F_min);
}

/* Cubic Lagrange weights of the planes at -1, 0, 1, 2 for a point u in [0, 1). */
NB_FN void nb_lagrange_weights(double u, double w[4])
{
    w[0] = u * (u - 1.0) * (u - 2.0) * (-1.0 / 6.0);
    w[1] = (u + 1.0) * (u - 1.0) * (u - 2.0) * 0.5;
    w[2] = (u + 1.0) * u * (u - 2.0) * -0.5;
    w[3] = (u + 1.0) * u * (u - 1.0) * (1.0 / 6.0);
}

/* Tricubic value at (h, k, l); the sample must be interpolable along all axes. */
NB_FN double nb_tricubic(const nb_scene *s, double h, double k, double l)
{
    const double hf = nb_floor_d(h), kf = nb_floor_d(k), lf = nb_floor_d(l);
    double wh[4], wk[4], wl[4], row[4] = {0.0, 0.0, 0.0, 0.0};
    nb_lagrange_weights(h - hf, wh);
    nb_lagrange_weights(k - kf, wk);
    nb_lagrange_weights(l - lf, wl);
    const int64_t nk = s->F_count[1], nl = s->F_count[2];
    const double *corner = s->F + (((int64_t)hf - 1 - s->F_min[0]) * nk + ((int64_t)kf - 1 - s->F_min[1])) * nl
                         + ((int64_t)lf - 1 - s->F_min[2]);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            const double w = wh[i] * wk[j];
            const double *p = corner + (i * nk + j) * nl;
            for (int m = 0; m < 4; m++) row[m] += w * p[m];
        }
    return row[0] * wl[0] + row[1] * wl[1] + row[2] * wl[2] + row[3] * wl[3];
}

/* Whether the lattice factor F_latt (not its square) is exactly zero, so that the sample is not looked at (canonical 6.5). */
NB_FN int nb_lattice_is_zero(int shape, double radius_sqr)
{
    if (shape == NB_TOPHAT) return !(radius_sqr < NB_TOPHAT_RADIUS_SQR);
    /* exp(-x) is zero in double precision beyond x = 745.13 */
    return shape == NB_GAUSS && radius_sqr > 745.13 * NB_GAUSS_WIDTH;
}

/* ---- scale ---- */

/* Water's forward scattering, photons/sr: F^2 r_e^2 fluence times the number of molecules in the cube (canonical 8). */
NB_FN double nb_water_intensity(const nb_scene *s)
{
    const double molecules =
        s->water * s->water * s->water * NB_WATER_DENSITY * NB_AVOGADRO / NB_WATER_MOLAR_MASS;
    return NB_WATER_F * NB_WATER_F * NB_R_E_SQR * s->fluence * molecules;
}

#endif
