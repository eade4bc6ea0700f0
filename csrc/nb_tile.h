/* Works on a tile: up to NB_TILE pixels of one panel, one to a lane, from their places to their photons.
 *
 * A lane's value depends on nothing but its pixel; the last vector of a short tile is padded with copies of its last pixel.
 * Geometry once per sub-pixel, q once per source, then for every crystal one vector loop over the lanes for every
 * orientation (nb_orient.h).  Included by nb_image.c alone. */
#ifndef NB_TILE_H
#define NB_TILE_H

#include "nb_render.h"
#include "nb_walk.h"

typedef struct {
    double x[NB_TILE], y[NB_TILE], z[NB_TILE];
    int lanes; /* in use: a whole number of vectors */
} __attribute__((aligned(64))) nb_q;

/* the formulas and the inner loop for vectors of double ... */
#include "nb_as_vd.h"
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_line.h"
#include "nb_sample.h"
#include "nb_pixel.h"
#include "nb_spectral.h"
#include "nb_orient.h"
#include "nb_channels.h"
#include "nb_undefine.h"

/* ... and of float */
#include "nb_as_vf.h"
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_line.h"
#include "nb_fixed.h"
#include "nb_orient.h"
#include "nb_channels.h"
#include "nb_undefine.h"

#include "nb_spectral.h"

typedef struct {
    nb_places at;
    double px[NB_TILE], py[NB_TILE], pz[NB_TILE]; /* position, then the unit vector d */
    double omega[NB_TILE], capture[NB_TILE], polar[NB_TILE], keep[NB_TILE], sum[NB_TILE];
    double path[NB_TILE]; /* in one layer of the sensor, m: of panels with source_mu */
    nb_q q;
    int64_t bad[NB_TILE], limit[NB_TILE];
    nb_captures_vd captures[NB_TILE / NB_LANES];
    nb_pixel_vd p[NB_TILE / NB_LANES]; /* vector by vector: what a pixel adds up to */
} __attribute__((aligned(64))) nb_tile; /* every array starts on a vector's boundary */

/* Positions that take more than a few products: of curved panels and of layers at their mean depth.  Not in the loop of
 * the others, which it would slow down. */
static void tile_positions(const nb_panel *p, nb_tile *t, int layer, double f0, double s0)
{
    if (p->curved == NB_FLAT)
        for (int i = 0; i < t->q.lanes; i += NB_LANES) {
            nb_vd P[3];
            nb_layer_position_vd(p, p->pixel[0] * nb_load_vd(t->at.f + i) + f0, p->pixel[1] * nb_load_vd(t->at.s + i) + s0, layer, P);
            nb_store_vd(t->px + i, P[0]);
            nb_store_vd(t->py + i, P[1]);
            nb_store_vd(t->pz + i, P[2]);
        }
    else
        for (int i = 0; i < t->q.lanes; i++) {
            double P[3];
            nb_position(p, p->pixel[0] * t->at.f[i] + f0, p->pixel[1] * t->at.s[i] + s0, layer, P);
            t->px[i] = P[0], t->py[i] = P[1], t->pz[i] = P[2];
        }
}

/* Directions and solid angles of the points f0, s0 (m) beyond the corners of the tile's pixels. */
static void tile_points(const nb_panel *given, nb_tile *t, int layer, double f0, double s0)
{
    const nb_panel p = *given; /* which no store changes */
    const double deep = layer * p.layer_step;
    const int fronts = p.curved == NB_FLAT && !nb_at_mean_depth(&p), lanes = t->q.lanes;
    if (!fronts) tile_positions(given, t, layer, f0, s0);
NB_ROLLED
    for (int i = 0; i < lanes; i += NB_LANES) {
        nb_vd P[3];
        if (fronts) nb_position_flat_vd(&p, p.pixel[0] * nb_load_vd(t->at.f + i) + f0, p.pixel[1] * nb_load_vd(t->at.s + i) + s0, deep, P);
        else P[0] = nb_load_vd(t->px + i), P[1] = nb_load_vd(t->py + i), P[2] = nb_load_vd(t->pz + i);
        const nb_vd per_R = nb_rsqrt_vd(P[0] * P[0] + P[1] * P[1] + P[2] * P[2]);
        nb_store_vd(t->omega + i, nb_solid_angle_vd(&p, per_R));
        nb_store_vd(t->px + i, P[0] * per_R);
        nb_store_vd(t->py + i, P[1] * per_R);
        nb_store_vd(t->pz + i, P[2] * per_R);
    }
}

static void tile_geometry(const nb_scene *s, const nb_panel *p, nb_tile *t, int layer, int sub_s, int sub_f)
{
    tile_points(p, t, layer, nb_sub_pixel(s, p, 0, sub_f), nb_sub_pixel(s, p, 1, sub_s));
}

/* The sub-pixel's solid angle and capture to the pixels. */
static void tile_point(const nb_scene *given, nb_tile *t, int layer, int first)
{
    const nb_scene s = *given; /* which no store changes */
    const int lanes = t->q.lanes;
    nb_pixel_vd *pixel = t->p;
    for (int i = 0; i < lanes; i += NB_LANES, pixel++)
        nb_pixel_point_vd(&s, layer, first, nb_load_vd(t->omega + i), nb_load_vd(t->capture + i), pixel);
}

static void tile_capture(const nb_panel *p, nb_tile *t, int layer)
{
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        const nb_vd d[3] = {nb_load_vd(t->px + i), nb_load_vd(t->py + i), nb_load_vd(t->pz + i)};
        nb_store_vd(t->capture + i, nb_capture_vd(p, p->mu, layer, d));
    }
}

/* q and whether the sample is kept (dmin) */
static void tile_scattering(const nb_scene *s, nb_tile *t, const nb_source *source)
{
    const double in[3] = {source->incident[0], source->incident[1], source->incident[2]}; /* which no store changes */
    const double per_wavelength = 1.0 / source->wavelength;
    const int lanes = t->q.lanes, limited = s->dmin > 0.0;
    for (int i = 0; i < lanes; i += NB_LANES) {
        const nb_vd x = (nb_load_vd(t->px + i) - in[0]) * per_wavelength;
        const nb_vd y = (nb_load_vd(t->py + i) - in[1]) * per_wavelength;
        const nb_vd z = (nb_load_vd(t->pz + i) - in[2]) * per_wavelength;
        nb_store_vd(t->q.x + i, x);
        nb_store_vd(t->q.y + i, y);
        nb_store_vd(t->q.z + i, z);
        if (limited) {
            const nb_vdmask keep = nb_resolved_vd(s, x * x + y * y + z * z);
            nb_store_vd(t->keep + i, nb_select_vd(keep, 1.0 - (nb_vd){0}, (nb_vd){0}));
        }
    }
}

/* Polarization of this sample, where it is not known already; axes: the source's. */
static void tile_polarization(const nb_scene *s, nb_tile *t, const nb_source *source, const nb_axes *axes)
{
    int known = !s->oversample_polar && s->water_mode != NB_WATER_AFTER;
    for (const nb_pixel_vd *p = t->p; known && p < t->p + t->q.lanes / NB_LANES; p++) known = !nb_bits_vd(p->polar == 0.0);
    if (s->nopolar || known) return;
    const nb_source from = *source; /* which no store changes */
    const nb_axes about = *axes;
    const double K = s->polarization;
    const int lanes = t->q.lanes, each = s->oversample_polar; /* then the first is not looked at */
    nb_pixel_vd *p = t->p;
    for (int i = 0; i < lanes; i += NB_LANES, p++) {
        const nb_vd d[3] = {nb_load_vd(t->px + i), nb_load_vd(t->py + i), nb_load_vd(t->pz + i)};
        const nb_vd polar = nb_polarization_vd(K, from.incident, &about, d);
        nb_store_vd(t->polar + i, polar);
        if (!each) nb_pixel_polarize_vd(polar, nb_load_vd(t->keep + i) != 0.0, p);
    }
}

/* Whether no sample of the tile can have a structure factor; reach: of q, or of what stands in its place. */
static int tile_beyond(double reach, const nb_tile *t)
{
    if (isinf(reach)) return 0;
    const double reach_sqr = reach * reach;
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        const nb_vd x = nb_load_vd(t->q.x + i), y = nb_load_vd(t->q.y + i), z = nb_load_vd(t->q.z + i);
        if (nb_bits_vd(x * x + y * y + z * z <= reach_sqr)) return 0;
    }
    return 1;
}

/* Up to which orientation of a crystal, the first of sequence number `base`, the samples of each lane are interpolated. */
static void tile_limits(const nb_block *c, const nb_cut *cut, nb_tile *t, int64_t base)
{
    const int64_t all = c->crystal->orientations;
    const int ends = c->interpolation == NB_TRICUBIC;
    for (int i = 0; i < t->q.lanes; i++) {
        int64_t limit = all;
        if (ends && t->at.pixel[i] > cut->pixel) limit = -1;
        else if (ends && t->at.pixel[i] == cut->pixel) limit = cut->sequence - base;
        /* a sample beyond dmin is never looked at, so it must not end the interpolation */
        if (limit < -1 || t->keep[i] == 0.0) limit = -1;
        t->limit[i] = limit > all ? all : limit;
    }
}

/* Adds a crystal's F^2 L^2 to the sums of the tile; searching: samples that cannot be interpolated are noted. */
static void tile_crystal(const nb_scene *s, const nb_block *c, const nb_cut *cut, int searching, nb_tile *t,
                         const nb_source *source, int64_t base, int precision)
{
    const nb_table *table = s->table + c->crystal->table + source->table;
    const int64_t *limit = NULL;
    int64_t *bad = searching && c->interpolation == NB_TRICUBIC ? t->bad : NULL;
    if (c->interpolation != NB_NEAREST) {
        tile_limits(c, cut, t, base);
        limit = t->limit;
    }
    if (tile_beyond(table->F_reach, t)) return; /* all that would be added is 0 */
    if (precision == NB_MIXED) nb_sum_orientations_vf(table, c, &t->q, t->sum, limit, bad, base);
    else nb_sum_orientations_vd(table, c, &t->q, t->sum, limit, bad, base);
}

/* A run of sources: u = d - i in the place of q, and whether the sample is kept at its lowest wavenumber. */
static void tile_line(const nb_scene *s, nb_tile *t, const nb_source *source)
{
    const double *in = source->incident, low_sqr = source->range[0] * source->range[0];
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        const nb_vd x = nb_load_vd(t->px + i) - in[0], y = nb_load_vd(t->py + i) - in[1], z = nb_load_vd(t->pz + i) - in[2];
        nb_store_vd(t->q.x + i, x);
        nb_store_vd(t->q.y + i, y);
        nb_store_vd(t->q.z + i, z);
        if (s->dmin > 0.0) {
            const nb_vdmask keep = nb_resolved_vd(s, low_sqr * (x * x + y * y + z * z));
            nb_store_vd(t->keep + i, nb_select_vd(keep, 1.0 - (nb_vd){0}, (nb_vd){0}));
        }
    }
}

/* Adds a crystal's F^2 L^2 under a run of sources. */
static void tile_crystal_line(const nb_scene *s, const nb_block *c, const nb_run *run, nb_tile *t, int precision)
{
    const nb_table *table = s->table + c->crystal->table;
    const double low = run->span.middle + run->span.low;
    double reach = 0.0;
    for (int64_t j = 0; j < run->channels; j++) reach = fmax(reach, table[run->channel[j].table].F_reach);
    if (tile_beyond(reach / low, t)) return;
    nb_sum_spectrum(s, c, run, &t->q, t->sum, precision);
}

/* One source, or run of sources, at one sub-pixel: what its samples add to the pixels; weight: of a sample, light: of all
 * that shines on the water. */
static void tile_weigh(const nb_scene *given, nb_tile *t, double weight, double light)
{
    const nb_scene s = *given; /* which no store changes */
    const int lanes = t->q.lanes, wet = s.water != 0.0;
    nb_pixel_vd *p = t->p;
    for (int i = 0; i < lanes; i += NB_LANES, p++) {
        const nb_vd polar = nb_load_vd(t->polar + i), omega = nb_load_vd(t->omega + i);
        const nb_vd capture = nb_load_vd(t->capture + i);
        const nb_vd w = nb_sample_weight_vd(&s, weight * nb_load_vd(t->keep + i), capture, polar, omega);
        p->intensity += w * nb_load_vd(t->sum + i);
        if (wet) nb_pixel_wet_vd(&s, light, capture, polar, omega, p);
    }
}

/* The sensor's layer at a sub-pixel; of: all that its pixels share. */
static nb_sensor tile_sensor(const nb_panel *p, const nb_sensor *of, int layer, nb_tile *t)
{
    nb_sensor sensor = *of;
    sensor.layer = layer;
    sensor.path = t->path;
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        const nb_vd x = nb_load_vd(t->px + i), y = nb_load_vd(t->py + i), z = nb_load_vd(t->pz + i);
        nb_store_vd(t->path + i, p->layer_step / (x * p->odet[0] + y * p->odet[1] + z * p->odet[2]));
    }
    return sensor;
}

/* Before the sources, one by one ... */
static void tile_prepare_captures(const nb_sensor *sensor, nb_tile *t)
{
    for (int i = 0; i < t->q.lanes; i += NB_LANES) {
        t->captures[i / NB_LANES].path[0] = nb_load_vd(t->path + i);
        nb_prepare_captures_vd(sensor, t->captures + i / NB_LANES);
    }
}

/* ... and of each of them. */
static void tile_captured(const nb_sensor *sensor, double mu, nb_tile *t)
{
    for (int i = 0; i < t->q.lanes; i += NB_LANES)
        nb_store_vd(t->capture + i, nb_captured_vd(t->captures + i / NB_LANES, sensor, mu));
}

/* tile_weigh of a run whose channels are captured each in its own way, which the samples' sums hold already. */
static void tile_weigh_run(const nb_scene *s, const nb_panel *p, int layer, nb_tile *t, const nb_run *run)
{
    const nb_vd one = 1.0 - (nb_vd){0};
    nb_pixel_vd *pixel = t->p;
    for (int i = 0; i < t->q.lanes; i += NB_LANES, pixel++) {
        const nb_vd polar = nb_load_vd(t->polar + i), omega = nb_load_vd(t->omega + i);
        pixel->intensity += nb_sample_weight_vd(s, nb_load_vd(t->keep + i), one, polar, omega) * nb_load_vd(t->sum + i);
        if (s->water_mode != NB_WATER_AFTER || s->water == 0.0) continue;
        const nb_vd d[3] = {nb_load_vd(t->px + i), nb_load_vd(t->py + i), nb_load_vd(t->pz + i)};
        nb_vd light = {0};
        for (const nb_channel *c = run->channel; c < run->channel + run->channels; c++)
            light += c->weight * nb_capture_vd(p, p->source_mu[c->source], layer, d);
        nb_pixel_wet_vd(s, 1.0, light, polar, omega, pixel);
    }
}

#endif
