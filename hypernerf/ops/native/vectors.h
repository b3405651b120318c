/* The machine's vectors of float32, in whatever width it has them, and room for them. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stddef.h>
#include <stdlib.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define WHOLE(n) (((n) + LANES - 1) / LANES * LANES)
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* Room for so many floats, aligned to a cache line; null if there is none. */
INLINE float *reserve(size_t count) {
    void *at = NULL;
    return posix_memalign(&at, 64, (count ? count : 1) * sizeof(float)) ? NULL : at;
}

INLINE int thread_number(void) {
#ifdef _OPENMP
    extern int omp_get_thread_num(void);
    return omp_get_thread_num();
#else
    return 0;
#endif
}

/* `value` where `sign` is above 0, else 0. */
INLINE vec where_positive(vec sign, vec value) { return (vec)((ivec)value & (ivec)(sign > 0)); }

INLINE vec choose(ivec which, vec yes, vec no) { return (vec)((which & (ivec)yes) | (~which & (ivec)no)); }

/* `low` also for what is not a number. The C library's fminf and fmaxf are calls, which no loop survives as vectors. */
INLINE vec between(vec value, float low, float high) {
    value = choose(value > low, value, (vec){0} + low);
    return choose(value < high, value, (vec){0} + high);
}

/* Which of `count` values are above 0, a byte for each; and values, where they were, else 0. */
INLINE void keep_signs(int count, const float *values, signed char *signs) {
    for (int i = 0; i < count; i++) signs[i] = values[i] > 0 ? -1 : 0;
}
INLINE void where_kept(int count, const signed char *signs, float *values) {
    for (int i = 0; i < count; i++) values[i] = signs[i] ? values[i] : 0;
}

#endif
