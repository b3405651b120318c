/* What a scene's views show at points, taken together: see ops/colors_seen.py, whose torch reference this is the twin of. */
#include <math.h>
#include <string.h>

#include "vectors.h"

enum { BLOCK = 64, SHOWN = 4, COLORS = 8 }; /* places at a time; numbers of a pixel; numbers of a place */

typedef struct {
    long scenes, views, places, rows, columns;
    int threads;
    const float *images;      /* [scene, view, row, column, SHOWN] */
    const float *projections; /* [scene, view, 3, 4]: a point to (x depth, y depth, depth), x and y as shares of the image */
    const float *points;      /* [3, place] */
    float *outputs;           /* [scene, place, COLORS] */
} ColorsSeen;

INLINE vec choose(ivec which, vec yes, vec no) { return (vec)((which & (ivec)yes) | (~which & (ivec)no)); }
INLINE vec between(vec value, float low, float high) {
    value = choose(value > low, value, (vec){0} + low); /* also where it is not a number */
    return choose(value < high, value, (vec){0} + high);
}
INLINE ivec below(vec value) { /* the next whole number down */
    const ivec whole = __builtin_convertvector(value, ivec);
    return whole + (__builtin_convertvector(whole, vec) > value);
}

/* Where a block's points appear: the pixel whose center is next to the left and above, how far beyond it they are in pixels, and
   whether (1 or 0) they are inside of the image. Behind the camera counts as beside it. */
typedef struct {
    int column[BLOCK], row[BLOCK];
    float right[BLOCK], down[BLOCK], inside[BLOCK];
} Places;

static void project(const ColorsSeen *c, const float *m, const float points[3][BLOCK], Places *to) {
    for (int i = 0; i < BLOCK; i += LANES) {
        const vec px = *(const vec *)(points[0] + i), py = *(const vec *)(points[1] + i), pz = *(const vec *)(points[2] + i);
        const vec depth = m[8] * px + m[9] * py + m[10] * pz + m[11];
        const vec u = (m[0] * px + m[1] * py + m[2] * pz + m[3]) / depth, v = (m[4] * px + m[5] * py + m[6] * pz + m[7]) / depth;
        /* no farther outside than a whole number can say */
        const vec beside = (vec){0} + 2, x = choose(depth > 1e-3f, between(u, -1, 2), beside), y = choose(depth > 1e-3f, between(v, -1, 2), beside);
        const vec across = x * (float)c->columns - 0.5f, along = y * (float)c->rows - 0.5f;
        const ivec left = below(across), above = below(along);
        *(ivec *)(to->column + i) = left, *(ivec *)(to->row + i) = above;
        *(vec *)(to->right + i) = across - __builtin_convertvector(left, vec);
        *(vec *)(to->down + i) = along - __builtin_convertvector(above, vec);
        *(vec *)(to->inside + i) = __builtin_convertvector(-((x > 0) & (x < 1) & (y > 0) & (y < 1)), vec);
    }
}

/* Bilinear, with 0 outside. */
INLINE quad sample(const float *image, int rows, int columns, int row, int column, float right, float down) {
    const float *at = image + ((ptrdiff_t)row * columns + column) * SHOWN, *under = at + columns * SHOWN;
    if (row >= 0 && column >= 0 && row + 1 < rows && column + 1 < columns) {
        const quad upper = *(const quad *)at * (1 - right) + *(const quad *)(at + SHOWN) * right;
        const quad lower = *(const quad *)under * (1 - right) + *(const quad *)(under + SHOWN) * right;
        return upper * (1 - down) + lower * down;
    }
    quad sum = {0};
    for (int i = 0; i < 4; i++) {
        const int r = row + i / 2, k = column + i % 2;
        if (r >= 0 && k >= 0 && r < rows && k < columns)
            sum += *(const quad *)(image + ((ptrdiff_t)r * columns + k) * SHOWN) * ((i / 2 ? down : 1 - down) * (i % 2 ? right : 1 - right));
    }
    return sum;
}

/* `shown`: room for [view, BLOCK] samples. */
static void block(const ColorsSeen *c, long scene, long first, int count, quad *shown) {
    Places places;
    float points[3][BLOCK] = {0}, inside[BLOCK] = {0};
    for (int axis = 0; axis < 3; axis++) memcpy(points[axis], c->points + axis * c->places + first, count * sizeof(float));
    for (long view = 0; view < c->views; view++) {
        const long number = scene * c->views + view;
        const float *image = c->images + number * c->rows * c->columns * SHOWN;
        quad *here = shown + view * BLOCK;
        project(c, c->projections + number * 12, points, &places);
        for (int i = 0; i < count; i++) {
            here[i] = sample(image, c->rows, c->columns, places.row[i], places.column[i], places.right[i], places.down[i]);
            inside[i] += places.inside[i];
        }
    }
    const float share = 1.0f / c->views;
    for (int i = 0; i < count; i++) {
        quad mean = {0}, squares = {0};
        float least = shown[i][3], *to = c->outputs + (scene * c->places + first + i) * COLORS;
        for (long view = 0; view < c->views; view++) mean += shown[view * BLOCK + i];
        mean *= share;
        for (long view = 0; view < c->views; view++) {
            const quad value = shown[view * BLOCK + i], away = value - mean;
            squares += away * away;
            least = value[3] < least ? value[3] : least;
        }
        for (int k = 0; k < 3; k++) to[k] = mean[k], to[3 + k] = sqrtf(squares[k] * share + 1e-6f);
        to[6] = least, to[7] = inside[i] * share;
    }
}

/* Returns 0, or 1 if memory is short. */
int colors_seen_run(const ColorsSeen *c) {
    const long blocks = (c->places + BLOCK - 1) / BLOCK;
    const size_t per_thread = (size_t)BLOCK * c->views * SHOWN;
    float *scratch = reserve(c->threads * per_thread);
    if (!scratch) return 1;
#pragma omp parallel num_threads(c->threads)
    {
        quad *shown = (quad *)(scratch + thread_number() * per_thread);
#pragma omp for schedule(dynamic, 8)
        for (long item = 0; item < c->scenes * blocks; item++) {
            const long first = item % blocks * BLOCK, left = c->places - first;
            block(c, item / blocks, first, left < BLOCK ? left : BLOCK, shown);
        }
    }
    free(scratch);
    return 0;
}
