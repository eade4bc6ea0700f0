/* The headers of derivatives, stamped out for vectors: nb_point.h for doubles, nb_pull.h and nb_basis.h for lattice factors
 * in double (one vector of pixels at a time) and in float (two, which make one vector of floats). */
#ifndef NB_GRADIENT_LANES_H
#define NB_GRADIENT_LANES_H

#include "nb_axes.h"
#include "nb_vector.h"

#define NB_APART static __attribute__((noinline))
#define NB_DREAL nb_vd
#define NB_DMASK nb_vdmask
#define NB_DLANES NB_LANES
#define NB_DR(name) name##_vd
#define NB_DSET(c) ((c) - (nb_vd){0})
#define NB_DSELECT nb_select_vd
#define NB_DANY nb_bits_vd
#define NB_DLANE(v, j) ((v)[j])
#define NB_LANE(v, j) ((v)[j])
#define NB_LANES_OF NB_LANES
#define NB_ABOVE(limit, o) (*(const nb_vdmask *)(limit) > (o))
#define NB_GATHER nb_gather
#define NB_FIRST __builtin_ctz
#define NB_ROOM(type) type *
#define NB_HAS(shape, source) 1
#define NB_AT_ONCE 1
#define NB_MAY_DISPLACE 1

/* the sinks need places and weights of the table; they are in the first stamping */
#include "nb_as_vd.h"
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_sample.h"
#include "nb_pixel.h"
#include "nb_slope.h"
#include "nb_point.h"
#include "nb_sink.h"
#define NB_SINK nb_sink
#define NB_SINK_NEAREST nb_sink_nearest
#define NB_SINK_TRICUBIC nb_sink_tricubic
#define NB_PER 1
#define NB_JOIN(a) ((a)[0])
#define NB_PART(v, i) (v)
#include "nb_pull.h"
#include "nb_basis.h"
#undef NB_PER
#undef NB_JOIN
#undef NB_PART
#include "nb_undefine.h"

#include "nb_as_vf.h"
#include "nb_math.h"
#include "nb_lattice.h"
#include "nb_slope.h"
#define NB_PER 2
#define NB_JOIN(a) nb_join((a)[0], (a)[1])
#define NB_PART nb_part
#include "nb_pull.h"
#include "nb_basis.h"
#undef NB_PER
#undef NB_JOIN
#undef NB_PART
#include "nb_undefine.h"

#endif
