/* The reference's random stream (canonical 9.1, 9.3): same seed, same deviates, same noise image. */
#ifndef NB_RANDOM_H
#define NB_RANDOM_H

#include <stdint.h>

enum { NB_SHUFFLE = 32 };

typedef struct {
    int64_t state, last;
    int64_t table[NB_SHUFFLE];
    int has_spare; /* a second Gaussian deviate is waiting */
    float spare;
} nb_stream;

/* seed: any integer; 0 and multiples of the modulus 2^31 - 1 count as 1 */
void nb_seed(nb_stream *r, int64_t seed);
float nb_uniform(nb_stream *r);            /* in (0, 1) */
float nb_gaussian(nb_stream *r);           /* mean 0, standard deviation 1 */
float nb_poisson(nb_stream *r, float mean);

/* Photons to counts (canonical 10.2): one Poisson deviate per pixel of the roi in raster order, plus the offset, cut at
 * `most` (65535 in the reference), truncated.  roi as in nb_scene.  Returns the number of pixels cut. */
int64_t nb_noise_image(nb_stream *r, const float *photons, int32_t *counts, int32_t fpixels, const int32_t roi[4],
                       double offset, int32_t most);

#endif
