/* The diffuse scattering of crystals, compiled once per instruction set like nb_image.c; contract in nb_diffuse.h, formulas in
 * nb_motion.h.
 *
 * Units and tiles of pixels as in nb_backdrop.c.  A pixel's value depends on nothing else. */
#include "nb_diffuse.h"

#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_backdrop.h"
#include "nb_render.h"
#include "nb_walk.h"

#include "nb_as_vd.h"
#include "nb_math.h"
#include "nb_sample.h"
#include "nb_background.h"
#define NB_LISTED(t, index) nb_gather(t->F, nb_table_place_vd(t, index), nb_in_table_vd(t, index), (nb_vd){0})
#include "nb_motion.h"
#include "nb_undefine.h"

#define NB_UNIT 512 /* pixels handed to a thread at once */

typedef struct {
    nb_places at;
    double P[3][NB_TILE]; /* a point on the pixel */
    double sum[NB_TILE];
} __attribute__((aligned(64))) nb_tile;

static void tile_points(const nb_panel *p, nb_tile *t, int layer, double f0, double s0)
{
    for (int i = 0; i < t->at.lanes; i += NB_LANES) {
        const nb_vd F = p->pixel[0] * nb_load_vd(t->at.f + i) + f0, S = p->pixel[1] * nb_load_vd(t->at.s + i) + s0;
        nb_vd P[3] = {F, F, F};
        if (p->curved == NB_FLAT) nb_layer_position_vd(p, F, S, layer, P);
        for (int lane = 0; p->curved != NB_FLAT && lane < NB_LANES; lane++) {
            double point[3];
            nb_position(p, F[lane], S[lane], layer, point);
            for (int j = 0; j < 3; j++) P[j][lane] = point[j];
        }
        for (int j = 0; j < 3; j++) nb_store_vd(t->P[j] + i, P[j]);
    }
}

static void tile_sources(const nb_scene *s, const nb_diffuse *d, const nb_panel *p, nb_tile *t, int layer)
{
    for (int i = 0; i < t->at.lanes; i += NB_LANES) {
        const nb_vd P[3] = {nb_load_vd(t->P[0] + i), nb_load_vd(t->P[1] + i), nb_load_vd(t->P[2] + i)};
        nb_vd direction[3], sum = nb_load_vd(t->sum + i);
        const nb_vd light = nb_light_vd(p, layer, NULL, P, direction);
        for (const nb_source *source = s->source; source < s->source + s->sources; source++) {
            const double per_wavelength = 1.0 / source->wavelength;
            nb_vd q[3];
            for (int j = 0; j < 3; j++) q[j] = (direction[j] - source->incident[j]) * per_wavelength;
            nb_vd w = source->weight * nb_caught_vd(p, (int)(source - s->source), layer, direction, light);
            if (!s->nopolar) {
                const nb_axes axes = nb_axes_of(s->polar_vector, source->incident);
                w *= nb_polarization_vd(s->polarization, source->incident, &axes, direction);
            }
            if (s->dmin > 0.0)
                w = nb_select_vd(nb_resolved_vd(s, q[0] * q[0] + q[1] * q[1] + q[2] * q[2]), w, (nb_vd){0});
            sum += w * nb_diffused_by_all_vd(s, d, source, q);
        }
        nb_store_vd(t->sum + i, sum);
    }
}

/* The pixels of a tile. */
static void work_tile(const nb_scene *s, const nb_diffuse *d, const nb_panel *p, nb_tile *t, const nb_diffuse_job *job)
{
    const double step[2] = {p->pixel[0] / d->oversample, p->pixel[1] / d->oversample};
    for (int i = 0; i < t->at.lanes; i++) t->sum[i] = 0.0;
    for (int layer = 0; layer < p->layers; layer++)
        for (int sub_s = 0; sub_s < d->oversample; sub_s++)
            for (int sub_f = 0; sub_f < d->oversample; sub_f++) {
                if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED)) return;
                tile_points(p, t, layer, 0.5 * step[0] + step[0] * sub_f, 0.5 * step[1] + step[1] * sub_s);
                tile_sources(s, d, p, t, layer);
            }
    const double share = NB_R_E_SQR / ((double)s->sources * d->oversample * d->oversample);
    for (int i = 0; i < t->at.count; i++) job->image[t->at.pixel[i] - job->origin] = share * t->sum[i];
}

#define NB_CAT_(a, b) a##b
#define NB_CAT(a, b) NB_CAT_(a, b)

int NB_CAT(nb_diffuse_, NB_ISA)(const nb_scene *s, const nb_diffuse *d, nb_diffuse_job *job)
{
    const int64_t units = nb_units(s, NB_UNIT);
    int failed = 0;
#ifdef _OPENMP
    const int threads = job->threads > 0 ? job->threads : omp_get_max_threads();
#pragma omp parallel num_threads(threads)
#endif
    {
        nb_tile *tile = aligned_alloc(64, sizeof(nb_tile));
        if (!tile) __atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
#pragma omp for schedule(dynamic, 1)
        for (int64_t u = 0; u < units; u++) {
            nb_walk walk = nb_walk_unit(s, NB_UNIT, u);
            while (tile && walk.index < walk.end && !__atomic_load_n(job->cancel, __ATOMIC_RELAXED)) {
                const int64_t before = walk.index;
                nb_fill_places(&tile->at, &walk);
                work_tile(s, d, walk.panel, tile, job);
                __atomic_fetch_add(job->progress, walk.index - before, __ATOMIC_RELAXED);
            }
        }
        free(tile);
    }
    if (failed) return NB_NO_MEMORY;
    return __atomic_load_n(job->cancel, __ATOMIC_RELAXED) ? NB_CANCELLED : NB_OK;
}
