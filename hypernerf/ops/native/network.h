/* What the float32 and the bfloat16 passes through a network have in common. */
#ifndef NETWORK_H
#define NETWORK_H

#include <string.h>

#include "encoding.h"

enum { ROWS = 48, MOST_LAYERS = 10 }; /* points a block */
#define WHOLE_BLOCKS(points) ((size_t)((points) + ROWS - 1) / ROWS * ROWS)

/* All arrays are dense. With `positions`, the network's inputs are their encoding; else they are `inputs`. */
typedef struct {
    long scenes, points;
    int threads, layers, sizes[MOST_LAYERS + 1];
    Encoding encoding;
    const float *positions;                            /* [scene, point, 3] or null */
    const float *inputs;                               /* [scene, point, sizes[0]] or null */
    const float *planes, *volume;                      /* [scene, 3, channel, row, column], [scene, channel, z, y, x] or null */
    const float *weights[MOST_LAYERS];                 /* [scene, out, in] */
    float *outputs;                                    /* [scene, point, sizes[layers]] */
    const float *d_outputs;                            /* as outputs */
    float *d_inputs, *d_planes, *d_volume;             /* null: not wanted */
    float *d_weights[MOST_LAYERS];
    float *kept[MOST_LAYERS]; /* layers' inputs, kept by forward for a backward pass in bfloat16; null: that one is in float32 */
    signed char *signs[MOST_LAYERS]; /* which of a hidden layer's values are above 0, kept where no matrix's gradient is wanted */
} Call;

/* Where each tensor of one scene stands among its parameters, rows padded to whole vectors, grids with channels last. */
typedef struct {
    size_t natural[MOST_LAYERS], turned[MOST_LAYERS]; /* [out, WHOLE(in)] and, for the forward products, [in, WHOLE(out)] */
    size_t paired[MOST_LAYERS];                       /* [out / 2, WHOLE(in)], bfloat16 in pairs along out, if inputs are kept */
    size_t planes, volume, gradients, all;            /* `gradients` counts what has a gradient: grids and natural ones */
    int widest;
} Layout;

/* Where the features of the grids begin among the inputs, and the volume's own, as many of which as there are outputs are added to these. */
INLINE int grids_begin(const Call *c) { return frequency_features(&c->encoding); }
INLINE int volume_begins(const Call *c) {
    return grids_begin(c) + (c->encoding.plane_size ? 3 * c->encoding.plane_channels : 0);
}
INLINE int coarse_outputs(const Call *c) { return c->positions && c->encoding.volume_size ? c->sizes[c->layers] : 0; }

/* How many pairs are kept of a scene's inputs to a layer: [row / 2, WHOLE(in)], bfloat16 in pairs along rows, in whole blocks. */
INLINE size_t kept_by_scene(const Call *c, int layer) {
    return WHOLE_BLOCKS(c->points) / 2 * WHOLE(c->sizes[layer]);
}

/* Where those of a scene's points from `begin` on stand. */
INLINE float *kept_values(const Call *c, int layer, long scene, long begin) {
    return c->kept[layer] + scene * kept_by_scene(c, layer) + (size_t)begin / 2 * WHOLE(c->sizes[layer]);
}

/* Where the signs of a hidden layer's values stand, [row, WHOLE(width)], of a scene's points from `begin` on. */
INLINE signed char *kept_signs(const Call *c, int layer, long scene, long begin) {
    return c->signs[layer] + (size_t)WHOLE(c->sizes[layer]) * (scene * WHOLE_BLOCKS(c->points) + begin);
}

/* What a block's points ask of their outputs, [ROWS, WHOLE(outputs)]; 0 beyond `rows`. */
INLINE void outputs_gradient(const Call *c, size_t first, int rows, float *to) {
    const int outputs = c->sizes[c->layers];
    memset(to, 0, (size_t)ROWS * WHOLE(outputs) * sizeof(float));
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < outputs; o++) to[r * WHOLE(outputs) + o] = c->d_outputs[(first + r) * outputs + o];
}

/* From the gradient `above` of a block's inputs to those of the tensors they came from. */
INLINE void pull_back_inputs(const Call *c, const Layout *l, size_t first, int rows, float *above, float *gradients) {
    const int stride = WHOLE(c->sizes[0]), outputs = c->sizes[c->layers];
    if (!c->positions) {
        for (int r = 0; r < rows; r++)
            memcpy(c->d_inputs + (first + r) * c->sizes[0], above + (size_t)r * stride, c->sizes[0] * sizeof(float));
        return;
    }
    for (int r = 0; coarse_outputs(c) && r < rows; r++)
        for (int o = 0; o < outputs; o++)
            above[(size_t)r * stride + volume_begins(c) + o] += c->d_outputs[(first + r) * outputs + o];
    add_grid_gradients(rows, c->positions + 3 * first, &c->encoding, above + grids_begin(c), stride, gradients + l->planes,
                       gradients + l->volume);
}

/* The first column of a block's inputs, a multiple of LANES, whose gradient is wanted; -1: none is. */
INLINE int wanted_from(const Call *c) {
    if (c->d_inputs) return 0;
    return c->positions && (c->d_planes || c->d_volume) ? grids_begin(c) / LANES * LANES : -1;
}

/* The gradients of points `begin` to `end` of one scene, rounded to bfloat16 where products read them. */
typedef void BackwardPart(const Call *c, const Layout *l, const float *params, long scene, long begin, long end, float *scratch,
                          float *gradients);
BackwardPart backward_part_bfloat16;

#endif
