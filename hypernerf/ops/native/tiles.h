/* Products of bfloat16 pairs by AMX: registers of 16 rows of 16 lanes, multiplied as matrices, ten times as fast as vectors are. */
#ifndef TILES_H
#define TILES_H

#include "products.h"

#if defined(__AMX_BF16__) && defined(__linux__) && MULTIPLIES_BFLOAT16
#include <sys/syscall.h>
#include <unistd.h>
#define MULTIPLIES_TILES 1

enum { SIDE = 16, TILE = SIDE * SIDE, MOST_TILES = 6 }; /* MOST_TILES: along the depth of a product whose left side is turned */

/* Linux has to be asked, once a process, and may refuse. */
INLINE int tiles_are_allowed(void) { return !syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* XTILEDATA */); }

/* Eight tiles, all of the same shape; other code of this thread may want them otherwise afterwards. */
INLINE void begin_tiles(void) {
    struct {
        unsigned char palette, first_row, reserved[14];
        unsigned short bytes[16];
        unsigned char rows[16];
    } shapes __attribute__((aligned(64))) = {.palette = 1};
    for (int i = 0; i < 8; i++) shapes.bytes[i] = SIDE * sizeof(float), shapes.rows[i] = SIDE;
    _tile_loadconfig(&shapes);
}
INLINE void end_tiles(void) { _tile_release(); }

/* The compiler does not know that tiles are loaded from memory: what they read must have been written. */
#define WRITTEN_BEFORE_TILES() __asm__ volatile("" ::: "memory")

/* SIDE x SIDE lanes, rows as columns. */
INLINE void transpose(const float *from, ptrdiff_t stride, float *to) {
    __m512 a[SIDE], b[SIDE];
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++) a[i] = _mm512_loadu_ps(from + i * stride);
#pragma GCC unroll 8
    for (int i = 0; i < SIDE; i += 2) b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]), b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
#define HALVES(half, x, y) (__m512) _mm512_unpack##half##_pd((__m512d)(x), (__m512d)(y))
#pragma GCC unroll 4
    for (int i = 0; i < SIDE; i += 4) { /* now a[i + j], quarter q, is column 4q + j of rows i to i + 3 */
        a[i] = HALVES(lo, b[i], b[i + 2]), a[i + 1] = HALVES(hi, b[i], b[i + 2]);
        a[i + 2] = HALVES(lo, b[i + 1], b[i + 3]), a[i + 3] = HALVES(hi, b[i + 1], b[i + 3]);
    }
#undef HALVES
#define EVEN(x, y) _mm512_shuffle_f32x4(x, y, 0x88)
#define ODD(x, y) _mm512_shuffle_f32x4(x, y, 0xdd)
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const __m512 even = EVEN(a[j], a[4 + j]), even_below = EVEN(a[8 + j], a[12 + j]);
        const __m512 odd = ODD(a[j], a[4 + j]), odd_below = ODD(a[8 + j], a[12 + j]);
        _mm512_storeu_ps(to + j * SIDE, EVEN(even, even_below));
        _mm512_storeu_ps(to + (4 + j) * SIDE, EVEN(odd, odd_below));
        _mm512_storeu_ps(to + (8 + j) * SIDE, ODD(even, even_below));
        _mm512_storeu_ps(to + (12 + j) * SIDE, ODD(odd, odd_below));
    }
#undef EVEN
#undef ODD
}

/* SIDE rows of C, `count` tiles beside each other, over `depth` pairs, whole tiles of them. A's next tile stands `step` behind one. */
INLINE void tiles_beside(const int count, const int how, int depth, const float *a, ptrdiff_t a_stride, ptrdiff_t step, const float *b,
                         int ldb, float *c, int ldc) {
    const size_t row = sizeof(float), a_row = a_stride * row, b_row = ldb * row, c_row = ldc * row;
#define EACH(DO) DO(0, 4) DO(1, 5) DO(2, 6) DO(3, 4)
#define START(n, _)                                            \
    if (count > n && (how & ADD)) _tile_loadd(n, c + n * SIDE, c_row); \
    else if (count > n) _tile_zero(n);
#define MULTIPLY(n, slot)                                          \
    if (count > n) {                                               \
        _tile_loadd(slot, b + (ptrdiff_t)k * ldb + n * SIDE, b_row); \
        _tile_dpbf16ps(n, 7, slot);                                \
    }
#define FINISH(n, _) \
    if (count > n) _tile_stored(n, c + n * SIDE, c_row);
    EACH(START)
    for (int k = 0; k < depth; k += SIDE, a += step) {
        _tile_loadd(7, a, a_row);
        EACH(MULTIPLY)
    }
    EACH(FINISH)
#undef EACH
#undef START
#undef MULTIPLY
#undef FINISH
}

/* As `product` of PAIRS: what makes up whole tiles by those, the rest by vectors. A stands as it is, or with `row_stride` 1. */
INLINE void product_of_pairs(const int how, int rows, int columns, int depth, Left a, const float *b, int ldb, float *c, int ldc) {
    const int most = a.row_stride == 1 ? MOST_TILES * SIDE : depth, deep = (depth < most ? depth : most) / SIDE * SIDE;
    const int high = deep ? rows / SIDE * SIDE : 0;
    float turned[MOST_TILES * TILE];
    for (int r = 0; r < high; r += SIDE) {
        const float *left = a.at + r * a.row_stride;
        ptrdiff_t stride = a.row_stride, step = SIDE;
        if (a.row_stride == 1) {
            for (int k = 0; k < deep; k += SIDE) transpose(left + k * a.k_stride, a.k_stride, turned + k * SIDE);
            left = turned, stride = SIDE, step = TILE;
        }
        WRITTEN_BEFORE_TILES();
        int j = 0;
        for (; j + 4 * SIDE <= columns; j += 4 * SIDE)
            tiles_beside(4, how, deep, left, stride, step, b + j, ldb, c + (ptrdiff_t)r * ldc + j, ldc);
        for (; j + SIDE <= columns; j += SIDE) tiles_beside(1, how, deep, left, stride, step, b + j, ldb, c + (ptrdiff_t)r * ldc + j, ldc);
    }
    if (high && deep < depth)
        product(ADD | PAIRS, high, columns, depth - deep, (Left){a.at + deep * a.k_stride, a.row_stride, a.k_stride}, b + (ptrdiff_t)deep * ldb, ldb, c, ldc);
    if (high < rows)
        product(how | PAIRS, rows - high, columns, depth, (Left){a.at + high * a.row_stride, a.row_stride, a.k_stride}, b, ldb, c + (ptrdiff_t)high * ldc, ldc);
}

#else
#define MULTIPLIES_TILES 0

INLINE int tiles_are_allowed(void) { return 0; }
INLINE void begin_tiles(void) {}
INLINE void end_tiles(void) {}
INLINE void product_of_pairs(const int how, int rows, int columns, int depth, Left a, const float *b, int ldb, float *c, int ldc) {
    product(how | PAIRS, rows, columns, depth, a, b, ldb, c, ldc);
}

#endif

#endif
