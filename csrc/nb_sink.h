/* Where derivatives by single structure factors go (gradients 7.5): into the cotangent of a table, or into rows. */
#ifndef NB_SINK_H
#define NB_SINK_H

#include "nb_gradient.h"
#include "nb_walk.h"

/* Derivatives of a tile's pixels, row by row; rows of structure factors are made when the first pixel has one. */
typedef struct {
    double (*value)[NB_TILE]; /* [rows + factors] */
    int32_t *active;          /* rows in use: all that are no factors, then those that were met */
    int32_t count;
    uint8_t *met;             /* [factors] */
} nb_rows;

typedef struct {
    const nb_table *first;
    double *const *table;          /* of each table, or NULL */
    const int32_t *const *slot;
    const double *const *share;
    nb_rows *rows;
    int32_t before;                /* rows before those of structure factors */
    int lane;                      /* of the tile, where the first vector of pixels begins */
} nb_sink;

static double *nb_factor_row(nb_sink *k, int32_t factor)
{
    const int32_t row = k->before + factor;
    if (!k->rows->met[factor]) {
        k->rows->met[factor] = 1;
        k->rows->active[k->rows->count++] = row;
        memset(k->rows->value[row], 0, sizeof *k->rows->value);
    }
    return k->rows->value[row];
}

/* One entry of a table, for the lanes of the i-th vector whose bit is set. */
static void nb_sink_entry(nb_sink *k, int64_t number, int i, int64_t entry, nb_vd value, unsigned bits)
{
    if (k->table && k->table[number])
        for (unsigned left = bits; left; left &= left - 1) k->table[number][entry] += value[__builtin_ctz(left)];
    if (!k->slot || !k->slot[number] || k->slot[number][entry] < 0) return;
    double *row = nb_factor_row(k, k->slot[number][entry]) + k->lane + i * NB_LANES;
    value *= k->share[number][entry];
    for (unsigned left = bits; left; left &= left - 1) row[__builtin_ctz(left)] += value[__builtin_ctz(left)];
}

static void nb_sink_nearest(nb_sink *k, const nb_table *t, int i, nb_vd place, nb_vdmask inside, nb_vd value)
{
    /* neighbouring lanes mostly share their entry */
    for (unsigned left = nb_bits_vd(inside); left;) {
        const double first = place[__builtin_ctz(left)];
        const unsigned same = nb_bits_vd((place == first) & inside);
        nb_sink_entry(k, t - k->first, i, (int64_t)first, value, same);
        left &= ~same;
    }
}

/* value: owed to F of the samples at `index`, of orientation o; see nb_interpolated. */
static void nb_sink_tricubic(nb_sink *k, const nb_table *t, int i, const nb_vd index[3], const int64_t *limit, int64_t o,
                             nb_vd value)
{
    const int64_t number = t - k->first, row = t->F_count[2], plane = row * t->F_count[1];
    const unsigned usable = nb_bits_vd(nb_interpolable_vd(t, index) & (*(const nb_vdmask *)limit > o));
    nb_vd corner[3], w[3][4], near[3];
    for (int r = 0; r < 3; r++) {
        corner[r] = nb_floor_vd(index[r]);
        nb_lagrange_weights_vd(index[r] - corner[r], w[r]);
        corner[r] -= 1.0;
        near[r] = nb_nearest_vd(index[r]);
    }
    const nb_vd place = nb_table_place_vd(t, corner), nearest = nb_table_place_vd(t, near);
    for (unsigned left = usable; left;) {
        const double first = place[__builtin_ctz(left)];
        const unsigned same = nb_bits_vd(place == first) & left;
        for (int n = 0; n < 64; n++) {
            const int64_t entry = (int64_t)first + (n / 16) * plane + (n / 4 % 4) * row + n % 4;
            nb_sink_entry(k, number, i, entry, value * w[0][n / 16] * w[1][n / 4 % 4] * w[2][n % 4], same);
        }
        left &= ~same;
    }
    for (unsigned left = ~usable & nb_bits_vd(nb_in_table_vd(t, near)); left; left &= left - 1) {
        const int j = __builtin_ctz(left);
        if (o > limit[j]) nb_sink_entry(k, number, i, (int64_t)nearest[j], value, 1u << j);
    }
}

#endif
