/* nb_backdrop.c's images for complex numbers; contract in nb_backdrop_slope.h.
 *
 * The formulas are the same headers.  A pixel at a time, since complex numbers have no vectors; rows of pixels are handed to
 * threads, and a pixel's value depends on nothing else. */
#include <complex.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "nb_render.h"

#define NB_STAY_COMPLEX
#include "nb_backdrop_slope.h"

#define NB_RE(x) creal(x)
#include "nb_basics.h"

#include "nb_as_c.h"
#include "nb_sample.h"
#include "nb_curved.h"
#include "nb_background.h"
#include "nb_transmission.h"

/* Sums of one pixel. */
typedef struct {
    double background, fixed, transmission;
} nb_sums;

static double cubic_of(const nb_curve *c, double s, double cubic[4])
{
    const int32_t j = nb_piece(c, s, c->steps);
    for (int k = 0; k < 4; k++) cubic[k] = c->cubic[4 * j + k];
    return s - c->knot[j];
}

/* Light of all sources from one place to P; counted: what is left of it is added to the transmission. */
static void add_place(const nb_scene *s, const nb_backdrop *b, const nb_obstacles *o, const nb_panel *p, int layer,
                      const nb_place *place, const double P[3], int counted, nb_sums *sums)
{
    double d[3], cubic[4];
    const double light = nb_light_d(p, layer, place == b->place ? NULL : place->at, P, d);
    for (int i = 0; i < s->sources; i++) {
        const nb_source *source = s->source + i;
        double plain = source->weight * nb_caught_d(p, i, layer, d, light);
        if (o) {
            const double passed = nb_transmission_d(o, i, source->incident, place->at, P);
            if (counted) sums->transmission += source->weight * passed;
            plain *= passed;
        }
        const nb_axes axes = nb_axes_of(s->polar_vector, source->incident);
        const double polar = s->nopolar ? 1.0 : nb_polarization_d(s->polarization, source->incident, &axes, d);
        const double stol = nb_stol_d(0.5 / source->wavelength, source->incident, d);
        for (const nb_scatterer *one = b->scatterer + place->first; one < b->scatterer + place->first + place->count; one++) {
            const double t = cubic_of(b->curve + one->curve, stol, cubic), lit = one->polarized ? plain * polar : plain;
            *(one->fixed ? &sums->fixed : &sums->background) += nb_scattered_d(cubic, t, one->squared, one->amount, lit);
        }
    }
}

static nb_sums of_pixel(const nb_scene *s, const nb_backdrop *b, const nb_panel *p, int64_t fast, int64_t slow)
{
    const nb_obstacles *o = b->obstacles ? b->obstacles + (p - s->panel) : NULL;
    const double step[2] = {p->pixel[0] / b->oversample, p->pixel[1] / b->oversample};
    const double corner[2] = {p->pixel[0] * (p->first[0] + fast), p->pixel[1] * (p->first[1] + slow)};
    nb_sums sums = {0.0, 0.0, 0.0};
    for (int layer = 0; layer < p->layers; layer++)
        for (int sub_s = 0; sub_s < b->oversample; sub_s++)
            for (int sub_f = 0; sub_f < b->oversample; sub_f++) {
                double P[3];
                nb_position(p, corner[0] + (sub_f + 0.5) * step[0], corner[1] + (sub_s + 0.5) * step[1], layer, P);
                for (int k = 0; k < b->places; k++) {
                    const int counted = k == 0 && layer == 0 && o;
                    if (b->place[k].count || counted) add_place(s, b, o, p, layer, b->place + k, P, counted, &sums);
                }
            }
    const double share = 1.0 / (s->sources * (b->oversample * b->oversample));
    sums.background *= NB_R_E_SQR * share;
    sums.fixed *= share;
    sums.transmission *= share;
    return sums;
}

static void store(const nb_backdrop_slopes_job *job, int64_t pixel, const nb_sums *sums)
{
    const nb_backdrop_planes *r = &job->rates, *v = &job->values;
    const nb_real per_step = 1.0 / job->step;
    if (r->background) r->background[pixel] = cimag(sums->background) * per_step;
    if (r->fixed) r->fixed[pixel] = cimag(sums->fixed) * per_step;
    if (r->transmission) r->transmission[pixel] = cimag(sums->transmission) * per_step;
    if (v->background) v->background[pixel] = creal(sums->background);
    if (v->fixed) v->fixed[pixel] = creal(sums->fixed);
    if (v->transmission) v->transmission[pixel] = creal(sums->transmission);
}

int nb_backdrop_slopes(const nb_scene *s, const nb_backdrop *b, const nb_backdrop_slopes_job *job)
{
#ifdef _OPENMP
    const int threads = job->threads > 0 ? job->threads : omp_get_max_threads();
#endif
    for (int number = 0; number < s->panels; number++) {
        const nb_panel *p = s->panel + number;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
#endif
        for (int64_t slow = p->roi[2]; slow <= p->roi[3]; slow++) {
            if (__atomic_load_n(job->cancel, __ATOMIC_RELAXED)) continue;
            int64_t done = 0;
            for (int64_t fast = p->roi[0]; fast <= p->roi[1]; fast++) {
                const int64_t place = slow * p->fpixels + fast;
                if (p->mask && !p->mask[place]) continue;
                const nb_sums sums = of_pixel(s, b, p, fast, slow);
                store(job, p->offset + place, &sums);
                done++;
            }
            __atomic_fetch_add(job->progress, done, __ATOMIC_RELAXED);
        }
    }
    return __atomic_load_n(job->cancel, __ATOMIC_RELAXED) ? NB_CANCELLED : NB_OK;
}
