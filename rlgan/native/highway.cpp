// Entry point of the highway layer and the output layer of the text CNN without gradient.
#include "core.hpp"

namespace {

// Rows of a chunk: 1.8 MB of differences at most, at the paper's 1,720 features; and so many that the weights, which every
// chunk reads, are worth it.
enum : int64_t { MOST = 256, LEAST = 32 };

// Rows in the order in which they are worked off, and where chunks of at most MOST of them begin. The rows of a group
// follow their base.
struct Chunks {
    std::vector<HighwayRow> rows;
    std::vector<int64_t> first;
};

// Rows row[i]; those of equal group[i] adjoin.
Chunks in_chunks(int64_t threads, const float* features, int64_t num_features, int64_t count, const int64_t* row,
                 const int64_t* group, float* logit) {
    std::vector<int64_t> begins;  // of groups, of which none is too large for a chunk
    int64_t num_rows = count;
    for (int64_t i = 0; i < count; i++) {
        const bool begins_here = !i || !group || group[i] != group[i - 1] || i - begins.back() == MOST - 1;
        if (begins_here) begins.push_back(i);
        num_rows += !begins_here && i - begins.back() == 1;  // two rows have a base
    }
    begins.push_back(count);
    Chunks chunks;
    int64_t num_chunks = rounded_up((num_rows + MOST - 1) / MOST, threads);  // about as many for one thread as for another
    if (num_chunks > (num_rows + LEAST - 1) / LEAST) num_chunks = (num_rows + LEAST - 1) / LEAST;
    for (size_t g = 0; g + 1 < begins.size(); g++) {
        const int64_t size = begins[g + 1] - begins[g], here = static_cast<int64_t>(chunks.rows.size());
        const int64_t filled = chunks.first.empty() ? MOST : here - chunks.first.back();
        const bool has_base = size > 1, is_full = filled + size + has_base > MOST || filled * num_chunks >= num_rows;
        if (is_full) chunks.first.push_back(here);
        const int64_t base = has_base ? here - chunks.first.back() : -1;
        if (has_base) chunks.rows.push_back({nullptr, -1, nullptr});
        for (int64_t i = begins[g]; i < begins[g + 1]; i++)
            chunks.rows.push_back({features + row[i] * num_features, base, logit + i});
    }
    chunks.first.push_back(static_cast<int64_t>(chunks.rows.size()));
    return chunks;
}

bool all_finite(const float* x, int64_t count) {
    int32_t most = 0;
    for (int64_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, x + i, sizeof(bits));
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return most < 0x7f800000;
}

}  // namespace

// The floats of a packed layer: tiles [F / columns][F][gate or transform][columns], then both biases and the output, each
// [F'], F' = F rounded up to whole tiles; all filled with zeros.
RLGAN_EXPORT int64_t rlgan_highway_size(int64_t num_features) {
    return rounded_up(num_features, kernels().highway_columns) * (2 * num_features + 3);
}

// Packs two [F, F] maps with their biases [F], and the output [F], for the instruction set in use. No state is kept between
// calls: whoever scores several batches keeps what was packed. Features that are zero are not multiplied, so that a weight
// which is not finite could go unseen: its column gets a bias of NaN.
RLGAN_EXPORT void rlgan_pack_highway(int64_t threads, int64_t num_features, const float* gate, const float* gate_bias,
                                     const float* transform, const float* transform_bias, const float* output,
                                     float* packed) {
    const int64_t F = num_features, columns = kernels().highway_columns, width = rounded_up(F, columns);
    float* biases = packed + 2 * width * F;
    one_by_one(threads, width / columns, [&](int64_t i, int64_t) {
        const int64_t column = i * columns, here = F - column < columns ? F - column : columns;
        float* tile = packed + column * 2 * F;
        if (here < columns) memset(tile, 0, 2 * columns * F * sizeof(float));
        for (int64_t first = 0; first < F; first += 64) {  // what is written by turns stays in the first cache
            const int64_t end = F - first < 64 ? F : first + 64;
            for (int64_t j = 0; j < here; j++) {
                const float *gate_row = gate + (column + j) * F, *transform_row = transform + (column + j) * F;
                for (int64_t k = first; k < end; k++) tile[k * 2 * columns + j] = gate_row[k];
                for (int64_t k = first; k < end; k++) tile[k * 2 * columns + columns + j] = transform_row[k];
            }
        }
        for (int64_t j = 0; j < columns; j++) {
            const int64_t at = column + j;
            biases[at] = j >= here ? 0 : all_finite(gate + at * F, F) ? gate_bias[at] : NAN;
            biases[width + at] = j >= here ? 0 : all_finite(transform + at * F, F) ? transform_bias[at] : NAN;
            biases[2 * width + at] = j >= here ? 0 : output[at];
        }
    });
}

// features [N, F] through a packed highway layer and a linear output -> logit [count] of rows row[count]. Rows whose
// group is equal adjoin; where group is null, all are of another.
RLGAN_EXPORT void rlgan_highway(int64_t threads, const float* features, int64_t num_features, int64_t count,
                                const int64_t* row, const int64_t* group, const float* packed, float offset,
                                float* logit) {
    if (count < 1) return;
    if (threads < 1) threads = 1;
    const int64_t F = num_features, width = rounded_up(F, kernels().highway_columns);
    const float* biases = packed + 2 * width * F;
    const HighwayLayer layer = {F, packed, biases, biases + width, biases + 2 * width, offset};
    Chunks chunks = in_chunks(threads, features, F, count, row, group, logit);
    struct Memory {
        std::vector<float> bases;
        std::vector<float> differences;
    };
    std::vector<Memory> memories(threads);
    one_by_one(threads, static_cast<int64_t>(chunks.first.size()) - 1, [&](int64_t i, int64_t thread) {
        HighwayRow* rows = &chunks.rows[chunks.first[i]];
        const int64_t size = chunks.first[i + 1] - chunks.first[i];
        int64_t num_bases = 0;
        for (int64_t n = 0; n < size; n++) num_bases += rows[n].x == nullptr;
        memories[thread].bases.resize(num_bases * F);
        memories[thread].differences.resize(size * F);
        kernels().fill_bases(rows, size, F, memories[thread].bases.data());
        kernels().highway_rows(layer, rows, size, memories[thread].differences.data());
    });
}
