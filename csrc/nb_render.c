/* The CPU renderer, compiled once per instruction set (NB_ISA is the suffix of its one visible function).
 *
 * Contract: reads an nb_scene, writes photons per pixel (canonical 6 to 8)
 *
 *   pixel = r_e^2 fluence / steps * [ I_water + sum over layers, sub-pixels, sources, orientations of w F^2 L^2 ] * once
 *
 * with every factor (capture, polarization, solid angle) in w when its oversample flag is set and in `once` when not.
 * Work is cut into units of NB_UNIT roi pixels in raster order; a unit's unmasked pixels fill tiles of NB_TILE lanes,
 * short tiles being padded with copies of their last pixel.  A lane's value depends on nothing but its pixel, so images
 * are the same for every thread count, roi and mask.  Per tile: geometry once per sub-pixel, q once per source, then
 * one vector loop over the lanes for every orientation (nb_orient.h). */
#include "nb_render.h"

#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_physics.h"
#include "nb_vector.h"

#define NB_TILE 128 /* lanes: q and the sums of a tile stay in L1 */
#define NB_UNIT 1024
#define NB_BLOCK 64 /* orientations between two additions to the double sum; bounds the float error of `mixed` */

typedef struct {
    double x[NB_TILE], y[NB_TILE], z[NB_TILE];
} __attribute__((aligned(64))) nb_q;

/* per-render constants of the inner loop */
typedef struct {
    int shape;         /* enum nb_shape, or NB_POINT */
    double n[3];       /* cells along a, b, c */
    double metric[6];  /* fudge * (aa bb cc 2ab 2ac 2bc) */
    double peak;       /* (Na Nb Nc)^2 */
    double table_centre[3], table_half[3], table_stride[2], table_origin;
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
#define NB_ABS nb_abs_vd
#define NB_STORE nb_store_vd
#define NB_LOAD nb_load_vd
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_sample.h"
#include "nb_orient.h"
#include "nb_undefine.h"
#undef NB_SELECT
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
#define NB_ABS nb_abs_vf
#define NB_STORE nb_store_narrow
#define NB_LOAD nb_load_vf
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_orient.h"
#include "nb_undefine.h"
#undef NB_SELECT
#undef NB_STORE
#undef NB_LOAD

/* The first sample that cannot be interpolated, in raster order (canonical 7.3). pixel = INT64_MAX: none. */
typedef struct {
    int64_t pixel, sequence;
} nb_cut;

typedef struct {
    const nb_scene *s;
    nb_lattice_constants lattice;
    double steps; /* sources * orientations * oversample^2 */
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
    const double sub = s->pixel_size / s->oversample, deep = layer * s->layer_step;
    const double f0 = 0.5 * sub + sub * sub_f, s0 = 0.5 * sub + sub * sub_s;
    if (s->curved != NB_FLAT)
        for (int i = 0; i < NB_TILE; i++) {
            double P[3];
            nb_position(s, s->pixel_size * t->f[i] + f0, s->pixel_size * t->s[i] + s0, deep, P);
            t->px[i] = P[0], t->py[i] = P[1], t->pz[i] = P[2];
        }
    for (int i = 0; i < NB_TILE; i += NB_LANES) {
        nb_vd P[3] = {nb_load_vd(t->px + i), nb_load_vd(t->py + i), nb_load_vd(t->pz + i)};
        if (s->curved == NB_FLAT)
            nb_position_flat_vd(s, s->pixel_size * nb_load_vd(t->f + i) + f0, s->pixel_size * nb_load_vd(t->s + i) + s0,
                                deep, P);
        const nb_vd R = nb_sqrt_vd(P[0] * P[0] + P[1] * P[1] + P[2] * P[2]), per_R = 1.0 / R;
        nb_store_vd(t->omega + i, nb_solid_angle_vd(s, R));
        nb_store_vd(t->px + i, P[0] * per_R);
        nb_store_vd(t->py + i, P[1] * per_R);
        nb_store_vd(t->pz + i, P[2] * per_R);
    }
}

static void tile_capture(const nb_scene *s, nb_tile *t, int layer)
{
    for (int i = 0; i < NB_TILE; i += NB_LANES) {
        const nb_vd d[3] = {nb_load_vd(t->px + i), nb_load_vd(t->py + i), nb_load_vd(t->pz + i)};
        nb_store_vd(t->capture + i, nb_capture_vd(s, layer, d));
    }
}

/* q and whether the sample is kept (dmin) */
static void tile_scattering(const nb_scene *s, nb_tile *t, int source)
{
    const double *in = s->incident + 3 * source;
    const double per_wavelength = 1.0 / s->wavelength[source];
    for (int i = 0; i < NB_TILE; i += NB_LANES) {
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

/* Polarization of this sample; without -oversample_polar the first source that was reached decides for the pixel. */
static void tile_polarization(const nb_scene *s, nb_tile *t, int source)
{
    for (int i = 0; i < NB_TILE; i += NB_LANES) {
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
    for (int i = 0; i < NB_TILE; i++) {
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
    for (int i = 0; cached && i < NB_TILE; i++) cached = t->polar_cached[i] != 0.0;
    if (!s->nopolar && !cached) tile_polarization(s, t, source);
    if (s->interpolation != NB_NEAREST) {
        tile_limits(plan, t, base);
        /* a sample beyond dmin is never looked at, so it must not end the interpolation */
        for (int i = 0; i < NB_TILE; i++)
            if (t->keep[i] == 0.0) t->limit[i] = -1;
        limit = t->limit;
    }
    for (int i = 0; i < NB_TILE; i++) t->sum[i] = 0.0;
    if (precision == NB_MIXED) nb_sum_orientations_vf(s, &plan->lattice, &t->q, t->sum, limit, t->bad, base);
    else nb_sum_orientations_vd(s, &plan->lattice, &t->q, t->sum, limit, t->bad, base);
    for (int i = 0; i < NB_TILE; i++) {
        double w = s->weight[source] * t->keep[i];
        if (s->oversample_thick) w *= t->capture[i];
        if (s->oversample_polar) w *= t->polar[i];
        if (s->oversample_omega) w *= t->omega[i];
        t->intensity[i] += w * t->sum[i];
        t->water_factor[i] += s->weight[source] * t->omega[i] * t->polar[i];
    }
}

/* Returns 0 when cancelled. */
static int render_tile(const nb_plan *plan, nb_tile *t, int precision, const int32_t *cancel)
{
    const nb_scene *s = plan->s;
    const int thick = s->thickness > 0.0 && s->mu > 0.0;
    for (int i = 0; i < NB_TILE; i++) {
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
                    for (int i = 0; i < NB_TILE; i++) {
                        if (layer == 0) t->omega_first[i] = t->omega[i];
                        t->capture_cached[i] = t->capture[i];
                    }
                for (int i = 0; i < NB_TILE; i++)
                    t->omega_sum[i] += s->oversample_omega ? t->omega[i] : t->omega_first[i];
                for (int source = 0; source < s->sources; source++) {
                    if (__atomic_load_n(cancel, __ATOMIC_RELAXED)) return 0;
                    render_source(plan, t, source, base, precision);
                    base += s->orientations;
                }
            }
    const double scale = NB_R_E_SQR * s->fluence / plan->steps;
    const double water_scale =
        s->water_mode == NB_WATER_AFTER ? plan->water / ((double)s->sources * s->layers * s->oversample * s->oversample) : 0.0;
    for (int i = 0; i < NB_TILE; i++) {
        double v = scale * t->intensity[i];
        if (!s->oversample_thick) v *= t->capture_cached[i];
        if (!s->oversample_polar) v *= t->polar_cached[i];
        if (!s->oversample_omega) v *= t->omega_first[i];
        t->intensity[i] = v + water_scale * t->water_factor[i];
    }
    return 1;
}

/* Pixels [*next, end) of the roi in raster order, unmasked ones, into the tile. */
static void fill_tile(const nb_scene *s, nb_tile *t, int64_t *next, int64_t end)
{
    const int64_t width = s->roi[1] - s->roi[0] + 1;
    t->count = 0;
    while (*next < end && t->count < NB_TILE) {
        const int64_t slow = s->roi[2] + *next / width, fast = s->roi[0] + *next % width;
        const int64_t pixel = slow * s->fpixels + fast;
        ++*next;
        if (s->mask && !s->mask[pixel]) continue;
        t->pixel[t->count] = pixel;
        t->f[t->count] = (double)fast;
        t->s[t->count] = (double)slow;
        t->count++;
    }
    for (int i = t->count; t->count > 0 && i < NB_TILE; i++) {
        t->pixel[i] = t->pixel[t->count - 1];
        t->f[i] = t->f[t->count - 1];
        t->s[i] = t->s[t->count - 1];
    }
}

typedef struct {
    double omega;
    int64_t pixels, nonfinite, first_nonfinite;
} nb_unit_result;

static void store_tile(const nb_tile *t, nb_job *job, nb_unit_result *r)
{
    for (int i = 0; i < t->count; i++) {
        const double v = t->intensity[i];
        const float stored = (float)v;
        job->image[t->pixel[i]] = stored;
        if (job->image64) job->image64[t->pixel[i]] = v;
        if (!isfinite(stored)) {
            if (r->nonfinite++ == 0) r->first_nonfinite = t->pixel[i];
        }
        r->omega += t->omega_sum[i];
    }
    r->pixels += t->count;
}

/* Renders one unit; while searching, stops at and records the first sample that cannot be interpolated. */
static void render_unit(nb_plan *plan, nb_job *job, nb_tile *t, int64_t begin, int64_t end, nb_unit_result *r)
{
    *r = (nb_unit_result){0.0, 0, 0, -1};
    for (int64_t next = begin; next < end;) {
        fill_tile(plan->s, t, &next, end);
        if (t->count == 0) break;
        if (!render_tile(plan, t, job->precision, job->cancel)) return;
        store_tile(t, job, r);
        if (plan->searching)
            for (int i = 0; i < t->count; i++)
                if (t->bad[i] >= 0) {
#pragma omp critical(nb_cut)
                    if (t->pixel[i] < job->cut_pixel) job->cut_pixel = t->pixel[i], plan->cut.sequence = t->bad[i];
                    return;
                }
    }
}

static nb_lattice_constants lattice_constants(const nb_scene *s)
{
    nb_lattice_constants c = {.shape = s->shape, .peak = 1.0};
    const double *m = s->metric;
    const double metric[6] = {m[0], m[4], m[8], m[1] + m[3], m[2] + m[6], m[5] + m[7]};
    for (int j = 0; j < 6; j++) c.metric[j] = s->fudge * metric[j];
    for (int j = 0; j < 3; j++) {
        c.n[j] = s->N[j];
        c.peak *= s->N[j] * s->N[j];
        c.table_centre[j] = s->F_min[j] + 0.5 * (s->F_count[j] - 1);
        c.table_half[j] = 0.5 * (s->F_count[j] - 1);
    }
    if (s->shape == NB_SQUARE && s->N[0] == 1.0 && s->N[1] == 1.0 && s->N[2] == 1.0) c.shape = NB_POINT;
    c.table_stride[0] = (double)s->F_count[1] * s->F_count[2];
    c.table_stride[1] = s->F_count[2];
    c.table_origin = s->F_min[0] * c.table_stride[0] + s->F_min[1] * c.table_stride[1] + s->F_min[2];
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
            const int64_t begin = u * NB_UNIT, end = begin + NB_UNIT < total ? begin + NB_UNIT : total;
            if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED) || __atomic_load_n(&failed, __ATOMIC_RELAXED)) continue;
            if (plan->searching) {
                /* what lies beyond the cut found so far is rendered again when the cut is known */
                const nb_scene *s = plan->s;
                const int64_t width = s->roi[1] - s->roi[0] + 1;
                const int64_t pixel = (s->roi[2] + begin / width) * s->fpixels + s->roi[0] + begin % width;
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
    const int64_t total = width * height, units = (total + NB_UNIT - 1) / NB_UNIT;
    nb_unit_result *results = calloc((size_t)units, sizeof *results);
    if (!results) return NB_NO_MEMORY;
    nb_plan plan = {
        .s = s,
        .lattice = lattice_constants(s),
        .steps = (double)s->sources * (double)s->orientations * s->oversample * s->oversample,
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
        const int64_t first = (slow * width + fast) / NB_UNIT;
        __atomic_store_n(job->progress, first * NB_UNIT, __ATOMIC_RELAXED);
        status = render_units(&plan, job, first, units, total, results);
    }
    job->omega_sum = 0.0;
    job->pixels = job->nonfinite = 0;
    job->first_nonfinite = -1;
    for (int64_t u = 0; u < units; u++) {
        job->omega_sum += results[u].omega;
        job->pixels += results[u].pixels;
        if (results[u].nonfinite && job->nonfinite == 0) job->first_nonfinite = results[u].first_nonfinite;
        job->nonfinite += results[u].nonfinite;
    }
    if (job->cut_pixel == INT64_MAX) job->cut_pixel = -1;
    free(results);
    return status;
}
