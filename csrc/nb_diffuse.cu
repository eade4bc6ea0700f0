/* The diffuse scattering of crystals, on a GPU: contract in nb_diffuse.h, formulas in nb_motion.h.
 *
 * Compiled at run time (NVRTC) with NB_THREADS, threads of a block.  One thread for a pixel of one panel's roi, in raster
 * order from slot `first` on; it visits layers, sub-pixels, sources, crystals and orientations in the order of nb_diffuse.c.
 * Pointers in the structs are device addresses, lists of structure factors doubles. */
#include "nb_cuda_types.h"
#include "nb_backdrop.h"
#include "nb_diffuse.h"
#include "nb_physics.h"

#include "nb_as_d.h"
#include "nb_background.h"
#define NB_LISTED(t, index) (nb_in_table_d(t, index) ? (t)->F[(int64_t)nb_table_place_d(t, index)] : 0.0)
#include "nb_motion.h"
#include "nb_undefine.h"

#ifndef NB_THREADS
#define NB_THREADS 128
#endif

/* image: of the pixels that are rendered transmission times the scattering plus background, of which each may be NULL. */
extern "C" __global__ void __launch_bounds__(NB_THREADS, 2)
nb_diffuse_light(const __grid_constant__ nb_scene scene, const __grid_constant__ nb_panel panel,
                 const __grid_constant__ nb_diffuse diffuse, int64_t first, const double *transmission,
                 const double *background, double *image)
{
    const nb_scene *s = &scene;
    const nb_panel *p = &panel;
    const nb_diffuse *d = &diffuse;
    const int64_t width = p->roi[1] - p->roi[0] + 1, height = p->roi[3] - p->roi[2] + 1;
    const int64_t slot = first + (int64_t)blockIdx.x * NB_THREADS + threadIdx.x;
    if (slot >= width * height) return;
    const int fast = p->roi[0] + (int)(slot % width), slow = p->roi[2] + (int)(slot / width);
    const int64_t at = (int64_t)slow * p->fpixels + fast;
    if (p->mask && !p->mask[at]) return;
    const double step[2] = {p->pixel[0] / d->oversample, p->pixel[1] / d->oversample};
    double sum = 0.0;
    for (int layer = 0; layer < p->layers; layer++)
        for (int sub_s = 0; sub_s < d->oversample; sub_s++)
            for (int sub_f = 0; sub_f < d->oversample; sub_f++) {
                const double F = p->pixel[0] * ((double)p->first[0] + fast) + (0.5 * step[0] + step[0] * sub_f);
                const double S = p->pixel[1] * ((double)p->first[1] + slow) + (0.5 * step[1] + step[1] * sub_s);
                double P[3], direction[3];
                nb_position(p, F, S, layer, P);
                const double light = nb_light_d(p, layer, NULL, P, direction);
                for (int i = 0; i < s->sources; i++) {
                    const nb_source *source = s->source + i;
                    const double per_wavelength = 1.0 / source->wavelength;
                    double q[3], w = source->weight * nb_caught_d(p, i, layer, direction, light);
                    for (int j = 0; j < 3; j++) q[j] = (direction[j] - source->incident[j]) * per_wavelength;
                    if (s->dmin > 0.0 && !nb_resolved_d(s, nb_dot(q, q))) continue;
                    if (!s->nopolar) {
                        const nb_axes axes = nb_axes_of(s->polar_vector, source->incident);
                        w *= nb_polarization_d(s->polarization, source->incident, &axes, direction);
                    }
                    sum += w * nb_diffused_by_all_d(s, d, source, q);
                }
            }
    const int64_t pixel = p->offset + at;
    const double value = NB_R_E_SQR / ((double)s->sources * d->oversample * d->oversample) * sum;
    image[pixel] = (transmission ? transmission[pixel] : 1.0) * value + (background ? background[pixel] : 0.0);
}

#ifdef NB_HOST
/* As of nb_render.cu. */
extern "C" int nb_host_launch(const char *name, const uint32_t *grid, uint32_t threads, void **arguments)
{
    if (!strcmp(name, "nb_diffuse_light")) return nb_host::launch(nb_diffuse_light, grid, threads, arguments);
    return 2;
}
#endif
