/* What a CPU render takes besides the Scene, and what it reports. */
#ifndef NB_RENDER_H
#define NB_RENDER_H

#include "nb_most.h"
#include "nb_scene.h"
#include "nb_summary.h"

enum nb_precision { NB_DOUBLE = 0, NB_MIXED = 1 };

/* Rules for the sum over the sub-pixels along an edge from fewer places, one after the other, the last with all of them. */
typedef struct {
    const int32_t *count;         /* [rules], places of each, increasing */
    const double *place, *weight; /* fractions of the edge; sub-pixels each stands for */
    int32_t rules;                /* 0: none */
} nb_rules;

typedef struct {
    /* in */
    int32_t precision;       /* enum nb_precision */
    int32_t threads;         /* 0: as many as OpenMP would take */
    float *image;            /* [scene->pixels], photons; what is not rendered stays as the caller left it */
    double *image64;         /* the same before rounding to float, or NULL */
    const int32_t *cancel;   /* set to 1 by another thread to stop */
    int64_t *progress;       /* pixels done so far, updated while running */
    /* samples that are left out (nb_tree.h): */
    double tolerance;        /* photons that a pixel may lose; 0: none */
    double spot_end;         /* fraction of its peak at which a Gaussian spot ends; 0: nowhere */
    const nb_most *most;     /* [scene->tables]; NULL: every sample is evaluated */
    nb_rules rules;          /* from which pixels take as many samples as they need; none: all sub-pixels */
    int32_t always;          /* 1: samples are left out where that does not pay, too; for tests */
    int64_t visited;         /* out: samples evaluated; -1: all */
    double left_out;         /* out: photons that a pixel has lost at most */
    nb_summary summary;      /* out */
    int64_t cut_sequence;    /* out: which of the samples of summary.cut_pixel ended the interpolation */
} nb_job;

enum nb_status { NB_OK = 0, NB_CANCELLED = 1, NB_NO_MEMORY = 2, NB_NO_ISA = 3 };

/* Instruction sets, narrowest first; nb_isa_name(i) is NULL past the last. */
const char *nb_isa_name(int isa);
/* 1 if the extension was built with this level and the processor has it */
int nb_isa_available(int isa);
int nb_isa_best(void);
/* what the engine was compiled with */
const char *nb_compiler(void);
const char *nb_flags(void);
/* OpenMP's own choice of threads; 1 in a build without OpenMP */
int nb_max_threads(void);
int nb_has_openmp(void);

/* Render on the given instruction set. Returns enum nb_status. */
int nb_render(const nb_scene *scene, nb_job *job, int isa);

/* What a render elsewhere needs to know to leave the same samples out: bound, [scene->crystals].  sparse: whether some are to be
 * left out; else nothing is written.  Returns enum nb_status. */
int nb_bounds(const nb_scene *scene, const nb_job *job, nb_bound *bound, int *sparse, int isa);

#endif
