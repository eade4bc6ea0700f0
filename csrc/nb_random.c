/* Compiled without contraction of a*b+c: the stream must not depend on the instruction set.
 * Types (float or double) are part of the definition: an ulp decides whether a deviate is accepted. */
#include "nb_random.h"

#include <math.h>

#include "nb_constants.h"

/* Park and Miller's minimal generator, by Schrage's factorisation modulus = A * Q + R */
#define A 16807
#define MODULUS 2147483647
#define Q 127773
#define R 2836
#define WARM_UP 8

static int64_t step(int64_t state)
{
    const int64_t k = state / Q;
    const int64_t next = A * (state - k * Q) - R * k;
    return next < 0 ? next + MODULUS : next;
}

void nb_seed(nb_stream *r, int64_t seed)
{
    r->state = seed % MODULUS == 0 ? 1 : (seed < 0 ? -seed : seed); /* 0 would stay 0 */
    for (int i = 0; i < WARM_UP; i++) r->state = step(r->state);
    for (int i = NB_SHUFFLE - 1; i >= 0; i--) {
        r->state = step(r->state);
        r->table[i] = r->state;
    }
    r->last = r->table[0];
    r->has_spare = 0;
    r->spare = 0.0f;
}

float nb_uniform(nb_stream *r)
{
    const float largest = (float)(1.0 - 1.2e-7);
    const int64_t per_slot = 1 + (MODULUS - 1) / NB_SHUFFLE;
    r->state = step(r->state);
    const int64_t slot = r->last / per_slot;
    r->last = r->table[slot];
    r->table[slot] = r->state;
    const float u = (float)(1.0 / MODULUS * (double)r->last);
    return u > largest ? largest : u;
}

float nb_gaussian(nb_stream *r)
{
    if (r->has_spare) {
        r->has_spare = 0;
        return r->spare;
    }
    float x, y, s;
    do {
        x = (float)(2.0 * nb_uniform(r) - 1.0);
        y = (float)(2.0 * nb_uniform(r) - 1.0);
        s = x * x + y * y;
    } while (s >= 1.0f || s == 0.0f);
    const float scale = (float)sqrt(-2.0 * log(s) / s);
    r->spare = x * scale;
    r->has_spare = 1;
    return y * scale;
}

/* ln Gamma by the six-term Lanczos series */
static float ln_gamma(float z)
{
    static const double series[6] = {76.18009172947146,  -86.50532032941677,    24.01409824083091,
                                     -1.231739572450155, 0.1208650973866179e-2, -0.5395239384953e-5};
    const double x = z;
    double sum = 1.000000000190015;
    for (int i = 0; i < 6; i++) sum += series[i] / (x + 1.0 + i);
    const double shifted = x + 5.5;
    return (float)(-(shifted - (x + 0.5) * log(shifted)) + log(2.5066282746310005 * sum / x));
}

float nb_poisson(nb_stream *r, float mean)
{
    if (mean > 1.0e6f) return (float)(mean + sqrt(mean) * nb_gaussian(r));
    if (mean < 12.0f) {
        /* events in unit time: exponential waiting times add up as uniforms multiply */
        const float floor_product = (float)exp(-mean);
        float product = 1.0f, events = -1.0f;
        do {
            events += 1.0f;
            product *= nb_uniform(r);
        } while (product > floor_product);
        return events;
    }
    /* rejection from a Lorentzian that lies above the distribution */
    const float width = (float)sqrt(2.0 * mean), ln_mean = (float)log(mean);
    const float peak = mean * ln_mean - ln_gamma(mean + 1.0f);
    float events, accept;
    do {
        float y;
        do {
            y = (float)tan(NB_PI * nb_uniform(r));
            events = width * y + mean;
        } while (events < 0.0f);
        events = floorf(events);
        accept = (float)(0.9 * (1.0 + y * y) * exp(events * ln_mean - ln_gamma(events + 1.0f) - peak));
    } while (nb_uniform(r) > accept);
    return events;
}

int64_t nb_noise_image(nb_stream *r, const float *photons, int32_t *counts, int32_t fpixels, const int32_t roi[4],
                       double offset, int32_t most)
{
    int64_t overloads = 0;
    for (int64_t slow = roi[2]; slow <= roi[3]; slow++)
        for (int64_t fast = roi[0]; fast <= roi[1]; fast++) {
            const int64_t i = slow * fpixels + fast;
            double value = nb_poisson(r, photons[i]) + offset;
            if (value > most) {
                value = most;
                overloads++;
            }
            counts[i] = value > 0.0 ? (int32_t)value : 0;
        }
    return overloads;
}
