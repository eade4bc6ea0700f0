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
} nb_plan;

/* Pixels of a panel that are rendered. */
static int64_t panel_pixels(const nb_panel *p)
{
    if (p->listed) return p->listed_count;
    return (int64_t)(p->roi[1] - p->roi[0] + 1) * (p->roi[3] - p->roi[2] + 1);
}

static int64_t panel_units(const nb_plan *plan, const nb_panel *p)
{
    return (panel_pixels(p) + plan->unit - 1) / plan->unit;
}

/* Where a walk through the pixels of a panel in raster order stands. */
typedef struct {
    const nb_panel *panel;
    int64_t index, end; /* among those rendered */
    int32_t fast, slow; /* of the pixel at `index`; of an earlier one in a list */
} nb_walk;

/* The pixels of one unit. */
static nb_walk walk_unit(const nb_plan *plan, int64_t unit)
{
    const nb_panel *p = plan->s->panel;
    for (int64_t units; unit >= (units = panel_units(plan, p)); p++) unit -= units;
    const int64_t begin = unit * plan->unit, end = begin + plan->unit, all = panel_pixels(p);
    nb_walk w = {p, begin, end < all ? end : all, 0, 0};
    if (p->listed) {
        w.slow = p->listed[begin] / p->fpixels;
        w.fast = p->listed[begin] % p->fpixels;
    } else {
        const int64_t width = p->roi[1] - p->roi[0] + 1;
        w.slow = (int32_t)(p->roi[2] + begin / width);
        w.fast = (int32_t)(p->roi[0] + begin % width);
    }
    return w;
}

static int64_t image_index(const nb_panel *p, int32_t fast, int32_t slow)
{
    return p->offset + (int64_t)slow * p->fpixels + fast;
}

static void put(nb_tile *t, int lane, const nb_panel *p, int32_t fast, int32_t slow)
{
    t->pixel[lane] = image_index(p, fast, slow);
    t->f[lane] = (double)p->first[0] + fast; /* whole before it is scaled: a part of a panel gets the bits of the whole */
    t->s[lane] = (double)p->first[1] + slow;
}

/* The next pixels of the walk, as many as fit, into the tile. */
static void fill_tile(nb_tile *t, nb_walk *w)
{
    const nb_panel *p = w->panel;
    int n = 0;
    while (w->index < w->end && n < NB_TILE) {
        if (p->listed) {
            const int32_t place = p->listed[w->index++];
            int64_t fast = place - (int64_t)w->slow * p->fpixels;
            if (fast >= p->fpixels) {
                w->slow = place / p->fpixels;
                fast = place % p->fpixels;
            }
            put(t, n++, p, (int32_t)fast, w->slow);
            continue;
        }
        /* a run of pixels in one row */
        int64_t run = p->roi[1] - w->fast + 1;
        if (run > w->end - w->index) run = w->end - w->index;
        if (run > NB_TILE - n) run = NB_TILE - n;
        const int64_t pixel = image_index(p, w->fast, w->slow);
        const double fast = (double)p->first[0] + w->fast, slow = (double)p->first[1] + w->slow;
        for (int i = 0; i < run; i++) {
            t->pixel[n + i] = pixel + i;
            t->f[n + i] = fast + i;
            t->s[n + i] = slow;
        }
        n += (int)run;
        w->index += run;
        w->fast += (int32_t)run;
        if (w->fast > p->roi[1]) {
            w->fast = p->roi[0];
            w->slow++;
        }
    }
    tile_pad(t, n);
}

/* All samples of a tile's pixels.  Returns 0 when cancelled. */
static int render_tile(const nb_plan *plan, const nb_panel *p, nb_tile *t, const nb_job *job)
{
    const nb_scene *s = plan->s;
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
                for (const nb_source *source = s->source; source < s->source + s->sources; source++) {
                    if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED)) return 0;
                    tile_scattering(s, t, source);
                    tile_polarization(s, t, source);
                    for (int i = 0; i < t->q.lanes; i++) t->sum[i] = 0.0;
                    for (int c = 0; c < s->crystals; c++) {
                        tile_crystal(s, &plan->block[c], &plan->cut, plan->searching, t, source, base, job->precision);
                        base += s->crystal[c].orientations;
                    }
                    tile_weigh(s, t, source->weight);
                }
            }
    return 1;
}

/* sum of the lanes, in a fixed order */
static double lane_sum(nb_vd v)
{
    double total = 0.0;
    for (int i = 0; i < NB_LANES; i++) total += v[i];
    return total;
}

/* The photons of the tile's pixels, into t->sum; 0 in the padding, whose solid angle counts for nothing either. */
static void tile_photons(const nb_plan *plan, nb_tile *t)
{
    const double wet = nb_water_scale(plan->s);
    const nb_pixel_vd *pixel = t->p;
    for (int i = 0; i < t->q.lanes; i += NB_LANES, pixel++)
        nb_store_vd(t->sum + i, nb_pixel_photons_vd(plan->s, plan->scale, wet, pixel));
    for (int i = t->count; i < t->q.lanes; i++) t->sum[i] = t->p[i / NB_LANES].omega_sum[i % NB_LANES] = 0.0;
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
    if (t->pixel[t->count - 1] - t->pixel[0] == t->count - 1)
        memcpy(job->image + t->pixel[0], stored, (size_t)t->count * sizeof *stored);
    else
        for (int i = 0; i < t->count; i++) job->image[t->pixel[i]] = stored[i];
    if (job->image64)
        for (int i = 0; i < t->count; i++) job->image64[t->pixel[i]] = t->sum[i];
    if (bad)
        for (int i = 0; i < t->count; i++)
            if (!isfinite(stored[i]) && r->nonfinite++ == 0) r->first_nonfinite = t->pixel[i];
    for (int i = 0; i < NB_LANES; i++)
        if (largest[i] > r->largest) r->largest = largest[i], r->largest_pixel = -1;
    for (int i = 0; r->largest > 0.0 && r->largest_pixel < 0; i++)
        if (stored[i] == r->largest) r->largest_pixel = t->pixel[i];
    r->omega += lane_sum(omega) / points;
    r->total += lane_sum(total);
    r->squares += lane_sum(squares);
    r->pixels += t->count;
}

/* Takes the first sample of the tile that could not be interpolated for the cut, unless an earlier one is known.
 * Returns whether there was one. */
static int find_cut(nb_plan *plan, const nb_tile *t, int64_t unit)
{
    for (int i = 0; i < t->count; i++) {
        if (t->bad[i] < 0) continue;
#pragma omp critical(nb_cut)
        if (t->pixel[i] < plan->cut.pixel) {
            __atomic_store_n(&plan->cut.pixel, t->pixel[i], __ATOMIC_RELAXED);
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
    nb_walk walk = walk_unit(plan, unit);
    const int64_t pixels = walk.end - walk.index;
    /* what lies beyond the cut found so far is rendered again when the cut is known */
    if (plan->searching
        && image_index(walk.panel, walk.fast, walk.slow) > __atomic_load_n(&plan->cut.pixel, __ATOMIC_RELAXED))
        return;
    *r = nb_summary_of_nothing();
    while (walk.index < walk.end) {
        fill_tile(t, &walk);
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

static nb_block block_of(const nb_scene *s, const nb_crystal *k, const int32_t *cancel)
{
    nb_block c = {
        .crystal = k,
        .shape = nb_lattice_shape(k),
        .interpolation = (int)s->table[k->table].interpolation,
        .wet = s->water != 0.0,
        .peak = nb_lattice_peak(k) * nb_crystal_share(s, k),
        .cancel = cancel,
    };
    nb_spot_metric(k, c.metric);
    for (int j = 0; j < 3; j++) c.n[j] = k->N[j];
    return c;
}

/* Everything but the memory, which the caller has taken. */
static int render_plan(nb_plan *plan, nb_job *job, nb_summary *results)
{
    const nb_scene *s = plan->s;
    for (int c = 0; c < s->crystals; c++) {
        plan->block[c] = block_of(s, s->crystal + c, job->cancel);
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
    return status;
}

#define NB_CAT_(a, b) a##b
#define NB_CAT(a, b) NB_CAT_(a, b)

int NB_CAT(nb_render_, NB_ISA)(const nb_scene *s, nb_job *job)
{
    nb_plan plan = {.s = s, .scale = nb_photon_scale(s), .background = nb_pixel_background(s), .cut = {INT64_MAX, 0}};
    int64_t pixels = 0;
    for (int i = 0; i < s->panels; i++) pixels += panel_pixels(s->panel + i);
    plan.unit = pixels < 64 * NB_UNIT ? NB_TILE : NB_UNIT;
    for (int i = 0; i < s->panels; i++) plan.units += panel_units(&plan, s->panel + i);
    nb_summary *results = malloc((size_t)(plan.units + 1) * sizeof *results);
    plan.block = malloc((size_t)s->crystals * sizeof *plan.block);
    const int status = results && plan.block ? render_plan(&plan, job, results) : NB_NO_MEMORY;
    free(plan.block);
    free(results);
    return status;
}
