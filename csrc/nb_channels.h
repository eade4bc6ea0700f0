/* What the listed passages of a tile (nb_spectral.h) add to its samples: the sum over the channels of a run, stamped out for
 * vectors of double and of float like nb_orient.h.
 *
 * Positions and table places in double, spots and their sum in NB_REAL, NB_BLOCK channels at a time.  Passages stand side by
 * side whatever lanes they are of; each is added to its own lane in the order of the list. */

/* Squared structure factors of the passages from i on; whole: their nearest indices. */
NB_FN void NB_R(nb_square_factors)(const nb_table *t, const nb_vd (*whole)[3], nb_vd *F_sqr)
{
    for (int p = 0; p < NB_R(STEP) / NB_LANES; p++) {
        nb_vd F = t->default_F - (nb_vd){0};
        if (t->F) F = nb_gather(t->F, nb_table_place_vd(t, whole[p]), nb_in_table_vd(t, whole[p]), F);
        F_sqr[p] = F * F;
    }
}

#define NB_CAPTURE_TERMS 16

/* Capture fractions of a layer at some points.  With x the layer's attenuation depths along the ray at the middle of the
 * sources' mu = middle (1 + e),
 *   exp(-t x (1 + e)) - exp(-(t + 1) x (1 + e)) = sum over k of (-e)^k/k! [(t x)^k exp(-t x) - ((t + 1) x)^k exp(-(t + 1) x)]:
 * with z = (t + 1) x |e| what is left after K terms is below z^(K - 1)/(K - 1)! (|e| + 2 z) of the fraction.  How many are
 * taken, for rays up to 60 degrees from the normal, depends on no other point; light from farther off, and from behind, and
 * where it takes too many terms, is captured by the formula. */
typedef struct {
    int terms;     /* 0: all by the formula */
    int flat;      /* some by the formula ... */
    NB_REAL steep; /* ... those that are 0 here; the others 1 */
    NB_REAL c[NB_CAPTURE_TERMS];
    nb_vd path[NB_R(STEP) / NB_LANES]; /* m */
} NB_R(nb_captures);

NB_FN int NB_R(nb_capture_terms)(double z, double apart)
{
    const double enough = NB_FLOAT ? 1e-8 : 1e-15;
    double left = z <= 1.0 ? apart + 2.0 * z : INFINITY; /* what cancels among the terms is below exp(z) */
    for (int terms = 1; terms <= NB_CAPTURE_TERMS; terms++) {
        if (left < enough) return terms;
        left *= z / terms;
    }
    return 0;
}

/* For the paths that it has. */
static void NB_R(nb_prepare_captures)(const nb_sensor *s, NB_R(nb_captures) *captures)
{
    enum { PARTS = NB_R(STEP) / NB_LANES };
    const double deepest = s->layer + 1, longest = 2.0 * s->step;
    captures->terms = NB_R(nb_capture_terms)(deepest * longest * s->middle * s->apart, s->apart);
    if (!captures->terms) return;
    double steep[NB_R(STEP)] __attribute__((aligned(64)));
    nb_vd front[PARTS], back[PARTS];
    captures->flat = 0;
    for (int p = 0; p < PARTS; p++) {
        const nb_vdmask within = (captures->path[p] > 0.0) & (captures->path[p] <= longest);
        captures->flat |= nb_bits_vd(~within) != 0;
        nb_store_vd(steep + p * NB_LANES, nb_select_vd(within, 1.0 - (nb_vd){0}, (nb_vd){0}));
        const nb_vd x = s->middle * captures->path[p];
        front[p] = nb_exp_vd(-(double)s->layer * x);
        back[p] = nb_exp_vd(-deepest * x);
    }
    captures->steep = NB_OF_DOUBLES(steep);
    for (int k = 0; k < captures->terms; k++) {
        double c[NB_R(STEP)] __attribute__((aligned(64)));
        for (int p = 0; p < PARTS; p++) {
            const nb_vd x = (-s->middle / (k + 1)) * captures->path[p];
            nb_store_vd(c + p * NB_LANES, front[p] - back[p]);
            front[p] *= (double)s->layer * x;
            back[p] *= deepest * x;
        }
        captures->c[k] = NB_OF_DOUBLES(c);
    }
}

/* Of the listed passages from i on. */
static void NB_R(nb_captures_of)(const nb_sensor *s, const nb_listed *list, int i, NB_R(nb_captures) *captures)
{
    for (int p = 0; p < NB_R(STEP) / NB_LANES; p++)
        for (int j = 0; j < NB_LANES; j++) captures->path[p][j] = s->path[list->lane[i + p * NB_LANES + j]];
    NB_R(nb_prepare_captures)(s, captures);
}

/* Those of light of one mu. */
NB_FN NB_REAL NB_R(nb_captured)(const NB_R(nb_captures) *captures, const nb_sensor *s, double mu)
{
    NB_REAL sum = NB_SET(NB_K(0));
    if (captures->terms) {
        const NB_SCALAR e = (NB_SCALAR)((mu - s->middle) / s->middle);
        sum = captures->c[captures->terms - 1];
        for (int k = captures->terms - 2; k >= 0; k--) sum = sum * e + captures->c[k];
        if (!captures->flat) return sum;
    }
    double each[NB_R(STEP)] __attribute__((aligned(64)));
    for (int p = 0; p < NB_R(STEP) / NB_LANES; p++)
        nb_store_vd(each + p * NB_LANES, nb_layer_share_vd(s->layer, -mu * captures->path[p]));
    return captures->terms ? NB_SELECT(captures->steep > NB_K(0), sum, NB_OF_DOUBLES(each)) : NB_OF_DOUBLES(each);
}

/* One vector of passages, NB_LINE; sum: of weight F^2 times the mean spot over each channel; each: and times its capture. */
NB_FN void NB_R(nb_sum_line)(const nb_table *tables, const nb_run *run, const nb_listed *list, int i, nb_vd *sum, const int each)
{
    enum { PARTS = NB_R(STEP) / NB_LANES };
    nb_vd whole[PARTS][3];
    for (int p = 0; p < PARTS; p++)
        for (int r = 0; r < 3; r++) whole[p][r] = nb_load_vd(list->x[r] + i + p * NB_LANES);
    const nb_channel *end = run->channel + run->channels;
    const NB_REAL speed = NB_OF_DOUBLES(list->speed + i);
    NB_R(nb_width) width = NB_R(nb_width_of)(speed * (NB_SCALAR)run->channel->half);
    NB_R(nb_captures) captures;
    if (each) NB_R(nb_captures_of)(&run->sensor, list, i, &captures);
    double half = run->channel->half;
    for (const nb_channel *c = run->channel; c < end;) {
        const int64_t table = c->table;
        nb_vd F_sqr[PARTS];
        NB_R(nb_square_factors)(tables + table, whole, F_sqr);
        while (c < end && c->table == table) {
            NB_REAL part = NB_SET(NB_K(0));
            const nb_channel *last = c + NB_BLOCK < end ? c + NB_BLOCK : end;
            for (; c < last && c->table == table; c++) {
                double x[NB_R(STEP)] __attribute__((aligned(64)));
                for (int p = 0; p < NB_R(STEP); p += NB_LANES)
                    nb_store_vd(x + p, nb_load_vd(list->speed + i + p) * c->middle - nb_load_vd(list->at + i + p));
                if (c->half != half) {
                    half = c->half;
                    width = NB_R(nb_width_of)(speed * (NB_SCALAR)half);
                }
                NB_REAL mean = NB_R(nb_gauss_mean)(&width, NB_OF_DOUBLES(x));
                if (each && NB_ANY(mean > NB_K(0))) mean *= NB_R(nb_captured)(&captures, &run->sensor, run->sensor.mu[c->source]);
                part += (NB_SCALAR)c->weight * mean;
            }
            for (int p = 0; p < PARTS; p++) sum[p] += F_sqr[p] * NB_DOUBLES(part, p);
        }
    }
}

/* One vector of samples, NB_CULLED: as nb_orient.h has them, channel by channel. */
NB_FN void NB_R(nb_sum_culled)(const nb_scene *s, const nb_table *tables, const nb_block *b, const nb_run *run,
                               const nb_listed *list, int i, nb_vd *sum, const int shape, const int each)
{
    enum { PARTS = NB_R(STEP) / NB_LANES };
    NB_SCALAR n[3], metric[6];
    for (int j = 0; j < 3; j++) n[j] = (NB_SCALAR)b->n[j];
    for (int j = 0; j < 6; j++) metric[j] = (NB_SCALAR)b->metric[j];
    NB_R(nb_captures) captures;
    if (each) NB_R(nb_captures_of)(&run->sensor, list, i, &captures);
    for (const nb_channel *c = run->channel; c < run->channel + run->channels; c++) {
        double off[3][NB_R(STEP)] __attribute__((aligned(64)));
        nb_vd whole[PARTS][3], F_sqr[PARTS];
        for (int p = 0; p < PARTS; p++)
            for (int r = 0; r < 3; r++) {
                const nb_vd v = nb_load_vd(list->x[r] + i + p * NB_LANES);
                whole[p][r] = nb_whole_index_vd(c->wavenumber, v);
                nb_store_vd(off[r] + p * NB_LANES, c->wavenumber * v - whole[p][r]);
            }
        NB_REAL d[3];
        for (int r = 0; r < 3; r++) d[r] = NB_OF_DOUBLES(off[r]);
        NB_REAL L = NB_R(nb_lattice)(shape, d, n, metric);
        if (!NB_ANY(L > NB_K(0))) continue;
        if (each) L *= NB_R(nb_captured)(&captures, &run->sensor, run->sensor.mu[c->source]);
        NB_R(nb_square_factors)(tables + c->table, whole, F_sqr);
        for (int p = 0; p < PARTS; p++) {
            nb_vd add = c->weight * F_sqr[p] * NB_DOUBLES(L, p);
            if (s->dmin > 0.0) {
                const nb_vd q_sqr = nb_load_vd(list->at + i + p * NB_LANES) * (c->wavenumber * c->wavenumber);
                add = nb_select_vd(nb_resolved_vd(s, q_sqr), add, (nb_vd){0});
            }
            sum[p] += add;
        }
    }
}

/* Either, where the channels are captured each in its own way: apart, so that the others are as fast as without. */
static __attribute__((noinline)) void NB_R(nb_sum_captured)(const nb_scene *s, const nb_table *tables, const nb_block *b,
                                                            const nb_run *run, const nb_listed *list, int i, nb_vd *sum)
{
    if (s->spectral == NB_LINE) NB_R(nb_sum_line)(tables, run, list, i, sum, 1);
    else NB_R(nb_sum_culled)(s, tables, b, run, list, i, sum, b->shape, 1);
}

/* Adds the listed passages to the samples; the list is empty then. */
static void NB_R(nb_add_listed)(const nb_scene *s, const nb_table *tables, const nb_block *b, const nb_run *run,
                                nb_listed *list, double *samples)
{
    nb_end_listed(list, NB_R(STEP));
    for (int i = 0; i < list->count; i += NB_R(STEP)) {
        nb_vd sum[NB_R(STEP) / NB_LANES] = {0};
        if (run->sensor.mu) NB_R(nb_sum_captured)(s, tables, b, run, list, i, sum);
        else if (s->spectral == NB_LINE) NB_R(nb_sum_line)(tables, run, list, i, sum, 0);
        else if (b->shape == NB_GAUSS) NB_R(nb_sum_culled)(s, tables, b, run, list, i, sum, NB_GAUSS, 0);
        else if (b->shape == NB_ELLIPSOID) NB_R(nb_sum_culled)(s, tables, b, run, list, i, sum, NB_ELLIPSOID, 0);
        else NB_R(nb_sum_culled)(s, tables, b, run, list, i, sum, NB_TOPHAT, 0);
        for (int l = 0; l < NB_R(STEP) && i + l < list->count; l++)
            samples[list->lane[i + l]] += list->size[i + l] * sum[l / NB_LANES][l % NB_LANES];
    }
    list->count = 0;
}
