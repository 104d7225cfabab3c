// All kernels, for one instruction set.
#include "lanes.hpp"
#include "softmax.hpp"
#include "lstm.hpp"

static const Kernels kernels = {RLGAN_NAME,      PANEL,           pack_panels, sample_rows,
                                log_prob_rows, gradient_blocks, lstm_rows};
