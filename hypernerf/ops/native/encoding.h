/* What a field's network sees of a position: frequencies, then features read from planes and from a volume. */
#ifndef ENCODING_H
#define ENCODING_H

#include "products.h"

#define QUADS(n) (((n) + 3) / 4 * 4)

/* Grids of one scene with channels last, padded to whole quads: planes [3, row, column, channel], volume [z, y, x, channel]. */
typedef struct {
    int octaves, plane_size, plane_channels, volume_size, volume_channels;
} Encoding;

INLINE int frequency_features(const Encoding *e) { return 4 + 6 * e->octaves; }

/* Along each axis, the cells below some points' coordinates in [-1, 1] and how far these are towards the next. */
typedef struct {
    int below[3][LANES];
    float share[3][LANES];
} Cells;

/* Of up to LANES points; the outermost centers' values go on outwards. */
INLINE void find_cells(int count, const float *positions, int size, Cells *cells) {
    const vec last = (vec){0} + (float)(size - 1);
    for (int axis = 0; axis < 3; axis++) {
        vec t = {0};
        for (int r = 0; r < count; r++) t[r] = positions[3 * r + axis];
        t = ((t + 1) * (float)size - 1) * 0.5f;
        t = where_positive(t, t); /* not a number: 0, so that no index leaves the grid */
        t = last - where_positive(last - t, last - t);
        ivec below = __builtin_convertvector(t, ivec);
        below += below > size - 2; /* true is -1 */
        *(ivec *)cells->below[axis] = below;
        *(vec *)cells->share[axis] = t - __builtin_convertvector(below, vec);
    }
}

/* Four channels from `from` on, or as many as there are, 0 for the rest; and back. */
INLINE quad read_quad(const float *from, int channels) {
    quad result = {0};
    if (channels >= 4) return *(const quad *)from;
    for (int i = 0; i < channels; i++) result[i] = from[i];
    return result;
}
INLINE void write_quad(quad value, int channels, float *to) {
    if (channels >= 4) *(quad *)to = value;
    for (int i = 0; channels < 4 && i < channels; i++) to[i] = value[i];
}

/* Features of one point from the cells around it, which stand `across` and `down` floats from the first, linearly in between. */
INLINE void read_plane(const float *cell, ptrdiff_t across, ptrdiff_t down, float u, float v, int channels, float *features) {
    for (int c = 0; c < channels; c += 4, cell += 4) {
        const quad near = *(const quad *)cell, far = *(const quad *)(cell + down);
        const quad above = near + u * (*(const quad *)(cell + across) - near);
        const quad below = far + u * (*(const quad *)(cell + across + down) - far);
        write_quad(above + v * (below - above), channels - c, features + c);
    }
}

INLINE void read_volume(const float *cell, const ptrdiff_t step[3], const float share[3], int channels, float *features) {
    for (int c = 0; c < channels; c += 4, cell += 4) {
        quad layers[2];
        for (int z = 0; z < 2; z++) {
            const float *at = cell + z * step[2];
            const quad near = *(const quad *)at, far = *(const quad *)(at + step[1]);
            const quad above = near + share[0] * (*(const quad *)(at + step[0]) - near);
            const quad below = far + share[0] * (*(const quad *)(at + step[0] + step[1]) - far);
            layers[z] = above + share[1] * (below - above);
        }
        write_quad(layers[0] + share[2] * (layers[1] - layers[0]), channels - c, features + c);
    }
}

/* The transposes of reading: each cell around takes its share of the features' gradient. Padding takes none. */
INLINE void share_along(quad value, float share, float *cell, ptrdiff_t across) {
    const quad part = share * value;
    *(quad *)cell += value - part;
    *(quad *)(cell + across) += part;
}

INLINE void add_to_plane(const float *gradient, ptrdiff_t across, ptrdiff_t down, float u, float v, int channels, float *cell) {
    for (int c = 0; c < channels; c += 4) {
        const quad value = read_quad(gradient + c, channels - c), part = v * value;
        share_along(value - part, u, cell + c, across);
        share_along(part, u, cell + c + down, across);
    }
}

INLINE void add_to_volume(const float *gradient, const ptrdiff_t step[3], const float share[3], int channels, float *cell) {
    for (int c = 0; c < channels; c += 4) {
        const quad value = read_quad(gradient + c, channels - c), far = share[2] * value, near = value - far;
        for (int z = 0; z < 2; z++) {
            const quad layer = z ? far : near, part = share[1] * layer;
            float *at = cell + c + z * step[2];
            share_along(layer - part, share[0], at, step[0]);
            share_along(part, share[0], at + step[1], step[0]);
        }
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

/* Where the cells around point r of `cells` begin: in plane 0 (x, y), 1 (x, z) or 2 (y, z), and in the volume. */
INLINE ptrdiff_t plane_cell(const Cells *cells, int r, int plane, const Encoding *e) {
    const int u = cells->below[plane == 2][r], v = cells->below[plane == 0 ? 1 : 2][r];
    return (ptrdiff_t)((plane * e->plane_size + v) * e->plane_size + u) * QUADS(e->plane_channels);
}
INLINE ptrdiff_t volume_cell(const Cells *cells, int r, const Encoding *e) {
    const int size = e->volume_size;
    return (ptrdiff_t)((cells->below[2][r] * size + cells->below[1][r]) * size + cells->below[0][r]) * QUADS(e->volume_channels);
}

INLINE void write_grid_features(int rows, const float *positions, const Encoding *e, const float *planes, const float *volume,
                                float *features, int stride) {
    const ptrdiff_t wide = QUADS(e->plane_channels), deep = QUADS(e->volume_channels);
    const ptrdiff_t down = e->plane_size * wide, step[3] = {deep, e->volume_size * deep, e->volume_size * e->volume_size * deep};
    Cells cells;
    for (int first = 0; first < rows; first += LANES) {
        const int count = rows - first < LANES ? rows - first : LANES;
        float *to = features + (ptrdiff_t)first * stride + frequency_features(e);
        if (e->plane_size) find_cells(count, positions + 3 * first, e->plane_size, &cells);
        for (int plane = 0; e->plane_size && plane < 3; plane++, to += e->plane_channels)
            for (int r = 0; r < count; r++)
                read_plane(planes + plane_cell(&cells, r, plane, e), wide, down, cells.share[plane == 2][r],
                           cells.share[plane == 0 ? 1 : 2][r], e->plane_channels, to + (ptrdiff_t)r * stride);
        if (e->volume_size) find_cells(count, positions + 3 * first, e->volume_size, &cells);
        for (int r = 0; e->volume_size && r < count; r++) {
            const float share[3] = {cells.share[0][r], cells.share[1][r], cells.share[2][r]};
            read_volume(volume + volume_cell(&cells, r, e), step, share, e->volume_channels, to + (ptrdiff_t)r * stride);
        }
    }
}

/* `gradient` is that of the grids' features, [rows, stride], planes' first. */
INLINE void add_grid_gradients(int rows, const float *positions, const Encoding *e, const float *gradient, int stride, float *planes,
                               float *volume) {
    const ptrdiff_t wide = QUADS(e->plane_channels), deep = QUADS(e->volume_channels);
    const ptrdiff_t down = e->plane_size * wide, step[3] = {deep, e->volume_size * deep, e->volume_size * e->volume_size * deep};
    Cells cells;
    for (int first = 0; first < rows; first += LANES) {
        const int count = rows - first < LANES ? rows - first : LANES;
        const float *from = gradient + (ptrdiff_t)first * stride;
        if (e->plane_size) find_cells(count, positions + 3 * first, e->plane_size, &cells);
        for (int plane = 0; e->plane_size && plane < 3; plane++, from += e->plane_channels)
            for (int r = 0; r < count; r++)
                add_to_plane(from + (ptrdiff_t)r * stride, wide, down, cells.share[plane == 2][r],
                             cells.share[plane == 0 ? 1 : 2][r], e->plane_channels, planes + plane_cell(&cells, r, plane, e));
        if (e->volume_size) find_cells(count, positions + 3 * first, e->volume_size, &cells);
        for (int r = 0; e->volume_size && r < count; r++) {
            const float share[3] = {cells.share[0][r], cells.share[1][r], cells.share[2][r]};
            add_to_volume(from + (ptrdiff_t)r * stride, step, share, e->volume_channels, volume + volume_cell(&cells, r, e));
        }
    }
}

#endif
