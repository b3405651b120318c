/* Features of a scene's views at points, their mean and their maximum over the views, and the gradient in the feature maps: see
   ops/features_seen.py, whose torch reference this is the twin of. */
#include <math.h>

#include "projection.h"

enum { CHANNELS = 64, MOST = CHANNELS / LANES }; /* at most, and in vectors */

typedef struct {
    long scenes, views, places, rows, columns, channels; /* channels: whole vectors, at most CHANNELS */
    int threads;
    float shift[2];
    const float *maps;        /* [scene, view, row, column, channel] */
    const float *projections; /* [scene, view, 3, 4]: see projection.h */
    const float *points;      /* [3, place] */
    float *mean, *most;       /* [scene, channel, place] */
    const float *d_mean, *d_most;
    float *d_maps; /* if not null, it is wanted */
} FeaturesSeen;

/* Where the four pixels around a place begin (-1: outside of the map), and their shares. */
typedef struct {
    ptrdiff_t at[4];
    float share[4];
} Taps;

INLINE Taps taps_of(const FeaturesSeen *c, const Places *places, int i) {
    Taps taps;
    const float right = places->right[i], down = places->down[i];
    for (int k = 0; k < 4; k++) {
        const long row = places->row[i] + k / 2, column = places->column[i] + k % 2;
        taps.at[k] = row >= 0 && column >= 0 && row < c->rows && column < c->columns ? (row * c->columns + column) * c->channels : -1;
        taps.share[k] = (k / 2 ? down : 1 - down) * (k % 2 ? right : 1 - right);
    }
    return taps;
}

/* `n` vectors of channels of one view at one place. */
INLINE void sample(const int n, const float *map, const Taps *taps, vec *to) {
    for (int j = 0; j < n; j++) to[j] = (vec){0};
    for (int k = 0; k < 4; k++)
        if (taps->at[k] >= 0)
            for (int j = 0; j < n; j++) to[j] += taps->share[k] * *(const vec *)(map + taps->at[k] + j * LANES);
}

/* Where a block's places appear in each view. */
static void project_views(const FeaturesSeen *c, long scene, long first, int count, Places *places) {
    const Points points = take_points(c->points, c->places, first, count);
    for (long view = 0; view < c->views; view++)
        project(c->projections + (scene * c->views + view) * 12, &points, c->rows, c->columns, c->shift, places + view);
}

INLINE void forward_block(const int n, const FeaturesSeen *c, long scene, long first, int count, const Places *places) {
    const size_t size = c->rows * c->columns * c->channels;
    float mean[CHANNELS][BLOCK], most[CHANNELS][BLOCK];
    for (int i = 0; i < count; i++) {
        vec sum[MOST], largest[MOST];
        for (int j = 0; j < n; j++) sum[j] = (vec){0}, largest[j] = (vec){0} - INFINITY;
        for (long view = 0; view < c->views; view++) {
            const Taps taps = taps_of(c, places + view, i);
            vec value[MOST];
            sample(n, c->maps + (scene * c->views + view) * size, &taps, value);
            for (int j = 0; j < n; j++) {
                sum[j] += value[j];
                largest[j] = choose(~(value[j] <= largest[j]) & (largest[j] == largest[j]), value[j], largest[j]);
            }
        }
        for (int j = 0; j < n; j++) {
            sum[j] /= (float)c->views;
            for (int k = 0; k < LANES; k++) mean[j * LANES + k][i] = sum[j][k], most[j * LANES + k][i] = largest[j][k];
        }
    }
    for (long ch = 0; ch < c->channels; ch++) {
        const long at = (scene * c->channels + ch) * c->places + first;
        memcpy(c->mean + at, mean[ch], count * sizeof(float)), memcpy(c->most + at, most[ch], count * sizeof(float));
    }
}

/* Views that are equally the largest share the maximum's gradient, as torch's do. `values`: room for [view, n]. */
INLINE void backward_block(const int n, const FeaturesSeen *c, long scene, long first, int count, const Places *places, vec *values) {
    const size_t size = c->rows * c->columns * c->channels;
    float mean[BLOCK][CHANNELS], most[BLOCK][CHANNELS];
    for (long ch = 0; ch < c->channels; ch++) {
        const long at = (scene * c->channels + ch) * c->places + first;
        for (int i = 0; i < count; i++) mean[i][ch] = c->d_mean[at + i], most[i][ch] = c->d_most[at + i];
    }
    for (int i = 0; i < count; i++) {
        vec largest[MOST], ties[MOST];
        for (int j = 0; j < n; j++) ties[j] = (vec){0}, largest[j] = (vec){0} - INFINITY;
        for (long view = 0; view < c->views; view++) {
            const Taps taps = taps_of(c, places + view, i);
            vec *value = values + view * n;
            sample(n, c->maps + (scene * c->views + view) * size, &taps, value);
            for (int j = 0; j < n; j++) {
                const ivec more = value[j] > largest[j], equal = value[j] == largest[j];
                ties[j] = choose(more, (vec){0} + 1, ties[j] - __builtin_convertvector(equal, vec));
                largest[j] = choose(more, value[j], largest[j]);
            }
        }
        for (long view = 0; view < c->views; view++) {
            const Taps taps = taps_of(c, places + view, i);
            float *map = c->d_maps + (scene * c->views + view) * size;
            for (int j = 0; j < n; j++) {
                const vec all = *(const vec *)(mean[i] + j * LANES) / (float)c->views, top = *(const vec *)(most[i] + j * LANES) / ties[j];
                const vec here = all + (vec)((ivec)top & (values[view * n + j] == largest[j]));
                for (int k = 0; k < 4; k++)
                    if (taps.at[k] >= 0) *(vec *)(map + taps.at[k] + j * LANES) += taps.share[k] * here;
            }
        }
    }
}

static void block(const FeaturesSeen *c, long scene, long first, int count, Places *places, vec *values) {
    project_views(c, scene, first, count, places);
#define VECTORS(n) (c->d_maps ? backward_block(n, c, scene, first, count, places, values) : forward_block(n, c, scene, first, count, places))
    switch (c->channels / LANES) {
        case 1: VECTORS(1); break;
        case 2: VECTORS(2); break;
        case 4: VECTORS(4); break;
        default: VECTORS(c->channels / LANES);
    }
#undef VECTORS
}

/* Runs forward, or with d_maps backward: a scene's gradient is one thread's, so that it is added up in one order. Returns 0, or 1
   if memory is short. */
int features_seen_run(const FeaturesSeen *c) {
    const long blocks = (c->places + BLOCK - 1) / BLOCK, together = c->d_maps && blocks ? blocks : 1, parts = blocks / together;
    const size_t map = (size_t)c->views * c->rows * c->columns * c->channels;
    float *values = reserve(c->threads * c->views * c->channels);
    Places *every = malloc(c->threads * c->views * sizeof(Places));
    const int failed = !values || !every;
    if (!failed) {
#pragma omp parallel num_threads(c->threads)
        {
            Places *places = every + thread_number() * c->views;
            vec *here = (vec *)(values + thread_number() * c->views * c->channels);
#pragma omp for schedule(dynamic)
            for (long item = 0; item < c->scenes * parts; item++) {
                const long scene = item / parts;
                if (c->d_maps) memset(c->d_maps + scene * map, 0, map * sizeof(float));
                for (long b = item % parts * together; b < (item % parts + 1) * together; b++) {
                    const long left = c->places - b * BLOCK;
                    block(c, scene, b * BLOCK, left < BLOCK ? left : BLOCK, places, here);
                }
            }
        }
    }
    free(values), free(every);
    return failed;
}
