/* The images behind an image, on a GPU: contract in nb_backdrop.h, formulas in nb_background.h and nb_transmission.h.
 *
 * Compiled at run time (NVRTC) with NB_THREADS, threads of a block.  One thread for a pixel of one panel's roi, in raster
 * order from slot `first` on; it visits layers, sub-pixels, places, sources and scatterers in the order of nb_backdrop.c.
 * Pointers in the structs are device addresses; panel and scene come by value. */
#include "nb_cuda_types.h"
#include "nb_backdrop.h"
#include "nb_physics.h"

#include "nb_as_d.h"
#include "nb_background.h"
#include "nb_transmission.h"
#include "nb_undefine.h"

#ifndef NB_THREADS
#define NB_THREADS 128
#endif

typedef struct {
    double background, fixed, transmission;
} nb_sums;

/* What one source adds at P in a layer of a panel, seen from a place along d with that light.  Returns s. */
NB_FN double nb_add_source(const nb_scene *s, const nb_backdrop *b, const nb_obstacles *o, const nb_panel *p, int layer,
                           int number, const nb_place *place, const double P[3], const double d[3], double light, int counted,
                           nb_sums *sum)
{
    const nb_source *source = s->source + number;
    double plain = source->weight * nb_caught_d(p, number, layer, d, light);
    if (o) {
        const double passed = nb_transmission_d(o, number, source->incident, place->at, P);
        plain *= passed;
        if (counted) sum->transmission += source->weight * passed;
    }
    const nb_axes axes = nb_axes_of(s->polar_vector, source->incident);
    const double polarized = s->nopolar ? plain : plain * nb_polarization_d(s->polarization, source->incident, &axes, d);
    const double stol = nb_stol_d(0.5 / source->wavelength, source->incident, d);
    for (int i = place->first; i < place->first + place->count; i++) {
        const nb_scatterer *one = b->scatterer + i;
        const nb_curve *c = b->curve + one->curve;
        const int32_t j = nb_piece(c, stol, c->steps);
        const double v = nb_scattered_d(c->cubic + 4 * (int64_t)j, stol - c->knot[j], one->squared, one->amount,
                                        one->polarized ? polarized : plain);
        if (one->fixed) sum->fixed += v;
        else sum->background += v;
    }
    return stol;
}

/* Counts a pixel whose first sample is at s. */
NB_FN void nb_count_outside(const nb_backdrop *b, double stol, unsigned long long *outside)
{
    for (int c = 0; c < b->curves; c++)
        if (stol < b->curve[c].least || stol > b->curve[c].most) atomicAdd(outside + c, 1ULL);
}

/* Images may be NULL; outside: [curves], added to. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, 3) /* without it registers are spilled on sm_80 */
nb_behind(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_panel panel,
          const __grid_constant__ nb_backdrop backdrop, int64_t number, int64_t first, double *transmission,
          double *background, double *fixed, unsigned long long *outside)
{
    const nb_scene *s = &scene;
    const nb_panel *p = &panel;
    const nb_backdrop *b = &backdrop;
    const int64_t width = p->roi[1] - p->roi[0] + 1, height = p->roi[3] - p->roi[2] + 1;
    const int64_t slot = first + (int64_t)blockIdx.x * NB_THREADS + threadIdx.x;
    if (slot >= width * height) return;
    const int fast = p->roi[0] + (int)(slot % width), slow = p->roi[2] + (int)(slot / width);
    const int64_t at = (int64_t)slow * p->fpixels + fast;
    if (p->mask && !p->mask[at]) return;
    const nb_obstacles *o = b->obstacles ? b->obstacles + number : NULL;
    const double step[2] = {p->pixel[0] / b->oversample, p->pixel[1] / b->oversample};
    nb_sums sum = {0.0, 0.0, 0.0};
    for (int layer = 0; layer < p->layers; layer++)
        for (int sub_s = 0; sub_s < b->oversample; sub_s++)
            for (int sub_f = 0; sub_f < b->oversample; sub_f++) {
                const double F = p->pixel[0] * ((double)p->first[0] + fast) + (0.5 * step[0] + step[0] * sub_f);
                const double S = p->pixel[1] * ((double)p->first[1] + slow) + (0.5 * step[1] + step[1] * sub_s);
                double P[3];
                nb_position(p, F, S, layer, P);
                for (int i = 0; i < b->places; i++) {
                    const nb_place *place = b->place + i;
                    double d[3];
                    const double light = nb_light_d(p, layer, i ? place->at : NULL, P, d);
                    const int counted = i == 0 && layer == 0;
                    for (int k = 0; k < s->sources; k++) {
                        const double stol = nb_add_source(s, b, o, p, layer, k, place, P, d, light, counted, &sum);
                        if (counted && sub_s == 0 && sub_f == 0 && k == 0) nb_count_outside(b, stol, outside);
                    }
                }
            }
    const double share = 1.0 / ((double)s->sources * b->oversample * b->oversample);
    if (transmission) transmission[p->offset + at] = share * sum.transmission;
    if (background) background[p->offset + at] = NB_R_E_SQR * share * sum.background;
    if (fixed) fixed[p->offset + at] = share * sum.fixed;
}

#ifdef NB_HOST
/* As of nb_render.cu. */
extern "C" int nb_host_launch(const char *name, const uint32_t *grid, uint32_t threads, void **arguments)
{
    if (!strcmp(name, "nb_behind")) return nb_host::launch(nb_behind, grid, threads, arguments);
    return 2;
}
#endif
