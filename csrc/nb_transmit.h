/* The share of the light that passes, at points one names: for the direct beam, reports and tests. */
#ifndef NB_TRANSMIT_H
#define NB_TRANSMIT_H

#include "nb_obstacles.h"

/* T[n] of light of a source along `incident` that is scattered at points `at` and arrives at P[n][3].
 * at: [n][3] with at_step 3; one point for all with at_step 0. */
void nb_transmit(const nb_obstacles *o, int32_t source, const double incident[3], const double *at, int64_t at_step,
                 const double *P, double *T, int64_t n);

#endif
