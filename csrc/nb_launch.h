/* What Python and the CUDA kernels share beside the Scene: the numbers of the specialisations and one launch's part of it.
 *
 * nbragg/_engine.pyx gives all of it to nbragg/engine/cuda_kernel.py and cuda_engine.py. */
#ifndef NB_LAUNCH_H
#define NB_LAUNCH_H

#ifndef __CUDACC_RTC__
#include <stdint.h>
#endif

/* Macros, not enumerations: the preprocessor compares them.  NB_USE_INDEX, arithmetic of h, k, l (nb_cuda_index.h): */
#define NB_INDEX_DOUBLE 0
#define NB_INDEX_FIXED 1
#define NB_INDEX_PAIRS 2
/* NB_USE_TABLE, structure factors: */
#define NB_TABLE_CONSTANT 0 /* default_F everywhere */
#define NB_TABLE_NEAREST 1  /* nearest listed value */
#define NB_TABLE_TRICUBIC 2

#define NB_PER_THREAD 16 /* blocks of nb_render whose pixels one block of nb_finish completes */

/* Whole rows of the roi of one panel, and one crystal. */
typedef struct {
    int64_t first_row;    /* of the panel */
    int64_t rows;         /* rows * width of the roi < 2^31 */
    int64_t origin;       /* image index at which the image buffers begin */
    int64_t image_stride; /* pixels from one image of a batch to the next */
    int64_t splits;       /* parts into which the crystal's orientations are divided; nb_finish: of all crystals together */
    int64_t crystal;      /* which */
    int64_t before;       /* orientations of the crystals before it ... */
    int64_t per_source;   /* ... and of all: samples of one source at one sub-pixel */
    double index_bound;   /* see nb_scattering_of */
} nb_part;

/* The first sample of a block's pixels that cannot be interpolated. */
typedef struct {
    int64_t beyond;   /* image index of its pixel plus 1; 0: there is none */
    int64_t sequence; /* its number among the pixel's samples */
} nb_block_cut;

#endif
