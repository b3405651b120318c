/* The backward pass in bfloat16, of what the forward pass kept. Sums are float32.

   The forward pass stays in float32: rounded to bfloat16, a hidden value near 0 may fall on the other side, and its whole gradient
   with it, which for random networks costs ten times the error of all other roundings together (8e-2, against 5e-3). */
#include "network.h"
#include "tiles.h"

/* Rows a block: with twice as many, all of the depth of the products for dW is made up of whole tiles. */
enum { MOST_ROWS = MULTIPLIES_TILES ? 2 * ROWS : ROWS };

/* What the forward pass kept of a block's inputs of one layer: [row / 2, width], pairs along rows. */
typedef struct {
    const float *at;
    int width;
} Kept;

static Kept kept(const Call *c, int layer, long scene, long begin) {
    return (Kept){kept_values(c, layer, scene, begin), WHOLE(c->sizes[layer])};
}

/* A block's gradients, rounded. The product for dW sums over rows, the one for the values below over columns: pairs for both. */
typedef struct {
    float *by_rows;    /* [row / 2, column], pairs along rows */
    float *by_columns; /* [row, column / 2], pairs along columns */
} Rounded;

/* `values` [rows, width], where `sign` (null: everywhere) is above 0. Meanwhile `next` is asked for: it comes from memory, and its
   lines come in time if asked for a layer before they are needed, and a few at a time. */
static void round_gradients(int rows, int width, const float *values, const float *sign, Rounded to, Kept next) {
    for (int r = 0; r < rows; r += 2) {
        for (int j = 0; j < next.width; j += LANES) __builtin_prefetch(next.at + r / 2 * next.width + j);
        for (int j = 0; j < width; j += LANES) {
            const int at = r / 2 * width + j;
            vec pairs = pairs_of(*(const vec *)(values + r * width + j), *(const vec *)(values + (r + 1) * width + j));
            if (sign) pairs = where_positive_pairs(*(const vec *)(sign + at), pairs);
            *(vec *)(to.by_rows + at) = pairs;
            float *columns = to.by_columns + (r * width + j) / 2;
            part_pairs(pairs, columns, columns + width / 2);
        }
    }
}

/* By tiles, if the processor has them and the system lets it. */
INLINE void multiply(const int how, int tiles, int rows, int columns, int depth, Left a, const float *b, int ldb, float *c, int ldc) {
    if (tiles) product_of_pairs(how, rows, columns, depth, a, b, ldb, c, ldc);
    else product(how | PAIRS, rows, columns, depth, a, b, ldb, c, ldc);
}

/* `rows` are whole blocks of ROWS; those beyond `end` are 0. */
static void backward_block(const Call *c, const Layout *l, const float *params, long scene, long begin, long end, int rows, int tiles,
                           float *wide, Rounded above, float *gradients) {
    const int last = c->layers - 1, outputs = c->sizes[c->layers], from = wanted_from(c);
    const size_t first = (size_t)scene * c->points + begin;
    for (int r = 0; r < rows; r += ROWS)
        outputs_gradient(c, first + r, end - begin - r < ROWS ? end - begin - r : ROWS, wide + (size_t)r * WHOLE(outputs));
    round_gradients(rows, WHOLE(outputs), wide, NULL, above, kept(c, last ? last - 1 : 0, scene, begin));
    for (int i = last; i >= 0; i--) {
        const int out = c->sizes[i + 1], skipped = i ? 0 : from;
        const Kept inputs = kept(c, i, scene, begin);
        const int in = inputs.width;
        if (c->d_weights[i])
            multiply(ADD, tiles, out, in, rows / 2, (Left){above.by_rows, 1, WHOLE(out)}, inputs.at, in, gradients + l->natural[i], in);
        if (skipped < 0) return;
        multiply(PLAIN, tiles, rows, in - skipped, (out + 1) / 2, (Left){above.by_columns, WHOLE(out) / 2, 1},
                 params + l->paired[i] + skipped, in, wide + skipped, in);
        if (!i) break;
        const Kept next = i > 1 ? kept(c, i - 2, scene, begin) : kept(c, last, scene, begin + rows);
        round_gradients(rows, in, wide, inputs.at, above, next);
    }
    pull_back_inputs(c, l, first, end - begin < rows ? end - begin : rows, wide, gradients);
}

void backward_part_bfloat16(const Call *c, const Layout *l, const float *params, long scene, long begin, long end, float *scratch,
                            float *gradients) {
    const size_t block = (size_t)MOST_ROWS * l->widest;
    const Rounded above = {scratch + block, scratch + block * 3 / 2};
    const int tiles = tiles_are_allowed();
    memset(gradients, 0, l->gradients * sizeof(float));
    if (tiles) begin_tiles();
    for (long at = begin; at < end; at += MOST_ROWS) {
        const int rows = WHOLE_BLOCKS(end - at) < MOST_ROWS ? (int)WHOLE_BLOCKS(end - at) : MOST_ROWS;
        backward_block(c, l, params, scene, at, end, rows, tiles, scratch, above, gradients);
    }
    if (tiles) end_tiles();
}

/* Whether this pass is faster than the one in float32. */
int network_multiplies_bfloat16(void) { return MULTIPLIES_BFLOAT16; }

/* Whether it multiplies by tiles. */
int network_multiplies_tiles(void) { return tiles_are_allowed(); }
