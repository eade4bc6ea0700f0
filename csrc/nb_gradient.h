/* What a CPU gradient takes besides the Scene, and what it gives: derivatives of the image as rows, their products with
 * weights (Gauss-Newton), or a cotangent of the Scene (gradients 7). */
#ifndef NB_GRADIENT_H
#define NB_GRADIENT_H

#include "nb_columns.h"
#include "nb_render.h"

/* Rows as short sums of columns: row j has the entries start[j] to start[j + 1]. */
typedef struct {
    const int64_t *start;
    const int32_t *column;
    const double *value;
} nb_terms;

typedef struct {
    /* in */
    int32_t precision;            /* enum nb_precision */
    int32_t threads;              /* 0: as many as OpenMP would take */
    nb_cut cut;                   /* of the image (canonical 7.3) */
    nb_layout layout;
    const nb_asked *asked;        /* [crystals]; their blocks are filled in */
    int32_t asks;                 /* enum nb_asks */
    const double *given;          /* cotangent image [scene->pixels]: columns are summed; NULL: rows are made */
    double norm;                  /* largest of its magnitudes */
    int32_t rows;                 /* combinations of columns */
    nb_terms terms;               /* those of the whole image, by column of the layout */
    const nb_terms *panel_terms;  /* [panels]; those of the panel's own columns */
    int32_t factors;              /* rows of single structure factors, after the others */
    const int32_t *const *slot;   /* [tables][entries]: which of those an entry belongs to, -1: none; a table's may be NULL */
    const double *const *share;   /* [tables][entries]: how much of it the entry counts for */
    const double *residual, *weights; /* [scene->pixels]: H and b are made */
    /* out, 0 before */
    double *sums;                 /* [panels][NB_PANEL_COLUMNS], then the other columns */
    double *const *orientations;  /* [crystals][orientations][10]: by the rows of a, b, c and by the weight; or NULL */
    double *const *tables;        /* [tables][entries]; or NULL */
    void *image;                  /* [rows + factors][scene->pixels]; or NULL */
    const int32_t *place;         /* [rows + factors]: where each row lies in it */
    int32_t image_is_float;
    double *H, *b;                /* [n][n], its lower half, and [n], n = rows + factors */
    /* control */
    const int32_t *cancel;
    int64_t *progress;            /* pixels done so far */
} nb_gradient;

/* Returns enum nb_status. */
int nb_differentiate(const nb_scene *scene, nb_gradient *job, int isa);

#endif
