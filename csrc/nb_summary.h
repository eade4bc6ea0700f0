/* What a rendered image tells about itself: one struct for the CPU, the GPU and Python. */
#ifndef NB_SUMMARY_H
#define NB_SUMMARY_H

#ifndef __CUDACC_RTC__
#include <stdint.h>
#endif

#ifdef __CUDACC__
#define NB_SUMMARY_FN __device__ static __forceinline__
#else
#define NB_SUMMARY_FN static inline __attribute__((unused))
#endif

/* Sums and largest are of the pixels as stored (float); pixels are image indices, -1: none. */
typedef struct {
    double omega;            /* solid angle of the pixels rendered, sr: mean over sub-pixels and layers */
    double total, squares;   /* sums of the pixels and of their squares */
    double largest;          /* largest pixel, 0 when none is positive */
    int64_t largest_pixel;   /* the first that large */
    int64_t pixels;          /* rendered: in a roi and not masked */
    int64_t nonfinite;       /* that came out infinite or NaN */
    int64_t first_nonfinite; /* the first of them */
    int64_t cut_pixel;       /* where tricubic interpolation was switched off (canonical 7.3) */
} nb_summary;

NB_SUMMARY_FN nb_summary nb_summary_of_nothing(void)
{
    const nb_summary empty = {0.0, 0.0, 0.0, 0.0, -1, 0, 0, -1, -1};
    return empty;
}

/* Adds b to a; of equally large pixels and of those not finite the one of the lower index stays. */
NB_SUMMARY_FN void nb_summary_add(nb_summary *a, const nb_summary *b)
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

#endif
