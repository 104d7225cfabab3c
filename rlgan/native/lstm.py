"""One step of an LSTM layer from token ids."""

# N rows, V vocabulary, E embedding, H hidden, G = 4H the gates: input, forget, candidate, output

import torch
from torch import Tensor

from rlgan.native.arguments import checked, checked_ids
from rlgan.native.library import native_library


def lstm_step(
    token_N: Tensor, hidden_NH: Tensor, cell_NH: Tensor, embedding_VE: Tensor, weight_GE: Tensor, weight_GH: Tensor,
    bias_G: Tensor,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The state after one more token.

    Args:
        token_N: [N] int64 or int32 ids in [0, V).
        hidden_NH: [N, H] float.
        cell_NH: [N, H] float.
        embedding_VE: [V, E] float.
        weight_GE: [4H, E] float.
        weight_GH: [4H, H] float.
        bias_G: [4H] float.

    Returns:
        (hidden_NH, cell_NH), without gradient.

    Raises:
        IndexError: if an id is outside [0, V), as torch's embedding does.
    """
    library = native_library()
    assert library is not None
    (rows, hidden), (vocab, embedding_size) = hidden_NH.shape, embedding_VE.shape
    token_N = checked_ids("token_N", token_N, rows)
    checked("hidden_NH", hidden_NH, rows, hidden)
    checked("cell_NH", cell_NH, rows, hidden)
    checked("embedding_VE", embedding_VE, vocab, embedding_size)
    checked("weight_GE", weight_GE, 4 * hidden, embedding_size)
    checked("weight_GH", weight_GH, 4 * hidden, hidden)
    checked("bias_G", bias_G, 4 * hidden)
    parameters = [t.contiguous() for t in (embedding_VE, weight_GE, weight_GH, bias_G)]
    inputs = [t.contiguous() for t in (token_N, hidden_NH, cell_NH)]
    new_hidden_NH, new_cell_NH = torch.empty_like(inputs[1]), torch.empty_like(inputs[2])
    outside = library.rlgan_lstm_step(
        torch.get_num_threads(), *(t.data_ptr() for t in parameters), *(t.data_ptr() for t in inputs),
        rows, vocab, embedding_size, hidden, new_hidden_NH.data_ptr(), new_cell_NH.data_ptr(),
    )  # fmt: skip
    if outside:
        raise IndexError(f"token_N must be ids in [0, {vocab}); {outside} of {rows} are not.")
    return new_hidden_NH, new_cell_NH
