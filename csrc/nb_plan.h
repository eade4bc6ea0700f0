/* What all tiles of a render share, and what becomes of a tile's pixels.  Included by nb_image.c alone. */
#ifndef NB_PLAN_H
#define NB_PLAN_H

#include "nb_tree.h"

/* How samples are left out. */
typedef struct {
    int edge;              /* of a patch, in pixels; 0: all samples are evaluated */
    nb_rules rules;        /* from which pixels take what they need; none: all sub-pixels */
    const nb_sight *sight; /* [crystals] */
    double wavenumber;     /* largest of the sources' */
    const nb_most *most;   /* [tables] */
    const nb_limits *limits; /* [crystals], as they begin */
    int64_t words;         /* of bits, one for each orientation of the largest crystal under each source */
} nb_sparse;

#define NB_UNIT 1024 /* pixels handed to a thread at once; a tile where there are few */

typedef struct {
    const nb_scene *s;
    nb_block *block; /* [crystals] */
    int64_t unit;    /* pixels of a unit of work; the last of a panel has what is left */
    int64_t units;   /* of all panels */
    double scale, background;
    int searching;   /* 1: interpolate everything and look for the cut; 0: the cut is known */
    nb_cut cut;
    int64_t cut_unit; /* the unit it lies in */
    nb_axes *axes;       /* [sources] */
    nb_channel *channel; /* [sources], where a spectrum is not rendered directly */
    nb_sensor *sensor;   /* [panels] */
    nb_sparse sparse;
    double *left;        /* [crystals], photons that samples left out amount to, at most */
} nb_plan;

/* Whether nothing of what the tile's pixels scatter arrives. */
static int tile_is_dark(const nb_scene *s, const nb_tile *t)
{
    int dark = s->transmission != NULL;
    for (int i = 0; dark && i < t->at.count; i++) dark = s->transmission[t->at.pixel[i] - s->behind] == 0.0;
    return dark;
}

/* What stands behind the spots, put to the photons of the tile's pixels. */
static void tile_backdrop(const nb_scene *given, nb_tile *t)
{
    const nb_scene s = *given; /* which no store changes */
    const int64_t first = t->at.pixel[0];
    if (t->at.pixel[t->at.count - 1] - first == t->at.count - 1)
        for (int i = 0; i < t->at.count; i++) t->sum[i] = nb_with_backdrop(&s, t->sum[i], first + i);
    else
        for (int i = 0; i < t->at.count; i++) t->sum[i] = nb_with_backdrop(&s, t->sum[i], t->at.pixel[i]);
}

/* The photons of the tile's pixels, into t->sum; 0 in the padding, whose solid angle counts for nothing either. */
static void tile_photons(const nb_plan *plan, nb_tile *t)
{
    const double wet = nb_water_scale(plan->s);
    const nb_pixel_vd *pixel = t->p;
    for (int i = 0; i < t->q.lanes; i += NB_LANES, pixel++)
        nb_store_vd(t->sum + i, nb_pixel_photons_vd(plan->s, plan->scale, wet, pixel));
    if (nb_has_backdrop(plan->s)) tile_backdrop(plan->s, t);
    for (int i = t->at.count; i < t->q.lanes; i++) t->sum[i] = t->p[i / NB_LANES].omega_sum[i % NB_LANES] = 0.0;
}

/* The tile's pixels into the image and the summary. */
static void store_tile(const nb_plan *plan, const nb_panel *p, nb_tile *t, nb_job *job, nb_summary *r)
{
    float stored[NB_TILE] __attribute__((aligned(64)));
    const double points = (double)p->layers * plan->s->oversample * plan->s->oversample;
    nb_vd omega = {0}, total = {0}, squares = {0}, largest = r->largest - (nb_vd){0};
    nb_vd not_finite = {0};
    tile_photons(plan, t);
    const nb_pixel_vd *pixel = t->p;
    for (int i = 0; i < t->q.lanes; i += NB_LANES, pixel++) {
        const nb_vd v = nb_store_narrow(stored + i, nb_load_vd(t->sum + i));
        total += v;
        squares += v * v;
        omega += pixel->omega_sum;
        largest = nb_larger_vd(v, largest);
        not_finite += v - v;
    }
    const unsigned bad = nb_bits_vd(not_finite != 0.0);
    if (t->at.pixel[t->at.count - 1] - t->at.pixel[0] == t->at.count - 1)
        memcpy(job->image + t->at.pixel[0], stored, (size_t)t->at.count * sizeof *stored);
    else
        for (int i = 0; i < t->at.count; i++) job->image[t->at.pixel[i]] = stored[i];
    if (job->image64)
        for (int i = 0; i < t->at.count; i++) job->image64[t->at.pixel[i]] = t->sum[i];
    if (bad)
        for (int i = 0; i < t->at.count; i++)
            if (!isfinite(stored[i]) && r->nonfinite++ == 0) r->first_nonfinite = t->at.pixel[i];
    for (int i = 0; i < NB_LANES; i++)
        if (largest[i] > r->largest) r->largest = largest[i], r->largest_pixel = -1;
    const float most = (float)r->largest;
    for (int i = 0; r->largest > 0.0 && r->largest_pixel < 0; i += NB_FLANES) {
        const unsigned found = nb_bits_vf(nb_load_vf(stored + i) == most);
        if (found) r->largest_pixel = t->at.pixel[i + __builtin_ctz(found)];
    }
    r->omega += nb_lane_sum(omega) / points;
    r->total += nb_lane_sum(total);
    r->squares += nb_lane_sum(squares);
    r->pixels += t->at.count;
}

#endif
