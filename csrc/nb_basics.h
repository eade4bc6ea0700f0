/* What all formulas stand on: constants, the Scene, how functions are declared, products of vectors.
 *
 * NB_RE(x) is what is compared of a number: the number itself, and of one that carries a derivative its real part
 * (nb_complex.h). */
#ifndef NB_BASICS_H
#define NB_BASICS_H

#include "nb_constants.h"
#include "nb_scene.h"

#ifndef NB_RE
#define NB_RE(x) (x)
#endif

#ifdef __CUDACC__
#define NB_FN __device__ static __forceinline__
#define NB_SMALL __device__ static inline
#else
#include <math.h>
#define NB_FN static inline __attribute__((always_inline, unused))
#define NB_SMALL static inline /* not in the loops: as the compiler likes */
#endif

NB_FN double nb_dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

NB_FN void nb_cross(const double a[3], const double b[3], double out[3])
{
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

/* Whether a panel's sensor absorbs; otherwise every layer captures everything. */
NB_FN int nb_absorbs(const nb_panel *p)
{
    return NB_RE(p->thickness) > 0.0 && NB_RE(p->mu) > 0.0;
}

/* Whether every source's light is absorbed in its own way.  NB_USE_SOURCE_MU 0: nowhere, for kernels with few registers. */
#ifndef NB_USE_SOURCE_MU
#define NB_USE_SOURCE_MU 1
#endif
NB_FN int nb_mu_differs(const nb_panel *p)
{
    return NB_USE_SOURCE_MU && p->source_mu;
}

/* Whether its layers have their photons deeper than at their fronts. */
NB_FN int nb_at_mean_depth(const nb_panel *p)
{
    return p->mean_depth && nb_absorbs(p);
}

#endif
