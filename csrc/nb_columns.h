/* The basis of an image's derivatives: what it holds for each pixel, and what is asked of it (gradients 7.3).
 *
 * Each column is the derivative of the pixel by one number of the Scene, or by one combination of such numbers that any
 * parameter moves.  A derivative by a parameter is a short sum of columns, whatever the number of samples was. */
#ifndef NB_COLUMNS_H
#define NB_COLUMNS_H

#include "nb_block.h"

/* columns of the panel that the pixel is on, from 0 */
enum nb_panel_columns {
    NB_BY_PIX0 = 0,
    NB_BY_FDET = 3,
    NB_BY_SDET = 6,
    NB_BY_ODET = 9,
    NB_BY_BEAM = 12,
    NB_BY_PIXEL = 15,
    NB_BY_LAYER_STEP = 17,
    NB_BY_MU = 18,
    NB_BY_CLOSE_DISTANCE = 19,
    NB_BY_DISTANCE = 20,
    NB_PANEL_COLUMNS = 21,
};
/* then those of the whole image; after them NB_SOURCE_COLUMNS for each source, one for the default_F of each table, and for
 * each crystal NB_CRYSTAL_COLUMNS and its extras */
enum nb_image_columns {
    NB_BY_POLARIZATION = NB_PANEL_COLUMNS,
    NB_BY_POLAR_VECTOR,
    NB_BY_FLUENCE = NB_BY_POLAR_VECTOR + 3,
    NB_BY_WATER,
    NB_IMAGE_COLUMNS,
};
enum nb_source_columns { NB_BY_INCIDENT = 0, NB_BY_WAVELENGTH = 3, NB_BY_WEIGHT = 4, NB_SOURCE_COLUMNS = 5 };
enum nb_crystal_columns {
    NB_BY_N = 0,
    NB_BY_METRIC = 3,         /* by fudge times the metric's aa, bb, cc, ab + ba, ac + ca, bc + cb */
    NB_BY_CRYSTAL_WEIGHT = 9,
    NB_BY_CELL = 10,          /* by X where A0 becomes (1 + X) A0 before the orientations turn it; row-major */
    NB_CRYSTAL_COLUMNS = 19,
};

/* where a crystal's structure factors come from */
enum nb_factor_source { NB_F_CONSTANT, NB_F_NEAREST, NB_F_TRICUBIC };

/* what is worked out of a crystal; the rest of its columns stays 0 */
enum nb_want {
    NB_WANT_PULL = 1,
    NB_WANT_CELL = 2,
    NB_WANT_SHAPE = 4,
    NB_WANT_DEFAULT = 8,
    NB_WANT_ORIENTATIONS = 16,
    NB_WANT_TABLE = 32, /* every entry of the tables, or those that have a row of their own */
};
enum nb_sums {
    NB_SUM_T = 0,
    NB_SUM_PULL = 1,
    NB_SUM_SHAPE = 4, /* by N: 3; by aa bb cc ab ac bc of the metric: 6 */
    NB_SUM_CELL = 10, /* G[r] h[k] at 3 r + k */
    NB_SUM_DEFAULT = 19,
    NB_SUMS = 20,
};

/* Rates of one kind for some orientations, sorted by orientation. */
typedef struct {
    const int64_t *start;   /* [orientations + 1]; NULL: none of the kind */
    const int32_t *column;  /* which extra column */
    const double *value;    /* turn: 3, move: 9, weight: 1 numbers each */
} nb_rates;

/* What is asked of one crystal. */
typedef struct {
    const nb_block *block;
    int want;              /* enum nb_want */
    int32_t extras, weighted; /* columns; the first so many count by the orientation's weight: turns and moves */
    nb_rates turn, move, weight;
} nb_asked;

/* what is worked out of the detector and the beam; the rest of their columns may stay 0 */
enum nb_asks {
    NB_ASK_PANELS = 1,
    NB_ASK_SOURCES = 2, /* their directions and wavelengths */
    NB_ASK_POLARIZATION = 4,
};

/* Where the columns begin. */
typedef struct {
    int32_t source, table;    /* first of the first */
    const int32_t *crystal;   /* first of each */
    int32_t columns;
} nb_layout;

#endif
