/* The basis of a vector of pixels: the columns of nb_columns.h (gradients 7.1, 7.3).  Stamped out for
 * NB_PER vectors of doubles whose lattice factors are worked out in NB_REAL.
 *
 * Weighed lane by lane from the start: by `given`, the image's cotangent (or 1), and by the factors taken once per pixel,
 * which are found before the sum.  Nothing is kept for a sample. */

typedef struct {
    NB_DREAL F[NB_PER], S[NB_PER]; /* whole pixels from the corner of the panel's plane */
    NB_DREAL given[NB_PER];
    const int64_t *pixel;          /* image index of each lane */
    NB_ROOM(NB_DREAL) by[NB_PER];  /* out: [columns] of each vector; those of all may be the same */
    NB_ROOM(NB_DREAL) extras;      /* [NB_PER * extras of a crystal], to work in */
    int64_t *limit;                /* [NB_PER * NB_DLANES], to work in */
    NB_REAL *orientations;         /* sums of all crystals' orientations, one after another */
    NB_R(nb_samples) samples;      /* its sink and its room are the caller's */
    /* to work in */
    NB_DR(nb_point) points[2][NB_PER]; /* the first of a pixel, and the one that is worked on after it */
    NB_DR(nb_owed) debts[2][NB_PER];
    NB_DR(nb_point) *at;           /* one of those, [NB_PER] */
    NB_DR(nb_owed) *owed;
    NB_DREAL omega[NB_PER], capture[NB_PER], polar[NB_PER]; /* once per pixel */
    NB_DREAL polar_at[NB_PER];     /* number of the sample that has it: (layer, sub-pixel, source); -1: none */
    NB_DREAL once[NB_PER], kept[NB_PER], bragg[NB_PER], wet[NB_PER];
    NB_DREAL now[NB_PER], captured[NB_PER]; /* of a source at the point */
} NB_R(nb_chunk);

NB_FN void NB_R(nb_scattering)(const nb_scene *s, const nb_source *source, const NB_DR(nb_point) *at, NB_DREAL q[3],
                               NB_DMASK *kept)
{
    const double per_wavelength = 1.0 / source->wavelength;
    for (int k = 0; k < 3; k++) q[k] = (at->d[k] - source->incident[k]) * per_wavelength;
    *kept = s->dmin > 0.0 ? NB_DR(nb_resolved)(s, q[0] * q[0] + q[1] * q[1] + q[2] * q[2]) : NB_DSET(0.0) == 0.0;
}

/* The factors that are taken once: solid angle of the first sub-pixel, capture of the first of the last layer, polarization
 * of the first sample that is kept (nb_pixel.h). */
NB_FN void NB_R(nb_find_once)(const nb_course *k, const nb_panel *p, NB_R(nb_chunk) *c, int i)
{
    const nb_scene *s = k->s;
    NB_DR(nb_point) other;
    const NB_DR(nb_point) *at = c->points[0] + i;
    c->omega[i] = at->omega;
    c->capture[i] = at->capture;
    c->polar[i] = NB_DSET(s->nopolar ? 1.0 : 0.0);
    c->polar_at[i] = NB_DSET(-1.0);
    const int points = p->layers * s->oversample * s->oversample;
    const int wanted = !s->nopolar && !s->oversample_polar;
    for (int point = 0; wanted && point < points && NB_DANY(c->polar[i] == 0.0); point++) {
        const int layer = point / (s->oversample * s->oversample), sub = point % (s->oversample * s->oversample);
        if (point) {
            NB_DR(nb_point_at)(s, p, c->F[i], c->S[i], layer, sub / s->oversample, sub % s->oversample, 0, &other);
            at = &other;
        }
        for (int n = 0; n < s->sources && NB_DANY(c->polar[i] == 0.0); n++) {
            NB_DREAL q[3];
            NB_DMASK kept;
            NB_R(nb_scattering)(s, s->source + n, at, q, &kept);
            const NB_DMASK takes = (c->polar[i] == 0.0) & kept;
            const NB_DREAL polar = NB_DR(nb_polarization)(s->polarization, s->source[n].incident, k->axes + n, at->d);
            c->polar[i] = NB_DSELECT(takes, polar, c->polar[i]);
            c->polar_at[i] = NB_DSELECT(takes, NB_DSET((double)point * s->sources + n), c->polar_at[i]);
        }
    }
    if (p->layers > 1 && !s->oversample_thick) {
        NB_DR(nb_point_at)(s, p, c->F[i], c->S[i], p->layers - 1, 0, 0, 1, &other);
        c->capture[i] = other.capture;
    }
    c->once[i] = NB_DSET(1.0);
    if (!s->oversample_thick) c->once[i] *= c->capture[i];
    if (!s->oversample_polar) c->once[i] *= c->polar[i];
    if (!s->oversample_omega) c->once[i] *= c->omega[i];
}

/* Up to which orientation of a crystal, the first of sequence number `base`, the samples of each lane are interpolated:
 * tile_limits.  NULL: none is. */
NB_FN const int64_t *NB_R(nb_find_limit)(const nb_course *k, const nb_block *b, NB_R(nb_chunk) *c, int64_t base)
{
    if (b->interpolation == NB_NEAREST) return 0;
    const int64_t all = b->crystal->orientations;
    const int ends = b->interpolation == NB_TRICUBIC;
    for (int i = 0; i < NB_PER; i++)
        for (int j = 0; j < NB_DLANES; j++) {
            const int64_t pixel = c->pixel[i * NB_DLANES + j];
            int64_t limit = all;
            if (ends && pixel > k->cut.pixel) limit = -1;
            else if (ends && pixel == k->cut.pixel) limit = k->cut.sequence - base;
            if (limit < -1 || NB_DLANE(c->kept[i], j) == 0.0) limit = -1;
            c->limit[i * NB_DLANES + j] = limit > all ? all : limit;
        }
    return c->limit;
}

/* One crystal's samples of a source: what they are to its own columns, and q's.  Adds F^2 L^2 to `T`, in electrons^2. */
NB_FN void NB_R(nb_add_crystal)(const nb_course *k, int number, const nb_table *t, NB_R(nb_chunk) *c, double scale,
                                NB_DREAL T[NB_PER], NB_DREAL by_q[NB_PER][3])
{
    const nb_asked *a = k->asked + number;
    const nb_crystal *crystal = a->block->crystal;
    const int none = !t->F, extras = a->extras;
    const double F_sqr = none ? t->default_F * t->default_F : 1.0;
    const double unit = a->block->peak * F_sqr;
    const double per_weight = nb_lattice_peak(crystal) * F_sqr * nb_unit_share(k->s, crystal);
    NB_DREAL sums[NB_SUMS * NB_PER];
    c->samples.unit = scale * unit;
    c->samples.strength = F_sqr;
    NB_R(nb_pull)(a, t, &c->samples, sums, c->extras);
    for (int i = 0; i < NB_PER; i++) {
        const NB_DREAL weight = scale * c->samples.weight[i], amount = unit * weight;
        const NB_DREAL sum = sums[NB_SUM_T * NB_PER + i];
        NB_ROOM(NB_DREAL) by = c->by[i] + k->layout.crystal[number];
        T[i] += unit * sum;
        for (int j = 0; j < 3; j++) by_q[i][j] += unit * sums[(NB_SUM_PULL + j) * NB_PER + i];
        by[NB_BY_CRYSTAL_WEIGHT] += per_weight * weight * sum;
        if (a->want & NB_WANT_SHAPE) {
            const int square = crystal->shape == NB_SQUARE;
            for (int j = 0; j < 3; j++)
                by[NB_BY_N + j] += amount * (square ? sums[(NB_SUM_SHAPE + j) * NB_PER + i] : (2.0 / crystal->N[j]) * sum);
            for (int j = 0; !square && j < 6; j++) by[NB_BY_METRIC + j] += amount * sums[(NB_SUM_SHAPE + j) * NB_PER + i];
        }
        if (a->want & NB_WANT_CELL)
            for (int j = 0; j < 9; j++) by[NB_BY_CELL + j] += amount * sums[(NB_SUM_CELL + j) * NB_PER + i];
        for (int j = 0; j < extras; j++) by[NB_CRYSTAL_COLUMNS + j] += amount * c->extras[j * NB_PER + i];
        if (a->want & NB_WANT_DEFAULT) {
            NB_DREAL *F = &c->by[i][k->layout.table + (t - k->s->table)];
            const double peak = a->block->peak;
            *F += none ? (2.0 * t->default_F * peak) * weight * sum : amount * sums[NB_SUM_DEFAULT * NB_PER + i];
        }
    }
}

/* All crystals' samples of one source at a sub-pixel. */
NB_FN void NB_R(nb_add_crystals)(const nb_course *k, const nb_source *source, NB_R(nb_chunk) *c, int64_t *base, double scale,
                                 NB_DREAL T[NB_PER], NB_DREAL by_q[NB_PER][3])
{
    NB_REAL *orientations = c->orientations;
    for (int n = 0; n < k->s->crystals; n++) {
        const nb_block *b = k->asked[n].block;
        c->samples.orientations = orientations;
        if (k->asked[n].want & NB_WANT_ORIENTATIONS) orientations += 10 * b->crystal->orientations;
        const nb_table *t = k->s->table + b->crystal->table + source->table;
        const double reach_sqr = t->F_reach * t->F_reach;
        unsigned within = 0;
        for (int i = 0; i < NB_PER; i++) {
            const NB_DREAL *q = c->samples.q[i];
            within |= NB_DANY((q[0] * q[0] + q[1] * q[1] + q[2] * q[2] <= reach_sqr) & (c->kept[i] != 0.0));
        }
        c->samples.limit = NB_R(nb_find_limit)(k, b, c, *base);
        if (within) NB_R(nb_add_crystal)(k, n, t, c, scale, T, by_q);
        *base += b->crystal->orientations;
    }
}

/* One source at a sub-pixel: T and q's share are known; what follows for the source and the point. */
NB_FN void NB_R(nb_add_source)(const nb_course *k, const nb_panel *p, int layer, int number, NB_R(nb_chunk) *c, int i,
                               double scale, double wet, NB_DREAL T, const NB_DREAL by_q[3])
{
    const nb_scene *s = k->s;
    const nb_source *source = s->source + number;
    NB_ROOM(NB_DREAL) by = c->by[i] + (k->layout.source + NB_SOURCE_COLUMNS * number);
    const NB_DREAL *q = c->samples.q[i];
    const NB_DR(nb_point) *at = c->at + i;
    NB_DR(nb_owed) *owed = c->owed + i;
    const double per_wavelength = 1.0 / source->wavelength;
    const NB_DREAL inner = NB_DR(nb_sample_weight)(s, c->kept[i], c->captured[i], c->now[i], at->omega);
    const NB_DREAL base = scale * c->once[i] * c->given[i], amount = base * inner * source->weight;
    NB_DREAL along = NB_DSET(0.0), by_polar = NB_DSET(0.0);
    by[NB_BY_WEIGHT] += base * inner * T;
    c->bragg[i] += inner * source->weight * T;
    if (!k->asks && s->water_mode != NB_WATER_AFTER) return;
    for (int j = 0; j < 3; j++) {
        const NB_DREAL by_d = amount * by_q[j] * per_wavelength;
        owed->d[j] += by_d;
        by[NB_BY_INCIDENT + j] -= by_d;
        along += by_d * q[j];
    }
    by[NB_BY_WAVELENGTH] -= along;
    const NB_DREAL term = base * c->kept[i] * source->weight * T, omega = s->oversample_omega ? at->omega : NB_DSET(1.0);
    const NB_DREAL capture = s->oversample_thick ? c->captured[i] : NB_DSET(1.0);
    const NB_DREAL polar = s->oversample_polar ? c->now[i] : NB_DSET(1.0);
    NB_DREAL own = NB_DSET(0.0), *by_capture = nb_mu_differs(p) ? &own : &owed->capture;
    if (s->oversample_thick) *by_capture += term * polar * omega;
    if (s->oversample_omega) owed->log_omega += term * capture * polar * omega;
    if (s->oversample_polar) by_polar += term * capture * omega;
    if (s->water_mode == NB_WATER_AFTER) {
        const NB_DREAL water = wet * c->given[i], w = water * source->weight;
        by[NB_BY_WEIGHT] += water * c->captured[i] * c->now[i] * at->omega;
        *by_capture += w * c->now[i] * at->omega;
        owed->log_omega += w * c->captured[i] * c->now[i] * at->omega;
        by_polar += w * c->captured[i] * at->omega;
        c->wet[i] += source->weight * c->captured[i] * c->now[i] * at->omega;
    }
    if (nb_mu_differs(p))
        by[NB_BY_WAVELENGTH] += p->source_mu_slope[number]
                              * NB_DR(nb_push_capture)(p, p->source_mu[number], layer, at, own, owed, c->by[i]);
    if (!s->nopolar && (s->oversample_polar || s->water_mode == NB_WATER_AFTER))
        NB_DR(nb_push_polar)(s->polarization, source->incident, s->polar_vector, k->axes + number, at->d,
                             k->asks & NB_ASK_POLARIZATION, by_polar, owed->d, by + NB_BY_INCIDENT, c->by[i]);
}

/* The factors taken once, when their pixel's sum is known: what they owe, each at its own point.  photons: without them. */
NB_FN void NB_R(nb_owe_once)(const nb_course *k, const nb_panel *p, NB_R(nb_chunk) *c, int i, NB_DREAL sum)
{
    const nb_scene *s = k->s;
    const NB_DREAL one = NB_DSET(1.0), total = sum * c->given[i];
    const NB_DREAL omega = s->oversample_omega ? one : c->omega[i], capture = s->oversample_thick ? one : c->capture[i];
    const NB_DREAL polar = s->oversample_polar ? one : c->polar[i];
    NB_DR(nb_owed) *first = c->debts[0] + i, other;
    NB_DR(nb_point) at;
    if (!s->oversample_omega) first->log_omega += total * omega * capture * polar;
    if (!s->oversample_thick && p->layers == 1) first->capture += total * omega * polar;
    else if (!s->oversample_thick) {
        NB_DR(nb_owe_nothing)(&other);
        other.capture = total * omega * polar;
        NB_DR(nb_point_at)(s, p, c->F[i], c->S[i], p->layers - 1, 0, 0, 1, &at);
        NB_DR(nb_push_point)(p, p->layers - 1, &at, &other, c->by[i]);
    }
    if (s->nopolar || s->oversample_polar) return;
    const NB_DREAL by_polar = total * omega * capture;
    NB_DREAL left = c->polar_at[i];
    for (int j = 0; j < NB_DLANES; j++) {
        const double number = NB_DLANE(left, j);
        if (number < 0.0) continue;
        const NB_DMASK same = left == number;
        left = NB_DSELECT(same, NB_DSET(-1.0), left);
        const int64_t n = (int64_t)number % s->sources, point = (int64_t)number / s->sources;
        const int os = s->oversample, layer = (int)(point / (os * os)), sub = (int)(point % (os * os));
        NB_DR(nb_owed) *owed = point ? &other : first;
        if (point) NB_DR(nb_owe_nothing)(&other);
        if (point) NB_DR(nb_point_at)(s, p, c->F[i], c->S[i], layer, sub / os, sub % os, 0, &at);
        NB_DR(nb_push_polar)(s->polarization, s->source[n].incident, s->polar_vector, k->axes + n, point ? at.d : c->points[0][i].d,
                             k->asks & NB_ASK_POLARIZATION, NB_DSELECT(same, by_polar, NB_DSET(0.0)), owed->d,
                             c->by[i] + (k->layout.source + NB_SOURCE_COLUMNS * n + NB_BY_INCIDENT), c->by[i]);
        if (point) NB_DR(nb_push_point)(p, layer, &at, &other, c->by[i]);
    }
}

/* After all samples. */
NB_FN void NB_R(nb_finish)(const nb_course *k, const nb_panel *p, NB_R(nb_chunk) *c, int i)
{
    const nb_scene *s = k->s;
    const double fluence = s->fluence, scale = k->per_fluence * fluence, background = k->background_per_fluence * fluence;
    const NB_DREAL all = scale * (c->bragg[i] + background), weight = c->once[i] * c->given[i];
    const NB_DREAL in_sum = k->per_fluence * background * weight; /* the water in it, per fluence */
    const NB_DREAL after = k->wet_per_fluence * c->wet[i] * c->given[i];
    if (k->asks) NB_R(nb_owe_once)(k, p, c, i, all);
    c->by[i][NB_BY_FLUENCE] += k->per_fluence * c->bragg[i] * weight + 2.0 * in_sum + after;
    if (s->water > 0.0) c->by[i][NB_BY_WATER] += (3.0 * fluence / s->water) * (in_sum + after);
    if (k->asks & NB_ASK_PANELS) NB_DR(nb_push_point)(p, 0, c->points[0] + i, c->debts[0] + i, c->by[i]);
}

/* All sources at one sub-pixel. */
NB_FN void NB_R(nb_add_point)(const nb_course *k, const nb_panel *p, int layer, NB_R(nb_chunk) *c, int64_t *base, double scale,
                              double wet)
{
    const nb_scene *s = k->s;
    for (int n = 0; n < s->sources; n++) {
        NB_DREAL T[NB_PER], by_q[NB_PER][3];
        for (int i = 0; i < NB_PER; i++) {
            NB_DMASK kept;
            NB_R(nb_scattering)(s, s->source + n, c->at + i, c->samples.q[i], &kept);
            c->kept[i] = NB_DSELECT(kept, NB_DSET(1.0), NB_DSET(0.0));
            c->now[i] = s->nopolar ? NB_DSET(1.0)
                                   : NB_DR(nb_polarization)(s->polarization, s->source[n].incident, k->axes + n, c->at[i].d);
            c->captured[i] = NB_DR(nb_capture_at)(p, n, layer, c->at + i);
            c->samples.weight[i] = NB_DR(nb_sample_weight)(s, c->kept[i] * s->source[n].weight, c->captured[i], c->now[i],
                                                           c->at[i].omega) * (c->once[i] * c->given[i]);
            T[i] = by_q[i][0] = by_q[i][1] = by_q[i][2] = NB_DSET(0.0);
        }
        NB_R(nb_add_crystals)(k, s->source + n, c, base, scale, T, by_q);
        for (int i = 0; i < NB_PER; i++) NB_R(nb_add_source)(k, p, layer, n, c, i, scale, wet, T[i], by_q[i]);
    }
}

/* The basis of NB_PER vectors of pixels of one panel, added to c->by. */
NB_APART void NB_R(nb_basis)(const nb_course *k, const nb_panel *p, NB_R(nb_chunk) *c)
{
    const nb_scene *s = k->s;
    const double scale = k->per_fluence * s->fluence, wet = k->wet_per_fluence * s->fluence;
    int64_t base = 0; /* sequence number of the next sample */
    const int capture = s->oversample_thick || s->water_mode == NB_WATER_AFTER;
    for (int i = 0; i < NB_PER; i++) {
        NB_DR(nb_point_at)(s, p, c->F[i], c->S[i], 0, 0, 0, capture || p->layers == 1, c->points[0] + i);
        NB_R(nb_find_once)(k, p, c, i);
        c->bragg[i] = c->wet[i] = NB_DSET(0.0);
    }
    for (int layer = 0; layer < p->layers; layer++)
        for (int sub_s = 0; sub_s < s->oversample; sub_s++)
            for (int sub_f = 0; sub_f < s->oversample; sub_f++) {
                const int first = layer == 0 && sub_s == 0 && sub_f == 0;
                c->at = c->points[!first];
                c->owed = c->debts[!first];
                for (int i = 0; i < NB_PER; i++) {
                    if (!first) NB_DR(nb_point_at)(s, p, c->F[i], c->S[i], layer, sub_s, sub_f, capture, c->at + i);
                    NB_DR(nb_owe_nothing)(c->owed + i);
                }
                NB_R(nb_add_point)(k, p, layer, c, &base, scale, wet);
                for (int i = 0; i < NB_PER; i++)
                    if (!first && (k->asks & NB_ASK_PANELS))
                        NB_DR(nb_push_point)(p, layer, c->at + i, c->owed + i, c->by[i]);
            }
    for (int i = 0; i < NB_PER; i++) NB_R(nb_finish)(k, p, c, i);
}
