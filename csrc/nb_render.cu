/* The CUDA renderer.
 *
 * Contract: as nb_render.c.  Reads an nb_scene whose pointers are device addresses, writes photons per pixel (canonical 6 to 8).
 * Compiled at run time (NVRTC) once per specialisation, with these macros:
 *   NB_USE_SHAPE   -1 (one cell) or enum nb_shape
 *   NB_USE_TABLE   0: default_F everywhere, 1: nearest listed value, 2: tricubic
 *   NB_USE_FLOAT   1: precision "mixed", lattice factors, interpolation and sums of NB_SHORT orientations in float
 *   NB_USE_INDEX   arithmetic of h, k, l (nb_cuda_index.h)
 *   NB_USE_CURVED  1: curved detector
 *   NB_USE_FINISH  1: nb_finish and nb_summarise instead of the others; they are the same for all of the above
 *   NB_THREADS     threads of a block
 *
 * nb_render: one thread per pixel of the roi in raster order.  blockIdx.y splits the orientations when the roi has too
 * few pixels to fill the card, blockIdx.z is the image of a batch.  A block stages NB_CHUNK orientations at a time in
 * shared memory; each thread then visits its layers, sub-pixels and sources and sums over the staged orientations from
 * registers.  No atomics; every sum runs in a fixed order, so repeated renders are identical to the bit.
 * nb_search runs first where tricubic interpolation may end (canonical 7.3), nb_finish and nb_summarise afterwards. */
#ifdef NB_HOST
#include "nb_host_shim.h"
#else
typedef unsigned char uint8_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#endif
#include "nb_physics.h"

#ifndef NB_THREADS
#define NB_THREADS 128
#endif
#ifndef NB_BLOCKS
/* blocks on a multiprocessor, which leaves 255, 168 or 128 registers for a thread: as many as it takes not to spill any */
#define NB_BLOCKS (NB_USE_TABLE == 2 && !NB_USE_FLOAT ? 2 : NB_USE_TABLE == 2 || NB_USE_CURVED ? 3 : 4)
#endif
#define NB_CHUNK 128
#ifndef NB_HOST
#define NB_UNROLL _Pragma("unroll 2") /* loads of one orientation during the arithmetic of the other */
#endif
#define NB_SHORT 64
#define NB_PER_THREAD 16 /* pixels of a thread in nb_finish */

#if NB_USE_FLOAT
typedef float nb_real;
#define NB_U(name) name##_f
#else
typedef double nb_real;
#define NB_U(name) name##_d
#endif
#define NB_TIES (NB_USE_TABLE != 0)
#define NB_SIGNED (NB_USE_TABLE == 2 || NB_USE_SHAPE > 0)
#define NB_FRINGES (NB_USE_FLOAT && NB_USE_SHAPE == 0)
#include "nb_cuda_index.h"

/* Pixels of one launch: whole rows of the roi. */
typedef struct {
    int64_t first_row;    /* image row of the first */
    int64_t rows;         /* rows * width of the roi < 2^31 */
    int64_t origin;       /* image row at which the image buffers begin */
    int64_t image_stride; /* pixels from one image of a batch to the next */
    int64_t splits;       /* parts into which the orientations are divided */
    double index_bound;   /* see nb_scattering_of */
} nb_part;

/* What is known of one image; nbragg/backends/cuda_engine.py reads it. */
typedef struct {
    double omega, total, squares, largest; /* sr, sums of pixels and of their squares, largest pixel */
    int64_t largest_pixel, pixels, nonfinite, first_nonfinite, cut_pixel; /* image indices; -1: none */
} nb_summary;

typedef struct {
    nb_real n[3], metric[6], default_F;
    nb_cells cells;
} nb_constants;

/* One pixel: what its samples add up to and the factors taken once. */
typedef struct {
    double intensity, omega_sum, omega, polar, capture, water;
} nb_pixel;

NB_FN nb_constants nb_constants_of(const nb_scene *s)
{
    nb_constants c;
    double metric[6];
    nb_spot_metric(s, metric);
    for (int j = 0; j < 3; j++) c.n[j] = (nb_real)s->N[j];
    for (int j = 0; j < 6; j++) c.metric[j] = (nb_real)metric[j];
    c.default_F = (nb_real)s->default_F;
    c.cells = nb_cells_of(s->N);
    return c;
}

/* ---- structure factors: the look-ups of nb_sample.h in whole numbers ---- */

NB_FN int32_t nb_place(const nb_scene *s, int32_t i, int32_t j, int32_t k)
{
    return (i * s->F_count[1] + j) * s->F_count[2] + k; /* below 2^31, as the table is */
}

NB_FN nb_real nb_listed(const nb_scene *s, const nb_real *table, nb_real default_F, const int32_t n[3])
{
    const int32_t i = n[0] - s->F_min[0], j = n[1] - s->F_min[1], k = n[2] - s->F_min[2];
    const bool inside = (uint32_t)i < (uint32_t)s->F_count[0] && (uint32_t)j < (uint32_t)s->F_count[1]
                     && (uint32_t)k < (uint32_t)s->F_count[2];
    return inside ? table[nb_place(s, i, j, k)] : default_F;
}

/* Tricubic value, or default_F where the planes around the sample are not all listed. */
NB_FN nb_real nb_interpolated(const nb_scene *s, const nb_real *table, nb_real default_F, const nb_index *x)
{
    nb_real w[3][4];
    int32_t corner[3];
    bool usable = true;
    for (int r = 0; r < 3; r++) {
        const bool below = x->d[r] < 0;
        const int32_t low = x->n[r] - below - s->F_min[r]; /* floor(h), counted from the first plane */
        const nb_real u = x->d[r] + (below ? 1 : 0);
        /* low + u <= F_count - 3 and low + u >= 2 */
        usable = usable && low >= 2 && low + 3 + (u > 0) <= s->F_count[r];
        NB_U(nb_lagrange_weights)(u, w[r]);
        corner[r] = low - 1;
    }
    if (!usable) return default_F;
    return NB_U(nb_tricubic_sum)(s, table, nb_place(s, corner[0], corner[1], corner[2]), w);
}

/* ---- the sum over orientations: where the time goes ---- */

/* (Na Nb Nc)^-2 sum of F^2 L^2 over the staged orientations; the one at `limit` takes default_F, earlier ones are
 * interpolated, later ones take the nearest value. */
NB_FN double nb_sum_staged(const nb_scene *s, const nb_real *table, const nb_constants *c, const nb_orientation *staged,
                           int count, const nb_scattering *q, int limit)
{
    double sum = 0.0;
    for (int first = 0; first < count; first += NB_SHORT) {
        const int last = first + NB_SHORT < count ? first + NB_SHORT : count;
        nb_real part = 0;
NB_UNROLL
        for (int o = first; o < last; o++) {
            const nb_index x = nb_index_of(staged + o, q, &c->cells);
#if NB_FRINGES
            nb_real L = NB_U(nb_square_ratio)(x.d, x.t, c->n);
#else
            nb_real L = NB_U(nb_lattice)(NB_USE_SHAPE, x.d, c->n, c->metric);
#endif
#if NB_USE_TABLE == 1
            const nb_real F = nb_listed(s, table, c->default_F, x.n);
            L *= F * F;
#elif NB_USE_TABLE == 2
            nb_real F = c->default_F;
            if (o < limit) F = nb_interpolated(s, table, c->default_F, &x);
            else if (o > limit) F = nb_listed(s, table, c->default_F, x.n);
            L *= F * F;
#endif
            part += L;
        }
        sum += part;
    }
#if NB_USE_TABLE == 0
    sum *= s->default_F * s->default_F;
#endif
    return sum;
}

/* ---- one pixel ---- */

/* unit vector d from the sample to a sub-pixel; returns one over the distance, 1/m */
NB_FN double nb_direction(const nb_scene *s, int fast, int slow, int layer, int sub_f, int sub_s, double d[3])
{
    const double F = s->pixel_size * fast + nb_sub_pixel(s, sub_f), S = s->pixel_size * slow + nb_sub_pixel(s, sub_s);
#if NB_USE_CURVED
    nb_position(s, F, S, layer * s->layer_step, d);
#else
    nb_position_flat_d(s, F, S, layer * s->layer_step, d);
#endif
    const double per_R = rsqrt(nb_dot(d, d));
    for (int i = 0; i < 3; i++) d[i] *= per_R;
    return per_R;
}

NB_FN void nb_scattering_vector(const nb_scene *s, int source, const double d[3], double q[3])
{
    const double per_wavelength = 1.0 / s->wavelength[source];
    for (int i = 0; i < 3; i++) q[i] = (d[i] - s->incident[3 * source + i]) * per_wavelength;
}

/* Orientations of the chunk that come before the end of interpolation: see nb_sum_staged. */
NB_FN int nb_limit(const nb_scene *s, int64_t pixel, int64_t cut_pixel, int64_t before_cut, int count)
{
    if (s->interpolation != NB_TRICUBIC || pixel < cut_pixel) return count;
    if (pixel > cut_pixel || before_cut < 0) return -1;
    return before_cut < count ? (int)before_cut : count;
}

/* All samples of a pixel for the staged orientations `chunk` to `chunk` + count - 1. */
NB_FN nb_pixel nb_visit(const nb_scene *s, const nb_real *table, const nb_constants *c, const nb_orientation *staged,
                        int64_t chunk, int count, int fast, int slow, float index_bound, int64_t cut_pixel,
                        int64_t cut_sequence)
{
    const int64_t pixel = (int64_t)slow * s->fpixels + fast;
    const bool thick = s->thickness > 0.0 && s->mu > 0.0;
    nb_pixel p = {0.0, 0.0, 0.0, s->nopolar ? 1.0 : 0.0, 1.0, 0.0};
    int64_t base = chunk;
    for (int layer = 0; layer < s->layers; layer++)
        for (int sub_s = 0; sub_s < s->oversample; sub_s++)
            for (int sub_f = 0; sub_f < s->oversample; sub_f++) {
                const bool first = sub_s == 0 && sub_f == 0;
                double d[3];
                const double omega = nb_solid_angle_d(s, nb_direction(s, fast, slow, layer, sub_f, sub_s, d));
                const double capture = thick && (first || s->oversample_thick) ? nb_capture_d(s, layer, d) : 1.0;
                if (first) {
                    if (layer == 0) p.omega = omega;
                    p.capture = capture;
                }
                p.omega_sum += s->oversample_omega ? omega : p.omega;
                for (int source = 0; source < s->sources; source++, base += s->orientations) {
                    double q[3], polar = p.polar;
                    nb_scattering_vector(s, source, d, q);
                    const bool keep = !(s->dmin > 0.0) || nb_resolved_d(s, nb_dot(q, q));
                    if (!s->nopolar && (s->oversample_polar || polar == 0.0)) {
                        polar = nb_polarization_d(s->polarization, s->incident + 3 * source, d, s->polar_vector);
                        if (keep && p.polar == 0.0) p.polar = polar;
                    }
                    p.water += s->weight[source] * omega * polar;
                    if (!keep || nb_dot(q, q) > s->F_reach * s->F_reach) continue;
                    double w = s->weight[source];
                    if (s->oversample_thick) w *= capture;
                    if (s->oversample_polar) w *= polar;
                    if (s->oversample_omega) w *= omega;
                    const nb_scattering scattering = nb_scattering_of(q, index_bound);
                    const int limit = nb_limit(s, pixel, cut_pixel, cut_sequence - base, count);
                    p.intensity += w * nb_sum_staged(s, table, c, staged, count, &scattering, limit);
                }
            }
    return p;
}

/* Photons of one split; the factors that are taken once are the same in all of them, the water is in the first. */
NB_FN double nb_photons(const nb_scene *s, const nb_pixel *p, bool first_split)
{
    double I = p->intensity * nb_lattice_peak(s);
    if (first_split && s->water_mode == NB_WATER_IN_SUM) I += nb_water_intensity(s);
    double v = nb_photon_scale(s) * I;
    if (!s->oversample_thick) v *= p->capture;
    if (!s->oversample_polar) v *= p->polar;
    if (!s->oversample_omega) v *= p->omega;
    if (first_split && s->water_mode == NB_WATER_AFTER)
        v += nb_water_intensity(s) / ((double)s->sources * s->layers * s->oversample * s->oversample) * p->water;
    return v;
}

/* Fast and slow index of the slot-th pixel of a launch; false beyond its end. */
NB_FN bool nb_pixel_of(const nb_scene *s, const nb_part *part, uint32_t slot, int *fast, int *slow)
{
    const uint32_t width = s->roi[1] - s->roi[0] + 1;
    if (slot >= width * (uint32_t)part->rows) return false;
    *fast = s->roi[0] + (int)(slot % width);
    *slow = (int)part->first_row + (int)(slot / width);
    return true;
}

NB_FN bool nb_unmasked(const nb_scene *s, int fast, int slow)
{
    return !s->mask || s->mask[(int64_t)slow * s->fpixels + fast];
}

NB_FN int64_t nb_buffer_place(const nb_scene *s, const nb_part *part, int fast, int slow)
{
    return blockIdx.z * part->image_stride + (slow - part->origin) * s->fpixels + fast;
}

#if !NB_USE_FINISH
/* image: written where there is one split; otherwise, and where partial is given, photons go to
 * partial[image][split][slot].  omega: [image][block], sum of the block's solid angles.  cut: as nb_search left it. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_render(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_part part, const nb_real *__restrict__ table,
          float *image, double *partial, double *omega, const unsigned long long *cut_pixel, const int64_t *cut_sequence,
          int64_t cut_blocks)
{
    __shared__ nb_orientation staged[NB_CHUNK];
    __shared__ double omegas[NB_THREADS];
    const nb_scene *s = &scene;
    const uint32_t slot = blockIdx.x * NB_THREADS + threadIdx.x;
    int fast = 0, slow = 0;
    const bool active = nb_pixel_of(s, &part, slot, &fast, &slow) && nb_unmasked(s, fast, slow);
    const nb_constants c = nb_constants_of(s);
    int64_t cut = -1, sequence = 0;
    if (NB_USE_TABLE == 2 && cut_pixel && active) {
        cut = (int64_t)cut_pixel[blockIdx.z];
        if (cut == (int64_t)slow * s->fpixels + fast) {
            const int64_t width = s->roi[1] - s->roi[0] + 1, place = (slow - s->roi[2]) * width + (fast - s->roi[0]);
            sequence = cut_sequence[blockIdx.z * cut_blocks + place / NB_THREADS];
        }
    }
    const double *abc = s->abc + (int64_t)blockIdx.z * 9 * s->orientations;
    const int64_t begin = s->orientations * blockIdx.y / part.splits, end = s->orientations * (blockIdx.y + 1) / part.splits;
    nb_pixel pixel = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0};
    for (int64_t chunk = begin; chunk < end; chunk += NB_CHUNK) {
        const int count = end - chunk < NB_CHUNK ? (int)(end - chunk) : NB_CHUNK;
        __syncthreads();
        for (int i = threadIdx.x; i < 9 * count; i += NB_THREADS) nb_stage_orientation(staged + i / 9, i % 9, abc[9 * chunk + i]);
        __syncthreads();
        if (active) {
            const double before = pixel.intensity;
            pixel = nb_visit(s, table, &c, staged, chunk, count, fast, slow, (float)part.index_bound, cut, sequence);
            pixel.intensity += before;
        }
    }
    if (active) {
        const double photons = nb_photons(s, &pixel, blockIdx.y == 0);
        if (partial) partial[(blockIdx.z * part.splits + blockIdx.y) * ((int64_t)gridDim.x * NB_THREADS) + slot] = photons;
        else image[nb_buffer_place(s, &part, fast, slow)] = (float)photons;
    }
    if (blockIdx.y == 0) {
        omegas[threadIdx.x] = active ? pixel.omega_sum : 0.0;
        __syncthreads();
        if (threadIdx.x == 0) {
            double sum = 0.0;
            for (int i = 0; i < NB_THREADS; i++) sum += omegas[i];
            omega[(int64_t)blockIdx.z * gridDim.x + blockIdx.x] = sum;
        }
    }
}

#if NB_USE_TABLE == 2
/* The first sample, in raster order and the order of canonical 6.1, that cannot be interpolated: always in doubles, so that
 * it is the same sample in every precision.  One thread per pixel of the roi.  cut_pixel[image]: 2^63 - 1 before; the
 * pixel's image index after; cut_sequence[image][block]: its number among the pixel's samples, valid in that pixel's
 * block.  The minimum does not depend on the order in which blocks run. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_search(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_part part, unsigned long long *cut_pixel,
          int64_t *cut_sequence)
{
    __shared__ int64_t found[NB_THREADS];
    const nb_scene *s = &scene;
    int fast = 0, slow = 0;
    const bool active =
        nb_pixel_of(s, &part, blockIdx.x * NB_THREADS + threadIdx.x, &fast, &slow) && nb_unmasked(s, fast, slow);
    const uint64_t pixel = (int64_t)slow * s->fpixels + fast;
    const double *abc = s->abc + (int64_t)blockIdx.z * 9 * s->orientations;
    const volatile unsigned long long *earliest = cut_pixel + blockIdx.z;
    double metric[6];
    nb_spot_metric(s, metric);
    int64_t bad = -1, base = 0;
    /* one flat loop over layers, sub-pixels and sources */
    const int edge = s->oversample, steps = active ? s->layers * edge * edge * s->sources : 0;
    for (int step = 0; step < steps && bad < 0 && *earliest >= pixel; step++, base += s->orientations) {
        const int source = step % s->sources, sub = step / s->sources % (edge * edge);
        double d[3], q[3];
        nb_direction(s, fast, slow, step / s->sources / (edge * edge), sub % edge, sub / edge, d);
        nb_scattering_vector(s, source, d, q);
        if (s->dmin > 0.0 && !nb_resolved_d(s, nb_dot(q, q))) continue;
        for (int64_t o = 0; o < s->orientations && bad < 0; o++) {
            double index[3], off[3];
            for (int r = 0; r < 3; r++) {
                index[r] = nb_dot(abc + 9 * o + 3 * r, q);
                off[r] = index[r] - nb_nearest_d(index[r]);
            }
            if (!nb_interpolable_d(s, index)
                && (s->water != 0.0 || !nb_lattice_is_zero(NB_USE_SHAPE, nb_radius_sqr_d(off, metric))))
                bad = base + o;
        }
    }
    found[threadIdx.x] = bad;
    __syncthreads();
    if (bad >= 0) {
        bool lowest = true;
        for (int i = 0; i < (int)threadIdx.x; i++) lowest = lowest && found[i] < 0;
        if (lowest) {
            cut_sequence[(int64_t)blockIdx.z * gridDim.x + blockIdx.x] = bad;
            atomicMin(cut_pixel + blockIdx.z, (unsigned long long)pixel);
        }
    }
}
#endif

#else /* NB_USE_FINISH */

/* ---- the finished image ---- */

NB_FN nb_summary nb_nothing(void)
{
    const nb_summary empty = {0.0, 0.0, 0.0, 0.0, -1, 0, 0, -1, -1};
    return empty;
}

NB_FN void nb_include(nb_summary *a, const nb_summary *b)
{
    a->omega += b->omega;
    a->total += b->total;
    a->squares += b->squares;
    a->pixels += b->pixels;
    a->nonfinite += b->nonfinite;
    if (b->largest > a->largest || (b->largest == a->largest && b->largest_pixel >= 0 && b->largest_pixel < a->largest_pixel)) {
        a->largest = b->largest;
        a->largest_pixel = b->largest_pixel;
    }
    if (b->first_nonfinite >= 0 && (a->first_nonfinite < 0 || b->first_nonfinite < a->first_nonfinite))
        a->first_nonfinite = b->first_nonfinite;
}

/* Combined summary of the block's threads, in thread 0. */
NB_FN nb_summary nb_combine_block(nb_summary mine, nb_summary *shared)
{
    shared[threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.x == 0)
        for (int i = 1; i < NB_THREADS; i++) nb_include(&mine, shared + i);
    return mine;
}

/* Adds the splits up (partial given; image64 too if it is), and summarises: summaries[image][block].  slots: those of the
 * nb_render launch, its blocks times NB_THREADS. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_finish(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_part part, const double *__restrict__ partial,
          int64_t slots, float *image, double *image64, nb_summary *summaries)
{
    __shared__ nb_summary shared[NB_THREADS];
    const nb_scene *s = &scene;
    nb_summary mine = nb_nothing();
    for (int i = 0; i < NB_PER_THREAD; i++) {
        const uint32_t slot = (blockIdx.x * NB_PER_THREAD + i) * NB_THREADS + threadIdx.x;
        int fast, slow;
        if (!nb_pixel_of(s, &part, slot, &fast, &slow)) continue;
        const int64_t place = nb_buffer_place(s, &part, fast, slow), pixel = (int64_t)slow * s->fpixels + fast;
        if (!nb_unmasked(s, fast, slow)) {
            image[place] = 0.0f; /* the buffer may hold earlier rows */
            continue;
        }
        if (partial) {
            double sum = 0.0;
            for (int64_t k = 0; k < part.splits; k++) sum += partial[(blockIdx.z * part.splits + k) * slots + slot];
            image[place] = (float)sum;
            if (image64) image64[place] = sum;
        }
        const double v = image[place];
        nb_summary one = {0.0, v, v * v, v > 0.0 ? v : 0.0, v > 0.0 ? pixel : -1, 1, 0, -1, -1};
        if (!(fabs(v) <= 3.4028234663852886e38)) {
            one.nonfinite = 1;
            one.first_nonfinite = pixel;
        }
        nb_include(&mine, &one);
    }
    mine = nb_combine_block(mine, shared);
    if (threadIdx.x == 0) summaries[(int64_t)blockIdx.z * gridDim.x + blockIdx.x] = mine;
}

/* One block per image: the summary of all blocks of nb_finish and of all omega of nb_render. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_summarise(const nb_summary *__restrict__ summaries, int64_t blocks, const double *__restrict__ omega, int64_t omegas,
             const unsigned long long *cut_pixel, nb_summary *result)
{
    __shared__ nb_summary shared[NB_THREADS];
    nb_summary mine = nb_nothing();
    for (int64_t i = threadIdx.x; i < blocks; i += NB_THREADS) nb_include(&mine, summaries + blockIdx.z * blocks + i);
    for (int64_t i = threadIdx.x; i < omegas; i += NB_THREADS) mine.omega += omega[blockIdx.z * omegas + i];
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
#if !NB_USE_FINISH
    if (!strcmp(name, "nb_render")) return nb_host::launch(nb_render, grid, threads, arguments);
#if NB_USE_TABLE == 2
    if (!strcmp(name, "nb_search")) return nb_host::launch(nb_search, grid, threads, arguments);
#endif
#else
    if (!strcmp(name, "nb_finish")) return nb_host::launch(nb_finish, grid, threads, arguments);
    if (!strcmp(name, "nb_summarise")) return nb_host::launch(nb_summarise, grid, threads, arguments);
#endif
    return 2;
}
#endif
