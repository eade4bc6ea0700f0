/* nb_orient.h's sum for blocks of whole numbers of cells in mixed precision: (h, k, l) in fixed point.  Included by nb_tile.h
 * for vectors of float.
 *
 * A multiply-add that begins with 1.5 * 2^20 leaves an index in the low bits of a double, with 32 of them behind the point:
 * the low word is the distance d from a whole number in 2^-32 of a turn, of either sign, N times it, its low bits, N d minus a
 * whole number, exactly, and the high word is the whole number.  The sign is of no account; made odd, neither is ever 0
 * (nb_square_root).
 * Two passes over the tile for each orientation, as there: one would wait for every step of it. */

#define NB_FIXED 1572864.0 /* 1.5 * 2^20 */
#define NB_FIXED_HIGH 0x41380000 /* its high word */

/* Whether fixed point keeps what errors of the indices may add to a pixel within 5e-7 of the image's maximum, a quarter of
 * what mixed precision promises.  L^2 changes by 1.7 N times the error at most, the steepest slope of (sin x / x)^2 at
 * x = pi N h.  In units of 2^-32 an index is off by 1 where it is made odd and by 1/2 for each of three sums; below 2^17
 * products that are rounded on their own add 0.1. */
static int nb_fits_fixed(const nb_scene *s, const nb_crystal *k)
{
    if (nb_lattice_shape(k) != NB_SQUARE) return 0;
    double shortest = s->source->wavelength, edge_sqr = 0.0, most = 0.0;
    for (int i = 1; i < s->sources; i++) shortest = fmin(shortest, s->source[i].wavelength);
    for (int64_t j = 0; j < 3 * k->orientations; j++) edge_sqr = fmax(edge_sqr, nb_dot(k->abc + 3 * j, k->abc + 3 * j));
    for (int j = 0; j < 3; j++) {
        if (!(k->N[j] >= 1.0 && k->N[j] == nb_round_d(k->N[j]))) return 0;
        most = fmax(most, k->N[j]);
    }
    const double reach = sqrt(edge_sqr) * 2.0 / shortest; /* of an index, and of its three terms each */
    return reach < 131072.0 && 1.7 * most * (2.6 / 4294967296.0) <= 5e-7;
}

/* An index at two vectors of samples. */
NB_FN void nb_fixed_index(const double *m, const nb_vd q[2][3], nb_vd sum[2])
{
    for (int p = 0; p < 2; p++) sum[p] = m[2] * q[p][2] + (m[1] * q[p][1] + (m[0] * q[p][0] + NB_FIXED));
}

/* In turns, an odd number of 2^-32, so not 0: the exponent is lowered by 32. */
NB_FN nb_vf nb_turns(nb_vfbits odd)
{
    return (nb_vf)((nb_vfbits)__builtin_convertvector((nb_vfmask)odd, nb_vf) - (32u << 23));
}

/* What the list is to whole indices in words: two products less than a product for each axis. */
typedef struct {
    const double *F;
    uint32_t from[3], count[3], plane, row;
    float other;
} nb_fixed_list;

NB_FN nb_fixed_list nb_fixed_list_of(const nb_table *t)
{
    nb_fixed_list l = {.F = t->F, .plane = (uint32_t)t->F_count[1] * (uint32_t)t->F_count[2], .row = (uint32_t)t->F_count[2],
                       .other = (float)t->default_F};
    for (int r = 0; r < 3; r++) {
        l.from[r] = NB_FIXED_HIGH + (uint32_t)t->F_min[r];
        l.count[r] = (uint32_t)t->F_count[r];
    }
    return l;
}

/* F of the nearest whole indices: a tie goes down. */
NB_FN nb_vf nb_fixed_factor(const nb_fixed_list *l, const nb_vfbits low[3], const nb_vfbits high[3])
{
    nb_vfbits at[3];
    nb_vfmask inside = ~(nb_vfmask){0};
    for (int r = 0; r < 3; r++) {
        /* one more where the fraction is above 1/2; a comparison is -1 where it holds */
        at[r] = high[r] - l->from[r] - (nb_vfbits)(low[r] > 0x80000000u);
        inside &= at[r] < l->count[r];
    }
    const nb_vfbits place = at[0] * l->plane + (at[1] * l->row + at[2]);
    return nb_gather_narrow(l->F, (nb_vfmask)place, inside, l->other);
}

NB_FN void nb_sum_fixed(const nb_table *t, const nb_block *c, const nb_q *q, double *sum, const int table)
{
    const nb_crystal *k = c->crystal;
    const double most = c->n[0] * c->n[1] * c->n[2];
    const double peak = table ? c->peak : c->peak / (most * most) * (t->default_F * t->default_F);
    const float per_most = (float)(1.0 / most); /* with a list at once: F may be large */
    const uint32_t n[3] = {(uint32_t)c->n[0], (uint32_t)c->n[1], (uint32_t)c->n[2]};
    nb_fixed_list list;
    if (table) list = nb_fixed_list_of(t);
    for (int64_t first = 0, last; first < k->orientations; first = last) {
        if (__atomic_load_n(c->cancel, __ATOMIC_RELAXED)) return;
        last = nb_run_end(k, first);
        const double scale = k->orientation_weight ? peak * k->orientation_weight[first] : peak;
        const double *begin = k->abc + 9 * first, *end = k->abc + 9 * last;
        nb_vfbits words[3][NB_TILE / NB_FLANES];
        nb_vf part[NB_TILE / NB_FLANES], F[NB_TILE / NB_FLANES];
        const int vectors = q->lanes / NB_FLANES;
        for (const double *m = begin; m < end; m += 9) {
NB_ROLLED
            for (int i = 0; i < vectors; i++) {
                nb_vd v[2][3];
                for (int p = 0; p < 2; p++) {
                    const int at = i * NB_FLANES + p * NB_LANES;
                    v[p][0] = nb_load_vd(q->x + at), v[p][1] = nb_load_vd(q->y + at), v[p][2] = nb_load_vd(q->z + at);
                }
                nb_vfbits low[3], high[3];
                for (int r = 0; r < 3; r++) {
                    nb_vd h[2];
                    nb_fixed_index(m + 3 * r, v, h);
                    low[r] = nb_words(h[0], h[1], 0);
                    if (table) high[r] = nb_words(h[0], h[1], 1);
                    words[r][i] = nb_abs_words(low[r]) | 1u; /* of an index and its negative the same */
                }
                if (table) F[i] = nb_fixed_factor(&list, low, high);
                if (m == begin) part[i] = (nb_vf){0};
            }
NB_ROLLED
            for (int i = 0; i < vectors; i++) {
                nb_vf x[3], n_x[3];
                for (int r = 0; r < 3; r++) {
                    const nb_vfbits odd = words[r][i];
                    x[r] = nb_turns(odd);
                    n_x[r] = nb_turns(odd * n[r]);
                }
                nb_vf root = nb_square_root_vf(x, n_x);
                if (table) root *= per_most * F[i];
                part[i] += root * root;
            }
        }
        for (int i = 0; i < vectors; i++)
            for (int p = 0; p < 2; p++) {
                const int at = i * NB_FLANES + p * NB_LANES;
                nb_store_vd(sum + at, nb_load_vd(sum + at) + scale * nb_part(part[i], p));
            }
    }
}
