/* Small matrix products held in registers: C = A B or C += A B, B and C row-major with rows of whole vectors. */
#ifndef PRODUCTS_H
#define PRODUCTS_H

#include <stddef.h>

#include "bfloat16.h"

/* A's element (row, k) stands at a[row * row_stride + k * k_stride], so that A^T B needs no transposed copy. */
typedef struct {
    const float *at;
    ptrdiff_t row_stride, k_stride;
} Left;

/* What a product's elements are, and what becomes of its sums. */
enum { PLAIN = 0, ADD = 1, RELU = 2, PAIRS = 4 }; /* PAIRS: see bfloat16.h; `depth` and strides then count pairs */

#if LANES == 16
#define TILE_ROWS 8 /* sixteen accumulators keep two multipliers of four to six cycles busy */
#else
#define TILE_ROWS 6 /* twelve accumulators, two vectors of B and one broadcast fill AVX's sixteen registers */
#endif

/* ROWS x (2 or 1 vectors) of C. */
INLINE void tile(const int rows, const int vectors, const int how, int depth, Left a, const float *b, int ldb, float *c, int ldc) {
    vec sum[TILE_ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sum[r][v] = how & ADD ? *(const vec *)(c + r * ldc + v * LANES) : (vec){0};
    for (int k = 0; k < depth; k++) {
        vec right[2];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) right[v] = *(const vec *)(b + (ptrdiff_t)k * ldb + v * LANES);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const float *left = a.at + r * a.row_stride + k * a.k_stride;
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) {
                if (how & PAIRS) sum[r][v] = add_pairs(sum[r][v], everywhere(left), right[v]);
                else sum[r][v] += *left * right[v];
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            vec value = sum[r][v];
            if (how & RELU) value = (vec)((ivec)value & ~(ivec)(value < 0)); /* what is not a number stays so */
            *(vec *)(c + r * ldc + v * LANES) = value;
        }
}

INLINE void column(const int vectors, const int how, int rows, int depth, Left a, const float *b, int ldb, float *c, int ldc) {
    int r = 0;
#define TILES(n)                                                      \
    for (; r + (n) <= rows; r += (n), a.at += (n) * a.row_stride, c += (n) * ldc) \
        tile(n, vectors, how, depth, a, b, ldb, c, ldc)
    TILES(TILE_ROWS);
    TILES(4);
    TILES(2);
    TILES(1);
#undef TILES
}

/* C [rows, columns] (+)= A [rows, depth] B [depth, columns], `how` of the enum above; columns a multiple of LANES. */
INLINE void product(const int how, int rows, int columns, int depth, Left a, const float *b, int ldb, float *c, int ldc) {
    int j = 0;
    for (; j + 2 * LANES <= columns; j += 2 * LANES) column(2, how, rows, depth, a, b + j, ldb, c + j, ldc);
    if (j < columns) column(1, how, rows, depth, a, b + j, ldb, c + j, ldc);
}

#endif
