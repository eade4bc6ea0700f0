/* nb_diffuse.c's image for complex numbers; contract in nb_diffuse_slope.h, arrangement as nb_backdrop_slope.c. */
#include <complex.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_render.h"

#define NB_STAY_COMPLEX
#include "nb_diffuse_slope.h"

#define NB_RE(x) creal(x)
#include "nb_basics.h"

#include "nb_as_c.h"
#include "nb_sample.h"
#include "nb_curved.h"
#include "nb_background.h"

/* F of a whole index, 0 where it is not listed. */
static double listed(const nb_table *t, const double index[3])
{
    int64_t place = 0;
    for (int r = 0; r < 3; r++) {
        const int64_t i = (int64_t)creal(index[r]) - t->F_min[r];
        if (i < 0 || i >= t->F_count[r]) return 0.0;
        place = place * t->F_count[r] + i;
    }
    return t->F[place];
}
#define NB_LISTED listed
#include "nb_motion.h"

static double of_pixel(const nb_scene *s, const nb_diffuse *d, const nb_panel *p, int64_t fast, int64_t slow)
{
    const double step[2] = {p->pixel[0] / d->oversample, p->pixel[1] / d->oversample};
    const double corner[2] = {p->pixel[0] * (p->first[0] + fast), p->pixel[1] * (p->first[1] + slow)};
    double sum = 0.0;
    for (int layer = 0; layer < p->layers; layer++)
        for (int sub_s = 0; sub_s < d->oversample; sub_s++)
            for (int sub_f = 0; sub_f < d->oversample; sub_f++) {
                double P[3], direction[3];
                nb_position(p, corner[0] + (sub_f + 0.5) * step[0], corner[1] + (sub_s + 0.5) * step[1], layer, P);
                const double light = nb_light_d(p, layer, NULL, P, direction);
                for (const nb_source *source = s->source; source < s->source + s->sources; source++) {
                    double q[3], w = source->weight * nb_caught_d(p, (int)(source - s->source), layer, direction, light);
                    for (int j = 0; j < 3; j++) q[j] = (direction[j] - source->incident[j]) / source->wavelength;
                    if (creal(s->dmin) > 0.0 && !nb_resolved_d(s, q[0] * q[0] + q[1] * q[1] + q[2] * q[2])) continue;
                    if (!s->nopolar) {
                        const nb_axes axes = nb_axes_of(s->polar_vector, source->incident);
                        w *= nb_polarization_d(s->polarization, source->incident, &axes, direction);
                    }
                    sum += w * nb_diffused_by_all_d(s, d, source, q);
                }
            }
    return NB_R_E_SQR / (s->sources * (d->oversample * d->oversample)) * sum;
}

int nb_diffuse_slopes(const nb_scene *s, const nb_diffuse *d, const nb_diffuse_slopes_job *job)
{
#ifdef _OPENMP
    const int threads = job->threads > 0 ? job->threads : omp_get_max_threads();
#endif
    for (const nb_panel *p = s->panel; p < s->panel + s->panels; p++) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
#endif
        for (int64_t slow = p->roi[2]; slow <= p->roi[3]; slow++) {
            int64_t done = 0;
            for (int64_t fast = p->roi[0]; fast <= p->roi[1]; fast++) {
                const int64_t place = slow * p->fpixels + fast;
                if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED) || (p->mask && !p->mask[place])) continue;
                const double value = of_pixel(s, d, p, fast, slow);
                job->rate[p->offset + place] = cimag(value) / job->step;
                if (job->value) job->value[p->offset + place] = creal(value);
                done++;
            }
            __atomic_fetch_add(job->progress, done, __ATOMIC_RELAXED);
        }
    }
    return __atomic_load_n(job->cancel, __ATOMIC_RELAXED) ? NB_CANCELLED : NB_OK;
}
