/* One pixel, one sample after the other: the scalar functions of nb_physics.h in the order of canonical 6.1, so that the
 * sum is the one that nb_image.c makes of the same pixel, to rounding.  Compiled like it once per instruction set, with
 * NB_ISA the suffix of the one visible function. */
#include "nb_trace.h"

#include "nb_physics.h"
#include "nb_vector.h"

typedef struct {
    const nb_scene *s;
    int interpolate; /* samples of NB_TRICUBIC are interpolated still */
    nb_trace_row *next;
} nb_tracer;

/* One crystal as one source sees it. */
typedef struct {
    const nb_crystal *crystal;
    const nb_table *table;
    int shape;
    double metric[6], peak, share;
} nb_traced_crystal;

static double interpolated(nb_tracer *t, const nb_traced_crystal *c, nb_trace_row *row, double radius_sqr)
{
    if (nb_interpolable_d(c->table, row->hkl)) {
        row->F_kind = NB_F_INTERPOLATED;
        return nb_tricubic(c->table, row->hkl);
    }
    /* a sample without intensity is not looked at, so it does not end the interpolation (canonical 6.5) */
    const int looked_at = t->s->water != 0.0 || !nb_lattice_is_zero(c->shape, radius_sqr);
    if (c->table->interpolation == NB_TRICUBIC && looked_at) t->interpolate = 0;
    row->F_kind = NB_F_DEFAULT;
    return c->table->default_F;
}

static double structure_factor(nb_tracer *t, const nb_traced_crystal *c, nb_trace_row *row, const double nearest[3],
                               double radius_sqr)
{
    const nb_table *table = c->table;
    if (table->interpolation == NB_TRICUBIC_EXACT || (table->interpolation == NB_TRICUBIC && t->interpolate))
        return interpolated(t, c, row, radius_sqr);
    if (table->F && nb_in_table_d(table, nearest)) {
        row->F_kind = NB_F_LISTED;
        return table->F[(int64_t)nb_table_place_d(table, nearest)];
    }
    row->F_kind = NB_F_DEFAULT;
    return table->default_F;
}

/* h, k, l, F and F_latt of a row whose q and orientation are set; returns F^2 L^2. */
static double diffraction(nb_tracer *t, const nb_traced_crystal *c, nb_trace_row *row)
{
    const double *m = c->crystal->abc + 9 * row->orientation;
    double nearest[3], d[3];
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) row->abc[i][j] = m[3 * i + j];
        row->hkl[i] = nb_dot(row->abc[i], row->q);
        nearest[i] = nb_nearest_d(row->hkl[i]);
        d[i] = row->hkl[i] - nearest[i];
        row->hkl0[i] = (int64_t)nearest[i];
    }
    row->F_kind = NB_F_NOT_LOOKED_AT;
    row->F_cell = row->F_latt = 0.0;
    if (!row->kept) return 0.0;
    row->F_cell = structure_factor(t, c, row, nearest, nb_radius_sqr_d(d, c->metric));
    if (c->crystal->displaced) row->F_cell *= nb_exp_d(-0.5 * nb_radius_sqr_d(row->hkl, c->crystal->displacement));
    const double L_sqr = c->peak * nb_lattice_d(c->shape, d, c->crystal->N, c->metric);
    row->F_latt = sqrt(L_sqr);
    return row->F_cell * row->F_cell * L_sqr;
}

/* position, R, omega and capture of a sub-pixel; d: its unit vector.  Not inlined: q must be made of the rounded d, as in
 * the image, not of a product fused into the subtraction, which differs by 1e-11 of the pixel at large N h. */
static __attribute__((noinline)) void geometry(const nb_scene *s, int32_t fast, int32_t slow, nb_trace_row *row, double d[3])
{
    const nb_panel *p = s->panel + row->panel;
    const double F = p->pixel[0] * ((double)p->first[0] + fast) + nb_sub_pixel(s, p, 0, (int)row->sub_fast);
    const double S = p->pixel[1] * ((double)p->first[1] + slow) + nb_sub_pixel(s, p, 1, (int)row->sub_slow);
    double *P = row->position;
    nb_position(p, F, S, (int)row->layer, P);
    const double R_sqr = P[0] * P[0] + P[1] * P[1] + P[2] * P[2];
    const double per_R = nb_rsqrt_vd(R_sqr - (nb_vd){0})[0]; /* rounded as in the image */
    row->R = sqrt(R_sqr);
    for (int i = 0; i < 3; i++) d[i] = P[i] * per_R;
    row->omega = nb_solid_angle_d(p, per_R);
    row->capture = nb_absorbs(p) ? nb_capture_d(p, p->mu, (int)row->layer, d) : 1.0;
}

static void scattering(const nb_scene *s, const double d[3], nb_trace_row *row)
{
    const nb_source *source = s->source + row->source;
    const nb_panel *p = s->panel + row->panel;
    if (nb_mu_differs(p)) row->capture = nb_capture_d(p, p->source_mu[row->source], (int)row->layer, d);
    row->wavelength = source->wavelength;
    row->weight = source->weight;
    const double per_wavelength = 1.0 / row->wavelength;
    for (int i = 0; i < 3; i++) row->q[i] = (d[i] - source->incident[i]) * per_wavelength;
    const double q_sqr = nb_dot(row->q, row->q);
    row->stol = 0.5 * sqrt(q_sqr);
    row->kept = s->dmin > 0.0 ? nb_resolved_d(s, q_sqr) != 0 : 1;
    const nb_axes axes = nb_axes_of(s->polar_vector, source->incident);
    row->polarization = s->nopolar ? 1.0 : nb_polarization_d(s->polarization, source->incident, &axes, d);
}

/* All orientations of a crystal; factor: w of nb_pixel.h. */
static void trace_crystal(nb_tracer *t, nb_trace_row *row, double factor, nb_pixel_d *pixel)
{
    const nb_scene *s = t->s;
    const nb_crystal *k = s->crystal + row->crystal;
    nb_traced_crystal c = {.crystal = k, .table = s->table + k->table + s->source[row->source].table,
                           .shape = nb_lattice_shape(k), .peak = nb_lattice_peak(k), .share = nb_crystal_share(s, k)};
    nb_spot_metric(k, c.metric);
    for (row->orientation = 0; row->orientation < k->orientations; row->orientation++) {
        row->share = k->orientation_weight ? c.share * k->orientation_weight[row->orientation] : c.share;
        row->term = factor * row->share * diffraction(t, &c, row);
        row->running_sum = pixel->intensity += row->term;
        *t->next++ = *row;
    }
}

#define NB_CAT_(a, b) a##b
#define NB_CAT(a, b) NB_CAT_(a, b)

void NB_CAT(nb_trace_, NB_ISA)(const nb_scene *s, int32_t panel, int32_t fast, int32_t slow, int interpolate,
                               nb_trace_row *rows, nb_trace_total *total)
{
    const nb_panel *p = s->panel + panel;
    nb_tracer t = {.s = s, .interpolate = interpolate, .next = rows};
    nb_pixel_d pixel = {0};
    *total = (nb_trace_total){.scale = nb_photon_scale(s), .start = nb_pixel_background(s)};
    nb_pixel_start_d(s, total->start, &pixel);
    for (int layer = 0; layer < p->layers; layer++)
        for (int sub_slow = 0; sub_slow < s->oversample; sub_slow++)
            for (int sub_fast = 0; sub_fast < s->oversample; sub_fast++) {
                nb_trace_row row = {.panel = panel, .layer = layer, .sub_slow = sub_slow, .sub_fast = sub_fast};
                double d[3];
                geometry(s, fast, slow, &row, d);
                nb_pixel_point_d(s, layer, sub_slow == 0 && sub_fast == 0, row.omega, row.capture, &pixel);
                for (row.source = 0; row.source < s->sources; row.source++) {
                    scattering(s, d, &row);
                    nb_pixel_polarize_d(row.polarization, row.kept, &pixel);
                    const double w = nb_sample_weight_d(s, row.weight, row.capture, row.polarization, row.omega);
                    nb_pixel_wet_d(s, row.weight, row.capture, row.polarization, row.omega, &pixel);
                    for (row.crystal = 0; row.crystal < s->crystals; row.crystal++) trace_crystal(&t, &row, w, &pixel);
                }
            }
    const double wet = nb_water_scale(s);
    total->omega = s->oversample_omega ? 1.0 : pixel.omega;
    total->polarization = s->oversample_polar ? 1.0 : pixel.polar;
    total->capture = s->oversample_thick ? 1.0 : pixel.capture;
    total->water = wet * pixel.water;
    total->pixel = nb_pixel_photons_d(s, total->scale, wet, &pixel);
    const int64_t index = p->offset + (int64_t)slow * p->fpixels + fast;
    total->transmission = s->transmission ? s->transmission[index - s->behind] : 1.0;
    total->background = nb_with_backdrop(s, 0.0, index);
    if (nb_has_backdrop(s)) total->pixel = nb_with_backdrop(s, total->pixel, index);
}
