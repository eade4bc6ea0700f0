/* Sum of F^2 L^2 over all orientations of a crystal for a tile of samples that share one source: the loop where the time
 * goes.  Stamped out by nb_tile.h for vectors of double and of float (macros as in nb_math.h, plus NB_STORE, NB_LOAD):
 *
 *   sum[i] += peak * sum over o of weight[o] F(h,k,l)^2 L(h,k,l)^2,   (h, k, l) = abc[o] q[i]      (canonical 6.5, 7)
 *
 * Two passes over the tile for each orientation: indices in double, leaving their distance from whole numbers (exact,
 * then rounded to NB_SCALAR) and the structure factor in L1; then lattice factor and sum in NB_SCALAR. */

enum { NB_R(STEP) = NB_WIDTH / sizeof(NB_SCALAR) }; /* lanes of an NB_REAL */

/* what the first pass leaves for the second */
typedef struct {
    NB_SCALAR d[3][NB_TILE], F[NB_TILE];
    NB_SCALAR t[3][NB_TILE]; /* N d, reduced in double too: rounding it as a float would show at large N (square only) */
} __attribute__((aligned(64))) NB_R(nb_staged);

/* Distances of one vector of indices from whole numbers, into lanes i.. of the stage. */
NB_FN void NB_R(nb_stage_index)(const nb_block *c, int r, nb_vd h, NB_R(nb_staged) *out, int i, const int shape)
{
    const nb_vd d = nb_reduce_vd(h);
    NB_STORE(out->d[r] + i, d);
    if (shape == NB_SQUARE) NB_STORE(out->t[r] + i, nb_reduce_product_vd(c->n[r], d));
}

/* F: nearest listed value (table = 1), or nothing (table = 0). */
NB_FN void NB_R(nb_stage_nearest)(const nb_table *t, const nb_block *c, const double *m, const nb_q *q,
                                  NB_R(nb_staged) *out, const int shape, const int table)
{
NB_ROLLED
    for (int i = 0; i < q->lanes; i += NB_LANES) {
        const nb_vd x = nb_load_vd(q->x + i), y = nb_load_vd(q->y + i), z = nb_load_vd(q->z + i);
        nb_vd whole[3];
        for (int r = 0; r < 3; r++) {
            const nb_vd h = m[3 * r] * x + m[3 * r + 1] * y + m[3 * r + 2] * z;
            NB_R(nb_stage_index)(c, r, h, out, i, shape);
            if (table) whole[r] = nb_nearest_vd(h);
        }
        if (table)
            NB_STORE(out->F + i, nb_gather(t->F, nb_table_place_vd(t, whole), nb_in_table_vd(t, whole),
                                           t->default_F - (nb_vd){0}));
    }
}

/* F of a sample that is outside the reach of interpolation, or comes after its end; see nb_stage_tricubic. */
static double NB_R(nb_not_interpolated)(const nb_table *t, const nb_block *c, const double index[3], int64_t o,
                                        int64_t limit, int64_t *bad, int64_t base)
{
    const double nearest[3] = {nb_nearest_d(index[0]), nb_nearest_d(index[1]), nb_nearest_d(index[2])};
    if (o > limit) return nb_in_table_d(t, nearest) ? t->F[(int64_t)nb_table_place_d(t, nearest)] : t->default_F;
    if (bad && o < limit && *bad < 0) {
        const double d[3] = {index[0] - nearest[0], index[1] - nearest[1], index[2] - nearest[2]};
        if (c->wet || !nb_lattice_is_zero(c->shape, nb_radius_sqr_d(d, c->metric))) *bad = base + o;
    }
    return t->default_F;
}

/* F: tricubic.  limit[i]: orientations below it are interpolated, the one at it takes default_F, those above the nearest
 * value (canonical 7.3 as one number per sample).  bad[i]: sequence number of the first sample that could not be
 * interpolated though its orientation is below the limit, if none was found before, or bad is NULL; base: that of
 * orientation 0. */
NB_FN void NB_R(nb_stage_tricubic)(const nb_table *t, const nb_block *c, int64_t o, const nb_q *q,
                                   NB_R(nb_staged) *out, const int shape, const int64_t *limit, int64_t *bad, int64_t base)
{
    const double *m = c->crystal->abc + 9 * o;
    for (int i = 0; i < q->lanes; i += NB_LANES) {
        const nb_vd x = nb_load_vd(q->x + i), y = nb_load_vd(q->y + i), z = nb_load_vd(q->z + i);
        nb_vd index[3], corner[3], w[3][4];
        for (int r = 0; r < 3; r++) {
            index[r] = m[3 * r] * x + m[3 * r + 1] * y + m[3 * r + 2] * z;
            NB_R(nb_stage_index)(c, r, index[r], out, i, shape);
            corner[r] = nb_floor_vd(index[r]);
            nb_lagrange_weights_vd(index[r] - corner[r], w[r]);
            corner[r] -= 1.0;
        }
        const nb_vd place = nb_table_place_vd(t, corner);
        const nb_vdmask usable = nb_interpolable_vd(t, index) & (*(const nb_vdmask *)(limit + i) > o);
        nb_vd F = t->default_F - (nb_vd){0};
        /* neighbouring lanes mostly share their 64 values: one sum serves all lanes with the same corner */
        const unsigned all = nb_bits_vd(usable);
        for (unsigned left = all; left;) {
            const double first = place[__builtin_ctz(left)];
            const nb_vdmask same = (place == first) & usable;
            F = nb_select_vd(same, nb_tricubic_sum_vd(t, t->F, (int64_t)first, w), F);
            left &= ~nb_bits_vd(same);
        }
        for (unsigned left = ~all & ((1u << NB_LANES) - 1); left; left &= left - 1) {
            const int j = __builtin_ctz(left);
            const double one[3] = {index[0][j], index[1][j], index[2][j]};
            F[j] = NB_R(nb_not_interpolated)(t, c, one, o, limit[i + j], bad ? bad + i + j : NULL, base);
        }
        NB_STORE(out->F + i, F);
    }
}

/* F exp(-V/2), with V of the indices themselves; of a rate times the root of its form.  Apart, so that it is nothing to
 * crystals whose atoms stand still. */
static __attribute__((noinline)) void NB_R(nb_stage_displacement)(const nb_crystal *k, const double *m, const nb_q *q,
                                                                  NB_R(nb_staged) *out)
{
    NB_SCALAR V[NB_TILE] __attribute__((aligned(64))), root[NB_TILE] __attribute__((aligned(64)));
    const int rate = k->displaced == NB_DISPLACED_RATE;
    for (int i = 0; i < q->lanes; i += NB_LANES) {
        const nb_vd x = nb_load_vd(q->x + i), y = nb_load_vd(q->y + i), z = nb_load_vd(q->z + i);
        nb_vd h[3];
        for (int r = 0; r < 3; r++) h[r] = m[3 * r] * x + m[3 * r + 1] * y + m[3 * r + 2] * z;
        NB_STORE(V + i, nb_radius_sqr_vd(h, k->displacement));
        if (rate) NB_STORE(root + i, nb_sqrt_vd(nb_abs_vd(nb_radius_sqr_vd(h, k->displacement_rate))));
    }
    for (int i = 0; i < q->lanes; i += NB_R(STEP)) {
        NB_REAL factor = NB_R(nb_exp)(NB_K(-0.5) * NB_LOAD(V + i));
        if (rate) factor *= NB_LOAD(root + i);
        *(NB_REAL *)(out->F + i) *= factor;
    }
}

/* Which samples count, and what was found of those that do not. */
typedef struct {
    NB_SCALAR end, least; /* L^2 as a fraction of its peak, and that times F^2, from which on they do */
    NB_REAL left;         /* the largest F^2 L^2 that was not */
} NB_R(nb_ending);

/* part += F^2 L^2 for the staged orientation; shape, table and ends != NULL are constants at each call. */
NB_FN void NB_R(nb_add_lattice)(const nb_block *c, const NB_R(nb_staged) *in, NB_SCALAR *part, int lanes,
                                const int shape, const int table, NB_R(nb_ending) *ends)
{
    NB_SCALAR n[3], metric[6];
    for (int j = 0; j < 3; j++) n[j] = (NB_SCALAR)c->n[j];
    for (int j = 0; j < 6; j++) metric[j] = (NB_SCALAR)c->metric[j];
NB_ROLLED
    for (int i = 0; i < lanes; i += NB_R(STEP)) {
        NB_REAL d[3] = {NB_LOAD(in->d[0] + i), NB_LOAD(in->d[1] + i), NB_LOAD(in->d[2] + i)}, L;
        if (shape == NB_SQUARE) {
            NB_REAL t[3];
            for (int r = 0; r < 3; r++) {
                d[r] += NB_R(nb_not_zero)();
                t[r] = NB_LOAD(in->t[r] + i) + n[r] * NB_R(nb_not_zero)();
            }
            L = NB_R(nb_square_ratio)(d, t, n);
        } else {
            L = NB_R(nb_lattice)(shape, d, n, metric);
        }
        if (ends) L = NB_SELECT(L > ends->end, L, NB_SET(NB_K(0)));
        if (table) {
            const NB_REAL F = NB_LOAD(in->F + i);
            L *= F * F;
        }
        if (ends) {
            const NB_REAL counts = NB_SELECT(L > ends->least, L, NB_SET(NB_K(0))), other = L - counts;
            ends->left = NB_SELECT(other > ends->left, other, ends->left);
            L = counts;
        }
        *(NB_REAL *)(part + i) += L;
    }
}

enum { NB_R(CONSTANT), NB_R(NEAREST), NB_R(TRICUBIC) };

NB_FN void NB_R(nb_sum)(const nb_table *t, const nb_block *c, const nb_q *q, double *sum, const int shape,
                        const int source_of_F, const int64_t *limit, int64_t *bad, int64_t base)
{
    NB_R(nb_staged) staged;
    const nb_crystal *k = c->crystal;
    const int table = source_of_F != NB_R(CONSTANT);
    const double peak = table ? c->peak : c->peak * t->default_F * t->default_F;
    for (int64_t first = 0, last; first < k->orientations; first = last) {
        if (__atomic_load_n(c->cancel, __ATOMIC_RELAXED)) return;
        last = nb_run_end(k, first);
        NB_SCALAR part[NB_TILE] __attribute__((aligned(64)));
        for (int i = 0; i < q->lanes; i++) part[i] = 0;
        for (int64_t o = first; o < last; o++) {
            if (source_of_F == NB_R(TRICUBIC)) NB_R(nb_stage_tricubic)(t, c, o, q, &staged, shape, limit, bad, base);
            else NB_R(nb_stage_nearest)(t, c, k->abc + 9 * o, q, &staged, shape, table);
            if (table && k->displaced) NB_R(nb_stage_displacement)(k, k->abc + 9 * o, q, &staged);
            NB_R(nb_add_lattice)(c, &staged, part, q->lanes, shape, table, NULL);
        }
        const double scale = k->orientation_weight ? peak * k->orientation_weight[first] : peak;
        for (int i = 0; i < q->lanes; i++) sum[i] += scale * part[i];
    }
}

/* The right specialisation for this crystal; limit is NULL unless it interpolates. */
static void NB_R(nb_sum_orientations)(const nb_table *t, const nb_block *c, const nb_q *q, double *sum, const int64_t *limit,
                                      int64_t *bad, int64_t base)
{
    const int listed = t->F || c->crystal->displaced; /* without a list every F is default_F */
#if NB_FLOAT
    if (c->fixed && !limit && !c->crystal->displaced) {
        if (listed) nb_sum_fixed(t, c, q, sum, 1);
        else nb_sum_fixed(t, c, q, sum, 0);
        return;
    }
#endif
#define NB_CASE(shape)                                                                                                 \
    case shape:                                                                                                        \
        if (limit) NB_R(nb_sum)(t, c, q, sum, shape, NB_R(TRICUBIC), limit, bad, base);                                \
        else if (listed) NB_R(nb_sum)(t, c, q, sum, shape, NB_R(NEAREST), limit, bad, base);                           \
        else NB_R(nb_sum)(t, c, q, sum, shape, NB_R(CONSTANT), limit, bad, base);                                      \
        break;
    switch (c->shape) {
        NB_CASE(NB_POINT)
        NB_CASE(NB_SQUARE)
        NB_CASE(NB_ELLIPSOID)
        NB_CASE(NB_GAUSS)
        NB_CASE(NB_TOPHAT)
    }
#undef NB_CASE
}

/* The same of the orientations alone that are listed for a cell of a patch: `count` of them, those whose bit `cell` is set. */
NB_FN void NB_R(nb_sum_some)(const nb_table *t, const nb_block *c, const nb_q *q, double *sum, const int shape,
                             const int source_of_F, const int64_t *limit, const nb_lit *lit, int64_t count, uint32_t cell,
                             nb_limits *limits)
{
    NB_R(nb_staged) staged;
    const nb_crystal *k = c->crystal;
    const int table = source_of_F != NB_R(CONSTANT);
    const double F_sqr = table ? 1.0 : t->default_F * t->default_F, peak = c->peak * F_sqr;
    NB_R(nb_ending) ends = {(NB_SCALAR)limits->end, (NB_SCALAR)(limits->least / F_sqr), NB_SET(NB_K(0))};
    NB_SCALAR part[NB_TILE] __attribute__((aligned(64)));
    for (int64_t first = 0; first < count;) {
        const double weight = k->orientation_weight ? k->orientation_weight[lit[first].orientation] : 1.0;
        int added = 0;
        for (int i = 0; i < q->lanes; i++) part[i] = 0;
        for (; first < count && added < NB_BLOCK; first++) {
            const int64_t o = lit[first].orientation;
            if (!(lit[first].cells & cell)) continue;
            if (k->orientation_weight && k->orientation_weight[o] != weight) break;
            if (source_of_F == NB_R(TRICUBIC)) NB_R(nb_stage_tricubic)(t, c, o, q, &staged, shape, limit, NULL, 0);
            else NB_R(nb_stage_nearest)(t, c, k->abc + 9 * o, q, &staged, shape, table);
            if (table && k->displaced) NB_R(nb_stage_displacement)(k, k->abc + 9 * o, q, &staged);
            NB_R(nb_add_lattice)(c, &staged, part, q->lanes, shape, table, &ends);
            added++;
        }
        for (int i = 0; i < q->lanes; i++) sum[i] += weight * peak * part[i];
        limits->visited += (int64_t)added * q->lanes;
    }
    for (int i = 0; i < NB_R(STEP); i++) limits->left = fmax(limits->left, F_sqr * ends.left[i]);
}

static void NB_R(nb_sum_lit)(const nb_table *t, const nb_block *c, const nb_q *q, double *sum, const int64_t *limit,
                             const nb_lit *lit, int64_t count, uint32_t cell, nb_limits *limits)
{
    const int listed = t->F || c->crystal->displaced;
#define NB_CASE(shape)                                                                                                 \
    case shape:                                                                                                        \
        if (limit) NB_R(nb_sum_some)(t, c, q, sum, shape, NB_R(TRICUBIC), limit, lit, count, cell, limits);            \
        else if (listed) NB_R(nb_sum_some)(t, c, q, sum, shape, NB_R(NEAREST), limit, lit, count, cell, limits);       \
        else NB_R(nb_sum_some)(t, c, q, sum, shape, NB_R(CONSTANT), limit, lit, count, cell, limits);                  \
        break;
    switch (c->shape) {
        NB_CASE(NB_SQUARE)
        NB_CASE(NB_ELLIPSOID)
        NB_CASE(NB_GAUSS)
        NB_CASE(NB_TOPHAT)
    }
#undef NB_CASE
}
