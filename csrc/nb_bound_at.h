/* The bound's formulas (docs/physics.md has the proof), for one orientation or part of a patch at a time, or for a vector of them.
 *
 * Stamped out for one real type like nb_math.h, of single precision alone: macros as there, and of nb_as_f.h and nb_as_vf.h
 * NB_LARGER, NB_SMALLER, NB_WHOLE and NB_PICK. */

/* Lower bound of sin(pi d), 0 <= d <= 1/2 */
NB_FN NB_REAL NB_R(nb_bound_sine)(NB_REAL d)
{
    return d * (3.1412f - 5.1678f * d * d);
}

/* Largest F^2 among the whole indices from lo to hi; tricubic: interpolated from 64 values about each. */
NB_FN NB_REAL NB_R(nb_bound_factor)(const nb_most *most, const nb_table *t, const int tricubic, const NB_REAL lo[3], const NB_REAL hi[3])
{
    const NB_REAL all = NB_SET(most->all);
    if (!most->F_sqr) return all;
    const float wider = tricubic ? 2.0f : 0.0f;
    NB_MASK place = NB_WHOLE(NB_SET(0.0f));
    NB_REAL span = NB_SET(0.0f);
    for (int r = 0; r < 3; r++) {
        const NB_REAL n = (lo[r] - wider - (float)t->F_min[r]) * (1.0f / (float)most->edge); /* a whole number of quarters */
        const NB_REAL block = NB_LARGER(NB_R(nb_round)(n - 0.375f) + 2.0f, NB_SET(0.0f));
        place = place * most->count[r] + NB_WHOLE(NB_SMALLER(block, NB_SET((float)(most->count[r] - 1))));
        span = NB_LARGER(span, hi[r] - lo[r]);
    }
    const NB_REAL F_sqr = NB_SELECT(span + 2.0f * wider <= (float)most->edge, NB_PICK(most->F_sqr, place), all);
    return tricubic ? NB_LARGER(F_sqr * NB_LEBESGUE, NB_SET(most->outside)) : F_sqr;
}

/* Bound of L^2 where it counts at all; r_sqr: of what has a radius; d: of a block. */
NB_FN NB_REAL NB_R(nb_bound_lattice)(const nb_bound *k, const int shape, NB_REAL r_sqr, const NB_REAL d[3])
{
    const NB_REAL one = NB_SET(1.0f);
    if (shape == NB_SQUARE) {
        NB_REAL below = one;
        for (int r = 0; r < 3; r++) {
            const NB_REAL s = k->n[r] * NB_R(nb_bound_sine)(d[r]);
            below *= NB_LARGER(one, s * s);
        }
        return NB_SLACK / below;
    }
    const NB_MASK within = r_sqr < k->outer;
    const int sharp = shape == NB_TOPHAT || k->faint == 0.0f;
    NB_REAL L = NB_SLACK * one;
    if (shape == NB_ELLIPSOID) {
        const float peak = (float)(NB_SPHERE_SCALE * NB_SPHERE_SCALE) * NB_SLACK;
        const NB_REAL z = NB_LARGER((float)(NB_PI * NB_PI) * r_sqr, 1e-6f * one);
        L = NB_SMALLER(peak * one, 9.0f * peak * (1.0f + z) / (z * z * z));
    } else if (shape == NB_GAUSS && !sharp) {
        L = NB_SLACK * NB_R(nb_exp)((float)(-2.0 / NB_GAUSS_WIDTH) * NB_SMALLER(r_sqr, 25.0f * one));
    }
    return sharp ? NB_SELECT(within, L, NB_SET(0.0f)) : L;
}

/* Where a bound counts; left: the largest that does not. */
NB_FN NB_MASK NB_R(nb_bound_counts)(const nb_bound *k, NB_REAL bound, NB_REAL *left)
{
    const NB_MASK counts = bound > k->faint;
    if (k->faint > 0.0f) *left = NB_LARGER(*left, NB_SELECT(counts, NB_SET(0.0f), bound));
    return counts;
}

/* Whether one reflection alone can light what extends by e about some index: then sharper bounds hold. */
NB_FN NB_MASK NB_R(nb_bound_alone)(const nb_bound *k, const NB_REAL e[3])
{
    return (e[0] < 0.499f - k->reach[0]) & (e[1] < 0.499f - k->reach[1]) & (e[2] < 0.499f - k->reach[2]);
}

/* The plane of u and v: n = u x v, and R^2 n M^-1 n. */
typedef struct {
    NB_REAL n[3], width;
} NB_R(nb_plane);

NB_FN NB_R(nb_plane) NB_R(nb_bound_plane)(const nb_bound *k, const NB_REAL u[3], const NB_REAL v[3])
{
    NB_R(nb_plane) p;
    NB_REAL *n = p.n;
    for (int r = 0; r < 3; r++) n[r] = u[(r + 1) % 3] * v[(r + 2) % 3] - u[(r + 2) % 3] * v[(r + 1) % 3];
    const float *m = k->inverse;
    p.width = NB_SLACK * k->outer
            * (n[0] * (m[0] * n[0] + 2.0f * (m[3] * n[1] + m[4] * n[2])) + n[1] * (m[1] * n[1] + 2.0f * m[5] * n[2]) + m[2] * n[2] * n[2]);
    return p;
}

/* Whether it passes the reflection at -x within its reach: |n.x| < R sqrt(n M^-1 n) + |n.w|. */
NB_FN NB_MASK NB_R(nb_bound_passes)(const NB_R(nb_plane) *p, const NB_REAL x[3], const NB_REAL w[3])
{
    NB_REAL along = NB_SET(0.0f), loose = NB_SET(0.0f);
    for (int r = 0; r < 3; r++) {
        along += p->n[r] * x[r];
        loose += NB_ABS(p->n[r]) * w[r];
    }
    const NB_REAL off = NB_LARGER(NB_ABS(along) - NB_SLACK * loose, NB_SET(0.0f));
    return off * off <= p->width;
}
