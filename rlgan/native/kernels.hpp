// All kernels, for one instruction set.
#include "lanes.hpp"
#include "softmax.hpp"
#include "lstm.hpp"
#include "text_cnn.hpp"
#include "highway.hpp"
#include "text_cnn_training.hpp"

static const Kernels kernels = {
    RLGAN_NAME,
    PANEL,
    ROWS,
    WIDTH,
    HEIGHT,
    COLUMNS,
    pack_rows,
    pack_panels,
    sample_rows,
    log_prob_rows,
    gradient_blocks,
    lstm_rows,
    convolution_part,
    is_finite,
    fill_bases,
    highway_rows,
    max_convolution,
    max_convolution_gradient,
    highway_forward,
    highway_gradient_inside,
    highway_gradient_input,
    highway_gradient_weight,
};
