/* The backward pass in bfloat16, of what the forward pass kept. Sums are float32.

   The forward pass stays in float32: rounded to bfloat16, a hidden value near 0 may fall on the other side, and its whole gradient
   with it, which for random networks costs ten times the error of all other roundings together (8e-2, against 5e-3). */
#include "network.h"

/* A block's gradients, rounded. The product for dW sums over rows, the one for the values below over columns: pairs for both. */
typedef struct {
    float *by_rows;    /* [row / 2, column], pairs along rows */
    float *by_columns; /* [row, column / 2], pairs along columns */
} Rounded;

/* `values` [rows, width], where `kept` (null: everywhere) is above 0. */
static void round_gradients(int rows, int width, const float *values, const float *kept, Rounded to) {
    for (int r = 0; r < rows; r += 2)
        for (int j = 0; j < width; j += LANES) {
            const size_t at = (size_t)r / 2 * width + j, columns = ((size_t)r * width + j) / 2;
            vec pairs = pairs_of(*(const vec *)(values + r * width + j), *(const vec *)(values + (r + 1) * width + j));
            if (kept) pairs = where_positive_pairs(*(const vec *)(kept + at), pairs);
            *(vec *)(to.by_rows + at) = pairs;
            part_pairs(pairs, to.by_columns + columns, to.by_columns + columns + width / 2);
        }
}

static void backward_block(const Call *c, const Layout *l, const float *params, long scene, long begin, int rows, float *wide,
                           Rounded above, float *gradients) {
    const int outputs = c->sizes[c->layers], from = wanted_from(c), whole = (rows + ROWS - 1) / ROWS * ROWS;
    const size_t first = (size_t)scene * c->points + begin;
    memset(wide, 0, (size_t)whole * WHOLE(outputs) * sizeof(float));
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < outputs; o++) wide[r * WHOLE(outputs) + o] = c->d_outputs[(first + r) * outputs + o];
    round_gradients(whole, WHOLE(outputs), wide, NULL, above);
    for (int i = c->layers - 1; i >= 0; i--) {
        const int in = WHOLE(c->sizes[i]), out = c->sizes[i + 1], skipped = i ? 0 : from;
        const float *kept = kept_values(c, i, scene, begin);
        product(ADD | PAIRS, out, in, whole / 2, (Left){above.by_rows, 1, WHOLE(out)}, kept, in, gradients + l->natural[i], in);
        if (skipped < 0) return;
        product(PAIRS, whole, in - skipped, (out + 1) / 2, (Left){above.by_columns, WHOLE(out) / 2, 1},
                params + l->paired[i] + skipped, in, wide + skipped, in);
        if (i) round_gradients(whole, in, wide, kept, above);
    }
    pull_back_inputs(c, l, first, rows, wide, gradients);
}

void backward_part_bfloat16(const Call *c, const Layout *l, const float *params, long scene, long begin, long end, float *scratch,
                            float *gradients) {
    enum { HALVES = 2 * ROWS }; /* as much room as ROWS float32 take */
    const Rounded above = {scratch + (size_t)HALVES * l->widest, scratch + (size_t)HALVES * l->widest * 3 / 2};
    memset(gradients, 0, l->gradients * sizeof(float));
    for (long at = begin; at < end; at += HALVES)
        backward_block(c, l, params, scene, at, end - at < HALVES ? end - at : HALVES, scratch, above, gradients);
}

/* Whether this pass is faster than the one in float32. */
int network_multiplies_bfloat16(void) { return MULTIPLIES_BFLOAT16; }
