/* Scalars of the derivatives that every pixel shares, and the bent detector's, which go lane by lane (gradients 6.5, 6.7). */
#ifndef NB_AXES_H
#define NB_AXES_H

#include "nb_columns.h"
#include "nb_polar.h"

#ifndef NB_RARE
#define NB_RARE NB_FN /* of large functions, called once for a point of a pixel: other compilers keep them apart */
#endif

/* What all pixels of an image have in common. */
typedef struct {
    const nb_scene *s;
    nb_layout layout;
    const nb_asked *asked; /* [crystals] */
    int asks;              /* enum nb_asks */
    const nb_axes *axes;   /* [sources] */
    nb_cut cut;
    double per_fluence;    /* nb_photon_scale, */
    double background_per_fluence, wet_per_fluence; /* nb_pixel_background and nb_water_scale of a fluence of 1 */
} nb_course;

/* norm: the unit of the weights of pixels. */
NB_FN nb_course nb_course_of(const nb_scene *s, const nb_layout *layout, const nb_asked *asked, int asks,
                             const nb_axes *axes, nb_cut cut, double norm)
{
    nb_scene one = *s;
    nb_course c;
    one.fluence = 1.0;
    c.s = s;
    c.layout = *layout;
    c.asked = asked;
    c.asks = asks;
    c.axes = axes;
    c.cut = cut;
    c.per_fluence = nb_photon_scale(&one) * norm;
    c.background_per_fluence = nb_pixel_background(&one);
    c.wet_per_fluence = nb_water_scale(&one) * norm;
    return c;
}

/* What w, owed to v turned by `angle` about n (nb_rotate), is owed to v, n and the angle. */
NB_FN void nb_push_rotation(const double v[3], const double n[3], double angle, const double w[3], double by_v[3],
                            double by_n[3], double *by_angle)
{
    const double turns = angle * (1.0 / NB_PI), whole = nb_round_d(turns);
    const double sign = 1.0 - 4.0 * fabs(0.5 * whole - nb_round_d(0.5 * whole));
    const double s = sign * nb_sinpi_d(turns - whole), c = sign * nb_cospi_d(turns - whole);
    double n_w[3], v_w[3], n_v[3];
    nb_cross(n, w, n_w);
    nb_cross(v, w, v_w);
    nb_cross(n, v, n_v);
    const double nv = nb_dot(n, v), nw = nb_dot(n, w);
    for (int k = 0; k < 3; k++) {
        by_v[k] = n[k] * nw * (1.0 - c) + w[k] * c - n_w[k] * s;
        by_n[k] += (1.0 - c) * (nv * w[k] + nw * v[k]) + s * v_w[k];
        *by_angle += w[k] * (n_v[k] * c - v[k] * s + n[k] * nv * s);
    }
}

/* A curved panel's point P (nb_position) backwards: by_P is owed to it; adds to the panel's columns. */
NB_RARE void nb_push_curved(const nb_panel *p, double phi, double sigma, int layer, const double by_P[3],
                            double out[NB_PANEL_COLUMNS])
{
    const double X = phi * p->pixel[0], Y = sigma * p->pixel[1], D = p->distance;
    const int mean = nb_at_mean_depth(p);
    const double u = p->layer_step * p->mu, share = mean ? nb_mean_absorption_d(u) : 0.0;
    const double depth = (layer + share) * p->layer_step;
    double flat[3], about_s, about_f, hand = 1.0;
    nb_position_flat_d(p, X, Y, depth, flat);
    const double bf = nb_dot(p->beam, p->fdet), bs = nb_dot(p->beam, p->sdet);
    if (p->curved == NB_CURVED_LAB) about_s = flat[1] / D, about_f = flat[2] / D;
    else {
        double n[3];
        nb_cross(p->fdet, p->sdet, n);
        hand = nb_dot(n, p->beam) < 0.0 ? -1.0 : 1.0;
        about_s = hand * (nb_dot(flat, p->fdet) / D - bf);
        about_f = -hand * (nb_dot(flat, p->sdet) / D - bs);
    }
    double centre[3], turned[3], by_turned[3], by_centre[3], by_s = 0.0, by_f = 0.0, by_flat[3] = {0};
    for (int k = 0; k < 3; k++) turned[k] = centre[k] = D * p->beam[k];
    nb_rotate(turned, p->sdet, about_s);
    nb_push_rotation(turned, p->fdet, about_f, by_P, by_turned, out + NB_BY_FDET, &by_f);
    nb_push_rotation(centre, p->sdet, about_s, by_turned, by_centre, out + NB_BY_SDET, &by_s);
    if (p->curved == NB_CURVED_LAB) {
        by_flat[1] = by_s / D, by_flat[2] = by_f / D;
        out[NB_BY_DISTANCE] -= (by_s * about_s + by_f * about_f) / D;
    } else {
        by_s *= hand, by_f *= -hand;
        for (int k = 0; k < 3; k++) {
            by_flat[k] = (by_s * p->fdet[k] + by_f * p->sdet[k]) / D;
            out[NB_BY_FDET + k] += by_s * (flat[k] / D - p->beam[k]);
            out[NB_BY_SDET + k] += by_f * (flat[k] / D - p->beam[k]);
            out[NB_BY_BEAM + k] -= by_s * p->fdet[k] + by_f * p->sdet[k];
        }
        out[NB_BY_DISTANCE] -= (by_s * nb_dot(flat, p->fdet) + by_f * nb_dot(flat, p->sdet)) / (D * D);
    }
    out[NB_BY_DISTANCE] += nb_dot(by_centre, p->beam);
    const double by_depth = nb_dot(by_flat, p->odet);
    out[NB_BY_LAYER_STEP] += by_depth * (layer + share);
    if (mean) {
        const double by_log_u = by_depth * p->layer_step * nb_mean_absorption_slope_d(u) * u;
        out[NB_BY_LAYER_STEP] += by_log_u / p->layer_step;
        out[NB_BY_MU] += by_log_u / p->mu;
    }
    for (int k = 0; k < 3; k++) {
        out[NB_BY_BEAM + k] += D * by_centre[k];
        out[NB_BY_PIX0 + k] += by_flat[k];
        out[NB_BY_FDET + k] += X * by_flat[k];
        out[NB_BY_SDET + k] += Y * by_flat[k];
        out[NB_BY_ODET + k] += depth * by_flat[k];
        out[NB_BY_PIXEL] += phi * p->fdet[k] * by_flat[k];
        out[NB_BY_PIXEL + 1] += sigma * p->sdet[k] * by_flat[k];
    }
}

#endif
