// The native core of rlgan: plain C functions on raw float32 arrays, called through ctypes (see library.py).
//
// The kernels are compiled once for every instruction set and chosen when first called. Work is split over the threads
// that the caller names; no state is kept between calls.

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "layers.hpp"

#define RLGAN_INLINE static inline __attribute__((always_inline))
#define RLGAN_UNROLL _Pragma("GCC unroll 16")

#define RLGAN_NAME "portable"
#define RLGAN_LANES 4
#define RLGAN_ROWS 6
namespace portable {
#include "kernels.hpp"
}
#undef RLGAN_NAME
#undef RLGAN_LANES
#undef RLGAN_ROWS

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define RLGAN_X86 1
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define RLGAN_NAME "avx2"
#define RLGAN_LANES 8
#define RLGAN_ROWS 6
namespace avx2 {
#include "kernels.hpp"
}
#undef RLGAN_NAME
#undef RLGAN_LANES
#undef RLGAN_ROWS
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl")
#define RLGAN_NAME "avx512"
#define RLGAN_LANES 16
#define RLGAN_ROWS 12
namespace avx512 {
#include "kernels.hpp"
}
#undef RLGAN_NAME
#undef RLGAN_LANES
#undef RLGAN_ROWS
#pragma GCC pop_options
#endif

namespace {

// The kernels by name, or the best for this processor where the name is empty; null where they cannot run.
const Kernels* find_kernels(const char* name) {
    const bool any = name == nullptr || *name == 0;
#ifdef RLGAN_X86
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (has_avx512 && (any || !strcmp(name, "avx512"))) return &avx512::kernels;
    if (has_avx2 && (any || !strcmp(name, "avx2"))) return &avx2::kernels;
#endif
    return any || !strcmp(name, "portable") ? &portable::kernels : nullptr;
}

const Kernels* chosen = nullptr;

const Kernels& kernels() { return *(chosen ? chosen : chosen = find_kernels(nullptr)); }

// work(begin, end) over [0, count), in parts that are multiples of `grain`; the calling thread takes the first.
template <typename Work>
void in_parallel(int64_t threads, int64_t count, int64_t grain, const Work& work) {
    const int64_t grains = (count + grain - 1) / grain;
    if (threads > grains) threads = grains;
    if (threads <= 1) return work(int64_t{0}, count, int64_t{0});
    std::vector<std::thread> others;
    const auto edge = [&](int64_t i) { return i >= threads ? count : grains * i / threads * grain; };
    for (int64_t i = 1; i < threads; i++) others.emplace_back([&, i] { work(edge(i), edge(i + 1), i); });
    work(edge(0), edge(1), int64_t{0});
    for (auto& other : others) other.join();
}

int64_t rounded_up(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

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

#if defined(_WIN32)
#define RLGAN_EXPORT extern "C" __declspec(dllexport)
#else
#define RLGAN_EXPORT extern "C" __attribute__((visibility("default")))
#endif

RLGAN_EXPORT const char* rlgan_instruction_set() { return kernels().name; }

// Returns 1 if the named kernels can run here and are used from now on; an empty name stands for the best.
RLGAN_EXPORT int rlgan_choose_instruction_set(const char* name) {
    const Kernels* found = find_kernels(name);
    if (found) chosen = found;
    return found != nullptr;
}

// hidden [N, H], weight element (v, h) at v * vocab_step + h * hidden_step, bias [V], uniform [N, K] -> token [N, K].
// Returns the number of rows that have no distribution.
RLGAN_EXPORT int64_t rlgan_sample(int64_t threads, const float* hidden, const float* weight, int64_t vocab_step,
                                  int64_t hidden_step, const float* bias, const float* uniform, int64_t rows,
                                  int64_t hidden_size, int64_t vocab, int64_t draws, float scale, int64_t* token) {
    const PackedSoftmax packed(weight, vocab_step, hidden_step, bias, vocab, hidden_size, scale);
    std::vector<int64_t> bad(threads > 0 ? threads : 1);
    in_parallel(threads, rows, 12, [&](int64_t begin, int64_t end, int64_t i) {
        bad[i] = kernels().sample_rows(packed.layer, hidden, begin, end, uniform, draws, token);
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
    in_parallel(threads, rows, 12, [&](int64_t begin, int64_t end, int64_t) {
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
    in_parallel(rows < 256 ? 1 : threads, rows, 12, [&](int64_t begin, int64_t end, int64_t) {
        kernels().lstm_rows(layer, token, hidden, cell, begin, end, new_hidden, new_cell);
    });
    return 0;
}

namespace {

// work(i, thread) for every i in [0, count), whichever thread is free.
template <typename Work>
void one_by_one(int64_t threads, int64_t count, const Work& work) {
    std::atomic<int64_t> next{0};
    in_parallel(threads, threads < count ? threads : count, 1, [&](int64_t, int64_t, int64_t thread) {
        for (int64_t i = next++; i < count; i = next++) work(i, thread);
    });
}

// The distinct tokens of some sequences, and the sequences as places among them.
struct DistinctTokens {
    std::vector<int64_t> tokens;
    std::vector<int32_t> place;  // of each id, -1 where it does not occur
    int64_t outside = 0;
    explicit DistinctTokens(int64_t vocab) : place(vocab, -1) {}
    std::vector<int32_t> add(const int64_t* ids, int64_t count) {
        std::vector<int32_t> places(count);
        for (int64_t i = 0; i < count; i++) {
            if (ids[i] < 0 || ids[i] >= static_cast<int64_t>(place.size())) {
                outside++;
                continue;
            }
            int32_t& at = place[ids[i]];
            if (at < 0) at = static_cast<int32_t>(tokens.size()), tokens.push_back(ids[i]);
            places[i] = at;
        }
        return places;
    }
    // Their embeddings in tiles [U / ROWS][E][ROWS].
    std::vector<float> packed(const float* embedding, int64_t size) const {
        const int64_t rows = kernels().rows, count = static_cast<int64_t>(tokens.size());
        std::vector<float> all(rounded_up(count, rows) * size), one(rows * size);
        for (int64_t first = 0; first < count; first += rows) {
            const int64_t here = count - first < rows ? count - first : rows;
            for (int64_t r = 0; r < here; r++)
                memcpy(&one[r * size], embedding + tokens[first + r] * size, size * sizeof(float));
            kernels().pack_rows(one.data(), size, 0, here, size, &all[first * size]);
        }
        return all;
    }
};

}  // namespace

// Pooled features of sequences base [B, T] and of completions [P, R, B, T], P = T - 1 (or R = 0): window i has filters[i]
// filters, weight[i] is [filters, W * E], bias[i] is [filters]. features is [P * R * B + B, F].
// Returns the number of ids outside [0, V); nothing is done then.
RLGAN_EXPORT int64_t rlgan_features(int64_t threads, const float* embedding, int64_t vocab, int64_t embedding_size,
                                    int64_t num_windows, const int64_t* window, const int64_t* filters,
                                    const float* const* weight, const float* const* bias, int64_t is_mean,
                                    const int64_t* base, const int64_t* completed, int64_t sequences, int64_t rollouts,
                                    int64_t length, float* features) {
    DistinctTokens distinct(vocab);
    const std::vector<int32_t> base_places = distinct.add(base, sequences * length);
    const std::vector<int32_t> places = distinct.add(completed, (length - 1) * rollouts * sequences * length);
    if (distinct.outside) return distinct.outside;
    const std::vector<float> packed = distinct.packed(embedding, embedding_size);
    const int64_t E = embedding_size, tokens = rounded_up(distinct.tokens.size(), kernels().rows);
    struct Group {
        int64_t window, first_filter, first_feature;
    };
    std::vector<Group> groups;
    int64_t num_features = 0, widest = 0;
    for (int64_t i = 0; i < num_windows; num_features += filters[i++]) {
        for (int64_t f = 0; f < filters[i]; f += LINE) groups.push_back({i, f, num_features + f});
        widest = window[i] > widest ? window[i] : widest;
    }
    if (threads > static_cast<int64_t>(groups.size())) threads = groups.size();
    if (threads < 1 || sequences * (rollouts + 1) < 64) threads = 1;
    std::vector<std::vector<float>> tables(threads);
    one_by_one(threads, groups.size(), [&](int64_t i, int64_t thread) {
        const Group& group = groups[groups.size() - 1 - i];  // the widest windows first
        const int64_t W = window[group.window], left = filters[group.window] - group.first_filter;
        const int64_t count = left < LINE ? left : LINE, width = rounded_up(W * LINE, kernels().panel);
        std::vector<float> columns(W * LINE * E), panels(width * E), some_bias(LINE);
        for (int64_t f = 0; f < count; f++) {
            const float* filter = weight[group.window] + (group.first_filter + f) * W * E;
            for (int64_t k = 0; k < W; k++) memcpy(&columns[(k * LINE + f) * E], filter + k * E, E * sizeof(float));
            some_bias[f] = bias[group.window][group.first_filter + f];
        }
        kernels().pack_panels(columns.data(), E, 1, W * LINE, E, 1, panels.data());
        tables[thread].resize(tokens * rounded_up(widest * LINE, kernels().panel));
        kernels().convolution_part(
            {W, length, sequences, rollouts, tokens, E, packed.data(), panels.data(), some_bias.data(),
             base_places.data(), places.data(), count, group.first_feature, num_features, is_mean != 0, features},
            tables[thread].data());
    });
    return 0;
}

// features [N, F] through a highway layer of two [F, F] maps and a linear output -> logit [N].
RLGAN_EXPORT void rlgan_highway(int64_t threads, const float* features, int64_t rows, int64_t num_features,
                                const float* gate, const float* gate_bias, const float* transform,
                                const float* transform_bias, const float* output, float offset, float* logit) {
    const int64_t F = num_features, lanes = kernels().lanes, width = rounded_up(F, lanes);
    std::vector<float> panels(2 * width * F), padded(3 * width);
    one_by_one(threads, width / lanes, [&](int64_t i, int64_t) {
        const int64_t column = i * lanes, count = F - column < lanes ? F - column : lanes;
        float* panel = &panels[column * 2 * F];
        for (int64_t j = 0; j < count; j++) {
            const float *gate_row = gate + (column + j) * F, *transform_row = transform + (column + j) * F;
            for (int64_t k = 0; k < F; k++) panel[k * 2 * lanes + j] = gate_row[k];
            for (int64_t k = 0; k < F; k++) panel[k * 2 * lanes + lanes + j] = transform_row[k];
        }
    });
    memcpy(&padded[0], gate_bias, F * sizeof(float));
    memcpy(&padded[width], transform_bias, F * sizeof(float));
    memcpy(&padded[2 * width], output, F * sizeof(float));
    const HighwayLayer layer = {F, panels.data(), &padded[0], &padded[width], &padded[2 * width], offset};
    in_parallel(threads, rows, 96, [&](int64_t begin, int64_t end, int64_t) {
        kernels().highway_rows(layer, features, begin, end, logit);
    });
}
