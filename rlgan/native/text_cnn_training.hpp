// The text CNN of SeqGAN with its gradients, for maximum pooling. Included once for each instruction set.
//
// Activations lie with the batch innermost, [feature][sequence], so that a filter's sums over all sequences are vectors,
// the maximum over positions needs no shuffling, and weights are read where they are. Only the window that won the
// maximum has a gradient.
//
// B sequences, S = B rounded up to WIDTH, T positions, E embedding, F features, W window

enum : int64_t { HEIGHT = 6, BREADTH = ROWS == 12 ? 4 : 2, WIDTH = BREADTH * LANES };

struct RowMajor {  // a[r][k] of a matrix with `step` columns
    int64_t step;
    int64_t row() const { return step; }
    int64_t depth() const { return 1; }
    static void prefetch(const float*) {}
};
struct ColumnMajor {  // a[k][r]
    int64_t step;
    int64_t row() const { return 1; }
    int64_t depth() const { return step; }
    static void prefetch(const float* a) { __builtin_prefetch(a + 32); }  // what later tiles need of this row
};

// acc[r] += sum over k of a[r][k] * b[k * b_step .. + WIDTH], r < HEIGHT
template <typename Steps>
RLGAN_INLINE void wide_tile(const float* a, Steps steps, const float* b, int64_t b_step, int64_t depth,
                            Vec (&acc)[HEIGHT][BREADTH]) {
    const float *a0 = a, *a3 = a + 3 * steps.row();
    const int64_t one = steps.row(), two = 2 * one;
    for (int64_t k = 0; k < depth; k++) {
        Vec column[BREADTH];
        RLGAN_UNROLL
        for (int i = 0; i < BREADTH; i++) column[i] = load(b + i * LANES);
        const float x[HEIGHT] = {a0[0], a0[one], a0[two], a3[0], a3[one], a3[two]};
        RLGAN_UNROLL
        for (int r = 0; r < HEIGHT; r++) {
            RLGAN_UNROLL
            for (int i = 0; i < BREADTH; i++) acc[r][i] += x[r] * column[i];
        }
        Steps::prefetch(a0);
        a0 += steps.depth(), a3 += steps.depth();
        b += b_step;
    }
}

// Where the tile that begins at `first` of `count` rows is read: near the end it looks back, so that it never reads beyond
// them. Rows before `first` belong to another tile, maybe of another thread, and are not written.
RLGAN_INLINE int64_t inside(int64_t first, int64_t count) { return first + HEIGHT > count ? count - HEIGHT : first; }

// Maximum over all windows and the first window that has it, for filters [begin, end); at least HEIGHT filters.
static void max_convolution(const MaxConvolution& in, int64_t begin, int64_t end) {
    const int64_t depth = in.window * in.embedding_size, S = in.padded;
    for (int64_t first = begin; first < end; first += HEIGHT) {
        const int64_t f = inside(first, end);
        for (int64_t s = 0; s < S; s += WIDTH) {
            Vec best[HEIGHT][BREADTH];
            IntVec place[HEIGHT][BREADTH];
            for (int64_t j = 0; j <= in.length - in.window; j++) {
                Vec acc[HEIGHT][BREADTH];
                set_zero(acc);
                wide_tile(in.weight + f * depth, RowMajor{depth}, in.embedded + j * in.embedding_size * S + s, S, depth, acc);
                for (int r = 0; r < HEIGHT; r++)
                    for (int i = 0; i < BREADTH; i++) {
                        const IntVec wins = j ? beats(acc[r][i], best[r][i]) : IntVec{} - 1;
                        best[r][i] = wins ? acc[r][i] : best[r][i];
                        place[r][i] = wins ? IntVec{} + static_cast<int32_t>(j) : place[r][i];
                    }
            }
            for (int64_t r = first - f; r < HEIGHT; r++)
                for (int i = 0; i < BREADTH; i++) {
                    const int64_t at = (f + r) * S + s + i * LANES;
                    store(in.feature + at, relu(best[r][i] + in.bias[f + r]));
                    for (int64_t k = 0; k < LANES; k++) in.place[at + k] = place[r][i][k];
                }
        }
    }
}

RLGAN_INLINE void add_multiple(float* out, const float* x, float factor, int64_t count) {
    int64_t k = 0;
    for (; k + LANES <= count; k += LANES) store(out + k, load(out + k) + factor * load(x + k));
    for (; k < count; k++) out[k] += factor * x[k];
}

// Gradients of filters [begin, end) from those of their features; adds to grad_rows [B, T, E].
static void max_convolution_gradient(const MaxConvolution& in, const float* rows, const float* grad_feature, int64_t begin,
                                     int64_t end, float* grad_rows, float* grad_weight, float* grad_bias) {
    const int64_t E = in.embedding_size, depth = in.window * E, S = in.padded;
    for (int64_t f = begin; f < end; f++) {
        const float* weight = in.weight + f * depth;
        float total = 0, *out = grad_weight + f * depth;
        for (int64_t k = 0; k < depth; k++) out[k] = 0;
        for (int64_t b = 0; b < in.sequences; b++) {
            const float x = in.feature[f * S + b], g = x > 0 ? grad_feature[f * S + b] : x != x ? x : 0;
            if (g == 0) continue;
            const int64_t at = (b * in.length + in.place[f * S + b]) * E;
            total += g;
            add_multiple(out, rows + at, g, depth);
            add_multiple(grad_rows + at, weight, g, depth);
        }
        grad_bias[f] = total;
    }
}

// Features [begin, end) of a highway layer: keeps gate = sigmoid(W_g x + b_g) and transform = ReLU(W_h x + b_h).
static void highway_forward(const HighwayTraining& in, int64_t begin, int64_t end) {
    const int64_t F = in.num_features, S = in.padded;
    for (int64_t first = begin; first < end; first += HEIGHT) {
        const int64_t f = inside(first, end);
        for (int64_t s = 0; s < S; s += WIDTH) {
            Vec gate[HEIGHT][BREADTH], transform[HEIGHT][BREADTH];
            for (int r = 0; r < HEIGHT; r++)
                for (int i = 0; i < BREADTH; i++)
                    gate[r][i] = splat(in.gate_bias[f + r]), transform[r][i] = splat(in.transform_bias[f + r]);
            wide_tile(in.gate_weight + f * F, RowMajor{F}, in.x + s, S, F, gate);
            wide_tile(in.transform_weight + f * F, RowMajor{F}, in.x + s, S, F, transform);
            for (int64_t r = first - f; r < HEIGHT; r++)
                for (int i = 0; i < BREADTH; i++) {
                    const int64_t at = (f + r) * S + s + i * LANES;
                    const Vec x = load(in.x + at), g = sigmoid(gate[r][i]), t = relu(transform[r][i]);
                    store(in.gate + at, g), store(in.transform + at, t), store(in.y + at, x + g * (t - x));
                }
        }
    }
}

// Gradients with respect to what goes into sigmoid and ReLU, and to the biases, of features [begin, end).
static void highway_gradient_inside(const HighwayTraining& in, const float* grad_y, int64_t begin, int64_t end,
                                    float* grad_gate, float* grad_transform, float* grad_gate_bias,
                                    float* grad_transform_bias) {
    for (int64_t f = begin; f < end; f++) {
        Vec gate_total{}, transform_total{};
        for (int64_t at = f * in.padded; at < (f + 1) * in.padded; at += LANES) {
            const Vec x = load(in.x + at), g = load(in.gate + at), t = load(in.transform + at), dy = load(grad_y + at);
            const Vec dt = t <= Vec{} ? Vec{} : dy * g, dg = dy * (t - x) * g * (1.0f - g);
            store(grad_gate + at, dg), store(grad_transform + at, dt);
            gate_total += dg, transform_total += dt;
        }
        grad_gate_bias[f] = sum(gate_total), grad_transform_bias[f] = sum(transform_total);
    }
}

// Gradients of inputs [begin, end): grad_x = (1 - gate) grad_y + W_g' grad_gate + W_h' grad_transform, over a few rows of
// the weights at a time, because a tile reads a narrow strip of every row.
static void highway_gradient_input(const HighwayTraining& in, const float* grad_y, const float* grad_gate,
                                   const float* grad_transform, int64_t begin, int64_t end, float* grad_x) {
    const int64_t F = in.num_features, S = in.padded, strip = 64;
    for (int64_t at = begin * S; at < end * S; at += LANES) store(grad_x + at, (1.0f - load(in.gate + at)) * load(grad_y + at));
    for (int64_t k = 0; k < F; k += strip) {
        const int64_t rows = F - k < strip ? F - k : strip;
        for (int64_t first = begin; first < end; first += HEIGHT) {
            const int64_t f = inside(first, end);
            for (int64_t s = 0; s < S; s += WIDTH) {
                Vec acc[HEIGHT][BREADTH];
                set_zero(acc);
                wide_tile(in.gate_weight + k * F + f, ColumnMajor{F}, grad_gate + k * S + s, S, rows, acc);
                wide_tile(in.transform_weight + k * F + f, ColumnMajor{F}, grad_transform + k * S + s, S, rows, acc);
                RLGAN_UNROLL
                for (int r = 0; r < HEIGHT; r++) {
                    if (f + r < first) continue;
                    RLGAN_UNROLL
                    for (int i = 0; i < BREADTH; i++) {
                        float* out = grad_x + (f + r) * S + s + i * LANES;
                        store(out, load(out) + acc[r][i]);
                    }
                }
            }
        }
    }
}

// grad_weight[f][k] = sum over sequences of grad[f][b] * x[k][b], for f in [begin, end); x_panels is x as panels
// [F / WIDTH][B][WIDTH]. Rows outside, so that a few rows of grad_weight are written from end to end.
static void highway_gradient_weight(const HighwayTraining& in, const float* grad, const float* x_panels, int64_t begin,
                                    int64_t end, float* grad_weight) {
    const int64_t F = in.num_features, S = in.padded;
    for (int64_t first = begin; first < end; first += HEIGHT) {
        const int64_t f = inside(first, end);
        for (int64_t k = 0; k < F; k += WIDTH) {
            Vec acc[HEIGHT][BREADTH];
            set_zero(acc);
            wide_tile(grad + f * S, RowMajor{S}, x_panels + k * in.sequences, WIDTH, in.sequences, acc);
            RLGAN_UNROLL
            for (int r = 0; r < HEIGHT; r++) {
                float* out = grad_weight + (f + r) * F + k;
                if (f + r < first) continue;
                RLGAN_UNROLL
                for (int i = 0; i < BREADTH; i++)
                    if (k + i * LANES < F) store_some(out + i * LANES, acc[r][i], F - k - i * LANES);
            }
        }
    }
}
