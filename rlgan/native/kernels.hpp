// All kernels, for one instruction set.
#include "lanes.hpp"
#include "softmax.hpp"
#include "lstm.hpp"
#include "text_cnn.hpp"

static const Kernels kernels = {
    RLGAN_NAME,    PANEL,           LANES,     ROWS,             pack_rows,    pack_panels, sample_rows,
    log_prob_rows, gradient_blocks, lstm_rows, convolution_part, highway_rows,
};
