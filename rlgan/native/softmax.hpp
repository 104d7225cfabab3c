// A linear layer followed by a softmax over the vocabulary, never held as a whole: exact inverse-CDF draws from it, its
// log-probabilities and entropies, and their gradients. Included once for each instruction set.
//
// N rows, H hidden, V vocabulary, K draws of a row, G blocks of BLOCK tokens

enum : int64_t { CHUNK = 8 * ROWS, DRAWN_ROWS = 4 * ROWS };

// Logits of PANEL tokens from `column` on for ROWS rows.
RLGAN_INLINE void logit_tile(const SoftmaxLayer& layer, const float* packed_rows, int64_t column, Vec (&acc)[ROWS][2]) {
    const Vec bias0 = load(layer.bias + column), bias1 = load(layer.bias + column + LANES);
    RLGAN_UNROLL
    for (int r = 0; r < ROWS; r++) acc[r][0] = bias0, acc[r][1] = bias1;
    if (column < layer.vocab) tile(packed_rows, Packed{}, layer.panels + column * layer.hidden, PANEL, layer.hidden, acc);
}

// Logits of one block for ROWS rows: out[r * BLOCK + v].
RLGAN_INLINE void block_logits(const SoftmaxLayer& layer, const float* packed_rows, int64_t block, float* out) {
    for (int64_t j = 0; j < BLOCK; j += PANEL) {
        Vec acc[ROWS][2];
        logit_tile(layer, packed_rows, block * BLOCK + j, acc);
        for (int r = 0; r < ROWS; r++) store(out + r * BLOCK + j, acc[r][0]), store(out + r * BLOCK + j + LANES, acc[r][1]);
    }
}

// A shift for block_sum, which meets every NaN again: this need not keep them.
RLGAN_INLINE float block_largest(const float* logits) {
    Vec most = load(logits);
    for (int64_t j = LANES; j < BLOCK; j += LANES) most = larger_number(load(logits + j), most);
    return largest(most);
}

// Sum of exp(logit - shift) over a block, and of exp(logit - shift) * logit.
RLGAN_INLINE float block_sum(const float* logits, float shift, float* weighted) {
    Vec total{}, total_logits{};
    for (int64_t j = 0; j < BLOCK; j += LANES) {
        const Vec x = load(logits + j), weight = exponential(x - shift);
        total += weight;
        total_logits += weight > Vec{} ? weight * x : Vec{};
    }
    *weighted = sum(total_logits);
    return sum(total);
}

// Draws have logits to the base 2, which takes fewer steps: a weight is 2^logit. Sum of 2^(logit - shift) over a block.
RLGAN_INLINE float binary_sum(const float* logits, float shift) {
    Vec total{};
    for (int64_t j = 0; j < BLOCK; j += LANES) total += power_of_two(load(logits + j) - shift);
    return sum(total);
}

// The same without a shift for ROWS rows whose logits are all bounded, and a block that is full: no logit is ever stored.
RLGAN_INLINE void bounded_binary_sums(const SoftmaxLayer& layer, const float* packed_rows, int64_t block, float (&sums)[ROWS]) {
    Vec total[ROWS];
    for (int r = 0; r < ROWS; r++) total[r] = Vec{};
    for (int64_t column = block * BLOCK; column < (block + 1) * BLOCK; column += PANEL) {
        Vec acc[ROWS][2];
        logit_tile(layer, packed_rows, column, acc);
        RLGAN_UNROLL
        for (int r = 0; r < ROWS; r++) total[r] += bounded_power_of_two(acc[r][0]), total[r] += bounded_power_of_two(acc[r][1]);
    }
    for (int r = 0; r < ROWS; r++) sums[r] = sum(total[r]);
}

// Whether no logit of the row is beyond 86, so that its power needs no shift. False where it or a weight is no number.
RLGAN_INLINE bool is_bounded(const LogitBound& bound, const float* row, int64_t hidden) {
    float square = 0;
    for (int64_t k = 0; k < hidden; k++) square += row[k] * row[k];
    return sqrtf(square) * bound.longest + bound.largest_bias < 86;
}

// The sum over a block whose largest number is -inf: 0, or NaN if there is one. Not inlined: it is rare.
__attribute__((noinline)) static float empty_sum(const float* logits) {
    for (int64_t j = 0; j < BLOCK; j++)
        if (logits[j] != logits[j]) return logits[j];
    return 0;
}

// Index of the first cumulative weight above u * total, and where in that step it is.
RLGAN_INLINE int64_t first_above(const double* cumulative, int64_t count, double u, double* rest) {
    const double total = cumulative[count - 1], below_one = 1.0 - 5.9604644775390625e-8;
    double target = u * total;
    if (!(target <= total * below_one)) target = total * below_one;
    int64_t index = 0;
    while (index < count - 1 && !(cumulative[index] > target)) index++;
    const double lower = index ? cumulative[index - 1] : 0.0;
    *rest = (target - lower) / (cumulative[index] - lower);
    return index;
}

// K draws of one row from the cumulative weights of its blocks; a chosen block is computed once more.
RLGAN_INLINE void draw_row(const SoftmaxLayer& layer, const float* row, const double* cumulative, const float* shifts,
                           const float* uniform, int64_t draws, int64_t* token) {
    for (int64_t i = 0; i < draws; i++) {
        double rest, inside[BLOCK], running = 0;
        const int64_t block = first_above(cumulative, layer.blocks, uniform[i], &rest);
        float logits[BLOCK];
        for (int64_t j = 0; j < BLOCK; j += PANEL) {
            const int64_t column = block * BLOCK + j;
            Vec low = load(layer.bias + column), high = load(layer.bias + column + LANES);
            const float* panel = layer.panels + column * layer.hidden;
            for (int64_t k = 0; column < layer.vocab && k < layer.hidden; k++, panel += PANEL)
                low += row[k] * load(panel), high += row[k] * load(panel + LANES);
            store(logits + j, power_of_two(low - shifts[block]));
            store(logits + j + LANES, power_of_two(high - shifts[block]));
        }
        for (int64_t j = 0; j < BLOCK; j++) inside[j] = running += logits[j];
        token[i] = block * BLOCK + first_above(inside, BLOCK, rest, &rest);
    }
}

// Draws for rows [begin, end) from a layer whose logits are to the base 2. Returns how many rows have no distribution (NaN, or all logits -inf); their token is 0.
static int64_t sample_rows(const SoftmaxLayer& layer, const LogitBound& bound, const float* hidden, int64_t begin,
                           int64_t end, const float* uniform, int64_t draws, int64_t* token) {
    const int64_t blocks = layer.blocks, depth = layer.hidden, full_blocks = layer.vocab / BLOCK;
    const int64_t scratch_size = DRAWN_ROWS * depth + ROWS * BLOCK + 2 * DRAWN_ROWS * blocks;
    float* scratch = static_cast<float*>(malloc(sizeof(float) * scratch_size));
    double* cumulative = static_cast<double*>(malloc(sizeof(double) * blocks));
    float *packed = scratch, *logits = packed + DRAWN_ROWS * depth, *shift = logits + ROWS * BLOCK;
    float* weight = shift + DRAWN_ROWS * blocks;
    bool bounded[DRAWN_ROWS];
    int64_t bad = 0;
    for (int64_t first = begin; first < end; first += DRAWN_ROWS) {
        const int64_t count = end - first < DRAWN_ROWS ? end - first : DRAWN_ROWS;
        for (int64_t tile = 0; tile < count; tile += ROWS)
            pack_rows(hidden, depth, first + tile, end, depth, packed + tile * depth);
        for (int64_t r = 0; r < count; r++) bounded[r] = is_bounded(bound, hidden + (first + r) * depth, depth);
        for (int64_t g = 0; g < blocks; g++) {  // the weights of a block stay in the first cache for all tiles
            for (int64_t tile = 0; tile < count; tile += ROWS) {
                const int64_t stop = count - tile < ROWS ? count : tile + ROWS;
                bool all_bounded = g < full_blocks;
                for (int64_t r = tile; r < stop; r++) all_bounded = all_bounded && bounded[r];
                if (all_bounded) {
                    float sums[ROWS];
                    bounded_binary_sums(layer, packed + tile * depth, g, sums);
                    for (int64_t r = tile; r < stop; r++) shift[r * blocks + g] = 0, weight[r * blocks + g] = sums[r - tile];
                    continue;
                }
                block_logits(layer, packed + tile * depth, g, logits);
                for (int64_t r = tile; r < stop; r++) {
                    const float* row = logits + (r - tile) * BLOCK;
                    const float most = bounded[r] ? 0 : block_largest(row);
                    shift[r * blocks + g] = most;
                    weight[r * blocks + g] = most == -INFINITY ? empty_sum(row) : binary_sum(row, most);
                }
            }
        }
        for (int64_t r = 0; r < count; r++) {
            const float *shifts = shift + r * blocks, *weights = weight + r * blocks;
            float most = shifts[0];
            for (int64_t g = 1; g < blocks; g++) most = shifts[g] > most ? shifts[g] : most;
            double running = 0;
            for (int64_t g = 0; g < blocks; g++) {
                const double scale = bounded[r] ? 1.0 : exp2(static_cast<double>(shifts[g]) - most);
                if (weights[g] != 0) running += weights[g] * scale;
                cumulative[g] = running;
            }
            int64_t* tokens = token + (first + r) * draws;
            if (running > 0 && running < INFINITY) {
                draw_row(layer, hidden + (first + r) * depth, cumulative, shifts, uniform + (first + r) * draws, draws, tokens);
            } else {
                bad++;
                for (int64_t i = 0; i < draws; i++) tokens[i] = 0;
            }
        }
    }
    free(cumulative);
    free(scratch);
    return bad;
}

// log p(token), entropy and log-normaliser of rows [begin, end).
static void log_prob_rows(const SoftmaxLayer& layer, const float* hidden, int64_t begin, int64_t end,
                          const int64_t* token, float* log_prob, float* entropy, float* log_normaliser) {
    const int64_t depth = layer.hidden;
    float* packed = static_cast<float*>(malloc(sizeof(float) * (ROWS * depth + ROWS * BLOCK)));
    float* logits = packed + ROWS * depth;
    for (int64_t first = begin; first < end; first += ROWS) {
        const int64_t count = end - first < ROWS ? end - first : ROWS;
        float chosen[ROWS], most[ROWS];
        double total[ROWS], weighted[ROWS];
        for (int64_t r = 0; r < ROWS; r++) most[r] = -INFINITY, total[r] = weighted[r] = 0, chosen[r] = NAN;
        pack_rows(hidden, depth, first, end, depth, packed);
        for (int64_t g = 0; g < layer.blocks; g++) {
            block_logits(layer, packed, g, logits);
            for (int64_t r = 0; r < count; r++) {
                const float* row = logits + r * BLOCK;
                const int64_t place = token[first + r] - g * BLOCK;
                if (place >= 0 && place < BLOCK) chosen[r] = row[place];
                const float here = block_largest(row);
                if (here == -INFINITY) {
                    total[r] += empty_sum(row);
                    continue;
                }
                if (!(here <= most[r])) {
                    const double scale = exp(static_cast<double>(most[r]) - here);
                    most[r] = here, total[r] *= scale, weighted[r] *= scale;
                }
                float with_logits;
                total[r] += block_sum(row, most[r], &with_logits);
                weighted[r] += with_logits;
            }
        }
        for (int64_t r = 0; r < count; r++) {
            const double normaliser = most[r] + log(total[r]);
            log_normaliser[first + r] = static_cast<float>(normaliser);
            log_prob[first + r] = static_cast<float>(chosen[r] - normaliser);
            entropy[first + r] = static_cast<float>(normaliser - weighted[r] / total[r]);
        }
    }
    free(packed);
}

// Gradient of the logits of one block for ROWS rows, in place: 1[y] g - p (g + e (log p + entropy)).
RLGAN_INLINE void block_gradient(const SoftmaxGradient& in, int64_t first, int64_t count, int64_t block, float* logits) {
    for (int64_t r = 0; r < ROWS; r++) {
        float* row = logits + r * BLOCK;
        const int64_t n = first + r;
        if (r >= count) {
            for (int64_t j = 0; j < BLOCK; j += LANES) store(row + j, Vec{});
            continue;
        }
        const float g = in.grad_log_prob[n], e = in.grad_entropy ? in.grad_entropy[n] : 0;
        const float shift = in.log_normaliser[n], offset = e * (in.entropy[n] - shift);
        for (int64_t j = 0; j < BLOCK; j += LANES) {
            const Vec x = load(row + j), p = exponential(x - shift);
            const Vec scale = e != 0 ? (p > Vec{} ? g + offset + e * x : Vec{}) : splat(g);
            store(row + j, -p * scale);
        }
        const int64_t place = in.token[n] - block * BLOCK;
        if (place >= 0 && place < BLOCK) row[place] += g;
    }
}

struct GradientRows {  // row r of the block's gradient, along the vocabulary
    constexpr int64_t row() const { return BLOCK; }
    constexpr int64_t depth() const { return 1; }
};
struct GradientColumns {  // token r of the block's gradient, along the rows
    constexpr int64_t row() const { return 1; }
    constexpr int64_t depth() const { return BLOCK; }
};

// Gradients from blocks [begin, end): adds to grad_hidden [N, H'] and to the blocks' own grad_weight and grad_bias.
static void gradient_blocks(const SoftmaxLayer& layer, const SoftmaxGradient& in, int64_t begin, int64_t end,
                            float* grad_hidden, float* grad_weight, float* grad_bias) {
    const int64_t depth = layer.hidden, padded = in.padded;
    float* packed = static_cast<float*>(malloc(sizeof(float) * (ROWS * depth + CHUNK * BLOCK)));
    float* gradient = packed + ROWS * depth;
    for (int64_t g = begin; g < end; g++) {
        const int64_t first_token = g * BLOCK;
        const int64_t tokens = layer.vocab - first_token < BLOCK ? layer.vocab - first_token : BLOCK;
        for (int64_t chunk = 0; chunk < in.rows; chunk += CHUNK) {
            const int64_t rows = in.rows - chunk < CHUNK ? in.rows - chunk : CHUNK;
            for (int64_t first = 0; first < rows; first += ROWS) {
                const int64_t count = rows - first < ROWS ? rows - first : ROWS;
                float* here = gradient + first * BLOCK;
                pack_rows(in.hidden, padded, chunk + first, in.rows, depth, packed);
                block_logits(layer, packed, g, here);
                block_gradient(in, chunk + first, count, g, here);
                for (int64_t h = 0; h < padded; h += PANEL) {
                    Vec acc[ROWS][2];
                    set_zero(acc);
                    tile(here, GradientRows{}, in.weight + first_token * padded + h, padded, tokens, acc);
                    RLGAN_UNROLL
                    for (int r = 0; r < ROWS; r++) {
                        if (r >= count) break;
                        float* out = grad_hidden + (chunk + first + r) * padded + h;
                        store(out, load(out) + acc[r][0]), store(out + LANES, load(out + LANES) + acc[r][1]);
                    }
                }
            }
            for (int64_t v = 0; v < tokens; v += ROWS) {
                const int64_t from = v + ROWS > BLOCK ? BLOCK - ROWS : v;  // the last tile looks back, to stay inside
                for (int64_t h = 0; h < padded; h += PANEL) {
                    Vec acc[ROWS][2];
                    set_zero(acc);
                    tile(gradient + from, GradientColumns{}, in.hidden + chunk * padded + h, padded, rows, acc);
                    RLGAN_UNROLL
                    for (int r = 0; r < ROWS; r++) {
                        if (from + r < v || from + r >= tokens) continue;
                        float* out = grad_weight + (first_token + from + r) * padded + h;
                        store(out, load(out) + acc[r][0]), store(out + LANES, load(out + LANES) + acc[r][1]);
                    }
                }
            }
            for (int64_t n = 0; n < rows; n++)
                for (int64_t v = 0; v < tokens; v++) grad_bias[first_token + v] += gradient[n * BLOCK + v];
        }
    }
    free(packed);
}
