// Entry points of the text CNN with gradient. Activations are [feature, S], S = `rlgan_width` filled up.
#include "core.hpp"

namespace {

// The embeddings of a batch, by sequence [B, T * E] or with the batch innermost [T * E, S].
std::vector<float> by_sequence(const float* embedding, int64_t size, const int64_t* token, int64_t count) {
    std::vector<float> rows(count * size);
    for (int64_t i = 0; i < count; i++) memcpy(&rows[i * size], embedding + token[i] * size, size * sizeof(float));
    return rows;
}

std::vector<float> batch_innermost(const float* rows, int64_t count, int64_t width, int64_t padded) {
    std::vector<float> columns(width * padded);
    for (int64_t b = 0; b < count; b++)
        for (int64_t k = 0; k < width; k++) columns[k * padded + b] = rows[b * width + k];
    return columns;
}

}  // namespace

// What the number of sequences is filled up to a multiple of.
RLGAN_EXPORT int64_t rlgan_width() { return kernels().width; }

// The smallest number of filters and of features.
RLGAN_EXPORT int64_t rlgan_height() { return kernels().height; }

// Features of maximum pooling for token [B, T]: window i has filters[i] >= rlgan_height() filters. feature and place are
// [F, S]. Returns the number of ids outside [0, V); nothing is done then.
RLGAN_EXPORT int64_t rlgan_max_features(int64_t threads, const float* embedding, int64_t vocab, int64_t embedding_size,
                                        int64_t num_windows, const int64_t* window, const int64_t* filters,
                                        const float* const* weight, const float* const* bias, const int64_t* token,
                                        int64_t sequences, int64_t length, float* feature, int32_t* place) {
    int64_t outside = 0;
    for (int64_t i = 0; i < sequences * length; i++) outside += token[i] < 0 || token[i] >= vocab;
    if (outside) return outside;
    const int64_t S = rounded_up(sequences, kernels().width), E = embedding_size;
    const std::vector<float> rows = by_sequence(embedding, E, token, sequences * length);
    const std::vector<float> columns = batch_innermost(rows.data(), sequences, length * E, S);
    for (int64_t i = 0, first = 0; i < num_windows; first += filters[i++]) {
        const MaxConvolution in = {window[i], length,    E, sequences, S, columns.data(), weight[i], bias[i],
                                   feature + first * S, place + first * S};
        in_parallel(threads, filters[i], kernels().height,
                    [&](int64_t begin, int64_t end, int64_t) { kernels().max_convolution(in, begin, end); });
    }
    return 0;
}

// Gradients of all parameters from grad_feature [F, S]: grad_embedding [V, E], and by window grad_weight, grad_bias.
RLGAN_EXPORT void rlgan_max_features_gradient(
    int64_t threads, const float* embedding, int64_t vocab, int64_t embedding_size, int64_t num_windows,
    const int64_t* window, const int64_t* filters, const float* const* weight, const int64_t* token, int64_t sequences,
    int64_t length, float* feature, int32_t* place, const float* grad_feature, float* grad_embedding,
    float* const* grad_weight, float* const* grad_bias) {
    const int64_t S = rounded_up(sequences, kernels().width), E = embedding_size;
    const std::vector<float> rows = by_sequence(embedding, E, token, sequences * length);
    std::vector<std::vector<float>> grad_rows(threads > 1 ? threads : 1);
    for (auto& part : grad_rows) part.resize(rows.size());
    for (int64_t i = 0, first = 0; i < num_windows; first += filters[i++]) {
        const MaxConvolution in = {window[i], length,  E, sequences, S, nullptr, weight[i], nullptr,
                                   feature + first * S, place + first * S};
        in_parallel(threads, filters[i], kernels().height, [&](int64_t begin, int64_t end, int64_t thread) {
            kernels().max_convolution_gradient(in, rows.data(), grad_feature + first * S, begin, end,
                                               grad_rows[thread].data(), grad_weight[i], grad_bias[i]);
        });
    }
    memset(grad_embedding, 0, vocab * E * sizeof(float));
    for (const auto& part : grad_rows)
        for (int64_t n = 0; n < sequences * length; n++)
            for (int64_t k = 0; k < E; k++) grad_embedding[token[n] * E + k] += part[n * E + k];
}

// A highway layer on x [F, S], F >= rlgan_height(): gate, transform and y, each [F, S].
RLGAN_EXPORT void rlgan_highway_forward(int64_t threads, const float* x, const float* gate_weight,
                                        const float* gate_bias, const float* transform_weight,
                                        const float* transform_bias, int64_t num_features, int64_t sequences, float* gate,
                                        float* transform, float* y) {
    const int64_t S = rounded_up(sequences, kernels().width);
    const HighwayTraining in = {num_features,     sequences,      S, gate_weight, gate_bias,
                                transform_weight, transform_bias, x, gate,        transform, y};
    in_parallel(threads, num_features, kernels().height,
                [&](int64_t begin, int64_t end, int64_t) { kernels().highway_forward(in, begin, end); });
}

// Its gradients from grad_y [F, S].
RLGAN_EXPORT void rlgan_highway_backward(int64_t threads, const float* x, const float* gate_weight,
                                         const float* transform_weight, float* gate, float* transform,
                                         const float* grad_y, int64_t num_features, int64_t sequences, float* grad_x,
                                         float* grad_gate_weight, float* grad_gate_bias, float* grad_transform_weight,
                                         float* grad_transform_bias) {
    const int64_t width = kernels().width, F = num_features, S = rounded_up(sequences, width), X = rounded_up(F, width);
    const HighwayTraining in = {F, sequences, S, gate_weight, nullptr, transform_weight, nullptr, x, gate, transform, nullptr};
    std::vector<float> grad_gate(F * S), grad_transform(F * S), x_panels(sequences * X);
    for (int64_t f = 0; f < F; f++)
        for (int64_t b = 0; b < sequences; b++) x_panels[(f / width * sequences + b) * width + f % width] = x[f * S + b];
    in_parallel(threads, F, kernels().height, [&](int64_t begin, int64_t end, int64_t) {
        kernels().highway_gradient_inside(in, grad_y, begin, end, grad_gate.data(), grad_transform.data(), grad_gate_bias,
                                          grad_transform_bias);
    });
    in_parallel(threads, F, kernels().height, [&](int64_t begin, int64_t end, int64_t) {
        kernels().highway_gradient_input(in, grad_y, grad_gate.data(), grad_transform.data(), begin, end, grad_x);
        kernels().highway_gradient_weight(in, grad_gate.data(), x_panels.data(), begin, end, grad_gate_weight);
        kernels().highway_gradient_weight(in, grad_transform.data(), x_panels.data(), begin, end, grad_transform_weight);
    });
}
