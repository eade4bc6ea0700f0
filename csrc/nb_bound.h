/* What the bound of samples that are not looked at stands on, on the CPU (nb_tree.h) and on a GPU (nb_cuda_bound.h): the directions of
 * a patch of a panel. */
#ifndef NB_BOUND_H
#define NB_BOUND_H

#include "nb_most.h"
#include "nb_physics.h"

#define NB_NOWHERE 1e30f    /* a squared radius that no sample has */
#define NB_LEBESGUE 3.8147f /* (5/4)^6: what cubic interpolation may add to the largest F^2 */
#define NB_SLACK 1.00002f

/* The directions of a patch, of unit length: at its middle, half of what they change by along each edge, and what that neglects. */
typedef struct {
    double d[3], f[3], s[3], rho;
} nb_frame;

/* The frame of a flat patch.  The second derivative of P/|P| along a unit vector is at most (2/sqrt 3)/|P|^2.  Returns 0 where the
 * patch is too wide to be told anything of. */
NB_SMALL int flat_frame(const nb_panel *p, int layer, const double middle[2], const double half[2], nb_frame *at)
{
    double P[3];
    nb_layer_position_d(p, middle[0], middle[1], layer, P);
    const double R = sqrt(nb_dot(P, P)), skew = fabs(nb_dot(p->fdet, p->sdet));
    const double size = sqrt(half[0] * half[0] + half[1] * half[1] + 2.0 * skew * half[0] * half[1]);
    double sunk = 0.0; /* what the depth of the photons may differ by: |g'(u)| <= 1/12 */
    if (nb_at_mean_depth(p)) {
        const double height = fabs(nb_dot(p->pix0, p->odet));
        sunk = p->layer_step * (p->layer_step * p->mu) * size / (12.0 * height);
    }
    const double near = R - size - sunk;
    if (!(near > 0.5 * R)) return 0;
    for (int x = 0; x < 3; x++) at->d[x] = P[x] / R;
    const double along_f = nb_dot(at->d, p->fdet), along_s = nb_dot(at->d, p->sdet);
    for (int x = 0; x < 3; x++) {
        at->f[x] = half[0] * (p->fdet[x] - at->d[x] * along_f) / R;
        at->s[x] = half[1] * (p->sdet[x] - at->d[x] * along_s) / R;
    }
    at->rho = 0.57736 * size * size / (near * near) + sunk / near;
    return 1;
}

/* Of a point of a panel of whichever kind. */
NB_SMALL void panel_direction(const nb_panel *p, double f, double s, int layer, double d[3])
{
    nb_position(p, f, s, layer, d);
    const double R = sqrt(nb_dot(d, d));
    for (int x = 0; x < 3; x++) d[x] /= R;
}

/* Of a curved one, from differences: two rotations, by angles that move by no more than (half edges)/distance each. */
NB_SMALL int curved_frame(const nb_panel *p, int layer, const double middle[2], const double half[2], nb_frame *at)
{
    double low[3], high[3];
    panel_direction(p, middle[0], middle[1], layer, at->d);
    panel_direction(p, middle[0] + half[0], middle[1], layer, high);
    panel_direction(p, middle[0] - half[0], middle[1], layer, low);
    for (int x = 0; x < 3; x++) at->f[x] = 0.5 * (high[x] - low[x]);
    panel_direction(p, middle[0], middle[1] + half[1], layer, high);
    panel_direction(p, middle[0], middle[1] - half[1], layer, low);
    for (int x = 0; x < 3; x++) at->s[x] = 0.5 * (high[x] - low[x]);
    const double angle = 2.0 * (half[0] + half[1]) / fabs(p->distance);
    at->rho = angle * angle;
    return angle < 1.0;
}

/* Number of the patch, or tile, of so many pixels along an edge that holds a place on the plane. */
NB_SMALL int64_t patch_number(int64_t place, int edge)
{
    return place >= 0 ? place / edge : -((edge - 1 - place) / edge);
}

/* An orientation under one source, in the indices of the patch's middle: h = whole + x + f u + s v + w. */
typedef struct {
    float x[3], u[3], v[3], w[3], whole[3];
    float size[3]; /* of u, v and w in the metric */
} nb_lit_frame;

/* q, per: of the source at the middle, and one over its wavelength; m: a, b, c. */
NB_SMALL nb_lit_frame lit_frame_of(const nb_bound *k, const nb_frame *at, const double q[3], double per, const double m[9],
                                   const double metric[6])
{
    nb_lit_frame l;
    double u[3], v[3];
    l.size[0] = l.size[1] = l.size[2] = 0.0f;
    for (int r = 0; r < 3; r++) {
        const double *a = m + 3 * r, h = nb_dot(a, q), d = nb_reduce_d(h);
        u[r] = per * nb_dot(a, at->f), v[r] = per * nb_dot(a, at->s);
        l.whole[r] = (float)(h - d);
        l.x[r] = (float)d, l.u[r] = (float)u[r], l.v[r] = (float)v[r];
        l.w[r] = (float)(sqrt(nb_dot(a, a)) * per * at->rho + 1e-6 * (1.0 + fabs(u[r]) + fabs(v[r])) + 1e-13 * fabs(h));
        l.size[2] += k->norm[r] * l.w[r];
    }
    if (k->outer < NB_NOWHERE) {
        l.size[0] = NB_SLACK * (float)sqrt(nb_radius_sqr_d(u, metric));
        l.size[1] = NB_SLACK * (float)sqrt(nb_radius_sqr_d(v, metric));
    }
    return l;
}

/* Sums over a pixel's sub-pixels: a symmetric rule of three points an axis, at the middle and `far` pixels from it, with the second
 * and fourth moment of the sub-pixels' places: exact up to their sixth powers, and the same points up to three of them. */
typedef struct {
    double os, far, side;
} nb_three;

NB_SMALL nb_three nb_three_of(int oversample)
{
    const double os = oversample, second = (1.0 - 1.0 / (os * os)) / 12.0;
    const double fourth = (1.0 - 1.0 / (os * os)) * (3.0 - 7.0 / (os * os)) / 240.0;
    const nb_three three = {os, os > 1.0 ? sqrt(fourth / second) : 0.0, os > 1.0 ? 0.5 * second * second / fourth : 0.0};
    return three;
}

/* Of the point i, j (-1, 0 or 1), so that all add up to the number of sub-pixels. */
NB_SMALL double nb_three_weight(const nb_three *t, int i, int j)
{
    return (i ? t->side : 1.0 - 2.0 * t->side) * (j ? t->side : 1.0 - 2.0 * t->side) * t->os * t->os;
}

#endif
