// Vectors of RLGAN_LANES floats by the compiler's vector extension, and the tile that all matrix products are made of.
// Included once for each instruction set, inside its own namespace: nothing of the C++ library may be used here, since
// an inline function of it could otherwise be compiled for one instruction set and called on another machine.

typedef float Vec __attribute__((vector_size(4 * RLGAN_LANES)));
typedef float VecU __attribute__((vector_size(4 * RLGAN_LANES), aligned(4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(4 * RLGAN_LANES)));

enum : int64_t { LANES = RLGAN_LANES, ROWS = RLGAN_ROWS, PANEL = 2 * RLGAN_LANES };

RLGAN_INLINE Vec load(const float* p) { return *reinterpret_cast<const VecU*>(p); }
RLGAN_INLINE void store(float* p, Vec v) { *reinterpret_cast<VecU*>(p) = v; }
RLGAN_INLINE Vec load_some(const float* p, int64_t count) {
    if (count >= LANES) return load(p);
    Vec v{};
    for (int64_t i = 0; i < count; i++) v[i] = p[i];
    return v;
}

RLGAN_INLINE void store_some(float* p, Vec v, int64_t count) {
    if (count >= LANES) return store(p, v);
    for (int64_t i = 0; i < count; i++) p[i] = v[i];
}

RLGAN_INLINE Vec splat(float x) { return x - Vec{}; }
RLGAN_INLINE Vec larger_number(Vec a, Vec b) { return a > b ? a : b; }  // loses a NaN in a: a comparison with it is false
// These let a NaN win, as torch does.
RLGAN_INLINE IntVec beats(Vec a, Vec b) { return (a > b) | (a != a); }
RLGAN_INLINE Vec larger(Vec a, Vec b) { return beats(a, b) ? a : b; }
RLGAN_INLINE Vec relu(Vec x) { return Vec{} > x ? Vec{} : x; }

#if defined(__clang__)
#define RLGAN_SHUFFLED(v, from) ([](Vec x, IntVec i) { Vec y; for (int j = 0; j < LANES; j++) y[j] = x[i[j]]; return y; }(v, from))
#else
#define RLGAN_SHUFFLED(v, from) __builtin_shuffle(v, from)
#endif

// Sum or maximum over the lanes, by exchanging lane i with lane i ^ STEP.
template <bool IS_SUM, int STEP>
RLGAN_INLINE float over_lanes(Vec v) {
    if constexpr (STEP == 0) {
        return v[0];
    } else {
        IntVec from;
        RLGAN_UNROLL
        for (int i = 0; i < LANES; i++) from[i] = i ^ STEP;
        const Vec other = RLGAN_SHUFFLED(v, from);
        return over_lanes<IS_SUM, STEP / 2>(IS_SUM ? v + other : larger_number(v, other));
    }
}

RLGAN_INLINE float sum(Vec v) { return over_lanes<true, LANES / 2>(v); }
RLGAN_INLINE float largest(Vec v) { return over_lanes<false, LANES / 2>(v); }

// exp to 2e-7 of its value: 2^n e^r with n = round(x / ln 2); 0 below -87.33 and 2.4e38 above 88.37, where float32 ends.
// NaN stays NaN.
RLGAN_INLINE Vec exponential(Vec all) {
    const IntVec vanishes = all < splat(-87.33f);
    const Vec x = all > splat(88.37f) ? splat(88.37f) : all;
    const Vec magic = splat(12583039.0f);  // 1.5 * 2^23 + 127: adding it leaves n + 127 in the low bits
    const Vec shifted = x * 1.44269504f + magic;
    const Vec n = shifted - magic;
    const Vec r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    Vec p = splat(8.29029735e-3f);  // the polynomial with p(0) = 1 that is closest to e^r, to 9.4e-8
    p = p * r + 4.18980233e-2f;
    p = p * r + 1.66676372e-1f;
    p = p * r + 4.99991477e-1f;
    p = p * r + 9.99999702e-1f;
    p = p * r + 1.0f;
    return vanishes ? Vec{} : p * (Vec)((IntVec)shifted << 23);
}

// 2^x to 2e-7 of its value, for -126 <= x <= 127; x must be a number.
RLGAN_INLINE Vec bounded_power_of_two(Vec x) {
    const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it leaves n = round(x) in the low bits
    const Vec shifted = x + magic;
    const Vec r = x - (shifted - magic);
    Vec p = splat(0.00132646994f);  // the polynomial above at r ln 2
    p = p * r + 0.00967153441f;
    p = p * r + 0.0555073395f;
    p = p * r + 0.240222409f;
    p = p * r + 0.693147004f;
    p = p * r + 1.0f;
    return (Vec)((IntVec)p + ((IntVec)shifted << 23));  // n more in the exponent
}

// The same for all x up to 127: 0 below -126. NaN stays NaN.
RLGAN_INLINE Vec power_of_two(Vec x) {
    const IntVec vanishes = x < splat(-126.0f), is_number = x == x;
    return vanishes ? Vec{} : is_number ? bounded_power_of_two(x) : x;
}

RLGAN_INLINE Vec sigmoid(Vec x) { return 1.0f / (1.0f + exponential(-x)); }
RLGAN_INLINE Vec hyperbolic_tangent(Vec x) { return 2.0f / (1.0f + exponential(-2.0f * x)) - 1.0f; }

// Zero, by assignments that the compiler can keep in registers: `= {}` may become a loop over memory.
template <int64_t M, int64_t N>
RLGAN_INLINE void set_zero(Vec (&acc)[M][N]) {
    RLGAN_UNROLL
    for (int r = 0; r < M; r++) {
        RLGAN_UNROLL
        for (int i = 0; i < N; i++) acc[r][i] = Vec{};
    }
}

// acc[r] += sum over k of a[r * row_step + k * depth_step] * b[k * b_step .. + PANEL]
template <typename Steps>
RLGAN_INLINE void tile(const float* a, Steps steps, const float* b, int64_t b_step, int64_t depth, Vec (&acc)[ROWS][2]) {
    for (int64_t k = 0; k < depth; k++) {
        const Vec b0 = load(b), b1 = load(b + LANES);
        RLGAN_UNROLL
        for (int r = 0; r < ROWS; r++) {
            const float x = a[r * steps.row()];
            acc[r][0] += x * b0;
            acc[r][1] += x * b1;
        }
        a += steps.depth();
        b += b_step;
    }
}

struct Packed {  // a[k][ROWS]
    constexpr int64_t row() const { return 1; }
    constexpr int64_t depth() const { return ROWS; }
};

// Rows first..first+ROWS-1 of a row-major matrix as [depth][ROWS]; rows from `end` on become zero.
static void pack_rows(const float* a, int64_t a_step, int64_t first, int64_t end, int64_t depth, float* packed) {
    const int64_t piece = 128;
    for (int64_t begin = 0; begin < depth; begin += piece) {  // what is written by turns stays in the first cache
        const int64_t stop = depth - begin < piece ? depth : begin + piece;
        for (int64_t r = 0; r < ROWS; r++) {
            if (first + r < end)
                for (int64_t k = begin; k < stop; k++) packed[k * ROWS + r] = a[(first + r) * a_step + k];
            else
                for (int64_t k = begin; k < stop; k++) packed[k * ROWS + r] = 0;
        }
    }
}

RLGAN_INLINE int64_t panels_of(int64_t columns) { return (columns + PANEL - 1) / PANEL; }

// A matrix given by its transpose, wt[column * column_step + k * depth_step] * scale, as panels [panel][depth][PANEL].
static void pack_panels(const float* wt, int64_t column_step, int64_t depth_step, int64_t columns, int64_t depth,
                              float scale, float* packed) {
    for (int64_t first = 0; first < columns; first += PANEL, packed += depth * PANEL) {
        for (int64_t j = 0; j < PANEL; j++) {
            const float* column = wt + (first + j) * column_step;
            if (first + j < columns)
                for (int64_t k = 0; k < depth; k++) packed[k * PANEL + j] = column[k * depth_step] * scale;
            else
                for (int64_t k = 0; k < depth; k++) packed[k * PANEL + j] = 0;
        }
    }
}
