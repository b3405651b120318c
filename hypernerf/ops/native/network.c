/* ReLU networks with weights of their own for every scene, and their gradients, a block of points at a time.

   A block's features and hidden values stay in the nearest cache. The backward pass in float32 computes them anew, which takes
   less time than storing and reading them; for one in bfloat16, of half the numbers' size and twice the speed, they are kept.
   Where no matrix's gradient is wanted, hidden values' signs are all that it needs, and are kept.
   Scenes are cut into parts for the threads; the parts' gradients are added in the order of the points, so that the result does
   not depend on the number of threads. */
#include "network.h"

#include <stdlib.h>

enum { FORWARD_ROWS = 16 * ROWS, BACKWARD_ROWS = 96 * ROWS };

static Layout layout(const Call *c) {
    Layout l = {0};
    size_t at = 0;
    const Encoding *e = &c->encoding;
    l.planes = at, at += (size_t)3 * e->plane_size * e->plane_size * QUADS(e->plane_channels);
    l.volume = at, at += (size_t)e->volume_size * e->volume_size * e->volume_size * QUADS(e->volume_channels);
    at = WHOLE(at);
    for (int i = 0; i < c->layers; i++) l.natural[i] = at, at += (size_t)c->sizes[i + 1] * WHOLE(c->sizes[i]);
    l.gradients = at;
    for (int i = 0; i < c->layers; i++) l.turned[i] = at, at += (size_t)c->sizes[i] * WHOLE(c->sizes[i + 1]);
    for (int i = 0; c->kept[0] && i < c->layers; i++)
        l.paired[i] = at, at += (size_t)(c->sizes[i + 1] + 1) / 2 * WHOLE(c->sizes[i]);
    l.all = at;
    for (int i = 0; i <= c->layers; i++) l.widest = c->sizes[i] > l.widest ? c->sizes[i] : l.widest;
    l.widest = WHOLE(l.widest);
    return l;
}

/* [channel, cell] to [cell, QUADS(channel)]. */
static void channels_last(const float *from, int channels, size_t cells, float *to) {
    const int stride = QUADS(channels);
    for (size_t i = 0; i < cells; i++)
        for (int ch = 0; ch < stride; ch++) to[i * stride + ch] = ch < channels ? from[ch * cells + i] : 0;
}

static void channels_first(const float *from, int channels, size_t cells, float *to) {
    for (int ch = 0; ch < channels; ch++)
        for (size_t i = 0; i < cells; i++) to[ch * cells + i] = from[i * QUADS(channels) + ch];
}

/* What a backward pass in bfloat16 reads: it has the inputs from the forward pass. */
static void pack_pairs(const Call *c, const Layout *l, long scene, float *to) {
    for (int i = 0; i < c->layers; i++) {
        const int in = c->sizes[i], out = c->sizes[i + 1];
        const float *from = c->weights[i] + (size_t)scene * out * in;
        for (int o = 0; o < out; o += 2)
            for (int j = 0; j < in; j += LANES) {
                vec rows[2] = {{0}, {0}};
                for (int r = 0; r < 2 && o + r < out; r++)
                    memcpy(rows + r, from + (size_t)(o + r) * in + j, (in - j < LANES ? in - j : LANES) * sizeof(float));
                *(vec *)(to + l->paired[i] + (size_t)o / 2 * WHOLE(in) + j) = pairs_of(rows[0], rows[1]);
            }
    }
}

static void pack_scene(const Call *c, const Layout *l, long scene, float *to) {
    const Encoding *e = &c->encoding;
    const size_t square = (size_t)e->plane_size * e->plane_size;
    for (int plane = 0; c->planes && plane < 3; plane++)
        channels_last(c->planes + (scene * 3 + plane) * e->plane_channels * square, e->plane_channels, square,
                      to + l->planes + plane * square * QUADS(e->plane_channels));
    const size_t cells = (size_t)e->volume_size * e->volume_size * e->volume_size;
    if (c->volume) channels_last(c->volume + scene * e->volume_channels * cells, e->volume_channels, cells, to + l->volume);
    for (int i = 0; i < c->layers; i++) {
        const int in = c->sizes[i], out = c->sizes[i + 1];
        const float *from = c->weights[i] + (size_t)scene * out * in;
        for (int o = 0; o < out; o++)
            for (int j = 0; j < WHOLE(in); j++) to[l->natural[i] + (size_t)o * WHOLE(in) + j] = j < in ? from[o * in + j] : 0;
        for (int j = 0; j < in; j++)
            for (int o = 0; o < WHOLE(out); o++) to[l->turned[i] + (size_t)j * WHOLE(out) + o] = o < out ? from[o * in + j] : 0;
    }
}

/* The sum of a scene's `parts` gradients, each [layout->gradients], to the caller's dense arrays. */
static void unpack_gradients(const Call *c, const Layout *l, long scene, float *parts, long count) {
    for (long p = 1; p < count; p++)
        for (size_t i = 0; i < l->gradients; i++) parts[i] += parts[p * l->gradients + i];
    const Encoding *e = &c->encoding;
    const size_t square = (size_t)e->plane_size * e->plane_size, cells = (size_t)e->volume_size * e->volume_size * e->volume_size;
    for (int plane = 0; c->d_planes && plane < 3; plane++)
        channels_first(parts + l->planes + plane * square * QUADS(e->plane_channels), e->plane_channels, square,
                       c->d_planes + (scene * 3 + plane) * e->plane_channels * square);
    if (c->d_volume) channels_first(parts + l->volume, e->volume_channels, cells, c->d_volume + scene * e->volume_channels * cells);
    for (int i = 0; i < c->layers; i++) {
        const int in = c->sizes[i], out = c->sizes[i + 1];
        for (int o = 0; c->d_weights[i] && o < out; o++)
            memcpy(c->d_weights[i] + ((size_t)scene * out + o) * in, parts + l->natural[i] + (size_t)o * WHOLE(in), in * sizeof(float));
    }
}

/* The block's inputs [ROWS, WHOLE(sizes[0])]; rows beyond `rows` are 0, as columns beyond sizes[0] are from the start. */
static void write_inputs(const Call *c, const Layout *l, const float *scene, size_t first, int rows, float *to) {
    const int features = c->sizes[0], stride = WHOLE(features);
    if (rows < ROWS) memset(to, 0, (size_t)ROWS * stride * sizeof(float));
    if (!c->positions) {
        const float *from = c->inputs + first * features;
        for (int r = 0; r < rows; r++) memcpy(to + (size_t)r * stride, from + (size_t)r * features, features * sizeof(float));
        from += ROWS * features; /* the next block's are asked for in time */
        for (int at = 0; at < ROWS * features; at += LANES) __builtin_prefetch(from + at, 0, 2);
        return;
    }
    write_frequencies(rows, c->positions + 3 * first, c->encoding.octaves, to, stride);
    write_grid_features(rows, c->positions + 3 * first, &c->encoding, scene + l->planes, scene + l->volume, to, stride);
}

/* `values[0]` are inputs; writes the hidden values after them, and the outputs as the last, of the first `layers` of all. */
static void run_layers(const Call *c, const Layout *l, int layers, const float *scene, float *const *values) {
    for (int i = 0; i < layers; i++) {
        const int in = c->sizes[i], out = WHOLE(c->sizes[i + 1]);
        const Left left = {values[i], WHOLE(in), 1};
        if (i + 1 < c->layers) product(RELU, ROWS, out, in, left, scene + l->turned[i], out, values[i + 1], out);
        else product(PLAIN, ROWS, out, in, left, scene + l->turned[i], out, values[i + 1], out);
    }
}

/* A block's inputs and hidden values, for a backward pass in bfloat16. */
static void keep_values(const Call *c, float *const *values, long scene, long begin) {
    for (int i = 0; i < c->layers; i++) {
        const int in = WHOLE(c->sizes[i]);
        float *to = kept_values(c, i, scene, begin);
        for (int r = 0; r < ROWS; r += 2)
            for (int j = 0; j < in; j += LANES, to += LANES)
                put_away(to, pairs_of(*(const vec *)(values[i] + r * in + j), *(const vec *)(values[i] + (r + 1) * in + j)));
    }
}

/* Of a block's hidden values. */
static void keep_all_signs(const Call *c, float *const *values, long scene, long begin) {
    for (int i = 1; i < c->layers; i++) keep_signs(ROWS * WHOLE(c->sizes[i]), values[i], kept_signs(c, i, scene, begin));
}

/* Room for a block's inputs, hidden values and outputs. */
static void place_values(const Call *c, const Layout *l, float *scratch, float **values) {
    for (int i = 0; i <= c->layers; i++) values[i] = scratch + (size_t)i * ROWS * l->widest;
    memset(scratch, 0, (size_t)ROWS * l->widest * sizeof(float));
}

static void forward_part(const Call *c, const Layout *l, const float *params, long scene, long begin, long end, float *scratch) {
    float *values[MOST_LAYERS + 1];
    const int outputs = c->sizes[c->layers], coarse = coarse_outputs(c);
    place_values(c, l, scratch, values);
    for (long at = begin; at < end; at += ROWS) {
        const int rows = end - at < ROWS ? end - at : ROWS;
        const size_t first = (size_t)scene * c->points + at;
        write_inputs(c, l, params, first, rows, values[0]);
        run_layers(c, l, c->layers, params, values);
        if (c->kept[0]) keep_values(c, values, scene, at);
        if (c->signs[1]) keep_all_signs(c, values, scene, at);
        for (int r = 0; r < rows; r++)
            for (int o = 0; o < outputs; o++) {
                float value = values[c->layers][(size_t)r * WHOLE(outputs) + o];
                if (coarse) value += values[0][(size_t)r * WHOLE(c->sizes[0]) + volume_begins(c) + o];
                c->outputs[(first + r) * outputs + o] = value;
            }
    }
}

/* From the gradient of layer i + 1's values to that of layer i's, from column `from` on. */
static void pull_back(const Call *c, const Layout *l, const float *params, int i, int from, const float *above, float *below) {
    const int in = WHOLE(c->sizes[i]), out = c->sizes[i + 1];
    product(PLAIN, ROWS, in - from, out, (Left){above, WHOLE(out), 1}, params + l->natural[i] + from, in, below + from, in);
}

/* `values` are null where signs are kept. */
static void backward_block(const Call *c, const Layout *l, const float *params, long scene, long begin, int rows,
                           float *const *values, float *above, float *below, float *gradients) {
    const size_t first = (size_t)scene * c->points + begin;
    if (values) {
        write_inputs(c, l, params, first, rows, values[0]);
        run_layers(c, l, c->layers - 1, params, values);
    }
    outputs_gradient(c, first, rows, above);
    const int from = wanted_from(c);
    for (int i = c->layers - 1; i >= 0; i--) {
        const int in = WHOLE(c->sizes[i]), out = c->sizes[i + 1];
        if (c->d_weights[i]) product(ADD, out, in, rows, (Left){above, 1, WHOLE(out)}, values[i], in, gradients + l->natural[i], in);
        if (i == 0 && from < 0) return;
        pull_back(c, l, params, i, i == 0 ? from : 0, above, below);
        if (i > 0 && !values) where_kept(ROWS * in, kept_signs(c, i, scene, begin), below);
        for (int k = 0; i > 0 && values && k < ROWS * in; k += LANES) {
            vec *at = (vec *)(below + k);
            *at = where_positive(*(const vec *)(values[i] + k), *at);
        }
        float *swap = above;
        above = below, below = swap;
    }
    pull_back_inputs(c, l, first, rows, above, gradients);
}

static void backward_part(const Call *c, const Layout *l, const float *params, long scene, long begin, long end, float *scratch,
                          float *gradients) {
    const size_t block = (size_t)ROWS * l->widest;
    float *values[MOST_LAYERS + 1], *above = scratch + (c->layers + 1) * block, *below = above + block;
    place_values(c, l, scratch, values);
    memset(gradients, 0, l->gradients * sizeof(float));
    for (long at = begin; at < end; at += ROWS) {
        const int rows = end - at < ROWS ? end - at : ROWS;
        backward_block(c, l, params, scene, at, rows, c->signs[1] ? NULL : values, above, below, gradients);
    }
}

/* Runs forward, or with d_outputs backward. Returns 0, or 1 if memory is short. */
int network_run(const Call *c) {
    const Layout l = layout(c);
    const int backward = c->d_outputs != NULL, rounded = backward && c->kept[0];
    void (*const pack)(const Call *, const Layout *, long, float *) = rounded ? pack_pairs : pack_scene;
    BackwardPart *const run_backward = rounded ? backward_part_bfloat16 : backward_part;
    const long rows = backward ? BACKWARD_ROWS : FORWARD_ROWS, parts = (c->points + rows - 1) / rows;
    const size_t per_thread = (size_t)(c->layers + 3) * ROWS * l.widest;
    float *params = reserve(c->scenes * l.all), *scratch = reserve(c->threads * per_thread);
    float *gradients = backward ? reserve(c->scenes * parts * l.gradients) : NULL;
    const int failed = !params || !scratch || (backward && !gradients);
    if (!failed) {
#pragma omp parallel num_threads(c->threads)
        {
            float *own = scratch + thread_number() * per_thread;
#pragma omp for schedule(dynamic)
            for (long scene = 0; scene < c->scenes; scene++) pack(c, &l, scene, params + scene * l.all);
#pragma omp for schedule(dynamic)
            for (long item = 0; item < c->scenes * parts; item++) {
                const long scene = item / parts, begin = item % parts * rows;
                const long end = begin + rows < c->points ? begin + rows : c->points;
                const float *own_params = params + scene * l.all;
                if (backward) run_backward(c, &l, own_params, scene, begin, end, own, gradients + item * l.gradients);
                else forward_part(c, &l, own_params, scene, begin, end, own);
            }
            if (backward) {
#pragma omp for schedule(dynamic)
                for (long scene = 0; scene < c->scenes; scene++)
                    unpack_gradients(c, &l, scene, gradients + scene * parts * l.gradients, parts);
            }
        }
    }
    free(params), free(scratch), free(gradients);
    return failed;
}

/* How many numbers `kept` must hold of a layer's inputs. */
size_t network_kept(const Call *c, int layer) { return c->scenes * kept_by_scene(c, layer); }

/* And how many bytes the signs of a hidden layer's values take. */
size_t network_signs(const Call *c, int layer) { return c->scenes * WHOLE_BLOCKS(c->points) * WHOLE(c->sizes[layer]); }
