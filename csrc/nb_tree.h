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

#include "nb_tile.h"

#define NB_CELL 4           /* edge of the samples that are evaluated together */
#define NB_PATCH 32         /* most samples along the edge of a patch */
#define NB_CELLS (NB_PATCH / NB_CELL * (NB_PATCH / NB_CELL))
#define NB_NOWHERE 1e30f    /* a squared radius that no sample has */
#define NB_LEBESGUE 3.8147f /* (5/4)^6: what cubic interpolation may add to the largest F^2 */
#define NB_SLACK 1.00002f

/* A crystal as the bound wants it. */
typedef struct {
    const nb_block *block;
    int64_t count;         /* orientations */
    const float *row[9];   /* a, b, c of all orientations, m: [count], padded to whole vectors */
    const float *length[3];
    float n[3];            /* cells along a block's edges */
    float share[3];        /* c M_rr, fudge folded in */
    float inverse[6];      /* of M: aa bb cc ab ac bc */
    float norm[3];         /* sqrt(M_rr) */
    float outer;           /* squared radius from which on nothing counts; NB_NOWHERE: none */
    float reach[3];        /* the same along the indices */
    float least;           /* F^2 L^2 that does not count, electrons^2 */
    float most;            /* largest F^2 */
    double photons;        /* that F^2 L^2 of 1 electron^2 in all of a pixel's samples gives at most */
} nb_sight;

/* A patch under one source: h is a product with these, in 1/m. */
typedef struct {
    double q[3], f[3], s[3]; /* at the middle; half the edges along fast and slow */
    double rho;
} nb_patch;

/* Lower bound of sin(pi d), 0 <= d <= 1/2 */
NB_INLINE nb_vf tree_sine(nb_vf d)
{
    return d * (3.1412f - 5.1678f * d * d);
}

/* Largest F^2 among the whole indices from lo to hi. */
NB_INLINE nb_vf tree_factor(const nb_most *most, const nb_table *t, const nb_vf lo[3], const nb_vf hi[3])
{
    const nb_vf all = most->all - (nb_vf){0};
    if (!most->F_sqr) return all;
    const float wider = t->interpolation == NB_NEAREST ? 0.0f : 2.0f; /* 64 values about it */
    nb_vfmask place = {0};
    nb_vf span = {0};
    for (int r = 0; r < 3; r++) {
        const nb_vf n = (lo[r] - wider - (float)t->F_min[r]) * (1.0f / NB_MOST_EDGE);
        nb_vf block = nb_round_vf(n - 0.375f) + 2.0f; /* n is a whole number of quarters */
        block = nb_min_vf(nb_max_vf(block, (nb_vf){0}), (float)(most->count[r] - 1) - (nb_vf){0});
        place = place * most->count[r] + __builtin_convertvector(block, nb_vfmask);
        span = nb_max_vf(span, hi[r] - lo[r]);
    }
    nb_vf F_sqr = nb_gather_vf(most->F_sqr, place);
    F_sqr = nb_select_vf(span + 2.0f * wider <= (float)NB_MOST_EDGE, F_sqr, all);
    if (wider > 0.0f) F_sqr = nb_max_vf(F_sqr * NB_LEBESGUE, most->outside - (nb_vf){0});
    return F_sqr;
}

/* Where the bound of F^2 L^2 counts.  r_sqr: of what has a radius; d: of a block.  left: the largest that does not count. */
NB_INLINE nb_vfmask tree_counts(const nb_sight *k, nb_vf F_sqr, nb_vf r_sqr, const nb_vf d[3], nb_vf *left)
{
    nb_vf L = NB_SLACK - (nb_vf){0};
    nb_vfmask within = {0};
    if (k->block->shape == NB_SQUARE) {
        nb_vf below = 1.0f - (nb_vf){0};
        for (int r = 0; r < 3; r++) {
            const nb_vf s = k->n[r] * tree_sine(d[r]);
            below *= nb_max_vf(1.0f - (nb_vf){0}, s * s);
        }
        L = NB_SLACK / below;
        within = ~within;
    } else {
        within = r_sqr < k->outer;
        if (!nb_bits_vf(within)) return within;
        if (k->block->shape == NB_ELLIPSOID) {
            const float peak = (float)(NB_SPHERE_SCALE * NB_SPHERE_SCALE) * NB_SLACK;
            const nb_vf z = nb_max_vf((float)(NB_PI * NB_PI) * r_sqr, 1e-6f - (nb_vf){0});
            L = nb_min_vf(peak - (nb_vf){0}, 9.0f * peak * (1.0f + z) / (z * z * z));
        } else if (k->block->shape == NB_GAUSS && k->least > 0.0f) {
            L = NB_SLACK * nb_exp_vf((float)(-2.0 / NB_GAUSS_WIDTH) * nb_min_vf(r_sqr, 25.0f - (nb_vf){0}));
        }
    }
    const nb_vf bound = L * F_sqr;
    const nb_vfmask counts = within & (bound > k->least), none = counts | (k->block->shape == NB_TOPHAT ? ~within : (nb_vfmask){0});
    if (k->least > 0.0f) *left = nb_max_vf(*left, nb_select_vf(none, (nb_vf){0}, nb_min_vf(bound, k->least - (nb_vf){0})));
    return counts;
}

/* Whether one reflection alone can light what extends by e about some index: then sharper bounds hold. */
NB_INLINE nb_vfmask tree_alone(const nb_sight *k, const nb_vf e[3])
{
    nb_vfmask alone = ~(nb_vfmask){0};
    for (int r = 0; r < 3; r++) alone &= e[r] < 0.499f - k->reach[r];
    return alone;
}

/* Where the plane of u and v passes the reflection at -x within its reach: |n.x| < R sqrt(n M^-1 n) + |n.w| with n = u x v. */
NB_INLINE nb_vfmask tree_plane(const nb_sight *k, const nb_vf x[3], const nb_vf u[3], const nb_vf v[3], const nb_vf w[3])
{
    nb_vf n[3], along = {0}, loose = {0};
    for (int r = 0; r < 3; r++) {
        n[r] = u[(r + 1) % 3] * v[(r + 2) % 3] - u[(r + 2) % 3] * v[(r + 1) % 3];
        along += n[r] * x[r];
        loose += nb_abs_vf(n[r]) * w[r];
    }
    const float *m = k->inverse;
    const nb_vf width = n[0] * (m[0] * n[0] + 2.0f * (m[3] * n[1] + m[4] * n[2])) + n[1] * (m[1] * n[1] + 2.0f * m[5] * n[2])
                      + m[2] * n[2] * n[2];
    const nb_vf off = nb_max_vf(nb_abs_vf(along) - NB_SLACK * loose, (nb_vf){0});
    return off * off <= (NB_SLACK * k->outer) * width;
}

/* Numbers of the orientations that may light some of a patch, in order; returns how many. */
static int64_t tree_orientations(const nb_sight *k, const nb_table *t, const nb_most *most, const nb_patch *p, int32_t *found,
                                 float *left)
{
    int64_t count = 0;
    nb_vf largest = {0};
    float q[3], f[3], s[3], size = 0.0f;
    for (int x = 0; x < 3; x++) {
        q[x] = (float)p->q[x], f[x] = (float)p->f[x], s[x] = (float)p->s[x];
        size += fabsf(q[x]) + fabsf(f[x]) + fabsf(s[x]);
    }
    const float rho = (float)p->rho + 5e-7f * size; /* rounding: 8 ulp of the largest */
    for (int64_t o = 0; o < k->count; o += NB_FLANES) {
        nb_vf x[3], d[3], u[3], v[3], w[3], e[3], lo[3], hi[3], r_sqr = {0};
        for (int r = 0; r < 3; r++) {
            const nb_vf a = nb_load_vf(k->row[3 * r] + o), b = nb_load_vf(k->row[3 * r + 1] + o), c = nb_load_vf(k->row[3 * r + 2] + o);
            const nb_vf h = a * q[0] + b * q[1] + c * q[2];
            u[r] = a * f[0] + b * f[1] + c * f[2];
            v[r] = a * s[0] + b * s[1] + c * s[2];
            w[r] = nb_load_vf(k->length[r] + o) * rho;
            e[r] = nb_abs_vf(u[r]) + nb_abs_vf(v[r]) + w[r];
            const nb_vf whole = nb_round_vf(h);
            x[r] = h - whole;
            d[r] = nb_max_vf(nb_abs_vf(x[r]) - e[r], (nb_vf){0});
            r_sqr += k->share[r] * d[r] * d[r];
            lo[r] = whole + nb_round_vf(x[r] - e[r]);
            hi[r] = whole + nb_round_vf(x[r] + e[r]);
        }
        nb_vfmask counts = tree_counts(k, tree_factor(most, t, lo, hi), r_sqr, d, &largest);
        if (k->outer < NB_NOWHERE && nb_bits_vf(counts)) {
            const nb_vfmask alone = tree_alone(k, e);
            if (nb_bits_vf(alone & counts)) counts &= ~alone | tree_plane(k, x, u, v, w);
        }
        unsigned bits = nb_bits_vf(counts);
        if (o + NB_FLANES > k->count) bits &= (1u << (k->count - o)) - 1;
        for (; bits; bits &= bits - 1) found[count++] = (int32_t)(o + __builtin_ctz(bits));
    }
    for (int i = 0; i < NB_FLANES; i++) *left = fmaxf(*left, largest[i]);
    return count;
}

/* The cells of a patch: where their middles are, in halves of its edges. */
typedef struct {
    float f[NB_CELLS], s[NB_CELLS]; /* -1 to 1 */
    float half[2];                  /* of a cell along fast and slow */
    int count;
} __attribute__((aligned(64))) nb_cells;

/* Cells that one orientation may light; m: its rows a, b, c. */
static uint64_t tree_cells(const nb_sight *k, const nb_table *t, const nb_most *most, const nb_patch *p, const nb_cells *cells,
                           const double *m, float *left)
{
    float x0[3], u[3], v[3], w[3], norm_sqr[2];
    double whole[3], half[2][3], own = 0.0;
    nb_vf e[3];
    for (int r = 0; r < 3; r++) {
        const double *a = m + 3 * r, h = nb_dot(a, p->q), uf = nb_dot(a, p->f), vs = nb_dot(a, p->s);
        const double length = sqrt(nb_dot(a, a));
        const double d = nb_reduce_d(h);
        whole[r] = h - d;
        x0[r] = (float)d, u[r] = (float)uf, v[r] = (float)vs;
        w[r] = (float)(length * p->rho + 1e-6 * (1.0 + fabs(uf) + fabs(vs)) + 1e-13 * fabs(h));
        half[0][r] = uf * cells->half[0], half[1][r] = vs * cells->half[1];
        e[r] = NB_SLACK * (float)(fabs(half[0][r]) + fabs(half[1][r])) + w[r] - (nb_vf){0};
        own += k->norm[r] * w[r];
    }
    const double *metric = k->block->metric;
    for (int i = 0; i < 2; i++) norm_sqr[i] = k->outer < NB_NOWHERE ? (float)nb_radius_sqr_d(half[i], metric) : 0.0f;
    const float extent = NB_SLACK * (float)(sqrt(norm_sqr[0]) + sqrt(norm_sqr[1]) + own);
    const int alone = k->outer < NB_NOWHERE && nb_bits_vf(tree_alone(k, e)) != 0;
    float form[6];
    for (int j = 0; j < 6; j++) form[j] = (float)metric[j];
    uint64_t lit = 0;
    nb_vf largest = {0};
    for (int c = 0; c < cells->count; c += NB_FLANES) {
        const nb_vf f = nb_load_vf(cells->f + c), s = nb_load_vf(cells->s + c);
        nb_vf x[3], d[3], lo[3], hi[3], r_sqr = {0};
        for (int r = 0; r < 3; r++) {
            const nb_vf h = x0[r] + u[r] * f + v[r] * s, near = nb_round_vf(h);
            x[r] = h - near;
            d[r] = nb_max_vf(nb_abs_vf(x[r]) - e[r], (nb_vf){0});
            r_sqr += k->share[r] * d[r] * d[r];
            lo[r] = near + nb_round_vf(x[r] - e[r]);
            hi[r] = near + nb_round_vf(x[r] + e[r]);
        }
        if (alone) {
            const nb_vf far = nb_max_vf(nb_sqrt_vf(nb_max_vf(nb_radius_sqr_vf(x, form), (nb_vf){0})) - extent, (nb_vf){0});
            r_sqr = far * far * (1.0f / NB_SLACK);
        }
        for (int r = 0; most->F_sqr && r < 3; r++) lo[r] += (float)whole[r], hi[r] += (float)whole[r];
        unsigned bits = nb_bits_vf(tree_counts(k, tree_factor(most, t, lo, hi), r_sqr, d, &largest));
        if (c + NB_FLANES > cells->count) bits &= (1u << (cells->count - c)) - 1;
        lit |= (uint64_t)bits << c;
    }
    for (int i = 0; i < NB_FLANES; i++) *left = fmaxf(*left, largest[i]);
    return lit;
}

#endif
