/* One point of a pixel and how it moves with the detector, the beam and the table: positions, solid angle, capture,
 * polarization, interpolation (gradients 6.1, 6.4 to 6.7).  Stamped out for doubles like nb_sample.h.
 *
 * NB_LANES_OF: lanes of an NB_REAL; NB_LANE(v, j): the j-th of them, which can be set; NB_ABOVE(limit, o): for which of them
 * limit[j] > o; NB_FIRST(bits): number of the lowest bit that is set.  Derivatives go to the columns of nb_columns.h: `by` is
 * where those of one vector of pixels begin, an NB_ROOM(NB_REAL): a pointer to an NB_REAL, or what is used like one where
 * the columns do not lie side by side. */

typedef struct {
    NB_REAL at[2];             /* along fast and slow from the corner of the plane, in pixels */
    NB_REAL P[3], d[3], per_R; /* position, its direction, 1/length */
    NB_REAL omega, capture;
} NB_R(nb_point);

/* The sub-pixel (sub_s, sub_f) of the pixels (F, S), `layer` deep; its capture where that is asked for. */
NB_RARE void NB_R(nb_point_at)(const nb_scene *s, const nb_panel *p, NB_REAL F, NB_REAL S, int layer, int sub_s, int sub_f,
                             int capture, NB_R(nb_point) *at)
{
    const NB_REAL X = p->pixel[0] * F + nb_sub_pixel(s, p, 0, sub_f), Y = p->pixel[1] * S + nb_sub_pixel(s, p, 1, sub_s);
    at->at[0] = F + (sub_f + 0.5) / s->oversample;
    at->at[1] = S + (sub_s + 0.5) / s->oversample;
    if (p->curved == NB_FLAT) NB_R(nb_layer_position)(p, X, Y, layer, at->P);
    else
        for (int j = 0; j < NB_LANES_OF; j++) {
            double P[3];
            nb_position(p, NB_LANE(X, j), NB_LANE(Y, j), layer, P);
            for (int k = 0; k < 3; k++) NB_LANE(at->P[k], j) = P[k];
        }
    at->per_R = NB_RSQRT(at->P[0] * at->P[0] + at->P[1] * at->P[1] + at->P[2] * at->P[2]);
    for (int k = 0; k < 3; k++) at->d[k] = at->P[k] * at->per_R;
    at->omega = NB_R(nb_solid_angle)(p, at->per_R);
    at->capture = capture && nb_absorbs(p) ? NB_R(nb_capture)(p, p->mu, layer, at->d) : NB_SET(1.0);
}

/* The capture of one source's light there. */
NB_FN NB_REAL NB_R(nb_capture_at)(const nb_panel *p, int number, int layer, const NB_R(nb_point) *at)
{
    return nb_mu_differs(p) ? NB_R(nb_capture)(p, p->source_mu[number], layer, at->d) : at->capture;
}

/* What the pixel owes to a point: derivatives by its direction, and by the logarithm of its solid angle and its capture. */
typedef struct {
    NB_REAL d[3], log_omega, capture;
} NB_R(nb_owed);

NB_FN void NB_R(nb_owe_nothing)(NB_R(nb_owed) *o)
{
    for (int k = 0; k < 3; k++) o->d[k] = NB_SET(0.0);
    o->log_omega = o->capture = NB_SET(0.0);
}

/* Beer-Lambert of a layer by its optical thickness tau along the ray: C = e^(-t tau) - e^(-(t+1) tau).  by_capture: owed to C;
 * returns what is owed to mu. */
NB_FN NB_REAL NB_R(nb_push_capture)(const nb_panel *p, double mu, int layer, const NB_R(nb_point) *at, NB_REAL by_capture,
                                    NB_R(nb_owed) *o, NB_ROOM(NB_REAL) by)
{
    const NB_REAL r = at->d[0] * p->odet[0] + at->d[1] * p->odet[1] + at->d[2] * p->odet[2];
    const NB_REAL tau = (p->layer_step * mu) / r, front = NB_R(nb_exp)(-(double)layer * tau);
    const NB_REAL slope = (double)(layer + 1) * NB_R(nb_exp)(-(double)(layer + 1) * tau) - (double)layer * front;
    const NB_REAL by_log_tau = by_capture * slope * tau, by_r = -by_log_tau / r;
    by[NB_BY_LAYER_STEP] += by_log_tau * (1.0 / p->layer_step);
    for (int k = 0; k < 3; k++) {
        o->d[k] += by_r * p->odet[k];
        by[NB_BY_ODET + k] += by_r * at->d[k];
    }
    return by_log_tau * (1.0 / mu);
}

/* From what is owed to a point to the panel's columns. */
NB_FN void NB_R(nb_push_flat)(const nb_panel *p, int layer, const NB_R(nb_point) *at, NB_REAL by_P[3], NB_ROOM(NB_REAL) by)
{
    if (nb_at_mean_depth(p)) {
        /* P = front + step g(u) o, u = step mu |front| / (front.o) */
        NB_REAL front[3], height = NB_SET(0.0), by_depth = NB_SET(0.0);
        NB_R(nb_position_flat)(p, p->pixel[0] * at->at[0], p->pixel[1] * at->at[1], layer * p->layer_step, front);
        for (int k = 0; k < 3; k++) height += front[k] * p->odet[k], by_depth += by_P[k] * p->odet[k];
        const NB_REAL RR = front[0] * front[0] + front[1] * front[1] + front[2] * front[2];
        const NB_REAL u = (p->layer_step * p->mu) * NB_SQRT(RR) / height, share = NB_R(nb_mean_absorption)(u);
        const NB_REAL by_log_u = by_depth * p->layer_step * NB_R(nb_mean_absorption_slope)(u) * u;
        by[NB_BY_LAYER_STEP] += by_depth * share + by_log_u * (1.0 / p->layer_step);
        by[NB_BY_MU] += by_log_u * (1.0 / p->mu);
        for (int k = 0; k < 3; k++) {
            by[NB_BY_ODET + k] += p->layer_step * share * by_P[k] - by_log_u / height * front[k];
            by_P[k] += by_log_u * (front[k] / RR - p->odet[k] / height);
        }
    }
    for (int k = 0; layer > 0 && k < 3; k++) {
        by[NB_BY_ODET + k] += (layer * p->layer_step) * by_P[k];
        by[NB_BY_LAYER_STEP] += ((double)layer * p->odet[k]) * by_P[k];
    }
    for (int k = 0; k < 3; k++) {
        by[NB_BY_PIX0 + k] += by_P[k];
        by[NB_BY_FDET + k] += (p->pixel[0] * at->at[0]) * by_P[k];
        by[NB_BY_SDET + k] += (p->pixel[1] * at->at[1]) * by_P[k];
        by[NB_BY_PIXEL] += at->at[0] * p->fdet[k] * by_P[k];
        by[NB_BY_PIXEL + 1] += at->at[1] * p->sdet[k] * by_P[k];
    }
}

NB_RARE void NB_R(nb_push_point)(const nb_panel *p, int layer, const NB_R(nb_point) *at, NB_R(nb_owed) *o, NB_ROOM(NB_REAL) by)
{
    if (nb_absorbs(p) && NB_ANY(o->capture != 0.0))
        by[NB_BY_MU] += NB_R(nb_push_capture)(p, p->mu, layer, at, o->capture, o, by);
    const NB_REAL along = at->d[0] * o->d[0] + at->d[1] * o->d[1] + at->d[2] * o->d[2];
    const NB_REAL outward = along + (p->point_pixel ? 2.0 : 3.0) * o->log_omega;
    NB_REAL by_P[3];
    for (int k = 0; k < 3; k++) by_P[k] = (o->d[k] - outward * at->d[k]) * at->per_R;
    if (!p->point_pixel) {
        by[NB_BY_PIXEL] += o->log_omega * (1.0 / p->pixel[0]);
        by[NB_BY_PIXEL + 1] += o->log_omega * (1.0 / p->pixel[1]);
        by[NB_BY_CLOSE_DISTANCE] += o->log_omega * (1.0 / p->close_distance);
    }
    if (p->curved == NB_FLAT) {
        NB_R(nb_push_flat)(p, layer, at, by_P, by);
        return;
    }
    for (int j = 0; j < NB_LANES_OF; j++) {
        const double phi = NB_LANE(at->at[0], j), sigma = NB_LANE(at->at[1], j);
        const double owed[3] = {NB_LANE(by_P[0], j), NB_LANE(by_P[1], j), NB_LANE(by_P[2], j)};
        double out[NB_PANEL_COLUMNS] = {0};
        nb_push_curved(p, phi, sigma, layer, owed, out);
        for (int k = 0; k < NB_PANEL_COLUMNS; k++) NB_LANE(by[k], j) += out[k];
    }
}

/* ---- polarization ---- */

/* nb_polarization backwards.  by_polar: owed to the factor.  by_d[3], by_incident[3]: added to; by: K and the polar vector, if `axes`. */
NB_FN void NB_R(nb_push_polar)(double K, const double i[3], const double polar[3], const nb_axes *x, const NB_REAL d[3],
                               int axes, NB_REAL by_polar, NB_REAL *by_d, NB_ROOM(NB_REAL) by_incident, NB_ROOM(NB_REAL) by)
{
    const NB_REAL c = d[0] * i[0] + d[1] * i[1] + d[2] * i[2];
    if (K == 0.0 && !axes) {
        for (int k = 0; k < 3; k++) {
            by_d[k] += c * by_polar * i[k];
            by_incident[k] += c * by_polar * d[k];
        }
        return;
    }
    const NB_REAL e = d[0] * x->E[0] + d[1] * x->E[1] + d[2] * x->E[2];
    const NB_REAL b = d[0] * x->B[0] + d[1] * x->B[1] + d[2] * x->B[2];
    const NB_REAL cw = c * by_polar, ew = K * e * by_polar, bw = K * b * by_polar;
    by[NB_BY_POLARIZATION] -= 0.5 * (e * e - b * b) * by_polar;
    NB_REAL by_B[3], along = NB_SET(0.0), r[3];
    for (int k = 0; k < 3; k++) by_d[k] += cw * i[k] - ew * x->E[k] + bw * x->B[k];
    for (int k = 0; k < 3; k++) {
        const int l = (k + 1) % 3, m = (k + 2) % 3;
        /* by_E = -ew d; by_B = bw d + by_E x i */
        by_B[k] = bw * d[k] - ew * (d[l] * i[m] - d[m] * i[l]);
        along += by_B[k] * x->B[k];
    }
    for (int k = 0; k < 3; k++) r[k] = (by_B[k] - along * x->B[k]) * x->per;
    for (int k = 0; k < 3; k++) {
        const int l = (k + 1) % 3, m = (k + 2) % 3;
        by_incident[k] += cw * d[k] - ew * (x->B[l] * d[m] - x->B[m] * d[l]) + (r[l] * polar[m] - r[m] * polar[l]);
        by[NB_BY_POLAR_VECTOR + k] += i[l] * r[m] - i[m] * r[l];
    }
}

/* ---- structure factors ---- */

/* As nb_stage_tricubic: where it is interpolated, value and gradient by the indices; elsewhere the nearest value for
 * orientations beyond the limit, else default_F, which *fixed marks with 1. */
NB_FN NB_REAL NB_R(nb_interpolated)(const nb_table *t, const NB_REAL index[3], const int64_t *limit, int64_t o,
                                    NB_REAL by_index[3], NB_REAL *fixed)
{
    NB_REAL corner[3], w[3][4], dw[3][4], F = NB_SET(t->default_F);
    for (int r = 0; r < 3; r++) {
        corner[r] = NB_R(nb_floor)(index[r]);
        NB_R(nb_lagrange_weights)(index[r] - corner[r], w[r]);
        NB_R(nb_lagrange_slopes)(index[r] - corner[r], dw[r]);
        corner[r] -= 1.0;
        by_index[r] = NB_SET(0.0);
    }
    const NB_REAL place = NB_R(nb_table_place)(t, corner);
    const NB_MASK usable = NB_R(nb_interpolable)(t, index) & NB_ABOVE(limit, o);
    const unsigned all = NB_ANY(usable);
    for (unsigned left = all; left;) {
        const double first = NB_LANE(place, NB_FIRST(left));
        const NB_MASK same = (place == first) & usable;
        NB_REAL by[3];
        F = NB_SELECT(same, NB_R(nb_tricubic_slopes)(t, t->F, (int64_t)first, w, dw, by), F);
        for (int r = 0; r < 3; r++) by_index[r] = NB_SELECT(same, by[r], by_index[r]);
        left &= ~NB_ANY(same);
    }
    *fixed = NB_SELECT(usable, NB_SET(0.0), NB_SET(1.0));
    for (unsigned left = ~all & ((1u << NB_LANES_OF) - 1); left; left &= left - 1) {
        const int j = NB_FIRST(left);
        const double near[3] = {nb_nearest_d(NB_LANE(index[0], j)), nb_nearest_d(NB_LANE(index[1], j)),
                                nb_nearest_d(NB_LANE(index[2], j))};
        if (o <= limit[j] || !nb_in_table_d(t, near)) continue;
        NB_LANE(F, j) = t->F[(int64_t)nb_table_place_d(t, near)];
        NB_LANE(*fixed, j) = 0.0;
    }
    return F;
}
