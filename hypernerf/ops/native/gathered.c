/* A linear map of rows gathered into groups, and its gradient: groups are laid out a few at a time, in the nearest cache.

   outputs[b, c, g] = sum over w, k of weight[c, w, k] * values[b, source[g, w], k], where a source of `places` is a row of 0. */
#include <stdlib.h>
#include <string.h>

#include "products.h"

enum { GROUPS = 24, PART = 10 * GROUPS, ROOM = 256 * GROUPS }; /* groups at a time, of a thread, and numbers laid out */

typedef struct {
    long scenes, places, groups;
    int threads, within, colors, channels;
    const int *source;      /* [group, within] */
    const float *values;    /* [scene, place, color] */
    const float *weight;    /* [channel, within, color] */
    float *outputs;         /* [scene, channel, group] */
    const float *d_outputs; /* as outputs; if not null, d_weight is wanted */
    float *d_weight;        /* as weight */
} Gathered;

/* By quads where colors are whole ones: a call for each row would take longer than the copy. */
static void lay_out(const Gathered *c, long scene, long first, int count, float *to) {
    const float *values = c->values + scene * c->places * c->colors;
    const int *source = c->source + first * c->within, quads = c->colors % 4 ? 0 : c->colors;
    const size_t row = c->colors * sizeof(float);
    for (long i = 0; i < (long)count * c->within; i++, to += c->colors) {
        const int there = source[i] < c->places;
        const float *from = values + (there ? (size_t)source[i] * c->colors : 0);
        for (int k = 0; k < quads; k += 4) *(quad *)(to + k) = there ? *(const quad *)(from + k) : (quad){0};
        if (!quads && there) memcpy(to, from, row);
        if (!quads && !there) memset(to, 0, row);
    }
}

static void forward_groups(const Gathered *c, const float *turned, long scene, long first, int count, float *rows, float *result) {
    const int depth = c->within * c->colors, stride = WHOLE(c->channels);
    lay_out(c, scene, first, count, rows);
    product(PLAIN, count, stride, depth, (Left){rows, depth, 1}, turned, stride, result, stride);
    for (int ch = 0; ch < c->channels; ch++) {
        float *to = c->outputs + (scene * c->channels + ch) * c->groups + first;
        for (int g = 0; g < count; g++) to[g] = result[g * stride + ch];
    }
}

static void backward_groups(const Gathered *c, float *gradient, long scene, long first, int count, float *rows, float *above) {
    const int depth = c->within * c->colors, stride = WHOLE(c->channels);
    lay_out(c, scene, first, count, rows);
    for (int ch = 0; ch < c->channels; ch++) {
        const float *from = c->d_outputs + (scene * c->channels + ch) * c->groups + first;
        for (int g = 0; g < count; g++) above[g * stride + ch] = from[g];
    }
    product(ADD, depth, stride, count, (Left){rows, 1, depth}, above, stride, gradient, stride);
}

/* Groups laid out at a time. A gradient is read and written for each of these: where rows are short there is room for more. */
static int at_once(const Gathered *c) {
    const int depth = c->within * c->colors, times = c->d_outputs && depth && depth < ROOM / GROUPS ? ROOM / GROUPS / depth : 1;
    return times * GROUPS < PART ? times * GROUPS : PART;
}

/* Runs forward, or with d_outputs backward. Parts' gradients are added in their order, whatever thread each came from. Returns 0,
   or 1 if memory is short. */
int gathered_run(const Gathered *c) {
    const int depth = c->within * c->colors, stride = WHOLE(c->channels), backward = c->d_outputs != NULL, most = at_once(c);
    const long parts = (c->groups + PART - 1) / PART, items = c->scenes * parts;
    const size_t matrix = (size_t)depth * stride, per_thread = (size_t)most * (depth + stride);
    float *turned = reserve(matrix), *scratch = reserve(c->threads * per_thread), *gradients = backward ? reserve(items * matrix) : NULL;
    const int failed = !turned || !scratch || (backward && !gradients);
    if (!failed) {
        for (int i = 0; i < depth; i++)
            for (int ch = 0; ch < stride; ch++) turned[(size_t)i * stride + ch] = ch < c->channels ? c->weight[(size_t)ch * depth + i] : 0;
#pragma omp parallel num_threads(c->threads)
        {
            float *rows = scratch + thread_number() * per_thread, *result = rows + (size_t)most * depth;
            memset(result, 0, (size_t)most * stride * sizeof(float));
#pragma omp for schedule(dynamic)
            for (long item = 0; item < items; item++) {
                const long scene = item / parts, begin = item % parts * PART, end = begin + PART < c->groups ? begin + PART : c->groups;
                if (backward) memset(gradients + item * matrix, 0, matrix * sizeof(float));
                for (long at = begin; at < end; at += most) {
                    const int count = end - at < most ? end - at : most;
                    if (backward) backward_groups(c, gradients + item * matrix, scene, at, count, rows, result);
                    else forward_groups(c, turned, scene, at, count, rows, result);
                }
            }
        }
        for (long item = 1; backward && item < items; item++)
            for (size_t i = 0; i < matrix; i++) gradients[i] += gradients[item * matrix + i];
        for (int ch = 0; backward && ch < c->channels; ch++)
            for (int i = 0; i < depth; i++) c->d_weight[(size_t)ch * depth + i] = items ? gradients[(size_t)i * stride + ch] : 0;
    }
    free(turned), free(scratch), free(gradients);
    return failed;
}
