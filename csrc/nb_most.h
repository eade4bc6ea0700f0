/* The largest structure factors of blocks of indices: what bounds the light of samples that are not looked at (nb_tree.h). */
#ifndef NB_MOST_H
#define NB_MOST_H

#include "nb_scene.h"

#define NB_MOST_ENTRIES 4000000 /* of a table, up to which its blocks are as small as can be */

/* Of one table.  Block (i, j, k) holds twice `edge` indices from F_min + edge (i - 2) on, and so along the other axes: the first and
 * the last lie wholly outside the list, where default_F stands. */
typedef struct {
    const float *F_sqr;  /* [count[0]][count[1]][count[2]], electrons^2, rounded up; NULL: `all` everywhere */
    int32_t count[3], edge;
    float all, outside;  /* largest of all; default_F^2 */
    int32_t sparse;      /* most of the blocks hold nothing but zeros */
} nb_most;

/* A crystal without its orientations as the bound (nb_bound_at.h) wants it, on CPU and GPU. */
typedef struct {
    double end, least; /* from where on samples count: L^2 as a fraction of its peak; that times F^2, electrons^2 */
    double photons;    /* that F^2 L^2 of 1 electron^2 in all of a pixel's samples gives at most */
    double untold;     /* F^2 L^2 that may be left out without a float to tell it */
    float n[3];        /* cells along a block's edges */
    float share[3];    /* c M_rr, fudge folded in */
    float inverse[6];  /* of M: aa bb cc ab ac bc */
    float norm[3];     /* sqrt(M_rr) */
    float outer;       /* squared radius from which on nothing counts; NB_NOWHERE: none */
    float reach[3];    /* the same along the indices */
    float faint;       /* `least`, rounded down; 0 where it is no normal float */
    float most;        /* largest F^2 */
} nb_bound;

/* Number of blocks along the axes; returns their edge. */
int32_t nb_most_size(const nb_table *t, int32_t count[3]);

/* Fills F_sqr of nb_most_size entries; returns 0 where memory is missing. */
int nb_most_of(const nb_table *t, float *F_sqr, nb_most *out);

#endif
