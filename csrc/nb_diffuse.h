/* Scattering of a crystal's atoms as they move: what lies between and under its spots (beyond 20).
 *
 * Filled from nbragg.scene.diffuse.Diffuse by nbragg/_engine_diffuse.pxi.  Everything stands in the axes of the reciprocal
 * lattice, where it is the same for all orientations; pointers are borrowed.  One pass over the pixels makes an image, which
 * is added to that of the background (nb_scene.background). */
#ifndef NB_DIFFUSE_H
#define NB_DIFFUSE_H

#include "nb_scene.h"

#ifndef NB_COMPLEX /* nb_complex.h takes the structs once more */
enum nb_motion_kind { NB_LIQUID = 0, NB_THERMAL = 1 };
enum { NB_MOST_ORDER = 32, NB_FORMS = 12 };
#endif

/* One crystal.  Forms are aa bb cc 2ab 2ac 2bc. */
typedef struct {
    const double *abc;    /* [orientations][3][3]: rows a, b, c in m */
    const double *weight; /* [orientations]; their sum is how many times the crystal counts */
    const double *form;   /* [models][NB_FORMS]: V of (h, k, l), then 4 pi^2 of the squared distance from a reflection in units of
                             the correlation's; or 1/d^2 of (h, k, l), 1/m^2, and nothing */
    const double *outside; /* [models][order]: what reflections outside the stencil add for a mean F^2 of 1; NULL: nothing */
    const double *shell;   /* [tables][shells + 2]: mean F^2 in steps of 1/d^2, the first and the last twice */
    double scale, per_shell; /* per_shell: shells in 1/m^2 */
    double along, across, soft; /* NB_THERMAL: k T/(M v^2) of waves along q and across it; 1/m^2, beside the squared distance */
    int64_t orientations;
    int32_t kind, table;        /* enum nb_motion_kind; first of its tables of structure factors */
    int32_t models, order, stencil;
    int32_t damped;             /* 1: times exp(-V) */
    int32_t shells;             /* 0: of tables without a list */
} nb_motion;

typedef struct {
    const nb_motion *motion;
    int32_t motions;
    int32_t oversample; /* sub-pixels along a pixel edge */
} nb_diffuse;

#ifndef NB_COMPLEX
typedef struct {
    int32_t threads;       /* 0: as many as OpenMP would take */
    int64_t origin;        /* image index of the first pixel of the image */
    double *image;         /* photons at a fluence of 1 photon/m^2; what is not rendered stays as it is */
    const int32_t *cancel; /* set to 1 by another thread to stop */
    int64_t *progress;     /* pixels done so far */
} nb_diffuse_job;

/* Makes the image for the panels, sources and tables of a Scene.  Returns enum nb_status. */
int nb_diffuse_image(const nb_scene *scene, const nb_diffuse *diffuse, nb_diffuse_job *job, int isa);

/* The same of one pixel. */
int nb_diffuse_pixel(const nb_scene *scene, const nb_diffuse *diffuse, int32_t panel, int32_t fast, int32_t slow,
                     double *value, int isa);
#endif

#endif
