// The highway layer and the output layer of SeqGAN's text CNN, without gradient. Included once for each instruction set.
//
// W x = W base + W (x - base): rollouts of one prefix have most of their features in common, so a row is worked off as the
// list of its differences from a base, and costs as much as it has of them. A base is a row like others whose own base is
// zero. Differences are ordered by pieces of the depth: a piece of the weights stays in the first cache for all rows.
//
// F features, N rows

enum : int64_t {
    SPAN = 6,                 // vectors of either map in a tile: twice as many sums stay in registers
    COLUMNS = SPAN * LANES,   // columns of either map in a tile
    STRIDE = 2 * COLUMNS,     // floats of a tile that meet one feature: gate, then transform
    DEPTH = 6144 / STRIDE     // features of a piece: 24 kB of weights
};

// The differences of features [k, end) of a row; returns where the list ends. A NaN differs from everything.
RLGAN_INLINE Difference* list_differences(const float* x, const float* base, int64_t k, int64_t end, Difference* list) {
    for (int64_t i = k; i < end; i++) {
        const float common = base ? base[i] : 0.0f;
        *list = {static_cast<int32_t>((i - k) * STRIDE), x[i] - common};
        list += x[i] != common;
    }
    return list;
}

// sums += weights . differences, over both maps.
RLGAN_INLINE void add_differences(const Difference* list, const Difference* end, const float* weights, Vec (&sums)[2 * SPAN]) {
    Vec part[1][2 * SPAN];  // a deep product is summed in pieces: see PIECE
    set_zero(part);
    for (; list < end; list++) {
        const float* row = weights + list->place;
        RLGAN_UNROLL
        for (int i = 0; i < 2 * SPAN; i++) part[0][i] += list->value * load(row + i * LANES);
    }
    RLGAN_UNROLL
    for (int i = 0; i < 2 * SPAN; i++) sums[i] += part[0][i];
}

// Kahan's sum: what rounding takes from the total is kept and added to the next term.
RLGAN_INLINE void add_exactly(Vec& total, Vec& lost, Vec term) {
    term -= lost;
    const Vec next = total + term;
    lost = (next - total) - term;
    total = next;
}

// Asks for one of `parts` parts of `count` floats.
RLGAN_INLINE void prefetch_part(const float* weights, int64_t count, int64_t part, int64_t parts) {
    const int64_t end = count * (part + 1) / parts;
    for (int64_t at = (count * part / parts + LINE - 1) / LINE * LINE; at < end; at += LINE)
        __builtin_prefetch(weights + at, 0, 2);
}

// logit = output . (x + gate * (transform - x)) + offset; differences has room for count * F + 1.
static void highway_rows(const HighwayLayer& layer, const HighwayRow* rows, int64_t count, Difference* differences) {
    const int64_t F = layer.num_features, pieces = (F + DEPTH - 1) / DEPTH;
    typedef Vec RowSums[2 * SPAN];
    RowSums* sums = static_cast<RowSums*>(aligned_alloc(64, sizeof(RowSums) * count));
    Vec* totals = static_cast<Vec*>(aligned_alloc(64, (sizeof(Vec) * 2 * count + 63) / 64 * 64));
    const Difference** ends = static_cast<const Difference**>(malloc(sizeof(Difference*) * pieces * count));
    Difference* end = differences;
    for (int64_t p = 0; p < pieces; p++)
        for (int64_t n = 0; n < count; n++) {
            const float* base = rows[n].base < 0 ? nullptr : rows[rows[n].base].x;
            const int64_t k = p * DEPTH;
            ends[p * count + n] = end = list_differences(rows[n].x, base, k, F - k < DEPTH ? F : k + DEPTH, end);
        }
    for (int64_t n = 0; n < 2 * count; n++) totals[n] = Vec{};
    for (int64_t column = 0; column < F; column += COLUMNS) {
        const float* weights = layer.tiles + column * 2 * F;
        memset(sums, 0, sizeof(RowSums) * count);
        const Difference* list = differences;
        for (int64_t p = 0; p < pieces; p++, weights += DEPTH * STRIDE)
            for (int64_t n = 0; n < count; n++) {
                prefetch_part(weights + DEPTH * STRIDE, DEPTH * STRIDE, n, count);
                add_differences(list, ends[p * count + n], weights, sums[n]);
                list = ends[p * count + n];
            }
        for (int64_t n = 0; n < count; n++) {
            if (rows[n].base >= 0)
                for (int i = 0; i < 2 * SPAN; i++) sums[n][i] += sums[rows[n].base][i];
            for (int i = 0; i < SPAN && rows[n].logit; i++) {
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
    free(ends);
    free(totals);
    free(sums);
}
