/* Whether leaving samples out pays, and what the bound needs to know for it.  All of it depends on the crystals, the beam and the
 * planes of the panels, not on which pixels are rendered: the same sample counts in every roi.  Included by nb_image.c alone. */
#ifndef NB_SIGHT_H
#define NB_SIGHT_H

#include <float.h>
#include <stdlib.h>

#include "nb_patch.h"

#define NB_WORTH 0.75 /* of the time of a full rendering, at most, for which it pays */
#define NB_NARROW 0.3 /* half a patch in indices: the bound tells nothing of a wide one */
#define NB_ROWS 32    /* most pixels along the edge of a patch: threads share the rows of patches */
#define NB_FEW 8      /* orientations, below which large patches are best */

/* Largest solid angle of a pixel: that at the foot of its plane, which may lie beside the panel. */
static double most_solid_angle(const nb_panel *p)
{
    if (p->curved != NB_FLAT) return fabs(nb_solid_angle_d(p, 1.0 / fabs(p->distance)));
    const double front = nb_dot(p->pix0, p->odet), back = front + p->layers * p->layer_step;
    if (front * back <= 0.0) return INFINITY;
    return fabs(nb_solid_angle_d(p, 1.0 / fmin(fabs(front), fabs(back))));
}

/* Photons of a pixel all of whose samples have F^2 L^2 of 1 electron^2, at most; of a crystal of one cell and weight 1. */
static double most_photons(const nb_scene *s)
{
    double most = 0.0;
    for (const nb_panel *p = s->panel; p < s->panel + s->panels; p++) {
        const double layers = nb_absorbs(p) && s->oversample_thick ? 1.0 : p->layers;
        most = fmax(most, layers * most_solid_angle(p));
    }
    return NB_R_E_SQR * s->fluence * most * fmax(1.0, 0.5 * (1.0 + fabs(s->polarization)));
}

/* Light from behind a sensor is captured by more than all of it. */
static int from_behind(const nb_panel *p)
{
    return nb_absorbs(p) && (p->curved != NB_FLAT || !(nb_dot(p->pix0, p->odet) > 0.0));
}

/* Whether the bound holds for all that the Scene has. */
static int sparse_can(const nb_scene *s, const nb_job *job)
{
    if (!job->most || s->spectral != NB_DIRECT || s->water != 0.0) return 0;
    for (const nb_crystal *k = s->crystal; k < s->crystal + s->crystals; k++) {
        const int64_t interpolation = s->table[k->table].interpolation;
        const int shape = nb_lattice_shape(k), ends = shape == NB_GAUSS || shape == NB_TOPHAT;
        if (shape == NB_POINT || interpolation == NB_TRICUBIC || k->displaced == NB_DISPLACED_RATE) return 0;
        if (job->tolerance <= 0.0 && !(ends && job->spot_end > 0.0) && job->rules.rules < 2) return 0;
        if (k->orientations > INT32_MAX - NB_FLANES) return 0;
    }
    for (const nb_panel *p = s->panel; p < s->panel + s->panels; p++)
        if (job->tolerance > 0.0 && (from_behind(p) || isinf(most_solid_angle(p)))) return 0;
    return 1;
}

/* Squared radius at which an ellipsoid's bound has fallen to `share`. */
static double ellipsoid_end(double share)
{
    double low = 1e-6, high = 1e12;
    for (int i = 0; i < 100; i++) {
        const double z = sqrt(low * high);
        if (9.0 * NB_SPHERE_SCALE * NB_SPHERE_SCALE * (1.0 + z) / (z * z * z) > share) low = z;
        else high = z;
    }
    return high / (NB_PI * NB_PI);
}

/* The squared radius from which on nothing counts; most: largest F^2. */
static double spot_outer(int shape, const nb_limits *limits, double most)
{
    const double share = limits->least > 0.0 ? limits->least / most : limits->end;
    if (shape == NB_SQUARE) return NB_NOWHERE;
    if (shape == NB_TOPHAT) return NB_TOPHAT_RADIUS_SQR;
    if (!(share < 1.0)) return 0.0;
    return shape == NB_GAUSS ? -0.5 * NB_GAUSS_WIDTH * log(share) : ellipsoid_end(share);
}

/* Largest c for which M - c diag(M) has no negative eigenvalue; m: as nb_radius_sqr takes it. */
static double diagonal_share(const double m[6])
{
    const double a = 0.5 * m[3] / sqrt(m[0] * m[1]), b = 0.5 * m[4] / sqrt(m[0] * m[2]), c = 0.5 * m[5] / sqrt(m[1] * m[2]);
    const double p = sqrt((a * a + b * b + c * c) / 3.0);
    if (p < 1e-12) return 1.0 - 1e-6;
    const double r = fmin(1.0, fmax(-1.0, a * b * c / (p * p * p)));
    return fmax(0.0, 1.0 + 2.0 * p * cos((acos(r) + 2.0 * NB_PI) / 3.0) - 1e-6);
}

static void sight_radius(nb_bound *k, const double m[6])
{
    const double ab = 0.5 * m[3], ac = 0.5 * m[4], bc = 0.5 * m[5], c = diagonal_share(m);
    const double minor[6] = {m[1] * m[2] - bc * bc, m[0] * m[2] - ac * ac, m[0] * m[1] - ab * ab,
                             ac * bc - ab * m[2], ab * bc - ac * m[1], ab * ac - bc * m[0]};
    const double det = m[0] * minor[0] + ab * minor[3] + ac * minor[4];
    for (int j = 0; j < 6; j++) k->inverse[j] = (float)(minor[j] / det);
    for (int r = 0; r < 3; r++) {
        k->share[r] = (float)(c * m[r]);
        k->norm[r] = NB_SLACK * (float)sqrt(m[r]);
        k->reach[r] = k->outer < NB_NOWHERE ? NB_SLACK * (float)sqrt(k->outer * minor[r] / det) : NB_NOWHERE;
    }
}

/* Fills k; rows: room for 12 numbers of each of `padded` orientations. */
static void sight_of(const nb_scene *s, const nb_job *job, const nb_block *b, const nb_limits *limits, float *rows, int64_t padded,
                     nb_sight *k)
{
    const nb_crystal *c = b->crystal;
    double most = 0.0;
    int breaks = b->shape != NB_SQUARE;
    for (int r = 0; r < 3; r++) breaks |= b->n[r] != nb_round_d(b->n[r]);
    for (int i = 0; i < s->sources; i++) {
        const nb_most *one = job->most + c->table + s->source[i].table;
        breaks |= s->table[c->table + s->source[i].table].F != NULL;
        const double all = b->interpolation == NB_NEAREST ? one->all : fmax(NB_LEBESGUE * one->all, one->outside);
        most = fmax(most, all);
    }
    const double faint = limits->least * (1.0 - 1e-6);
    memset(k, 0, sizeof *k);
    k->block = b;
    k->count = c->orientations;
    k->breaks = breaks;
    k->bound = (nb_bound){.end = limits->end, .least = limits->least, .most = (float)most};
    if (faint >= FLT_MIN) k->bound.faint = (float)faint;
    else k->bound.untold = limits->least;
    k->bound.outer = 1.0001f * (float)fmin(spot_outer(b->shape, limits, most), NB_NOWHERE / 1.0001);
    for (int r = 0; r < 3; r++) k->bound.n[r] = (float)(b->n[r] * (1.0 - 1e-6));
    if (b->shape != NB_SQUARE) sight_radius(&k->bound, b->metric);
    for (int i = 0; i < 9; i++) k->row[i] = rows + i * padded;
    for (int r = 0; r < 3; r++) k->length[r] = rows + (9 + r) * padded;
    for (int64_t o = 0; o < padded; o++) {
        const double *m = c->abc + 9 * (o < k->count ? o : k->count - 1);
        for (int i = 0; i < 9; i++) rows[i * padded + o] = (float)m[i];
        for (int r = 0; r < 3; r++) rows[(9 + r) * padded + o] = 1.000001f * (float)sqrt(nb_dot(m + 3 * r, m + 3 * r));
    }
}

static double largest_wavenumber(const nb_scene *s)
{
    double most = 0.0;
    for (int i = 0; i < s->sources; i++) most = fmax(most, 1.0 / s->source[i].wavelength);
    return most;
}

/* Largest step from sample to sample in the indices of a crystal. */
static double sight_step(const nb_scene *s, const nb_crystal *c, double wavenumber)
{
    double edge = 0.0, step = 0.0;
    for (int r = 0; r < 3; r++) edge = fmax(edge, sqrt(nb_dot(c->abc + 3 * r, c->abc + 3 * r)));
    for (const nb_panel *p = s->panel; p < s->panel + s->panels; p++) {
        const double away = p->curved == NB_FLAT ? fabs(nb_dot(p->pix0, p->odet)) : fabs(p->distance);
        step = fmax(step, fmax(p->pixel[0], p->pixel[1]) / away);
    }
    return step * edge * wavenumber / s->oversample;
}

/* Share of the cells that count, where indices fall anywhere: points of a recurrence; e: a cell's extent. */
static double sight_share(const nb_sight *given, double e)
{
    const double by[3] = {0.8191725133961645, 0.6710436067037893, 0.5497004779019703};
    const int vectors = 512 / NB_FLANES;
    nb_bound k = given->bound;
    k.faint *= 10.0f; /* of reflections a tenth as bright as the brightest */
    double at[3] = {0.5, 0.5, 0.5};
    int counted = 0;
    for (int v = 0; v < vectors; v++) {
        nb_vf d[3], r_sqr = {0}, left = {0};
        for (int i = 0; i < NB_FLANES; i++)
            for (int r = 0; r < 3; r++) {
                at[r] += by[r];
                at[r] -= floor(at[r]);
                d[r][i] = (float)fmax(0.0, 0.5 * at[r] - e);
            }
        for (int r = 0; r < 3; r++) r_sqr += k.share[r] * d[r] * d[r];
        counted += __builtin_popcount(nb_bits_vf(nb_bound_counts_vf(&k, nb_bound_lattice_vf(&k, given->block->shape, r_sqr, d) * k.most, &left)));
    }
    return (double)counted / (vectors * NB_FLANES);
}

/* Edge of a patch in pixels.  As large as can be where single orientations are looked at; where there are many, cells at once, or
 * what the bound can tell something of. */
static int sparse_edge(int oversample, int few, double step)
{
    const int fits = NB_PATCH / oversample, cell = NB_CELL / oversample;
    int edge = 1;
    while (2 * edge <= fits && 2 * edge <= NB_ROWS && (few || edge * oversample * step <= NB_NARROW)) edge *= 2;
    if (!few && edge * oversample <= 2 * NB_CELL) edge = cell > 1 ? cell : 1;
    return edge;
}

/* Samples of a pixel at the foot of a panel's plane, where most are needed, by the rules that there are; step: between sub-pixels. */
static double sparse_fit(const nb_scene *s, const nb_job *job, const nb_sight *sight, double wavenumber, double step)
{
    const double os = s->oversample;
    if (job->rules.rules < 2) return os * os;
    double need[2] = {0.0, 0.0};
    for (const nb_panel *p = s->panel; p < s->panel + s->panels; p++) {
        const double away = p->curved == NB_FLAT ? fabs(nb_dot(p->pix0, p->odet)) : fabs(p->distance);
        nb_frame at;
        for (int x = 0; x < 3; x++) {
            at.f[x] = 0.5 * p->pixel[0] / away * p->fdet[x];
            at.s[x] = 0.5 * p->pixel[1] / away * p->sdet[x];
        }
        for (int c = 0; c < s->crystals; c++) fit_needs(sight + c, &at, wavenumber, need);
    }
    double fitted = 1.0;
    for (int axis = 0; axis < 2; axis++) {
        const int rule = fit_rule(&job->rules, need[axis]);
        fitted *= rule == NB_ALL ? os : job->rules.count[rule];
    }
    int breaks = 0; /* those pixels take all */
    for (int c = 0; c < s->crystals; c++) breaks |= sight[c].breaks;
    const double broken = breaks ? 1.0 - pow(1.0 - fmin(1.0, os * step), 3.0) : 0.0;
    return (1.0 - broken) * fitted + broken * os * os;
}

/* Whether it pays, by what a step costs about, in ns; share: of the samples that count; samples: of a pixel.  Not by which pixels
 * there are. */
static int sparse_pays(const nb_scene *s, double orientations, double share, double samples)
{
    const double all = (double)s->oversample * s->oversample, n = orientations * s->sources;
    const double pixel = 3.0 + 3.0 * (s->oversample_omega ? fmin(9.0, all) : 1.0);
    const double any = 1.0 - pow(1.0 - share, n), full = all * (7.0 + 1.3 * n);
    return pixel + samples * (0.5 + 10.0 * any + (0.1 + 2.2 * share) * n) < NB_WORTH * full;
}

/* Fills plan->sparse where leaving samples out is possible and pays; memory: what is to be freed.  Returns 0 without memory. */
static int sparse_prepare(nb_plan *plan, const nb_job *job, void **memory)
{
    const nb_scene *s = plan->s;
    nb_sparse *sparse = &plan->sparse;
    *memory = NULL;
    sparse->edge = 0;
    sparse->wavenumber = largest_wavenumber(s);
    if (!sparse_can(s, job)) return 1;
    int64_t floats = 0, all = 0;
    for (int c = 0; c < s->crystals; c++) {
        const int64_t count = s->crystal[c].orientations;
        floats += 12 * ((count + 15) / 16 * 16);
        const int64_t words = (count + NB_FLANES - 1) / NB_FLANES * s->sources;
        all += count;
        if (words > sparse->words) sparse->words = words;
    }
    const size_t sights = ((size_t)s->crystals * sizeof(nb_sight) + 63) / 64 * 64;
    const size_t limits = ((size_t)s->crystals * sizeof(nb_limits) + 63) / 64 * 64;
    char *room = aligned_alloc(64, sights + limits + (size_t)floats * sizeof(float));
    if (!room) return 0;
    nb_sight *sight = (nb_sight *)room;
    nb_limits *limit = (nb_limits *)(room + sights);
    float *rows = (float *)(room + sights + limits);
    double lit = 0.0, widest = 0.0;
    const double photons = job->tolerance > 0.0 ? most_photons(s) : 0.0;
    for (int c = 0; c < s->crystals; c++) {
        const nb_crystal *k = s->crystal + c;
        const int64_t padded = (k->orientations + 15) / 16 * 16;
        const double per = photons * nb_lattice_peak(k) * k->weight, share = job->tolerance * (1.0 - 1e-6) / s->crystals;
        limit[c] = (nb_limits){.end = job->tolerance > 0.0 || plan->block[c].shape != NB_GAUSS ? 0.0 : job->spot_end};
        limit[c].least = job->tolerance > 0.0 ? fmin(share / per, 1e30) : 0.0;
        sight_of(s, job, plan->block + c, limit + c, rows, padded, sight + c);
        sight[c].bound.photons = per;
        limit[c].left = sight[c].bound.untold;
        rows += 12 * padded;
        const double step = sight_step(s, k, sparse->wavenumber);
        widest = fmax(widest, step);
        lit += k->orientations * sight_share(sight + c, 0.5 * (NB_CELL - 1) * step);
    }
    *memory = room;
    if (!job->always && !sparse_pays(s, (double)all, lit / all, sparse_fit(s, job, sight, sparse->wavenumber, widest))) return 1;
    sparse->rules = job->rules;
    sparse->edge = sparse_edge(s->oversample, all < NB_FEW, widest);
    sparse->sight = sight;
    sparse->limits = limit;
    sparse->most = job->most;
    return 1;
}

/* The same for a GPU: of each crystal, unless all samples are to be evaluated (*sparse 0).  Returns 0 without memory. */
static int sparse_bounds(nb_plan *plan, const nb_job *job, nb_bound *bound, int *sparse)
{
    void *memory = NULL;
    const int ready = sparse_prepare(plan, job, &memory);
    *sparse = ready && plan->sparse.edge > 0;
    for (int c = 0; *sparse && c < plan->s->crystals; c++) bound[c] = plan->sparse.sight[c].bound;
    free(memory);
    return ready;
}

#endif
