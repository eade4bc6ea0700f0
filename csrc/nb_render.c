/* The CPU renderer, compiled once per instruction set (NB_ISA is the suffix of its one visible function).
 *
 * Contract: reads an nb_scene, writes photons per pixel (canonical 6 to 8)
 *
 *   pixel = r_e^2 fluence / steps * [ I_water + sum over layers, sub-pixels, sources, orientations of w F^2 L^2 ] * once
 *
 * with every factor (capture, polarization, solid angle) in w when its oversample flag is set and in `once` when not.
 * Work is cut into units of NB_UNIT roi pixels in raster order; a unit's unmasked pixels fill tiles of NB_TILE lanes,
 * the last vector of a short tile being padded with copies of its last pixel.  A lane's value depends on nothing but
 * its pixel, so images are the same for every thread count, roi and mask.  Per tile: geometry once per sub-pixel, q
 * once per source, then one vector loop over the lanes for every orientation (nb_orient.h). */
#include "nb_render.h"

#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_physics.h"
#include "nb_vector.h"

#define NB_TILE 128 /* lanes: q and the sums of a tile stay in L1 */
#define NB_UNIT 1024 /* pixels handed to a thread at once; a tile where the roi is small */
#define NB_BLOCK 64 /* orientations between two additions to the double sum; bounds the float error of `mixed` */

typedef struct {
    double x[NB_TILE], y[NB_TILE], z[NB_TILE];
    int lanes; /* in use: a whole number of vectors */
} __attribute__((aligned(64))) nb_q;

/* per-render constants of the inner loop */
typedef struct {
    int shape;         /* enum nb_shape, or NB_POINT */
    double n[3];       /* cells along a, b, c */
    double metric[6];  /* fudge * (aa bb cc 2ab 2ac 2bc) */
    double peak;       /* (Na Nb Nc)^2 */
    const int32_t *cancel; /* looked at between blocks of orientations */
} nb_lattice_constants;

/* the formulas and the inner loop for vectors of double ... */
#define NB_SET(c) ((c) - (NB_REAL){0})
#define NB_REAL nb_vd
#define NB_SCALAR double
#define NB_FLOAT 0
#define NB_MASK nb_vdmask
#define NB_BITS nb_vdbits
#define NB_R(name) name##_vd
#define NB_SELECT nb_select_vd
#define NB_SQRT nb_sqrt_vd
#define NB_RSQRT nb_rsqrt_vd
#define NB_ABS nb_abs_vd
#define NB_ANY nb_bits_vd
#ifdef NB_REDUCE_VD
#define NB_REDUCE NB_REDUCE_VD
#endif
#define NB_STORE nb_store_vd
#define NB_LOAD nb_load_vd
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_sample.h"
#include "nb_orient.h"
#include "nb_undefine.h"
#undef NB_SELECT
#undef NB_ANY
#undef NB_STORE
#undef NB_LOAD

/* ... and of float */
#define NB_REAL nb_vf
#define NB_SCALAR float
#define NB_FLOAT 1
#define NB_MASK nb_vfmask
#define NB_BITS nb_vfbits
#define NB_R(name) name##_vf
#define NB_SELECT nb_select_vf
#define NB_SQRT nb_sqrt_vf
#define NB_RSQRT nb_rsqrt_vf
#define NB_ABS nb_abs_vf
#define NB_ANY nb_bits_vf
#ifdef NB_REDUCE_VF
#define NB_REDUCE NB_REDUCE_VF
#endif
#define NB_STORE nb_store_narrow
#define NB_LOAD nb_load_vf
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_orient.h"
#include "nb_undefine.h"
#undef NB_SELECT
#undef NB_ANY
#undef NB_STORE
#undef NB_LOAD

/* The first sample that cannot be interpolated, in raster order (canonical 7.3). pixel = INT64_MAX: none. */
typedef struct {
    int64_t pixel, sequence;
} nb_cut;

typedef struct {
    const nb_scene *s;
    nb_lattice_constants lattice;
    int64_t unit; /* roi pixels of a unit of work */
    double water; /* photons/sr */
    int searching; /* 1: interpolate everything and look for the cut; 0: the cut is known */
    nb_cut cut;
} nb_plan;

/* One tile: pixels and what is carried from sub-pixel to sub-pixel, plus scratch. */
typedef struct {
    double f[NB_TILE], s[NB_TILE];
    double intensity[NB_TILE], omega_first[NB_TILE], omega_sum[NB_TILE], polar_cached[NB_TILE], capture_cached[NB_TILE];
    double water_factor[NB_TILE];
    double px[NB_TILE], py[NB_TILE], pz[NB_TILE]; /* position, then the unit vector d */
    double omega[NB_TILE], capture[NB_TILE], polar[NB_TILE], keep[NB_TILE], sum[NB_TILE];
    nb_q q;
    int64_t pixel[NB_TILE]; /* image index */
    int64_t bad[NB_TILE], limit[NB_TILE];
    int count;
} __attribute__((aligned(64))) nb_tile; /* every array starts on a vector's boundary */

static void tile_geometry(const nb_scene *s, nb_tile *t, int layer, int sub_s, int sub_f)
{
    const double f0 = nb_sub_pixel(s, sub_f), s0 = nb_sub_pixel(s, sub_s), deep = layer * s->layer_step;
    if (s->curved != NB_FLAT)
        for (int i = 0; i < t->q.lanes; i++) {
            double P[3];
            nb_position(s, s->pixel_size * t->f[i] + f0, s->pixel_size * t->s[i] + s0, deep, P);
            t->px[i] = P[0], t->py[i] = P[1], t->pz[i] = P[2];
        }
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        nb_vd P[3] = {nb_load_vd(t->px + i), nb_load_vd(t->py + i), nb_load_vd(t->pz + i)};
        if (s->curved == NB_FLAT)
            nb_position_flat_vd(s, s->pixel_size * nb_load_vd(t->f + i) + f0, s->pixel_size * nb_load_vd(t->s + i) + s0,
                                deep, P);
        const nb_vd per_R = nb_rsqrt_vd(P[0] * P[0] + P[1] * P[1] + P[2] * P[2]);
        nb_store_vd(t->omega + i, nb_solid_angle_vd(s, per_R));
        nb_store_vd(t->px + i, P[0] * per_R);
        nb_store_vd(t->py + i, P[1] * per_R);
        nb_store_vd(t->pz + i, P[2] * per_R);
    }
}

static void tile_capture(const nb_scene *s, nb_tile *t, int layer)
{
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        const nb_vd d[3] = {nb_load_vd(t->px + i), nb_load_vd(t->py + i), nb_load_vd(t->pz + i)};
        nb_store_vd(t->capture + i, nb_capture_vd(s, layer, d));
    }
}

/* q and whether the sample is kept (dmin) */
static void tile_scattering(const nb_scene *s, nb_tile *t, int source)
{
    const double *in = s->incident + 3 * source;
    const double per_wavelength = 1.0 / s->wavelength[source];
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        const nb_vd x = (nb_load_vd(t->px + i) - in[0]) * per_wavelength;
        const nb_vd y = (nb_load_vd(t->py + i) - in[1]) * per_wavelength;
        const nb_vd z = (nb_load_vd(t->pz + i) - in[2]) * per_wavelength;
        nb_store_vd(t->q.x + i, x);
        nb_store_vd(t->q.y + i, y);
        nb_store_vd(t->q.z + i, z);
        if (s->dmin > 0.0) {
            const nb_vdmask keep = nb_resolved_vd(s, x * x + y * y + z * z);
            nb_store_vd(t->keep + i, nb_select_vd(keep, 1.0 - (nb_vd){0}, (nb_vd){0}));
        }
    }
}

/* Whether no sample of the tile can have a structure factor. */
static int tile_beyond(const nb_scene *s, const nb_tile *t)
{
    if (isinf(s->F_reach)) return 0;
    const double reach_sqr = s->F_reach * s->F_reach;
    unsigned within = 0;
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        const nb_vd x = nb_load_vd(t->q.x + i), y = nb_load_vd(t->q.y + i), z = nb_load_vd(t->q.z + i);
        within |= nb_bits_vd(x * x + y * y + z * z <= reach_sqr);
    }
    return !within;
}

/* Polarization of this sample; without -oversample_polar the first source that was reached decides for the pixel. */
static void tile_polarization(const nb_scene *s, nb_tile *t, int source)
{
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        const nb_vd d[3] = {nb_load_vd(t->px + i), nb_load_vd(t->py + i), nb_load_vd(t->pz + i)};
        const nb_vd polar = nb_polarization_vd(s->polarization, s->incident + 3 * source, d, s->polar_vector);
        const nb_vd cached = nb_load_vd(t->polar_cached + i);
        const nb_vdmask fresh = (cached == 0.0) & (nb_load_vd(t->keep + i) != 0.0);
        nb_store_vd(t->polar + i, polar);
        if (!s->oversample_polar) nb_store_vd(t->polar_cached + i, nb_select_vd(fresh, polar, cached));
    }
}

static void tile_limits(const nb_plan *plan, nb_tile *t, int64_t base)
{
    const int64_t all = plan->s->orientations;
    for (int i = 0; i < t->q.lanes; i++) {
        int64_t limit = all;
        if (t->pixel[i] > plan->cut.pixel) limit = -1;
        else if (t->pixel[i] == plan->cut.pixel) limit = plan->cut.sequence - base;
        t->limit[i] = limit < -1 ? -1 : (limit > all ? all : limit);
    }
}

static void render_source(const nb_plan *plan, nb_tile *t, int source, int64_t base, int precision)
{
    const nb_scene *s = plan->s;
    const int64_t *limit = NULL;
    tile_scattering(s, t, source);
    int cached = !s->oversample_polar;
    for (int i = 0; cached && i < t->q.lanes; i++) cached = t->polar_cached[i] != 0.0;
    if (!s->nopolar && !cached) tile_polarization(s, t, source);
    if (s->interpolation != NB_NEAREST) {
        tile_limits(plan, t, base);
        /* a sample beyond dmin is never looked at, so it must not end the interpolation */
        for (int i = 0; i < t->q.lanes; i++)
            if (t->keep[i] == 0.0) t->limit[i] = -1;
        limit = t->limit;
    }
    for (int i = 0; i < t->q.lanes; i++) t->sum[i] = 0.0;
    if (!tile_beyond(s, t)) { /* else all that would be added is 0 */
        if (precision == NB_MIXED) nb_sum_orientations_vf(s, &plan->lattice, &t->q, t->sum, limit, t->bad, base);
        else nb_sum_orientations_vd(s, &plan->lattice, &t->q, t->sum, limit, t->bad, base);
    }
    for (int i = 0; i < t->q.lanes; i++) {
        double w = s->weight[source] * t->keep[i];
        if (s->oversample_thick) w *= t->capture[i];
        if (s->oversample_polar) w *= t->polar[i];
        if (s->oversample_omega) w *= t->omega[i];
        t->intensity[i] += w * t->sum[i];
    }
    if (s->water_mode == NB_WATER_AFTER)
        for (int i = 0; i < t->q.lanes; i++) t->water_factor[i] += s->weight[source] * t->omega[i] * t->polar[i];
}

/* Returns 0 when cancelled. */
static int render_tile(const nb_plan *plan, nb_tile *t, int precision, const int32_t *cancel)
{
    const nb_scene *s = plan->s;
    const int thick = s->thickness > 0.0 && s->mu > 0.0;
    for (int i = 0; i < t->q.lanes; i++) {
        t->intensity[i] = s->water_mode == NB_WATER_IN_SUM ? plan->water : 0.0;
        t->omega_sum[i] = t->water_factor[i] = 0.0;
        t->polar[i] = t->keep[i] = t->capture[i] = 1.0;
        t->polar_cached[i] = s->nopolar ? 1.0 : 0.0;
        t->bad[i] = -1;
    }
    int64_t base = 0;
    for (int layer = 0; layer < s->layers; layer++)
        for (int sub_s = 0; sub_s < s->oversample; sub_s++)
            for (int sub_f = 0; sub_f < s->oversample; sub_f++) {
                const int first = sub_s == 0 && sub_f == 0;
                tile_geometry(s, t, layer, sub_s, sub_f);
                if (thick && (first || s->oversample_thick)) tile_capture(s, t, layer);
                if (first)
                    for (int i = 0; i < t->q.lanes; i++) {
                        if (layer == 0) t->omega_first[i] = t->omega[i];
                        t->capture_cached[i] = t->capture[i];
                    }
                for (int i = 0; i < t->q.lanes; i++)
                    t->omega_sum[i] += s->oversample_omega ? t->omega[i] : t->omega_first[i];
                for (int source = 0; source < s->sources; source++) {
                    if (__atomic_load_n(cancel, __ATOMIC_RELAXED)) return 0;
                    render_source(plan, t, source, base, precision);
                    base += s->orientations;
                }
            }
    const double scale = nb_photon_scale(s);
    const double water_scale =
        s->water_mode == NB_WATER_AFTER ? plan->water / ((double)s->sources * s->layers * s->oversample * s->oversample) : 0.0;
    for (int i = 0; i < t->q.lanes; i++) {
        double v = scale * t->intensity[i];
        if (!s->oversample_thick) v *= t->capture_cached[i];
        if (!s->oversample_polar) v *= t->polar_cached[i];
        if (!s->oversample_omega) v *= t->omega_first[i];
        t->intensity[i] = v + water_scale * t->water_factor[i];
    }
    return 1;
}

/* Where a walk through the roi in raster order stands. */
typedef struct {
    int64_t index;   /* in the roi */
    int32_t fast, slow;
} nb_walk;

static nb_walk walk_from(const nb_scene *s, int64_t index)
{
    const int64_t width = s->roi[1] - s->roi[0] + 1;
    return (nb_walk){index, (int32_t)(s->roi[0] + index % width), (int32_t)(s->roi[2] + index / width)};
}

/* The next unmasked pixels before `end`, as many as fit, into the tile. */
static void fill_tile(const nb_scene *s, nb_tile *t, nb_walk *w, int64_t end)
{
    int n = 0;
    while (w->index < end && n < NB_TILE) {
        const int64_t row = (int64_t)w->slow * s->fpixels;
        /* a run of pixels in one row */
        int64_t run = s->roi[1] - w->fast + 1;
        if (run > end - w->index) run = end - w->index;
        int64_t taken = 0;
        if (!s->mask) {
            taken = run < NB_TILE - n ? run : NB_TILE - n;
            for (int i = 0; i < taken; i++) {
                t->pixel[n + i] = row + w->fast + i;
                t->f[n + i] = w->fast + i;
                t->s[n + i] = w->slow;
            }
            n += (int)taken;
        }
        for (; s->mask && taken < run && n < NB_TILE; taken++) {
            const int32_t fast = w->fast + (int32_t)taken;
            t->pixel[n] = row + fast;
            t->f[n] = fast;
            t->s[n] = w->slow;
            n += s->mask[row + fast] != 0;
        }
        w->index += taken;
        w->fast += (int32_t)taken;
        if (w->fast > s->roi[1]) {
            w->fast = s->roi[0];
            w->slow++;
        }
    }
    t->count = n;
    t->q.lanes = (n + NB_FLANES - 1) / NB_FLANES * NB_FLANES;
    for (int i = n; i < t->q.lanes; i++) {
        t->pixel[i] = t->pixel[n - 1];
        t->f[i] = t->f[n - 1];
        t->s[i] = t->s[n - 1];
    }
}

/* What a unit adds to the statistics; sums and largest are of the pixels as stored. */
typedef struct {
    double omega, total, squares, largest;
    int64_t largest_pixel, pixels, nonfinite, first_nonfinite;
} nb_unit_result;

/* sum of the lanes, in a fixed order */
static double lane_sum(nb_vd v)
{
    double total = 0.0;
    for (int i = 0; i < NB_LANES; i++) total += v[i];
    return total;
}

/* The tile's pixels into the image and the statistics. */
static void store_tile(nb_tile *t, nb_job *job, nb_unit_result *r)
{
    float stored[NB_TILE] __attribute__((aligned(64)));
    nb_vd omega = {0}, total = {0}, squares = {0}, largest = r->largest - (nb_vd){0};
    unsigned bad = 0;
    for (int i = t->count; i < t->q.lanes; i++) t->intensity[i] = t->omega_sum[i] = 0.0;
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        const nb_vd v = nb_store_narrow(stored + i, nb_load_vd(t->intensity + i));
        total += v;
        squares += v * v;
        omega += nb_load_vd(t->omega_sum + i);
        largest = nb_select_vd(v > largest, v, largest);
        bad |= nb_bits_vd(v - v != 0.0);
    }
    if (t->pixel[t->count - 1] - t->pixel[0] == t->count - 1)
        memcpy(job->image + t->pixel[0], stored, (size_t)t->count * sizeof *stored);
    else
        for (int i = 0; i < t->count; i++) job->image[t->pixel[i]] = stored[i];
    if (job->image64)
        for (int i = 0; i < t->count; i++) job->image64[t->pixel[i]] = t->intensity[i];
    if (bad)
        for (int i = 0; i < t->count; i++)
            if (!isfinite(stored[i]) && r->nonfinite++ == 0) r->first_nonfinite = t->pixel[i];
    for (int i = 0; i < NB_LANES; i++)
        if (largest[i] > r->largest) r->largest = largest[i], r->largest_pixel = -1;
    for (int i = 0; r->largest > 0.0 && r->largest_pixel < 0; i++)
        if (stored[i] == r->largest) r->largest_pixel = t->pixel[i];
    r->omega += lane_sum(omega);
    r->total += lane_sum(total);
    r->squares += lane_sum(squares);
    r->pixels += t->count;
}

static void add_unit(nb_job *job, const nb_unit_result *r)
{
    job->omega_sum += r->omega;
    job->total += r->total;
    job->squares += r->squares;
    job->pixels += r->pixels;
    if (r->largest > job->largest) {
        job->largest = r->largest;
        job->largest_pixel = r->largest_pixel;
    }
    if (r->nonfinite && job->nonfinite == 0) job->first_nonfinite = r->first_nonfinite;
    job->nonfinite += r->nonfinite;
}

/* Renders one unit; while searching, stops at and records the first sample that cannot be interpolated. */
static void render_unit(nb_plan *plan, nb_job *job, nb_tile *t, int64_t begin, int64_t end, nb_unit_result *r)
{
    *r = (nb_unit_result){.largest_pixel = -1, .first_nonfinite = -1};
    nb_walk walk = walk_from(plan->s, begin);
    while (walk.index < end) {
        fill_tile(plan->s, t, &walk, end);
        if (t->count == 0) break;
        if (!render_tile(plan, t, job->precision, job->cancel)) return;
        store_tile(t, job, r);
        if (plan->searching)
            for (int i = 0; i < t->count; i++)
                if (t->bad[i] >= 0) {
#pragma omp critical(nb_cut)
                    {
                        if (t->pixel[i] < job->cut_pixel) {
                            __atomic_store_n(&job->cut_pixel, t->pixel[i], __ATOMIC_RELAXED);
                            plan->cut.sequence = t->bad[i];
                        }
                    }
                    return;
                }
    }
}

static nb_lattice_constants lattice_constants(const nb_scene *s, const int32_t *cancel)
{
    nb_lattice_constants c = {.shape = nb_lattice_shape(s), .peak = nb_lattice_peak(s), .cancel = cancel};
    nb_spot_metric(s, c.metric);
    for (int j = 0; j < 3; j++) c.n[j] = s->N[j];
    return c;
}

/* All units from `first` on. Returns enum nb_status. */
static int render_units(nb_plan *plan, nb_job *job, int64_t first, int64_t units, int64_t total, nb_unit_result *results)
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
        for (int64_t u = first; u < units; u++) {
            const int64_t begin = u * plan->unit, end = begin + plan->unit < total ? begin + plan->unit : total;
            if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED) || __atomic_load_n(&failed, __ATOMIC_RELAXED)) continue;
            if (plan->searching) {
                /* what lies beyond the cut found so far is rendered again when the cut is known */
                const nb_walk start = walk_from(plan->s, begin);
                const int64_t pixel = (int64_t)start.slow * plan->s->fpixels + start.fast;
                if (pixel > __atomic_load_n(&job->cut_pixel, __ATOMIC_RELAXED)) continue;
            }
            render_unit(plan, job, tile, begin, end, &results[u]);
            __atomic_fetch_add(job->progress, end - begin, __ATOMIC_RELAXED);
        }
        free(tile);
    }
    if (failed) return NB_NO_MEMORY;
    return __atomic_load_n(job->cancel, __ATOMIC_RELAXED) ? NB_CANCELLED : NB_OK;
}

#define NB_CAT_(a, b) a##b
#define NB_CAT(a, b) NB_CAT_(a, b)

int NB_CAT(nb_render_, NB_ISA)(const nb_scene *s, nb_job *job)
{
    const int64_t width = s->roi[1] - s->roi[0] + 1, height = s->roi[3] - s->roi[2] + 1;
    const int64_t total = width * height, unit = total < 64 * NB_UNIT ? NB_TILE : NB_UNIT;
    const int64_t units = (total + unit - 1) / unit;
    nb_unit_result *results = calloc((size_t)units, sizeof *results);
    if (!results) return NB_NO_MEMORY;
    nb_plan plan = {
        .s = s,
        .unit = unit,
        .lattice = lattice_constants(s, job->cancel),
        .water = nb_water_intensity(s),
        .searching = s->interpolation == NB_TRICUBIC,
        .cut = {INT64_MAX, 0},
    };
    job->cut_pixel = INT64_MAX;
    int status = render_units(&plan, job, 0, units, total, results);
    if (status == NB_OK && plan.searching && job->cut_pixel != INT64_MAX) {
        plan.searching = 0;
        plan.cut.pixel = job->cut_pixel;
        const int64_t slow = job->cut_pixel / s->fpixels - s->roi[2], fast = job->cut_pixel % s->fpixels - s->roi[0];
        const int64_t first = (slow * width + fast) / plan.unit;
        __atomic_store_n(job->progress, first * plan.unit, __ATOMIC_RELAXED);
        status = render_units(&plan, job, first, units, total, results);
    }
    job->omega_sum = job->total = job->squares = job->largest = 0.0;
    job->pixels = job->nonfinite = 0;
    job->largest_pixel = job->first_nonfinite = -1;
    for (int64_t u = 0; u < units; u++) add_unit(job, &results[u]);
    if (job->cut_pixel == INT64_MAX) job->cut_pixel = -1;
    free(results);
    return status;
}
