/* What stands behind the spots of an image: light from all else in the beam, and what is lost of all light on the way.
 *
 * Filled from nbragg.scene.backdrop.Backdrop by nbragg/_engine_backdrop.pxi.  Lengths m, s in 1/m; laboratory frame, the
 * sample at its origin; pointers are borrowed.  One pass over the pixels makes images that depend neither on the crystals
 * nor on the fluence (beyond 12.4, 19); nb_pixel.h puts them to the pixels. */
#ifndef NB_BACKDROP_H
#define NB_BACKDROP_H

#include "nb_obstacles.h"
#include "nb_scene.h"

/* A function of s = sin(theta)/lambda: cubics between knots.  Piece j has knot[j] <= s < knot[j + 1], and there the value
 * c[0] + c[1] t + c[2] t^2 + c[3] t^3 with t = s - knot[j] and c = cubic + 4 j.  All below knot[0] = knot[1] is piece 0;
 * knot[pieces] is NaN, which no s reaches.  Of the buckets of width 1/per_bucket the k-th begins at low + k/per_bucket: what lies in it
 * is in the piece bucket[k] or in one of the next `steps`. */
typedef struct {
    const double *knot, *cubic;
    const int32_t *bucket;
    double low, per_bucket;
    double least, most; /* pixels beyond these are counted; infinite: none is */
    int32_t buckets, steps;
} nb_curve;

/* One kind of molecule, or a curve, at one place. */
typedef struct {
    int32_t curve;
    int32_t squared;   /* 1: the curve is an amplitude F, of which sgn(F) F^2 counts; 0: it counts itself */
    int32_t polarized; /* 0: without the polarization factor */
    int32_t fixed;     /* 1: photons/sr, whatever the fluence */
    double amount;
} nb_scatterer;

typedef struct {
    double at[3];
    int32_t first, count; /* its scatterers */
} nb_place;

typedef struct {
    const nb_curve *curve;
    const nb_place *place; /* the first is the sample, at 0 0 0 */
    const nb_scatterer *scatterer;
    const nb_obstacles *obstacles; /* [panels]; NULL: nothing is in the way */
    int32_t curves, places, scatterers;
    int32_t oversample; /* sub-pixels along a pixel edge, of all this */
} nb_backdrop;

#ifndef NB_COMPLEX /* nb_complex.h takes the structs above once more */
typedef struct {
    /* in */
    int32_t threads;       /* 0: as many as OpenMP would take */
    int64_t origin;        /* image index of the first pixel of the images */
    double *background;    /* photons at a fluence of 1 photon/m^2; what is not rendered stays as it is; or NULL, as all three */
    double *fixed;         /* photons */
    double *transmission;  /* of the light from the sample */
    const int32_t *cancel; /* set to 1 by another thread to stop */
    int64_t *progress;     /* pixels done so far */
    /* out */
    int64_t *outside;      /* [curves], added to: pixels whose first sample, seen from the sample, is beyond least or most */
} nb_backdrop_job;

/* Makes the images for the panels and sources of a Scene. Returns enum nb_status. */
int nb_backdrop_images(const nb_scene *scene, const nb_backdrop *backdrop, nb_backdrop_job *job, int isa);

/* The same of one pixel: transmission, background, fixed. */
int nb_backdrop_pixel(const nb_scene *scene, const nb_backdrop *backdrop, int32_t panel, int32_t fast, int32_t slow,
                      double behind[3], int isa);
#endif

#endif
