/* How far from the origin of reciprocal space a list of structure factors reaches. */
#ifndef NB_REACH_H
#define NB_REACH_H

#include <stdint.h>

/* Largest |h a* + k b* + l c*| of the table's values that are not zero, 0 if all are; metric: a*.a*, b*.b*, c*.c*,
 * a*.b*, a*.c*, b*.c*, in 1/length^2; F, F_min, F_count as in nb_scene. */
double nb_table_reach(const double *F, const int32_t F_min[3], const int32_t F_count[3], const double metric[6]);

#endif
