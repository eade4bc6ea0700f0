/* How the samples of a pixel become its photons: which factor counts for every sample and which once (canonical 8).
 *
 *   pixel = r_e^2 fluence / steps * [ I_water + sum over layers, sub-pixels, sources, crystals, orientations of w F^2 L^2 ] * once
 *
 * with capture, polarization and solid angle in w when their oversample flag is set and in `once` when not.  NB_WATER_AFTER
 * takes the water out of that sum and adds it at the end (canonical 11):
 *
 *   pixel = Bragg + I_water / (sources oversample^2) * sum over layers, sub-pixels, sources of w omega polarization capture
 *
 * with all three factors of the very sample, whatever the flags.  For each pixel:
 * nb_pixel_start; for every sub-pixel of every layer nb_pixel_point, for every source nb_pixel_polarize, nb_sample_weight,
 * nb_pixel_wet; at the end nb_pixel_photons and nb_with_backdrop.
 * The functions of a pixel are stamped out for doubles like nb_sample.h: a scalar (the GPU, the trace) or a vector of
 * lanes (the CPU). */

#ifndef NB_PIXEL_H
#define NB_PIXEL_H

/* Distance (m) along fast (axis 0) or slow (1) from a pixel's edge to the centre of its i-th sub-pixel (canonical 6.1). */
NB_FN double nb_sub_pixel(const nb_scene *s, const nb_panel *p, int axis, int i)
{
    const double sub = p->pixel[axis] / s->oversample;
    return 0.5 * sub + sub * i;
}

/* Photons/sr of one electron^2: r_e^2 fluence over the number of steps, sources * orientations * oversample^2; the layers'
 * capture fractions add up.  Orientations are those of the first crystal, by weight: nb_crystal_share refers to it. */
NB_FN double nb_photon_scale(const nb_scene *s)
{
    const double steps = (double)s->sources * s->crystal->weight_sum * s->oversample * s->oversample;
    return NB_R_E_SQR * s->fluence / steps;
}

/* What a crystal of weight 1 counts for beside the first. */
NB_FN double nb_unit_share(const nb_scene *s, const nb_crystal *c)
{
    return c == s->crystal ? 1.0 : s->crystal->weight_sum / c->weight_sum;
}

/* What crystal c counts for beside the first: exactly its weight where there is no other. */
NB_FN double nb_crystal_share(const nb_scene *s, const nb_crystal *c)
{
    return c->weight * nb_unit_share(s, c);
}

/* Water's forward scattering, photons/sr: F^2 r_e^2 fluence times the number of molecules in the cube (canonical 8). */
NB_FN double nb_water_intensity(const nb_scene *s)
{
    const double molecules = s->water * s->water * s->water * NB_WATER_DENSITY * NB_AVOGADRO / NB_WATER_MOLAR_MASS;
    return NB_WATER_F * NB_WATER_F * NB_R_E_SQR * s->fluence * molecules;
}

/* What the sum over samples starts from: NB_WATER_IN_SUM. */
NB_FN double nb_pixel_background(const nb_scene *s)
{
    return s->water_mode == NB_WATER_IN_SUM ? nb_water_intensity(s) : 0.0;
}

/* Photons for nb_pixel's `water`, a mean over sources and sub-pixels, while layers add up: NB_WATER_AFTER. */
NB_FN double nb_water_scale(const nb_scene *s)
{
    if (s->water_mode != NB_WATER_AFTER) return 0.0;
    return nb_water_intensity(s) / ((double)s->sources * s->oversample * s->oversample);
}

/* The photons of a pixel with all that stands behind its spots (beyond 12.4, 19); pixel: its image index. */
NB_FN double nb_with_backdrop(const nb_scene *s, double photons, int64_t pixel)
{
    const int64_t at = pixel - s->behind;
    if (s->transmission) photons *= s->transmission[at];
    if (s->background) photons += s->fluence * s->background[at];
    if (s->fixed) photons += s->fixed[at];
    return photons;
}

/* Whether anything does. */
NB_FN int nb_has_backdrop(const nb_scene *s)
{
    return s->transmission || s->background || s->fixed;
}

/* Whether the capture fraction of a sub-pixel is asked for; `first`: it is the first of its layer. */
NB_FN int nb_needs_capture(const nb_scene *s, const nb_panel *p, int first)
{
    return nb_absorbs(p) && (first || s->oversample_thick || s->water_mode == NB_WATER_AFTER);
}

#endif

typedef struct {
    NB_REAL intensity; /* sum of w F^2 L^2, electrons^2 */
    NB_REAL omega_sum; /* solid angles of all sub-pixels and layers, sr */
    NB_REAL omega;     /* of the first sub-pixel of the first layer, sr */
    NB_REAL polar;     /* of the first source reached; 0: none was yet */
    NB_REAL capture;   /* of the first sub-pixel of the last layer */
    NB_REAL water;     /* sum of weight capture polarization omega, for NB_WATER_AFTER */
} NB_R(nb_pixel);

/* Before the first sample; start: nb_pixel_background.  omega and capture are set by the first nb_pixel_point, water is not
 * looked at unless it is NB_WATER_AFTER: every store counts where a pixel has one sample. */
NB_FN void NB_R(nb_pixel_start)(const nb_scene *s, double start, NB_R(nb_pixel) *p)
{
    p->intensity = NB_SET(start);
    p->omega_sum = NB_SET(0.0);
    p->polar = NB_SET(s->nopolar ? 1.0 : 0.0);
    if (s->water_mode == NB_WATER_AFTER) p->water = NB_SET(0.0);
}

/* At a sub-pixel, `first` the first of its layer. */
NB_FN void NB_R(nb_pixel_point)(const nb_scene *s, int layer, int first, NB_REAL omega, NB_REAL capture, NB_R(nb_pixel) *p)
{
    if (first && layer == 0) p->omega = omega;
    if (first) p->capture = capture;
    p->omega_sum += s->oversample_omega ? omega : p->omega;
}

/* Keeps the polarization of the first source that was reached, for a pixel that has none yet. */
NB_FN void NB_R(nb_pixel_polarize)(NB_REAL polar, NB_MASK reached, NB_R(nb_pixel) *p)
{
    p->polar = NB_SELECT((p->polar == 0.0) & reached, polar, p->polar);
}

/* w of a source's samples; weight: the source's, 0 where a sample is not kept. */
NB_FN NB_REAL NB_R(nb_sample_weight)(const nb_scene *s, NB_REAL weight, NB_REAL capture, NB_REAL polar, NB_REAL omega)
{
    if (s->oversample_thick) weight *= capture;
    if (s->oversample_polar) weight *= polar;
    if (s->oversample_omega) weight *= omega;
    return weight;
}

/* What a source adds to the light on the water, which no resolution limit takes away. */
NB_FN void NB_R(nb_pixel_wet)(const nb_scene *s, double weight, NB_REAL capture, NB_REAL polar, NB_REAL omega,
                              NB_R(nb_pixel) *p)
{
    if (s->water_mode == NB_WATER_AFTER) p->water += weight * capture * polar * omega;
}

/* Photons; scale: nb_photon_scale, wet: nb_water_scale. */
NB_FN NB_REAL NB_R(nb_pixel_photons)(const nb_scene *s, double scale, double wet, const NB_R(nb_pixel) *p)
{
    NB_REAL v = scale * p->intensity;
    if (!s->oversample_thick) v *= p->capture;
    if (!s->oversample_polar) v *= p->polar;
    if (!s->oversample_omega) v *= p->omega;
    return v + (s->water_mode == NB_WATER_AFTER ? wet * p->water : NB_SET(0.0));
}
