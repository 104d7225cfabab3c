// What the kernels of every instruction set are given: packed weights, shared by all threads.
#pragma once

#include <cstdint>

enum : int64_t {
    BLOCK = 128,  // tokens of one block of the two-level sums; rlgan/sampling.py has the same
    LINE = 16     // floats of a cache line: filters of the text CNN that are worked off together
};

struct SoftmaxLayer {  // packed once, read by all threads
    const float* panels;  // [V / PANEL][H][PANEL]
    const float* bias;    // [G * BLOCK]; -inf beyond V
    int64_t hidden, vocab, blocks;
};

struct LogitBound {  // no logit is beyond longest * |hidden| + largest_bias; infinite where one is infinite or a NaN
    float longest, largest_bias;
};

struct SoftmaxGradient {
    const float *hidden, *weight;  // [N, H'] and [V, H'], H' = H rounded up to PANEL, filled with zeros
    int64_t padded, rows;
    const int64_t* token;
    const float *log_normaliser, *entropy, *grad_log_prob, *grad_entropy;  // grad_entropy may be null
};

struct LstmLayer {
    const float *panels, *bias;  // [4H / PANEL][E + H][PANEL]; [panels * PANEL], zero beyond 4H
    const float* embedding;      // [V, E]
    int64_t embedding_size, hidden;
};

struct ConvolutionPart {  // at most LINE filters of one window
    int64_t window, length, sequences, rollouts, tokens, embedding_size;
    const float *packed_embedding, *panels, *bias;  // [U / ROWS][E][ROWS]; [W * LINE / PANEL][E][PANEL]; [LINE]
    const int32_t *base, *completed;                // [B, T], [P, R, B, T] places in the distinct tokens
    int64_t filters, first_feature, num_features;
    bool is_mean;
    float* features;  // [P * R * B + B, F]
};

struct HighwayLayer {    // all is filled with zeros up to a multiple of a tile's columns
    int64_t num_features;  // F
    const float* tiles;    // [F / columns][F][gate or transform][columns], at a multiple of 64 bytes
    const float *gate_bias, *transform_bias, *output;
    float offset;
};

struct HighwayRow {
    const float* x;     // [F]; null for a base that is still to be filled
    int64_t base;       // place in its chunk of an earlier row that has what they have in common, or -1
    int64_t followers;  // rows after a base that it is filled from, 0 for a row alone in its group, -1 for a follower
    float* logit;       // null for a base
};

struct MaxConvolution {  // one window, for training; S sequences of which `sequences` are not filling
    int64_t window, length, embedding_size, sequences, padded;
    const float *embedded, *weight, *bias;  // [T * E, S]; [f, W * E]; [f]
    float* feature;                         // [f, S]: ReLU of the maximum plus bias
    int32_t* place;                         // [f, S]: where the window that has the maximum begins
};

struct HighwayTraining {
    int64_t num_features, sequences, padded;
    const float *gate_weight, *gate_bias, *transform_weight, *transform_bias, *x;  // [F, F], [F]; x [F, S]
    float *gate, *transform, *y;                                                   // [F, S]
};

struct Kernels {
    const char* name;
    int64_t panel, rows, width, height, highway_columns;  // of a packed panel, a tile, a wide tile, and a tile of the highway
    void (*pack_rows)(const float* a, int64_t a_step, int64_t first, int64_t end, int64_t depth, float* packed);
    void (*pack_panels)(const float* wt, int64_t column_step, int64_t depth_step, int64_t columns, int64_t depth,
                        float scale, float* packed);
    int64_t (*sample_rows)(const SoftmaxLayer&, const LogitBound&, const float* hidden, int64_t begin, int64_t end,
                           const float* uniform, int64_t draws, int64_t* token);
    void (*log_prob_rows)(const SoftmaxLayer&, const float* hidden, int64_t begin, int64_t end, const int64_t* token,
                          float* log_prob, float* entropy, float* log_normaliser);
    void (*gradient_blocks)(const SoftmaxLayer&, const SoftmaxGradient&, int64_t begin, int64_t end, float* grad_hidden,
                            float* grad_weight, float* grad_bias);
    void (*lstm_rows)(const LstmLayer&, const int64_t* token, const float* hidden, const float* cell, int64_t begin,
                      int64_t end, float* new_hidden, float* new_cell);
    void (*convolution_part)(const ConvolutionPart&, float* table);
    bool (*is_finite)(const float* x, int64_t count);
    void (*fill_bases)(HighwayRow* rows, int64_t count, int64_t num_features, float* bases);
    void (*highway_rows)(const HighwayLayer&, const HighwayRow* rows, int64_t count, float* differences);
    void (*max_convolution)(const MaxConvolution&, int64_t begin, int64_t end);
    void (*max_convolution_gradient)(const MaxConvolution&, const float* rows, const float* grad_feature, int64_t begin,
                                     int64_t end, float* grad_rows, float* grad_weight, float* grad_bias);
    void (*highway_forward)(const HighwayTraining&, int64_t begin, int64_t end);
    void (*highway_gradient_inside)(const HighwayTraining&, const float* grad_y, int64_t begin, int64_t end,
                                    float* grad_gate, float* grad_transform, float* grad_gate_bias,
                                    float* grad_transform_bias);
    void (*highway_gradient_input)(const HighwayTraining&, const float* grad_y, const float* grad_gate,
                                   const float* grad_transform, int64_t begin, int64_t end, float* grad_x);
    void (*highway_gradient_weight)(const HighwayTraining&, const float* grad, const float* x_panels, int64_t begin,
                                    int64_t end, float* grad_weight);
};
