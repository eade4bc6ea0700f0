/* The Scene as C structs: everything a renderer reads, in SI units.
 *
 * Filled from nbragg.scene.record.Scene by nbragg/_engine.pyx; nothing here is re-interpreted by a renderer.
 * Frame: the laboratory frame of the chosen convention, origin at the sample.  Pointers are borrowed, never freed.
 * An image index counts the pixels of all panels: panel->offset + slow * fpixels + fast. */
#ifndef NB_SCENE_H
#define NB_SCENE_H

#ifndef __CUDACC_RTC__
#include <stdint.h>
#endif

#ifndef NB_COMPLEX /* nb_complex.h takes the structs once more, these once */
enum nb_shape { NB_SQUARE = 0, NB_ELLIPSOID = 1, NB_GAUSS = 2, NB_TOPHAT = 3 };
enum nb_interpolation {
    NB_NEAREST = 0,        /* value of the nearest listed index */
    NB_TRICUBIC = 1,       /* tricubic until the first sample outside the list, then nearest (canonical 7.3) */
    NB_TRICUBIC_EXACT = 2  /* tricubic where possible, default_F elsewhere (canonical 11) */
};
enum nb_curvature { NB_FLAT = 0, NB_CURVED_LAB = 1, NB_CURVED_AXES = 2 };
enum nb_displaced { NB_NOT_DISPLACED = 0, NB_DISPLACED = 1, NB_DISPLACED_RATE = 2 };
enum nb_water { NB_WATER_IN_SUM = 0, NB_WATER_AFTER = 1 };
enum nb_spectral { NB_DIRECT = 0, NB_LINE = 1, NB_CULLED = 2 }; /* how a spectrum is rendered (beyond 15.6) */
#endif

/* One plane (or sphere) of pixels; lengths m, vectors of length 1. */
typedef struct {
    int32_t fpixels, spixels;
    int32_t first[2];           /* fast, slow: where on the plane that begins at pix0 its first pixel lies, in pixels */
    double pixel[2];            /* edges along fast and slow */
    double fdet[3], sdet[3], odet[3], beam[3], pix0[3];
    double distance, close_distance;
    int32_t curved, point_pixel;
    int32_t layers;
    int32_t mean_depth;         /* 1: a layer's photons are at the mean depth of what it absorbs; 0: at its front */
    int32_t roi[4];             /* fast min, fast max, slow min, slow max, inclusive, counted from its first pixel */
    double layer_step, thickness, mu; /* m, m, 1/m; thickness 0 or mu 0: everything is captured */
    int64_t offset;             /* image index of its first pixel */
    const uint8_t *mask;        /* [spixels][fpixels], 0 = skip; NULL = none */
    const int32_t *listed;      /* slow * fpixels + fast of the pixels in the roi that are not masked, ascending; NULL: all of the roi */
    int64_t listed_count;
    const double *source_mu;       /* [sources], 1/m: of the captures that are taken for every sample; NULL: mu, as of all else */
    const double *source_mu_slope; /* [sources], 1/m^2: how they move with the sources' wavelengths; for derivatives alone */
} nb_panel;

typedef struct {
    double incident[3]; /* unit vector of travel */
    double wavelength;  /* m */
    double weight;      /* mean over the sources 1 */
    int64_t table;      /* which of a crystal's tables it takes, from 0 */
    /* not read by NB_DIRECT: */
    double channel[2];  /* lowest and highest wavenumber it stands for, 1/m */
    double range[2];    /* of all sources of its run: those beside it in the list that travel in its direction */
    int64_t run;        /* sources of its run from this one on */
} nb_source;

/* Structure factors of one crystal at one energy. */
typedef struct {
    const double *F; /* [F_count[0]][F_count[1]][F_count[2]], electrons; NULL = default_F everywhere */
    int32_t F_min[3], F_count[3];
    double default_F;
    double F_reach;  /* 1/m; where |q| is larger, F is 0 in every orientation; infinite: not known */
    int64_t interpolation;
} nb_table;

/* One crystal in all its orientations.  It adds weight * sum(weights of orientations * F^2 L^2) / weight_sum. */
typedef struct {
    int64_t orientations;
    const double *abc;                 /* [orientations][3][3]: rows a, b, c in m */
    const double *orientation_weight;  /* [orientations]; NULL: 1 each */
    double weight_sum;                 /* of the orientations */
    double weight;
    double N[3];                       /* unit cells along a, b, c */
    double fudge;
    double metric[9];                  /* squared radius of a spot = dh^T metric dh; not read by NB_SQUARE */
    int32_t shape;
    int32_t table;                     /* first of its tables; they agree in interpolation and in having a list */
    int32_t displaced;                 /* its atoms are displaced: F^2 L^2 times exp(-V) (beyond 20.1); enum nb_displaced */
    double displacement[6];            /* V of (h, k, l): aa bb cc 2ab 2ac 2bc */
    double displacement_rate[6];       /* NB_DISPLACED_RATE: of the form by which the same is multiplied */
} nb_crystal;

typedef struct {
    int32_t panels, sources, crystals, tables;
    const nb_panel *panel;
    const nb_source *source;
    const nb_crystal *crystal;
    const nb_table *table;
    int64_t pixels; /* of the image */
    int32_t oversample, oversample_thick, oversample_polar, oversample_omega;
    double dmin;    /* m; 0 = no limit */
    double polarization, polar_vector[3];
    int32_t nopolar, water_mode, spectral;
    double fluence; /* photons/m^2 */
    double water;   /* edge of the water cube, m */
    /* of the pixels from image index `behind` on: the share of the light that arrives, photons at a fluence of 1 photon/m^2,
     * and photons; NULL: 1, 0 and 0 everywhere */
    const double *transmission, *background, *fixed;
    int64_t behind;
} nb_scene;

#endif
