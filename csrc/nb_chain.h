/* The chain of one pixel but for its counting, stamped out for one real type of double like nb_math.h, which see.
 *
 * Steps are those of beyond 14.2 and 14.5.  z(stage): the pixel's normal deviate. */
#include "nb_kind.h"

NB_FN NB_REAL NB_R(nb_most)(NB_REAL a, NB_REAL b)
{
    return NB_SELECT(a > b, a, b);
}

/* max(0, 1 + rms z(pattern)): how far the pixel is from what it is taken for */
NB_FN NB_REAL NB_R(nb_pattern)(const nb_response *r, double rms, NB_BITS pixel)
{
    const nb_draws draws = nb_draws_of(r->calib_seed, 0, NB_STAGE_PATTERN);
    return NB_R(nb_most)(1.0 + rms * NB_R(nb_normal_of)(&draws, pixel, 0), NB_SET(0.0));
}

/* Steps 1 to 3: expected photons.  *good: where they are numbers from 0; elsewhere they become 0. */
NB_FN NB_REAL NB_R(nb_expected)(const nb_response *r, NB_REAL photons, NB_BITS pixel, NB_REAL *scaled, NB_MASK *good)
{
    NB_REAL m = photons * r->scale;
    *scaled = m;
    *good = (m >= 0.0) & (m <= 1.7976931348623157e308);
    m = NB_SELECT(*good, m, NB_SET(0.0)) * r->flicker;
    if (r->loss > 0.0) m *= NB_R(nb_pattern)(r, r->loss, pixel);
    return m;
}

/* Trials and probability of the binomial deviate that counts m photons with a dead time that is not paralysable (14.4). */
NB_FN NB_REAL NB_R(nb_trials)(const nb_response *r, NB_REAL m, NB_REAL *p)
{
    const NB_REAL x = m * r->dead_time;
    *p = x / (1.0 + x) * ((2.0 + x) / (1.0 + x)); /* 1 - (1 + x)^-2, which would lose all where x is small */
    return NB_R(nb_whole)(r->windows * ((1.0 + x) / (2.0 + x)) + 0.5);
}

/* Its counts, corrected for the mean loss. */
NB_FN NB_REAL NB_R(nb_corrected)(const nb_response *r, NB_REAL n)
{
    const NB_REAL busy = n * r->dead_time;
    /* what is always busy is more than any counter holds */
    return r->corrected ? NB_SELECT(busy < 1.0, n / (1.0 - busy), NB_SET(9007199254740992.0)) : n;
}

/* Step 6: the charge of n photons, in photons. */
NB_FN NB_REAL NB_R(nb_charge)(const nb_response *r, NB_REAL n, NB_BITS pixel)
{
    if (r->charge > 0.0 && NB_ANY(n > 0.0)) {
        const nb_draws draws = nb_draws_of(r->seed, r->image, NB_STAGE_CHARGE);
        n += NB_SQRT(n * r->charge) * NB_R(nb_normal_of)(&draws, pixel, 0);
    }
    return n;
}

/* Step 12: the number of a digitiser or counter.  *beyond: 1 above what it holds, -1 below, else 0. */
NB_FN NB_REAL NB_R(nb_digit)(const nb_response *r, NB_REAL x, NB_REAL *beyond)
{
    *beyond = NB_SET(0.0);
    if (!r->digitise) return x;
    const double top = r->wrap ? r->high : r->top, largest = 9007199254740992.0;
    NB_REAL v = NB_R(nb_whole)(x + 0.5);
    const NB_MASK above = v > top, below = v < r->low;
    *beyond = NB_SELECT(above, NB_SET(1.0), NB_SELECT(below, NB_SET(-1.0), *beyond));
    if (!r->wrap) return NB_SELECT(above, NB_SET(top), NB_SELECT(below, NB_SET(r->low), v));
    if (NB_ANY(above | below)) {
        const double span = r->high - r->low + 1.0; /* a power of two, so that all of this is exact */
        v = NB_SELECT(v > largest, NB_SET(largest), NB_SELECT(v < -largest, NB_SET(-largest), v));
        v -= span * NB_R(nb_whole)((v - r->low) / span);
    }
    return v;
}

/* Whether a pixel belongs to the fraction that is dead or hot. */
NB_FN NB_MASK NB_R(nb_chosen)(uint64_t seed, uint32_t stage, NB_BITS pixel, double fraction)
{
    const nb_draws draws = nb_draws_of(seed, 0, stage);
    NB_REAL u[2];
    NB_R(nb_uniforms)(&draws, pixel, 0, u);
    return u[0] < fraction;
}

/* Gain stage (14.5) of a pixel that holds the energy Q: the first whose switch point Q does not exceed. */
NB_FN NB_REAL NB_R(nb_gain_stage)(const nb_response *r, NB_REAL Q, NB_BITS pixel)
{
    const nb_draws draws = nb_draws_of(r->calib_seed, 0, NB_STAGE_SWITCH_POINT);
    const int last = (int)r->stages - 1;
    NB_REAL stage = NB_SET((double)last);
    NB_MASK open = Q == Q;
    for (int i = 0; i < last; i++) {
        const double at = r->switch_at[i], d = r->switch_spread[i];
        NB_REAL point = NB_SET(at);
        /* no deviate is beyond 8.3: only pixels near the point need one */
        if (d > 0.0 && NB_ANY(NB_ABS(Q - at) <= 9.0 * d)) point = at + d * NB_R(nb_normal_of)(&draws, pixel, (uint32_t)i);
        const NB_MASK here = open & (Q <= point);
        stage = NB_SELECT(here, NB_SET((double)i), stage);
        open = open & (Q > point);
    }
    return stage;
}

/* what a stage has, by its number */
NB_FN NB_REAL NB_R(nb_of_stage)(const double each[NB_MOST_STAGES], NB_REAL stage)
{
    return NB_SELECT(stage > 1.5, NB_SET(each[2]), NB_SELECT(stage > 0.5, NB_SET(each[1]), NB_SET(each[0])));
}

typedef struct {
    NB_REAL pixel, beyond, stage;
} NB_R(nb_written);

/* Steps 8 to 12 of an integrating detector with the charge s, in photons.  dead: 1 where the map has it, else 0. */
NB_FN NB_R(nb_written) NB_R(nb_read)(const nb_response *r, NB_REAL s, NB_BITS pixel, NB_REAL dead)
{
    NB_R(nb_written) w = {s, NB_SET(0.0), NB_SET(0.0)};
    if (r->spread > 0.0) s *= NB_R(nb_pattern)(r, r->spread, pixel);
    if (r->dead_fraction > 0.0)
        dead = NB_SELECT(NB_R(nb_chosen)(r->dead_seed, NB_STAGE_DEAD, pixel, r->dead_fraction), NB_SET(1.0), dead);
    s = NB_SELECT(dead > 0.0, NB_SET(0.0), s);
    NB_REAL gain = NB_SET(r->gain), offset = NB_SET(r->offset), noise = NB_SET(r->readout), x = s;
    if (r->stages) {
        x = s * r->energy;
        w.stage = NB_R(nb_gain_stage)(r, x, pixel);
        gain = NB_R(nb_of_stage)(r->stage_gain, w.stage);
        offset = NB_R(nb_of_stage)(r->pedestal, w.stage);
        noise = NB_R(nb_of_stage)(r->stage_readout, w.stage);
    }
    NB_REAL adu = gain * x + offset;
    if (NB_ANY(noise > 0.0)) {
        const nb_draws draws = nb_draws_of(r->seed, r->image, NB_STAGE_READOUT);
        adu += noise * NB_R(nb_normal_of)(&draws, pixel, 0);
    }
    if (r->hot_fraction > 0.0) {
        const NB_MASK hot = NB_R(nb_chosen)(r->hot_seed, NB_STAGE_HOT, pixel, r->hot_fraction) & (dead <= 0.0);
        adu = NB_SELECT(hot & (adu < r->hot_adu), NB_SET(r->hot_adu), adu);
    }
    w.pixel = NB_R(nb_digit)(r, adu, &w.beyond);
    if (r->stages && r->raw) {
        /* two bits above fourteen: 0, 1 and, for the third stage, 3 */
        const NB_REAL code = NB_SELECT(w.stage > 1.5, NB_SET(3.0), w.stage);
        w.pixel = NB_SELECT(w.pixel < 0.0, w.pixel + 16384.0, w.pixel) + 16384.0 * code;
    } else if (r->stages) {
        w.pixel = (w.pixel - offset) / (gain * r->energy);
    }
    if (r->flag_dead) {
        w.pixel = NB_SELECT(dead > 0.0, NB_SET(r->mask_value), w.pixel);
        w.beyond = NB_SELECT(dead > 0.0, NB_SET(0.0), w.beyond);
    }
    return w;
}

/* Step 8 of a counting detector (14.4) with n counts, of which `beyond` says whether a frame overflowed. */
NB_FN NB_R(nb_written) NB_R(nb_flagged)(const nb_response *r, NB_REAL n, NB_REAL beyond, NB_BITS pixel, NB_REAL dead)
{
    NB_R(nb_written) w = {n, beyond, NB_SET(0.0)};
    if (r->hot_fraction > 0.0) {
        const NB_MASK hot = NB_R(nb_chosen)(r->hot_seed, NB_STAGE_HOT, pixel, r->hot_fraction);
        w.pixel = NB_SELECT(hot & (n < r->hot_adu), NB_SET(r->hot_adu), n);
    }
    if (r->dead_fraction > 0.0)
        dead = NB_SELECT(NB_R(nb_chosen)(r->dead_seed, NB_STAGE_DEAD, pixel, r->dead_fraction), NB_SET(1.0), dead);
    w.pixel = NB_SELECT(dead > 0.0, NB_SET(r->flag_dead ? r->mask_value : 0.0), w.pixel);
    w.beyond = NB_SELECT(dead > 0.0, NB_SET(0.0), w.beyond);
    return w;
}

/* What is reported of a pixel; hidden: 1 for those in a gap, outside roi or mask. */
NB_FN NB_R(nb_written) NB_R(nb_reported)(const nb_response *r, NB_R(nb_written) w, NB_REAL hidden)
{
    const NB_MASK out = hidden > 0.0;
    w.pixel = NB_SELECT(out, NB_SET(r->gap_value), w.pixel);
    w.beyond = NB_SELECT(out, NB_SET(0.0), w.beyond);
    w.stage = NB_SELECT(out, NB_SET(0.0), w.stage);
    return w;
}
