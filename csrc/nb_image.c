/* The CPU renderer, compiled once per instruction set (NB_ISA is the suffix of its one visible function).
 *
 * Contract: reads an nb_scene, writes photons per pixel (canonical 6 to 8, nb_pixel.h).
 * Walks the pixels: the roi of every panel, or its list where there is one, is cut into units of NB_UNIT pixels in raster
 * order, which threads take one at a time; a unit's pixels fill tiles (nb_tile.h).  Since a pixel's value depends on
 * nothing else, images are the same for every thread count, roi, mask and division into panels. */
#include "nb_render.h"

#include <stddef.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_sight.h"
#include "nb_sparse.h"

/* The run of sources that begins here, at one sub-pixel. */
static void render_run(const nb_plan *plan, const nb_panel *p, const nb_sensor *sensor, nb_tile *t, const nb_source *source,
                       int precision)
{
    const nb_scene *s = plan->s;
    nb_run run = nb_run_of(s, source, plan->channel);
    if (s->oversample_thick) run.sensor = *sensor;
    tile_line(s, t, source);
    tile_polarization(s, t, source, plan->axes + (source - s->source));
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
                tile_point(s, t, layer, first);
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
                    tile_polarization(s, t, source, plan->axes + (source - s->source));
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

/* What a thread works with; NULL where memory is missing. */
static nb_worker *worker_new(const nb_plan *plan)
{
    const nb_scene *s = plan->s;
    const nb_sparse *sparse = &plan->sparse;
    nb_worker *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);
    if (!w) return NULL;
    memset((char *)w + offsetof(nb_worker, lit), 0, sizeof *w - offsetof(nb_worker, lit));
    w->parts.key[0] = w->edge[0].key = w->edge[1].key = 0; /* none were made yet */
    if (!sparse->edge) return w;
    int64_t width = 0;
    for (int i = 0; i < s->panels; i++) width = s->panel[i].fpixels > width ? s->panel[i].fpixels : width;
    w->bits = malloc((size_t)sparse->words * sizeof *w->bits);
    w->ray = malloc((size_t)s->sources * sizeof *w->ray);
    w->band = malloc((size_t)(width * sparse->edge) * sizeof *w->band);
    w->limits = malloc((size_t)s->crystals * sizeof *w->limits);
    if (!w->bits || !w->ray || !w->band || !w->limits) w->failed = 1;
    for (int c = 0; w->limits && c < s->crystals; c++) w->limits[c] = sparse->limits[c];
    return w;
}

/* Adds what it has counted to the job. */
static void worker_end(const nb_plan *plan, nb_worker *w, nb_job *job)
{
    if (!w) return;
    if (plan->sparse.edge && !w->failed)
#pragma omp critical(nb_counted)
        for (int c = 0; c < plan->s->crystals; c++) {
            const double left = w->limits[c].left * plan->sparse.sight[c].bound.photons;
            job->visited += w->limits[c].visited;
            plan->left[c] = fmax(plan->left[c], left);
        }
    free(w->band);
    free(w->limits);
    free(w->wide);
    free(w->later);
    free(w->lit);
    free(w->ray);
    free(w->bits);
    free(w);
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
        nb_worker *worker = worker_new(plan);
        if (!worker || worker->failed) __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
#pragma omp for schedule(dynamic, 1)
        for (int64_t u = first; u < plan->units; u++) {
            if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED) || __atomic_load_n(&failed, __ATOMIC_RELAXED)) continue;
            if (plan->sparse.edge) sparse_render(plan, job, worker, u, &results[u]);
            else render_unit(plan, job, &worker->tile, u, &results[u]);
            if (worker->failed) __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
        }
        worker_end(plan, worker, job);
    }
    if (failed) return NB_NO_MEMORY;
    return __atomic_load_n(job->cancel, __ATOMIC_RELAXED) ? NB_CANCELLED : NB_OK;
}

/* Everything but the memory, which the caller has taken. */
static int render_plan(nb_plan *plan, nb_job *job, nb_summary *results)
{
    const nb_scene *s = plan->s;
    for (int c = 0; c < s->crystals; c++) plan->searching |= plan->block[c].interpolation == NB_TRICUBIC;
    for (int64_t u = 0; u < plan->units; u++) results[u] = nb_summary_of_nothing();
    job->visited = plan->sparse.edge ? 0 : -1;
    job->left_out = 0.0;
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
    for (int c = 0; plan->sparse.edge && c < s->crystals; c++) job->left_out += plan->left[c];
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
    plan.block = malloc((size_t)s->crystals * sizeof *plan.block);
    plan.left = calloc((size_t)s->crystals, sizeof *plan.left);
    plan.sensor = malloc((size_t)s->panels * sizeof *plan.sensor);
    for (int c = 0; plan.block && c < s->crystals; c++) {
        plan.block[c] = nb_block_of(s, s->crystal + c, job->cancel);
        plan.block[c].fixed = job->precision == NB_MIXED && nb_fits_fixed(s, s->crystal + c);
    }
    for (int i = 0; plan.sensor && i < s->panels; i++) plan.sensor[i] = nb_sensor_of(s, s->panel + i);
    plan.axes = malloc((size_t)s->sources * sizeof *plan.axes);
    for (int i = 0; plan.axes && i < s->sources; i++) plan.axes[i] = nb_axes_of(s->polar_vector, s->source[i].incident);
    const int spectral = s->spectral != NB_DIRECT;
    if (spectral) plan.channel = malloc((size_t)s->sources * sizeof *plan.channel);
    if (plan.channel) nb_sort_channels(s, plan.channel);
    void *sights = NULL;
    int ready = plan.block && plan.left && plan.sensor && plan.axes && (plan.channel || !spectral) && sparse_prepare(&plan, job, &sights);
    plan.units = plan.sparse.edge ? sparse_units(s, &plan.sparse) : nb_units(s, plan.unit);
    nb_summary *results = malloc((size_t)(plan.units + 1) * sizeof *results);
    ready = ready && results;
    const int status = ready ? render_plan(&plan, job, results) : NB_NO_MEMORY;
    free(results);
    free(sights);
    free(plan.channel);
    free(plan.axes);
    free(plan.sensor);
    free(plan.left);
    free(plan.block);
    return status;
}

int NB_CAT(nb_bounds_, NB_ISA)(const nb_scene *s, const nb_job *job, nb_bound *bound, int *sparse)
{
    nb_plan plan = {.s = s, .block = malloc((size_t)s->crystals * sizeof *plan.block)};
    for (int c = 0; plan.block && c < s->crystals; c++) plan.block[c] = nb_block_of(s, s->crystal + c, job->cancel);
    const int ready = plan.block && sparse_bounds(&plan, job, bound, sparse);
    free(plan.block);
    return ready ? NB_OK : NB_NO_MEMORY;
}
