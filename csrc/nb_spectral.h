/* A tile under a run of sources, those of one direction, whose wavenumbers join up to a spectrum (NB_LINE, NB_CULLED): which
 * reflections its samples pass on their lines (nb_line.h), listed so that only those are looked at channel by channel
 * (nb_channels.h).  The list comes before nb_channels.h, the rest after it: included twice by nb_tile.h. */
#ifndef NB_SPECTRAL_H
#define NB_SPECTRAL_H

#define NB_LISTED 256 /* passages worked on together: in L1 */

/* A source as the loop over channels wants it. */
typedef struct {
    double middle, half; /* of its channel; from the middle of the spectrum, 1/m */
    double weight;
    double wavenumber;   /* of the source itself, 1/m */
    int64_t table, source;
} nb_channel;

/* A layer of a sensor whose capture is different for each source. */
typedef struct {
    const double *mu;     /* [sources], 1/m; NULL: capture is no part of the sum over channels */
    const double *path;   /* of each lane, in one layer, m */
    int layer;
    double step;          /* thickness of a layer, m */
    double middle, apart; /* mu of all sources is middle (1 +- apart) at most */
} nb_sensor;

/* All that is the same for its pixels. */
static nb_sensor nb_sensor_of(const nb_scene *s, const nb_panel *p)
{
    nb_sensor sensor = {.mu = p->source_mu, .step = p->layer_step};
    if (!nb_mu_differs(p)) return sensor;
    double least = p->source_mu[0], most = least;
    for (int i = 1; i < s->sources; i++) {
        least = fmin(least, p->source_mu[i]);
        most = fmax(most, p->source_mu[i]);
    }
    sensor.middle = 0.5 * (least + most);
    sensor.apart = (most - least) / (most + least);
    return sensor;
}

typedef struct {
    nb_span span;
    const nb_channel *channel; /* those of one table side by side */
    int64_t channels;
    double weight;             /* of all */
    nb_sensor sensor;
} nb_run;

/* NB_LINE: passages of reflections.  NB_CULLED: samples that pass some. */
typedef struct {
    double size[NB_LISTED + NB_FLANES];  /* what multiplies the sum over channels */
    double speed[NB_LISTED + NB_FLANES]; /* NB_LINE: s */
    double at[NB_LISTED + NB_FLANES];    /* NB_LINE: s k* from the middle of the spectrum; NB_CULLED: |u|^2 */
    double x[3][NB_LISTED + NB_FLANES];  /* NB_LINE: h0; NB_CULLED: v */
    int64_t lane[NB_LISTED + NB_FLANES];
    int count;
} __attribute__((aligned(64))) nb_listed;

/* Fills the last vector of `step` lanes with what adds nothing. */
NB_FN void nb_end_listed(nb_listed *list, int step)
{
    for (int i = list->count; i % step; i++) {
        list->size[i] = list->speed[i] = list->at[i] = list->x[0][i] = list->x[1][i] = list->x[2][i] = 0.0;
        list->lane[i] = 0;
    }
}

/* The channels of a scene's sources, `count` of them, for nb_run_of. */
static void nb_sort_channels(const nb_scene *s, nb_channel *channel)
{
    for (int64_t first = 0, run; first < s->sources; first += run) {
        const nb_source *source = s->source + first;
        const nb_span span = nb_span_of(source);
        int64_t most = 0, n = 0;
        double half = 0.0;
        run = source->run;
        for (int64_t j = 0; j < run; j++) most = source[j].table > most ? source[j].table : most;
        for (int64_t table = 0; table <= most; table++)
            for (const nb_source *one = source; one < source + run; one++) {
                if (one->table != table) continue;
                nb_channel *c = channel + first + n++;
                const double low = one->channel[0] - span.middle, high = one->channel[1] - span.middle;
                c->middle = 0.5 * (low + high);
                c->half = 0.5 * (high - low);
                /* equal but for rounding: the same, so that what depends on it is worked out once */
                if (n > 1 && fabs(c->half - half) < 1e-9 * half) c->half = half;
                half = c->half;
                c->weight = one->weight;
                c->wavenumber = 1.0 / one->wavelength;
                c->table = table;
                c->source = one - s->source;
            }
    }
}

static nb_run nb_run_of(const nb_scene *s, const nb_source *source, const nb_channel *channel)
{
    nb_run run = {.span = nb_span_of(source), .channel = channel + (source - s->source), .channels = source->run};
    for (int64_t j = 0; j < run.channels; j++) run.weight += source[j].weight;
    return run;
}

#else

/* Everything that listing one crystal's passages takes. */
typedef struct {
    const nb_scene *s;
    const nb_table *tables; /* first of the crystal's */
    const nb_block *b;
    const nb_run *run;
    double *samples;        /* what is added to, lane by lane */
    double outer, scale;    /* largest squared radius; peak and weight of the orientation */
    int precision;
    nb_listed list;
} nb_lister;

static void nb_flush(nb_lister *l)
{
    if (l->precision == NB_MIXED) nb_add_listed_vf(l->s, l->tables, l->b, l->run, &l->list, l->samples);
    else nb_add_listed_vd(l->s, l->tables, l->b, l->run, &l->list, l->samples);
}

/* Lists the lanes of a vector whose bits are set. */
NB_FN void nb_list(nb_lister *l, int first, unsigned bits, nb_vd size, nb_vd speed, nb_vd at, const nb_vd x[3])
{
    nb_listed *list = &l->list;
    const int n = list->count;
    nb_pack(list->size + n, (nb_vdbits)size, bits);
    nb_pack(list->at + n, (nb_vdbits)at, bits);
    if (l->s->spectral == NB_LINE) nb_pack(list->speed + n, (nb_vdbits)speed, bits);
    for (int r = 0; r < 3; r++) nb_pack(list->x[r] + n, (nb_vdbits)x[r], bits);
    nb_vdbits lane = {0};
    for (int j = 0; j < NB_LANES; j++) lane[j] = (uint64_t)(first + j);
    nb_pack(list->lane + n, lane, bits);
    list->count += __builtin_popcount(bits);
    if (list->count > NB_LISTED - NB_LANES) nb_flush(l);
}

/* Lanes whose sample passes a reflection of each, whole, within the outer radius somewhere in the spectrum. */
NB_FN nb_vdmask nb_close(const nb_lister *l, const nb_vd v[3], const nb_vd whole[3], nb_vd u_sqr, nb_passage_vd *p)
{
    nb_vd d[3];
    for (int r = 0; r < 3; r++) d[r] = whole[r] - l->run->span.middle * v[r];
    nb_vdmask close = nb_pass_vd(&l->run->span, l->b->metric, v, d, l->outer, p);
    if (l->s->spectral == NB_LINE && l->s->dmin > 0.0) {
        const nb_vd k = l->run->span.middle + p->within;
        close &= nb_resolved_vd(l->s, k * k * u_sqr);
    }
    return close;
}

/* Lists the passages, NB_LINE, of one reflection of each lane, those in `which`. */
NB_FN void nb_list_passages(nb_lister *l, int first, nb_vdmask which, const nb_vd v[3], const nb_vd whole[3], nb_vd u_sqr)
{
    nb_passage_vd p;
    const unsigned bits = nb_bits_vd(which & nb_close(l, v, whole, u_sqr, &p));
    if (!bits) return;
    const nb_vd speed = nb_sqrt_vd((2.0 / NB_GAUSS_WIDTH) * p.speed);
    const nb_vd size = l->scale * nb_exp_vd((-2.0 / NB_GAUSS_WIDTH) * p.apart);
    nb_list(l, first, bits, size, speed, speed * p.closest, whole);
}

/* The reflections between the first and the last of one lane, by one lane's vector. */
static __attribute__((noinline)) void nb_list_between(nb_lister *l, int lane, const double v[3], const double first[3],
                                                      const double last[3], double u_sqr)
{
    double whole[3] = {first[0], first[1], first[2]};
    const nb_vd at[3] = {v[0] - (nb_vd){0}, v[1] - (nb_vd){0}, v[2] - (nb_vd){0}};
    nb_vdmask one = {0};
    one[0] = -1;
    while (nb_step_on(v, whole, last) && !(whole[0] == last[0] && whole[1] == last[1] && whole[2] == last[2])) {
        const nb_vd x[3] = {whole[0] - (nb_vd){0}, whole[1] - (nb_vd){0}, whole[2] - (nb_vd){0}};
        nb_list_passages(l, lane, one, at, x, u_sqr - (nb_vd){0});
    }
}

/* Lists what a vector of samples passes of which some, those in `moved`, have more than one nearest reflection in the
 * spectrum; middle: the one at its middle. */
static __attribute__((noinline)) void nb_list_moved(nb_lister *l, int i, nb_vdmask moved, const nb_vd v[3],
                                                    const nb_vd middle[3], nb_vd u_sqr)
{
    const nb_span *span = &l->run->span;
    nb_vd first[3], last[3], steps = {0};
    for (int r = 0; r < 3; r++) {
        first[r] = nb_select_vd(moved, nb_whole_index_vd(span->middle + span->low, v[r]), middle[r]);
        last[r] = nb_select_vd(moved, nb_whole_index_vd(span->middle + span->high, v[r]), middle[r]);
        steps += nb_abs_vd(last[r] - first[r]);
    }
    if (l->s->spectral == NB_LINE) {
        nb_list_passages(l, i, steps >= 0.0, v, first, u_sqr);
        nb_list_passages(l, i, steps > 0.0, v, last, u_sqr);
        for (unsigned left = nb_bits_vd(steps > 1.0); left; left &= left - 1) {
            const int j = __builtin_ctz(left);
            const double one[3] = {v[0][j], v[1][j], v[2][j]}, from[3] = {first[0][j], first[1][j], first[2][j]};
            const double to[3] = {last[0][j], last[1][j], last[2][j]};
            nb_list_between(l, i + j, one, from, to, u_sqr[j]);
        }
        return;
    }
    nb_passage_vd p;
    nb_vdmask close = (steps > 1.0) | nb_close(l, v, first, u_sqr, &p);
    close |= nb_close(l, v, last, u_sqr, &p);
    const unsigned bits = nb_bits_vd(close);
    if (bits) nb_list(l, i, bits, l->scale - (nb_vd){0}, v[0], u_sqr, v);
}

/* Lists what one orientation's samples pass; m: rows a, b, c. */
static void nb_list_orientation(nb_lister *l, const double *m, const nb_q *u)
{
    const nb_span *span = &l->run->span;
    for (int i = 0; i < u->lanes; i += NB_LANES) {
        const nb_vd x = nb_load_vd(u->x + i), y = nb_load_vd(u->y + i), z = nb_load_vd(u->z + i);
        const nb_vd u_sqr = x * x + y * y + z * z;
        nb_vd v[3], whole[3];
        nb_vdmask moved = {0};
        for (int r = 0; r < 3; r++) {
            v[r] = m[3 * r] * x + m[3 * r + 1] * y + m[3 * r + 2] * z;
            whole[r] = nb_round_vd(span->middle * v[r]);
            const nb_vd off = nb_abs_vd(span->middle * v[r] - whole[r]);
            moved |= off + span->high * nb_abs_vd(v[r]) > 0.5 - 1e-9; /* so much that no rounding decides */
        }
        if (nb_bits_vd(moved)) {
            nb_list_moved(l, i, moved, v, whole, u_sqr);
        } else if (l->s->spectral == NB_LINE) {
            nb_list_passages(l, i, ~moved, v, whole, u_sqr);
        } else {
            nb_passage_vd p;
            const unsigned bits = nb_bits_vd(nb_close(l, v, whole, u_sqr, &p));
            if (bits) nb_list(l, i, bits, l->scale - (nb_vd){0}, v[0], u_sqr, v);
        }
    }
}

/* Adds a crystal's F^2 L^2, times the weights of the sources, to the samples of a tile. */
static void nb_sum_spectrum(const nb_scene *s, const nb_block *b, const nb_run *run, const nb_q *u, double *samples, int precision)
{
    const nb_crystal *k = b->crystal;
    nb_lister l;
    l.s = s;
    l.tables = s->table + k->table;
    l.b = b;
    l.run = run;
    l.samples = samples;
    l.outer = nb_outer_radius_sqr(s->spectral, b->shape);
    l.precision = precision;
    l.list.count = 0;
    for (int64_t o = 0; o < k->orientations; o++) {
        if (o % NB_BLOCK == 0 && __atomic_load_n(b->cancel, __ATOMIC_RELAXED)) return;
        l.scale = k->orientation_weight ? b->peak * k->orientation_weight[o] : b->peak;
        nb_list_orientation(&l, k->abc + 9 * o, u);
    }
    if (l.list.count) nb_flush(&l);
}

#endif
