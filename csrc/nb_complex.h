/* The structs of the Scene, of what is in the way, of what lies behind and of what moves with complex numbers for doubles: value + i h rate,
 * so small a step h that its square is nothing.  Imaginary parts over h of what the formulas make of them are exact
 * derivatives, as in nbragg/base/numbers.py.
 *
 * The same headers once more, names with _c.  NB_STAY_COMPLEX, for the one source file that works with them: names and double
 * stay what they are made here, and the formulas that are included afterwards are those of complex numbers. */
#ifndef NB_COMPLEX_H
#define NB_COMPLEX_H

#include "nb_backdrop.h"
#include "nb_diffuse.h"

typedef double nb_real;

#undef NB_SCENE_H
#undef NB_OBSTACLES_H
#undef NB_BACKDROP_H
#undef NB_DIFFUSE_H

#define NB_COMPLEX
#define double _Complex double
#define nb_panel nb_panel_c
#define nb_source nb_source_c
#define nb_table nb_table_c
#define nb_crystal nb_crystal_c
#define nb_scene nb_scene_c
#define nb_absorber nb_absorber_c
#define nb_stop nb_stop_c
#define nb_body nb_body_c
#define nb_obstacles nb_obstacles_c
#define nb_arrival nb_arrival_c
#define nb_curve nb_curve_c
#define nb_scatterer nb_scatterer_c
#define nb_place nb_place_c
#define nb_backdrop nb_backdrop_c
#define nb_motion nb_motion_c
#define nb_diffuse nb_diffuse_c

#include "nb_backdrop.h"
#include "nb_diffuse.h"

#ifndef NB_STAY_COMPLEX
#undef NB_COMPLEX
#undef double
#undef nb_panel
#undef nb_source
#undef nb_table
#undef nb_crystal
#undef nb_scene
#undef nb_absorber
#undef nb_stop
#undef nb_body
#undef nb_obstacles
#undef nb_arrival
#undef nb_curve
#undef nb_scatterer
#undef nb_place
#undef nb_backdrop
#undef nb_motion
#undef nb_diffuse
#endif

#endif
