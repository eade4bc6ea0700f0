/* CUDA's language for a host C++ compiler, so that nb_render.cu can be tested where there is no GPU.
 *
 * A block's threads are coroutines on one host thread (ucontext): __syncthreads() passes control to the next, so barriers
 * mean what they mean on a GPU, and a thread that leaves while others wait at a barrier is reported.  So do those of a
 * warp, 32 threads: __ballot_sync() and __syncwarp() wait for the warp alone.  Blocks run one after
 * the other, or on several host threads (OpenMP), since __shared__ is thread-local.  Not shipped with the package. */
#ifndef NB_HOST_SHIM_H
#define NB_HOST_SHIM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmath>
#include <tuple>
#include <utility>

#define __global__
#define __shared__ static thread_local
#define __grid_constant__
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define NB_UNROLL
#define NB_ONCE

struct nb_dim3 {
    uint32_t x, y, z;
};
static thread_local nb_dim3 threadIdx, blockIdx, gridDim;

namespace nb_host {

enum state { AT_BLOCK, AT_WARP, DONE };

struct fiber {
    ucontext_t context;
    state where; /* the barrier it waits at */
    bool vote;
    uint32_t ballot;
};

enum { STACK = 256 * 1024, WARP = 32 };

/* everything one host thread needs to run blocks */
struct machine {
    int threads = 0, current = 0;
    fiber *fibers = nullptr;
    char *stacks = nullptr;
    ucontext_t home;
    void (*body)(void *) = nullptr;
    void *argument = nullptr;
    bool backwards = false;
};

static thread_local machine *here;

static void start()
{
    machine *m = here;
    m->body(m->argument);
    m->fibers[m->current].where = DONE;
    swapcontext(&m->fibers[m->current].context, &m->home);
}

/* Runs threads `first` to `last` up to their next barrier of the block, or their end, forwards and backwards in turn, so that a
 * barrier that is missing is noticed; false: they wait at different ones. */
static bool run_warp(machine *m, int first, int last)
{
    for (;;) {
        uint32_t ballot = 0;
        m->backwards = !m->backwards;
        for (int n = first; n < last; n++) {
            const int i = m->backwards ? first + last - 1 - n : n;
            m->current = i;
            threadIdx = {(uint32_t)i, 0, 0};
            swapcontext(&m->home, &m->fibers[i].context);
            ballot |= (uint32_t)m->fibers[i].vote << (i - first);
        }
        for (int i = first; i < last; i++)
            if (m->fibers[i].where != m->fibers[first].where) return false;
        if (m->fibers[first].where != AT_WARP) return true;
        for (int i = first; i < last; i++) m->fibers[i].ballot = ballot;
    }
}

/* Runs the block: every thread up to its next barrier, again and again until all have ended. */
static bool run_block(machine *m)
{
    here = m;
    for (int i = 0; i < m->threads; i++) {
        fiber *f = m->fibers + i;
        f->where = AT_BLOCK;
        getcontext(&f->context);
        f->context.uc_stack.ss_sp = m->stacks + (size_t)i * STACK;
        f->context.uc_stack.ss_size = STACK;
        f->context.uc_link = nullptr;
        makecontext(&f->context, start, 0);
    }
    for (;;) {
        int ended = 0;
        for (int i = 0; i < m->threads; i += WARP) {
            const int last = i + WARP < m->threads ? i + WARP : m->threads;
            if (!run_warp(m, i, last)) return false;
            if (m->fibers[i].where == DONE) ended += last - i;
        }
        if (ended == m->threads) return true;
        if (ended) return false; /* a barrier that not all threads reach */
    }
}

template <class... A, size_t... I>
static int launch(void (*kernel)(A...), const uint32_t grid[3], uint32_t threads, void **arguments, std::index_sequence<I...>)
{
    using values = std::tuple<A...>;
    struct call {
        void (*kernel)(A...);
        void **arguments;
    } what = {kernel, arguments};
    const auto body = [](void *p) {
        const call *c = (const call *)p;
        c->kernel(*(std::tuple_element_t<I, values> *)c->arguments[I]...);
    };
    const int64_t blocks = (int64_t)grid[0] * grid[1] * grid[2];
    int failed = 0;
#pragma omp parallel if (blocks > 16)
    {
        machine m;
        m.threads = (int)threads;
        m.fibers = (fiber *)calloc(threads, sizeof(fiber));
        m.stacks = (char *)malloc((size_t)threads * STACK);
        m.body = body;
        m.argument = &what;
        gridDim = {grid[0], grid[1], grid[2]};
#pragma omp for schedule(dynamic)
        for (int64_t b = 0; b < blocks; b++) {
            blockIdx = {(uint32_t)(b % grid[0]), (uint32_t)(b / grid[0] % grid[1]), (uint32_t)(b / grid[0] / grid[1])};
            if (!run_block(&m)) __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
        }
        free(m.fibers);
        free(m.stacks);
    }
    return failed;
}

template <class... A>
static int launch(void (*kernel)(A...), const uint32_t grid[3], uint32_t threads, void **arguments)
{
    return launch(kernel, grid, threads, arguments, std::index_sequence_for<A...>{});
}

}  // namespace nb_host

namespace nb_host {

/* Until all of the block or of the warp wait at the same. */
static inline fiber *wait(state where, bool vote)
{
    machine *m = here;
    fiber *me = m->fibers + m->current;
    me->where = where;
    me->vote = vote;
    swapcontext(&me->context, &m->home);
    return me;
}

}  // namespace nb_host

static inline void __syncthreads()
{
    nb_host::wait(nb_host::AT_BLOCK, false);
}

static inline void __syncwarp()
{
    nb_host::wait(nb_host::AT_WARP, false);
}

/* mask: of all lanes, which alone is provided for */
static inline uint32_t __ballot_sync(uint32_t, bool vote)
{
    return nb_host::wait(nb_host::AT_WARP, vote)->ballot;
}

static inline int __ffs(int v)
{
    return __builtin_ffs(v);
}

static inline int __popc(uint32_t v)
{
    return __builtin_popcount(v);
}

static inline double rsqrt(double v)
{
    return 1.0 / sqrt(v);
}

static inline int __double2loint(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    return (int)(uint32_t)bits;
}

static inline int __double2hiint(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, 8);
    return (int)(uint32_t)(bits >> 32);
}

static inline double __hiloint2double(int high, int low)
{
    const uint64_t bits = ((uint64_t)(uint32_t)high << 32) | (uint32_t)low;
    double v;
    memcpy(&v, &bits, 8);
    return v;
}

static inline float __int_as_float(int bits)
{
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

static inline int __float_as_int(float v)
{
    int bits;
    memcpy(&bits, &v, 4);
    return bits;
}

static inline unsigned long long atomicMin(unsigned long long *place, unsigned long long v)
{
    unsigned long long old = __atomic_load_n(place, __ATOMIC_RELAXED);
    while (v < old && !__atomic_compare_exchange_n(place, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

static inline unsigned long long atomicMax(unsigned long long *place, unsigned long long v)
{
    unsigned long long old = __atomic_load_n(place, __ATOMIC_RELAXED);
    while (v > old && !__atomic_compare_exchange_n(place, &old, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

template <class T> static inline T atomicAdd(T *place, T v)
{
    return __atomic_fetch_add(place, v, __ATOMIC_RELAXED);
}

#endif
