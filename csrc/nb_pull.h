/* How the sum over a crystal's orientations moves with everything a sample depends on: the loop where derivatives spend
 * their time (gradients 6, 7).  With T = F^2 L^2, G = dT/d(h,k,l), v = A^T G (the pull: dT/dq) it adds up, over the
 * orientations o of weight u_o and in units of the largest L^2,
 *
 *   u T,  u v,  u G (h,k,l)^T,  u dT/dN or u dT/d(M fudge),  u dT/dF where F is default_F,
 *
 * and for each extra column u tau_o.(v x q) (a turn), u G.(A'_o q) (a move) or u'_o T (a weight).  G h^T is all that a change
 * of the cell before the orientations turn it needs: A_o = A0 U_o^T, so G.(A0' U_o^T q) = G.(A0' A0^-1 h).
 *
 * Stamped out for one real type like nb_lattice.h.  Indices are worked out in doubles, NB_DREAL, NB_PER of which make an
 * NB_REAL; functions of doubles have the suffix NB_DR adds.  NB_JOIN(a) makes an NB_REAL of NB_PER NB_DREAL, NB_PART(v, i) is
 * the i-th of them again.  NB_ROOM: see nb_point.h.  NB_HAS(shape, source of F): whether there may be crystals of the kind;
 * NB_AT_ONCE: whether orientations and tables may be asked for; NB_MAY_DISPLACE: whether atoms may be displaced.  All three are
 * for compilers that make code of what is needed. */

/* One source's samples of a vector of pixels. */
typedef struct {
    NB_DREAL q[NB_PER][3];
    NB_DREAL weight[NB_PER];   /* of each lane, for what is added to orientations and tables at once */
    const int64_t *limit;      /* as nb_stage_tricubic; NULL unless it interpolates */
    double unit;               /* of this crystal, for the tables: largest L^2 times its share */
    double strength;           /* F^2 where it is the same for all, else 1 */
    NB_SINK *sink;
    NB_REAL *orientations;     /* [orientations][10] of this crystal: weight u G q^T, weight T */
    NB_ROOM(NB_REAL) extras;   /* [extras], to work in */
    NB_REAL zero;              /* 0, unknown to the compiler, which would clear the few sums by a slow instruction */
} NB_R(nb_samples);

/* one orientation's place in reciprocal space */
typedef struct {
    NB_REAL h[3], d[3];
    NB_REAL t[3], whole[3]; /* of a block of cells: nb_square_slopes */
    NB_DREAL index[NB_PER][3];
} NB_R(nb_place);

NB_FN void NB_R(nb_place_orientation)(const nb_block *c, const double *m, const NB_R(nb_samples) *s, NB_R(nb_place) *p,
                                      const int shape)
{
    for (int r = 0; r < 3; r++) {
        NB_DREAL h[NB_PER], d[NB_PER], whole[NB_PER], t[NB_PER];
        for (int i = 0; i < NB_PER; i++) {
            h[i] = m[3 * r] * s->q[i][0] + m[3 * r + 1] * s->q[i][1] + m[3 * r + 2] * s->q[i][2];
            p->index[i][r] = h[i];
            d[i] = NB_DR(nb_reduce)(h[i]);
            if (NB_DANY(d[i] == -0.5)) d[i] += NB_DSELECT(d[i] == -0.5, NB_DSET(1.0), NB_DSET(0.0)); /* a tie goes down */
            if (shape != NB_SQUARE) continue;
            whole[i] = NB_DR(nb_round)(c->n[r] * d[i]);
            t[i] = c->n[r] * d[i] - whole[i];
        }
        p->h[r] = NB_JOIN(h);
        p->d[r] = NB_JOIN(d);
        if (shape != NB_SQUARE) continue;
        p->d[r] += NB_R(nb_not_zero)();
        p->t[r] = NB_JOIN(t) + (NB_SCALAR)c->n[r] * NB_R(nb_not_zero)();
        p->whole[r] = NB_JOIN(whole);
    }
}

/* Structure factor and its gradient by the indices; `fixed`: 1 where it is default_F. */
typedef struct {
    NB_REAL F, by_h[3], fixed;
} NB_R(nb_factor);

NB_FN void NB_R(nb_factor_nearest)(const nb_table *t, const NB_R(nb_place) *p, NB_DREAL place[NB_PER],
                                   NB_DMASK inside[NB_PER], NB_R(nb_factor) *out)
{
    NB_DREAL F[NB_PER], fixed[NB_PER];
    for (int i = 0; i < NB_PER; i++) {
        NB_DREAL near[3];
        for (int r = 0; r < 3; r++) near[r] = NB_DR(nb_nearest)(p->index[i][r]);
        inside[i] = NB_DR(nb_in_table)(t, near);
        place[i] = NB_DR(nb_table_place)(t, near);
        F[i] = NB_GATHER(t->F, place[i], inside[i], NB_DSET(t->default_F));
        fixed[i] = NB_DSELECT(inside[i], NB_DSET(0.0), NB_DSET(1.0));
    }
    out->F = NB_JOIN(F);
    out->fixed = NB_JOIN(fixed);
}

/* As nb_stage_tricubic, with the gradient. */
NB_FN void NB_R(nb_factor_tricubic)(const nb_table *t, const NB_R(nb_samples) *s, const NB_R(nb_place) *p, int64_t o,
                                    NB_R(nb_factor) *out)
{
    NB_DREAL F[NB_PER], by_h[3][NB_PER], fixed[NB_PER];
    for (int i = 0; i < NB_PER; i++) {
        NB_DREAL by[3];
        F[i] = NB_DR(nb_interpolated)(t, p->index[i], s->limit + i * NB_DLANES, o, by, &fixed[i]);
        for (int r = 0; r < 3; r++) by_h[r][i] = by[r];
    }
    out->F = NB_JOIN(F);
    out->fixed = NB_JOIN(fixed);
    for (int r = 0; r < 3; r++) out->by_h[r] = NB_JOIN(by_h[r]);
}

/* Where the lattice factor of one orientation goes: value and slopes. */
typedef struct {
    NB_REAL T, G[3], F_L, shape[6]; /* shape: dT/dN[3] or dT/d(M fudge)[6] */
} NB_R(nb_slopes);

/* Displaced atoms: T becomes T exp(-V), V the form of h, its slopes with it; that by h has -T dV/dh as well.  By value, so
 * that crystals whose atoms stand still keep their slopes in registers. */
NB_APART NB_R(nb_slopes) NB_R(nb_displaced)(const nb_crystal *k, NB_REAL h, NB_REAL j, NB_REAL l, NB_R(nb_slopes) s)
{
    NB_SCALAR form[6];
    NB_REAL index[3] = {h, j, l}, by[3];
    for (int i = 0; i < 6; i++) form[i] = (NB_SCALAR)k->displacement[i];
    const NB_REAL left = NB_R(nb_exp)(-NB_R(nb_radius_sqr)(index, form));
    NB_R(nb_radius_gradient)(index, form, by);
    s.T *= left;
    s.F_L *= left;
    for (int r = 0; r < 3; r++) s.G[r] = left * s.G[r] - s.T * by[r];
    for (int i = 0; i < 6; i++) s.shape[i] *= left;
    return s;
}

NB_FN void NB_R(nb_sample_slopes)(const nb_block *c, const NB_R(nb_place) *p, const NB_R(nb_factor) *f, NB_R(nb_slopes) *out,
                                  const int shape, const int table, const int curved,
                                 int shapes)
{
    NB_SCALAR n[3], metric[6];
    NB_REAL L, by_N[3], slope = NB_SET(NB_K(0));
    for (int j = 0; j < 3; j++) n[j] = (NB_SCALAR)c->n[j];
    for (int j = 0; j < 6; j++) metric[j] = (NB_SCALAR)c->metric[j];
    if (shape == NB_SQUARE) {
        L = NB_R(nb_square_slopes)(p->d, p->t, p->whole, n, out->G, shapes ? by_N : NULL);
    } else {
        L = NB_R(nb_radius_slope)(shape, NB_R(nb_radius_sqr)(p->d, metric), &slope);
        NB_R(nb_radius_gradient)(p->d, metric, out->G);
        for (int r = 0; r < 3; r++) out->G[r] *= slope;
    }
    out->T = L;
    NB_REAL FF = NB_SET(NB_K(1));
    if (table) {
        FF = f->F * f->F;
        out->F_L = NB_K(2) * f->F * L;
        out->T *= FF;
        slope *= FF;
        for (int r = 0; r < 3; r++) out->G[r] *= FF;
        for (int r = 0; curved && r < 3; r++) out->G[r] += out->F_L * f->by_h[r];
    }
    for (int r = 0; r < 6; r++) out->shape[r] = NB_SET(NB_K(0));
    if (shapes && shape == NB_SQUARE) {
        for (int r = 0; r < 3; r++) out->shape[r] = table ? FF * by_N[r] : by_N[r];
    } else if (shapes) {
        for (int r = 0; r < 3; r++) out->shape[r] = slope * (p->d[r] * p->d[r]);
        out->shape[3] = slope * (p->d[0] * p->d[1]);
        out->shape[4] = slope * (p->d[0] * p->d[2]);
        out->shape[5] = slope * (p->d[1] * p->d[2]);
    }
    if (NB_MAY_DISPLACE && c->crystal->displaced) {
        if (!table) out->F_L = NB_SET(NB_K(0));
        *out = NB_R(nb_displaced)(c->crystal, p->h[0], p->h[1], p->h[2], *out);
    }
}

/* The extra columns of one orientation. */
NB_FN void NB_R(nb_add_extras)(const nb_asked *a, int64_t o, const NB_REAL q[3], const NB_REAL v[3],
                               const NB_R(nb_slopes) *s, NB_ROOM(NB_REAL) extras)
{
    if (a->turn.start && a->turn.start[o] < a->turn.start[o + 1]) {
        const NB_REAL x = v[1] * q[2] - v[2] * q[1], y = v[2] * q[0] - v[0] * q[2], z = v[0] * q[1] - v[1] * q[0];
        for (int64_t j = a->turn.start[o]; j < a->turn.start[o + 1]; j++) {
            const double *tau = a->turn.value + 3 * j;
            extras[a->turn.column[j]] += (NB_SCALAR)tau[0] * x + (NB_SCALAR)tau[1] * y + (NB_SCALAR)tau[2] * z;
        }
    }
    for (int64_t j = a->move.start ? a->move.start[o] : 0; a->move.start && j < a->move.start[o + 1]; j++) {
        const double *m = a->move.value + 9 * j;
        NB_REAL sum = NB_SET(NB_K(0));
        for (int r = 0; r < 3; r++)
            sum += s->G[r] * ((NB_SCALAR)m[3 * r] * q[0] + (NB_SCALAR)m[3 * r + 1] * q[1] + (NB_SCALAR)m[3 * r + 2] * q[2]);
        extras[a->move.column[j]] += sum;
    }
    for (int64_t j = a->weight.start ? a->weight.start[o] : 0; a->weight.start && j < a->weight.start[o + 1]; j++)
        extras[a->weight.column[j]] += (NB_SCALAR)a->weight.value[j] * s->T;
}

/* What goes to one orientation, and to the entries of the table, for each lane at once. */
NB_FN void NB_R(nb_add_at_once)(const nb_asked *a, const nb_table *t, const NB_R(nb_samples) *s, int64_t o, double u,
                                const NB_REAL q[3], const NB_R(nb_slopes) *g, const NB_R(nb_place) *p,
                                const NB_DREAL *place, const NB_DMASK *inside, const int source_of_F)
{
    if (a->want & NB_WANT_ORIENTATIONS) {
        NB_REAL *sum = s->orientations + 10 * o;
        const NB_REAL weight = NB_JOIN(s->weight) * (NB_SCALAR)s->strength;
        for (int r = 0; r < 3; r++) {
            const NB_REAL c = (NB_SCALAR)u * weight * g->G[r];
            for (int k = 0; k < 3; k++) sum[3 * r + k] += c * q[k];
        }
        sum[9] += weight * g->T;
    }
    if (source_of_F == NB_F_CONSTANT || !(a->want & NB_WANT_TABLE)) return;
    for (int i = 0; i < NB_PER; i++) {
        const NB_DREAL value = (u * s->unit) * s->weight[i] * NB_PART(g->F_L, i);
        if (source_of_F == NB_F_NEAREST) NB_SINK_NEAREST(s->sink, t, i, place[i], inside[i], value);
        else NB_SINK_TRICUBIC(s->sink, t, i, p->index[i], s->limit + i * NB_DLANES, o, value);
    }
}

/* One orientation onto the sums; its pull v. */
NB_FN void NB_R(nb_add_orientation)(const double *m, const NB_R(nb_slopes) *g, const NB_R(nb_place) *p, int want, int pulls,
                                    int shapes, NB_REAL v[3], NB_REAL *acc)
{
    acc[NB_SUM_T] += g->T;
    for (int k = 0; pulls && k < 3; k++) {
        v[k] = (NB_SCALAR)m[k] * g->G[0] + (NB_SCALAR)m[3 + k] * g->G[1] + (NB_SCALAR)m[6 + k] * g->G[2];
        acc[NB_SUM_PULL + k] += v[k];
    }
    if (want & NB_WANT_CELL)
        for (int r = 0; r < 3; r++)
            for (int k = 0; k < 3; k++) acc[NB_SUM_CELL + 3 * r + k] += g->G[r] * p->h[k];
    if (want & NB_WANT_SHAPE)
        for (int j = 0; j < shapes; j++) acc[NB_SUM_SHAPE + j] += g->shape[j];
}

/* Orientations `first` to `last`, all of weight u, onto the sums, which those from 0 on begin: sums[j * NB_PER + i] is the
 * j-th of the i-th vector. */
NB_FN void NB_R(nb_pull_run)(const nb_asked *a, const nb_table *t, const NB_R(nb_samples) *s, int64_t first, int64_t last,
                             double u, NB_DREAL *sums, NB_ROOM(NB_DREAL) extras, const int shape, const int source_of_F)
{
    const nb_block *c = a->block;
    const int table = source_of_F != NB_F_CONSTANT, want = a->want, pulls = (want & NB_WANT_PULL) || a->turn.start;
    const int shapes = shape == NB_SQUARE ? 3 : 6;
    NB_REAL acc[NB_SUMS], q[3];
    for (int j = 0; j < NB_SUMS; j++) acc[j] = s->zero;
    for (int j = 0; j < a->extras; j++) s->extras[j] = s->zero;
    for (int k = 0; k < 3; k++) {
        NB_DREAL part[NB_PER];
        for (int i = 0; i < NB_PER; i++) part[i] = s->q[i][k];
        q[k] = NB_JOIN(part);
    }
    for (int64_t o = first; o < last; o++) {
        const double *m = c->crystal->abc + 9 * o;
        NB_R(nb_place) p;
        NB_R(nb_slopes) g;
        NB_R(nb_factor) f;
        NB_DREAL place[NB_PER];
        NB_DMASK inside[NB_PER];
        NB_REAL v[3] = {NB_SET(NB_K(0)), NB_SET(NB_K(0)), NB_SET(NB_K(0))};
        NB_R(nb_place_orientation)(c, m, s, &p, shape);
        if (source_of_F == NB_F_NEAREST) NB_R(nb_factor_nearest)(t, &p, place, inside, &f);
        if (source_of_F == NB_F_TRICUBIC) NB_R(nb_factor_tricubic)(t, s, &p, o, &f);
        NB_R(nb_sample_slopes)(c, &p, &f, &g, shape, table, source_of_F == NB_F_TRICUBIC, want & NB_WANT_SHAPE);
        NB_R(nb_add_orientation)(m, &g, &p, want, pulls, shapes, v, acc);
        if (table && (want & NB_WANT_DEFAULT)) acc[NB_SUM_DEFAULT] += f.fixed * g.F_L;
        if (a->extras) NB_R(nb_add_extras)(a, o, q, v, &g, s->extras);
        if (NB_AT_ONCE && (want & (NB_WANT_ORIENTATIONS | NB_WANT_TABLE)))
            NB_R(nb_add_at_once)(a, t, s, o, u, q, &g, &p, place, inside, source_of_F);
    }
    for (int i = 0; i < NB_PER; i++) {
        for (int j = 0; j < NB_SUMS; j++) {
            const NB_DREAL sum = u * NB_PART(acc[j], i);
            sums[j * NB_PER + i] = first ? sums[j * NB_PER + i] + sum : sum;
        }
        for (int j = 0; j < a->extras; j++) {
            const NB_DREAL sum = (j < a->weighted ? u : 1.0) * NB_PART(s->extras[j], i);
            extras[j * NB_PER + i] = first ? extras[j * NB_PER + i] + sum : sum;
        }
    }
}

NB_FN void NB_R(nb_pull_sum)(const nb_asked *a, const nb_table *t, const NB_R(nb_samples) *s, NB_DREAL *sums,
                             NB_ROOM(NB_DREAL) extras, const int shape, const int source_of_F)
{
    const nb_crystal *k = a->block->crystal;
    for (int64_t first = 0, last; first < k->orientations; first = last) {
        last = nb_run_end(k, first);
        const double u = k->orientation_weight ? k->orientation_weight[first] : 1.0;
        NB_R(nb_pull_run)(a, t, s, first, last, u, sums, extras, shape, source_of_F);
    }
}

/* The right specialisation for this crystal; s->limit is NULL unless it interpolates. */
NB_APART void NB_R(nb_pull)(const nb_asked *a, const nb_table *t, const NB_R(nb_samples) *s, NB_DREAL *sums,
                            NB_ROOM(NB_DREAL) extras)
{
#define NB_CASE(shape)                                                                                                 \
    case shape:                                                                                                        \
        if (NB_HAS(shape, NB_F_TRICUBIC) && s->limit)                                                                  \
            NB_R(nb_pull_sum)(a, t, s, sums, extras, shape, NB_F_TRICUBIC);                                            \
        else if (NB_HAS(shape, NB_F_NEAREST) && t->F)                                                                  \
            NB_R(nb_pull_sum)(a, t, s, sums, extras, shape, NB_F_NEAREST);                                             \
        else if (NB_HAS(shape, NB_F_CONSTANT))                                                                         \
            NB_R(nb_pull_sum)(a, t, s, sums, extras, shape, NB_F_CONSTANT);                                            \
        break;
    switch (a->block->crystal->shape) {
        NB_CASE(NB_SQUARE)
        NB_CASE(NB_ELLIPSOID)
        NB_CASE(NB_GAUSS)
        NB_CASE(NB_TOPHAT)
    }
#undef NB_CASE
}
