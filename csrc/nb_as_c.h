/* Macros as nb_as_d.h, where double has been made complex (nb_complex.h), and the elementary functions for it; nb_undefine.h
 * ends the macros.
 *
 * A function of x + i y is f(x) + i y f'(x): to the last place, since y squared is nothing beside x.  What rounds has no
 * slope. */
#define NB_SELECT(m, a, b) ((m) ? (a) : (b))
#define NB_ANY(m) (m)
#define NB_SET(c) ((double)(c))
#define NB_REAL double
#define NB_SCALAR double
#define NB_FLOAT 0
#define NB_MASK int64_t
#define NB_BITS uint64_t
#define NB_R(name) name##_d
#define NB_SQRT nb_sqrt_d
#define NB_RSQRT(x) (1.0 / nb_sqrt_d(x))
#define NB_ABS nb_abs_d
#define NB_LOOKUP(table, place) ((table)[(int64_t)creal(place)])

#ifndef NB_AS_C_ONCE
#define NB_AS_C_ONCE

NB_FN double nb_with_slope(nb_real value, nb_real slope, double x)
{
    return __builtin_complex(value, slope * cimag(x));
}

/* The square root; 0 does not move: lengths are what it is taken of. */
NB_FN double nb_sqrt_d(double x)
{
    const nb_real root = sqrt(creal(x));
    return nb_with_slope(root, root > 0.0 ? 0.5 / root : 0.0, x);
}

NB_FN double nb_abs_d(double x) { return creal(x) < 0.0 ? -x : x; }

NB_FN double nb_exp_d(double x)
{
    const nb_real value = exp(creal(x));
    return nb_with_slope(value, value, x);
}

/* Nearest integer, ties to even. */
NB_FN double nb_round_d(double x) { return nearbyint(creal(x)); }
NB_FN double nb_reduce_d(double x) { return x - nb_round_d(x); }

NB_FN double nb_sinpi_d(double x)
{
    return nb_with_slope(sin(NB_PI * creal(x)), NB_PI * cos(NB_PI * creal(x)), x);
}

NB_FN double nb_cospi_d(double x)
{
    return nb_with_slope(cos(NB_PI * creal(x)), -NB_PI * sin(NB_PI * creal(x)), x);
}

#define fabs nb_abs_d
#define sqrt nb_sqrt_d

#endif
