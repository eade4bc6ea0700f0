/* Diffuse scattering at one point of reciprocal space, stamped out for doubles like nb_sample.h: a scalar (the GPU), a vector of
 * lanes (the CPU), a number that carries a derivative.
 *
 *   image = r_e^2 / (sources oversample^2) * sum over layers, sub-pixels, sources, crystals, orientations of w I P Omega A
 *
 * with I in electrons^2 like F^2 L^2.  Includer defines NB_LISTED(table, index), F where the whole index is listed, else 0. */

NB_FN NB_REAL NB_R(nb_form)(const double m[6], const NB_REAL x[3])
{
    return x[0] * (m[0] * x[0] + m[3] * x[1] + m[4] * x[2]) + x[1] * (m[1] * x[1] + m[5] * x[2]) + m[2] * x[2] * x[2];
}

/* Of the same form, half the mixed term of x + y. */
NB_FN NB_REAL NB_R(nb_mixed_form)(const double m[6], const NB_REAL x[3], const NB_REAL y[3])
{
    return m[0] * x[0] * y[0] + m[1] * x[1] * y[1] + m[2] * x[2] * y[2]
         + 0.5 * (m[3] * (x[0] * y[1] + x[1] * y[0]) + m[4] * (x[0] * y[2] + x[2] * y[0]) + m[5] * (x[1] * y[2] + x[2] * y[1]));
}

/* F^2 of a reflection; outside a list it is 0, and without one that of all. */
NB_FN NB_REAL NB_R(nb_listed_sqr)(const nb_table *t, const NB_REAL index[3])
{
    const NB_REAL F = t->F ? NB_LISTED(t, index) : NB_SET(t->default_F);
    return F * F;
}

/* Mean F^2 of the reflections at 1/d^2 = qq, straight between the middles of shells; 0 beyond the list. */
NB_FN NB_REAL NB_R(nb_shell_mean)(const nb_motion *m, const nb_table *t, int table, NB_REAL qq)
{
    if (!m->shells) return NB_SET(t->default_F * t->default_F);
    const NB_REAL x = qq * m->per_shell, none = NB_SET(0.0);
    const NB_MASK inside = NB_RE(x) < NB_RE((double)m->shells);
    const NB_REAL y = NB_SELECT(inside, x, none) + 0.5, at = NB_R(nb_floor)(y);
    const double *mean = m->shell + (int64_t)table * (m->shells + 2);
    const NB_REAL low = NB_LOOKUP(mean, at), high = NB_LOOKUP(mean + 1, at);
    return NB_SELECT(inside, low + (y - at) * (high - low), none);
}

/* Atoms that move with their neighbours as in a liquid (beyond 20.1):
 *
 *   I = scale * sum over models of exp(-V) sum over n of V^n/n! n^-3 [sum over H of F_H^2 / (1 + K(h - H)/n^2)^2 + outside_n],
 *
 * V and K the forms of a model, H the reflections around h; scale = 8 pi det(G) N_cells/(V_cell models); outside_n times the
 * mean F^2 of others. */
NB_FN NB_REAL NB_R(nb_liquid)(const nb_motion *m, const nb_table *t, const NB_REAL h[3], NB_REAL others)
{
    NB_REAL near[3], d[3], total = NB_SET(0.0);
    for (int r = 0; r < 3; r++) {
        near[r] = NB_R(nb_nearest)(h[r]);
        d[r] = h[r] - near[r];
    }
    for (int model = 0; model < m->models; model++) {
        const double *form = m->form + NB_FORMS * model;
        NB_REAL share[NB_MOST_ORDER];
        const NB_REAL V = NB_R(nb_form)(form, h);
        NB_REAL term = m->damped ? NB_R(nb_exp)(-V) : NB_SET(1.0);
        for (int n = 1; n <= m->order; n++) {
            term *= V * (1.0 / n);
            share[n - 1] = term * (1.0 / ((double)n * n * n));
            if (m->outside) total += others * share[n - 1] * m->outside[model * m->order + n - 1];
        }
        for (int i = -m->stencil; i <= m->stencil; i++)
            for (int j = -m->stencil; j <= m->stencil; j++)
                for (int k = -m->stencil; k <= m->stencil; k++) {
                    const NB_REAL index[3] = {near[0] + (double)i, near[1] + (double)j, near[2] + (double)k};
                    const NB_REAL away[3] = {d[0] - (double)i, d[1] - (double)j, d[2] - (double)k};
                    const NB_REAL K = NB_R(nb_form)(form + 6, away);
                    NB_REAL sum = NB_SET(0.0);
                    for (int n = 1; n <= m->order; n++) {
                        const NB_REAL y = 1.0 + K * (1.0 / ((double)n * n));
                        sum += share[n - 1] / (y * y);
                    }
                    total += NB_R(nb_listed_sqr)(t, index) * sum;
                }
    }
    return m->scale * total;
}

/* One acoustic phonon at high temperature (beyond 20.3), k the direction of q from the nearest reflection H:
 *
 *   I = scale F_H^2 [along (q.k)^2 + across (q^2 - (q.k)^2)] / (|q - H|^2 + soft) */
NB_FN NB_REAL NB_R(nb_phonon)(const nb_motion *m, const nb_table *t, const NB_REAL h[3])
{
    NB_REAL near[3], d[3];
    for (int r = 0; r < 3; r++) {
        near[r] = NB_R(nb_nearest)(h[r]);
        d[r] = h[r] - near[r];
    }
    const NB_REAL qq = NB_R(nb_form)(m->form, h), dd = NB_R(nb_form)(m->form, d);
    const NB_REAL product = NB_R(nb_mixed_form)(m->form, h, d), none = NB_SET(0.0);
    const NB_MASK off = NB_RE(dd) > 0.0;
    const NB_REAL lengthwise = NB_SELECT(off, product * product / NB_SELECT(off, dd, NB_SET(1.0)), none);
    const NB_REAL waves = m->along * lengthwise + m->across * (qq - lengthwise);
    return m->scale * NB_R(nb_listed_sqr)(t, near) * waves / (dd + m->soft);
}

/* I of a crystal in one of its orientations; q in 1/m; others: nb_shell_mean where that counts. */
NB_FN NB_REAL NB_R(nb_diffused)(const nb_motion *m, const nb_table *t, int64_t orientation, const NB_REAL q[3], NB_REAL others)
{
    const double *abc = m->abc + 9 * orientation;
    NB_REAL h[3];
    for (int r = 0; r < 3; r++) h[r] = abc[3 * r] * q[0] + abc[3 * r + 1] * q[1] + abc[3 * r + 2] * q[2];
    return m->kind == NB_LIQUID ? NB_R(nb_liquid)(m, t, h, others) : NB_R(nb_phonon)(m, t, h);
}

/* I of all crystals of a Scene for light of one of its sources. */
NB_FN NB_REAL NB_R(nb_diffused_by_all)(const nb_scene *s, const nb_diffuse *d, const nb_source *source, const NB_REAL q[3])
{
    NB_REAL sum = NB_SET(0.0);
    for (const nb_motion *m = d->motion; m < d->motion + d->motions; m++) {
        const nb_table *t = s->table + m->table + source->table;
        NB_REAL others = NB_SET(0.0);
        if (m->outside) others = NB_R(nb_shell_mean)(m, t, source->table, q[0] * q[0] + q[1] * q[1] + q[2] * q[2]);
        for (int64_t o = 0; o < m->orientations; o++) sum += m->weight[o] * NB_R(nb_diffused)(m, t, o, q, others);
    }
    return sum;
}
