/* Which samples can be left out: a bound of F^2 L^2 over many samples at once (docs/physics.md has the proof).
 *
 * A patch of samples under one source sees, in the indices of one orientation,
 *
 *   h = h0 + a u + b v + w,   |a|, |b| <= 1,   |w_r| <= length_r rho
 *
 * with h0 at its middle and u, v half its edges; rho is what the direction of a ray differs from its tangent plane.  So h_r
 * stays within e_r = |u_r| + |v_r| + length_r rho of h0_r, and its distance from whole numbers above d_r = max(0, |h0_r -
 * round(h0_r)| - e_r).  From that, with s_r = N_r sin(pi d_r), the lattice factor, as a fraction of its peak, is below
 *
 *   block                prod 1 / max(1, s_r^2)
 *   Gaussian, top-hat    its value at r^2 = c sum M_rr d_r^2, where M - c diag(M) has no negative eigenvalue
 *   ellipsoid            9 (0.7236)^2 (1 + x^2) / x^6 with x = pi r, and (0.7236)^2
 *
 * Where e_r and a spot's reach together stay below 1/2, one reflection alone can light the patch, and sharper bounds hold: of the
 * distance of its centre from the middle less the patch's own extent, and from the plane of u and v.
 *
 * A sample counts where F^2 L^2 > least and L^2 > end, which depends on nothing but itself: the bound only tells of which samples
 * that need not be looked up.  Single precision throughout; what it may be wrong by is added to rho.  Of the CPU alone. */
#ifndef NB_TREE_H
#define NB_TREE_H

#include "nb_bound.h"
#include "nb_tile.h"

#include "nb_as_vf.h"
#include "nb_bound_at.h"
#include "nb_undefine.h"

#define NB_CELL 4           /* edge of the samples that are evaluated together */
#define NB_SPLIT 4          /* cells along the edge of a block, and blocks along that of a patch */
#define NB_PARTS (NB_SPLIT * NB_SPLIT)
#define NB_PATCH (NB_CELL * NB_SPLIT * NB_SPLIT) /* most samples along the edge of a patch */

/* A crystal as the bound wants it. */
typedef struct {
    const nb_block *block;
    int64_t count;         /* orientations */
    const float *row[9];   /* a, b, c of all orientations, m: [count], padded to whole vectors */
    const float *length[3];
    nb_bound bound;
    int breaks;            /* F^2 L^2 may change abruptly half-way between reflections */
} nb_sight;

/* A source as the patches see it. */
typedef struct {
    const nb_table *table; /* of the crystal under it */
    const nb_most *most;
    double q[3], per;      /* at the middle of the patch; 1/wavelength */
    int dark;              /* no structure factor is so far out */
} nb_ray;

/* Whether the structure factors are worth a look. */
NB_INLINE int tree_looks(const nb_sight *k, const nb_ray *ray)
{
    return ray->most->F_sqr && (k->bound.faint > 0.0f || ray->most->sparse);
}

/* Which orientations may light some of a patch: a bit for each, a word for each vector of them, those of one source side by side. */
static void tree_orientations(const nb_sight *k, const nb_frame *at, const nb_ray *ray, int rays, uint32_t *bits, nb_vf *left)
{
    const nb_bound *b = &k->bound;
    const int64_t vectors = (k->count + NB_FLANES - 1) / NB_FLANES;
    const int tricubic = k->block->interpolation != NB_NEAREST;
    nb_vf largest = *left;
    float f[3], s[3], size = 0.0f;
    for (int x = 0; x < 3; x++) { /* in the indices of the first source: small numbers have no squares */
        f[x] = (float)(ray->per * at->f[x]), s[x] = (float)(ray->per * at->s[x]);
        size += fabsf(f[x]) + fabsf(s[x]);
    }
    const int radius = b->outer < NB_NOWHERE;
    for (int64_t o = 0; o < vectors; o++) {
        nb_vf row[9], u[3], v[3], extent[3], length[3];
        for (int i = 0; i < 9; i++) row[i] = nb_load_vf(k->row[i] + o * NB_FLANES);
        for (int r = 0; r < 3; r++) {
            u[r] = row[3 * r] * f[0] + row[3 * r + 1] * f[1] + row[3 * r + 2] * f[2];
            v[r] = row[3 * r] * s[0] + row[3 * r + 1] * s[1] + row[3 * r + 2] * s[2];
            extent[r] = nb_abs_vf(u[r]) + nb_abs_vf(v[r]);
            length[r] = nb_load_vf(k->length[r] + o * NB_FLANES);
        }
        nb_plane_vf plane;
        if (radius) plane = nb_bound_plane_vf(b, u, v);
        unsigned real = ~0u;
        if ((o + 1) * NB_FLANES > k->count) real = (1u << (k->count - o * NB_FLANES)) - 1;
        for (int i = 0; i < rays; i++) {
            uint32_t *out = bits + i * vectors + o;
            *out = 0;
            if (ray[i].dark) continue;
            const float q[3] = {(float)ray[i].q[0], (float)ray[i].q[1], (float)ray[i].q[2]}, per = (float)(ray[i].per / ray->per);
            /* rounding: 8 ulp of the largest */
            const float rho = (float)(ray[i].per * at->rho) + 5e-7f * (fabsf(q[0]) + fabsf(q[1]) + fabsf(q[2]) + per * size);
            nb_vf h[3], x[3], d[3], w[3], e[3], r_sqr = {0};
            for (int r = 0; r < 3; r++) {
                h[r] = row[3 * r] * q[0] + row[3 * r + 1] * q[1] + row[3 * r + 2] * q[2];
                w[r] = length[r] * rho;
                e[r] = NB_SLACK * per * extent[r] + w[r];
                x[r] = h[r] - nb_round_vf(h[r]);
                d[r] = nb_max_vf(nb_abs_vf(x[r]) - e[r], (nb_vf){0});
                if (radius) r_sqr += b->share[r] * d[r] * d[r];
            }
            const nb_vf L = nb_bound_lattice_vf(b, k->block->shape, r_sqr, d);
            nb_vfmask counts = nb_bound_counts_vf(b, L * b->most, &largest);
            if (!nb_bits_vf(counts)) continue;
            if (radius) {
                const nb_vfmask dark = counts & nb_bound_alone_vf(b, e) & ~nb_bound_passes_vf(&plane, x, w);
                if (b->faint > 0.0f) largest = nb_select_vf(dark, b->faint - (nb_vf){0}, largest);
                counts &= ~dark;
            }
            if (tree_looks(k, ray + i) && nb_bits_vf(counts)) {
                nb_vf lo[3], hi[3];
                for (int r = 0; r < 3; r++) {
                    lo[r] = nb_round_vf(h[r] - e[r]);
                    hi[r] = nb_round_vf(h[r] + e[r]);
                }
                counts &= nb_bound_counts_vf(b, L * nb_bound_factor_vf(ray[i].most, ray[i].table, tricubic, lo, hi), &largest);
            }
            *out = nb_bits_vf(counts) & real;
        }
    }
    *left = largest;
}

/* ---- parts of a patch ---- */

/* Where the middles of parts are, in halves of the patch's edges: of its blocks, and of the cells of each; `real`: which there are. */
typedef struct {
    float block_f[NB_PARTS], block_s[NB_PARTS];
    float cell_f[NB_PARTS][NB_PARTS], cell_s[NB_PARTS][NB_PARTS];
    float half[2][2];                /* of a block, of a cell along fast and slow */
    uint32_t blocks, cells[NB_PARTS];
    int count[2];                    /* samples along fast and slow */
    int64_t key[2];                  /* which those are */
} __attribute__((aligned(64))) nb_parts;

/* Which of NB_PARTS parts with their middles at (f, s) and these halves an orientation may light. */
static uint32_t tree_parts(const nb_sight *k, const nb_ray *ray, const nb_lit_frame *l, const float *f, const float *s, const float half[2],
                           nb_vf *left)
{
    const nb_bound *b = &k->bound;
    const int radius = b->outer < NB_NOWHERE, tricubic = k->block->interpolation != NB_NEAREST;
    const float extent = NB_SLACK * (half[0] * l->size[0] + half[1] * l->size[1] + l->size[2]);
    float e[3], form[6];
    int alone = radius, narrow = 1;
    for (int r = 0; r < 3; r++) {
        e[r] = NB_SLACK * (half[0] * fabsf(l->u[r]) + half[1] * fabsf(l->v[r])) + l->w[r];
        alone = alone && e[r] < 0.499f - b->reach[r];
        narrow = narrow && e[r] < 0.499f;
    }
    for (int j = 0; radius && j < 6; j++) form[j] = (float)k->block->metric[j];
    uint32_t lit = 0;
    for (int c = 0; c < NB_PARTS; c += NB_FLANES) {
        const nb_vf at_f = nb_load_vf(f + c), at_s = nb_load_vf(s + c);
        nb_vf h[3], x[3], d[3], r_sqr = {0};
        for (int r = 0; r < 3; r++) {
            h[r] = l->x[r] + l->u[r] * at_f + l->v[r] * at_s;
            x[r] = h[r] - nb_round_vf(h[r]);
            d[r] = nb_max_vf(nb_abs_vf(x[r]) - e[r], (nb_vf){0});
            if (radius) r_sqr += b->share[r] * d[r] * d[r];
        }
        if (alone) {
            const nb_vf far = nb_max_vf(nb_sqrt_vf(nb_max_vf(nb_radius_sqr_vf(x, form), (nb_vf){0})) - extent, (nb_vf){0});
            r_sqr = (1.0f / NB_SLACK) * far * far;
        }
        const nb_vf L = nb_bound_lattice_vf(b, k->block->shape, r_sqr, d);
        nb_vfmask counts = nb_bound_counts_vf(b, L * b->most, left);
        if (!nb_bits_vf(counts)) continue;
        if (tree_looks(k, ray)) {
            nb_vf lo[3], hi[3];
            for (int r = 0; r < 3; r++) {
                lo[r] = l->whole[r] + nb_round_vf(h[r] - e[r]);
                hi[r] = narrow ? lo[r] + 1.0f : l->whole[r] + nb_round_vf(h[r] + e[r]);
            }
            counts &= nb_bound_counts_vf(b, L * nb_bound_factor_vf(ray->most, ray->table, tricubic, lo, hi), left);
        }
        lit |= (uint32_t)nb_bits_vf(counts) << c;
    }
    return lit;
}

#endif
