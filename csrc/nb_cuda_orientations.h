/* Sums of derivatives over pixels, for each orientation and each entry of the tables: a thread is an orientation.  Part of
 * nb_gradient.cu, which says why. */
#ifndef NB_CUDA_ORIENTATIONS_H
#define NB_CUDA_ORIENTATIONS_H

/* One sample of all orientations: its place, and what it counts for. */
typedef struct {
    double q[3], weight;  /* weight 0: it is left out */
    int64_t limit;        /* see nb_find_limit */
    int32_t table, unused;
} nb_staged;

/* The pixel's sample `number` of (layer, sub-pixel, source); crystal: NULL leaves out what is different for each. */
NB_FN nb_staged nb_stage(const nb_course *k, const nb_panel *p, const nb_sweep *w, const nb_crystal *crystal, int64_t slot,
                         int number, double once)
{
    const nb_scene *s = k->s;
    const int n = number % s->sources, point = number / s->sources, sub = point % (s->oversample * s->oversample);
    const int layer = point / (s->oversample * s->oversample);
    const nb_source *source = s->source + n;
    nb_staged to;
    nb_point_d at;
    int64_t kept;
    int32_t fast, slow;
    nb_pixel_of(p, slot, &fast, &slow);
    nb_point_at_d(s, p, (double)p->first[0] + fast, (double)p->first[1] + slow, layer, sub / s->oversample,
                  sub % s->oversample, s->oversample_thick, &at);
    NB_U(nb_scattering)(s, source, &at, to.q, &kept);
    const double polar = s->nopolar ? 1.0 : nb_polarization_d(s->polarization, source->incident, k->axes + n, at.d);
    to.weight = nb_sample_weight_d(s, kept ? source->weight : 0.0, nb_capture_at_d(p, n, layer, &at), polar, at.omega) * once;
    to.limit = to.table = to.unused = 0;
    if (!crystal) return to;
    to.table = (int32_t)(crystal->table + source->table);
    const nb_table *t = s->table + to.table;
    if (nb_dot(to.q, to.q) > t->F_reach * t->F_reach) to.weight = 0.0;
    to.limit = crystal->orientations;
    if (t->interpolation == NB_TRICUBIC) {
        const int64_t pixel = nb_image_index(p, fast, slow);
        const int64_t before = k->cut.sequence - (int64_t)number * w->per_source - w->before;
        if (pixel > k->cut.pixel) to.limit = -1;
        else if (pixel == k->cut.pixel) to.limit = before < -1 ? -1 : nb_least(before, crystal->orientations);
    }
    return to;
}

/* Samples in a row that owe to the same entries of a table: the nearest, or the 64 around. */
typedef struct {
    int32_t table, cubic;
    int64_t entry;         /* -1: none yet; of 64 the first */
    double value[NB_USE_KINDS & 04444 ? 64 : 1];
} nb_run;

/* As whole numbers: of unit[0], of 2^-bits of that for what is left, and so on.  They are added modulo 2^64 in whatever order
 * blocks come, and the result is the same.  No sum of one round leaves 62 bits: unit[0] is at least the largest value of one
 * sample times 2^-bits, and there are at most 2^(62 - bits) samples.  Where most samples lie far from all spots the first
 * numbers are 0; the last keep their digits. */
NB_FN void nb_put_entry(const nb_held *h, int table, int64_t entry, double value)
{
    double units = value * h->unit[1];
    if (!(fabs(units) <= 4611686018427387904.0)) { /* 2^62 */
        h->spoiled[table][entry] = 1;
        return;
    }
    unsigned long long *to = (unsigned long long *)h->fixed[table] + NB_WORDS * entry;
    for (int i = 0; i < NB_WORDS; i++) {
        const double whole = rint(units);
        if (whole != 0.0) atomicAdd(to + i, (unsigned long long)(long long)whole);
        units = (units - whole) * h->unit[2];
    }
}

NB_FN void nb_end_run(const nb_scene *s, const nb_held *h, nb_run *run)
{
    if (run->entry < 0) return;
    if (!run->cubic) nb_put_entry(h, run->table, run->entry, run->value[0]);
#if NB_USE_KINDS & 04444
    else
        for (int n = 0; n < 64; n++)
            nb_put_entry(h, run->table, run->entry + nb_neighbour(s->table + run->table, n), run->value[n]);
#endif
    run->entry = -1;
}

/* What one sample of one orientation owes to F goes where F came from. */
NB_FN void nb_add_entry(const nb_scene *s, const nb_held *h, const nb_staged *sample, const double index[3], int64_t o,
                        double value, const int source_of_F, nb_run *run)
{
    const nb_table *t = s->table + sample->table;
    const bool interpolates = source_of_F == NB_F_TRICUBIC;
    const bool cubic = interpolates && nb_interpolable_d(t, index) && sample->limit > o;
    int64_t entry = -1;
    double w[3][4];
    if (cubic) entry = nb_corner_of(t, index, w);
    else if (!interpolates || o > sample->limit) entry = nb_nearest_place(t, index);
    if (entry < 0) return; /* default_F */
    const int count = cubic ? 64 : 1;
    if (run->entry != entry || run->table != sample->table || run->cubic != cubic) {
        nb_end_run(s, h, run);
        run->entry = entry;
        run->table = sample->table;
        run->cubic = cubic;
        for (int n = 0; n < count; n++) run->value[n] = 0.0;
    }
#if NB_USE_KINDS & 04444
    if (cubic) {
        for (int n = 0; n < 64; n++) run->value[n] += value * w[0][n / 16] * w[1][n / 4 % 4] * w[2][n % 4];
        return;
    }
#endif
    run->value[0] += value;
}

/* The staged samples of orientation o, from number `first` on every `every`-th, onto its ten sums. */
NB_FN void nb_add_staged(const nb_course *k, const nb_held *h, const nb_sweep *w, const nb_asked *a, const nb_staged *staged,
                         int first, int every, int count, int64_t o, double u, double sum[10], nb_run *run, const int shape,
                         const int source_of_F)
{
    const nb_scene *s = k->s;
    const nb_block *b = a->block;
    const double *m = b->crystal->abc + 9 * o;
    const double unit = k->per_fluence * s->fluence * b->peak * u;
    nb_real part[10];
    for (int j = 0; j < 10; j++) part[j] = 0;
    for (int i = first; i < count; i += every) {
        const nb_staged *sample = staged + i;
        if (sample->weight == 0.0) continue;
        const nb_table *t = s->table + sample->table;
        NB_U(nb_samples) samples;
        NB_U(nb_place) place;
        NB_U(nb_factor) f;
        NB_U(nb_slopes) g;
        double at[1];
        int64_t inside[1];
        for (int j = 0; j < 3; j++) samples.q[0][j] = sample->q[j];
        samples.limit = &sample->limit;
        NB_U(nb_place_orientation)(b, m, &samples, &place, shape);
        if (source_of_F == NB_F_NEAREST) NB_U(nb_factor_nearest)(t, &place, at, inside, &f);
        if (source_of_F == NB_F_TRICUBIC) NB_U(nb_factor_tricubic)(t, &samples, &place, o, &f);
        NB_U(nb_sample_slopes)(b, &place, &f, &g, shape, source_of_F != NB_F_CONSTANT, source_of_F == NB_F_TRICUBIC, 0);
        const double strength = source_of_F == NB_F_CONSTANT ? t->default_F * t->default_F : 1.0;
        const nb_real weight = (nb_real)(sample->weight * strength);
        for (int r = 0; r < 3; r++) {
            const nb_real c = (nb_real)u * weight * g.G[r];
            for (int j = 0; j < 3; j++) part[3 * r + j] += c * (nb_real)sample->q[j];
        }
        part[9] += weight * g.T;
        if (source_of_F != NB_F_CONSTANT && w->tables)
            nb_add_entry(s, h, sample, place.index[0], o, unit * sample->weight * (double)g.F_L, source_of_F, run);
    }
    for (int j = 0; j < 10; j++) sum[j] += (double)part[j];
}

NB_FN void nb_add_stage(const nb_course *k, const nb_held *h, const nb_sweep *w, const nb_asked *a, const nb_staged *staged,
                        int first, int every, int count, int64_t o, double u, double sum[10], nb_run *run)
{
    const nb_table *t = k->s->table + a->block->crystal->table;
    const int source_of_F = !t->F ? NB_F_CONSTANT : t->interpolation == NB_NEAREST ? NB_F_NEAREST : NB_F_TRICUBIC;
#define NB_ONE(kind, source)                                                                                           \
    if (NB_HAS(kind, source) && a->block->crystal->shape == kind && source_of_F == source)                             \
        nb_add_staged(k, h, w, a, staged, first, every, count, o, u, sum, run, kind, source);
#define NB_EACH(kind) NB_ONE(kind, NB_F_CONSTANT) NB_ONE(kind, NB_F_NEAREST) NB_ONE(kind, NB_F_TRICUBIC)
    NB_EACH(NB_SQUARE)
    NB_EACH(NB_ELLIPSOID)
    NB_EACH(NB_GAUSS)
    NB_EACH(NB_TOPHAT)
#undef NB_EACH
#undef NB_ONE
}

/* Before nb_by_orientation, of the whole panel: `once`, and the largest weight that a sample has.  A thread is a pixel. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_weigh(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_panel panel,
         const __grid_constant__ nb_sweep sweep, const __grid_constant__ nb_held held)
{
    __shared__ double most[NB_THREADS];
    nb_course k = *held.course;
    k.s = &scene;
    const int64_t slot = (int64_t)blockIdx.x * NB_THREADS + threadIdx.x;
    most[threadIdx.x] = 0.0;
    if (slot < sweep.pixels) {
        NB_U(nb_chunk) c;
        int32_t fast, slow;
        nb_pixel_of(&panel, slot, &fast, &slow);
        const double given = held.given[nb_image_index(&panel, fast, slow)];
        c.F[0] = (double)panel.first[0] + fast;
        c.S[0] = (double)panel.first[1] + slow;
        if (given != 0.0) {
            nb_point_at_d(&scene, &panel, c.F[0], c.S[0], 0, 0, 0, panel.layers == 1, c.points[0]);
            NB_U(nb_find_once)(&k, &panel, &c, 0);
        }
        const double once = given != 0.0 ? c.once[0] * given : 0.0;
        held.once[slot] = once;
        const int samples = panel.layers * scene.oversample * scene.oversample * scene.sources;
        for (int i = 0; sweep.tables && once != 0.0 && i < samples; i++) {
            const double weight = fabs(nb_stage(&k, &panel, &sweep, nullptr, slot, i, once).weight);
            if (weight > most[threadIdx.x] && weight <= 1.7976931348623157e308) most[threadIdx.x] = weight;
        }
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int i = 1; i < NB_THREADS; i++)
        if (most[i] > most[0]) most[0] = most[i];
    held.largest[blockIdx.x] = most[0];
}

/* unit[0] for nb_put_entry, unit[1] = 1/unit[0], powers of 2 and 0 where all samples are; unit[2] = 2^bits.  factor: bounds what a sample of
 * weight 1 owes to an entry, in units of the crystal's largest L^2.  One thread. */
extern "C" __global__ void nb_choose_unit(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_sweep sweep,
                                          const __grid_constant__ nb_held held, int64_t blocks, double factor)
{
    if (threadIdx.x != 0) return;
    const nb_course *k = held.course;
    double most = 0.0;
    int exponent;
    for (int64_t i = 0; i < blocks; i++)
        if (held.largest[i] > most) most = held.largest[i];
    most *= fabs(k->per_fluence * scene.fluence * k->asked[sweep.crystal].block->peak) * factor;
    frexp(most, &exponent);
    held.unit[0] = most > 0.0 ? ldexp(1.0, exponent - (int)sweep.bits) : 0.0;
    held.unit[1] = most > 0.0 ? ldexp(1.0, (int)sweep.bits - exponent) : 0.0;
    held.unit[2] = ldexp(1.0, (int)sweep.bits);
}

/* Sums of one crystal's orientations over a unit's pixels: partial[unit][orientations][10], by the rows of a, b, c and by the
 * weight; and the cotangents of its tables.  blockIdx.x: unit; blockIdx.y: sweep.lanes orientations.  Where there are fewer
 * than threads, several threads share one and take the staged samples in turns. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, NB_BLOCKS)
nb_by_orientation(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_panel panel,
                  const __grid_constant__ nb_sweep sweep, const __grid_constant__ nb_held held)
{
    __shared__ nb_staged staged[NB_THREADS];
    __shared__ double shared[10 * NB_THREADS];
    const nb_sweep *w = &sweep;
    nb_course k = *held.course;
    k.s = &scene;
    const nb_asked *a = k.asked + w->crystal;
    const nb_crystal *crystal = a->block->crystal;
    const int lanes = (int)w->lanes, part = (int)threadIdx.x / lanes, parts = NB_THREADS / lanes;
    const int64_t o = (int64_t)blockIdx.y * lanes + (int)threadIdx.x % lanes;
    const bool mine = o < crystal->orientations;
    const double u = mine && crystal->orientation_weight ? crystal->orientation_weight[o] : 1.0;
    const int samples = panel.layers * scene.oversample * scene.oversample * scene.sources;
    double sum[10];
    nb_run run;
    run.entry = -1;
    run.table = run.cubic = 0;
    run.value[0] = 0.0;
    for (int j = 0; j < 10; j++) sum[j] = 0.0;
    const int64_t unit = w->first + blockIdx.x, begin = unit * w->groups * NB_THREADS;
    const int64_t all = (nb_least(begin + w->groups * NB_THREADS, w->pixels) - begin) * samples;
    for (int64_t first = 0; first < all; first += NB_THREADS) {
        const int64_t number = first + threadIdx.x, slot = begin + number / samples;
        __syncthreads();
        if (number < all) {
            const double once = held.once[slot];
            if (once == 0.0) staged[threadIdx.x].weight = 0.0;
            else staged[threadIdx.x] = nb_stage(&k, &panel, w, crystal, slot, (int)(number % samples), once);
        }
        __syncthreads();
        const int count = (int)nb_least(all - first, NB_THREADS);
        if (mine) nb_add_stage(&k, &held, w, a, staged, part, parts, count, o, u, sum, &run);
    }
    nb_end_run(&scene, &held, &run);
    for (int j = 0; j < 10; j++) shared[j * NB_THREADS + threadIdx.x] = sum[j];
    __syncthreads();
    if (!mine || part) return;
    const double scale = k.per_fluence * scene.fluence * a->block->peak;
    double *to = held.partial + (blockIdx.x * crystal->orientations + o) * 10;
    for (int j = 0; j < 10; j++) {
        double total = 0.0;
        for (int i = 0; i < parts; i++) total += shared[j * NB_THREADS + i * lanes + threadIdx.x];
        to[j] = scale * total;
    }
}

/* A table's whole numbers onto its cotangent; they are 0 afterwards. */
extern "C" __global__ void nb_settle(const __grid_constant__ nb_held held, int64_t table, int64_t entries, double *total)
{
    const int64_t i = (int64_t)blockIdx.x * NB_THREADS + threadIdx.x;
    if (i >= entries) return;
    int64_t *fixed = held.fixed[table] + NB_WORDS * i;
    const double finer = 1.0 / held.unit[2];
    double sum = 0.0;
    for (int j = NB_WORDS - 1; j >= 0; j--) {
        sum = (double)fixed[j] + finer * sum;
        fixed[j] = 0;
    }
    total[i] += held.unit[0] * sum;
    if (held.spoiled[table][i]) total[i] = nan("");
}

#endif
