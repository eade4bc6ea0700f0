/* The CPU renderer, compiled once per instruction set (NB_ISA is the suffix of its one visible function).
 *
 * Contract: reads an nb_scene, writes photons per pixel (canonical 6 to 8, nb_pixel.h).
 * Walks the pixels: the roi of every panel, or its list where there is one, is cut into units of NB_UNIT pixels in raster
 * order, which threads take one at a time; a unit's pixels fill tiles (nb_tile.h).  Since a pixel's value depends on
 * nothing else, images are the same for every thread count, roi, mask and division into panels. */
#include "nb_render.h"

#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_tile.h"

#define NB_UNIT 1024 /* pixels handed to a thread at once; a tile where there are few */

typedef struct {
    const nb_scene *s;
    nb_block *block; /* [crystals] */
    int64_t unit;    /* pixels of a unit of work; the last of a panel has what is left */
    int64_t units;   /* of all panels */
    double scale, background;
    int searching;   /* 1: interpolate everything and look for the cut; 0: the cut is known */
    nb_cut cut;
    int64_t cut_unit; /* the unit it lies in */
    nb_channel *channel; /* [sources], where a spectrum is not rendered directly */
    nb_sensor *sensor;   /* [panels] */
} nb_plan;

/* Whether nothing of what the tile's pixels scatter arrives. */
static int tile_is_dark(const nb_scene *s, const nb_tile *t)
{
    int dark = s->transmission != NULL;
    for (int i = 0; dark && i < t->at.count; i++) dark = s->transmission[t->at.pixel[i] - s->behind] == 0.0;
    return dark;
}

/* The run of sources that begins here, at one sub-pixel. */
static void render_run(const nb_plan *plan, const nb_panel *p, const nb_sensor *sensor, nb_tile *t, const nb_source *source,
                       int precision)
{
    const nb_scene *s = plan->s;
    nb_run run = nb_run_of(s, source, plan->channel);
    if (s->oversample_thick) run.sensor = *sensor;
    tile_line(s, t, source);
    tile_polarization(s, t, source);
    for (int i = 0; i < t->q.lanes; i++) t->sum[i] = 0.0;
    for (int c = 0; c < s->crystals; c++) tile_crystal_line(s, &plan->block[c], &run, t, precision);
    if (nb_mu_differs(p)) tile_weigh_run(s, p, sensor->layer, t, &run);
    else tile_weigh(s, t, 1.0, run.weight);
}

/* All samples of a tile's pixels.  Returns 0 when cancelled. */
static int render_tile(const nb_plan *plan, const nb_panel *p, nb_tile *t, const nb_job *job)
{
    const nb_scene *s = plan->s;
    const int dark = !plan->searching && tile_is_dark(s, t), differs = nb_mu_differs(p);
    nb_sensor sensor = plan->sensor[p - s->panel];
    for (int i = 0; i < t->q.lanes; i++) t->polar[i] = t->keep[i] = t->capture[i] = 1.0;
    for (int i = 0; plan->searching && i < t->q.lanes; i++) t->bad[i] = -1;
    const nb_pixel_vd *end = t->p + t->q.lanes / NB_LANES;
    for (nb_pixel_vd *pixel = t->p; pixel < end; pixel++) nb_pixel_start_vd(s, plan->background, pixel);
    int64_t base = 0; /* sequence number of the next sample */
    for (int layer = 0; layer < p->layers; layer++)
        for (int sub_s = 0; sub_s < s->oversample; sub_s++)
            for (int sub_f = 0; sub_f < s->oversample; sub_f++) {
                const int first = sub_s == 0 && sub_f == 0;
                tile_geometry(s, p, t, layer, sub_s, sub_f);
                if (nb_needs_capture(s, p, first)) tile_capture(p, t, layer);
                nb_pixel_vd *pixel = t->p;
                for (int i = 0; i < t->q.lanes; i += NB_LANES, pixel++)
                    nb_pixel_point_vd(s, layer, first, nb_load_vd(t->omega + i), nb_load_vd(t->capture + i), pixel);
                if (differs) sensor = tile_sensor(p, &sensor, layer, t);
                if (differs && !plan->channel && !dark) tile_prepare_captures(&sensor, t);
                for (const nb_source *source = s->source; source < s->source + s->sources; source++) {
                    if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED)) return 0;
                    if (dark) break;
                    if (plan->channel) {
                        render_run(plan, p, &sensor, t, source, job->precision);
                        source += source->run - 1;
                        continue;
                    }
                    tile_scattering(s, t, source);
                    tile_polarization(s, t, source);
                    if (differs) tile_captured(&sensor, sensor.mu[source - s->source], t);
                    for (int i = 0; i < t->q.lanes; i++) t->sum[i] = 0.0;
                    for (int c = 0; c < s->crystals; c++) {
                        tile_crystal(s, &plan->block[c], &plan->cut, plan->searching, t, source, base, job->precision);
                        base += s->crystal[c].orientations;
                    }
                    tile_weigh(s, t, source->weight, source->weight);
                }
            }
    return 1;
}

/* What stands behind the spots, put to the photons of the tile's pixels. */
static void tile_backdrop(const nb_scene *given, nb_tile *t)
{
    const nb_scene s = *given; /* which no store changes */
    const int64_t first = t->at.pixel[0];
    if (t->at.pixel[t->at.count - 1] - first == t->at.count - 1)
        for (int i = 0; i < t->at.count; i++) t->sum[i] = nb_with_backdrop(&s, t->sum[i], first + i);
    else
        for (int i = 0; i < t->at.count; i++) t->sum[i] = nb_with_backdrop(&s, t->sum[i], t->at.pixel[i]);
}

/* The photons of the tile's pixels, into t->sum; 0 in the padding, whose solid angle counts for nothing either. */
static void tile_photons(const nb_plan *plan, nb_tile *t)
{
    const double wet = nb_water_scale(plan->s);
    const nb_pixel_vd *pixel = t->p;
    for (int i = 0; i < t->q.lanes; i += NB_LANES, pixel++)
        nb_store_vd(t->sum + i, nb_pixel_photons_vd(plan->s, plan->scale, wet, pixel));
    if (nb_has_backdrop(plan->s)) tile_backdrop(plan->s, t);
    for (int i = t->at.count; i < t->q.lanes; i++) t->sum[i] = t->p[i / NB_LANES].omega_sum[i % NB_LANES] = 0.0;
}

/* The tile's pixels into the image and the summary. */
static void store_tile(const nb_plan *plan, const nb_panel *p, nb_tile *t, nb_job *job, nb_summary *r)
{
    float stored[NB_TILE] __attribute__((aligned(64)));
    const double points = (double)p->layers * plan->s->oversample * plan->s->oversample;
    nb_vd omega = {0}, total = {0}, squares = {0}, largest = r->largest - (nb_vd){0};
    unsigned bad = 0;
    tile_photons(plan, t);
    const nb_pixel_vd *pixel = t->p;
    for (int i = 0; i < t->q.lanes; i += NB_LANES, pixel++) {
        const nb_vd v = nb_store_narrow(stored + i, nb_load_vd(t->sum + i));
        total += v;
        squares += v * v;
        omega += pixel->omega_sum;
        largest = nb_select_vd(v > largest, v, largest);
        bad |= nb_bits_vd(v - v != 0.0);
    }
    if (t->at.pixel[t->at.count - 1] - t->at.pixel[0] == t->at.count - 1)
        memcpy(job->image + t->at.pixel[0], stored, (size_t)t->at.count * sizeof *stored);
    else
        for (int i = 0; i < t->at.count; i++) job->image[t->at.pixel[i]] = stored[i];
    if (job->image64)
        for (int i = 0; i < t->at.count; i++) job->image64[t->at.pixel[i]] = t->sum[i];
    if (bad)
        for (int i = 0; i < t->at.count; i++)
            if (!isfinite(stored[i]) && r->nonfinite++ == 0) r->first_nonfinite = t->at.pixel[i];
    for (int i = 0; i < NB_LANES; i++)
        if (largest[i] > r->largest) r->largest = largest[i], r->largest_pixel = -1;
    for (int i = 0; r->largest > 0.0 && r->largest_pixel < 0; i++)
        if (stored[i] == r->largest) r->largest_pixel = t->at.pixel[i];
    r->omega += nb_lane_sum(omega) / points;
    r->total += nb_lane_sum(total);
    r->squares += nb_lane_sum(squares);
    r->pixels += t->at.count;
}

/* Takes the first sample of the tile that could not be interpolated for the cut, unless an earlier one is known.
 * Returns whether there was one. */
static int find_cut(nb_plan *plan, const nb_tile *t, int64_t unit)
{
    for (int i = 0; i < t->at.count; i++) {
        if (t->bad[i] < 0) continue;
#pragma omp critical(nb_cut)
        if (t->at.pixel[i] < plan->cut.pixel) {
            __atomic_store_n(&plan->cut.pixel, t->at.pixel[i], __ATOMIC_RELAXED);
            plan->cut.sequence = t->bad[i];
            plan->cut_unit = unit;
        }
        return 1;
    }
    return 0;
}

/* Renders one unit; while searching, stops where the cut may be. */
static void render_unit(nb_plan *plan, nb_job *job, nb_tile *t, int64_t unit, nb_summary *r)
{
    nb_walk walk = nb_walk_unit(plan->s, plan->unit, unit);
    const int64_t pixels = walk.end - walk.index;
    /* what lies beyond the cut found so far is rendered again when the cut is known */
    if (plan->searching
        && nb_image_index(walk.panel, walk.fast, walk.slow) > __atomic_load_n(&plan->cut.pixel, __ATOMIC_RELAXED))
        return;
    *r = nb_summary_of_nothing();
    while (walk.index < walk.end) {
        nb_fill_places(&t->at, &walk);
        t->q.lanes = t->at.lanes;
        if (!render_tile(plan, walk.panel, t, job)) return;
        store_tile(plan, walk.panel, t, job, r);
        if (plan->searching && find_cut(plan, t, unit)) break;
    }
    __atomic_fetch_add(job->progress, pixels, __ATOMIC_RELAXED);
}

/* All units from `first` on. Returns enum nb_status. */
static int render_units(nb_plan *plan, nb_job *job, int64_t first, nb_summary *results)
{
    int failed = 0;
#ifdef _OPENMP
    const int threads = job->threads > 0 ? job->threads : omp_get_max_threads();
#pragma omp parallel num_threads(threads)
#endif
    {
        nb_tile *tile = aligned_alloc(64, sizeof(nb_tile));
        if (!tile) __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
#pragma omp for schedule(dynamic, 1)
        for (int64_t u = first; u < plan->units; u++) {
            if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED) || __atomic_load_n(&failed, __ATOMIC_RELAXED)) continue;
            render_unit(plan, job, tile, u, &results[u]);
        }
        free(tile);
    }
    if (failed) return NB_NO_MEMORY;
    return __atomic_load_n(job->cancel, __ATOMIC_RELAXED) ? NB_CANCELLED : NB_OK;
}

/* Everything but the memory, which the caller has taken. */
static int render_plan(nb_plan *plan, nb_job *job, nb_summary *results)
{
    const nb_scene *s = plan->s;
    for (int c = 0; c < s->crystals; c++) {
        plan->block[c] = nb_block_of(s, s->crystal + c, job->cancel);
        plan->searching |= plan->block[c].interpolation == NB_TRICUBIC;
    }
    for (int64_t u = 0; u < plan->units; u++) results[u] = nb_summary_of_nothing();
    int status = render_units(plan, job, 0, results);
    if (status == NB_OK && plan->searching && plan->cut.pixel != INT64_MAX) {
        plan->searching = 0;
        int64_t passed = 0;
        for (int64_t u = 0; u < plan->cut_unit; u++) passed += results[u].pixels;
        __atomic_store_n(job->progress, passed, __ATOMIC_RELAXED);
        status = render_units(plan, job, plan->cut_unit, results);
    }
    job->summary = nb_summary_of_nothing();
    for (int64_t u = 0; u < plan->units; u++) nb_summary_add(&job->summary, &results[u]);
    if (plan->cut.pixel != INT64_MAX) job->summary.cut_pixel = plan->cut.pixel;
    job->cut_sequence = plan->cut.sequence;
    return status;
}

#define NB_CAT_(a, b) a##b
#define NB_CAT(a, b) NB_CAT_(a, b)

int NB_CAT(nb_render_, NB_ISA)(const nb_scene *s, nb_job *job)
{
    nb_plan plan = {.s = s, .scale = nb_photon_scale(s), .background = nb_pixel_background(s), .cut = {INT64_MAX, 0}};
    int64_t pixels = 0;
    for (int i = 0; i < s->panels; i++) pixels += nb_panel_pixels(s->panel + i);
    plan.unit = pixels < 64 * NB_UNIT ? NB_TILE : NB_UNIT;
    plan.units = nb_units(s, plan.unit);
    nb_summary *results = malloc((size_t)(plan.units + 1) * sizeof *results);
    plan.block = malloc((size_t)s->crystals * sizeof *plan.block);
    plan.sensor = malloc((size_t)s->panels * sizeof *plan.sensor);
    for (int i = 0; plan.sensor && i < s->panels; i++) plan.sensor[i] = nb_sensor_of(s, s->panel + i);
    const int spectral = s->spectral != NB_DIRECT;
    if (spectral) plan.channel = malloc((size_t)s->sources * sizeof *plan.channel);
    if (plan.channel) nb_sort_channels(s, plan.channel);
    const int ready = results && plan.block && plan.sensor && (plan.channel || !spectral);
    const int status = ready ? render_plan(&plan, job, results) : NB_NO_MEMORY;
    free(plan.channel);
    free(plan.sensor);
    free(plan.block);
    free(results);
    return status;
}
