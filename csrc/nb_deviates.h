/* Deviates of nb_philox.h's generator, stamped out for one real type of double like nb_math.h, which see.
 *
 * Beside nb_math.h's macros: NB_R(nb_product), 64 bits of a product of the low 32 bits; NB_R(nb_gather).
 * Formulas: beyond 13.2.  All are the same to the bit for scalars and for the lanes of vectors. */
#include "nb_kind.h"

/* Block number `draw` of a pixel: four words in the low halves; the high halves mean nothing. */
NB_FN void NB_R(nb_block)(const nb_draws *d, NB_BITS pixel, uint32_t draw, NB_BITS w[4])
{
    const NB_BITS none = pixel ^ pixel;
    NB_BITS c0 = pixel, c1 = none + draw, c2 = none + d->image, c3 = none + d->stage;
    uint32_t k0 = d->key[0], k1 = d->key[1];
    for (int round = 0; round < NB_PHILOX_ROUNDS; round++) {
        const NB_BITS p0 = NB_R(nb_product)(c0, NB_PHILOX_M0), p1 = NB_R(nb_product)(c2, NB_PHILOX_M1);
        c0 = (p1 >> 32) ^ c1 ^ k0;
        c1 = p1;
        c2 = (p0 >> 32) ^ c3 ^ k1;
        c3 = p0;
        k0 += NB_PHILOX_W0;
        k1 += NB_PHILOX_W1;
    }
    w[0] = c0, w[1] = c1, w[2] = c2, w[3] = c3;
}

/* (floor((high 2^32 + low) / 2^12) + 1/2) 2^-52, in (0, 1): the whole part becomes the fraction of a number from 1 to 2 */
NB_FN NB_REAL NB_R(nb_unit)(NB_BITS high, NB_BITS low)
{
    const NB_BITS whole = ((high << 32) | (low & 0xffffffffu)) >> 12;
    const union { NB_BITS i; NB_REAL f; } x = {.i = whole | 0x3ff0000000000000u};
    return x.f - (1.0 - 0.5 / 4503599627370496.0);
}

/* The two uniform deviates of a block. */
NB_FN void NB_R(nb_uniforms)(const nb_draws *d, NB_BITS pixel, uint32_t draw, NB_REAL u[2])
{
    NB_BITS w[4];
    NB_R(nb_block)(d, pixel, draw, w);
    u[0] = NB_R(nb_unit)(w[0], w[1]);
    u[1] = NB_R(nb_unit)(w[2], w[3]);
}

/* c[0] x^(n-1) + ... + c[n-1] */
NB_FN NB_REAL NB_R(nb_polynomial)(NB_REAL x, const NB_SCALAR *c, const int n)
{
    NB_REAL p = x * c[0] + c[1];
    for (int i = 2; i < n; i++) p = p * x + c[i];
    return p;
}

/* ln x of a normal x > 0: x = 2^e f, f in [sqrt(1/2), sqrt 2), s = (f - 1)/(f + 1), ln f = 2 s + s^3 Q(s^2).
 * Q has a relative error of 1.3e-18 before rounding. */
NB_FN NB_REAL NB_R(nb_ln)(NB_REAL x)
{
    const NB_SCALAR c[] = {0.1479594599396042708321, 0.1531405091210091379763, 0.1818356431253178344468,
                           0.2222219857343531547327, 0.2857142874238529537848, 0.3999999999941468826421,
                           0.66666666666667344108};
    const uint64_t root = 0x3fe6a09e667f3bcdu; /* bits of sqrt(1/2) */
    union { NB_REAL f; NB_BITS i; } u = {.f = x}, e;
    u.i += 0x3ff0000000000000u - root;
    e.i = (u.i >> 52) | 0x4330000000000000u; /* 2^52 + the exponent's field */
    u.i = (u.i & 0xfffffffffffffu) + root;
    const NB_REAL k = e.f - (4503599627370496.0 + 1023.0), g = u.f - 1.0;
    const NB_REAL s = g / (g + 2.0), z = s * s;
    return k * 6.93147180369123816490e-01
         + (s * z * NB_R(nb_polynomial)(z, c, 7) + k * 1.90821492927058770002e-10 + 2.0 * s);
}

/* ln k! of a whole k >= 0: a table to 15, above it Stirling's series (error 1e-16). */
NB_FN NB_REAL NB_R(nb_ln_factorial)(NB_REAL k)
{
    static const double table[16] = {0.0, 0.0, 0.6931471805599453094172, 1.791759469228055000812, 3.178053830347945619647,
                                     4.787491742782045994248, 6.57925121201010099506, 8.525161361065414300166,
                                     10.60460290274525022842, 12.80182748008146961121, 15.10441257307551529523,
                                     17.50230784587388583929, 19.98721449566188614952, 22.55216385312342288557,
                                     25.19122118273868150009, 27.89927138384089156609};
    const NB_MASK few = k < 16.0;
    const NB_REAL n = NB_SELECT(few, NB_SET(16.0), k), v = 1.0 / n, w = v * v;
    const NB_SCALAR c[] = {1.0 / 1188.0, -1.0 / 1680.0, 1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0};
    const NB_REAL many = (n + 0.5) * NB_R(nb_ln)(n) - n + 0.91893853320467274178 + NB_R(nb_polynomial)(w, c, 5) * v;
    return NB_ANY(few) ? NB_R(nb_gather)(table, k, few, many) : many;
}

/* ratio of two polynomials of degree 7, highest power first */
NB_FN NB_REAL NB_R(nb_ratio)(NB_REAL x, const NB_SCALAR above[8], const NB_SCALAR below[8])
{
    return NB_R(nb_polynomial)(x, above, 8) / NB_R(nb_polynomial)(x, below, 8);
}

/* Normal deviate of a uniform one: Wichura's AS 241 (PPND16, Appl. Statist. 37, 477), relative error 1e-16. */
NB_FN NB_REAL NB_R(nb_normal)(NB_REAL u)
{
    const NB_SCALAR a[8] = {2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4,
                            4.5921953931549871457e+4, 1.3731693765509461125e+4, 1.9715909503065514427e+3,
                            1.3314166789178437745e+2, 3.3871328727963666080e+0};
    const NB_SCALAR b[8] = {5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4,
                            2.1213794301586595867e+4, 5.3941960214247511077e+3, 6.8718700749205790830e+2,
                            4.2313330701600911252e+1, 1.0};
    const NB_SCALAR c[8] = {7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
                            1.27045825245236838258e+0, 3.64784832476320460504e+0, 5.76949722146069140550e+0,
                            4.63033784615654529590e+0, 1.42343711074968357734e+0};
    const NB_SCALAR d[8] = {1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
                            1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e+0,
                            2.05319162663775882187e+0, 1.0};
    const NB_SCALAR e[8] = {2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3,
                            2.65321895265761230930e-2, 2.96560571828504891230e-1, 1.78482653991729133580e+0,
                            5.46378491116411436990e+0, 6.65790464350110377720e+0};
    const NB_SCALAR f[8] = {2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5,
                            7.86869131145613259100e-4, 1.48753612908506148525e-2, 1.36929880922735805310e-1,
                            5.99832206555887937690e-1, 1.0};
    const NB_REAL q = u - 0.5;
    const NB_MASK tail = NB_ABS(q) > 0.425;
    NB_REAL z = q * NB_R(nb_ratio)(0.180625 - q * q, a, b);
    if (NB_ANY(tail)) {
        const NB_REAL t = NB_SQRT(-NB_R(nb_ln)(NB_SELECT(q < 0.0, u, 1.0 - u)));
        NB_REAL v = NB_R(nb_ratio)(t - 1.6, c, d);
        const NB_MASK far = tail & (t > 5.0);
        if (NB_ANY(far)) v = NB_SELECT(far, NB_R(nb_ratio)(t - 5.0, e, f), v);
        z = NB_SELECT(tail, NB_SELECT(q < 0.0, -v, v), z);
    }
    return z;
}

/* The normal deviate of a pixel. */
NB_FN NB_REAL NB_R(nb_normal_of)(const nb_draws *d, NB_BITS pixel, uint32_t draw)
{
    NB_REAL u[2];
    NB_R(nb_uniforms)(d, pixel, draw, u);
    return NB_R(nb_normal)(u[0]);
}

/* Largest whole number not above x, of any size. */
NB_FN NB_REAL NB_R(nb_whole)(NB_REAL x)
{
    const NB_REAL near = NB_R(nb_round)(x), v = near - NB_SELECT(near > x, NB_SET(1.0), NB_SET(0.0));
    return NB_SELECT(NB_ABS(x) < 2251799813685248.0, v, x);
}

/* Poisson deviate of a mean 0 <= m < 10 by inversion: the first k whose cumulative probability reaches u.  p: exp(-m) */
NB_FN NB_REAL NB_R(nb_poisson_small)(NB_REAL m, NB_REAL p, NB_REAL u)
{
    NB_REAL sum = p, k = NB_SET(0.0);
    NB_MASK going = u > sum;
    for (double next = 1.0; NB_ANY(going); next += 1.0) {
        k = NB_SELECT(going, NB_SET(next), k);
        p *= m / next;
        sum += p;
        going = going & (u > sum) & (p >= 1e-18 * sum); /* rounded, the sum may end below u */
    }
    return k;
}

/* Binomial deviate of n trials with the probability p <= 1/2, n p < 10, by inversion as above. */
NB_FN NB_REAL NB_R(nb_binomial_small)(NB_REAL n, NB_REAL p, NB_REAL u)
{
    const NB_REAL q = 1.0 - p, lost = (1.0 - q) - p; /* q + lost is 1 - p before rounding */
    const NB_REAL odds = p / q;
    NB_REAL P = NB_R(nb_exp)(n * (NB_R(nb_ln)(q) + lost / q)), sum = P, k = NB_SET(0.0);
    NB_MASK going = (u > sum) & (n > 0.0);
    for (double next = 1.0; NB_ANY(going); next += 1.0) {
        k = NB_SELECT(going, NB_SET(next), k);
        P *= (n - next + 1.0) / next * odds;
        sum += P;
        going = going & (u > sum) & (P >= 1e-18 * sum) & (n > next);
    }
    return k;
}

/* One attempt at a Poisson deviate of a mean of 10 to 1e9, Hoermann's PTRS (Insurance: Math. Econ. 12, 39, 1993): from
 * two uniform deviates k, and whether it is accepted, or left to nb_poisson_weighed; neither: it is rejected. */
NB_FN NB_REAL NB_R(nb_poisson_trial)(NB_REAL m, NB_REAL u, NB_REAL v, NB_MASK *accepted, NB_MASK *open)
{
    const NB_REAL b = 0.931 + 2.53 * NB_SQRT(m), a = -0.059 + 0.02483 * b;
    const NB_REAL U = u - 0.5, s = 0.5 - NB_ABS(U);
    const NB_REAL k = NB_R(nb_whole)((2.0 * a / s + b) * U + m + 0.43);
    *accepted = (s >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2.0));
    *open = (k >= 0.0) & ((s >= 0.013) | (v <= s));
    return k;
}

/* Whether the k of an attempt that was left open is accepted: v/alpha / (a/s^2 + b), with 1/alpha = 1.1239 + 1.1328/(b - 3.4)
 * and all as one quotient, is not above m^k exp(-m)/k!. */
NB_FN NB_MASK NB_R(nb_poisson_weighed)(NB_REAL m, NB_REAL u, NB_REAL v, NB_REAL k)
{
    const NB_REAL b = 0.931 + 2.53 * NB_SQRT(m), a = -0.059 + 0.02483 * b, c = b - 3.4;
    const NB_REAL s = 0.5 - NB_ABS(u - 0.5), square = s * s;
    return NB_R(nb_ln)(v * square * (1.1239 * c + 1.1328) / (c * (a + b * square)))
        <= k * NB_R(nb_ln)(m) - m - NB_R(nb_ln_factorial)(k);
}

/* Of a mean above 1e9: normal. */
NB_FN NB_REAL NB_R(nb_poisson_large)(NB_REAL m, NB_REAL u)
{
    return NB_R(nb_whole)(m + NB_SQRT(m) * NB_R(nb_normal)(u) + 0.5);
}
