#include "nb_probe.h"

#include "nb_physics.h"

static double probe_d(int function, double x, double parameter)
{
    const double d[3] = {x, 0.0, 0.0}, n[3] = {parameter, 1.0, 1.0};
    nb_width_d width;
    switch (function) {
    case NB_PROBE_ROUND: return nb_round_d(x);
    case NB_PROBE_SINPI: return nb_sinpi_d(x);
    case NB_PROBE_COSPI: return nb_cospi_d(x);
    case NB_PROBE_EXP: return nb_exp_d(x);
    case NB_PROBE_SQUARE: return nb_lattice_square_d(d, n);
    case NB_PROBE_ERF: return nb_erf_d(x);
    case NB_PROBE_GAUSS_MEAN: width = nb_width_of_d(parameter); return nb_gauss_mean_d(&width, x);
    default: return nb_lattice_ellipsoid_d(x);
    }
}

static double probe_f(int function, float x, double parameter)
{
    const float d[3] = {x, 0.0f, 0.0f}, n[3] = {(float)parameter, 1.0f, 1.0f};
    nb_width_f width;
    switch (function) {
    case NB_PROBE_ROUND: return nb_round_f(x);
    case NB_PROBE_SINPI: return nb_sinpi_f(x);
    case NB_PROBE_COSPI: return nb_cospi_f(x);
    case NB_PROBE_EXP: return nb_exp_f(x);
    case NB_PROBE_SQUARE: return nb_lattice_square_f(d, n);
    case NB_PROBE_ERF: return nb_erf_f(x);
    case NB_PROBE_GAUSS_MEAN: width = nb_width_of_f((float)parameter); return nb_gauss_mean_f(&width, x);
    default: return nb_lattice_ellipsoid_f(x);
    }
}

void nb_probe_math(int function, int single, const double *x, double *y, int64_t n, double parameter)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = single ? probe_f(function, (float)x[i], parameter) : probe_d(function, x[i], parameter);
}
