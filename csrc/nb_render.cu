/* The CUDA renderer.
 *
 * Contract: as nb_image.c.  Reads an nb_scene whose pointers are device addresses, writes photons per pixel (canonical 6 to 8).
 * Compiled at run time (NVRTC) once per specialisation, with these macros:
 *   NB_USE_SHAPE   NB_POINT (one cell) or enum nb_shape, as a number
 *   NB_USE_TABLE   structure factors (nb_launch.h)
 *   NB_USE_FLOAT   1: precision "mixed", lattice factors, interpolation and sums of NB_SHORT orientations in float
 *   NB_USE_INDEX   arithmetic of h, k, l (nb_launch.h)
 *   NB_USE_CURVED  1: curved panel
 *   NB_USE_DISPLACED 1: the crystal's atoms are displaced: F^2 L^2 exp(-V)
 *   NB_USE_SOURCE_MU 1: the panel has source_mu
 *   NB_USE_SPECTRUM enum nb_spectral, as a number; other than NB_DIRECT with NB_INDEX_DOUBLE, without tricubic interpolation
 *   NB_USE_SPARSE  1: nb_render_sparse (nb_cuda_sparse.h) instead of nb_render and nb_search
 *   NB_USE_FINISH  1: nb_finish and nb_summarise instead of the others; they are the same for all of the above
 *   NB_THREADS     threads of a block
 *
 * nb_render: one panel, one crystal; one thread per pixel of the panel's roi in raster order.  blockIdx.y splits the
 * orientations when the roi has too few pixels to fill the card, blockIdx.z is the image of a batch.  A block stages
 * NB_CHUNK orientations at a time in shared memory; each thread then visits its layers, sub-pixels and sources and sums
 * over the staged orientations from registers.  The panel and the crystal come by value: their numbers are operands from
 * the constant bank, not registers.  No atomics; every sum runs in a fixed order, so repeated renders are identical to the
 * bit.  nb_search runs first where tricubic interpolation may end (canonical 7.3), nb_finish and nb_summarise afterwards. */
#ifndef NB_USE_SOURCE_MU
#define NB_USE_SOURCE_MU 0
#endif
#ifndef NB_USE_SPARSE
#define NB_USE_SPARSE 0
#endif
#include "nb_cuda_types.h"
#include "nb_launch.h"
#include "nb_physics.h"
#include "nb_summary.h"

#ifndef NB_THREADS
#define NB_THREADS 128
#endif
#ifndef NB_BLOCKS
/* blocks on a multiprocessor, which leaves 255, 168 or 128 registers for a thread: as many as it takes not to spill any */
#define NB_BLOCKS                                                                                                      \
    (NB_USE_SPECTRUM || (NB_USE_TABLE == NB_TABLE_TRICUBIC && !NB_USE_FLOAT)         ? 2                               \
     : NB_USE_SPARSE                                                                 ? 2                               \
     : NB_USE_TABLE == NB_TABLE_TRICUBIC || NB_USE_CURVED                            ? 3                               \
                                                                                     : 4)
#endif
#ifndef NB_USE_SPECTRUM
#define NB_USE_SPECTRUM 0
#endif
#define NB_CHUNK 128
#ifndef NB_USE_DISPLACED
#define NB_USE_DISPLACED 0
#endif
#ifndef NB_HOST
/* loads of one orientation during the arithmetic of the other; in double an ellipsoid (NB_ELLIPSOID) and tricubic
 * interpolation, which has 64 loads of its own, have no registers for that */
#if !NB_USE_FLOAT && (NB_USE_SHAPE == 1 || NB_USE_TABLE == NB_TABLE_TRICUBIC)
#define NB_UNROLL _Pragma("unroll 1")
#else
#define NB_UNROLL _Pragma("unroll 2")
#endif
#endif
#ifndef NB_HOST
#define NB_ONCE _Pragma("unroll 1")
#endif
#define NB_SHORT 64

#if NB_USE_FLOAT
typedef float nb_real;
#define NB_U(name) name##_f
#else
typedef double nb_real;
#define NB_U(name) name##_d
#endif
#define NB_TIES (NB_USE_TABLE != NB_TABLE_CONSTANT)
#define NB_SIGNED (NB_USE_TABLE == NB_TABLE_TRICUBIC || NB_USE_SHAPE > 0)
#define NB_FRINGES (NB_USE_FLOAT && NB_USE_SHAPE == 0)
#include "nb_cuda_index.h"

typedef struct {
    nb_real n[3], metric[6];
#if NB_USE_DISPLACED
    nb_real displacement[6];
#endif
    nb_cells cells;
} nb_constants;

NB_FN nb_constants nb_constants_of(const nb_crystal *crystal)
{
    nb_constants c;
    double metric[6];
    nb_spot_metric(crystal, metric);
    for (int j = 0; j < 3; j++) c.n[j] = (nb_real)crystal->N[j];
    for (int j = 0; j < 6; j++) c.metric[j] = (nb_real)metric[j];
#if NB_USE_DISPLACED
    for (int j = 0; j < 6; j++) c.displacement[j] = (nb_real)crystal->displacement[j];
#endif
    c.cells = nb_cells_of(crystal->N);
    return c;
}

/* ---- structure factors: the look-ups of nb_sample.h in whole numbers ---- */

NB_FN int32_t nb_place(const nb_table *t, int32_t i, int32_t j, int32_t k)
{
    return (i * t->F_count[1] + j) * t->F_count[2] + k; /* below 2^31, as the table is */
}

/* The device's copy of the list, which has the precision of the kernel. */
NB_FN const nb_real *nb_list(const nb_table *t)
{
    return (const nb_real *)t->F;
}

NB_FN nb_real nb_listed(const nb_table *t, nb_real default_F, const int32_t n[3])
{
    const int32_t i = n[0] - t->F_min[0], j = n[1] - t->F_min[1], k = n[2] - t->F_min[2];
    const bool inside = (uint32_t)i < (uint32_t)t->F_count[0] && (uint32_t)j < (uint32_t)t->F_count[1]
                     && (uint32_t)k < (uint32_t)t->F_count[2];
    return inside ? nb_list(t)[nb_place(t, i, j, k)] : default_F;
}

/* Tricubic value, or default_F where the planes around the sample are not all listed. */
NB_FN nb_real nb_interpolated(const nb_table *t, nb_real default_F, const nb_index *x)
{
    nb_real w[3][4];
    int32_t corner[3];
    bool usable = true;
    for (int r = 0; r < 3; r++) {
        const bool below = x->d[r] < 0;
        const int32_t low = x->n[r] - below - t->F_min[r]; /* floor(h), counted from the first plane */
        const nb_real u = x->d[r] + (below ? 1 : 0);
        /* low + u <= F_count - 3 and low + u >= 2 */
        usable = usable && low >= 2 && low + 3 + (u > 0) <= t->F_count[r];
        NB_U(nb_lagrange_weights)(u, w[r]);
        corner[r] = low - 1;
    }
    if (!usable) return default_F;
    return NB_U(nb_tricubic_sum)(t, nb_list(t), nb_place(t, corner[0], corner[1], corner[2]), w);
}

/* ---- the sum over orientations: where the time goes ---- */

/* `count` orientations from number `chunk` on to shared memory, by all threads of the block; abc: of the image's first. */
NB_FN void nb_stage_chunk(const nb_crystal *crystal, const double *abc, int chunk, int count, nb_orientation *staged)
{
    __syncthreads();
    for (int i = threadIdx.x; i < 9 * count; i += NB_THREADS)
        nb_stage_orientation(staged + i / 9, i % 9, abc[9 * (int64_t)chunk + i]);
    for (int i = threadIdx.x; i < count; i += NB_THREADS)
        nb_stage_weight(staged + i, crystal->orientation_weight ? crystal->orientation_weight[chunk + i] : 1.0);
    __syncthreads();
}

/* (L/(Na Nb Nc))^2 */
NB_FN nb_real nb_spot_at(const nb_constants *c, const nb_index *x)
{
#if NB_FRINGES
    return NB_U(nb_square_ratio)(x->d, x->t, c->n);
#else
    return NB_U(nb_lattice)(NB_USE_SHAPE, x->d, c->n, c->metric);
#endif
}

/* That times F^2, unless there is one F for all, and exp(-V).  o, limit: as nb_sum_staged. */
NB_FN nb_real nb_with_factors(nb_real L, const nb_table *t, nb_real default_F, const nb_constants *c, const nb_index *x, int o,
                              int limit)
{
#if NB_USE_TABLE == NB_TABLE_NEAREST
    const nb_real F = nb_listed(t, default_F, x->n);
    L *= F * F;
#elif NB_USE_TABLE == NB_TABLE_TRICUBIC
    nb_real F = default_F;
    if (o < limit) F = nb_interpolated(t, default_F, x);
    else if (o > limit) F = nb_listed(t, default_F, x->n);
    L *= F * F;
#endif
#if NB_USE_DISPLACED
    const nb_real h[3] = {(nb_real)x->n[0] + x->d[0], (nb_real)x->n[1] + x->d[1], (nb_real)x->n[2] + x->d[2]};
    L *= NB_U(nb_exp)(-NB_U(nb_radius_sqr)(h, c->displacement));
#endif
    return L;
}

/* (Na Nb Nc)^-2 sum of weight F^2 L^2 over the staged orientations; the one at `limit` takes default_F, earlier ones are
 * interpolated, later ones take the nearest value. */
NB_FN double nb_sum_staged(const nb_table *in_memory, const nb_constants *c, const nb_orientation *staged, int count,
                           const nb_scattering *q, int limit)
{
#if NB_USE_TABLE == NB_TABLE_NEAREST
    /* in registers: the loop would read and convert it again for every sample */
    const nb_table table = *in_memory, *t = &table;
    const nb_real default_F = (nb_real)t->default_F;
#else /* no registers are left for it, or nothing of it is read in the loop */
    const nb_table *t = in_memory;
#endif
    double sum = 0.0;
    for (int first = 0; first < count; first += NB_SHORT) {
        const int last = first + NB_SHORT < count ? first + NB_SHORT : count;
        nb_real part = 0;
NB_UNROLL
        for (int o = first; o < last; o++) {
            const nb_index x = nb_index_of(staged + o, q, &c->cells);
#if NB_USE_TABLE != NB_TABLE_NEAREST
            const nb_real default_F = (nb_real)t->default_F;
#endif
            const nb_real L = nb_with_factors(nb_spot_at(c, &x), t, default_F, c, &x, o, limit);
            part += nb_weight_of(staged + o) * L; /* one multiply-add */
        }
        sum += part;
    }
#if NB_USE_TABLE == NB_TABLE_CONSTANT
    sum *= t->default_F * t->default_F;
#endif
    return sum;
}

#if NB_USE_SPECTRUM
#include "nb_cuda_spectrum.h"
#endif

/* ---- one pixel ---- */

/* unit vector d from the sample to a point of the plane; returns one over the distance, 1/m */
NB_FN double nb_direction_to(const nb_panel *panel, double F, double S, int layer, double d[3])
{
#if NB_USE_CURVED
    nb_position(panel, F, S, layer, d);
#else
    nb_layer_position_d(panel, F, S, layer, d);
#endif
    const double per_R = rsqrt(nb_dot(d, d));
    for (int i = 0; i < 3; i++) d[i] *= per_R;
    return per_R;
}

/* The same to a sub-pixel. */
NB_FN double nb_direction(const nb_scene *s, const nb_panel *panel, int fast, int slow, int layer, int sub_f, int sub_s,
                          double d[3])
{
    const double F = panel->pixel[0] * ((double)panel->first[0] + fast) + nb_sub_pixel(s, panel, 0, sub_f);
    const double S = panel->pixel[1] * ((double)panel->first[1] + slow) + nb_sub_pixel(s, panel, 1, sub_s);
    return nb_direction_to(panel, F, S, layer, d);
}

NB_FN void nb_scattering_vector(const nb_source *source, const double d[3], double q[3])
{
    const double per_wavelength = 1.0 / source->wavelength;
    for (int i = 0; i < 3; i++) q[i] = (d[i] - source->incident[i]) * per_wavelength;
}

/* Where interpolation ends, as one pixel has to know it: the sequence counts in that pixel only. */
typedef struct {
    int64_t pixel, sequence;
} nb_cut;

/* Orientations of the chunk that come before the end of interpolation: see nb_sum_staged.  sequence: of the chunk's first. */
NB_FN int nb_limit(const nb_table *t, int64_t pixel, const nb_cut *cut, int64_t sequence, int count)
{
    if (t->interpolation != NB_TRICUBIC || pixel < cut->pixel) return count;
    const int64_t before_cut = cut->sequence - sequence;
    if (pixel > cut->pixel || before_cut < 0) return -1;
    return before_cut < count ? (int)before_cut : count;
}

/* All samples of a pixel for the staged orientations, of which the first is number `chunk` among a source's samples;
 * intensity: of the chunks before. */
NB_FN nb_pixel_d nb_visit(const nb_scene *s, const nb_panel *panel, const nb_crystal *crystal, const nb_part *part,
                          const nb_constants *c, const nb_orientation *staged, int64_t chunk, int count, int fast,
                          int slow, const nb_cut *cut, double intensity)
{
    const int64_t pixel = panel->offset + (int64_t)slow * panel->fpixels + fast;
    nb_pixel_d p;
    nb_pixel_start_d(s, intensity, &p);
    int64_t sequence = chunk;
    for (int layer = 0; layer < panel->layers; layer++)
        for (int sub_s = 0; sub_s < s->oversample; sub_s++)
            for (int sub_f = 0; sub_f < s->oversample; sub_f++) {
                const bool first = sub_s == 0 && sub_f == 0;
                double d[3];
                const double omega = nb_solid_angle_d(panel, nb_direction(s, panel, fast, slow, layer, sub_f, sub_s, d));
                const double capture = nb_needs_capture(s, panel, first) ? nb_capture_d(panel, panel->mu, layer, d) : 1.0;
                nb_pixel_point_d(s, layer, first, omega, capture, &p);
#if NB_USE_SPECTRUM
                for (int i = 0, run; i < s->sources; i += run, sequence += part->per_source) {
                    const nb_source *source = s->source + i;
                    double q[3], u[3], light = source->weight, mine = capture, polar = p.polar;
                    run = (int)source->run;
                    for (int j = 1; j < run; j++) light += source[j].weight;
                    if (nb_mu_differs(panel)) { /* all its light that is captured; of spots the sum holds that of each */
                        light = 1.0;
                        mine = 0.0;
                        for (int j = 0; s->water > 0.0 && j < run; j++)
                            mine += source[j].weight * nb_capture_d(panel, panel->source_mu[i + j], layer, d);
                    }
                    for (int r = 0; r < 3; r++) u[r] = d[r] - source->incident[r];
                    for (int r = 0; r < 3; r++) q[r] = u[r] * source->range[0]; /* of the lowest wavenumber */
                    const bool keep = !(s->dmin > 0.0) || nb_resolved_d(s, nb_dot(q, q));
                    if (!s->nopolar && (polar == 0.0 || s->oversample_polar || s->water_mode == NB_WATER_AFTER)) {
                        const nb_axes axes = nb_axes_of(s->polar_vector, source->incident);
                        polar = nb_polarization_d(s->polarization, source->incident, &axes, d);
                        nb_pixel_polarize_d(polar, keep, &p);
                    }
                    nb_pixel_wet_d(s, light, mine, polar, omega, &p);
                    if (!keep) continue;
                    const nb_ray ray = {nb_mu_differs(panel) && s->oversample_thick ? panel : 0, layer, d};
                    const double w = nb_sample_weight_d(s, 1.0, ray.panel ? 1.0 : capture, polar, omega);
                    p.intensity += w * nb_sum_run(s, crystal, c, staged, count, source, u, &ray);
                }
#else
                for (int i = 0; i < s->sources; i++, sequence += part->per_source) {
                    const nb_source *source = s->source + i;
                    const nb_table *t = s->table + crystal->table + source->table;
                    const double mine = nb_mu_differs(panel) ? nb_capture_d(panel, panel->source_mu[i], layer, d) : capture;
                    double q[3], polar = p.polar;
                    nb_scattering_vector(source, d, q);
                    const bool keep = !(s->dmin > 0.0) || nb_resolved_d(s, nb_dot(q, q));
                    if (!s->nopolar && (polar == 0.0 || s->oversample_polar || s->water_mode == NB_WATER_AFTER)) {
                        const nb_axes axes = nb_axes_of(s->polar_vector, source->incident);
                        polar = nb_polarization_d(s->polarization, source->incident, &axes, d);
                        nb_pixel_polarize_d(polar, keep, &p);
                    }
                    nb_pixel_wet_d(s, source->weight, mine, polar, omega, &p);
                    if (!keep || nb_dot(q, q) > t->F_reach * t->F_reach) continue;
                    const double w = nb_sample_weight_d(s, source->weight, mine, polar, omega);
                    const nb_scattering scattering = nb_scattering_of(q, (float)part->index_bound);
                    const int limit = nb_limit(t, pixel, cut, sequence, count);
                    p.intensity += w * nb_sum_staged(t, c, staged, count, &scattering, limit);
                }
#endif
            }
    return p;
}

/* Fast and slow index of the slot-th pixel of a launch; false beyond its end. */
NB_FN bool nb_pixel_of(const nb_panel *panel, const nb_part *part, uint32_t slot, int *fast, int *slow)
{
    const uint32_t width = panel->roi[1] - panel->roi[0] + 1;
    if (slot >= width * (uint32_t)part->rows) return false;
    *fast = panel->roi[0] + (int)(slot % width);
    *slow = (int)part->first_row + (int)(slot / width);
    return true;
}

NB_FN bool nb_unmasked(const nb_panel *panel, int fast, int slow)
{
    return !panel->mask || panel->mask[(int64_t)slow * panel->fpixels + fast];
}

NB_FN int64_t nb_image_index(const nb_panel *panel, int fast, int slow)
{
    return panel->offset + (int64_t)slow * panel->fpixels + fast;
}

NB_FN int64_t nb_buffer_place(const nb_part *part, int64_t pixel)
{
    return blockIdx.z * part->image_stride + (pixel - part->origin);
}

#if NB_USE_SPARSE
#include "nb_cuda_sparse.h"
#elif !NB_USE_FINISH

#define NB_NO_PIXEL 9223372036854775807LL /* beyond every image index */

#if NB_USE_TABLE == NB_TABLE_TRICUBIC
NB_FN nb_cut nb_cut_of(const nb_panel *panel, int fast, int slow, const unsigned long long *cut_pixel,
                       const nb_block_cut *cuts)
{
    nb_cut cut = {(int64_t)cut_pixel[blockIdx.z], 0};
    if (cut.pixel == nb_image_index(panel, fast, slow)) {
        const int64_t width = panel->roi[1] - panel->roi[0] + 1, height = panel->roi[3] - panel->roi[2] + 1;
        const int64_t blocks = (width * height + NB_THREADS - 1) / NB_THREADS;
        const int64_t place = (slow - panel->roi[2]) * width + (fast - panel->roi[0]);
        cut.sequence = cuts[blockIdx.z * blocks + place / NB_THREADS].sequence;
    }
    return cut;
}
#endif

/* image: written where there is one split of one crystal; otherwise, and where partial is given, photons go to
 * partial[split][image][slot].  omega: [image][block], sum of the block's solid angles, by the first crystal.  cut_pixel
 * and cuts, the panel's, as nb_search left them; NULL: interpolation does not end. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_render(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_panel panel,
          const __grid_constant__ nb_crystal crystal, const __grid_constant__ nb_part part, float *image, double *partial,
          double *omega, const unsigned long long *cut_pixel, const nb_block_cut *cuts)
{
    __shared__ nb_orientation staged[NB_CHUNK];
    __shared__ double omegas[NB_THREADS];
    const nb_scene *s = &scene;
    const uint32_t slot = blockIdx.x * NB_THREADS + threadIdx.x;
    int fast = 0, slow = 0;
    const bool active = nb_pixel_of(&panel, &part, slot, &fast, &slow) && nb_unmasked(&panel, fast, slow);
    const bool first_split = part.crystal == 0 && blockIdx.y == 0;
    const nb_constants c = nb_constants_of(&crystal);
    nb_cut cut = {NB_NO_PIXEL, 0};
#if NB_USE_TABLE == NB_TABLE_TRICUBIC
    if (cut_pixel && active) cut = nb_cut_of(&panel, fast, slow, cut_pixel, cuts);
#endif
    const double *abc = crystal.abc + (int64_t)blockIdx.z * 9 * crystal.orientations;
    /* no memory holds 2^31 orientations */
    const int begin = (int)(crystal.orientations * blockIdx.y / part.splits);
    const int end = (int)(crystal.orientations * (blockIdx.y + 1) / part.splits);
    nb_pixel_d pixel;
    nb_pixel_start_d(s, 0.0, &pixel);
    for (int chunk = begin; chunk < end; chunk += NB_CHUNK) {
        const int count = end - chunk < NB_CHUNK ? end - chunk : NB_CHUNK;
        nb_stage_chunk(&crystal, abc, chunk, count, staged);
        if (active)
            pixel = nb_visit(s, &panel, &crystal, &part, &c, staged, part.before + chunk, count, fast, slow, &cut,
                             pixel.intensity);
    }
    if (active) {
        pixel.intensity *= nb_lattice_peak(&crystal) * nb_crystal_share(s, s->crystal + part.crystal);
        if (first_split) pixel.intensity += nb_pixel_background(s);
        const double photons = nb_pixel_photons_d(s, nb_photon_scale(s), first_split ? nb_water_scale(s) : 0.0, &pixel);
        if (partial) partial[((int64_t)blockIdx.y * gridDim.z + blockIdx.z) * ((int64_t)gridDim.x * NB_THREADS) + slot] = photons;
        else image[nb_buffer_place(&part, nb_image_index(&panel, fast, slow))] = (float)photons;
    }
    if (first_split) {
        omegas[threadIdx.x] = active ? pixel.omega_sum : 0.0;
        __syncthreads();
        if (threadIdx.x == 0) {
            double sum = 0.0;
            for (int i = 0; i < NB_THREADS; i++) sum += omegas[i];
            omega[(int64_t)blockIdx.z * gridDim.x + blockIdx.x] = sum / ((double)panel.layers * s->oversample * s->oversample);
        }
    }
}

#if NB_USE_TABLE == NB_TABLE_TRICUBIC
/* The first sample, in raster order and the order of canonical 6.1, that cannot be interpolated: always in doubles, so that
 * it is the same sample in every precision.  One thread per pixel of a panel's roi; launched for panels in their order and
 * for each panel's crystals one after the other.  cut_pixel[image]: 2^63 - 1 before; the pixel's image index after.
 * cuts[image][block]: of the panel, 0 before; true in the block that has the pixel.  The minimum does not depend on the
 * order in which blocks run. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_search(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_panel panel,
          const __grid_constant__ nb_crystal crystal, const __grid_constant__ nb_part part, unsigned long long *cut_pixel,
          nb_block_cut *cuts)
{
    __shared__ int64_t found[NB_THREADS];
    const nb_scene *s = &scene;
    int fast = 0, slow = 0;
    const bool active =
        nb_pixel_of(&panel, &part, blockIdx.x * NB_THREADS + threadIdx.x, &fast, &slow) && nb_unmasked(&panel, fast, slow);
    const uint64_t pixel = nb_image_index(&panel, fast, slow);
    const double *abc = crystal.abc + (int64_t)blockIdx.z * 9 * crystal.orientations;
    const volatile unsigned long long *earliest = cut_pixel + blockIdx.z;
    double metric[6];
    nb_spot_metric(&crystal, metric);
    int64_t bad = -1, base = part.before;
    /* one flat loop over layers, sub-pixels and sources */
    const int edge = s->oversample, steps = active ? panel.layers * edge * edge * s->sources : 0;
    for (int step = 0; step < steps && bad < 0 && *earliest >= pixel; step++, base += part.per_source) {
        const nb_source *source = s->source + step % s->sources;
        const nb_table *t = s->table + crystal.table + source->table;
        const int sub = step / s->sources % (edge * edge);
        double d[3], q[3];
        nb_direction(s, &panel, fast, slow, step / s->sources / (edge * edge), sub % edge, sub / edge, d);
        nb_scattering_vector(source, d, q);
        if (s->dmin > 0.0 && !nb_resolved_d(s, nb_dot(q, q))) continue;
        for (int64_t o = 0; o < crystal.orientations && bad < 0; o++) {
            double index[3], off[3];
            for (int r = 0; r < 3; r++) {
                index[r] = nb_dot(abc + 9 * o + 3 * r, q);
                off[r] = index[r] - nb_nearest_d(index[r]);
            }
            if (!nb_interpolable_d(t, index)
                && (s->water != 0.0 || !nb_lattice_is_zero(NB_USE_SHAPE, nb_radius_sqr_d(off, metric))))
                bad = base + o;
        }
    }
    found[threadIdx.x] = bad;
    __syncthreads();
    if (bad >= 0) {
        bool lowest = true;
        for (int i = 0; i < (int)threadIdx.x; i++) lowest = lowest && found[i] < 0;
        nb_block_cut *mine = cuts + ((int64_t)blockIdx.z * gridDim.x + blockIdx.x); /* of an earlier crystal */
        const int64_t beyond = (int64_t)pixel + 1;
        if (lowest
            && (!mine->beyond || beyond < mine->beyond || (beyond == mine->beyond && bad < mine->sequence))) {
            mine->beyond = beyond;
            mine->sequence = bad;
            atomicMin(cut_pixel + blockIdx.z, (unsigned long long)pixel);
        }
    }
}
#endif

#else /* NB_USE_FINISH */

/* ---- the finished image ---- */

/* Combined summary of the block's threads, in thread 0. */
NB_FN nb_summary nb_combine_block(nb_summary mine, nb_summary *shared)
{
    shared[threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 1; i < NB_THREADS; i++) nb_summary_add(&mine, shared + i);
    return mine;
}

NB_FN nb_summary nb_summary_of_pixel(int64_t pixel, double v)
{
    nb_summary one = nb_summary_of_nothing();
    one.total = v;
    one.squares = v * v;
    one.pixels = 1;
    if (v > 0.0) {
        one.largest = v;
        one.largest_pixel = pixel;
    }
    if (!(fabs(v) <= 3.4028234663852886e38)) {
        one.nonfinite = 1;
        one.first_nonfinite = pixel;
    }
    return one;
}

/* Adds the splits of all crystals up (partial given, as it is where something stands behind the spots; image64 too if it is),
 * puts that behind them, and summarises: summaries[block][image].
 * slots: those of the nb_render launches, their blocks times NB_THREADS. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_finish(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_panel panel, const __grid_constant__ nb_part part,
          const double *__restrict__ partial, int64_t slots, const double *__restrict__ omega, float *image, double *image64,
          nb_summary *summaries)
{
    __shared__ nb_summary shared[NB_THREADS];
    nb_summary mine = nb_summary_of_nothing();
    for (int i = 0; i < NB_PER_THREAD; i++) {
        const uint32_t slot = (blockIdx.x * NB_PER_THREAD + i) * NB_THREADS + threadIdx.x;
        if (threadIdx.x == 0 && slot < slots) mine.omega += omega[(blockIdx.z * slots + slot) / NB_THREADS];
        int fast, slow;
        if (!nb_pixel_of(&panel, &part, slot, &fast, &slow)) continue;
        const int64_t pixel = nb_image_index(&panel, fast, slow), place = nb_buffer_place(&part, pixel);
        if (!nb_unmasked(&panel, fast, slow)) {
            image[place] = 0.0f; /* the buffer may hold earlier rows */
            continue;
        }
        if (partial) {
            double sum = 0.0;
            for (int64_t k = 0; k < part.splits; k++) sum += partial[(k * gridDim.z + blockIdx.z) * slots + slot];
            sum = nb_with_backdrop(&scene, sum, pixel);
            image[place] = (float)sum;
            if (image64) image64[place] = sum;
        }
        const nb_summary one = nb_summary_of_pixel(pixel, image[place]);
        nb_summary_add(&mine, &one);
    }
    mine = nb_combine_block(mine, shared);
    if (threadIdx.x == 0) summaries[(int64_t)blockIdx.x * gridDim.z + blockIdx.z] = mine;
}

/* One block per image: the summary of all blocks of all launches of nb_finish. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_summarise(const nb_summary *__restrict__ summaries, int64_t blocks, const unsigned long long *cut_pixel, nb_summary *result)
{
    __shared__ nb_summary shared[NB_THREADS];
    nb_summary mine = nb_summary_of_nothing();
    for (int64_t i = threadIdx.x; i < blocks; i += NB_THREADS) nb_summary_add(&mine, summaries + i * gridDim.z + blockIdx.z);
    mine = nb_combine_block(mine, shared);
    if (threadIdx.x != 0) return;
    if (cut_pixel && cut_pixel[blockIdx.z] < 9223372036854775807ULL) mine.cut_pixel = (int64_t)cut_pixel[blockIdx.z];
    result[blockIdx.z] = mine;
}
#endif

#ifdef NB_HOST
/* Launch by name with pointers to the arguments, like the driver's launch function; 0, or 1 when a barrier was not reached
 * by all threads, 2 for an unknown name. */
extern "C" int nb_host_launch(const char *name, const uint32_t *grid, uint32_t threads, void **arguments)
{
#if NB_USE_SPARSE
    if (!strcmp(name, "nb_render_sparse")) return nb_host::launch(nb_render_sparse, grid, threads, arguments);
#elif !NB_USE_FINISH
    if (!strcmp(name, "nb_render")) return nb_host::launch(nb_render, grid, threads, arguments);
#if NB_USE_TABLE == NB_TABLE_TRICUBIC
    if (!strcmp(name, "nb_search")) return nb_host::launch(nb_search, grid, threads, arguments);
#endif
#else
    if (!strcmp(name, "nb_finish")) return nb_host::launch(nb_finish, grid, threads, arguments);
    if (!strcmp(name, "nb_summarise")) return nb_host::launch(nb_summarise, grid, threads, arguments);
#endif
    return 2;
}
#endif
