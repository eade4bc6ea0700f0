/* The detector's chain on the CPU, compiled once per instruction set (NB_ISA is the suffix of its one visible function), without
 * contraction of a*b+c: all instruction sets and the GPU give the same bits.
 *
 * Contract: as nb_response.h.  Pixels are cut into strips, which threads take one at a time; a strip goes through the chain
 * step by step, a vector of pixels at a time.  What only few pixels need, they do packed together: means of 10 and more,
 * whose deviates take turns (attempt).  Detectors that count by turns of their own take one pixel at a time. */
#include "nb_response.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_render.h"
#include "nb_vector.h"

#define NB_STRIP 512 /* pixels: what a thread has of them stays in L1 */
#define NB_NOWHERE NB_STRIP
#define NB_SHARE 16 /* strips that a thread takes at a time: few pixels are not worth a second one */

#define nb_gather_vd nb_gather
#include "nb_as_vd.h"
#include "nb_math.h"
#include "nb_deviates.h"
#include "nb_chain.h"
#include "nb_undefine.h"
#include "nb_as_vf.h"
#include "nb_math.h"
#include "nb_undefine.h"

/* Pixels that wait for a deviate, packed; the last vector is padded. */
typedef struct {
    double m[NB_STRIP + NB_LANES], u[NB_STRIP + NB_LANES], v[NB_STRIP + NB_LANES], k[NB_STRIP + NB_LANES];
    uint64_t at[NB_STRIP + NB_LANES]; /* places in the strip */
    int count;
} __attribute__((aligned(64))) nb_waiting;

typedef struct {
    double value[NB_STRIP + NB_LANES]; /* NB_NOWHERE is one of the last */
    double beyond[NB_STRIP], stage[NB_STRIP], u[NB_STRIP];
    float mean[NB_STRIP], below[NB_STRIP], least[NB_STRIP], most[NB_STRIP]; /* of means below 10, see `bracket` */
    double dead[NB_STRIP], hidden[NB_STRIP]; /* where `marked`: 1 for pixels that are dead, and not reported */
    nb_waiting next, open;
    int64_t first; /* pixel number of the first lane */
    int count, lanes, marked;
} __attribute__((aligned(64))) nb_strip;

/* places of the lanes of the vector that begins at lane i */
NB_INLINE nb_vdbits places_of(int i)
{
    nb_vdbits n;
    for (int lane = 0; lane < NB_LANES; lane++) n[lane] = (uint64_t)lane;
    return n + (uint64_t)i;
}

NB_INLINE nb_vdbits numbers_of(const nb_strip *s, int i)
{
    return places_of(i) + (uint64_t)s->first;
}

static void fill(const nb_exposed *e, nb_strip *s, int64_t begin)
{
    const uint8_t *marks = e->marks ? e->marks + begin : NULL;
    const int64_t left = e->count - begin;
    s->first = e->first + begin;
    s->count = left < NB_STRIP ? (int)left : NB_STRIP;
    s->lanes = (s->count + NB_LANES - 1) / NB_LANES * NB_LANES;
    s->marked = marks || s->count < s->lanes;
    if (e->from_type == NB_FLOAT32)
        for (int i = 0; i < s->count; i++) s->value[i] = ((const float *)e->from)[begin + i];
    else
        memcpy(s->value, (const double *)e->from + begin, (size_t)s->count * sizeof *s->value);
    for (int i = 0; s->marked && i < s->lanes; i++) {
        const int mark = i >= s->count ? NB_MARK_GAP : marks ? marks[i] : 0;
        if (mark & NB_MARK_GAP) s->value[i] = 0.0;
        s->dead[i] = mark & NB_MARK_DEAD ? 1.0 : 0.0;
        s->hidden[i] = mark & (NB_MARK_GAP | NB_MARK_HIDDEN) ? 1.0 : 0.0;
    }
}

static void expect(const nb_response *r, nb_strip *s, nb_tally *t)
{
    for (int i = 0; i < s->lanes; i += NB_LANES) {
        nb_vd scaled;
        nb_vdmask good;
        nb_store_vd(s->value + i, nb_expected_vd(r, nb_load_vd(s->value + i), numbers_of(s, i), &scaled, &good));
        const nb_vdbits size = (nb_vdbits)nb_abs_vd(scaled);
        if (nb_bits_vd(~good))
            for (int lane = 0; lane < NB_LANES; lane++)
                if (!good[lane] && size[lane] > t->worst) t->worst = size[lane];
    }
}

NB_INLINE void wait_for(nb_waiting *w, nb_vd m, nb_vdbits at, unsigned which)
{
    nb_pack(w->m + w->count, (nb_vdbits)m, which);
    nb_pack(w->at + w->count, at, which);
    w->count += __builtin_popcount(which);
}

#define NB_MARGIN 2e-5f /* the sums of `bracket` are less than 6e-6 in error */
#define NB_TERMS 64     /* of a mean below 10: the sums are 1 long before */
#define NB_BESIDE 2     /* vectors that go step by step together, so that no step waits for the one before */

/* 1/n */
#define NB_PER4(n) 1.0f / (n), 1.0f / (n + 1), 1.0f / (n + 2), 1.0f / (n + 3)
#define NB_PER16(n) NB_PER4(n), NB_PER4(n + 4), NB_PER4(n + 8), NB_PER4(n + 12)
static const float per[NB_TERMS] = {NB_PER16(1), NB_PER16(17), NB_PER16(33), NB_PER16(49)};

/* The inversion of nb_poisson_small in single precision, for means of 0 to 10: the least and the most that the deviate can be, as its
 * sums are within the margin of those in double precision.  Where both agree, in all but one of 10^4 pixels, they are the deviate. */
static void bracket(nb_strip *s)
{
    const nb_vf none = {0};
    const int lanes = (s->lanes + NB_BESIDE * NB_FLANES - 1) / (NB_BESIDE * NB_FLANES) * NB_BESIDE * NB_FLANES;
    for (int i = 0; i < lanes; i += NB_FLANES) *(nb_vf *)(s->least + i) = nb_exp_vf(-nb_load_vf(s->mean + i));
    for (int i = 0; i < s->lanes; i += NB_BESIDE * NB_FLANES) {
        nb_vf m[NB_BESIDE], low[NB_BESIDE], high[NB_BESIDE], p[NB_BESIDE], sum[NB_BESIDE], least[NB_BESIDE], most[NB_BESIDE];
        for (int v = 0; v < NB_BESIDE; v++) {
            const int at = i + v * NB_FLANES;
            m[v] = nb_load_vf(s->mean + at);
            low[v] = nb_load_vf(s->below + at) - NB_MARGIN;
            high[v] = nb_load_vf(s->below + at) + NB_MARGIN;
            sum[v] = p[v] = nb_load_vf(s->least + at);
            least[v] = most[v] = none;
        }
        for (int n = 0; n < NB_TERMS; n += 4) {
            nb_vfmask going = {0};
            for (int v = 0; v < NB_BESIDE; v++) going |= high[v] > sum[v];
            if (!nb_bits_vf(going)) break;
            for (int j = n; j < n + 4; j++) {
                const nb_vf next = none + (float)(j + 1);
                for (int v = 0; v < NB_BESIDE; v++) {
                    least[v] = nb_select_vf(low[v] > sum[v], next, least[v]);
                    most[v] = nb_select_vf(high[v] > sum[v], next, most[v]);
                    p[v] *= m[v] * per[j];
                    sum[v] += p[v];
                }
            }
        }
        for (int v = 0; v < NB_BESIDE; v++) {
            *(nb_vf *)(s->least + i + v * NB_FLANES) = least[v];
            *(nb_vf *)(s->most + i + v * NB_FLANES) = most[v];
        }
    }
}

/* Means below 10: those of one pixel in 10^4 one by one. */
static void count_small(const nb_draws *d, nb_strip *s)
{
    for (int i = s->lanes; i % (NB_BESIDE * NB_FLANES); i++) s->mean[i] = s->below[i] = 0.0f;
    bracket(s);
    for (int i = 0; i < s->lanes; i += NB_LANES) {
        const nb_vd m = nb_load_vd(s->value + i);
        const nb_vd least = __builtin_convertvector(*(const nb_vhalf *)(s->least + i), nb_vd);
        const nb_vd most = __builtin_convertvector(*(const nb_vhalf *)(s->most + i), nb_vd);
        const nb_vdmask few = m < 10.0;
        const unsigned open = nb_bits_vd(few & (least < most));
        nb_store_vd(s->value + i, nb_select_vd(few, least, m));
        for (int lane = 0; open >> lane; lane++)
            if (open >> lane & 1) s->value[i + lane] = nb_poisson_of(d, (uint64_t)(s->first + i + lane), 0, m[lane]);
    }
}

/* Means below 10 and above 1e9; the others begin to wait.  One loop for each function: alone, their long chains of operations overlap
 * from vector to vector, and a loop whose end cannot be foreseen holds up nothing but itself. */
static void count_few(const nb_draws *d, nb_strip *s)
{
    const nb_vd none = {0};
    unsigned small = 0, large = 0;
    for (int i = 0; i < s->lanes; i += NB_LANES) {
        const nb_vd m = nb_load_vd(s->value + i);
        const nb_vdmask few = (m > 0.0) & (m < 10.0);
        nb_vd u[2] = {none, none};
        if (nb_bits_vd(few)) nb_uniforms_vd(d, numbers_of(s, i), 0, u);
        nb_store_narrow(s->mean + i, nb_select_vd(few, m, none));
        nb_store_narrow(s->below + i, nb_select_vd(few, u[0], none));
        small |= nb_bits_vd(few);
        large |= nb_bits_vd(m >= 10.0);
    }
    nb_waiting *w = &s->next;
    w->count = 0;
    for (int i = 0; large && i < s->lanes; i += NB_LANES) {
        const nb_vd m = nb_load_vd(s->value + i);
        const unsigned many = nb_bits_vd((m >= 10.0) & (m <= 1e9)), most = nb_bits_vd(m > 1e9);
        if (many) wait_for(w, m, places_of(i), many);
        for (int lane = 0; most >> lane; lane++)
            if (most >> lane & 1) s->value[i + lane] = nb_poisson_of(d, (uint64_t)(s->first + i + lane), 0, m[lane]);
    }
    if (small) count_small(d, s);
}

/* Makes the list a whole number of vectors, with something harmless; returns its lanes. */
static int pad(nb_waiting *w)
{
    const int lanes = (w->count + NB_LANES - 1) / NB_LANES * NB_LANES;
    for (int i = w->count; i < lanes; i++) w->m[i] = w->k[i] = 10.0, w->u[i] = w->v[i] = 0.5, w->at[i] = NB_NOWHERE;
    return lanes;
}

/* the lanes of the vector at i that are in the list */
NB_INLINE unsigned listed(int count, int i)
{
    return i + NB_LANES <= count ? (1u << NB_LANES) - 1 : (1u << (count - i)) - 1;
}

NB_INLINE nb_vdbits load_places(const nb_waiting *w, int i)
{
    return *(const nb_vdbits *)(w->at + i);
}

/* One attempt for all that wait; those that are rejected wait on. */
static void attempt(const nb_draws *d, nb_strip *s, uint32_t draw)
{
    nb_waiting *w = &s->next, *o = &s->open;
    const int count = w->count, lanes = pad(w);
    for (int i = 0; i < lanes; i += NB_LANES) {
        nb_vd u[2];
        nb_uniforms_vd(d, load_places(w, i) + (uint64_t)s->first, draw, u);
        nb_store_vd(w->u + i, u[0]);
        nb_store_vd(w->v + i, u[1]);
    }
    w->count = o->count = 0;
    for (int i = 0; i < lanes; i += NB_LANES) {
        const nb_vd m = nb_load_vd(w->m + i), u = nb_load_vd(w->u + i), v = nb_load_vd(w->v + i);
        const nb_vdbits at = load_places(w, i);
        nb_vdmask accepted, open;
        const nb_vd k = nb_poisson_trial_vd(m, u, v, &accepted, &open);
        const unsigned here = listed(count, i), done = nb_bits_vd(accepted);
        const unsigned undecided = nb_bits_vd(open) & ~done & here, again = ~done & ~undecided & here;
        nb_store_vd(w->k + i, k);
        for (int lane = i; lane < i + NB_LANES; lane++)
            s->value[w->at[lane]] = w->k[lane]; /* written again where it was not accepted */
        nb_pack(o->u + o->count, (nb_vdbits)u, undecided);
        nb_pack(o->v + o->count, (nb_vdbits)v, undecided);
        nb_pack(o->k + o->count, (nb_vdbits)k, undecided);
        wait_for(o, m, at, undecided);
        if (again) wait_for(w, m, at, again); /* never beyond what was read */
    }
    const int undecided = pad(o);
    for (int i = 0; i < undecided; i += NB_LANES) {
        const nb_vd m = nb_load_vd(o->m + i);
        const nb_vdmask accepted = nb_poisson_weighed_vd(m, nb_load_vd(o->u + i), nb_load_vd(o->v + i), nb_load_vd(o->k + i));
        const unsigned again = ~nb_bits_vd(accepted) & listed(o->count, i);
        if (again) wait_for(w, m, load_places(o, i), again);
    }
}

/* Poisson deviates of all means of the strip. */
static void count_photons(const nb_response *r, nb_strip *s)
{
    const nb_draws d = nb_draws_of(r->seed, r->image, NB_STAGE_COUNTING);
    count_few(&d, s);
    for (uint32_t draw = 0; s->next.count; draw++) attempt(&d, s, draw);
}

/* Counts with a dead time that is not paralysable; the few that are of bright pixels, one by one. */
static void count_retriggered(const nb_response *r, nb_strip *s)
{
    const nb_draws d = nb_draws_of(r->seed, r->image, NB_STAGE_DEAD_TIME);
    const nb_vd none = {0};
    for (int i = 0; i < s->lanes; i += NB_LANES) {
        nb_vd u[2];
        nb_uniforms_vd(&d, numbers_of(s, i), 0, u);
        nb_store_vd(s->u + i, u[0]);
    }
    for (int i = 0; i < s->lanes; i += NB_LANES) {
        nb_vd p;
        const nb_vd n = nb_trials_vd(r, nb_load_vd(s->value + i), &p);
        const nb_vdmask few = (p <= 0.5) & (n * p < 10.0);
        nb_vd k = nb_binomial_small_vd(nb_select_vd(few, n, none), nb_select_vd(few, p, none), nb_load_vd(s->u + i));
        for (int lane = 0; nb_bits_vd(~few) && lane < NB_LANES; lane++)
            if (!few[lane]) k[lane] = nb_binomial_of(&d, (uint64_t)(s->first + i + lane), 0, n[lane], p[lane]);
        nb_store_vd(s->value + i, nb_corrected_vd(r, k));
    }
}

static void count(const nb_response *r, int parts, nb_strip *s)
{
    const nb_vd none = {0};
    for (int i = 0; !(parts & NB_EXPECT) && i < s->lanes; i += NB_LANES)
        nb_store_vd(s->value + i, nb_most_vd(nb_load_vd(s->value + i), none));
    if (r->counting > NB_RETRIGGER || r->frames > 1) {
        for (int i = 0; i < s->count; i++)
            s->value[i] = nb_counted(r, s->value[i], (uint64_t)(s->first + i), s->beyond + i);
        for (int i = s->count; i < s->lanes; i++) s->beyond[i] = 0.0;
        return;
    }
    if (r->counting == NB_RETRIGGER) count_retriggered(r, s);
    else count_photons(r, s);
    if (r->counting == NB_INTEGRATING && r->charge == 0.0) return;
    const double largest = !r->digitise ? INFINITY : r->wrap ? r->high : r->top;
    for (int i = 0; i < s->lanes; i += NB_LANES) {
        const nb_vd n = nb_load_vd(s->value + i);
        if (r->counting == NB_INTEGRATING) {
            nb_store_vd(s->value + i, nb_charge_vd(r, n, numbers_of(s, i)));
        } else {
            nb_vd beyond = none;
            if (r->counting != NB_COUNTER || nb_bits_vd((n > largest) | (n < r->low))) /* else a whole number as it is */
                nb_store_vd(s->value + i, nb_digit_vd(r, n, &beyond));
            nb_store_vd(s->beyond + i, beyond);
        }
    }
}

static void read_out(const nb_response *r, nb_strip *s, nb_tally *t)
{
    const nb_vd none = {0};
    /* most often nothing of nb_read is left but gain and digits: 7 percent of the time that counting takes */
    const int plain = r->counting == NB_INTEGRATING && r->spread == 0.0 && r->readout == 0.0 && !r->stages && !s->marked
                   && r->dead_fraction == 0.0 && r->hot_fraction == 0.0;
    const int counted = r->counting != NB_INTEGRATING && !s->marked && r->dead_fraction == 0.0 && r->hot_fraction == 0.0;
    for (int i = 0; i < s->lanes; i += NB_LANES) {
        const nb_vd value = nb_load_vd(s->value + i), dead = s->marked ? nb_load_vd(s->dead + i) : none;
        nb_written_vd w = {none, none, none};
        if (counted) w.pixel = value, w.beyond = nb_load_vd(s->beyond + i);
        else if (plain) w.pixel = nb_digit_vd(r, r->gain * value + r->offset, &w.beyond);
        else if (r->counting == NB_INTEGRATING) w = nb_read_vd(r, value, numbers_of(s, i), dead);
        else w = nb_flagged_vd(r, value, nb_load_vd(s->beyond + i), numbers_of(s, i), dead);
        if (s->marked) w = nb_reported_vd(r, w, nb_load_vd(s->hidden + i));
        nb_store_vd(s->value + i, w.pixel);
        nb_store_vd(s->stage + i, w.stage);
        const unsigned above = nb_bits_vd(w.beyond > 0.0), below = nb_bits_vd(w.beyond < 0.0);
        if (above | below) {
            t->overloads += __builtin_popcount(above);
            t->underloads += __builtin_popcount(below);
        }
    }
}

#define NB_WRITE(type, via)                                                                                            \
    do {                                                                                                               \
        type *to = (type *)e->to + begin;                                                                              \
        for (int i = 0; i < s->count; i++) to[i] = (type)(via)s->value[i];                                             \
    } while (0)

static void empty(const nb_exposed *e, const nb_strip *s, int64_t begin)
{
    switch (e->to_type) {
    case NB_FLOAT64: memcpy((double *)e->to + begin, s->value, (size_t)s->count * sizeof *s->value); break;
    case NB_FLOAT32: NB_WRITE(float, double); break;
    case NB_UINT8: NB_WRITE(uint8_t, int32_t); break;
    case NB_UINT16: NB_WRITE(uint16_t, int32_t); break;
    case NB_UINT32: NB_WRITE(uint32_t, int64_t); break;
    case NB_INT16: NB_WRITE(int16_t, int32_t); break;
    default: NB_WRITE(int32_t, int32_t); break;
    }
    for (int i = 0; e->stage && (e->parts & NB_READ) && i < s->count; i++)
        e->stage[begin + i] = (uint8_t)(int32_t)s->stage[i];
}

static void respond_strip(const nb_response *r, const nb_exposed *e, nb_strip *s, int64_t begin, nb_tally *t)
{
    fill(e, s, begin);
    if (e->parts & NB_EXPECT) expect(r, s, t);
    if (e->parts & NB_COUNT) count(r, (int)e->parts, s);
    if (e->parts & NB_READ) read_out(r, s, t);
    empty(e, s, begin);
}

#define NB_CAT_(a, b) a##b
#define NB_CAT(a, b) NB_CAT_(a, b)

int NB_CAT(nb_respond_, NB_ISA)(const nb_response *r, const nb_exposed *e, nb_tally *tally, int32_t threads,
                                const int32_t *cancel)
{
    const int64_t strips = (e->count + NB_STRIP - 1) / NB_STRIP;
    int failed = 0;
#ifdef _OPENMP
    const int64_t shares = (strips + NB_SHARE - 1) / NB_SHARE;
    if (threads <= 0) threads = omp_get_max_threads();
#pragma omp parallel num_threads(shares < threads ? (int32_t)shares : threads)
#else
    (void)threads;
#endif
    {
        nb_tally mine = {0, 0, 0};
        nb_strip *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
        if (!s) __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
#pragma omp for schedule(dynamic, NB_SHARE)
        for (int64_t i = 0; i < strips; i++) {
            if (__atomic_load_n(cancel, __ATOMIC_RELAXED) || __atomic_load_n(&failed, __ATOMIC_RELAXED)) continue;
            respond_strip(r, e, s, i * NB_STRIP, &mine);
        }
#pragma omp critical(nb_tally)
        {
            tally->overloads += mine.overloads;
            tally->underloads += mine.underloads;
            if (mine.worst > tally->worst) tally->worst = mine.worst;
        }
        free(s);
    }
    if (failed) return NB_NO_MEMORY;
    return __atomic_load_n(cancel, __ATOMIC_RELAXED) ? NB_CANCELLED : NB_OK;
}
