/* The images behind an image, compiled once per instruction set like nb_image.c; contract in nb_backdrop.h, formulas in
 * nb_background.h and nb_transmission.h.
 *
 * Units and tiles of pixels as there; one loop over a tile for every point, place, source and scatterer.  A pixel's value
 * depends on nothing else. */
#include "nb_backdrop.h"

#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_render.h"
#include "nb_walk.h"

#include "nb_as_d.h"
#include "nb_transmission.h"
#include "nb_undefine.h"

#include "nb_as_vd.h"
#include "nb_math.h"
#include "nb_sample.h"
#include "nb_background.h"
#include "nb_transmission.h"
#include "nb_undefine.h"

#define NB_UNIT 4096 /* pixels handed to a thread at once */

typedef struct {
    nb_places at;
    double P[3][NB_TILE];                      /* a point on the pixel */
    double d[3][NB_TILE], light[NB_TILE];      /* direction to it from a place; nb_light */
    double stol[NB_TILE];                      /* of a source there */
    double plain[NB_TILE], polarized[NB_TILE]; /* its light, without and with polarization */
    double t[NB_TILE];                         /* of a curve: from the knot of its piece ... */
    int32_t cubic[NB_TILE];                    /* ... and where that begins */
    double background[NB_TILE], fixed[NB_TILE], transmission[NB_TILE]; /* sums */
} __attribute__((aligned(64))) nb_tile;

static void tile_points(const nb_panel *given, nb_tile *t, int layer, double f0, double s0)
{
    const nb_panel p = *given;
    for (int i = 0; i < t->at.lanes; i += NB_LANES) {
        const nb_vd F = p.pixel[0] * nb_load_vd(t->at.f + i) + f0, S = p.pixel[1] * nb_load_vd(t->at.s + i) + s0;
        nb_vd P[3] = {F, F, F};
        if (p.curved == NB_FLAT) nb_layer_position_vd(&p, F, S, layer, P);
        for (int lane = 0; p.curved != NB_FLAT && lane < NB_LANES; lane++) {
            double point[3];
            nb_position(&p, F[lane], S[lane], layer, point);
            for (int j = 0; j < 3; j++) P[j][lane] = point[j];
        }
        for (int j = 0; j < 3; j++) nb_store_vd(t->P[j] + i, P[j]);
    }
}

/* Inlined twice, for the sample's light (no `at`) and that of other places. */
NB_FN void tile_light(const nb_panel *given, nb_tile *t, int layer, const double *at)
{
    const nb_panel p = *given;
    for (int i = 0; i < t->at.lanes; i += NB_LANES) {
        const nb_vd P[3] = {nb_load_vd(t->P[0] + i), nb_load_vd(t->P[1] + i), nb_load_vd(t->P[2] + i)};
        nb_vd d[3];
        nb_store_vd(t->light + i, nb_light_vd(&p, layer, at, P, d));
        for (int j = 0; j < 3; j++) nb_store_vd(t->d[j] + i, d[j]);
    }
}

static void tile_source(const nb_scene *s, const nb_panel *on, int layer, nb_tile *t, int number)
{
    const nb_panel panel = *on;
    const nb_source source = s->source[number];
    const double half = 0.5 / source.wavelength, K = s->polarization;
    const nb_axes axes = nb_axes_of(s->polar_vector, source.incident);
    const int nopolar = s->nopolar;
    for (int i = 0; i < t->at.lanes; i += NB_LANES) {
        const nb_vd d[3] = {nb_load_vd(t->d[0] + i), nb_load_vd(t->d[1] + i), nb_load_vd(t->d[2] + i)};
        const nb_vd plain = source.weight * nb_caught_vd(&panel, number, layer, d, nb_load_vd(t->light + i));
        nb_store_vd(t->stol + i, nb_stol_vd(half, source.incident, d));
        nb_store_vd(t->plain + i, plain);
        nb_store_vd(t->polarized + i, nopolar ? plain : plain * nb_polarization_vd(K, source.incident, &axes, d));
    }
}

/* What is lost of a source's light from a place; lit: light is scattered there; counted: it is added to the transmission. */
static void tile_obstacles(const nb_obstacles *o, nb_tile *t, int number, const nb_source *source, const double *at, int lit,
                           int counted)
{
    const nb_arrival arrived = nb_arrival_at(o, number, source->incident, at);
    for (int i = 0; i < t->at.lanes; i += NB_LANES) {
        const nb_vd P[3] = {nb_load_vd(t->P[0] + i), nb_load_vd(t->P[1] + i), nb_load_vd(t->P[2] + i)};
        const nb_vd passed = nb_transmission_from_vd(o, number, source->incident, at, &arrived, P);
        if (lit) nb_store_vd(t->plain + i, passed * nb_load_vd(t->plain + i));
        if (lit) nb_store_vd(t->polarized + i, passed * nb_load_vd(t->polarized + i));
        if (counted) nb_store_vd(t->transmission + i, nb_load_vd(t->transmission + i) + source->weight * passed);
    }
}

/* Inlined for curves of one step, most of them, and of more. */
NB_FN void tile_pieces(const nb_curve *given, int32_t steps, nb_tile *t)
{
    const nb_curve c = *given;
    const nb_vd zero = {0}, last = zero + (c.buckets - 1);
    for (int i = 0; i < t->at.lanes; i += NB_LANES) {
        const nb_vd x = (nb_load_vd(t->stol + i) - c.low) * c.per_bucket;
        nb_store_vd(t->t + i, nb_select_vd(x > zero, nb_select_vd(x < last, x, last), zero));
    }
    for (int i = 0; i < t->at.lanes; i++) {
        const int32_t j = nb_piece_from(&c, t->t[i], t->stol[i], steps);
        t->t[i] = t->stol[i] - c.knot[j];
        t->cubic[i] = 4 * j;
    }
}

static void tile_scatterer(const nb_curve *given, const nb_scatterer *one, nb_tile *t)
{
    const nb_curve c = *given;
    const int squared = one->squared;
    const double amount = one->amount, *light = one->polarized ? t->polarized : t->plain;
    double *sum = one->fixed ? t->fixed : t->background;
    if (c.steps == 1) tile_pieces(given, 1, t);
    else tile_pieces(given, c.steps, t);
    for (int i = 0; i < t->at.lanes; i += NB_LANES) {
        nb_vd cubic[4];
        nb_load_rows(c.cubic, t->cubic + i, cubic);
        const nb_vd v = nb_scattered_vd(cubic, nb_load_vd(t->t + i), squared, amount, nb_load_vd(light + i));
        nb_store_vd(sum + i, nb_load_vd(sum + i) + v);
    }
}

/* Counts pixels beyond what the curves hold, by their s. */
static void tile_outside(const nb_backdrop *b, const nb_tile *t, int64_t *outside)
{
    for (int c = 0; c < b->curves; c++) {
        const double least = b->curve[c].least, most = b->curve[c].most;
        int64_t count = 0;
        for (int i = 0; i < t->at.count; i++) count += (t->stol[i] < least) | (t->stol[i] > most);
        outside[c] += count;
    }
}

/* All sources at one place; outside: to be counted by the first, or NULL. */
static void tile_place(const nb_scene *s, const nb_backdrop *b, const nb_panel *p, int layer, const nb_place *place,
                       nb_tile *t, int64_t *outside)
{
    const int counted = place == b->place && layer == 0;
    const nb_obstacles *o = b->obstacles ? b->obstacles + (p - s->panel) : NULL;
    for (int i = 0; i < s->sources; i++) {
        if (place->count || (i == 0 && outside)) tile_source(s, p, layer, t, i);
        if (i == 0 && outside) tile_outside(b, t, outside);
        if (o) tile_obstacles(o, t, i, s->source + i, place->at, place->count > 0, counted);
        for (const nb_scatterer *one = b->scatterer + place->first; one < b->scatterer + place->first + place->count; one++)
            tile_scatterer(b->curve + one->curve, one, t);
    }
}

static void tile_store(const nb_places *t, double *image, int64_t origin, const double *sum, double scale)
{
    if (!image) return;
    double *first = image + (t->pixel[0] - origin);
    if (t->pixel[t->count - 1] - t->pixel[0] == t->count - 1)
        for (int i = 0; i < t->count; i++) first[i] = scale * sum[i];
    else
        for (int i = 0; i < t->count; i++) image[t->pixel[i] - origin] = scale * sum[i];
}

/* The pixels of a tile; outside: of this thread, or NULL. */
static void work_tile(const nb_scene *s, const nb_backdrop *b, const nb_panel *p, nb_tile *t, const nb_backdrop_job *job,
                      int64_t *outside)
{
    const double step[2] = {p->pixel[0] / b->oversample, p->pixel[1] / b->oversample};
    const nb_obstacles *o = b->obstacles ? b->obstacles + (p - s->panel) : NULL;
    for (int i = 0; i < t->at.lanes; i++) t->background[i] = t->fixed[i] = t->transmission[i] = 0.0;
    for (int layer = 0; layer < p->layers; layer++)
        for (int sub_s = 0; sub_s < b->oversample; sub_s++)
            for (int sub_f = 0; sub_f < b->oversample; sub_f++) {
                tile_points(p, t, layer, 0.5 * step[0] + step[0] * sub_f, 0.5 * step[1] + step[1] * sub_s);
                for (const nb_place *place = b->place; place < b->place + b->places; place++) {
                    const int sample = place == b->place, first = sample && layer == 0 && sub_s == 0 && sub_f == 0;
                    if (!place->count && !(first && outside) && !(o && sample && layer == 0)) continue;
                    if (sample) tile_light(p, t, layer, NULL);
                    else tile_light(p, t, layer, place->at);
                    tile_place(s, b, p, layer, place, t, first ? outside : NULL);
                }
            }
    const double share = 1.0 / ((double)s->sources * b->oversample * b->oversample);
    tile_store(&t->at, job->background, job->origin, t->background, NB_R_E_SQR * share);
    tile_store(&t->at, job->fixed, job->origin, t->fixed, share);
    tile_store(&t->at, job->transmission, job->origin, t->transmission, share);
}

static void work_unit(const nb_scene *s, const nb_backdrop *b, int64_t unit, nb_tile *t, const nb_backdrop_job *job, int64_t *outside)
{
    nb_walk walk = nb_walk_unit(s, NB_UNIT, unit);
    while (walk.index < walk.end) {
        const int64_t before = walk.index;
        if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED)) return;
        nb_fill_places(&t->at, &walk);
        work_tile(s, b, walk.panel, t, job, outside);
        __atomic_fetch_add(job->progress, walk.index - before, __ATOMIC_RELAXED);
    }
}

#define NB_CAT_(a, b) a##b
#define NB_CAT(a, b) NB_CAT_(a, b)

int NB_CAT(nb_backdrop_, NB_ISA)(const nb_scene *s, const nb_backdrop *b, nb_backdrop_job *job)
{
    const int64_t units = nb_units(s, NB_UNIT);
    int failed = 0, counts = 0;
    for (int c = 0; c < b->curves; c++) counts |= isfinite(b->curve[c].least) || isfinite(b->curve[c].most);
#ifdef _OPENMP
    const int threads = job->threads > 0 ? job->threads : omp_get_max_threads();
#pragma omp parallel num_threads(threads)
#endif
    {
        nb_tile *tile = aligned_alloc(64, sizeof(nb_tile));
        int64_t *outside = counts ? calloc((size_t)b->curves, sizeof *outside) : NULL;
        const int ready = tile && (outside || !counts);
        if (!ready) __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
#pragma omp for schedule(dynamic, 1)
        for (int64_t u = 0; u < units; u++)
            if (ready && !__atomic_load_n(&failed, __ATOMIC_RELAXED)) work_unit(s, b, u, tile, job, outside);
        for (int c = 0; outside && c < b->curves; c++) __atomic_fetch_add(job->outside + c, outside[c], __ATOMIC_RELAXED);
        free(outside);
        free(tile);
    }
    if (failed) return NB_NO_MEMORY;
    return __atomic_load_n(job->cancel, __ATOMIC_RELAXED) ? NB_CANCELLED : NB_OK;
}
