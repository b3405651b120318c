/* bfloat16 numbers as matrix products take them: two in a lane, the lower one the earlier along the axis that is summed over.

   Sums are float32. Without AVX-512-BF16 the same roundings are done by other instructions, more slowly than float32 takes. */
#ifndef BFLOAT16_H
#define BFLOAT16_H

#if defined(__AVX512BF16__)
#include <immintrin.h>
#define MULTIPLIES_BFLOAT16 1
#else
#define MULTIPLIES_BFLOAT16 0
#endif

#include "vectors.h"

typedef unsigned int uvec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef short svec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef unsigned short halfvec __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef unsigned int word __attribute__((may_alias));

/* Writes past the caches what is not read again soon: a line that is written whole need not be read first. `to` is aligned. */
INLINE void put_away(float *to, vec value) {
#if MULTIPLIES_BFLOAT16
    _mm512_stream_ps(to, (__m512)value);
#else
    *(vec *)to = value;
#endif
}

/* One lane's bits in all lanes. */
INLINE vec everywhere(const float *lane) { return (vec)((uvec){0} + *(const word *)lane); }

/* sum + lower(a) lower(b) + upper(a) upper(b), lane by lane. */
INLINE vec add_pairs(vec sum, vec a, vec b) {
#if MULTIPLIES_BFLOAT16
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
    const uvec upper = (uvec){0} + 0xffff0000u;
    return sum + (vec)((uvec)a << 16) * (vec)((uvec)b << 16) + (vec)((uvec)a & upper) * (vec)((uvec)b & upper);
#endif
}

/* Two vectors, rounded to the nearest, side by side. */
INLINE vec pairs_of(vec lower, vec upper) {
#if MULTIPLIES_BFLOAT16
    static const short order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)upper, (__m512)lower);
    return (vec)_mm512_permutexvar_epi16(_mm512_loadu_si512(order), both);
#else
    const uvec a = (uvec)lower, b = (uvec)upper; /* half of the last place, and the last place itself if that makes it even */
    return (vec)(((a + 0x7fff + ((a >> 16) & 1)) >> 16) | ((b + 0x7fff + ((b >> 16) & 1)) & 0xffff0000u));
#endif
}

/* `pairs` where those of `sign` are above 0, else 0. */
INLINE vec where_positive_pairs(vec sign, vec pairs) { return (vec)((svec)pairs & (svec)((svec)sign > 0)); }

/* All lower numbers, and all upper ones, as rows of their own: pairs along one axis become neighbors along the other. */
INLINE void part_pairs(vec pairs, void *lower, void *upper) {
    *(halfvec *)lower = __builtin_convertvector((uvec)pairs, halfvec);
    *(halfvec *)upper = __builtin_convertvector((uvec)pairs >> 16, halfvec);
}

#endif
