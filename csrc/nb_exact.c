/* Compiled without contraction of a*b+c, as nb_response.c. */
#include "nb_exact.h"

#include "nb_response.h"

void nb_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t words[4])
{
    const nb_draws d = {{key[0], key[1]}, counter[2], counter[3]};
    uint64_t w[4];
    nb_block_d(&d, counter[0], counter[1], w);
    for (int i = 0; i < 4; i++) words[i] = (uint32_t)w[i];
}

static double value_of(int function, double x)
{
    switch (function) {
    case NB_LN: return nb_ln_d(x);
    case NB_LN_FACTORIAL: return nb_ln_factorial_d(x);
    case NB_NORMAL_OF_UNIFORM: return nb_normal_d(x);
    default: return nb_lower_root(x);
    }
}

void nb_exact_math(int function, const double *x, double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = value_of(function, x[i]);
}

static double deviate(int kind, const nb_draws *d, uint64_t pixel, uint32_t draw, double a, double b)
{
    double u[2];
    switch (kind) {
    case NB_NORMAL: return nb_normal_of_d(d, pixel, draw);
    case NB_POISSON: return nb_poisson_of(d, pixel, draw, a);
    case NB_BINOMIAL: return nb_binomial_of(d, pixel, draw, a, b);
    default: nb_uniforms_d(d, pixel, draw, u); return u[kind == NB_SECOND_UNIFORM];
    }
}

void nb_deviates(int kind, uint64_t seed, uint64_t image, uint32_t stage, uint32_t draw, const uint64_t *pixel,
                 const double *a, const double *b, double *y, int64_t n)
{
    const nb_draws d = nb_draws_of(seed, image, stage);
    for (int64_t i = 0; i < n; i++) y[i] = deviate(kind, &d, pixel[i], draw, a[i], b[i]);
}

double nb_flicker(uint64_t seed, uint64_t image, double rms)
{
    const nb_draws d = nb_draws_of(seed, image, NB_STAGE_FLICKER);
    return nb_most_d(1.0 + rms * nb_normal_of_d(&d, 0, 0), 0.0);
}
