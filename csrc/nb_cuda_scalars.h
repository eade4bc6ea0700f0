/* The formulas of derivatives that the CPU has for vectors (nb_gradient_lanes.h), stamped out for one pixel at a time: nb_point.h
 * for doubles, nb_pull.h and nb_basis.h for lattice factors in nb_real.
 *
 * Includer defines: NB_THREADS, NB_MEMBER (functions of structs), and the macros of nb_gradient.cu. */
#ifndef NB_CUDA_SCALARS_H
#define NB_CUDA_SCALARS_H

/* One thread's numbers, which lie side by side with those of the block's other threads. */
template <class T> struct nb_strided {
    T *at;
    NB_MEMBER T &operator[](int64_t j) const { return at[j * NB_THREADS]; }
    NB_MEMBER nb_strided operator+(int64_t j) const { return nb_strided{at + j * NB_THREADS}; }
};

/* Where derivatives by single structure factors go: to the pixel's rows. */
typedef struct {
    const nb_table *first;
    const int32_t *const *slot;  /* of each table: which row an entry belongs to, -1: none; NULL: none of the table */
    const double *const *share;  /* how much of it the entry counts for */
    double *row;                 /* this pixel's */
    int32_t *met;                /* of the block: rows that some pixel has added to */
} nb_sink;

/* ---- the shared formulas, for one pixel at a time ---- */

#define NB_APART NB_FN
#define NB_DREAL double
#define NB_DMASK int64_t
#define NB_DLANES 1
#define NB_DR(name) name##_d
#define NB_DSET(c) (c)
#define NB_DSELECT(m, a, b) ((m) ? (a) : (b))
#define NB_DANY(m) ((m) != 0)
#define NB_DLANE(v, j) (v)
#define NB_LANE(v, j) (v)
#define NB_LANES_OF 1
#define NB_ABOVE(limit, o) (*(limit) > (o))
#define NB_GATHER(F, place, inside, otherwise) ((inside) ? (F)[(int64_t)(place)] : (otherwise))
#define NB_FIRST(bits) 0
#define NB_ROOM(type) nb_strided<type>
#define NB_HAS(shape, source) (NB_USE_KINDS >> (3 * (shape) + (source)) & 1)
#define NB_AT_ONCE NB_USE_ENTRIES
#ifndef NB_USE_DISPLACED
#define NB_USE_DISPLACED 0
#endif
#define NB_MAY_DISPLACE NB_USE_DISPLACED
#define NB_SINK nb_sink
#define NB_SINK_NEAREST nb_sink_nearest
#define NB_SINK_TRICUBIC nb_sink_tricubic
#define NB_PER 1
#define NB_JOIN(a) ((NB_REAL)(a)[0])
#define NB_PART(v, i) ((double)(v))

NB_FN void nb_sink_entry(nb_sink *k, int64_t number, int64_t entry, double value)
{
    const int32_t *slot = k->slot[number];
    if (!slot || slot[entry] < 0) return;
    k->row[slot[entry]] += k->share[number][entry] * value;
    k->met[slot[entry]] = 1; /* by any number of threads */
}

NB_FN void nb_sink_nearest(nb_sink *k, const nb_table *t, int, double place, int64_t inside, double value)
{
    if (inside) nb_sink_entry(k, t - k->first, (int64_t)place, value);
}

/* Where (h, k, l) is interpolated: place of the first of the 64 entries, and the weights. */
NB_FN int64_t nb_corner_of(const nb_table *t, const double index[3], double w[3][4])
{
    double corner[3];
    for (int r = 0; r < 3; r++) {
        const double low = nb_floor_d(index[r]);
        nb_lagrange_weights_d(index[r] - low, w[r]);
        corner[r] = low - 1.0;
    }
    return (int64_t)nb_table_place_d(t, corner);
}

/* The n-th of the 64, counted from the first. */
NB_FN int64_t nb_neighbour(const nb_table *t, int n)
{
    return ((int64_t)(n / 16) * t->F_count[1] + n / 4 % 4) * t->F_count[2] + n % 4;
}

/* Place of the nearest entry, -1: not listed. */
NB_FN int64_t nb_nearest_place(const nb_table *t, const double index[3])
{
    double near[3];
    for (int r = 0; r < 3; r++) near[r] = nb_nearest_d(index[r]);
    return nb_in_table_d(t, near) ? (int64_t)nb_table_place_d(t, near) : -1;
}

NB_FN void nb_sink_tricubic(nb_sink *k, const nb_table *t, int, const double index[3], const int64_t *limit, int64_t o,
                            double value)
{
    if (nb_interpolable_d(t, index) && *limit > o) {
        double w[3][4];
        const int64_t corner = nb_corner_of(t, index, w);
        for (int n = 0; n < 64; n++)
            nb_sink_entry(k, t - k->first, corner + nb_neighbour(t, n), value * w[0][n / 16] * w[1][n / 4 % 4] * w[2][n % 4]);
    } else if (o > *limit) {
        const int64_t place = nb_nearest_place(t, index);
        if (place >= 0) nb_sink_entry(k, t - k->first, place, value);
    }
}

#include "nb_as_d.h"
#include "nb_kind.h"
#include "nb_slope.h"
#include "nb_point.h"
#if !NB_USE_FLOAT
#define NB_U(name) name##_d
typedef double nb_real;
#include "nb_pull.h"
#include "nb_basis.h"
#endif
#include "nb_undefine.h"

#if NB_USE_FLOAT
#define NB_U(name) name##_f
typedef float nb_real;
#include "nb_as_f.h"
#include "nb_kind.h"
#include "nb_slope.h"
#include "nb_pull.h"
#include "nb_basis.h"
#include "nb_undefine.h"
#endif

#endif
