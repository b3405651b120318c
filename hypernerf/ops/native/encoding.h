/* What a field's network sees of a position: frequencies, then features read from planes and from a volume. */
#ifndef ENCODING_H
#define ENCODING_H

#include "products.h"

typedef float quad __attribute__((vector_size(16), aligned(4), may_alias));
#define QUADS(n) (((n) + 3) / 4 * 4)

/* Grids of one scene with channels last, padded to whole quads: planes [3, row, column, channel], volume [z, y, x, channel]. */
typedef struct {
    int octaves, plane_size, plane_channels, volume_size, volume_channels;
} Encoding;

INLINE int frequency_features(const Encoding *e) { return 4 + 6 * e->octaves; }

/* The cell below a coordinate in [-1, 1] and how far it is towards the next; the outermost centers' values go on outwards. */
INLINE int cell_below(float x, int size, float *share) {
    float t = ((x + 1) * size - 1) * 0.5f;
    t = t > 0 ? t : 0; /* not a number: 0, so that no index leaves the grid */
    t = t < size - 1 ? t : size - 1;
    int below = (int)t;
    below = below > size - 2 ? size - 2 : below;
    *share = t - below;
    return below;
}

typedef struct {
    int at;
    float share;
} Tap;

INLINE void plane_taps(const float *position, int plane, int size, Tap taps[4]) {
    float fu, fv;
    const int u = cell_below(position[plane == 2 ? 1 : 0], size, &fu), v = cell_below(position[plane == 0 ? 1 : 2], size, &fv);
    for (int k = 0; k < 4; k++) {
        taps[k].at = (plane * size + v + (k >> 1)) * size + u + (k & 1);
        taps[k].share = (k & 1 ? fu : 1 - fu) * (k >> 1 ? fv : 1 - fv);
    }
}

INLINE void volume_taps(const float *position, int size, Tap taps[8]) {
    float f[3];
    int at[3];
    for (int axis = 0; axis < 3; axis++) at[axis] = cell_below(position[axis], size, f + axis);
    for (int k = 0; k < 8; k++) {
        const int i = k & 1, j = (k >> 1) & 1, l = k >> 2;
        taps[k].at = ((at[2] + l) * size + at[1] + j) * size + at[0] + i;
        taps[k].share = (i ? f[0] : 1 - f[0]) * (j ? f[1] : 1 - f[1]) * (l ? f[2] : 1 - f[2]);
    }
}

INLINE void read_taps(const int count, const Tap *taps, const float *grid, int channels, float *features) {
    const int stride = QUADS(channels);
    for (int c = 0; c < channels; c += 4) {
        quad sum = {0};
        for (int k = 0; k < count; k++) sum += taps[k].share * *(const quad *)(grid + (ptrdiff_t)taps[k].at * stride + c);
        if (c + 4 <= channels) *(quad *)(features + c) = sum;
        else
            for (int i = c; i < channels; i++) features[i] = sum[i - c];
    }
}

/* The transpose of reading: what each tap gave takes its share of the features' gradient. Padding takes none. */
INLINE void add_taps(const int count, const Tap *taps, const float *gradient, int channels, float *grid) {
    const int stride = QUADS(channels);
    for (int c = 0; c < channels; c += 4) {
        quad part = {0};
        for (int i = 0; i < 4 && c + i < channels; i++) part[i] = gradient[c + i];
        for (int k = 0; k < count; k++) *(quad *)(grid + (ptrdiff_t)taps[k].at * stride + c) += taps[k].share * part;
    }
}

/* sin and cos of pi x to 1e-7, after x is brought to [-1/2, 1/2] by whole half turns (Taylor to t^11 and t^12). */
INLINE void sine_cosine(vec x, vec *sine, vec *cosine) {
    const vec half = where_positive(x, (vec){0} + 1.0f) - 0.5f;
    const ivec turns = __builtin_convertvector(x + half, ivec); /* rounds towards 0 */
    const vec t = (x - __builtin_convertvector(turns, vec)) * 3.14159265358979f, s = t * t;
    const vec sign = 1.0f - 2.0f * __builtin_convertvector(turns & 1, vec);
    vec a = s * -2.50521084e-8f + 2.75573192e-6f, b = s * 2.08767570e-9f - 2.75573192e-7f;
    a = a * s - 1.98412698e-4f, b = b * s + 2.48015873e-5f;
    a = a * s + 8.33333333e-3f, b = b * s - 1.38888889e-3f;
    a = a * s - 1.66666667e-1f, b = b * s + 4.16666667e-2f;
    a = a * s + 1.0f, b = b * s - 0.5f;
    *sine = a * t * sign, *cosine = (b * s + 1.0f) * sign;
}

/* Features [rows, stride] of positions [rows, 3]: x; for each octave three sines, three cosines; 1. As `frequency_encoding`. */
INLINE void write_frequencies(int rows, const float *positions, int octaves, float *features, int stride) {
    for (int first = 0; first < rows; first += LANES) {
        const int count = rows - first < LANES ? rows - first : LANES;
        float *row = features + (ptrdiff_t)first * stride;
        for (int axis = 0; axis < 3; axis++) {
            vec x = {0}, sine, cosine;
            for (int r = 0; r < count; r++) x[r] = positions[3 * (first + r) + axis];
            sine_cosine(x, &sine, &cosine);
            for (int r = 0; r < count; r++) row[(ptrdiff_t)r * stride + axis] = x[r];
            for (int octave = 0; octave < octaves; octave++) {
                const int at = 3 + 6 * octave + axis;
                for (int r = 0; r < count; r++) row[(ptrdiff_t)r * stride + at] = sine[r], row[(ptrdiff_t)r * stride + at + 3] = cosine[r];
                const vec twice = 2 * sine * cosine;
                cosine = 1 - 2 * sine * sine, sine = twice;
            }
        }
        for (int r = 0; r < count; r++) row[(ptrdiff_t)r * stride + 3 + 6 * octaves] = 1;
    }
}

INLINE void write_grid_features(int rows, const float *positions, const Encoding *e, const float *planes, const float *volume,
                                float *features, int stride) {
    for (int r = 0; r < rows; r++) {
        Tap taps[8];
        float *to = features + (ptrdiff_t)r * stride + frequency_features(e);
        for (int plane = 0; e->plane_size && plane < 3; plane++, to += e->plane_channels) {
            plane_taps(positions + 3 * r, plane, e->plane_size, taps);
            read_taps(4, taps, planes, e->plane_channels, to);
        }
        if (!e->volume_size) continue;
        volume_taps(positions + 3 * r, e->volume_size, taps);
        read_taps(8, taps, volume, e->volume_channels, to);
    }
}

/* `gradient` is that of the grids' features, [rows, stride], planes' first. */
INLINE void add_grid_gradients(int rows, const float *positions, const Encoding *e, const float *gradient, int stride, float *planes,
                               float *volume) {
    for (int r = 0; r < rows; r++) {
        Tap taps[8];
        const float *from = gradient + (ptrdiff_t)r * stride;
        for (int plane = 0; e->plane_size && plane < 3; plane++, from += e->plane_channels) {
            plane_taps(positions + 3 * r, plane, e->plane_size, taps);
            add_taps(4, taps, from, e->plane_channels, planes);
        }
        if (!e->volume_size) continue;
        volume_taps(positions + 3 * r, e->volume_size, taps);
        add_taps(8, taps, from, e->volume_channels, volume);
    }
}

#endif
