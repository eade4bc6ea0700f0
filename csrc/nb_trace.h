/* Every intermediate value of one pixel, sample by sample. */
#ifndef NB_TRACE_H
#define NB_TRACE_H

#include "nb_scene.h"

enum nb_F_kind { NB_F_NOT_LOOKED_AT = 0, NB_F_DEFAULT = 1, NB_F_LISTED = 2, NB_F_INTERPOLATED = 3 };

/* One sample, in the order of canonical 6.1.  Lengths m, q and stol 1/m; every member has 8 bytes. */
typedef struct {
    int64_t panel, layer, sub_slow, sub_fast, source, crystal, orientation;
    double position[3]; /* laboratory frame */
    double R, omega, capture;
    double wavelength, weight; /* of the source */
    double share;       /* what the orientation counts for: its weight and its crystal's */
    double q[3], stol;
    double polarization; /* of this sub-pixel and source; 1 with nopolar */
    int64_t kept;        /* 0: beyond dmin, not looked at */
    double abc[3][3];    /* rows a, b, c */
    double hkl[3];
    int64_t hkl0[3];     /* nearest whole indices */
    int64_t F_kind;      /* enum nb_F_kind */
    double F_cell, F_latt; /* F_latt without its sign */
    double term;        /* what the sample adds: weight share F^2 L^2 and the factors taken per sample */
    double running_sum; /* with the terms before it, and the water that canonical 8 starts from */
} nb_trace_row;

/* From the last running sum to the pixel:
 * pixel = (scale * sum * omega * polarization * capture + water) * transmission + background. */
typedef struct {
    double start; /* the sum before the first sample: I_bg of canonical 8, else 0 */
    double scale; /* r_e^2 fluence / steps */
    double omega, polarization, capture; /* factors taken once for the pixel; 1 for one taken per sample */
    double water; /* photons added after the sum (canonical 11), else 0 */
    double transmission, background; /* share that arrives; photons from behind the spots: nb_with_backdrop */
    double pixel; /* photons */
} nb_trace_total;

/* Samples of a pixel of the panel. */
int64_t nb_trace_length(const nb_scene *s, int32_t panel);

/* Fills nb_trace_length rows for a pixel of the panel.  interpolate: whether the samples of this pixel start out
 * interpolated, with NB_TRICUBIC (canonical 7.3); the first that cannot be takes default_F and those after it the nearest
 * value.  isa: the instruction set of the image to be explained, since fused multiply-adds round differently.  Returns
 * enum nb_status. */
int nb_trace_pixel(const nb_scene *s, int32_t panel, int32_t fast, int32_t slow, int interpolate, nb_trace_row *rows,
                   nb_trace_total *total, int isa);

#endif
