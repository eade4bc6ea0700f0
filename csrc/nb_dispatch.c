/* Chooses the instruction set at run time; each level is nb_render.c compiled with other flags (see setup.py). */
#include "nb_render.h"

#include <stddef.h>
#ifdef _OPENMP
#include <omp.h>
#endif

int nb_render_baseline(const nb_scene *scene, nb_job *job);
#ifdef NB_HAVE_AVX2
int nb_render_avx2(const nb_scene *scene, nb_job *job);
#endif
#ifdef NB_HAVE_AVX512
int nb_render_avx512(const nb_scene *scene, nb_job *job);
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
} LEVELS[] = {
    {"baseline", always, nb_render_baseline},
#ifdef NB_HAVE_AVX2
    {"avx2", has_avx2, nb_render_avx2},
#endif
#ifdef NB_HAVE_AVX512
    {"avx512", has_avx512, nb_render_avx512},
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
