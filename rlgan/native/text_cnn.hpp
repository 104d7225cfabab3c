// The convolutions of SeqGAN's text CNN, without gradient: pooled features of sequences that share prefixes. Included once
// for each instruction set.
//
// A convolution of embedded tokens is a sum of table rows: table[token][offset][filter] = embedding . weight. Filters are
// worked off LINE at a time, so that a lookup is one cache line. Rollouts of one prefix share the sums and the running
// pool of all windows that lie in the prefix.
//
// B sequences, P prefixes, R rollouts, T positions, U distinct tokens, E embedding, F features

enum : int64_t { PARTS = LINE / LANES };

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
