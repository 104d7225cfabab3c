// One step of an LSTM layer with torch's gate order (input, forget, candidate, output) and one bias a gate. Included
// once for each instruction set.
//
// N rows, E embedding, H hidden

// State of rows [begin, end) after their tokens; the new state may be written over the old one.
static void lstm_rows(const LstmLayer& layer, const int64_t* token, const float* hidden, const float* cell,
                      int64_t begin, int64_t end, float* new_hidden, float* new_cell) {
    const int64_t E = layer.embedding_size, H = layer.hidden, depth = E + H, panels = panels_of(4 * H);
    float* packed = static_cast<float*>(malloc(sizeof(float) * ROWS * (depth + panels * PANEL)));
    float* gates = packed + ROWS * depth;
    for (int64_t first = begin; first < end; first += ROWS) {
        const int64_t count = end - first < ROWS ? end - first : ROWS;
        for (int64_t r = 0; r < ROWS; r++) {
            const int64_t n = first + (r < count ? r : 0);
            const float* embedded = layer.embedding + token[n] * E;
            for (int64_t k = 0; k < E; k++) packed[k * ROWS + r] = embedded[k];
            for (int64_t k = 0; k < H; k++) packed[(E + k) * ROWS + r] = hidden[n * H + k];
        }
        for (int64_t j = 0; j < panels; j++) {
            Vec acc[ROWS][2];
            for (int r = 0; r < ROWS; r++) acc[r][0] = load(layer.bias + j * PANEL), acc[r][1] = load(layer.bias + j * PANEL + LANES);
            tile(packed, Packed{}, layer.panels + j * depth * PANEL, PANEL, depth, acc);
            for (int r = 0; r < ROWS; r++) {
                float* out = gates + (r * panels + j) * PANEL;
                store(out, acc[r][0]), store(out + LANES, acc[r][1]);
            }
        }
        for (int64_t r = 0; r < count; r++) {
            const float* gate = gates + r * panels * PANEL;
            for (int64_t k = 0; k < H; k += LANES) {
                const int64_t left = H - k, at = (first + r) * H + k;
                const Vec input = sigmoid(load_some(gate + k, left)), forget = sigmoid(load_some(gate + H + k, left));
                const Vec candidate = hyperbolic_tangent(load_some(gate + 2 * H + k, left));
                const Vec output = sigmoid(load_some(gate + 3 * H + k, left));
                const Vec next = forget * load_some(cell + at, left) + input * candidate;
                store_some(new_cell + at, next, left);
                store_some(new_hidden + at, output * hyperbolic_tangent(next), left);
            }
        }
    }
    free(packed);
}
