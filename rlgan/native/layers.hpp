// What the kernels of every instruction set are given: packed weights, shared by all threads.
#pragma once

#include <cstdint>

enum : int64_t { BLOCK = 128 };  // tokens of one block of the two-level sums; rlgan/sampling.py has the same

struct SoftmaxLayer {  // packed once, read by all threads
    const float* panels;  // [V / PANEL][H][PANEL]
    const float* bias;    // [G * BLOCK]; -inf beyond V
    int64_t hidden, vocab, blocks;
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

struct Kernels {
    const char* name;
    int64_t panel;  // columns of a packed panel
    void (*pack_panels)(const float* wt, int64_t column_step, int64_t depth_step, int64_t columns, int64_t depth,
                        float scale, float* packed);
    int64_t (*sample_rows)(const SoftmaxLayer&, const float* hidden, int64_t begin, int64_t end, const float* uniform,
                           int64_t draws, int64_t* token);
    void (*log_prob_rows)(const SoftmaxLayer&, const float* hidden, int64_t begin, int64_t end, const int64_t* token,
                          float* log_prob, float* entropy, float* log_normaliser);
    void (*gradient_blocks)(const SoftmaxLayer&, const SoftmaxGradient&, int64_t begin, int64_t end, float* grad_hidden,
                            float* grad_weight, float* grad_bias);
    void (*lstm_rows)(const LstmLayer&, const int64_t* token, const float* hidden, const float* cell, int64_t begin,
                      int64_t end, float* new_hidden, float* new_cell);
};
