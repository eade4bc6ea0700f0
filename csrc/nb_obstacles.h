/* What stands in the way of the light, as C structs: filled from nbragg.scene.obstacles.Obstacles by nbragg/_engine.pyx.
 *
 * Lengths m, directions of length 1 in the laboratory frame, origin at the sample.  One nb_obstacles for each panel: sheets
 * may be parallel to it.  Arrays `[sources]` hold a number for each source, since absorption depends on the wavelength. */
#ifndef NB_OBSTACLES_H
#define NB_OBSTACLES_H

#ifndef __CUDACC_RTC__
#include <stdint.h>
#endif

#ifndef NB_COMPLEX /* nb_complex.h takes the structs once more, these once */
enum nb_absorber_kind {
    NB_GAS = 0,   /* fills the way from the sample to the sensor, but for a length `distance` */
    NB_SHELL = 1, /* crossed at right angles by all scattered light */
    NB_SHEET = 2, /* flat, crossed by all scattered light wherever it is */
    NB_WALL = 3   /* flat, in the plane x.normal = distance: crossed by the light, scattered or not yet, that passes there */
};

enum nb_stop_kind {
    NB_DISC = 0,   /* within `radius` of the centre, or on the arm */
    NB_HOLE = 1,   /* farther than `radius` from the centre */
    NB_POLYGON = 2 /* inside the corners, by the even-odd rule */
};

enum nb_body_kind { NB_NOTHING = 0, NB_BALL = 1, NB_SLAB = 2 };
#endif

typedef struct {
    int64_t kind;
    double normal[3];
    double distance;
    const double *depth; /* [sources] mu t of its thickness; of NB_GAS mu, 1/m */
} nb_absorber;

/* A plane x.normal = distance with coordinates u, v: what light is weakened that meets its opaque part. */
typedef struct {
    int64_t kind, edges;
    double normal[3], u[3], v[3];
    double distance;
    double centre[2]; /* u, v */
    double radius;
    double arm[2];     /* direction (u, v) in which it goes out from the centre */
    double half_width; /* of the arm, 0: none */
    double transmission;
    const double *edge; /* [edges][4]: v of both ends, u of the first, du/dv; of NB_POLYGON */
} nb_stop;

#define NB_BALL_PIECES 90 /* of 2theta from 0 to 180 degrees */

/* What surrounds the crystal and absorbs, the crystal at the origin. */
typedef struct {
    int64_t kind;
    int64_t spread;     /* light comes from everywhere in it alike: the mean over it; 0: from the point that scatters */
    double centre[3], normal[3];
    double size;         /* radius, or thickness */
    const double *mu;    /* [sources], 1/m */
    const double *mean;  /* [sources][NB_BALL_PIECES][4]: ln of the mean factor of a ball in each piece, cubics in the
                            fraction of the piece, lowest power first; of a ball that is `spread` */
} nb_body;

typedef struct {
    int64_t absorbers, stops;
    const nb_absorber *absorber;
    const nb_stop *stop;
    nb_body body;
} nb_obstacles;

/* Light of one source where it is scattered. */
typedef struct {
    double depth;  /* attenuation depths that it has crossed */
    double factor; /* of the stops that it has met */
    double way;    /* length from the sample to the point along the beam, 0 upstream */
    int64_t mean;  /* the point stands for all of the body */
} nb_arrival;

#endif
