/* Single deviates and functions of nb_deviates.h and nb_counting.h, for Python and the tests that state their error. */
#ifndef NB_EXACT_H
#define NB_EXACT_H

#include <stdint.h>

enum nb_function { NB_LN, NB_LN_FACTORIAL, NB_NORMAL_OF_UNIFORM, NB_LOWER_ROOT };
enum nb_deviate { NB_UNIFORM, NB_SECOND_UNIFORM, NB_NORMAL, NB_POISSON, NB_BINOMIAL };

void nb_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4]);

/* y[i] = f(x[i]) */
void nb_exact_math(int function, const double *x, double *y, int64_t n);

/* One deviate for each pixel, from block number `draw` on.  a: means of Poisson deviates, trials of binomial ones, whose
 * probabilities are b. */
void nb_deviates(int kind, uint64_t seed, uint64_t image, uint32_t stage, uint32_t draw, const uint64_t *pixel,
                 const double *a, const double *b, double *y, int64_t n);

/* max(0, 1 + rms z): the factor of a whole image */
double nb_flicker(uint64_t seed, uint64_t image, double rms);

#endif
