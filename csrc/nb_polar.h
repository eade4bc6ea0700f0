/* Axes of a source's polarization, the same for all that it lights: nb_polarization in nb_sample.h wants them. */
#ifndef NB_POLAR_H
#define NB_POLAR_H

#include "nb_basics.h"

/* B = unit(p x i), E = i x B; per = 1/length(p x i), 0 where they are parallel. */
typedef struct {
    double B[3], E[3], per;
} nb_axes;

/* polar: p; incident: i, of length 1. */
NB_FN nb_axes nb_axes_of(const double polar[3], const double incident[3])
{
    nb_axes x;
    nb_cross(polar, incident, x.B);
    const double length_sqr = nb_dot(x.B, x.B);
#ifdef __CUDACC__
    x.per = length_sqr > 0.0 ? rsqrt(length_sqr) : 0.0;
#else
    x.per = NB_RE(length_sqr) > 0.0 ? 1.0 / sqrt(length_sqr) : 0.0;
#endif
    for (int k = 0; k < 3; k++) x.B[k] *= x.per;
    nb_cross(incident, x.B, x.E);
    return x;
}

#endif
