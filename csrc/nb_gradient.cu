/* Derivatives of the image on a GPU.
 *
 * Contract: gradients 6 and 7; the formulas are those of the CPU, stamped out for scalars.  Compiled at run time (NVRTC) once
 * per specialisation, with these macros:
 *   NB_USE_KINDS    bit 3 shape + source of F (enum nb_shape, enum nb_factor_source) for each kind of crystal there is
 *   NB_USE_FLOAT    1: precision "mixed", lattice factors and their slopes in float
 *   NB_USE_ENTRIES  1: single structure factors have rows
 *   NB_USE_DISPLACED 1: there are crystals whose atoms are displaced
 *   NB_USE_SOURCE_MU 1: there are panels with source_mu
 *   NB_THREADS      threads of a block, a power of 2
 *
 * The pixels that are rendered are numbered in raster order, panel by panel, and cut into groups of NB_THREADS and units of
 * some groups; how many does not depend on the device.  A block goes through the groups of a unit in order; what it adds up
 * goes to its unit's place in `partial`, and nb_fold adds the units up in their order.  So no sum depends on how many blocks
 * run at a time, on their order, or on how many units a launch has.
 *
 * nb_differentiate: a thread is a pixel.  It works out the pixel's basis (nb_columns.h) and adds it up over its unit, or makes
 * rows of it, which are stored or multiplied with each other.  A thread's columns lie NB_THREADS apart, so that the threads
 * of a warp read and write side by side; they are global memory, for their number is known at run time only.
 *
 * nb_by_orientation: a thread is an orientation, with ten sums in registers, and goes through the samples of a unit's pixels,
 * which the block has worked out and staged in shared memory.  In the other arrangement every sample would have to be summed
 * over the threads of a block for each of its orientations, which costs more than the sample; here the price is that samples
 * are worked out twice when the columns are wanted as well.  Cotangents of structure factors are collected here too: runs of
 * samples with the same entry are added up in a register, then go to the table as whole numbers (nb_put_entry), whose sum has
 * no order. */
#ifndef NB_USE_SOURCE_MU
#define NB_USE_SOURCE_MU 0
#endif
#include "nb_cuda_types.h"
#ifdef __CUDACC__
#define NB_MEMBER __device__ __forceinline__
#define NB_RARE __device__ static __noinline__
#else
#define NB_MEMBER inline
#endif
#include "nb_launch.h"
#include "nb_axes.h"

#ifndef NB_THREADS
#define NB_THREADS 128
#endif
static_assert((NB_THREADS & (NB_THREADS - 1)) == 0, "sums over a block halve it");
#define NB_BLOCKS 2 /* on a multiprocessor: 255 registers for a thread, which the slopes take */

#include "nb_cuda_scalars.h"

/* ---- what all kernels read ---- */

/* Arrays on the device; nbragg/engine/cuda_sweeps.py fills them in by these names. */
typedef struct {
    const nb_course *course;
    const double *given;          /* [pixels of the image]: cotangent in units of its largest; NULL: 1, and rows are made */
    /* nb_differentiate; [blocks] of the launch */
    double *basis;                /* [blocks][columns][NB_THREADS] */
    double *extras;               /* [blocks][extras][NB_THREADS] */
    nb_real *slope_extras;        /* likewise */
    double *rows;                 /* [blocks][NB_THREADS][rows + factors]; of factors 0 before and after */
    int32_t *met;                 /* [blocks][factors]; 0 before and after */
    int32_t *active;              /* [blocks][rows + factors] */
    const int64_t *start;         /* [rows + 1]: rows as sums of columns, like nb_terms */
    const int32_t *column;
    const double *value;
    const int32_t *const *slot;   /* [tables]; see nb_sink */
    const double *const *share;
    const double *residual;       /* [pixels of the image] */
    const double *weights;        /* NULL: rows are not squared */
    double *image;                /* [rows + factors][slots], 0 before; NULL: rows are not stored */
    double *partial;              /* [units of the launch][columns], or [(rows + factors) (rows + factors + 1)]: H, then b */
    /* nb_weigh, nb_by_orientation */
    double *once;                 /* [pixels of the panel]: given times the factors taken once */
    double *largest;              /* [blocks of nb_weigh]: weight of a sample */
    double *unit;                 /* [3]: see nb_choose_unit */
    int64_t *const *fixed;        /* [tables][entries][NB_WORDS]: see nb_put_entry; 0 before */
    uint8_t *const *spoiled;      /* [tables][entries]: 1 where something not finite was added */
} nb_held;

/* The pixel `slot` of those of the panel that are rendered. */
NB_FN void nb_pixel_of(const nb_panel *p, int64_t slot, int32_t *fast, int32_t *slow)
{
    if (p->listed) {
        *slow = p->listed[slot] / p->fpixels;
        *fast = p->listed[slot] % p->fpixels;
        return;
    }
    const int64_t width = p->roi[1] - p->roi[0] + 1;
    *slow = (int32_t)(p->roi[2] + slot / width);
    *fast = (int32_t)(p->roi[0] + slot % width);
}

NB_FN int64_t nb_image_index(const nb_panel *p, int32_t fast, int32_t slow)
{
    return p->offset + (int64_t)slow * p->fpixels + fast;
}

NB_FN int64_t nb_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Fills in what the structs of nb_columns.h and nb_axes.h hold and the host cannot: one thread.  Of each crystal `asked`,
 * `block` and `first` (its first column), of each source `axes`. */
extern "C" __global__ void nb_prepare(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_questions q,
                                      const nb_request *request, nb_course *course, nb_asked *asked, nb_block *block,
                                      int32_t *first, nb_axes *axes)
{
    if (threadIdx.x != 0) return;
    const nb_scene *s = &scene;
    for (int i = 0; i < s->crystals; i++) {
        const nb_request *r = request + i;
        nb_asked *a = asked + i;
        block[i] = nb_block_of(s, s->crystal + i, nullptr);
        a->block = block + i;
        a->want = (int)r->want;
        a->extras = (int32_t)r->extras;
        a->weighted = (int32_t)r->weighted;
        nb_rates *rates[3] = {&a->turn, &a->move, &a->weight};
        for (int j = 0; j < 3; j++) {
            rates[j]->start = (const int64_t *)r->start[j];
            rates[j]->column = (const int32_t *)r->column[j];
            rates[j]->value = (const double *)r->value[j];
        }
        first[i] = (int32_t)r->first;
    }
    for (int i = 0; i < s->sources; i++) axes[i] = nb_axes_of(s->polar_vector, s->source[i].incident);
    const nb_layout layout = {(int32_t)q.source, (int32_t)q.table, first, (int32_t)q.columns};
    const nb_cut cut = {q.cut_pixel, q.cut_sequence};
    *course = nb_course_of(s, &layout, asked, (int)q.asks, axes, cut, q.norm);
}

/* ---- a thread is a pixel ---- */

/* Memory of one thread, and of its block. */
typedef struct {
    nb_strided<double> by, extras;
    nb_strided<nb_real> slope_extras;
    double *rows;          /* [NB_THREADS][all] */
    int32_t *met, *active;
    int64_t all;           /* rows + factors */
} nb_bench;

NB_FN nb_bench nb_bench_of(const nb_held *h, const nb_sweep *w)
{
    nb_bench b;
    const int64_t block = blockIdx.x, t = threadIdx.x;
    b.all = w->rows + w->factors;
    b.by.at = h->basis + block * w->columns * NB_THREADS + t;
    b.extras.at = h->extras + block * w->extras * NB_THREADS + t;
    b.slope_extras.at = h->slope_extras + block * w->extras * NB_THREADS + t;
    b.rows = h->rows + block * b.all * NB_THREADS;
    b.met = h->met + block * w->factors;
    b.active = h->active + block * b.all;
    return b;
}

/* Adds the pixel's columns to the bench's. */
NB_FN void nb_differentiate_pixel(const nb_course *k, const nb_panel *p, const nb_held *h, const nb_sweep *w,
                                  const nb_bench *b, int64_t slot)
{
    NB_U(nb_chunk) c;
    int32_t fast, slow;
    int64_t limit[1];
    nb_pixel_of(p, slot, &fast, &slow);
    const int64_t pixel[1] = {nb_image_index(p, fast, slow)};
    c.given[0] = h->given ? h->given[pixel[0]] : 1.0;
    if (c.given[0] == 0.0) return;
    nb_sink sink = {k->s->table, h->slot, h->share, b->rows + threadIdx.x * b->all + w->rows, b->met};
    c.F[0] = (double)p->first[0] + fast;
    c.S[0] = (double)p->first[1] + slow;
    c.pixel = pixel;
    c.by[0] = b->by;
    c.extras = b->extras;
    c.limit = limit;
    c.samples.sink = &sink;
    c.orientations = nullptr;
    c.samples.extras = b->slope_extras;
    c.samples.zero = 0;
    NB_U(nb_basis)(k, p, &c);
}

NB_FN void nb_make_rows(const nb_held *h, const nb_sweep *w, const nb_bench *b)
{
    double *row = b->rows + threadIdx.x * b->all;
    for (int64_t i = 0; i < w->rows; i++) {
        double sum = 0.0;
        for (int64_t j = h->start[i]; j < h->start[i + 1]; j++) sum += h->value[j] * b->by[h->column[j]];
        row[i] = sum;
    }
}

/* Lists the rows that are in use: all that are no factors, then those that were met, in any order; returns how many. */
NB_FN int64_t nb_list_rows(const nb_sweep *w, const nb_bench *b)
{
    __shared__ int count;
    if (threadIdx.x == 0) count = (int)w->rows;
    for (int64_t i = threadIdx.x; i < w->rows; i += NB_THREADS) b->active[i] = (int32_t)i;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < w->factors; i += NB_THREADS)
        if (b->met[i]) {
            b->active[atomicAdd(&count, 1)] = (int32_t)(w->rows + i);
            b->met[i] = 0;
        }
    __syncthreads();
    return count;
}

/* H += J^T W J, b += J^T W r of the group's pixels: a thread has some elements of H and b. */
NB_FN void nb_square_rows(const nb_panel *p, const nb_held *h, const nb_sweep *w, const nb_bench *b, int64_t slot, int pixels,
                          int64_t active, double *H)
{
    __shared__ double weight[NB_THREADS], residual[NB_THREADS];
    if ((int)threadIdx.x < pixels) {
        int32_t fast, slow;
        nb_pixel_of(p, slot, &fast, &slow);
        const int64_t pixel = nb_image_index(p, fast, slow);
        weight[threadIdx.x] = h->weights[pixel];
        residual[threadIdx.x] = h->residual[pixel];
    }
    __syncthreads();
    for (int64_t i = threadIdx.x; i < active; i += NB_THREADS) {
        const double *row = b->rows + b->active[i];
        double sum = 0.0;
        for (int k = 0; k < pixels; k++) sum += weight[k] * row[k * b->all] * residual[k];
        H[b->all * b->all + b->active[i]] += sum;
    }
    for (int64_t pair = threadIdx.x; pair < active * (active + 1) / 2; pair += NB_THREADS) {
        int64_t i = (int64_t)((sqrt(8.0 * (double)pair + 1.0) - 1.0) * 0.5);
        while (i * (i + 1) / 2 > pair) i--;
        while ((i + 1) * (i + 2) / 2 <= pair) i++;
        const int64_t row = b->active[i], other = b->active[pair - i * (i + 1) / 2];
        const double *x = b->rows + row, *y = b->rows + other;
        double sum = 0.0;
        for (int k = 0; k < pixels; k++) sum += weight[k] * x[k * b->all] * y[k * b->all];
        H[row > other ? row * b->all + other : other * b->all + row] += sum;
    }
}

/* What a group's rows are made for. */
NB_FN void nb_use_rows(const nb_panel *p, const nb_held *h, const nb_sweep *w, const nb_bench *b, int64_t slot, int pixels,
                       double *H)
{
    const int64_t active = nb_list_rows(w, b);
    const bool mine = (int)threadIdx.x < pixels;
    double *row = b->rows + threadIdx.x * b->all;
    if (h->image && mine)
        for (int64_t i = 0; i < active; i++) h->image[b->active[i] * w->slots + (slot - w->origin)] = row[b->active[i]];
    if (h->weights) nb_square_rows(p, h, w, b, slot, pixels, active, H);
    __syncthreads(); /* all rows are read */
    for (int64_t i = w->rows; i < active; i++) row[b->active[i]] = 0.0;
    __syncthreads(); /* the list is read */
}

/* The block's columns, summed over its threads in a fixed order. */
NB_FN void nb_sum_columns(const nb_sweep *w, const nb_bench *b, double *sums)
{
    for (int half = NB_THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half)
            for (int64_t j = 0; j < w->columns; j++) b->by[j] += b->by.at[j * NB_THREADS + half];
    }
    __syncthreads();
    const double *first = b->by.at - threadIdx.x;
    for (int64_t j = threadIdx.x; j < w->columns; j += NB_THREADS) sums[j] = first[j * NB_THREADS];
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_differentiate(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_panel panel,
                 const __grid_constant__ nb_sweep sweep, const __grid_constant__ nb_held held)
{
    const nb_sweep *w = &sweep;
    const nb_bench b = nb_bench_of(&held, w);
    nb_course k = *held.course;
    k.s = &scene;
    const int64_t size = held.given ? w->columns : b.all * (b.all + 1);
    for (int64_t unit = w->first + blockIdx.x; unit < w->last; unit += gridDim.x) {
        double *sums = held.partial + (unit - w->first) * size;
        if (held.given)
            for (int64_t j = 0; j < w->columns; j++) b.by[j] = 0.0;
        else if (held.weights) {
            for (int64_t j = threadIdx.x; j < size; j += NB_THREADS) sums[j] = 0.0;
            __syncthreads();
        }
        const int64_t begin = unit * w->groups * NB_THREADS, end = nb_least(begin + w->groups * NB_THREADS, w->pixels);
        for (int64_t group = begin; group < end; group += NB_THREADS) {
            const int64_t slot = group + threadIdx.x;
            if (!held.given)
                for (int64_t j = 0; j < w->columns; j++) b.by[j] = 0.0;
            if (slot < end) nb_differentiate_pixel(&k, &panel, &held, w, &b, slot);
            if (held.given) continue;
            if (slot < end) nb_make_rows(&held, w, &b);
            nb_use_rows(&panel, &held, w, &b, slot, (int)nb_least(end - group, NB_THREADS), sums);
        }
        if (held.given) nb_sum_columns(w, &b, sums);
    }
}

/* total[i] += partial[unit][i] of all units, in their order. */
extern "C" __global__ void nb_fold(const double *partial, int64_t units, int64_t size, double *total)
{
    const int64_t i = (int64_t)blockIdx.x * NB_THREADS + threadIdx.x;
    if (i >= size) return;
    double sum = total[i];
    for (int64_t unit = 0; unit < units; unit++) sum += partial[unit * size + i];
    total[i] = sum;
}

#include "nb_cuda_orientations.h"

#ifdef NB_HOST
/* Launch by name: see nb_render.cu. */
extern "C" int nb_host_launch(const char *name, const uint32_t *grid, uint32_t threads, void **arguments)
{
#define NB_LAUNCH(kernel)                                                                                              \
    if (!strcmp(name, #kernel)) return nb_host::launch(kernel, grid, threads, arguments);
    NB_LAUNCH(nb_prepare)
    NB_LAUNCH(nb_differentiate)
    NB_LAUNCH(nb_fold)
    NB_LAUNCH(nb_weigh)
    NB_LAUNCH(nb_choose_unit)
    NB_LAUNCH(nb_by_orientation)
    NB_LAUNCH(nb_settle)
    return 2;
}
#endif
