/* What a scene's views show at points, taken together: see ops/colors_seen.py, whose torch reference this is the twin of. */
#include <math.h>

#include "projection.h"

enum { SHOWN = 4, COLORS = 8 }; /* numbers of a pixel, of a place */

typedef struct {
    long scenes, views, places, rows, columns;
    int threads;
    const float *images;      /* [scene, view, row, column, SHOWN] */
    const float *projections; /* [scene, view, 3, 4]: see projection.h */
    const float *points;      /* [3, place] */
    float *outputs;           /* [scene, place, COLORS] */
} ColorsSeen;

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
    const Points points = take_points(c->points, c->places, first, count);
    Places places;
    float inside[BLOCK] = {0};
    for (long view = 0; view < c->views; view++) {
        const long number = scene * c->views + view;
        const float *image = c->images + number * c->rows * c->columns * SHOWN;
        quad *here = shown + view * BLOCK;
        project(c->projections + number * 12, &points, c->rows, c->columns, (const float[]){0, 0}, &places);
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
            least = value[3] >= least || least != least ? least : value[3]; /* what is not a number is not passed over */
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
