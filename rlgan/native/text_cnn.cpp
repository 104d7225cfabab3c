// Entry point of the convolutions of the text CNN without gradient.
#include "core.hpp"

namespace {

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
