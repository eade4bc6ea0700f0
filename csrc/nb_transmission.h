/* The share of the light that passes everything in its way (beyond 19.3 to 19.5), stamped out like nb_sample.h.
 *
 * Light travels along a source's direction to the point `at`, is scattered there, and goes straight to P:
 *
 *   T = exp(-sum of mu t / |cosine|) * product of the transmissions of the stops it meets * absorption in the sample
 *
 * nb_arrival_at is that of its way to the point, once per source and point; nb_transmission_from all of it, for a P or a vector of
 * them; nb_transmission is both.  m, 1/m; P in the laboratory frame. */

/* asin(x)/x as a polynomial in x^2 <= 1/2, highest power first.  Error of asin(x): 7e-12. */
#ifndef NB_ASIN_OVER_X
#define NB_ASIN_OVER_X                                                                                                 \
    {0.20080486193692038, -0.38009770581274005, 0.37182503158530106, -0.18557044150575286, 0.08190373464191705,        \
     0.0021282641134226193, 0.02457973151755019, 0.0301815342228888, 0.04465348859508442, 0.07499971094294651,         \
     0.1666666697231895, 0.9999999999946851}
#endif

/* Whether the place (u, v) on a stop's plane is opaque. */
NB_FN NB_MASK NB_R(nb_opaque)(const nb_stop *k, NB_REAL u, NB_REAL v)
{
    if (k->kind == NB_POLYGON) {
        NB_MASK inside = NB_RE(NB_SET(0.0)) > 1.0;
        for (int64_t i = 0; i < k->edges; i++) {
            const double *e = k->edge + 4 * i;
            inside ^= ((NB_RE(v) < NB_RE(e[0])) ^ (NB_RE(v) < NB_RE(e[1]))) & (NB_RE(u) < NB_RE((v - e[0]) * e[3] + e[2]));
        }
        return inside;
    }
    u -= k->centre[0];
    v -= k->centre[1];
    const NB_REAL rr = u * u + v * v;
    if (k->kind == NB_HOLE) return NB_RE(rr) > NB_RE(k->radius * k->radius);
    const NB_MASK disc = NB_RE(rr) <= NB_RE(k->radius * k->radius);
    if (!(NB_RE(k->half_width) > 0.0)) return disc;
    const NB_REAL along = u * k->arm[0] + v * k->arm[1], across = v * k->arm[0] - u * k->arm[1];
    return disc | ((NB_RE(along) >= 0.0) & (NB_RE(NB_ABS(across)) <= NB_RE(k->half_width)));
}

/* Length of the half line from a point along d inside a body; from_centre: the point from the body's centre. */
NB_FN NB_REAL NB_R(nb_length_inside)(const nb_body *b, const double from_centre[3], const NB_REAL d[3])
{
    const NB_REAL zero = NB_SET(0.0);
    if (b->kind == NB_BALL) {
        const NB_REAL middle = -(d[0] * from_centre[0] + d[1] * from_centre[1] + d[2] * from_centre[2]);
        const NB_REAL half_sqr = middle * middle + (b->size * b->size - nb_dot(from_centre, from_centre));
        const NB_REAL half = NB_SQRT(NB_SELECT(NB_RE(half_sqr) > 0.0, half_sqr, zero));
        const NB_REAL in = middle - half, out = middle + half;
        return NB_SELECT(NB_RE(out) > 0.0, out, zero) - NB_SELECT(NB_RE(in) > 0.0, in, zero);
    }
    const double height = nb_dot(from_centre, b->normal);
    const NB_REAL rise = d[0] * b->normal[0] + d[1] * b->normal[1] + d[2] * b->normal[2];
    const NB_REAL slow = NB_ABS(rise), least = NB_SET(1e-290);
    const NB_REAL per = 1.0 / NB_SELECT(NB_RE(slow) > 1e-290, slow, least);
    const NB_REAL up = NB_SELECT(NB_RE(rise) < 0.0, NB_SET(-height), NB_SET(height)); /* as if it rose */
    const NB_REAL in = (-0.5 * b->size - up) * per, out = (0.5 * b->size - up) * per;
    return NB_SELECT(NB_RE(out) > 0.0, out, zero) - NB_SELECT(NB_RE(in) > 0.0, in, zero);
}

/* (1 - e^-x)/x for x >= 0: the mean of e^-y over 0 <= y <= x.  Below 0.02 its series, cut off at 2e-17. */
NB_FN NB_REAL NB_R(nb_mean_decay)(NB_REAL x)
{
    NB_REAL p = x * (1.0 / 5040.0) - 1.0 / 720.0;
    p = p * x + 1.0 / 120.0;
    p = p * x - 1.0 / 24.0;
    p = p * x + 1.0 / 6.0;
    p = p * x - 0.5;
    const NB_MASK small = NB_RE(x) < 0.02;
    const NB_REAL one = NB_SET(1.0);
    return NB_SELECT(small, 1.0 + p * x, (1.0 - NB_R(nb_exp)(-x)) / NB_SELECT(small, one, x));
}

/* Slab that scatters everywhere: attenuation depths a = mu t/|i.n| on the straight way in and b = mu t/|d.n| out.  Light
 * that leaves at the far side has e^-b (1 - e^-(a - b))/(a - b), at the near side (1 - e^-(a + b))/(a + b) (International
 * Tables C 6.3.3).  Returns the fraction and adds the rest to the exponent. */
NB_FN NB_REAL NB_R(nb_slab_mean)(const nb_body *b, double mu, const double incident[3], const NB_REAL d[3], NB_REAL *depth)
{
    const double entry = nb_dot(incident, b->normal), most = 1e290;
    const double in = mu * b->size / (NB_RE(fabs(entry)) > 1e-290 ? fabs(entry) : 1e-290);
    const NB_REAL rise = (d[0] * b->normal[0] + d[1] * b->normal[1] + d[2] * b->normal[2]) * (NB_RE(entry) < 0.0 ? -1.0 : 1.0);
    const NB_REAL slow = NB_ABS(rise), least = NB_SET(1.0 / most);
    const NB_REAL out = (mu * b->size) / NB_SELECT(NB_RE(slow) > NB_RE(1.0 / most), slow, least);
    const NB_REAL ahead = NB_SELECT(NB_RE(out) < NB_RE(in), out, NB_SET(in)), zero = NB_SET(0.0);
    const NB_MASK through = NB_RE(rise) > 0.0;
    *depth += NB_SELECT(through, ahead, zero);
    return NB_R(nb_mean_decay)(NB_SELECT(through, NB_ABS(out - in), out + in));
}

/* 2theta/180 degrees of the cosine c. */
NB_FN NB_REAL NB_R(nb_turn_of_cosine)(NB_REAL c)
{
    const NB_REAL rest = 0.5 - 0.5 * NB_ABS(c), zero = NB_SET(0.0);
    const NB_REAL z = NB_SELECT(NB_RE(rest) > 0.0, rest, zero);
    const double k[] = NB_ASIN_OVER_X;
    NB_REAL p = z * k[0] + k[1];
    for (int i = 2; i < (int)(sizeof k / sizeof k[0]); i++) p = p * z + k[i];
    const NB_REAL turn = (2.0 / NB_PI) * NB_SQRT(z) * p;
    return NB_SELECT(NB_RE(c) < 0.0, 1.0 - turn, turn);
}

/* ln of the mean factor of a ball for light that leaves along d. */
NB_FN NB_REAL NB_R(nb_ball_mean)(const double *mean, const double incident[3], const NB_REAL d[3])
{
    const NB_REAL x = (double)NB_BALL_PIECES * NB_R(nb_turn_of_cosine)(d[0] * incident[0] + d[1] * incident[1] + d[2] * incident[2]);
    const NB_REAL low = NB_R(nb_floor)(x), last = NB_SET(NB_BALL_PIECES - 1.0);
    const NB_REAL piece = NB_SELECT(NB_RE(low) > NB_RE(last), last, low), t = x - piece, at = 4.0 * piece;
    return NB_LOOKUP(mean, at) + t * (NB_LOOKUP(mean + 1, at) + t * (NB_LOOKUP(mean + 2, at) + t * NB_LOOKUP(mean + 3, at)));
}

#ifndef NB_TRANSMISSION_ONCE
#define NB_TRANSMISSION_ONCE

/* Whether light that comes along i to a point has passed the plane x.normal = distance before; `place`: where. */
NB_FN int nb_came_past(const double normal[3], double distance, const double incident[3], const double at[3], double place[3])
{
    const double back = (nb_dot(normal, at) - distance) / nb_dot(normal, incident);
    for (int i = 0; i < 3; i++) place[i] = at[i] - back * incident[i];
    return NB_RE(back) > 0.0;
}

/* Whether a point is one of those over which a body's mean is taken. */
NB_FN int nb_in_body(const nb_body *b, const double from_centre[3])
{
    if (b->kind == NB_SLAB) return NB_RE(fabs(nb_dot(from_centre, b->normal))) <= NB_RE(0.5 * b->size);
    return b->kind == NB_BALL && NB_RE(nb_dot(from_centre, from_centre)) <= NB_RE(b->size * b->size);
}

/* The light of a source where it is scattered. */
NB_FN nb_arrival nb_arrival_at(const nb_obstacles *o, int source, const double incident[3], const double at[3])
{
    nb_arrival light = {0.0, 1.0, nb_dot(incident, at), 0};
    double place[3];
    if (NB_RE(light.way) < 0.0) light.way = 0.0;
    for (int64_t i = 0; i < o->absorbers; i++) {
        const nb_absorber *a = o->absorber + i;
        if (a->kind == NB_WALL && nb_came_past(a->normal, a->distance, incident, at, place))
            light.depth += a->depth[source] / fabs(nb_dot(a->normal, incident));
    }
    for (int64_t i = 0; i < o->stops; i++) {
        const nb_stop *k = o->stop + i;
        if (nb_came_past(k->normal, k->distance, incident, at, place) && nb_opaque_d(k, nb_dot(place, k->u), nb_dot(place, k->v)))
            light.factor *= k->transmission;
    }
    const nb_body *b = &o->body;
    if (b->kind == NB_NOTHING) return light;
    const double from_centre[3] = {at[0] - b->centre[0], at[1] - b->centre[1], at[2] - b->centre[2]};
    light.mean = b->spread && nb_in_body(b, from_centre);
    if (light.mean) return light;
    const double upstream[3] = {-incident[0], -incident[1], -incident[2]};
    light.depth += b->mu[source] * nb_length_inside_d(b, from_centre, upstream);
    return light;
}

#endif

/* T for light that has arrived at `at` and goes to P. */
NB_FN NB_REAL NB_R(nb_transmission_from)(const nb_obstacles *o, int source, const double incident[3], const double at[3],
                                         const nb_arrival *light, const NB_REAL P[3])
{
    const NB_REAL D[3] = {P[0] - at[0], P[1] - at[1], P[2] - at[2]};
    const NB_REAL R_sqr = D[0] * D[0] + D[1] * D[1] + D[2] * D[2], per_R = NB_RSQRT(R_sqr), zero = NB_SET(0.0);
    NB_REAL depth = NB_SET(light->depth), factor = NB_SET(light->factor);
    for (int64_t i = 0; i < o->absorbers; i++) {
        const nb_absorber *a = o->absorber + i;
        const double mu = a->depth[source];
        if (a->kind == NB_SHELL) {
            depth += mu;
        } else if (a->kind == NB_GAS) {
            const NB_REAL length = R_sqr * per_R + (light->way - a->distance);
            depth += NB_SELECT(NB_RE(length) > 0.0, mu * length, zero);
        } else {
            const NB_REAL rise = D[0] * a->normal[0] + D[1] * a->normal[1] + D[2] * a->normal[2];
            const NB_REAL more = mu / (NB_ABS(rise) * per_R);
            const double below = a->distance - nb_dot(a->normal, at);
            depth += a->kind == NB_SHEET ? more : NB_SELECT((NB_RE(below / rise) > 0.0) & (NB_RE(below / rise) < 1.0), more, zero);
        }
    }
    for (int64_t i = 0; i < o->stops; i++) {
        const nb_stop *k = o->stop + i;
        const NB_REAL rise = D[0] * k->normal[0] + D[1] * k->normal[1] + D[2] * k->normal[2];
        const NB_REAL t = (k->distance - nb_dot(k->normal, at)) / rise;
        const NB_REAL u = t * (D[0] * k->u[0] + D[1] * k->u[1] + D[2] * k->u[2]) + nb_dot(at, k->u);
        const NB_REAL v = t * (D[0] * k->v[0] + D[1] * k->v[1] + D[2] * k->v[2]) + nb_dot(at, k->v);
        factor = NB_SELECT((NB_RE(t) > 0.0) & (NB_RE(t) < 1.0) & NB_R(nb_opaque)(k, u, v), factor * k->transmission, factor);
    }
    const nb_body *b = &o->body;
    if (b->kind != NB_NOTHING) {
        const NB_REAL d[3] = {D[0] * per_R, D[1] * per_R, D[2] * per_R};
        const double from_centre[3] = {at[0] - b->centre[0], at[1] - b->centre[1], at[2] - b->centre[2]};
        if (!light->mean) depth += b->mu[source] * NB_R(nb_length_inside)(b, from_centre, d);
        else if (b->kind == NB_SLAB) factor *= NB_R(nb_slab_mean)(b, b->mu[source], incident, d, &depth);
        else depth -= NB_R(nb_ball_mean)(b->mean + (int64_t)source * (4 * NB_BALL_PIECES), incident, d);
    }
    return factor * NB_R(nb_exp)(-depth);
}

/* T for light of a source that is scattered at `at` and arrives at P. */
NB_FN NB_REAL NB_R(nb_transmission)(const nb_obstacles *o, int source, const double incident[3], const double at[3],
                                    const NB_REAL P[3])
{
    const nb_arrival light = nb_arrival_at(o, source, incident, at);
    return NB_R(nb_transmission_from)(o, source, incident, at, &light, P);
}
