/* Elementary functions of a bounded argument, stamped out for one real type.
 *
 * Before each inclusion nb_physics.h or nb_tile.h defines: NB_REAL, a scalar or vector of double or float; NB_FLOAT, 1
 * for float; NB_MASK, what comparing two NB_REAL yields, and NB_BITS, unsigned integers of its size; NB_R(name), which adds the type's suffix; NB_SELECT(m, a, b);
 * NB_SET(c), a constant as NB_REAL; NB_ANY(m), whether any lane is set; NB_SQRT, NB_RSQRT (1/sqrt), NB_ABS, and where the
 * processor has it NB_REDUCE.
 * Errors stated are of the polynomials; tests/engine/test_engine_math.py measures the functions against mpmath. */

#include "nb_kind.h"

/* Nearest integer, ties to even, |x| < 2^51 (2^22 in float): adding 1.5 * 2^52 leaves no bits below one. */
NB_FN NB_REAL NB_R(nb_round)(NB_REAL x)
{
    const NB_REAL big = NB_SET(NB_K(NB_FLOAT ? 12582912.0 : 6755399441055744.0));
    return (x + big) - big;
}

/* x minus the nearest integer: exact */
NB_FN NB_REAL NB_R(nb_reduce)(NB_REAL x)
{
#ifdef NB_REDUCE
    return NB_REDUCE(x);
#else
    return x - NB_R(nb_round)(x);
#endif
}

/* a x minus the nearest integer; where a*b+c is one operation, without rounding the product */
NB_FN NB_REAL NB_R(nb_reduce_product)(NB_SCALAR a, NB_REAL x)
{
    const NB_REAL whole = NB_R(nb_round)(a * x);
    return a * x - whole;
}

/* x[i] becomes sin(pi x[i]) for |x| <= 1/2.  Several at once go step by step together, so that no step waits for the one
 * before. */
NB_FN void NB_R(nb_sinpi_each)(NB_REAL *x, const int count)
{
    const NB_SCALAR c[] = NB_SINC;
    NB_REAL z[NB_MOST], p[NB_MOST];
    for (int i = 0; i < count; i++) z[i] = x[i] * x[i];
    for (int i = 0; i < count; i++) p[i] = z[i] * c[0] + c[1];
    for (int k = 2; k < (int)(sizeof c / sizeof c[0]); k++)
        for (int i = 0; i < count; i++) p[i] = p[i] * z[i] + c[k];
    for (int i = 0; i < count; i++) x[i] *= p[i];
}

NB_FN NB_REAL NB_R(nb_sinpi)(NB_REAL x)
{
    NB_R(nb_sinpi_each)(&x, 1);
    return x;
}

/* cos(pi x) for |x| <= 1/2, from 1 - 2 sin^2 of half the angle: absolute error as nb_sinpi. */
NB_FN NB_REAL NB_R(nb_cospi)(NB_REAL x)
{
    const NB_REAL s = NB_R(nb_sinpi)(NB_K(0.5) * x);
    return NB_K(1) - NB_K(2) * s * s;
}

/* 2^k for a whole k in the normal range: k sits in the low bits of k + 1.5 * 2^52 (2^23), which shifted become the exponent */
NB_FN NB_REAL NB_R(nb_power_of_two)(NB_REAL k)
{
#if NB_FLOAT
    union { NB_REAL f; NB_BITS i; } u = {.f = k + NB_K(12582912.0 + 127.0)};
    u.i = u.i << 23;
#else
    union { NB_REAL f; NB_BITS i; } u = {.f = k + (6755399441055744.0 + 1023.0)};
    u.i = u.i << 52;
#endif
    return u.f;
}

/* exp(x) for x <= 700 (float: 80); 0 below -708 (float: -87), where the result leaves the normal range.
 * x = k ln2 + r, |r| <= ln2/2, polynomial of degree 11 (float: 6), relative error 4e-18 (float: 2e-9) before rounding. */
NB_FN NB_REAL NB_R(nb_exp)(NB_REAL x)
{
    const NB_REAL low = NB_SET(NB_K(NB_FLOAT ? -87.0 : -708.0));
    const NB_REAL y = NB_SELECT(x < low, low, x);
    const NB_REAL k = NB_R(nb_round)(y * NB_K(1.4426950408889634074));
#if NB_FLOAT
    const NB_REAL r = (y - k * NB_K(0.693359375)) - k * NB_K(-2.12194440e-4);
    NB_REAL p = r * NB_K(0.0013836835971467488) + NB_K(0.0083748240914357338);
    p = p * r + NB_K(0.0416682261856047856);
    p = p * r + NB_K(0.1666642007158925099);
    p = p * r + NB_K(0.4999999207511155656);
#else
    const NB_REAL r = (y - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    NB_REAL p = r * 2.4994292789951450434e-08 + 2.7632308243338415188e-07;
    p = p * r + 2.7557622654577366354e-06;
    p = p * r + 2.4801486481239125374e-05;
    p = p * r + 1.9841269432430215143e-04;
    p = p * r + 1.3888888951261229554e-03;
    p = p * r + 8.3333333335594548244e-03;
    p = p * r + 4.1666666666492629040e-02;
    p = p * r + 1.6666666666666168159e-01;
    p = p * r + 5.0000000000000177032e-01;
#endif
    p = p * r + NB_K(1);
    p = p * r + NB_K(1);
    return NB_SELECT(x < low, NB_SET(NB_K(0)), p * NB_R(nb_power_of_two)(k));
}

/* 1 - erf(x) for 1 <= x <= 9; at smaller x of no use, at larger ones as at 9: below 1e-36. */
NB_FN NB_REAL NB_R(nb_erf_tail)(NB_REAL x)
{
    const NB_SCALAR far[] = NB_ERF_FAR;
    const NB_REAL end = NB_SET(NB_K(9)), a = NB_SELECT(x < end, x, end);
    const NB_REAL t = NB_DIVIDE(a - NB_K(3), a + NB_K(3));
    NB_REAL q = t * far[0] + far[1];
    for (int k = 2; k < (int)(sizeof far / sizeof far[0]); k++) q = q * t + far[k];
    return q * NB_R(nb_exp)(-a * a);
}

/* erf(x), absolute error below 4e-16 (float: 1e-7), relative error too for |x| < 1. */
NB_FN NB_REAL NB_R(nb_erf)(NB_REAL x)
{
    const NB_SCALAR near[] = NB_ERF_NEAR;
    const NB_REAL one = NB_SET(NB_K(1)), size = NB_ABS(x);
    const NB_REAL a = NB_SELECT(size < one, size, one), z = a * a;
    NB_REAL p = z * near[0] + near[1];
    for (int k = 2; k < (int)(sizeof near / sizeof near[0]); k++) p = p * z + near[k];
    p = a * p + a;
    if (NB_ANY(size >= one)) p = NB_SELECT(size < one, p, one - NB_R(nb_erf_tail)(size));
    return NB_SELECT(x < NB_K(0), -p, p);
}
