/* What rays see of a field's numbers along them, and the gradient in these: see ops/integrate.py, whose torch reference this is
   the twin of. */
#include <math.h>
#include <string.h>

#include "vectors.h"

enum { POINTS = 512 }; /* of whole rays at a time, if a ray has no more: they stay in the first cache */

typedef struct {
    long scenes, rays, samples;
    int threads, length_of_ray; /* whether all points of a ray stand for one length, which is given once a ray */
    float shift, scale;
    const float *values;              /* [scene, ray, sample, 4] */
    const float *distances, *lengths; /* [scene, ray, sample] */
    const float *background;          /* [scene, 3] */
    float *color, *opacity, *depth;   /* [scene, ray, 3], [scene, ray], [scene, ray] */
    const float *d_color, *d_opacity, *d_depth;
    float *d_values; /* if not null, it is wanted, and nothing else */
} Integral;

/* Of some points: sigmoids of the numbers less the shift (density's slope, then color); e^-x and 1 - e^-x of the optical depth x. */
typedef struct {
    quad *bounded;
    float *passed, *stopped, *length;
} Points;

/* e^x and e^x - 1, to 1e-7 of each; what is not a number stays so. x = n ln 2 + r, and Taylor to r^7. */
INLINE void exponential(vec x, vec *power, vec *less_one) {
    x = choose(x < -87, (vec){0} - 87, x), x = choose(x > 88, (vec){0} + 88, x);
    const vec half = choose(x < 0, (vec){0} - 0.5f, (vec){0} + 0.5f);
    const ivec n = __builtin_convertvector(x * 1.44269504f + half, ivec);
    const vec whole = __builtin_convertvector(n, vec), r = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    vec p = r * 1.98412698e-4f + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f, p = p * r + 4.16666667e-2f, p = p * r + 1.66666667e-1f, p = p * r + 0.5f, p = p * r * r + r;
    const vec twos = (vec)((n + 127) << 23);
    *power = twos + twos * p, *less_one = twos * p + (twos - 1);
}

/* log(1 + u) for u in [0, 1]: 2 artanh(u / (2 + u)), to s^15. */
INLINE vec log_one_more(vec u) {
    const vec s = u / (2 + u), q = s * s;
    vec p = q * (2.0f / 15) + 2.0f / 13;
    p = p * q + 2.0f / 11, p = p * q + 2.0f / 9, p = p * q + 2.0f / 7, p = p * q + 2.0f / 5, p = p * q + 2.0f / 3;
    return s * (2 + p * q);
}

INLINE vec softplus(vec x) {
    vec small, unused;
    exponential(choose(x > 0, -x, x), &small, &unused);
    return choose(x < 0, (vec){0}, x) + log_one_more(small);
}

/* A vector of whole points, of whose numbers `count` are left; 0 for the rest. */
INLINE vec read_values(const float *values, int count) {
    vec part = {0};
    if (count >= LANES) return *(const vec *)values;
    for (int k = 0; k < count; k += 4) *(quad *)((float *)&part + k) = *(const quad *)(values + k);
    return part;
}

/* The points of `rays` rays from `first` on. There is room for whole vectors of them. */
static void look(const Integral *c, long first, int rays, Points *p) {
    const int samples = c->samples, count = rays * samples;
    const float *values = c->values + 4 * first * samples;
    const float *lengths = c->lengths + first * (c->length_of_ray ? 1 : samples);
    for (int r = 0; r < rays; r++)
        for (int i = 0; i < samples; i++) p->length[r * samples + i] = lengths[c->length_of_ray ? r : r * samples + i];
    vec shift = {0};
    for (int k = 0; k < LANES; k += 4) shift[k] = c->shift;
    for (int i = 0; i < 4 * count; i += LANES) {
        vec power, unused;
        exponential(shift - read_values(values + i, 4 * count - i), &power, &unused);
        *(vec *)((float *)p->bounded + i) = 1 / (1 + power);
    }
    for (int i = 0; i < count; i += LANES) {
        float density[LANES] = {0};
        const int some = count - i < LANES ? count - i : LANES;
        vec less_one;
        for (int k = 0; k < some; k++) density[k] = values[4 * (i + k)];
        exponential(-c->scale * softplus(*(const vec *)density - c->shift) * *(const vec *)(p->length + i), (vec *)(p->passed + i), &less_one);
        *(vec *)(p->stopped + i) = -less_one;
    }
}

INLINE void forward_ray(const Integral *c, long ray, const Points *p, int at) {
    const float *background = c->background + ray / c->rays * 3, *distances = c->distances + ray * c->samples;
    float through = 1, opacity = 0, distance = 0;
    quad color = {0};
    for (int i = 0; i < c->samples; i++) {
        const float share = through * p->stopped[at + i];
        color += share * p->bounded[at + i];
        opacity += share, distance += share * distances[i];
        through *= p->passed[at + i];
    }
    for (int k = 0; k < 3; k++) c->color[3 * ray + k] = color[1 + k] + (1 - opacity) * background[k];
    c->opacity[ray] = opacity;
    c->depth[ray] = opacity > 0.5f ? distance / opacity : 0;
}

/* `through`: room for a ray's samples. With w_i the shares, x_i the optical depths and g_i the gradient in w_i,
   dw_i/dx_i = T_i e^-x_i and dw_i/dx_j = -w_i for j < i. */
INLINE void backward_ray(const Integral *c, long ray, const Points *p, int at, float *through) {
    const float *background = c->background + ray / c->rays * 3, *distances = c->distances + ray * c->samples;
    const float *d_color = c->d_color + 3 * ray;
    const quad slope = {0, d_color[0], d_color[1], d_color[2]};
    float opacity = 0, distance = 0, so_far = 1, behind = 0;
    for (int i = 0; i < c->samples; i++) {
        through[i] = so_far;
        opacity += so_far * p->stopped[at + i], distance += so_far * p->stopped[at + i] * distances[i];
        so_far *= p->passed[at + i];
    }
    const float d_depth = opacity > 0.5f ? c->d_depth[ray] / opacity : 0, mean = opacity > 0.5f ? distance / opacity : 0;
    float fixed = c->d_opacity[ray];
    for (int k = 0; k < 3; k++) fixed -= d_color[k] * background[k];
    for (int i = c->samples - 1; i >= 0; i--) {
        const quad bounded = p->bounded[at + i], toward = slope * bounded;
        const float share = through[i] * p->stopped[at + i];
        const float g = toward[1] + toward[2] + toward[3] + fixed + (d_depth ? d_depth * (distances[i] - mean) : 0);
        quad d = toward * (1 - bounded) * share;
        d[0] = (g * through[i] * p->passed[at + i] - behind) * p->length[at + i] * c->scale * bounded[0];
        *(quad *)(c->d_values + 4 * (ray * c->samples + i)) = d;
        behind += g * share;
    }
}

/* Runs forward, or with d_values backward. Returns 0, or 1 if memory is short. */
int integrate_run(const Integral *c) {
    const long count = c->scenes * c->rays, together = c->samples < POINTS ? POINTS / c->samples : 1;
    const size_t room = WHOLE(together * c->samples) + LANES, per_thread = 8 * room;
    float *scratch = reserve(c->threads * per_thread);
    if (!scratch) return 1;
#pragma omp parallel num_threads(c->threads) if (count > together)
    {
        float *own = scratch + thread_number() * per_thread;
        Points points = {(quad *)own, own + 4 * room, own + 5 * room, own + 6 * room};
#pragma omp for schedule(static)
        for (long first = 0; first < count; first += together) {
            const int rays = count - first < together ? count - first : together;
            look(c, first, rays, &points);
            for (int r = 0; r < rays; r++) {
                if (c->d_values)
                    backward_ray(c, first + r, &points, r * c->samples, own + 7 * room);
                else
                    forward_ray(c, first + r, &points, r * c->samples);
            }
        }
    }
    free(scratch);
    return 0;
}
