/* Where a layer of a panel of whichever kind has its photons: flat ones by nb_sample.h, curved ones here (canonical 6.2, 11). */
#ifndef NB_CURVED_H
#define NB_CURVED_H

/* rotate v about the unit axis n by `angle` (Rodrigues' formula) */
NB_FN void nb_rotate(double v[3], const double n[3], double angle)
{
    const double turns = angle * (1.0 / NB_PI);
    const double whole = nb_round_d(turns);
    const double sign = 1.0 - 4.0 * fabs(0.5 * whole - nb_round_d(0.5 * whole));
    const double s = sign * nb_sinpi_d(turns - whole), c = sign * nb_cospi_d(turns - whole);
    double w[3];
    nb_cross(n, v, w);
    const double along = nb_dot(n, v) * (1.0 - c);
    for (int i = 0; i < 3; i++) v[i] = v[i] * c + w[i] * s + n[i] * along;
}

/* Where a layer of a panel of whichever kind has the photons of the point (F, S); a curved one is bent at `distance` about
 * the sample (canonical 6.2), so that every ray from there goes straight through its layers. */
NB_FN void nb_position(const nb_panel *p, double F, double S, int layer, double P[3])
{
    if (p->curved == NB_FLAT) {
        nb_layer_position_d(p, F, S, layer, P);
        return;
    }
    const double share = nb_at_mean_depth(p) ? nb_mean_absorption_d(p->layer_step * p->mu) : 0.0;
    nb_position_flat_d(p, F, S, (layer + share) * p->layer_step, P);
    double about_s, about_f;
    if (p->curved == NB_CURVED_LAB) {
        about_s = P[1] / p->distance;
        about_f = P[2] / p->distance;
    } else {
        /* offsets from the direct beam's spot along the detector's own axes; a left-handed (f, s, b) turns the other way */
        double n[3];
        nb_cross(p->fdet, p->sdet, n);
        const double hand = NB_RE(nb_dot(n, p->beam)) < 0.0 ? -1.0 : 1.0;
        about_s = hand * (nb_dot(P, p->fdet) - p->distance * nb_dot(p->beam, p->fdet)) / p->distance;
        about_f = -hand * (nb_dot(P, p->sdet) - p->distance * nb_dot(p->beam, p->sdet)) / p->distance;
    }
    for (int i = 0; i < 3; i++) P[i] = p->distance * p->beam[i];
    nb_rotate(P, p->sdet, about_s);
    nb_rotate(P, p->fdet, about_f);
}

#endif
