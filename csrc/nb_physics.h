/* The physics of one sample: ONE source for the CPU and the GPU.
 *
 * nb_math.h, nb_lattice.h, nb_line.h, nb_sample.h and nb_pixel.h hold the formulas; they are stamped out here for scalars (suffix
 * _d, _f) and in nb_tile.h for vectors (_vd, _vf).  All lengths m, angles rad, q in 1/m; section numbers are those of specs/. */
#ifndef NB_PHYSICS_H
#define NB_PHYSICS_H

#include "nb_basics.h"

/* a block with one cell along every axis has no lattice factor at all */
#define NB_POINT (-1)

#include "nb_as_d.h"
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_line.h"
#include "nb_sample.h"
#include "nb_pixel.h"
#include "nb_undefine.h"

#include "nb_as_f.h"
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_line.h"
#include "nb_tricubic.h"
#include "nb_undefine.h"

#include "nb_curved.h"

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
