/* How the image of nb_diffuse.h moves with what it is made from: exact derivatives, by complex numbers. */
#ifndef NB_DIFFUSE_SLOPE_H
#define NB_DIFFUSE_SLOPE_H

#include "nb_complex.h"

typedef struct {
    int32_t threads;       /* 0: as many as OpenMP would take */
    nb_real step;          /* h: numbers are value + i h rate */
    nb_real *rate, *value; /* images of all pixels; value: or NULL.  What is not rendered stays as it is */
    const int32_t *cancel; /* set to 1 by another thread to stop */
    int64_t *progress;     /* pixels done so far */
} nb_diffuse_slopes_job;

/* Panels, sources, tables, polarization and resolution limit of the Scene count.  Returns enum nb_status. */
int nb_diffuse_slopes(const nb_scene_c *scene, const nb_diffuse_c *diffuse, const nb_diffuse_slopes_job *job);

#endif
