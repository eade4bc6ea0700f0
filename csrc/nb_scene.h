/* The Scene as a C struct: everything a renderer reads, in SI units.
 *
 * Filled from Python (nbragg/_engine.pyx, nbragg/backends/cuda.py); nothing here is re-interpreted by a renderer.
 * Frame: the laboratory frame of the chosen convention, origin at the sample.  Pointers are borrowed, never freed. */
#ifndef NB_SCENE_H
#define NB_SCENE_H

#ifndef __CUDACC_RTC__
#include <stdint.h>
#endif

enum nb_shape { NB_SQUARE = 0, NB_ROUND = 1, NB_GAUSS = 2, NB_TOPHAT = 3 };
enum nb_interpolation {
    NB_NEAREST = 0,        /* value of the nearest listed index */
    NB_TRICUBIC = 1,       /* tricubic until the first sample outside the list, then nearest (canonical 7.3) */
    NB_TRICUBIC_EXACT = 2  /* tricubic where possible, default_F elsewhere (canonical 11) */
};
enum nb_curvature { NB_FLAT = 0, NB_CURVED_LAB = 1, NB_CURVED_AXES = 2 };
enum nb_water { NB_WATER_IN_SUM = 0, NB_WATER_AFTER = 1 };

typedef struct {
    /* detector: m, unit vectors */
    int32_t fpixels, spixels;
    double pixel_size;
    double fdet[3], sdet[3], odet[3], beam[3], pix0[3];
    double distance, close_distance;
    int32_t curved, point_pixel;
    int32_t layers;
    double layer_step, thickness, mu; /* m, m, 1/m; thickness 0 or mu 0: everything is captured */
    /* sampling */
    int32_t oversample, oversample_thick, oversample_polar, oversample_omega;
    int32_t roi[4];      /* fast min, fast max, slow min, slow max, inclusive */
    const uint8_t *mask; /* [spixels][fpixels], 0 = skip; NULL = none */
    double dmin;         /* m; 0 = no limit */
    /* beam */
    int32_t sources;
    const double *incident;   /* [sources][3] unit vectors of travel */
    const double *wavelength; /* [sources] m */
    const double *weight;     /* [sources] mean 1 */
    double polarization, polar_vector[3];
    int32_t nopolar;
    double fluence; /* photons/m^2 */
    double water;   /* edge of the water cube, m */
    int32_t water_mode;
    /* crystal */
    int64_t orientations;
    const double *abc; /* [orientations][3][3]: rows a, b, c in m */
    double N[3];       /* unit cells along a, b, c */
    int32_t shape;
    double fudge;
    double metric[9]; /* squared radius of a spot = dh^T metric dh; not read by NB_SQUARE */
    /* structure factors */
    const double *F;                   /* [F_count[0]][F_count[1]][F_count[2]], electrons; NULL = default_F everywhere */
    int32_t F_min[3], F_count[3];
    double default_F;
    int32_t interpolation;
    double F_reach; /* 1/m; where |q| is larger, F is 0 in every orientation; infinite: not known */
} nb_scene;

#endif
