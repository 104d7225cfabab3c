// Entry point of the highway layer and the output layer of the text CNN without gradient.
#include "core.hpp"

namespace {

// Rows of a chunk: 3.5 MB of differences at most, at the paper's 1,720 features; so many that the weights, which every chunk
// reads, are worth it; and rows of a run, whose bases build on each other and which stays in one chunk.
enum : int64_t { MOST = 512, LEAST = 32, RUN = 256 };

// Rows in the order in which they are worked off, and where chunks of at most MOST of them begin. The rows of a group
// follow their base.
struct Chunks {
    std::vector<HighwayRow> rows;
    std::vector<int64_t> first;
};

// Rows row[i]; those of equal group[i] adjoin, and so do groups of equal run[i]. Group and run may be null: all differ then.
// Where runs and groups that are too long are cut depends on themselves alone, so that the logits do not depend on threads.
Chunks in_chunks(int64_t threads, const float* features, int64_t num_features, int64_t count, const int64_t* row,
                 const int64_t* group, const int64_t* run, float* logit) {
    Chunks chunks;
    std::vector<HighwayRow>& rows = chunks.rows;
    std::vector<int64_t> runs;  // where they begin
    int64_t leader = -1;        // of the group before
    for (int64_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; group && end < count && group[end] == group[begin] && end - begin < RUN - 1;) end++;
        const int64_t size = end - begin, has_base = size > 1, here = static_cast<int64_t>(rows.size());
        const bool goes_on = begin && run && run[begin] == run[begin - 1] && here + has_base + size - runs.back() <= RUN;
        if (!goes_on) runs.push_back(here), leader = -1;
        if (has_base) rows.push_back({nullptr, leader, size, nullptr});
        for (int64_t i = begin; i < end; i++)
            rows.push_back({features + row[i] * num_features, has_base ? here : leader, has_base ? -1 : 0, logit + i});
        leader = here;
    }
    const int64_t num_rows = static_cast<int64_t>(rows.size());
    runs.push_back(num_rows);
    int64_t num_chunks = rounded_up((num_rows + MOST - 1) / MOST, threads);  // about as many for one thread as for another
    if (num_chunks > (num_rows + LEAST - 1) / LEAST) num_chunks = (num_rows + LEAST - 1) / LEAST;
    for (size_t r = 0; r + 1 < runs.size(); r++) {
        const int64_t filled = chunks.first.empty() ? MOST : runs[r] - chunks.first.back();
        if (filled + runs[r + 1] - runs[r] > MOST || filled * num_chunks >= num_rows) chunks.first.push_back(runs[r]);
        for (int64_t n = runs[r]; n < runs[r + 1]; n++)
            if (rows[n].base >= 0) rows[n].base -= chunks.first.back();
    }
    chunks.first.push_back(num_rows);
    return chunks;
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
            biases[at] = j >= here ? 0 : kernels().is_finite(gate + at * F, F) ? gate_bias[at] : NAN;
            biases[width + at] = j >= here ? 0 : kernels().is_finite(transform + at * F, F) ? transform_bias[at] : NAN;
            biases[2 * width + at] = j >= here ? 0 : output[at];
        }
    });
}

// features [N, F] through a packed highway layer and a linear output -> logit [count] of rows row[count]. Rows of
// equal group adjoin, as do groups of equal run; where these are null, all are of another.
RLGAN_EXPORT void rlgan_highway(int64_t threads, const float* features, int64_t num_features, int64_t count,
                                const int64_t* row, const int64_t* group, const int64_t* run, const float* packed, float offset,
                                float* logit) {
    if (count < 1) return;
    if (threads < 1) threads = 1;
    const int64_t F = num_features, width = rounded_up(F, kernels().highway_columns);
    const float* biases = packed + 2 * width * F;
    const HighwayLayer layer = {F, packed, biases, biases + width, biases + 2 * width, offset};
    Chunks chunks = in_chunks(threads, features, F, count, row, group, run, logit);
    struct Memory {
        std::vector<float> bases;
        std::vector<float> differences;
    };
    std::vector<Memory> memories(threads);
    one_by_one(threads, static_cast<int64_t>(chunks.first.size()) - 1, [&](int64_t i, int64_t thread) {
        HighwayRow* rows = &chunks.rows[chunks.first[i]];
        const int64_t size = chunks.first[i + 1] - chunks.first[i];
        int64_t num_bases = 0;
        for (int64_t n = 0; n < size; n++) num_bases += rows[n].followers > 0;
        memories[thread].bases.resize(num_bases * F);
        memories[thread].differences.resize(size * F);
        kernels().fill_bases(rows, size, F, memories[thread].bases.data());
        kernels().highway_rows(layer, rows, size, memories[thread].differences.data());
    });
}
