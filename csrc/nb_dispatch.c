/* Chooses the instruction set at run time; each level is nb_image.c, nb_backdrop.c, nb_diffuse.c, nb_gradient.c, nb_trace.c and nb_response.c
 * compiled with other flags (see setup.py). */
#include "nb_backdrop.h"
#include "nb_diffuse.h"
#include "nb_gradient.h"
#include "nb_render.h"
#include "nb_response.h"
#include "nb_trace.h"

#include <stdlib.h>

#ifndef NB_FLAGS
#define NB_FLAGS "" /* compiler options of the engine, from setup.py */
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#define NB_DECLARE(isa)                                                                                                \
    int nb_render_##isa(const nb_scene *scene, nb_job *job);                                                           \
    int nb_bounds_##isa(const nb_scene *scene, const nb_job *job, nb_bound *bound, int *sparse);                       \
    int nb_differentiate_##isa(const nb_scene *scene, nb_gradient *job);                                               \
    int nb_backdrop_##isa(const nb_scene *scene, const nb_backdrop *backdrop, nb_backdrop_job *job);                   \
    int nb_diffuse_##isa(const nb_scene *scene, const nb_diffuse *diffuse, nb_diffuse_job *job);                       \
    void nb_trace_##isa(const nb_scene *, int32_t panel, int32_t fast, int32_t slow, int interpolate, nb_trace_row *,      \
                        nb_trace_total *);                                                                             \
    int nb_respond_##isa(const nb_response *r, const nb_exposed *e, nb_tally *tally, int32_t threads, const int32_t *cancel);
NB_DECLARE(baseline)
#ifdef NB_HAVE_AVX2
NB_DECLARE(avx2)
#endif
#ifdef NB_HAVE_AVX512
NB_DECLARE(avx512)
#endif

static int always(void) { return 1; }

#ifdef NB_HAVE_AVX2
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
#ifdef NB_HAVE_AVX512
static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}
#endif

static const struct {
    const char *name;
    int (*available)(void);
    int (*render)(const nb_scene *, nb_job *);
    int (*bounds)(const nb_scene *, const nb_job *, nb_bound *, int *);
    int (*differentiate)(const nb_scene *, nb_gradient *);
    int (*backdrop)(const nb_scene *, const nb_backdrop *, nb_backdrop_job *);
    int (*diffuse)(const nb_scene *, const nb_diffuse *, nb_diffuse_job *);
    void (*trace)(const nb_scene *, int32_t, int32_t, int32_t, int, nb_trace_row *, nb_trace_total *);
    int (*respond)(const nb_response *, const nb_exposed *, nb_tally *, int32_t, const int32_t *);
} LEVELS[] = {
    {"baseline", always, nb_render_baseline, nb_bounds_baseline, nb_differentiate_baseline, nb_backdrop_baseline,
     nb_diffuse_baseline, nb_trace_baseline, nb_respond_baseline},
#ifdef NB_HAVE_AVX2
    {"avx2", has_avx2, nb_render_avx2, nb_bounds_avx2, nb_differentiate_avx2, nb_backdrop_avx2,
     nb_diffuse_avx2, nb_trace_avx2, nb_respond_avx2},
#endif
#ifdef NB_HAVE_AVX512
    {"avx512", has_avx512, nb_render_avx512, nb_bounds_avx512, nb_differentiate_avx512, nb_backdrop_avx512,
     nb_diffuse_avx512, nb_trace_avx512, nb_respond_avx512},
#endif
};

enum { LEVEL_COUNT = sizeof LEVELS / sizeof LEVELS[0] };

const char *nb_isa_name(int isa) { return isa >= 0 && isa < LEVEL_COUNT ? LEVELS[isa].name : NULL; }

int nb_isa_available(int isa) { return isa >= 0 && isa < LEVEL_COUNT && LEVELS[isa].available(); }

int nb_isa_best(void)
{
    int best = 0;
    for (int i = 0; i < LEVEL_COUNT; i++)
        if (nb_isa_available(i)) best = i;
    return best;
}

const char *nb_compiler(void)
{
#ifdef __clang__
    return __VERSION__;
#else
    return "gcc " __VERSION__;
#endif
}

const char *nb_flags(void) { return NB_FLAGS; }

int nb_max_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

int nb_has_openmp(void)
{
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

int nb_render(const nb_scene *scene, nb_job *job, int isa)
{
    return nb_isa_available(isa) ? LEVELS[isa].render(scene, job) : NB_NO_ISA;
}

int nb_bounds(const nb_scene *scene, const nb_job *job, nb_bound *bound, int *sparse, int isa)
{
    return nb_isa_available(isa) ? LEVELS[isa].bounds(scene, job, bound, sparse) : NB_NO_ISA;
}

int nb_differentiate(const nb_scene *scene, nb_gradient *job, int isa)
{
    return nb_isa_available(isa) ? LEVELS[isa].differentiate(scene, job) : NB_NO_ISA;
}

int nb_backdrop_images(const nb_scene *scene, const nb_backdrop *backdrop, nb_backdrop_job *job, int isa)
{
    return nb_isa_available(isa) ? LEVELS[isa].backdrop(scene, backdrop, job) : NB_NO_ISA;
}

int nb_diffuse_image(const nb_scene *scene, const nb_diffuse *diffuse, nb_diffuse_job *job, int isa)
{
    return nb_isa_available(isa) ? LEVELS[isa].diffuse(scene, diffuse, job) : NB_NO_ISA;
}

/* The panel of one pixel alone. */
static nb_panel alone(const nb_panel *panel, int32_t fast, int32_t slow)
{
    nb_panel one = *panel;
    one.roi[0] = one.roi[1] = fast;
    one.roi[2] = one.roi[3] = slow;
    one.listed = NULL;
    return one;
}

int nb_backdrop_pixel(const nb_scene *scene, const nb_backdrop *backdrop, int32_t panel, int32_t fast, int32_t slow,
                      double behind[3], int isa)
{
    const nb_panel one = alone(scene->panel + panel, fast, slow);
    nb_scene s = *scene;
    nb_backdrop b = *backdrop;
    int32_t cancel = 0;
    int64_t progress = 0, *outside = calloc((size_t)b.curves + 1, sizeof *outside);
    if (!outside) return NB_NO_MEMORY;
    s.panel = &one;
    s.panels = 1;
    if (b.obstacles) b.obstacles += panel;
    nb_backdrop_job job = {
        .threads = 1, .origin = one.offset + (int64_t)slow * one.fpixels + fast, .transmission = behind,
        .background = behind + 1, .fixed = behind + 2, .cancel = &cancel, .progress = &progress, .outside = outside,
    };
    const int status = nb_backdrop_images(&s, &b, &job, isa);
    free(outside);
    return status;
}

int nb_diffuse_pixel(const nb_scene *scene, const nb_diffuse *diffuse, int32_t panel, int32_t fast, int32_t slow,
                     double *value, int isa)
{
    const nb_panel one = alone(scene->panel + panel, fast, slow);
    nb_scene s = *scene;
    int32_t cancel = 0;
    int64_t progress = 0;
    s.panel = &one;
    s.panels = 1;
    nb_diffuse_job job = {
        .threads = 1, .origin = one.offset + (int64_t)slow * one.fpixels + fast, .image = value, .cancel = &cancel,
        .progress = &progress,
    };
    return nb_diffuse_image(&s, diffuse, &job, isa);
}

int64_t nb_trace_length(const nb_scene *s, int32_t panel)
{
    int64_t orientations = 0;
    for (int c = 0; c < s->crystals; c++) orientations += s->crystal[c].orientations;
    return (int64_t)s->panel[panel].layers * s->oversample * s->oversample * s->sources * orientations;
}

int nb_trace_pixel(const nb_scene *scene, int32_t panel, int32_t fast, int32_t slow, int interpolate, nb_trace_row *rows,
                   nb_trace_total *total, int isa)
{
    if (!nb_isa_available(isa)) return NB_NO_ISA;
    LEVELS[isa].trace(scene, panel, fast, slow, interpolate, rows, total);
    return NB_OK;
}

int nb_respond(const nb_response *r, const nb_exposed *e, nb_tally *tally, int32_t threads, const int32_t *cancel, int isa)
{
    return nb_isa_available(isa) ? LEVELS[isa].respond(r, e, tally, threads, cancel) : NB_NO_ISA;
}
