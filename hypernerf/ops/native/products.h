/* Small matrix products held in registers: C = A B or C += A B, B and C row-major with rows of whole vectors. */
#ifndef PRODUCTS_H
#define PRODUCTS_H

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

/* A's element (row, k) stands at a[row * row_stride + k * k_stride], so that A^T B needs no transposed copy. */
typedef struct {
    const float *at;
    ptrdiff_t row_stride, k_stride;
} Left;

/* ROWS x (2 or 1 vectors) of C. Twelve accumulators, two vectors of B and one broadcast fill AVX's sixteen registers. */
INLINE void tile(const int rows, const int vectors, const int add, const int relu, int depth, Left a, const float *b, int ldb,
                 float *c, int ldc) {
    vec sum[6][2];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sum[r][v] = add ? *(const vec *)(c + r * ldc + v * LANES) : (vec){0};
    for (int k = 0; k < depth; k++) {
        vec right[2];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) right[v] = *(const vec *)(b + (ptrdiff_t)k * ldb + v * LANES);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const float left = a.at[r * a.row_stride + k * a.k_stride];
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[r][v] += left * right[v];
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            vec value = sum[r][v];
            if (relu) value = where_positive(value, value);
            *(vec *)(c + r * ldc + v * LANES) = value;
        }
}

INLINE void column(const int vectors, const int add, const int relu, int rows, int depth, Left a, const float *b, int ldb,
                   float *c, int ldc) {
    int r = 0;
    for (; r + 6 <= rows; r += 6, a.at += 6 * a.row_stride, c += 6 * ldc)
        tile(6, vectors, add, relu, depth, a, b, ldb, c, ldc);
    switch (rows - r) {
    case 5: tile(5, vectors, add, relu, depth, a, b, ldb, c, ldc); break;
    case 4: tile(4, vectors, add, relu, depth, a, b, ldb, c, ldc); break;
    case 3: tile(3, vectors, add, relu, depth, a, b, ldb, c, ldc); break;
    case 2: tile(2, vectors, add, relu, depth, a, b, ldb, c, ldc); break;
    case 1: tile(1, vectors, add, relu, depth, a, b, ldb, c, ldc); break;
    }
}

/* C [rows, columns] (+)= A [rows, depth] B [depth, columns], then max(C, 0) with `relu`; columns a multiple of LANES. */
INLINE void product(const int add, const int relu, int rows, int columns, int depth, Left a, const float *b, int ldb, float *c,
                    int ldc) {
    int j = 0;
    for (; j + 2 * LANES <= columns; j += 2 * LANES) column(2, add, relu, rows, depth, a, b + j, ldb, c + j, ldc);
    if (j < columns) column(1, add, relu, rows, depth, a, b + j, ldb, c + j, ldc);
}

#endif
