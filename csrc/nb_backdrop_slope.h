/* How the images of nb_backdrop.h move with what they are made from: exact derivatives, by complex numbers. */
#ifndef NB_BACKDROP_SLOPE_H
#define NB_BACKDROP_SLOPE_H

#include "nb_complex.h"

/* Images of all pixels, each NULL or with a place for every one; what is not rendered stays as it is. */
typedef struct {
    nb_real *background, *fixed, *transmission;
} nb_backdrop_planes;

typedef struct {
    int32_t threads; /* 0: as many as OpenMP would take */
    nb_real step;    /* h: numbers are value + i h rate */
    nb_backdrop_planes rates, values;
    const int32_t *cancel; /* set to 1 by another thread to stop */
    int64_t *progress;     /* pixels done so far */
} nb_backdrop_slopes_job;

/* Panels, sources, polarization of the Scene count. Returns enum nb_status. */
int nb_backdrop_slopes(const nb_scene_c *scene, const nb_backdrop_c *backdrop, const nb_backdrop_slopes_job *job);

#endif
