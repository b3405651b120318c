/* Points on rays where a grid is not empty: see ops/march.py, whose torch reference this is the twin of. */
#include <math.h>

#include "vectors.h"

enum { MOST_BINS = 256 };

typedef struct {
    long scenes, rays, size; /* size: cells along a side of the grid */
    int threads, grids, bins, samples;
    const float *origins, *directions; /* [scene, ray, 3] */
    const unsigned char *cells;        /* [grid, z, y, x]; one grid for all scenes, or one a scene */
    const float *jitter;               /* [scene, ray, sample]; null: the middles */
    float *distances, *lengths;        /* [scene, ray, sample], and of a ray's points each [scene, ray] */
} March;

/* The numbers of those of a ray's bins whose middles lie in full cells; returns how many. */
INLINE int full_bins(const March *m, const unsigned char *cells, const float *origin, const float *direction, float near, float width, int *full) {
    const float half = 0.5f * m->size;
    int count = 0;
    for (int first = 0; first < m->bins; first += LANES) {
        vec middle;
        ivec index = {0};
        int cell[LANES];
        for (int k = 0; k < LANES; k++) middle[k] = first + k + 0.5f;
        middle = near + width * middle;
        for (int axis = 2; axis >= 0; axis--) {
            const vec at = (origin[axis] + 1) * half + direction[axis] * half * middle;
            index = index * (int)m->size + __builtin_convertvector(between(at, 0, m->size - 0.5f), ivec);
        }
        *(ivec *)cell = index;
        for (int k = 0; k < LANES && first + k < m->bins; k++) {
            full[count] = first + k;
            count += cells[cell[k]] != 0;
        }
    }
    return count;
}

static void march_ray(const March *m, long scene, long ray) {
    const float *o = m->origins + 3 * ray, *d = m->directions + 3 * ray;
    const float along = o[0] * d[0] + o[1] * d[1] + o[2] * d[2];
    float closest = 0;
    for (int k = 0; k < 3; k++) closest += (o[k] - along * d[k]) * (o[k] - along * d[k]);
    const float half_chord = closest < 1 ? sqrtf(1 - closest) : 0, begin = -along - half_chord, near = begin > 0 ? begin : 0;
    const float end = -along + half_chord, width = (end > near ? end - near : 0) / m->bins;
    int full[MOST_BINS + LANES] = {0};
    const unsigned char *cells = m->cells + (m->grids > 1 ? scene * m->size * m->size * m->size : 0);
    const int count = width > 0 ? full_bins(m, cells, o, d, near, width, full) : 0, last = count ? count - 1 : 0;
    const float step = (float)count / m->samples, *jitter = m->jitter ? m->jitter + ray * m->samples : NULL;
    float *to = m->distances + ray * m->samples;
    for (int i = 0; i < m->samples; i++) { /* full bins are laid end to end */
        const float at = (i + (jitter ? jitter[i] : 0.5f)) * step;
        const int bin = at < last ? (at > 0 ? (int)at : 0) : last;
        to[i] = near + width * (full[bin] + (at - bin));
    }
    m->lengths[ray] = step * width;
}

/* Returns 0: it needs no memory. */
int march_run(const March *m) {
    const long count = m->scenes * m->rays;
#pragma omp parallel for num_threads(m->threads) schedule(static) if (count > 256)
    for (long ray = 0; ray < count; ray++) march_ray(m, ray / m->rays, ray);
    return 0;
}
