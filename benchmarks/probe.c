/* What this processor can do at most: multiply-adds, divisions, loads and stores from L1, per second on one core.
 *
 * Compiled by machine.py with -DWIDTH=16, 32 or 64 (bytes of a vector) and the flags of an instruction set. Prints
 * "name value" lines: flops/s for double and float, divisions/s for double and float, bytes/s read and written in L1. */
#include <stdio.h>
#include <time.h>

typedef double vd __attribute__((vector_size(WIDTH)));
typedef float vf __attribute__((vector_size(WIDTH)));

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

/* keeps a value in a register and its history unknown to the compiler */
#define KEEP(x) __asm__ volatile("" : "+x"(x))

/* best of several runs of `body`, which does `work` units */
#define BEST(name, work, body)                                                                                         \
    do {                                                                                                               \
        double best = 1e30;                                                                                            \
        for (int run = 0; run < 7; run++) {                                                                            \
            const double start = now();                                                                                \
            body;                                                                                                      \
            const double seconds = now() - start;                                                                      \
            if (seconds < best) best = seconds;                                                                        \
        }                                                                                                              \
        printf("%s %.6g\n", name, (work) / best);                                                                      \
    } while (0)

enum { TURNS = 1000000 };

/* independent chains hide the latency; named one by one, so that each stays in a register */
#define EACH(do_) do_(0) do_(1) do_(2) do_(3) do_(4) do_(5) do_(6) do_(7) do_(8) do_(9)
#define START(i) a##i = b;
#define MULTIPLY_ADD(i) a##i = a##i * m + b; KEEP(a##i);
#define DIVIDE(i) a##i = b / a##i; KEEP(a##i);

#define CHAINS(type, scalar, name, turns, per_step, step)                                                              \
    do {                                                                                                               \
        type a0, a1, a2, a3, a4, a5, a6, a7, a8, a9;                                                                   \
        type m = (type){0} + (scalar)0.999, b = (type){0} + (scalar)1.001;                                             \
        KEEP(m);                                                                                                       \
        KEEP(b);                                                                                                       \
        EACH(START)                                                                                                    \
        BEST(name, 10.0 * per_step * (turns) * (WIDTH / sizeof(scalar)), for (int t = 0; t < (turns); t++) { EACH(step) }); \
    } while (0)

enum { BYTES = 8192 }; /* a quarter of the smallest L1 */

static double from[BYTES / 8] __attribute__((aligned(64))), to[BYTES / 8] __attribute__((aligned(64)));

/* two loads and a store, the mix of the engine's inner loop */
static void sweep(void)
{
    for (int t = 0; t < 20000; t++) {
        for (int i = 0; i < BYTES / 8; i += WIDTH / 8) {
            vd x = *(vd *)(from + i), y = *(vd *)(to + i);
            KEEP(x);
            KEEP(y);
            *(vd *)(to + i) = x;
        }
        __asm__ volatile("" ::: "memory");
    }
}

int main(void)
{
    CHAINS(vd, double, "flops_double", TURNS, 2, MULTIPLY_ADD);
    CHAINS(vf, float, "flops_float", TURNS, 2, MULTIPLY_ADD);
    CHAINS(vd, double, "divisions_double", TURNS / 10, 1, DIVIDE);
    CHAINS(vf, float, "divisions_float", TURNS / 10, 1, DIVIDE);
    BEST("l1_bytes", 3.0 * BYTES * 20000, sweep());
    return 0;
}
