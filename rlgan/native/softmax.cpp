// Entry points of the softmax layer and of the LSTM step.
#include "core.hpp"

namespace {

// The output layer packed into panels; owns what `layer` points to.
struct PackedSoftmax {
    std::vector<float> panels, bias;
    SoftmaxLayer layer;
    PackedSoftmax(const float* weight, int64_t vocab_step, int64_t hidden_step, const float* bias_V, int64_t vocab,
                  int64_t hidden, float scale)
        : panels(rounded_up(vocab, kernels().panel) * hidden), bias(rounded_up(vocab, BLOCK), -INFINITY) {
        kernels().pack_panels(weight, vocab_step, hidden_step, vocab, hidden, scale, panels.data());
        for (int64_t v = 0; v < vocab; v++) bias[v] = bias_V[v] * scale;
        layer = {panels.data(), bias.data(), hidden, vocab, rounded_up(vocab, BLOCK) / BLOCK};
    }
};

// Of the logits of a layer; infinite where a weight is no number.
LogitBound bound_of(const float* weight, int64_t vocab_step, int64_t hidden_step, const float* bias, int64_t vocab,
                    int64_t hidden, float scale) {
    float longest = 0, largest_bias = 0;
    for (int64_t v = 0; v < vocab; v++) {
        float square = 0;
        for (int64_t h = 0; h < hidden; h++) {
            const float w = weight[v * vocab_step + h * hidden_step] * scale;
            square += w * w;
        }
        const float size = fabsf(bias[v] * scale);
        if (square != square || size != size) return {INFINITY, INFINITY};
        if (square > longest) longest = square;
        if (size > largest_bias) largest_bias = size;
    }
    return {sqrtf(longest), largest_bias};
}

// [rows, columns] with columns filled up with zeros to a multiple of the panel.
std::vector<float> widened(const float* matrix, int64_t rows, int64_t columns) {
    const int64_t width = rounded_up(columns, kernels().panel);
    std::vector<float> wide(rows * width);
    for (int64_t r = 0; r < rows; r++) memcpy(&wide[r * width], matrix + r * columns, columns * sizeof(float));
    return wide;
}

void narrow(const std::vector<float>& wide, int64_t rows, int64_t columns, float* matrix) {
    const int64_t width = rounded_up(columns, kernels().panel);
    for (int64_t r = 0; r < rows; r++) memcpy(matrix + r * columns, &wide[r * width], columns * sizeof(float));
}

}  // namespace

// hidden [N, H], weight element (v, h) at v * vocab_step + h * hidden_step, bias [V], uniform [N, K] -> token [N, K].
// Returns the number of rows that have no distribution.
RLGAN_EXPORT int64_t rlgan_sample(int64_t threads, const float* hidden, const float* weight, int64_t vocab_step,
                                  int64_t hidden_step, const float* bias, const float* uniform, int64_t rows,
                                  int64_t hidden_size, int64_t vocab, int64_t draws, float scale, int64_t* token) {
    const float binary_scale = scale * 1.44269504f;  // 1 / ln 2
    const PackedSoftmax packed(weight, vocab_step, hidden_step, bias, vocab, hidden_size, binary_scale);
    const LogitBound bound = bound_of(weight, vocab_step, hidden_step, bias, vocab, hidden_size, binary_scale);
    std::vector<int64_t> bad(threads > 0 ? threads : 1);
    in_pieces(threads, rows, 12, 192, [&](int64_t begin, int64_t end, int64_t i) {
        bad[i] += kernels().sample_rows(packed.layer, bound, hidden, begin, end, uniform, draws, token);
    });
    int64_t total = 0;
    for (const int64_t one : bad) total += one;
    return total;
}

// As above, with token [N] given -> log p(token), entropy, log-normaliser, each [N].
RLGAN_EXPORT void rlgan_softmax_forward(int64_t threads, const float* hidden, const float* weight, int64_t vocab_step,
                                        int64_t hidden_step, const float* bias, const int64_t* token, int64_t rows,
                                        int64_t hidden_size, int64_t vocab, float scale, float* log_prob,
                                        float* entropy, float* log_normaliser) {
    const PackedSoftmax packed(weight, vocab_step, hidden_step, bias, vocab, hidden_size, scale);
    in_pieces(threads, rows, 12, 192, [&](int64_t begin, int64_t end, int64_t) {
        kernels().log_prob_rows(packed.layer, hidden, begin, end, token, log_prob, entropy, log_normaliser);
    });
}

// The gradients of sum(grad_log_prob * log_prob) + sum(grad_entropy * entropy); grad_entropy may be null.
RLGAN_EXPORT void rlgan_softmax_backward(int64_t threads, const float* hidden, const float* weight, const float* bias,
                                         const int64_t* token, const float* log_normaliser, const float* entropy,
                                         const float* grad_log_prob, const float* grad_entropy, int64_t rows,
                                         int64_t hidden_size, int64_t vocab, float* grad_hidden, float* grad_weight,
                                         float* grad_bias) {
    const PackedSoftmax packed(weight, hidden_size, 1, bias, vocab, hidden_size, 1);
    const std::vector<float> wide_hidden = widened(hidden, rows, hidden_size);
    const std::vector<float> wide_weight = widened(weight, vocab, hidden_size);
    const int64_t width = rounded_up(hidden_size, kernels().panel);
    const SoftmaxGradient in = {wide_hidden.data(), wide_weight.data(), width,         rows,        token,
                                log_normaliser,     entropy,            grad_log_prob, grad_entropy};
    std::vector<std::vector<float>> parts(threads > 1 ? threads : 1);
    std::vector<float> wide_grad_weight(vocab * width);
    memset(grad_bias, 0, vocab * sizeof(float));
    in_parallel(threads, packed.layer.blocks, 1, [&](int64_t begin, int64_t end, int64_t i) {
        parts[i].assign(rows * width, 0.0f);
        kernels().gradient_blocks(packed.layer, in, begin, end, parts[i].data(), wide_grad_weight.data(), grad_bias);
    });
    for (size_t i = 1; i < parts.size(); i++)
        for (size_t j = 0; j < parts[i].size(); j++) parts[0][j] += parts[i][j];
    narrow(parts[0], rows, hidden_size, grad_hidden);
    narrow(wide_grad_weight, vocab, hidden_size, grad_weight);
}

// One step of an LSTM: embedding [V, E], weight_ih [4H, E], weight_hh [4H, H], bias [4H]; states [N, H].
// Returns the number of tokens outside [0, V); nothing is done then.
RLGAN_EXPORT int64_t rlgan_lstm_step(int64_t threads, const float* embedding, const float* weight_ih,
                                     const float* weight_hh, const float* bias, const int64_t* token,
                                     const float* hidden, const float* cell, int64_t rows, int64_t vocab,
                                     int64_t embedding_size, int64_t hidden_size, float* new_hidden, float* new_cell) {
    int64_t outside = 0;
    for (int64_t n = 0; n < rows; n++) outside += token[n] < 0 || token[n] >= vocab;
    if (outside) return outside;
    const int64_t gates = 4 * hidden_size, depth = embedding_size + hidden_size;
    const int64_t width = rounded_up(gates, kernels().panel);
    std::vector<float> joined(gates * depth), panels(width * depth), wide_bias(width);
    for (int64_t g = 0; g < gates; g++) {
        memcpy(&joined[g * depth], weight_ih + g * embedding_size, embedding_size * sizeof(float));
        memcpy(&joined[g * depth + embedding_size], weight_hh + g * hidden_size, hidden_size * sizeof(float));
        wide_bias[g] = bias[g];
    }
    kernels().pack_panels(joined.data(), depth, 1, gates, depth, 1, panels.data());
    const LstmLayer layer = {panels.data(), wide_bias.data(), embedding, embedding_size, hidden_size};
    in_pieces(rows < 256 ? 1 : threads, rows, 12, 768, [&](int64_t begin, int64_t end, int64_t) {
        kernels().lstm_rows(layer, token, hidden, cell, begin, end, new_hidden, new_cell);
    });
    return 0;
}
