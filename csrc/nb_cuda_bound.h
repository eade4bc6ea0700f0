/* The bound of nb_tree.h for one orientation at a time, each of a warp's lanes its own: docs/physics.md has the proof.
 *
 * Single precision; what it may be wrong by is added to rho and to the bound.  Included by nb_cuda_sparse.h, whose macros it uses. */
#ifndef NB_CUDA_BOUND_H
#define NB_CUDA_BOUND_H

#include "nb_bound.h"
#include "nb_most.h"

#define NB_HAS_RADIUS (NB_USE_SHAPE != 0) /* NB_SQUARE has none */

/* The plane of u and v: n = u x v, and R^2 n M^-1 n. */
typedef struct {
    float n[3], width;
} nb_plane;

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

/* Lower bound of sin(pi d), 0 <= d <= 1/2 */
NB_FN float nb_bound_sine(float d)
{
    return d * (3.1412f - 5.1678f * d * d);
}

/* Largest F^2 among the whole indices from lo to hi. */
NB_FN float nb_bound_factor(const nb_most *most, const nb_table *t, const float lo[3], const float hi[3])
{
    if (!most->F_sqr) return most->all;
    const float wider = NB_USE_TABLE == NB_TABLE_TRICUBIC ? 2.0f : 0.0f; /* 64 values about it */
    float span = 0.0f;
    int32_t place = 0;
    for (int r = 0; r < 3; r++) {
        const float n = (lo[r] - wider - (float)t->F_min[r]) * (1.0f / (float)most->edge); /* a whole number of quarters */
        const float block = fminf(fmaxf(nb_round_f(n - 0.375f) + 2.0f, 0.0f), (float)(most->count[r] - 1));
        place = place * most->count[r] + (int32_t)block;
        span = fmaxf(span, hi[r] - lo[r]);
    }
    const float F_sqr = span + 2.0f * wider <= (float)most->edge ? most->F_sqr[place] : most->all;
    return wider > 0.0f ? fmaxf(F_sqr * NB_LEBESGUE, most->outside) : F_sqr;
}

/* Bound of L^2 where it counts at all; r_sqr: of what has a radius; d: of a block. */
NB_FN float nb_bound_lattice(const nb_bound *k, float r_sqr, const float d[3])
{
    if (!NB_HAS_RADIUS) {
        float below = 1.0f;
        for (int r = 0; r < 3; r++) {
            const float s = k->n[r] * nb_bound_sine(d[r]);
            below *= fmaxf(1.0f, s * s);
        }
        return NB_SLACK / below;
    }
    const bool within = r_sqr < k->outer, sharp = NB_USE_SHAPE == NB_TOPHAT || !(k->faint > 0.0f);
    float L = NB_SLACK;
    if (NB_USE_SHAPE == NB_ELLIPSOID) {
        const float peak = (float)(NB_SPHERE_SCALE * NB_SPHERE_SCALE) * NB_SLACK;
        const float z = fmaxf((float)(NB_PI * NB_PI) * r_sqr, 1e-6f);
        L = fminf(peak, 9.0f * peak * (1.0f + z) / (z * z * z));
    } else if (NB_USE_SHAPE == NB_GAUSS && !sharp) {
        L = NB_SLACK * nb_exp_f((float)(-2.0 / NB_GAUSS_WIDTH) * fminf(r_sqr, 25.0f));
    }
    return sharp && !within ? 0.0f : L;
}

/* Whether a bound counts; left: the largest that does not. */
NB_FN bool nb_bound_counts(const nb_bound *k, float bound, float *left)
{
    const bool counts = bound > k->faint;
    if (!counts && k->faint > 0.0f) *left = fmaxf(*left, bound);
    return counts;
}

/* The same with the structure factors from h - e to h + e; `whole` is to be added to these. */
NB_FN bool nb_bound_listed(const nb_bound *k, const nb_light *light, float L, const float whole[3], const float h[3],
                           const float e[3], float *left)
{
    if (!light->most->F_sqr || !(k->faint > 0.0f || light->most->sparse)) return true;
    float lo[3], hi[3];
    for (int r = 0; r < 3; r++) {
        lo[r] = whole[r] + nb_round_f(h[r] - e[r]);
        hi[r] = whole[r] + nb_round_f(h[r] + e[r]);
    }
    return nb_bound_counts(k, L * nb_bound_factor(light->most, light->table, lo, hi), left);
}

/* Whether one reflection alone can light what extends by e about some index. */
NB_FN bool nb_bound_alone(const nb_bound *k, const float e[3])
{
    return e[0] < 0.499f - k->reach[0] && e[1] < 0.499f - k->reach[1] && e[2] < 0.499f - k->reach[2];
}

NB_FN nb_plane nb_bound_plane(const nb_bound *k, const float u[3], const float v[3])
{
    nb_plane p;
    float *n = p.n;
    for (int r = 0; r < 3; r++) n[r] = u[(r + 1) % 3] * v[(r + 2) % 3] - u[(r + 2) % 3] * v[(r + 1) % 3];
    const float *m = k->inverse;
    p.width = NB_SLACK * k->outer
            * (n[0] * (m[0] * n[0] + 2.0f * (m[3] * n[1] + m[4] * n[2])) + n[1] * (m[1] * n[1] + 2.0f * m[5] * n[2]) + m[2] * n[2] * n[2]);
    return p;
}

/* Whether it passes the reflection at -x within its reach: |n.x| < R sqrt(n M^-1 n) + |n.w|. */
NB_FN bool nb_bound_passes(const nb_plane *p, const float x[3], const float w[3])
{
    float along = 0.0f, loose = 0.0f;
    for (int r = 0; r < 3; r++) {
        along += p->n[r] * x[r];
        loose += fabsf(p->n[r]) * w[r];
    }
    const float off = fmaxf(fabsf(along) - NB_SLACK * loose, 0.0f);
    return off * off <= p->width;
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
    const float L = nb_bound_lattice(k, r_sqr, d);
    if (!nb_bound_counts(k, L * k->most, left)) return false;
    if (NB_HAS_RADIUS && nb_bound_alone(k, e)) {
        const nb_plane plane = nb_bound_plane(k, u, v);
        if (!nb_bound_passes(&plane, x, w)) {
            if (k->faint > 0.0f) *left = k->faint;
            return false;
        }
    }
    return nb_bound_listed(k, light, L, none, h, e, left);
}

/* ---- parts of a tile ---- */

/* An orientation under one source, in the indices of the tile's middle: h = whole + x + f u + s v + w. */
typedef struct {
    float x[3], u[3], v[3], w[3], whole[3];
    float size[3]; /* of u, v and w in the metric */
} nb_lit_frame;

NB_FN nb_lit_frame nb_lit_frame_of(const nb_bound *k, const nb_frame *at, const nb_light *light, const nb_orientation *m,
                                   const double metric[6])
{
    nb_lit_frame l;
    double u[3], v[3];
    l.size[0] = l.size[1] = l.size[2] = 0.0f;
    for (int r = 0; r < 3; r++) {
        const double a[3] = {nb_number_of(m, 3 * r), nb_number_of(m, 3 * r + 1), nb_number_of(m, 3 * r + 2)};
        const double h = nb_dot(a, light->q), d = nb_reduce_d(h);
        u[r] = light->per * nb_dot(a, at->f), v[r] = light->per * nb_dot(a, at->s);
        l.whole[r] = (float)(h - d);
        l.x[r] = (float)d, l.u[r] = (float)u[r], l.v[r] = (float)v[r];
        l.w[r] = (float)(sqrt(nb_dot(a, a)) * light->per * at->rho + 1e-6 * (1.0 + fabs(u[r]) + fabs(v[r])) + 1e-13 * fabs(h));
        l.size[2] += k->norm[r] * l.w[r];
    }
    if (NB_HAS_RADIUS) {
        l.size[0] = NB_SLACK * (float)sqrt(nb_radius_sqr_d(u, metric));
        l.size[1] = NB_SLACK * (float)sqrt(nb_radius_sqr_d(v, metric));
    }
    return l;
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
    if (NB_HAS_RADIUS && nb_bound_alone(k, e)) {
        const float extent = NB_SLACK * (half[0] * l->size[0] + half[1] * l->size[1] + l->size[2]);
        const float far = fmaxf(sqrtf(fmaxf(nb_radius_sqr_f(x, metric), 0.0f)) - extent, 0.0f);
        r_sqr = (1.0f / NB_SLACK) * far * far;
    }
    const float L = nb_bound_lattice(k, r_sqr, d);
    return nb_bound_counts(k, L * k->most, left) && nb_bound_listed(k, light, L, l->whole, h, e, left);
}

#endif
