// The highway layer and the output layer of SeqGAN's text CNN, without gradient. Included once for each instruction set.
//
// W x = W base + W (x - base): rollouts of one prefix have most of their features in common, so a row is worked off as the
// list of its differences from a base, and costs as much as it has of them. A base is a row like others, whose own base is
// that of the prefix before it, or zero. Differences are ordered by pieces of the depth: a piece of the weights stays in the first cache for all rows.
//
// F features, N rows

enum : int64_t {
    SPAN = 6,                // vectors of either map in a tile: twice as many sums stay in registers
    COLUMNS = SPAN * LANES,  // columns of either map in a tile
    STRIDE = 2 * COLUMNS,    // floats of a tile that meet one feature: gate, then transform
    DEPTH = STRIDE * 64 > 6144 ? 6144 / STRIDE : 64  // features of a piece: a bit each, and no more than 24 kB of weights
};

// Features of piece p of F.
RLGAN_INLINE int64_t depth_of(int64_t num_features, int64_t p) {
    return num_features - p * DEPTH < DEPTH ? num_features - p * DEPTH : DEPTH;
}

// Whether all are finite.
static bool is_finite(const float* x, int64_t count) {
    Vec bad{};
    for (int64_t i = 0; i < count; i += LANES) {
        const Vec here = load_some(x + i, count - i);
        bad += here - here;
    }
    return sum(bad) == 0;
}

// Gives every base the smallest of each feature of its followers: what the windows of their prefix have, but for features
// that all of them exceed. It is finite where one of them is: what is not must stay in its row, and so a group that has
// nothing finite at one place is no base for the next.
static void fill_bases(HighwayRow* rows, int64_t count, int64_t num_features, float* base) {
    for (int64_t n = 0; n < count; n++) {
        if (rows[n].followers > 0) {
            memcpy(base, rows[n + 1].x, num_features * sizeof(float));
            for (int64_t m = n + 2; m <= n + rows[n].followers; m++)
                for (int64_t i = 0; i < num_features; i += LANES) {
                    const Vec x = load_some(rows[m].x + i, num_features - i), least = load_some(base + i, num_features - i);
                    const IntVec is_better = ((x < least) & (x > splat(-INFINITY))) | (least - least != Vec{});
                    store_some(base + i, is_better ? x : least, num_features - i);
                }
            rows[n].x = base;
            base += num_features;
        }
        const bool is_linked = rows[n].followers >= 0 && rows[n].base >= 0;
        if (is_linked && !is_finite(rows[rows[n].base].x, num_features)) rows[n].base = -1;
    }
}

// Lists the differences of a row from its base in a piece of at most DEPTH features; returns which differ, a bit each. A NaN
// differs from everything.
RLGAN_INLINE uint64_t list_differences(const float* x, const float* base, int64_t count, float*& list) {
    uint64_t which = 0;
    for (int64_t i = 0; i < count; i++) {
        const float common = base ? base[i] : 0.0f;
        const bool differs = x[i] != common;
        *list = x[i] - common;
        list += differs;
        which |= static_cast<uint64_t>(differs) << i;
    }
    return which;
}

// sums += weights . differences of a piece, over both maps; returns where the differences of the next begin.
RLGAN_INLINE const float* add_differences(uint64_t which, const float* list, const float* weights, Vec (&sums)[2 * SPAN]) {
    Vec part[1][2 * SPAN];  // summed by pieces: the rounding error grows with a piece, not with F
    set_zero(part);
    for (; which; which &= which - 1, list++) {
        const float* row = weights + __builtin_ctzll(which) * STRIDE;
        RLGAN_UNROLL
        for (int i = 0; i < 2 * SPAN; i++) part[0][i] += *list * load(row + i * LANES);
    }
    RLGAN_UNROLL
    for (int i = 0; i < 2 * SPAN; i++) sums[i] += part[0][i];
    return list;
}

// Kahan's sum: what rounding takes from the total is kept and added to the next term.
RLGAN_INLINE void add_exactly(Vec& total, Vec& lost, Vec term) {
    term -= lost;
    const Vec next = total + term;
    lost = (next - total) - term;
    total = next;
}

// logit = output . (x + gate * (transform - x)) + offset; differences has room for count * F.
static void highway_rows(const HighwayLayer& layer, const HighwayRow* rows, int64_t count, float* differences) {
    const int64_t F = layer.num_features, pieces = (F + DEPTH - 1) / DEPTH;
    const int64_t asked = (DEPTH * STRIDE / LINE + count - 1) / count;  // lines of the next piece, asked for beside each row
    typedef Vec RowSums[2 * SPAN];
    RowSums* sums = static_cast<RowSums*>(aligned_alloc(64, sizeof(RowSums) * count));
    Vec* totals = static_cast<Vec*>(aligned_alloc(64, (sizeof(Vec) * 2 * count + 63) / 64 * 64));
    uint64_t* which = static_cast<uint64_t*>(malloc(sizeof(uint64_t) * pieces * count));
    float* end = differences;
    for (int64_t p = 0; p < pieces; p++)
        for (int64_t n = 0; n < count; n++) {
            const float* base = rows[n].base < 0 ? nullptr : rows[rows[n].base].x + p * DEPTH;
            which[p * count + n] = list_differences(rows[n].x + p * DEPTH, base, depth_of(F, p), end);
        }
    for (int64_t n = 0; n < 2 * count; n++) totals[n] = Vec{};
    for (int64_t column = 0; column < F; column += COLUMNS) {
        const float* weights = layer.tiles + column * 2 * F;
        memset(sums, 0, sizeof(RowSums) * count);
        const float* list = differences;
        for (int64_t p = 0; p < pieces; p++, weights += DEPTH * STRIDE) {
            const float *next = weights + depth_of(F, p) * STRIDE, *next_end = next + DEPTH * STRIDE;
            for (int64_t n = 0; n < count; n++) {
                for (int64_t i = 0; i < asked && next < next_end; i++, next += LINE) __builtin_prefetch(next, 0, 2);
                list = add_differences(which[p * count + n], list, weights, sums[n]);
            }
        }
        for (int64_t n = 0; n < count; n++) {
            if (rows[n].base >= 0)
                for (int i = 0; i < 2 * SPAN; i++) sums[n][i] += sums[rows[n].base][i];
            if (!rows[n].logit) continue;
            for (int i = 0; i < SPAN; i++) {
                const int64_t at = column + i * LANES;
                const Vec gate = sigmoid(sums[n][i] + load(layer.gate_bias + at));
                const Vec transform = relu(sums[n][SPAN + i] + load(layer.transform_bias + at));
                const Vec x = F > at ? load_some(rows[n].x + at, F - at) : Vec{};
                add_exactly(totals[2 * n], totals[2 * n + 1], load(layer.output + at) * (x + gate * (transform - x)));
            }
        }
    }
    for (int64_t n = 0; n < count; n++)
        if (rows[n].logit) *rows[n].logit = layer.offset + sum(totals[2 * n]);
    free(which);
    free(totals);
    free(sums);
}
