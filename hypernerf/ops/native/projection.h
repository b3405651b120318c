/* Where points appear in an image, a block of them at a time. */
#ifndef PROJECTION_H
#define PROJECTION_H

#include <string.h>

#include "vectors.h"

enum { BLOCK = 64 };

/* The pixel whose center is next to the left and above, how far beyond it a point is in pixels, and whether (1 or 0) it is inside
   of the image. Behind the camera counts as beside it. */
typedef struct {
    int column[BLOCK], row[BLOCK];
    float right[BLOCK], down[BLOCK], inside[BLOCK];
} Places;

/* x, y and z of points, the rest of a block 0. */
typedef struct {
    float axis[3][BLOCK];
} Points;

INLINE ivec below(vec value) { /* the next whole number down */
    const ivec whole = __builtin_convertvector(value, ivec);
    return whole + (__builtin_convertvector(whole, vec) > value);
}

/* `count` of [3, place], from `first` on. */
static Points take_points(const float *points, long places, long first, int count) {
    Points to = {0};
    for (int i = 0; i < 3; i++) memcpy(to.axis[i], points + i * places + first, count * sizeof(float));
    return to;
}

/* `m` [3, 4] takes a point to (x depth, y depth, depth), x and y as shares of the image, to which `shift` is added. */
static void project(const float *m, const Points *points, float rows, float columns, const float shift[2], Places *to) {
    for (int i = 0; i < BLOCK; i += LANES) {
        const vec px = *(const vec *)(points->axis[0] + i), py = *(const vec *)(points->axis[1] + i), pz = *(const vec *)(points->axis[2] + i);
        const vec depth = m[8] * px + m[9] * py + m[10] * pz + m[11], beside = (vec){0} + 2;
        const vec u = (m[0] * px + m[1] * py + m[2] * pz + m[3]) / depth, v = (m[4] * px + m[5] * py + m[6] * pz + m[7]) / depth;
        /* no farther outside than a whole number can say */
        const vec x = choose(depth > 1e-3f, between(u + shift[0], -1, 2), beside), y = choose(depth > 1e-3f, between(v + shift[1], -1, 2), beside);
        const vec across = x * columns - 0.5f, along = y * rows - 0.5f;
        const ivec left = below(across), above = below(along);
        *(ivec *)(to->column + i) = left, *(ivec *)(to->row + i) = above;
        *(vec *)(to->right + i) = across - __builtin_convertvector(left, vec);
        *(vec *)(to->down + i) = along - __builtin_convertvector(above, vec);
        *(vec *)(to->inside + i) = __builtin_convertvector(-((x > 0) & (x < 1) & (y > 0) & (y < 1)), vec);
    }
}

#endif
