/* One pixel, one sample after the other: the scalar functions of nb_physics.h in the order of canonical 6.1, so that the
 * sum is the one that nb_render.c makes of the same pixel, to rounding.  Compiled like it once per instruction set, with
 * NB_ISA the suffix of the one visible function. */
#include "nb_trace.h"

#include "nb_physics.h"
#include "nb_vector.h"

typedef struct {
    const nb_scene *s;
    int shape;
    double metric[6], peak;
    int tricubic; /* samples are interpolated still */
} nb_tracer;

static double interpolated(nb_tracer *t, nb_trace_row *row, double radius_sqr)
{
    const nb_scene *s = t->s;
    if (nb_interpolable_d(s, row->hkl)) {
        row->F_kind = NB_F_INTERPOLATED;
        return nb_tricubic(s, row->hkl);
    }
    /* a sample without intensity is not looked at, so it does not end the interpolation (canonical 6.5) */
    const int looked_at = s->water != 0.0 || !nb_lattice_is_zero(t->shape, radius_sqr);
    if (s->interpolation == NB_TRICUBIC && looked_at) t->tricubic = 0;
    row->F_kind = NB_F_DEFAULT;
    return s->default_F;
}

static double structure_factor(nb_tracer *t, nb_trace_row *row, const double nearest[3], double radius_sqr)
{
    const nb_scene *s = t->s;
    if (t->tricubic) return interpolated(t, row, radius_sqr);
    if (s->F && nb_in_table_d(s, nearest)) {
        row->F_kind = NB_F_LISTED;
        return s->F[(int64_t)nb_table_place_d(s, nearest)];
    }
    row->F_kind = NB_F_DEFAULT;
    return s->default_F;
}

/* h, k, l, F and F_latt of a row whose q and orientation are set; returns F^2 L^2. */
static double diffraction(nb_tracer *t, nb_trace_row *row)
{
    const nb_scene *s = t->s;
    const double *m = s->abc + 9 * row->orientation;
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
    row->F_cell = structure_factor(t, row, nearest, nb_radius_sqr_d(d, t->metric));
    const double L_sqr = t->peak * nb_lattice_d(t->shape, d, s->N, t->metric);
    row->F_latt = sqrt(L_sqr);
    return row->F_cell * row->F_cell * L_sqr;
}

/* position, R, omega and capture of a sub-pixel; d: its unit vector.  Not inlined: q must be made of the rounded d, as in
 * the image, not of a product fused into the subtraction, which differs by 1e-11 of the pixel at large N h. */
static __attribute__((noinline)) void geometry(const nb_scene *s, int32_t fast, int32_t slow, nb_trace_row *row, double d[3])
{
    const double F = s->pixel_size * fast + nb_sub_pixel(s, (int)row->sub_fast);
    const double S = s->pixel_size * slow + nb_sub_pixel(s, (int)row->sub_slow);
    double *P = row->position;
    nb_position(s, F, S, row->layer * s->layer_step, P);
    const double R_sqr = P[0] * P[0] + P[1] * P[1] + P[2] * P[2];
    const double per_R = nb_rsqrt_vd(R_sqr - (nb_vd){0})[0]; /* rounded as in the image */
    row->R = sqrt(R_sqr);
    for (int i = 0; i < 3; i++) d[i] = P[i] * per_R;
    row->omega = nb_solid_angle_d(s, per_R);
    const int thick = s->thickness > 0.0 && s->mu > 0.0;
    row->capture = thick ? nb_capture_d(s, (int)row->layer, d) : 1.0;
}

static void scattering(const nb_scene *s, const double d[3], nb_trace_row *row)
{
    const double *in = s->incident + 3 * row->source;
    row->wavelength = s->wavelength[row->source];
    row->weight = s->weight[row->source];
    const double per_wavelength = 1.0 / row->wavelength;
    for (int i = 0; i < 3; i++) row->q[i] = (d[i] - in[i]) * per_wavelength;
    const double q_sqr = nb_dot(row->q, row->q);
    row->stol = 0.5 * sqrt(q_sqr);
    row->kept = s->dmin > 0.0 ? nb_resolved_d(s, q_sqr) != 0 : 1;
    row->polarization = s->nopolar ? 1.0 : nb_polarization_d(s->polarization, in, d, s->polar_vector);
}

/* Factors taken once for the pixel (canonical 8): omega of the first sub-pixel, capture of the first sub-pixel of the last
 * layer, polarization of the first source reached; `seen` 0 until a source has been. */
static void take_once(const nb_scene *s, const nb_trace_row *row, nb_trace_total *total, int *seen)
{
    const int first = row->sub_slow == 0 && row->sub_fast == 0;
    if (!s->oversample_omega && first && row->layer == 0) total->omega = row->omega;
    if (!s->oversample_thick && first) total->capture = row->capture;
    if (!s->oversample_polar && !s->nopolar && row->kept && !*seen) {
        total->polarization = row->polarization;
        *seen = row->polarization != 0.0;
    }
}

#define NB_CAT_(a, b) a##b
#define NB_CAT(a, b) NB_CAT_(a, b)

void NB_CAT(nb_trace_, NB_ISA)(const nb_scene *s, int32_t fast, int32_t slow, int interpolate, nb_trace_row *rows,
                               nb_trace_total *total)
{
    nb_tracer t = {.s = s, .shape = nb_lattice_shape(s), .peak = nb_lattice_peak(s)};
    t.tricubic = s->interpolation == NB_TRICUBIC_EXACT || (s->interpolation == NB_TRICUBIC && interpolate);
    nb_spot_metric(s, t.metric);
    const int no_polarization = !s->oversample_polar && !s->nopolar;
    *total = (nb_trace_total){.scale = nb_photon_scale(s), .omega = 1.0, .polarization = no_polarization ? 0.0 : 1.0,
                              .capture = 1.0};
    total->start = s->water_mode == NB_WATER_IN_SUM ? nb_water_intensity(s) : 0.0;
    double sum = total->start, water_factor = 0.0;
    int seen = 0;
    for (int layer = 0; layer < s->layers; layer++)
        for (int sub_slow = 0; sub_slow < s->oversample; sub_slow++)
            for (int sub_fast = 0; sub_fast < s->oversample; sub_fast++) {
                nb_trace_row row = {.layer = layer, .sub_slow = sub_slow, .sub_fast = sub_fast};
                double d[3];
                geometry(s, fast, slow, &row, d);
                for (row.source = 0; row.source < s->sources; row.source++) {
                    scattering(s, d, &row);
                    take_once(s, &row, total, &seen);
                    double factor = row.weight;
                    if (s->oversample_thick) factor *= row.capture;
                    if (s->oversample_polar) factor *= row.polarization;
                    if (s->oversample_omega) factor *= row.omega;
                    water_factor += row.weight * row.omega * row.polarization;
                    for (row.orientation = 0; row.orientation < s->orientations; row.orientation++) {
                        row.term = factor * diffraction(&t, &row);
                        row.running_sum = sum += row.term;
                        *rows++ = row;
                    }
                }
            }
    if (s->water_mode == NB_WATER_AFTER)
        total->water = nb_water_intensity(s) * water_factor
                     / ((double)s->sources * s->layers * s->oversample * s->oversample);
    total->pixel = total->scale * sum * total->omega * total->polarization * total->capture + total->water;
}
