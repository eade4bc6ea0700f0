#include "nb_transmit.h"

#include "nb_physics.h"
#include "nb_vector.h"

#include "nb_as_d.h"
#include "nb_transmission.h"
#include "nb_undefine.h"

#include "nb_as_vd.h"
#include "nb_math.h"
#include "nb_sample.h"
#include "nb_transmission.h"
#include "nb_undefine.h"

/* A vector of points with one `at`. */
static void several(const nb_obstacles *o, int source, const double *incident, const double *at, const double *P, double *T, int64_t n)
{
    nb_vd Q[3] = {{0.0}};
    for (int lane = 0; lane < NB_LANES; lane++)
        for (int j = 0; j < 3; j++) Q[j][lane] = P[3 * (lane < n ? lane : n - 1) + j];
    const nb_vd passed = nb_transmission_vd(o, source, incident, at, Q);
    for (int lane = 0; lane < NB_LANES && lane < n; lane++) T[lane] = passed[lane];
}

void nb_transmit(const nb_obstacles *o, int32_t source, const double incident[3], const double *at, int64_t at_step,
                 const double *P, double *T, int64_t n)
{
    if (at_step == 0) {
        for (int64_t i = 0; i < n; i += NB_LANES) several(o, source, incident, at, P + 3 * i, T + i, n - i);
        return;
    }
    for (int64_t i = 0; i < n; i++) T[i] = nb_transmission_d(o, source, incident, at + at_step * i, P + 3 * i);
}
