/* One crystal as the loops over its orientations want to know it. */
#ifndef NB_BLOCK_H
#define NB_BLOCK_H

#include "nb_physics.h"

#define NB_BLOCK 64 /* orientations between two additions to the double sum; bounds the float error of `mixed` */

/* Worked out once for an image. */
typedef struct {
    const nb_crystal *crystal;
    int shape;             /* enum nb_shape, or NB_POINT */
    int interpolation;     /* enum nb_interpolation, of all its tables */
    int wet;               /* there is water: samples without intensity are looked at, too (canonical 6.5) */
    double n[3];           /* cells along a, b, c */
    double metric[6];      /* fudge * (aa bb cc 2ab 2ac 2bc) */
    double peak;           /* (Na Nb Nc)^2 times nb_crystal_share */
    int fixed;             /* in mixed precision its indices may be held in fixed point */
    const int32_t *cancel; /* looked at between blocks of orientations */
} nb_block;

/* The first sample that cannot be interpolated, in raster order (canonical 7.3); a sequence number counts the samples of a
 * pixel, those of all crystals.  pixel = INT64_MAX: none. */
typedef struct {
    int64_t pixel, sequence;
} nb_cut;

/* The end of a run of orientations that are added up before they are scaled: all of one weight. */
NB_SMALL int64_t nb_run_end(const nb_crystal *k, int64_t first)
{
    const int64_t end = first + NB_BLOCK < k->orientations ? first + NB_BLOCK : k->orientations;
    if (!k->orientation_weight) return end;
    int64_t last = first + 1;
    while (last < end && k->orientation_weight[last] == k->orientation_weight[first]) last++;
    return last;
}

/* cancel: see nb_block */
NB_SMALL nb_block nb_block_of(const nb_scene *s, const nb_crystal *k, const int32_t *cancel)
{
    nb_block c;
    c.crystal = k;
    c.shape = nb_lattice_shape(k);
    c.interpolation = (int)s->table[k->table].interpolation;
    c.wet = s->water != 0.0;
    c.peak = nb_lattice_peak(k) * nb_crystal_share(s, k);
    c.cancel = cancel;
    c.fixed = 0; /* until the renderer has looked (nb_fixed.h) */
    nb_spot_metric(k, c.metric);
    for (int j = 0; j < 3; j++) c.n[j] = k->N[j];
    return c;
}

#endif
