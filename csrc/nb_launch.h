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

/* ---- samples that are left out (nb_cuda_sparse.h) ---- */

#define NB_WARP 32
#define NB_TILE_FAST 8 /* pixels of a warp's tile along fast and slow; tiles begin at multiples of these on the panel's plane */
#define NB_TILE_SLOW 4

/* Of one crystal in one image. */
typedef struct {
    unsigned long long visited; /* samples evaluated */
    unsigned long long left;    /* bits of the largest F^2 L^2, a float, that does not count */
} nb_seen;

/* ---- derivatives (nb_gradient.cu) ---- */

#define NB_WORDS 3 /* numbers that a sum of an entry is made of: nb_put_entry */

/* What is asked of one crystal; three kinds of rates: turns, moves, weights (nb_asked). */
typedef struct {
    int64_t want, extras, weighted;
    int64_t first;                         /* its first column */
    int64_t start[3], column[3], value[3]; /* addresses on the device; 0: none of the kind */
} nb_request;

/* What is the same for all crystals. */
typedef struct {
    int64_t source, table, columns;  /* nb_layout */
    int64_t asks;                    /* enum nb_asks */
    int64_t cut_pixel, cut_sequence; /* nb_cut */
    double norm;                     /* of the cotangent image */
} nb_questions;

/* Some pixels of one panel. */
typedef struct {
    int64_t first, last;        /* units of the launch, `last` is not */
    int64_t groups;             /* of NB_THREADS pixels, in a unit */
    int64_t pixels;             /* of the panel that are rendered */
    int64_t columns, extras;    /* of the basis; the most of a crystal */
    int64_t rows, factors;      /* rows that are sums of columns, and of single structure factors */
    int64_t origin, slots;      /* pixels before those that are stored, and how many those are */
    int64_t crystal, lanes;     /* which, and how many threads its orientations take: nb_by_orientation */
    int64_t before, per_source; /* as nb_part */
    int64_t tables, bits;       /* whether cotangents of tables are asked for; see nb_put_entry */
} nb_sweep;

#endif
