#include "nb_most.h"

#include <math.h>
#include <stdlib.h>

#define UP 1.000001 /* more than a float's rounding takes away */

int32_t nb_most_size(const nb_table *t, int32_t count[3])
{
    const int32_t edge = (int64_t)t->F_count[0] * t->F_count[1] * t->F_count[2] <= NB_MOST_ENTRIES ? 1 : 4;
    for (int r = 0; r < 3; r++) count[r] = (t->F_count[r] + edge - 1) / edge + 3;
    return edge;
}

/* Every entry becomes the larger of itself and the next, `stride` further on, among `count` of an axis. */
static void with_next(float *values, int64_t outer, int64_t count, int64_t stride)
{
    for (int64_t o = 0; o < outer; o++, values += count * stride)
        for (int64_t i = 0; i + 1 < count; i++)
            for (int64_t k = 0; k < stride; k++) {
                const float next = values[(i + 1) * stride + k];
                if (next > values[i * stride + k]) values[i * stride + k] = next;
            }
}

int nb_most_of(const nb_table *t, float *F_sqr, nb_most *out)
{
    const double outside = UP * t->default_F * t->default_F;
    out->outside = out->all = (float)outside;
    out->F_sqr = NULL;
    out->sparse = 0;
    if (!t->F) return 1;
    const int32_t edge = out->edge = nb_most_size(t, out->count);
    const int64_t plane = (int64_t)out->count[1] * out->count[2], all = out->count[0] * plane;
    int32_t *place = malloc((size_t)t->F_count[2] * sizeof *place);
    if (!place) return 0;
    for (int32_t k = 0; k < t->F_count[2]; k++) place[k] = k / edge + 2;
    for (int64_t i = 0; i < all; i++) F_sqr[i] = 0.0f;
    const double *F = t->F;
    for (int32_t i = 0; i < t->F_count[0]; i++)
        for (int32_t j = 0; j < t->F_count[1]; j++) {
            float *row = F_sqr + (i / edge + 2) * plane + (j / edge + 2) * (int64_t)out->count[2];
            for (int32_t k = 0; k < t->F_count[2]; k++, F++) {
                const float value = (float)(UP * *F * *F);
                if (value > row[place[k]]) row[place[k]] = value;
                if (value > out->all) out->all = value;
            }
        }
    free(place);
    /* a block without a single place in the list has default_F, and so has one that the list's end cuts */
    for (int32_t i = 0; i < out->count[0]; i++)
        for (int32_t j = 0; j < out->count[1]; j++)
            for (int32_t k = 0; k < out->count[2]; k++) {
                const int32_t at[3] = {i, j, k};
                int within = 1;
                for (int r = 0; r < 3; r++) within &= at[r] >= 2 && (at[r] - 1) * edge <= t->F_count[r];
                float *value = F_sqr + i * plane + j * (int64_t)out->count[2] + k;
                if (!within && out->outside > *value) *value = out->outside;
            }
    with_next(F_sqr, 1, out->count[0], plane);
    with_next(F_sqr, out->count[0], out->count[1], out->count[2]);
    with_next(F_sqr, (int64_t)out->count[0] * out->count[1], out->count[2], 1);
    int64_t zeros = 0;
    for (int64_t i = 0; i < all; i++) zeros += F_sqr[i] == 0.0f;
    out->sparse = zeros > 0.75 * (double)all; /* those of a ball that fills its box are about a half */
    out->F_sqr = F_sqr;
    return 1;
}
