/* What may light a warp's tile, each lane with an orientation of its own: as nb_tree.h.  Included by nb_cuda_sparse.h, whose macros it uses. */
#ifndef NB_CUDA_BOUND_H
#define NB_CUDA_BOUND_H

#include "nb_bound.h"

#include "nb_as_f.h"
#include "nb_bound_at.h"
#include "nb_undefine.h"

#define NB_HAS_RADIUS (NB_USE_SHAPE != 0) /* NB_SQUARE has none */

/* A layer of a tile. */
typedef struct {
    nb_frame at;
    double extent;  /* what directions differ by from the middle's */
    float f[3], s[3], size; /* half of what they change by along its edges; sum of all six */
    bool known;     /* else nothing is known of it */
} nb_tile_frame;

/* A source as a tile sees it, at the tile's middle. */
typedef struct {
    const nb_table *table; /* of the crystal under it */
    const nb_most *most;
    double q[3], per;      /* per: 1/wavelength */
    float rho;             /* of all that the tangent plane and rounding neglect */
    bool dark;             /* no structure factor is so far out */
} nb_light;

/* Whether L^2 counts with the structure factors from h - e to h + e; `whole` is to be added to these. */
NB_FN bool nb_bound_listed(const nb_bound *k, const nb_light *light, float L, const float whole[3], const float h[3],
                           const float e[3], float *left)
{
    if (!light->most->F_sqr || !(k->faint > 0.0f || light->most->sparse)) return true;
    float lo[3], hi[3];
    for (int r = 0; r < 3; r++) {
        lo[r] = whole[r] + nb_round_f(h[r] - e[r]);
        hi[r] = whole[r] + nb_round_f(h[r] + e[r]);
    }
    return nb_bound_counts_f(k, L * nb_bound_factor_f(light->most, light->table, NB_USE_TABLE == NB_TABLE_TRICUBIC, lo, hi), left);
}

/* Whether an orientation may light some of the tile. */
NB_FN bool nb_may_light(const nb_bound *k, const nb_orientation *m, const nb_tile_frame *t, const nb_light *light, float *left)
{
    if (light->dark) return false;
    const float per = (float)light->per, q[3] = {(float)light->q[0], (float)light->q[1], (float)light->q[2]};
    const float none[3] = {0.0f, 0.0f, 0.0f};
    float h[3], x[3], d[3], u[3], v[3], w[3], e[3], r_sqr = 0.0f;
    for (int r = 0; r < 3; r++) {
        const float a = (float)nb_number_of(m, 3 * r), b = (float)nb_number_of(m, 3 * r + 1), c = (float)nb_number_of(m, 3 * r + 2);
        u[r] = per * a * t->f[0] + per * b * t->f[1] + per * c * t->f[2];
        v[r] = per * a * t->s[0] + per * b * t->s[1] + per * c * t->s[2];
        h[r] = a * q[0] + b * q[1] + c * q[2];
        w[r] = 1.000001f * sqrtf((per * a) * (per * a) + (per * b) * (per * b) + (per * c) * (per * c)) * light->rho;
        e[r] = NB_SLACK * (fabsf(u[r]) + fabsf(v[r])) + w[r];
        x[r] = h[r] - nb_round_f(h[r]);
        d[r] = fmaxf(fabsf(x[r]) - e[r], 0.0f);
        if (NB_HAS_RADIUS) r_sqr += k->share[r] * d[r] * d[r];
    }
    const float L = nb_bound_lattice_f(k, NB_USE_SHAPE, r_sqr, d);
    if (!nb_bound_counts_f(k, L * k->most, left)) return false;
    if (NB_HAS_RADIUS && nb_bound_alone_f(k, e)) {
        const nb_plane_f plane = nb_bound_plane_f(k, u, v);
        if (!nb_bound_passes_f(&plane, x, w)) {
            if (k->faint > 0.0f) *left = k->faint;
            return false;
        }
    }
    return nb_bound_listed(k, light, L, none, h, e, left);
}

/* ---- parts of a tile ---- */

NB_FN nb_lit_frame nb_lit_frame_of(const nb_bound *k, const nb_frame *at, const nb_light *light, const nb_orientation *m,
                                   const double metric[6])
{
    double numbers[9];
    for (int i = 0; i < 9; i++) numbers[i] = nb_number_of(m, i);
    return lit_frame_of(k, at, light->q, light->per, numbers, metric);
}

/* Whether it may light a part with its middle at (f, s) and these halves, both in halves of the tile. */
NB_FN bool nb_may_light_part(const nb_bound *k, const nb_light *light, const nb_lit_frame *l, float f, float s,
                             const float half[2], const float metric[6], float *left)
{
    float h[3], x[3], d[3], e[3], r_sqr = 0.0f;
    for (int r = 0; r < 3; r++) {
        e[r] = NB_SLACK * (half[0] * fabsf(l->u[r]) + half[1] * fabsf(l->v[r])) + l->w[r];
        h[r] = l->x[r] + l->u[r] * f + l->v[r] * s;
        x[r] = h[r] - nb_round_f(h[r]);
        d[r] = fmaxf(fabsf(x[r]) - e[r], 0.0f);
        if (NB_HAS_RADIUS) r_sqr += k->share[r] * d[r] * d[r];
    }
    if (NB_HAS_RADIUS && nb_bound_alone_f(k, e)) {
        const float extent = NB_SLACK * (half[0] * l->size[0] + half[1] * l->size[1] + l->size[2]);
        const float far = fmaxf(sqrtf(fmaxf(nb_radius_sqr_f(x, metric), 0.0f)) - extent, 0.0f);
        r_sqr = (1.0f / NB_SLACK) * far * far;
    }
    const float L = nb_bound_lattice_f(k, NB_USE_SHAPE, r_sqr, d);
    return nb_bound_counts_f(k, L * k->most, left) && nb_bound_listed(k, light, L, l->whole, h, e, left);
}

#endif
