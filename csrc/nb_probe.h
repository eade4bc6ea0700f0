/* Elementary functions of nb_math.h and nb_lattice.h one value at a time, for the tests that state their error. */
#ifndef NB_PROBE_H
#define NB_PROBE_H

#include <stdint.h>

enum nb_probe {
    NB_PROBE_ROUND, NB_PROBE_SINPI, NB_PROBE_COSPI, NB_PROBE_EXP, NB_PROBE_SQUARE, NB_PROBE_SPHERE, NB_PROBE_ERF,
    NB_PROBE_GAUSS_MEAN };

void nb_probe_math(int function, int single, const double *x, double *y, int64_t n, double parameter);

#endif
