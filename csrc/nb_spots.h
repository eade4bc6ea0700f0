/* The photons of spots without a pixel: slices through the squared lattice factor across the scattered ray, summed over
 * orientations and sources.  docs/truth.md has the formulas; lengths in m, reciprocal ones in 1/m, indices h.
 *
 * A slice S(e) = integral of L^2 over the plane at the distance e from a reflection along the unit vector d of the ray.  `along`
 * are the products of d with a*, b*, c*. */
#ifndef NB_SPOTS_H
#define NB_SPOTS_H

#include "nb_scene.h"

/* One size of crystal: its share of a lattice and the shape of its reflections. */
typedef struct {
    int64_t shape; /* enum nb_shape */
    double fudge, share, cells, cell_volume; /* cells: product of N */
    double volume;                           /* integral of L^2 over a reflection, in units of indices */
    double N[3], inverse[9];                 /* of the shape metric */
} nb_spot_size;

/* A lattice and the light on it. */
typedef struct {
    const nb_spot_size *size;
    const double *axes, *reciprocal; /* [orientations][9]: rows a, b, c; rows a*, b*, c* */
    const double *weight;            /* [orientations], of sum 1 */
    const int64_t *part;             /* [orientations], number of the size */
    const double *incident, *wavelength, *source_weight; /* [sources], the last of sum 1 */
    int64_t sizes, orientations, sources;
    double middle[9]; /* axes at the middle of the rotation */
    double dual[9];   /* the same, rows a*, b*, c* */
    double zone;      /* indices, how far a reflection counts along each axis */
    double faint;     /* part of the largest slice below which a slice may be taken for 0 */
    double polarization, polar_vector[3];
    int64_t nopolar;
    double spindle[3], osc; /* osc 0: a still */
} nb_spot_light;

/* What decides which reflections come near the Ewald sphere of the mean source. */
typedef struct {
    double incident[3], wavelength;
    double angle, bandwidth; /* of orientations and directions from the mean; relative, of wavelengths */
    double least;            /* slices below this part of the largest count for nothing */
    double slack;            /* factor of the limits */
    double d_min;
} nb_sphere;

/* S at n distances with n times three numbers `along`. */
void nb_spot_slices(const nb_spot_size *s, const double *distance, const double *along, double *out, int64_t n);

/* Reflections of index (h, k, l)[i], sorted by h, then k, then l, that some orientation and source may excite: their numbers i
 * and the excitation error up to which each counts.  Returns how many; -1 when there is not room for them. */
int64_t nb_spots_near(const nb_spot_light *s, const nb_sphere *at, const float *h, const float *k, const float *l, int64_t n,
                      int64_t room, int64_t *number, double *limit);

/* Sums of m reflections, each with `sides` rows, 2 of a rotation (leaving the sphere, entering it), else 1.
 * g [m][sides][3]: where the mean crystal crosses the sphere.  Out, [m][sides]: counts and full, per r_e^2 fluence F^2 and
 * absorbed fraction; polarization; direction [3], by photons; by_source [sources][m][sides] or NULL.  Where counts are 0 all
 * else is.  Returns enum nb_status (nb_render.h). */
int nb_spots_sum(const nb_spot_light *s, const double *hkl, const double *limit, const double *g, int64_t m, int sides,
                 double *counts, double *full, double *polarization, double *direction, double *by_source);

#endif
