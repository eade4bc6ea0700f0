/* Patches of samples: where these are, of what parts they consist, their directions, and how many of them a pixel needs.
 *
 * Sampling that fits: nb_rules has, for every number m of places along an edge, the Gauss rule of the sum over all its sub-pixels,
 * exact for polynomials of degree 2m - 1.  A patch takes the smallest of them that resolves L^2 as it runs over a pixel there; an
 * orientation for which that would cross from one reflection to the next, where F^2 or L^2 changes abruptly, takes all
 * sub-pixels (nb_sparse.h).  Which rule depends on the patch alone, not on which pixels are rendered.
 * Included by nb_image.c alone. */
#ifndef NB_PATCH_H
#define NB_PATCH_H

#include "nb_plan.h"

#define NB_ALL (-1) /* the rule of all sub-pixels */

/* Samples along one axis: of all the parts of a pixel, or of a patch of several. */
typedef struct {
    int count;
    double place[NB_PATCH];  /* in pixels from the first pixel's edge */
    double weight[NB_PATCH]; /* sub-pixels it stands for */
    int pixel[NB_PATCH];     /* from the first */
    int64_t key;             /* what it was made for */
} nb_edge;

/* ---- where a patch's samples are ---- */

/* Sub-pixels along an edge by a rule. */
static int patch_count(const nb_scene *s, const nb_sparse *sparse, int rule)
{
    return rule == NB_ALL ? s->oversample : sparse->rules.count[rule];
}

/* The samples of `part` of `parts` of so many pixels. */
static void patch_samples(const nb_scene *s, const nb_sparse *sparse, int rule, int part, int parts, int pixels, nb_edge *e)
{
    const int64_t key = (((rule + 2) * (int64_t)65536 + part) * 65536 + parts) * 256 + pixels;
    if (e->key == key) return;
    const int os = s->oversample, count = patch_count(s, sparse, rule), first = part * count / parts, last = (part + 1) * count / parts;
    int before = 0;
    for (int i = 0; i < rule; i++) before += sparse->rules.count[i];
    e->count = 0;
    e->key = key;
    for (int i = 0; i < pixels; i++)
        for (int sub = first; sub < last; sub++) {
            e->place[e->count] = i + (rule == NB_ALL ? (sub + 0.5) / os : sparse->rules.place[before + sub]);
            e->weight[e->count] = rule == NB_ALL ? 1.0 : sparse->rules.weight[before + sub];
            e->pixel[e->count++] = i;
        }
}

/* Middle of samples first to last, or half of their extent, in halves of that of all. */
static double part_of(const nb_edge *e, int first, int last, int extent)
{
    const double low = e->place[0], all = e->place[e->count - 1] - low, a = e->place[first] - low, b = e->place[last] - low;
    if (e->count == 1) return 0.0;
    return extent ? (b - a) / all : (a + b) / all - 1.0;
}

/* Where the parts of one axis are, of blocks and of their cells: middles, and half of the largest. */
typedef struct {
    float block[NB_SPLIT], cell[NB_SPLIT][NB_SPLIT], half[2];
    int blocks, cells[NB_SPLIT];
} nb_axis;

static nb_axis axis_parts(const nb_edge *e)
{
    const int size = NB_CELL * NB_SPLIT;
    nb_axis x;
    memset(&x, 0, sizeof x);
    for (int b = 0; b < NB_SPLIT && b * size < e->count; b++) {
        const int first = b * size, last = first + size < e->count ? first + size : e->count;
        x.block[b] = (float)part_of(e, first, last - 1, 0);
        x.half[0] = fmaxf(x.half[0], (float)part_of(e, first, last - 1, 1));
        x.blocks++;
        for (int c = 0; c < NB_SPLIT && first + c * NB_CELL < last; c++) {
            const int start = first + c * NB_CELL, end = start + NB_CELL < last ? start + NB_CELL : last;
            x.cell[b][c] = (float)part_of(e, start, end - 1, 0);
            x.half[1] = fmaxf(x.half[1], (float)part_of(e, start, end - 1, 1));
            x.cells[b]++;
        }
    }
    return x;
}

/* The parts of a patch of such samples. */
static void patch_parts(const nb_edge edge[2], nb_parts *parts)
{
    if (parts->key[0] == edge[0].key && parts->key[1] == edge[1].key) return;
    memset(parts, 0, sizeof *parts);
    const nb_axis f = axis_parts(edge), s = axis_parts(edge + 1);
    for (int axis = 0; axis < 2; axis++) {
        parts->key[axis] = edge[axis].key;
        parts->count[axis] = edge[axis].count;
        for (int level = 0; level < 2; level++) parts->half[level][axis] = (axis ? s : f).half[level];
    }
    for (int b = 0; b < NB_PARTS; b++) {
        const int bf = b % NB_SPLIT, bs = b / NB_SPLIT;
        if (bf >= f.blocks || bs >= s.blocks) continue;
        parts->block_f[b] = f.block[bf], parts->block_s[b] = s.block[bs];
        parts->blocks |= 1u << b;
        for (int c = 0; c < NB_PARTS; c++) {
            const int cf = c % NB_SPLIT, cs = c / NB_SPLIT;
            if (cf >= f.cells[bf] || cs >= s.cells[bs]) continue;
            parts->cell_f[b][c] = f.cell[bf][cf], parts->cell_s[b][c] = s.cell[bs][cs];
            parts->cells[b] |= 1u << c;
        }
    }
}

/* ---- its directions ---- */

/* The frame of a rectangle of the panel: its middle and half its edges, m. */
static int patch_frame(const nb_panel *p, int layer, const double middle[2], const double half[2], nb_frame *at)
{
    return p->curved == NB_FLAT ? flat_frame(p, layer, middle, half, at) : curved_frame(p, layer, middle, half, at);
}

/* Of so many pixels along each edge, with all that they cover, from one on. */
static int patch_whole(const nb_panel *p, int layer, const int32_t from[2], int pixels, nb_frame *at)
{
    double middle[2], half[2];
    for (int axis = 0; axis < 2; axis++) {
        half[axis] = 0.5 * p->pixel[axis] * pixels;
        middle[axis] = p->pixel[axis] * (p->first[axis] + from[axis]) + half[axis];
    }
    return patch_frame(p, layer, middle, half, at);
}

/* ---- how many samples it needs ---- */

/* Places that a pixel needs along each axis for errors of 1e-3 of it at most, whatever it shows of the spots; at: the frame of
 * half a pixel.  C is by how many fringes, or widths of a spot, L^2 runs over the pixel: of a block N |dh| added up, and squared; of
 * the others the root of the metric.  What is added to it and multiplied was found by trying (docs/physics.md). */
static void fit_needs(const nb_sight *k, const nb_frame *at, double wavenumber, double need[2])
{
    const int shape = k->block->shape;
    for (int axis = 0; axis < 2; axis++) {
        const double *step = axis ? at->s : at->f;
        float d[3], form[6];
        for (int x = 0; x < 3; x++) d[x] = (float)(2.0 * wavenumber * step[x]);
        for (int j = 0; j < 6; j++) form[j] = (float)k->block->metric[j];
        nb_vf most = {0};
        for (int64_t o = 0; o < k->count; o += NB_FLANES) {
            nb_vf u[3], sum = {0}, squares = {0};
            for (int r = 0; r < 3; r++) {
                u[r] = nb_load_vf(k->row[3 * r] + o) * d[0] + nb_load_vf(k->row[3 * r + 1] + o) * d[1] + nb_load_vf(k->row[3 * r + 2] + o) * d[2];
                sum += nb_abs_vf(k->bound.n[r] * u[r]);
                squares += (k->bound.n[r] * u[r]) * (k->bound.n[r] * u[r]);
            }
            if (shape == NB_SQUARE) most = nb_max_vf(most, 1.07f * sum + 0.8f * nb_sqrt_vf(squares));
            else most = nb_max_vf(most, nb_radius_sqr_vf(u, form));
        }
        double C = 0.0;
        for (int i = 0; i < NB_FLANES; i++) C = fmax(C, most[i]);
        if (shape != NB_SQUARE) C = sqrt(C);
        const double needed = shape == NB_SQUARE ? C + 3.5 : shape == NB_GAUSS ? 2.25 * C + 3.0 : 1.6 * C + 3.5;
        /* edges of spots, and where interpolation goes from cube to cube, may be anywhere */
        need[axis] = shape == NB_TOPHAT || k->block->interpolation != NB_NEAREST ? INFINITY : fmax(need[axis], needed);
    }
}

/* The smallest rule with so many places; NB_ALL where there is none. */
static int fit_rule(const nb_rules *rules, double need)
{
    for (int i = 0; i < rules->rules - 1; i++)
        if (rules->count[i] >= need) return i;
    return NB_ALL;
}

/* Whether all indices of a crystal's orientation within `at`, seen under a source, are nearest to one reflection. */
static int fit_unbroken(const nb_frame *at, const nb_source *source, const double *m)
{
    const double per = 1.0 / source->wavelength;
    for (int r = 0; r < 3; r++) {
        const double *a = m + 3 * r, size = sqrt(nb_dot(a, a));
        double q[3];
        for (int x = 0; x < 3; x++) q[x] = per * (at->d[x] - source->incident[x]);
        const double h = nb_dot(a, q), e = per * (fabs(nb_dot(a, at->f)) + fabs(nb_dot(a, at->s)) + size * at->rho);
        if (!(fabs(nb_reduce_d(h)) + e < 0.5 - 1e-9)) return 0;
    }
    return 1;
}

/* Whether all samples within `at` are on one side of the resolution limit. */
static int fit_resolved(const nb_scene *s, const nb_frame *at)
{
    if (!(s->dmin > 0.0)) return 1;
    const double extent = sqrt(nb_dot(at->f, at->f)) + sqrt(nb_dot(at->s, at->s)) + at->rho + 1e-12;
    for (const nb_source *source = s->source; source < s->source + s->sources; source++) {
        double u[3];
        for (int x = 0; x < 3; x++) u[x] = at->d[x] - source->incident[x];
        if (fabs(sqrt(nb_dot(u, u)) - source->wavelength / s->dmin) <= extent) return 0;
    }
    return 1;
}

#endif
