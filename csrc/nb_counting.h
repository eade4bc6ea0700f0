/* Counting of one pixel: deviates that take turns, and counting detectors (beyond 13.2, 14.4). */
#ifndef NB_COUNTING_H
#define NB_COUNTING_H

/* Poisson deviate of a mean m >= 0, from block number `draw` on. */
NB_SMALL double nb_poisson_of(const nb_draws *d, uint64_t pixel, uint32_t draw, double m)
{
    if (!(m > 0.0)) return 0.0;
    for (;; draw++) {
        double u[2];
        nb_uniforms_d(d, pixel, draw, u);
        if (m < 10.0) return nb_poisson_small_d(m, nb_exp_d(-m), u[0]);
        if (m > 1e9) return nb_poisson_large_d(m, u[0]);
        int64_t accepted, open;
        const double k = nb_poisson_trial_d(m, u[0], u[1], &accepted, &open);
        if (accepted || (open && nb_poisson_weighed_d(m, u[0], u[1], k))) return k;
    }
}

/* Binomial deviate for n p >= 10, p <= 1/2: Hoermann's BTRS (J. Statist. Comput. Simul. 46, 101, 1993). */
NB_SMALL double nb_binomial_large(const nb_draws *d, uint64_t pixel, uint32_t draw, double n, double p)
{
    const double q = 1.0 - p, spread = sqrt(n * p * q);
    const double b = 1.15 + 2.53 * spread, a = -0.0873 + 0.0248 * b + 0.01 * p, centre = n * p + 0.5;
    const double alpha = (2.83 + 5.1 / b) * spread, v_r = 0.92 - 4.2 / b;
    const double mode = nb_whole_d((n + 1.0) * p), ln_odds = nb_ln_d(p / q);
    const double peak = nb_ln_factorial_d(mode) + nb_ln_factorial_d(n - mode);
    for (;; draw++) {
        double u[2];
        nb_uniforms_d(d, pixel, draw, u);
        const double U = u[0] - 0.5, v = u[1], s = 0.5 - fabs(U);
        const double k = nb_whole_d((2.0 * a / s + b) * U + centre);
        if (s >= 0.07 && v <= v_r) return k;
        if (k < 0.0 || k > n) continue;
        const double height = peak - nb_ln_factorial_d(k) - nb_ln_factorial_d(n - k) + (k - mode) * ln_odds;
        if (nb_ln_d(v * alpha / (a / (s * s) + b)) <= height) return k;
    }
}

/* Binomial deviate of n whole trials with the probability 0 <= p <= 1, from block number `draw` on. */
NB_SMALL double nb_binomial_of(const nb_draws *d, uint64_t pixel, uint32_t draw, double n, double p)
{
    const double less = p > 0.5 ? 1.0 - p : p;
    double k = 0.0;
    if (n > 0.0 && less > 0.0) {
        if (n * less < 10.0) {
            double u[2];
            nb_uniforms_d(d, pixel, draw, u);
            k = nb_binomial_small_d(n, less, u[0]);
        } else {
            k = nb_binomial_large(d, pixel, draw, n, less);
        }
    }
    return p > 0.5 ? n - k : k;
}

/* The lower root x of x exp(-x) = y; 1, where they meet, for y above 1/e.  Newton's steps rise towards it. */
NB_SMALL double nb_lower_root(double y)
{
    double x = y;
    if (y >= 0.36787944117144233) return 1.0;
    for (int i = 0; i < 60; i++) {
        const double step = (y * nb_exp_d(x) - x) / (1.0 - x);
        if (!(step > 1e-15 * x)) break;
        x += step;
    }
    return x < 1.0 ? x : 1.0;
}

/* Counts of a frame for which m photons are expected (14.4, steps 5 and 6), from block number `draw` on. */
NB_SMALL double nb_frame(const nb_response *r, double m, uint64_t pixel, uint32_t draw)
{
    if (r->counting == NB_INTEGRATING || r->counting == NB_COUNTER) {
        const nb_draws draws = nb_draws_of(r->seed, r->image, NB_STAGE_COUNTING);
        return nb_poisson_of(&draws, pixel, draw, m);
    }
    const nb_draws draws = nb_draws_of(r->seed, r->image, NB_STAGE_DEAD_TIME);
    if (r->counting == NB_PULSED) return nb_binomial_of(&draws, pixel, draw, r->pulses, 1.0 - nb_exp_d(-m / r->pulses));
    if (r->counting == NB_RETRIGGER) {
        double p;
        const double trials = nb_trials_d(r, m, &p);
        return nb_corrected_d(r, nb_binomial_of(&draws, pixel, draw, trials, p));
    }
    const double x = m * r->dead_time, seen = nb_exp_d(-x), mean = m * seen;
    double n = 0.0;
    if (mean > 0.0)
        n = nb_whole_d(mean + sqrt(mean * (1.0 - 2.0 * x * seen)) * nb_normal_of_d(&draws, pixel, draw) + 0.5);
    n = nb_most_d(n, 0.0);
    return r->corrected ? nb_lower_root(n * r->dead_time) * r->windows : n;
}

/* blocks that a frame can use up, 2^16, times the frames */
#define NB_DRAWS_OF_A_FRAME 65536u

/* What is counted in a pixel for which m photons are expected; *beyond: 1 where a counter overflowed. */
NB_SMALL double nb_counted(const nb_response *r, double m, uint64_t pixel, double *beyond)
{
    *beyond = 0.0;
    if (r->counting == NB_INTEGRATING) return nb_charge_d(r, nb_frame(r, m, pixel, 0), pixel);
    const double share = m / (double)r->frames;
    double sum = 0.0;
    for (int64_t f = 0; f < r->frames; f++) {
        double over;
        sum += nb_digit_d(r, nb_frame(r, share, pixel, (uint32_t)f * NB_DRAWS_OF_A_FRAME), &over);
        *beyond = over > *beyond ? over : *beyond;
    }
    if (sum > r->most) {
        *beyond = 1.0;
        sum = r->most;
    }
    return sum;
}

/* A pixel's way through parts of the chain, one value at a time; nb_response.c goes it with vectors. */
NB_SMALL nb_written_d nb_respond_one(const nb_response *r, int parts, double value, int marks, uint64_t pixel, uint64_t *worst)
{
    nb_written_d w = {marks & NB_MARK_GAP ? 0.0 : value, 0.0, 0.0};
    *worst = 0;
    if (parts & NB_EXPECT) {
        int64_t good;
        union { double f; uint64_t i; } scaled;
        w.pixel = nb_expected_d(r, w.pixel, pixel, &scaled.f, &good);
        if (!good) *worst = scaled.i & 0x7fffffffffffffffu;
    } else if (parts & NB_COUNT) {
        w.pixel = nb_most_d(w.pixel, 0.0);
    }
    if (parts & NB_COUNT) w.pixel = nb_counted(r, w.pixel, pixel, &w.beyond);
    if (parts & NB_READ) {
        const double dead = marks & NB_MARK_DEAD ? 1.0 : 0.0;
        w = r->counting == NB_INTEGRATING ? nb_read_d(r, w.pixel, pixel, dead)
                                          : nb_flagged_d(r, w.pixel, w.beyond, pixel, dead);
        w = nb_reported_d(r, w, marks & (NB_MARK_GAP | NB_MARK_HIDDEN) ? 1.0 : 0.0);
    }
    return w;
}

#endif
