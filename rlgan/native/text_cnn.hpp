// The text CNN of SeqGAN, without gradient: pooled features of sequences that share prefixes, and the highway layer with
// the output layer in one pass. Included once for each instruction set.
//
// A convolution of embedded tokens is a sum of table rows: table[token][offset][filter] = embedding . weight. Filters are
// worked off LINE at a time, so that a lookup is one cache line. Rollouts of one prefix share the sums and the running
// pool of all windows that lie in the prefix.
//
// B sequences, P prefixes, R rollouts, T positions, U distinct tokens, E embedding, F features, N rows

enum : int64_t { PARTS = LINE / LANES, HIGHWAY_ROWS = 8 * ROWS };

struct Sums {
    Vec part[PARTS];
};

RLGAN_INLINE void add_row(Sums& sums, const float* row) {
    for (int i = 0; i < PARTS; i++) sums.part[i] += load(row + i * LANES);
}

RLGAN_INLINE void pool(bool is_mean, Sums& pooled, const Sums& sums) {
    for (int i = 0; i < PARTS; i++) {
        const Vec x = sums.part[i];
        pooled.part[i] = is_mean ? pooled.part[i] + relu(x) : larger(x, pooled.part[i]);
    }
}

// Writes one row of features: the mean of the ReLUs, or the ReLU of the maximum plus bias.
RLGAN_INLINE void write_features(const ConvolutionPart& in, const Sums& pooled, int64_t row) {
    float* out = in.features + row * in.num_features + in.first_feature;
    const float scale = 1.0f / static_cast<float>(in.length - in.window + 1);
    for (int i = 0; i < PARTS; i++) {
        const Vec max = relu(pooled.part[i] + load(in.bias + i * LANES));
        store_some(out + i * LANES, in.is_mean ? pooled.part[i] * scale : max, in.filters - i * LANES);
    }
}

// table[u * stride + offset * LINE + filter] for all U tokens.
RLGAN_INLINE void fill_table(const ConvolutionPart& in, int64_t stride, float* table) {
    for (int64_t first = 0; first < in.tokens; first += ROWS) {
        const float* embedded = in.packed_embedding + first * in.embedding_size;
        for (int64_t column = 0; column < stride; column += PANEL) {
            Vec acc[ROWS][2];
            set_zero(acc);
            tile(embedded, Packed{}, in.panels + column * in.embedding_size, PANEL, in.embedding_size, acc);
            RLGAN_UNROLL
            for (int r = 0; r < ROWS; r++) {
                float* out = table + (first + r) * stride + column;
                store(out, acc[r][0]), store(out + LANES, acc[r][1]);
            }
        }
    }
}

// Features of one group of at most LINE filters of one window, for all sequences and their completions.
// Row (p * R + r) * B + b is rollout r of sequence b after p + 1 tokens; row P * R * B + b is the sequence itself.
static void convolution_part(const ConvolutionPart& in, float* table) {
    const int64_t W = in.window, T = in.length, B = in.sequences, R = in.rollouts, starts = T - W + 1;
    const int64_t stride = panels_of(W * LINE) * PANEL;
    fill_table(in, stride, table);
    Sums empty, *partial = static_cast<Sums*>(aligned_alloc(64, sizeof(Sums) * starts));
    const float** rows = static_cast<const float**>(malloc(sizeof(float*) * T));
    for (int i = 0; i < PARTS; i++) empty.part[i] = in.is_mean ? load(in.bias + i * LANES) : Vec{};
    for (int64_t b = 0; b < B; b++) {
        Sums pooled;
        for (int i = 0; i < PARTS; i++) pooled.part[i] = splat(in.is_mean ? 0 : -INFINITY);
        for (int64_t j = 0; j < starts; j++) partial[j] = empty;
        for (int64_t p = 1; p <= T; p++) {  // p tokens of the sequence have been added
            const float* added = table + in.base[b * T + p - 1] * stride;
            for (int64_t j = p > W ? p - W : 0; j < p && j < starts; j++) add_row(partial[j], added + (p - 1 - j) * LINE);
            if (p >= W) pool(in.is_mean, pooled, partial[p - W]);
            for (int64_t r = 0; p < T && r < R; r++) {
                const int64_t row = ((p - 1) * R + r) * B + b;
                const int32_t* tokens = in.completed + row * T;
                for (int64_t t = p; t < T; t++) rows[t] = table + tokens[t] * stride;
                __builtin_prefetch(in.features + row * in.num_features + in.first_feature, 1);  // written last, far from the row before
                Sums all;  // by parts: `= pooled` may copy by halves of a vector, and the loads after it wait for the stores
                for (int i = 0; i < PARTS; i++) all.part[i] = pooled.part[i];
                for (int64_t j = p >= W ? p - W + 1 : 0; j < starts; j++) {
                    Sums sums = j < p ? partial[j] : empty;
                    for (int64_t t = j > p ? j : p; t < j + W; t++) add_row(sums, rows[t] + (t - j) * LINE);
                    pool(in.is_mean, all, sums);
                }
                write_features(in, all, row);
            }
        }
        write_features(in, pooled, (T - 1) * R * B + b);
    }
    free(rows);
    free(partial);
}

// Kahan's sum: what rounding takes from the total is kept and added to the next term.
RLGAN_INLINE void add_exactly(Vec& total, Vec& lost, Vec term) {
    term -= lost;
    const Vec next = total + term;
    lost = (next - total) - term;
    total = next;
}

// Asks for one of `parts` parts of the piece of a panel that comes next.
RLGAN_INLINE void prefetch_part(const float* piece, int64_t part, int64_t parts) {
    const int64_t count = PIECE * PANEL, end = count * (part + 1) / parts;
    for (int64_t at = count * part / parts; at < end; at += LINE) __builtin_prefetch(piece + at, 0, 2);
}

// logit = output . (x + gate * (transform - x)) + offset for rows [begin, end); gate and transform columns alternate by
// LANES in the packed panels.
static void highway_rows(const HighwayLayer& layer, const float* features, int64_t begin, int64_t end, float* logit) {
    const int64_t F = layer.num_features;
    float* packed = static_cast<float*>(malloc(sizeof(float) * HIGHWAY_ROWS * F));
    for (int64_t block = begin; block < end; block += HIGHWAY_ROWS) {
        const int64_t stop = end - block < HIGHWAY_ROWS ? end : block + HIGHWAY_ROWS, tiles = (stop - block + ROWS - 1) / ROWS;
        Vec acc[HIGHWAY_ROWS / ROWS][ROWS][2], total[HIGHWAY_ROWS], lost[HIGHWAY_ROWS];
        for (int64_t r = 0; r < HIGHWAY_ROWS; r++) total[r] = lost[r] = Vec{};
        for (int64_t first = block; first < stop; first += ROWS)
            pack_rows(features, F, first, stop, F, packed + (first - block) * F);
        for (int64_t column = 0; column < F; column += LANES) {
            const float* panel = layer.panels + column * 2 * F;
            const Vec gate_bias = load(layer.gate_bias + column), transform_bias = load(layer.transform_bias + column);
            const Vec output = load(layer.output + column);
            for (int64_t i = 0; i < tiles; i++)
                for (int r = 0; r < ROWS; r++) acc[i][r][0] = gate_bias, acc[i][r][1] = transform_bias;
            for (int64_t k = 0; k < F; k += PIECE)  // a piece of the panel stays in the first cache for all tiles
                for (int64_t i = 0; i < tiles; i++) {
                    prefetch_part(panel + (k + PIECE) * PANEL, i, tiles);
                    add_piece(packed + i * ROWS * F, Packed{}, panel, PANEL, k, F, acc[i]);
                }
            for (int64_t n = block; n < stop; n++) {
                const Vec(&maps)[2] = acc[(n - block) / ROWS][(n - block) % ROWS];
                const Vec x = load_some(features + n * F + column, F - column);
                const Vec y = x + sigmoid(maps[0]) * (relu(maps[1]) - x);
                add_exactly(total[n - block], lost[n - block], output * y);
            }
        }
        for (int64_t n = block; n < stop; n++) logit[n] = layer.offset + sum(total[n - block]);
    }
    free(packed);
}
