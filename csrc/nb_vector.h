/* Vectors of the width of one instruction set: the only file that knows about registers.
 *
 * NB_WIDTH is 16, 32 or 64 bytes, from the compiler's flags.  The arithmetic is GCC's and clang's vector extension, so
 * the formulas in nb_math.h, nb_lattice.h and nb_sample.h serve scalars and vectors alike. */
#ifndef NB_VECTOR_H
#define NB_VECTOR_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define NB_WIDTH 64
#include <immintrin.h>
#elif defined(__AVX2__)
#define NB_WIDTH 32
#include <immintrin.h>
#else
#define NB_WIDTH 16
#if defined(__SSE2__)
#include <immintrin.h>
#endif
#endif

#define NB_LANES (NB_WIDTH / 8)  /* doubles in a vector */
#define NB_FLANES (NB_WIDTH / 4) /* floats in a vector */

typedef double nb_vd __attribute__((vector_size(NB_WIDTH)));
typedef int64_t nb_vdmask __attribute__((vector_size(NB_WIDTH)));
typedef uint64_t nb_vdbits __attribute__((vector_size(NB_WIDTH)));
typedef float nb_vf __attribute__((vector_size(NB_WIDTH)));
typedef int32_t nb_vfmask __attribute__((vector_size(NB_WIDTH)));
typedef uint32_t nb_vfbits __attribute__((vector_size(NB_WIDTH)));
typedef float nb_vhalf __attribute__((vector_size(NB_WIDTH / 2))); /* NB_LANES floats */

/* before a loop over a tile: one vector in flight per round fills the pipes; unrolled further, registers spill */
#if defined(__clang__)
#define NB_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define NB_ROLLED _Pragma("GCC unroll 1")
#endif

#define NB_INLINE static inline __attribute__((always_inline))

NB_INLINE nb_vd nb_select_vd(nb_vdmask m, nb_vd a, nb_vd b)
{
    return (nb_vd)((m & (nb_vdmask)a) | (~m & (nb_vdmask)b));
}

NB_INLINE nb_vf nb_select_vf(nb_vfmask m, nb_vf a, nb_vf b)
{
    return (nb_vf)((m & (nb_vfmask)a) | (~m & (nb_vfmask)b));
}

NB_INLINE nb_vd nb_abs_vd(nb_vd a)
{
    return (nb_vd)((nb_vdmask)a & INT64_MAX);
}

NB_INLINE nb_vf nb_abs_vf(nb_vf a)
{
    return (nb_vf)((nb_vfmask)a & INT32_MAX);
}

NB_INLINE nb_vf nb_max_vf(nb_vf a, nb_vf b)
{
#if NB_WIDTH == 64
    return (nb_vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif NB_WIDTH == 32
    return (nb_vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (nb_vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return nb_select_vf(a > b, a, b);
#endif
}

NB_INLINE nb_vf nb_min_vf(nb_vf a, nb_vf b)
{
#if NB_WIDTH == 64
    return (nb_vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif NB_WIDTH == 32
    return (nb_vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (nb_vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return nb_select_vf(a < b, a, b);
#endif
}

/* a where it is larger, else b: so b where a is not a number */
NB_INLINE nb_vd nb_larger_vd(nb_vd a, nb_vd b)
{
#if NB_WIDTH == 64
    return (nb_vd)_mm512_max_pd((__m512d)a, (__m512d)b);
#elif NB_WIDTH == 32
    return (nb_vd)_mm256_max_pd((__m256d)a, (__m256d)b);
#elif defined(__SSE2__)
    return (nb_vd)_mm_max_pd((__m128d)a, (__m128d)b);
#else
    return nb_select_vd(a > b, a, b);
#endif
}

NB_INLINE nb_vd nb_sqrt_vd(nb_vd a)
{
#if NB_WIDTH == 64
    return (nb_vd)_mm512_sqrt_pd((__m512d)a);
#elif NB_WIDTH == 32
    return (nb_vd)_mm256_sqrt_pd((__m256d)a);
#elif defined(__SSE2__)
    return (nb_vd)_mm_sqrt_pd((__m128d)a);
#else
    for (int i = 0; i < NB_LANES; i++) a[i] = __builtin_sqrt(a[i]);
    return a;
#endif
}

NB_INLINE nb_vf nb_sqrt_vf(nb_vf a)
{
#if NB_WIDTH == 64
    return (nb_vf)_mm512_sqrt_ps((__m512)a);
#elif NB_WIDTH == 32
    return (nb_vf)_mm256_sqrt_ps((__m256)a);
#elif defined(__SSE2__)
    return (nb_vf)_mm_sqrt_ps((__m128)a);
#else
    for (int i = 0; i < NB_FLANES; i++) a[i] = __builtin_sqrtf(a[i]);
    return a;
#endif
}

#if NB_WIDTH == 64 && defined(__AVX512DQ__)
/* a minus the nearest integer, ties to even, in one instruction */
#define NB_REDUCE_VD(a) ((nb_vd)_mm512_reduce_pd((__m512d)(a), 8))
#define NB_REDUCE_VF(a) ((nb_vf)_mm512_reduce_ps((__m512)(a), 8))
#endif

/* 64 bits of the products of b and the low 32 bits of each lane */
NB_INLINE nb_vdbits nb_product_vd(nb_vdbits a, uint32_t b)
{
#if NB_WIDTH == 64
    return (nb_vdbits)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif NB_WIDTH == 32
    return (nb_vdbits)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif defined(__SSE2__)
    return (nb_vdbits)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#else
    return (a & 0xffffffffu) * b;
#endif
}

/* Stores the lanes whose bits are set one after the other; what follows them, up to a vector's room, is undefined. */
NB_INLINE void nb_pack(void *to, nb_vdbits v, unsigned bits)
{
#if NB_WIDTH == 64
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi64((__mmask8)bits, (__m512i)v));
#elif NB_WIDTH == 32
#define NB_ORDER(a, b, c) {2 * a, 2 * a + 1, 2 * b, 2 * b + 1, 2 * c, 2 * c + 1, 6, 7}
    static const int32_t order[16][8] = {NB_ORDER(0, 0, 0), NB_ORDER(0, 0, 0), NB_ORDER(1, 0, 0), NB_ORDER(0, 1, 0),
                                         NB_ORDER(2, 0, 0), NB_ORDER(0, 2, 0), NB_ORDER(1, 2, 0), NB_ORDER(0, 1, 2),
                                         NB_ORDER(3, 0, 0), NB_ORDER(0, 3, 0), NB_ORDER(1, 3, 0), NB_ORDER(0, 1, 3),
                                         NB_ORDER(2, 3, 0), NB_ORDER(0, 2, 3), NB_ORDER(1, 2, 3), NB_ORDER(0, 1, 2)};
#undef NB_ORDER
    const __m256i places = _mm256_loadu_si256((const __m256i *)order[bits & 15]);
    _mm256_storeu_si256((__m256i *)to, _mm256_permutevar8x32_epi32((__m256i)v, places));
#else
    uint64_t lanes[NB_LANES];
    int n = 0;
    for (int i = 0; i < NB_LANES; i++) {
        lanes[n] = v[i];
        n += (int)(bits >> i & 1);
    }
    memcpy(to, lanes, sizeof lanes);
#endif
}

/* 1/sqrt(a) for a > 0: where the processor has an estimate good to 2^-14, Newton's steps beat its square root and division */
NB_INLINE nb_vd nb_rsqrt_vd(nb_vd a)
{
#if NB_WIDTH == 64
    nb_vd r = (nb_vd)_mm512_rsqrt14_pd((__m512d)a);
    const nb_vd half = 0.5 * a;
    r += r * (0.5 - half * r * r);
    return r + r * (0.5 - half * r * r);
#else
    return 1.0 / nb_sqrt_vd(a);
#endif
}

NB_INLINE nb_vf nb_rsqrt_vf(nb_vf a)
{
#if NB_WIDTH == 64
    const nb_vf r = (nb_vf)_mm512_rsqrt14_ps((__m512)a);
    return r + r * (0.5f - 0.5f * a * r * r);
#else
    return 1.0f / nb_sqrt_vf(a);
#endif
}

/* one bit per lane, the first lane lowest */
NB_INLINE unsigned nb_bits_vd(nb_vdmask m)
{
#if NB_WIDTH == 64
    return _mm512_movepi64_mask((__m512i)m);
#elif NB_WIDTH == 32
    return (unsigned)_mm256_movemask_pd((__m256d)m);
#elif defined(__SSE2__)
    return (unsigned)_mm_movemask_pd((__m128d)m);
#else
    unsigned bits = 0;
    for (int i = 0; i < NB_LANES; i++) bits |= (unsigned)(m[i] & 1) << i;
    return bits;
#endif
}

NB_INLINE unsigned nb_bits_vf(nb_vfmask m)
{
#if NB_WIDTH == 64
    return _mm512_movepi32_mask((__m512i)m);
#elif NB_WIDTH == 32
    return (unsigned)_mm256_movemask_ps((__m256)m);
#elif defined(__SSE2__)
    return (unsigned)_mm_movemask_ps((__m128)m);
#else
    unsigned bits = 0;
    for (int i = 0; i < NB_FLANES; i++) bits |= (unsigned)(m[i] & 1) << i;
    return bits;
#endif
}

/* table[place] where the mask is set, `other` elsewhere; place is a whole number below 2^31 in the lanes that are set */
NB_INLINE nb_vd nb_gather(const double *table, nb_vd place, nb_vdmask inside, nb_vd other)
{
#if NB_WIDTH == 64
    return (nb_vd)_mm512_mask_i32gather_pd((__m512d)other, _mm512_movepi64_mask((__m512i)inside),
                                           _mm512_cvttpd_epi32((__m512d)place), table, 8);
#elif NB_WIDTH == 32
    return (nb_vd)_mm256_mask_i32gather_pd((__m256d)other, table, _mm256_cvttpd_epi32((__m256d)place), (__m256d)inside, 8);
#else
    for (int i = 0; i < NB_LANES; i++)
        if (inside[i]) other[i] = table[(int64_t)place[i]];
    return other;
#endif
}

/* table[place] of floats */
NB_INLINE nb_vf nb_gather_vf(const float *table, nb_vfmask place)
{
#if NB_WIDTH == 64
    return (nb_vf)_mm512_i32gather_ps((__m512i)place, table, 4);
#elif NB_WIDTH == 32
    return (nb_vf)_mm256_i32gather_ps(table, (__m256i)place, 4);
#else
    nb_vf out;
    for (int i = 0; i < NB_FLANES; i++) out[i] = table[place[i]];
    return out;
#endif
}

/* four numbers for each lane, which stand side by side from table[place[lane]] on, as four vectors */
NB_INLINE void nb_load_rows(const double *table, const int32_t place[NB_LANES], nb_vd out[4])
{
#if NB_WIDTH == 32
    __m256d row[4];
    for (int i = 0; i < 4; i++) row[i] = _mm256_loadu_pd(table + place[i]);
    const __m256d even[2] = {_mm256_unpacklo_pd(row[0], row[1]), _mm256_unpacklo_pd(row[2], row[3])};
    const __m256d odd[2] = {_mm256_unpackhi_pd(row[0], row[1]), _mm256_unpackhi_pd(row[2], row[3])};
    out[0] = (nb_vd)_mm256_permute2f128_pd(even[0], even[1], 0x20);
    out[1] = (nb_vd)_mm256_permute2f128_pd(odd[0], odd[1], 0x20);
    out[2] = (nb_vd)_mm256_permute2f128_pd(even[0], even[1], 0x31);
    out[3] = (nb_vd)_mm256_permute2f128_pd(odd[0], odd[1], 0x31);
#else
    const double *row[NB_LANES];
    for (int i = 0; i < NB_LANES; i++) row[i] = table + place[i];
    for (int m = 0; m < 4; m++)
#if NB_WIDTH == 64
        out[m] = (nb_vd){row[0][m], row[1][m], row[2][m], row[3][m], row[4][m], row[5][m], row[6][m], row[7][m]};
#else
        out[m] = (nb_vd){row[0][m], row[1][m]};
#endif
#endif
}

NB_INLINE nb_vd nb_load_vd(const double *p) { return *(const nb_vd *)p; }
NB_INLINE nb_vf nb_load_vf(const float *p) { return *(const nb_vf *)p; }
NB_INLINE void nb_store_vd(double *p, nb_vd v) { *(nb_vd *)p = v; }

/* a vector of doubles rounded to float, and back; what the compiler makes of the builtin takes several steps at 64 bytes */
NB_INLINE nb_vhalf nb_narrow(nb_vd v)
{
#if NB_WIDTH == 64
    return (nb_vhalf)_mm512_cvtpd_ps((__m512d)v);
#else
    return __builtin_convertvector(v, nb_vhalf);
#endif
}

NB_INLINE nb_vd nb_widen(nb_vhalf v)
{
#if NB_WIDTH == 64
    return (nb_vd)_mm512_cvtps_pd((__m256)v);
#else
    return __builtin_convertvector(v, nb_vd);
#endif
}

/* NB_LANES doubles rounded to float; returns what was stored */
NB_INLINE nb_vd nb_store_narrow(float *p, nb_vd v)
{
    const nb_vhalf rounded = nb_narrow(v);
    *(nb_vhalf *)p = rounded;
    return nb_widen(rounded);
}

/* table[place] rounded to float where the mask is set, `other` elsewhere */
NB_INLINE nb_vf nb_gather_narrow(const double *table, nb_vfmask place, nb_vfmask inside, float other)
{
#if NB_WIDTH == 64
    const __mmask16 m = _mm512_movepi32_mask((__m512i)inside);
    const __m512d none = _mm512_set1_pd(other);
    const __m512d low = _mm512_mask_i32gather_pd(none, (__mmask8)m, _mm512_castsi512_si256((__m512i)place), table, 8);
    const __m512d high = _mm512_mask_i32gather_pd(none, (__mmask8)(m >> 8), _mm512_extracti64x4_epi64((__m512i)place, 1), table, 8);
    return (nb_vf)_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
#elif NB_WIDTH == 32
    const __m256d none = _mm256_set1_pd(other);
    const __m128i at[2] = {_mm256_castsi256_si128((__m256i)place), _mm256_extracti128_si256((__m256i)place, 1)};
    const __m128i set[2] = {_mm256_castsi256_si128((__m256i)inside), _mm256_extracti128_si256((__m256i)inside, 1)};
    __m128 half[2];
    for (int i = 0; i < 2; i++)
        half[i] = _mm256_cvtpd_ps(_mm256_mask_i32gather_pd(none, table, at[i], (__m256d)_mm256_cvtepi32_epi64(set[i]), 8));
    return (nb_vf)_mm256_insertf128_ps(_mm256_castps128_ps256(half[0]), half[1], 1);
#else
    nb_vf out = other - (nb_vf){0};
    for (int i = 0; i < NB_FLANES; i++)
        if (inside[i]) out[i] = (float)table[place[i]];
    return out;
#endif
}

/* without their signs as of int32; of -2^31 itself */
NB_INLINE nb_vfbits nb_abs_words(nb_vfbits a)
{
#if NB_WIDTH == 64
    return (nb_vfbits)_mm512_abs_epi32((__m512i)a);
#elif NB_WIDTH == 32
    return (nb_vfbits)_mm256_abs_epi32((__m256i)a);
#else
    const nb_vfbits sign = (nb_vfbits)((nb_vfmask)a >> 31);
    return (a ^ sign) - sign;
#endif
}

/* low words of two vectors of doubles, or the high ones, in the order of nb_join; high: a constant at each call */
NB_INLINE nb_vfbits nb_words(nb_vd first, nb_vd second, const int high)
{
#if NB_WIDTH == 64
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i each = high ? _mm512_add_epi32(even, _mm512_set1_epi32(1)) : even;
    return (nb_vfbits)_mm512_permutex2var_epi32((__m512i)first, each, (__m512i)second);
#elif NB_WIDTH == 32
    const __m256 a = (__m256)first, b = (__m256)second;
    const __m256 words = high ? _mm256_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)) : _mm256_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0));
    return (nb_vfbits)_mm256_permute4x64_epi64((__m256i)words, _MM_SHUFFLE(3, 1, 2, 0));
#elif defined(__SSE2__)
    const __m128 a = (__m128)first, b = (__m128)second;
    return (nb_vfbits)(high ? _mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)) : _mm_shuffle_ps(a, b, _MM_SHUFFLE(2, 0, 2, 0)));
#else
    const int shift = high ? 32 : 0;
    nb_vfbits out;
    for (int i = 0; i < NB_LANES; i++) {
        out[i] = (uint32_t)(((nb_vdbits)first)[i] >> shift);
        out[NB_LANES + i] = (uint32_t)(((nb_vdbits)second)[i] >> shift);
    }
    return out;
#endif
}

/* two vectors of doubles as one of floats, and one half of it again */
NB_INLINE nb_vf nb_join(nb_vd low, nb_vd high)
{
    const nb_vhalf a = nb_narrow(low), b = nb_narrow(high);
#if NB_WIDTH == 64
    return (nb_vf)_mm512_insertf32x8(_mm512_castps256_ps512((__m256)a), (__m256)b, 1);
#elif NB_WIDTH == 32
    return (nb_vf)_mm256_insertf128_ps(_mm256_castps128_ps256((__m128)a), (__m128)b, 1);
#else
    return (nb_vf){a[0], a[1], b[0], b[1]};
#endif
}

NB_INLINE nb_vd nb_part(nb_vf v, int high)
{
#if NB_WIDTH == 64
    const nb_vhalf half = (nb_vhalf)(high ? _mm512_extractf32x8_ps((__m512)v, 1) : _mm512_castps512_ps256((__m512)v));
#elif NB_WIDTH == 32
    const nb_vhalf half = (nb_vhalf)(high ? _mm256_extractf128_ps((__m256)v, 1) : _mm256_castps256_ps128((__m256)v));
#else
    const nb_vhalf half = high ? (nb_vhalf){v[2], v[3]} : (nb_vhalf){v[0], v[1]};
#endif
    return nb_widen(half);
}

/* sum of the lanes, in a fixed order */
NB_INLINE double nb_lane_sum(nb_vd v)
{
    double total = 0.0;
    for (int i = 0; i < NB_LANES; i++) total += v[i];
    return total;
}

#endif
