/* (h, k, l) of one sample on a GPU: nearest whole numbers and the distance from them, in one of three arithmetics.
 *
 *   h = a.q, k = b.q, l = c.q                                                        (canonical 6.5)
 *
 * NB_INDEX_DOUBLE  18 double operations a sample, for precision "double".
 * NB_INDEX_FIXED   9 double operations: 1.5 * 2^20 is the first addend, which leaves h in the low bits with 32 bits behind
 *                  the point, so that whole number and distance are read off.  For precision "mixed" on cards that do
 *                  double at half the float rate.  Error of the distance: 3.5e-10.
 * NB_INDEX_PAIRS   every factor as an unevaluated sum of two floats (48 bits): 85 float operations and none in double, for
 *                  "mixed" on cards that do one double operation in the time of 32 or 64 floats, where 9 double ones
 *                  cost as much as 300 to 600 floats.  Error: see below.
 * The distance is rounded to nb_real only after the whole number has been taken off, which is exact.
 * For a block of cells in float, N h minus its nearest integer is formed here as well, from (h, k, l) before rounding: at
 * large N the product of N and a rounded distance would be off by more than the phase between two fringes allows.
 * Includer defines: nb_real, NB_FRINGES (1: that), NB_USE_INDEX (nb_launch.h), NB_TIES (1: h = n + 1/2 must give n, as the
 * table is looked up there) and NB_SIGNED (1: the distance must then be +1/2). */

/* 1.5 * 2^52 and 1.5 * 2^23: adding one leaves the nearest whole number in the low bits */
#define NB_BIG_D 6755399441055744.0
#define NB_BIG_F 12582912.0f
#define NB_FIXED 1572864.0 /* 1.5 * 2^20 */

typedef struct {
    int32_t n[3]; /* nearest whole numbers; the caller promises |n| < 2^31 (fixed, pairs: 2^19) */
    nb_real d[3]; /* (h, k, l) - n; with NB_FRINGES made unequal to 0 for nb_square_ratio, as t */
    nb_real t[3]; /* NB_FRINGES: N (h, k, l) minus the nearest integers */
} nb_index;

/* numbers of unit cells along a, b, c */
typedef struct {
    double d[3];
    float f[3], not_zero[3]; /* not_zero: N times what is added to d */
    int32_t i[3];
} nb_cells;

NB_FN nb_cells nb_cells_of(const double N[3])
{
    nb_cells c;
    for (int r = 0; r < 3; r++) {
        c.d[r] = N[r];
        c.f[r] = (float)N[r];
        c.i[r] = (int32_t)N[r];
        c.not_zero[r] = c.f[r] * nb_not_zero_f();
    }
    return c;
}

#if NB_USE_INDEX == NB_INDEX_PAIRS

typedef struct __align__(16) {
    float high[9], low[9]; /* rows a, b, c */
    float weight, unused;
} nb_orientation;

typedef struct {
    float high[3], low[3];
    float big; /* see nb_scattering_of */
} nb_scattering;

NB_FN void nb_stage_orientation(nb_orientation *to, int i, double v)
{
    to->high[i] = (float)v;
    to->low[i] = (float)(v - (double)to->high[i]);
}

NB_FN void nb_stage_weight(nb_orientation *to, double weight)
{
    to->weight = (float)weight;
}

NB_FN nb_real nb_weight_of(const nb_orientation *m)
{
    return m->weight;
}

NB_FN double nb_number_of(const nb_orientation *m, int i)
{
    return (double)m->high[i] + m->low[i];
}

/* index_bound: 1.5 * 2^m, where no partial sum of h, k or l reaches 2^(m-1) */
NB_FN nb_scattering nb_scattering_of(const double q[3], float index_bound)
{
    nb_scattering s;
    for (int i = 0; i < 3; i++) {
        s.high[i] = (float)q[i];
        s.low[i] = (float)(q[i] - (double)s.high[i]);
    }
    s.big = index_bound;
    return s;
}

/* Added to `big`, products are rounded to its grid of 2^(m-23); what that removes is exact in one FMA and summed apart with
 * the products of low parts.  Error of d below 2^(m-47): 1e-11 for indices up to 250. */
NB_FN nb_index nb_index_of(const nb_orientation *m, const nb_scattering *q, const nb_cells *cells)
{
    nb_index x;
    (void)cells;
    for (int r = 0; r < 3; r++) {
        float coarse = q->big, fine = 0.0f;
        for (int i = 0; i < 3; i++) {
            const float high = m->high[3 * r + i], next = fmaf(high, q->high[i], coarse);
            fine += fmaf(high, q->high[i], coarse - next);
            fine = fmaf(high, q->low[i], fine);
            fine = fmaf(m->low[3 * r + i], q->high[i], fine);
            coarse = next;
        }
        coarse -= q->big;
        const float whole = coarse + NB_BIG_F;
        x.n[r] = __float_as_int(whole) - __float_as_int(NB_BIG_F);
        coarse -= whole - NB_BIG_F;
        x.d[r] = coarse + fine;
#if NB_FRINGES
        const float t = fmaf(cells->f[r], coarse, -nb_round_f(cells->f[r] * coarse)) + cells->f[r] * fine;
        x.t[r] = t - nb_round_f(t) + cells->not_zero[r];
#endif
        /* the fine part may carry it over the middle */
        if (x.d[r] > 0.5f) x.d[r] -= 1.0f, x.n[r]++;
        if (NB_TIES ? x.d[r] <= -0.5f : x.d[r] < -0.5f) x.d[r] += 1.0f, x.n[r]--;
#if NB_FRINGES
        x.d[r] += nb_not_zero_f();
#endif
    }
    return x;
}

#else

typedef struct __align__(16) {
    double abc[10]; /* rows a, b, c in m; the weight, which comes with the last of them in one load of 16 bytes */
} nb_orientation;

typedef struct {
    double q[3];
} nb_scattering;

NB_FN void nb_stage_orientation(nb_orientation *to, int i, double v)
{
    to->abc[i] = v;
}

NB_FN double nb_number_of(const nb_orientation *m, int i)
{
    return m->abc[i];
}

#if NB_USE_FLOAT /* its bits, so that nothing is converted for a sample */
NB_FN void nb_stage_weight(nb_orientation *to, double weight)
{
    to->abc[9] = __hiloint2double(0, __float_as_int((float)weight));
}

NB_FN nb_real nb_weight_of(const nb_orientation *m)
{
    return __int_as_float(__double2loint(m->abc[9]));
}
#else
NB_FN void nb_stage_weight(nb_orientation *to, double weight)
{
    to->abc[9] = weight;
}

NB_FN nb_real nb_weight_of(const nb_orientation *m)
{
    return m->abc[9];
}
#endif

NB_FN nb_scattering nb_scattering_of(const double q[3], float index_bound)
{
    (void)index_bound;
    const nb_scattering s = {{q[0], q[1], q[2]}};
    return s;
}

NB_FN nb_index nb_index_of(const nb_orientation *m, const nb_scattering *q, const nb_cells *cells)
{
    nb_index x;
    (void)cells;
    for (int r = 0; r < 3; r++) {
        const double *v = m->abc + 3 * r;
#if NB_USE_INDEX == NB_INDEX_FIXED
        const double sum = fma(v[2], q->q[2], fma(v[1], q->q[1], fma(v[0], q->q[0], NB_FIXED)));
        const int32_t fraction = __double2loint(sum); /* in 2^-32, of either sign */
        const uint64_t bits = ((uint64_t)(uint32_t)__double2hiint(sum) << 32) + (uint32_t)fraction;
        x.n[r] = (int32_t)((bits + 0x7fffffff) >> 32) - __double2hiint(NB_FIXED); /* a tie goes down */
        const float unit = 1.0f / 4294967296.0f;
        x.d[r] = (float)fraction * unit;
#if NB_FRINGES
        x.d[r] = (float)fraction * unit + nb_not_zero_f();
        x.t[r] = (float)(int32_t)((uint32_t)cells->i[r] * (uint32_t)fraction) * unit + cells->not_zero[r];
#endif
        if (NB_SIGNED && fraction == (int32_t)0x80000000) x.d[r] = 0.5f;
#else
        const double h = v[0] * q->q[0] + v[1] * q->q[1] + v[2] * q->q[2], whole = h + NB_BIG_D;
        x.n[r] = __double2loint(whole);
        double d = h - (whole - NB_BIG_D);
        if (NB_TIES && d == -0.5) d = 0.5, x.n[r]--;
        x.d[r] = (nb_real)d;
#if NB_FRINGES
        x.d[r] += nb_not_zero_f();
        x.t[r] = (float)(cells->d[r] * d - nb_round_d(cells->d[r] * d)) + cells->not_zero[r];
#endif
#endif
    }
    return x;
}

#endif
