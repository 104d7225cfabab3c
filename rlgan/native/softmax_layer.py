"""Draws, log-probabilities and gradients of softmax(hidden W^T + b), whose [N, V] logits are never held."""

# N rows, H hidden, V vocabulary, K draws from the same row, E embedding

import torch
from torch import Tensor

from rlgan.errors import NonFiniteError
from rlgan.native.arguments import checked, checked_ids
from rlgan.native.library import native_library


def supports(*tensors: Tensor) -> bool:
    """Whether the core is in use and can work on these tensors.

    Args:
        *tensors: all floating-point arguments of a call.

    Returns:
        True if they are float32 on the CPU.
    """
    return native_library() is not None and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)


def cannot_draw(failed: int, rows: int) -> str:
    """What the error says where a token cannot be drawn, by the core and by torch.

    Args:
        failed: rows that are NaN, or -inf everywhere.
        rows: of how many.

    Returns:
        The message.
    """
    return f"{failed} of {rows} next-token distributions are NaN or empty; check the weights."


def sample(hidden_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, uniform_NK: Tensor, temperature: float) -> Tensor:
    """Inverse-CDF draws; see `rlgan.sampling.sample_linear`.

    Args:
        hidden_NH: [N, H] float.
        weight_VH: [V, H] float, in any memory order.
        bias_V: [V] float.
        uniform_NK: [N, K] float in [0, 1).
        temperature: divides the logits.

    Returns:
        [N, K] int64 tokens.

    Raises:
        NonFiniteError: if a row has no distribution.
    """
    library = native_library()
    assert library is not None
    rows, hidden, vocab = _check_layer(hidden_NH, weight_VH, bias_V)
    draws = uniform_NK.shape[-1]
    checked("uniform_NK", uniform_NK, rows, draws)
    hidden_NH, bias_V, uniform_NK = hidden_NH.contiguous(), bias_V.contiguous(), uniform_NK.contiguous()
    token_NK = torch.empty(rows, draws, dtype=torch.int64)
    failed = library.rlgan_sample(
        torch.get_num_threads(), hidden_NH.data_ptr(), weight_VH.data_ptr(), *weight_VH.stride(), bias_V.data_ptr(),
        uniform_NK.data_ptr(), rows, hidden, vocab, draws, 1.0 / temperature, token_NK.data_ptr(),
    )  # fmt: skip
    if failed:
        raise NonFiniteError(cannot_draw(failed, rows))
    return token_NK


def log_prob_and_entropy(
    hidden_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_N: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Log p(token), the entropy of p, and its log-normaliser.

    Args:
        hidden_NH: [N, H] float.
        weight_VH: [V, H] float, in any memory order.
        bias_V: [V] float.
        token_N: [N] int64 or int32 ids.
        temperature: divides the logits.

    Returns:
        Three [N] tensors in nats, without gradient.
    """
    library = native_library()
    assert library is not None
    rows, hidden, vocab = _check_layer(hidden_NH, weight_VH, bias_V)
    token_N = checked_ids("token_N", token_N, rows)
    hidden_NH, bias_V = hidden_NH.contiguous(), bias_V.contiguous()
    out_3N = torch.empty(3, rows)
    library.rlgan_softmax_forward(
        torch.get_num_threads(), hidden_NH.data_ptr(), weight_VH.data_ptr(), *weight_VH.stride(), bias_V.data_ptr(),
        token_N.data_ptr(), rows, hidden, vocab, 1.0 / temperature, *(row.data_ptr() for row in out_3N),
    )  # fmt: skip
    log_prob_N, entropy_N, log_normaliser_N = out_3N.unbind()
    return log_prob_N, entropy_N, log_normaliser_N


def gradients(
    hidden_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_N: Tensor, log_normaliser_N: Tensor,
    entropy_N: Tensor, grad_log_prob_N: Tensor, grad_entropy_N: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of `log_prob_and_entropy` at temperature 1.

    Args:
        hidden_NH: [N, H] float.
        weight_VH: [V, H] float.
        bias_V: [V] float.
        token_N: [N] int64 or int32 ids.
        log_normaliser_N: [N] from the forward pass.
        entropy_N: [N] from the forward pass.
        grad_log_prob_N: [N] gradient with respect to log p(token).
        grad_entropy_N: [N] gradient with respect to the entropy; None where it is zero.

    Returns:
        Gradients with respect to hidden, weight and bias.
    """
    library = native_library()
    assert library is not None
    rows, hidden, vocab = _check_layer(hidden_NH, weight_VH, bias_V)
    token_N = checked_ids("token_N", token_N, rows)
    checked("log_normaliser_N", log_normaliser_N, rows)
    checked("entropy_N", entropy_N, rows)
    checked("grad_log_prob_N", grad_log_prob_N, rows)
    if grad_entropy_N is not None:
        checked("grad_entropy_N", grad_entropy_N, rows)
    inputs = [t.contiguous() for t in (hidden_NH, weight_VH, bias_V, token_N, log_normaliser_N, entropy_N)]
    grad_log_prob_N = grad_log_prob_N.contiguous()
    grad_entropy_N = None if grad_entropy_N is None else grad_entropy_N.contiguous()
    outputs = [torch.empty_like(t, memory_format=torch.contiguous_format) for t in inputs[:3]]
    library.rlgan_softmax_backward(
        torch.get_num_threads(), *(t.data_ptr() for t in inputs), grad_log_prob_N.data_ptr(),
        None if grad_entropy_N is None else grad_entropy_N.data_ptr(), rows, hidden, vocab,
        *(t.data_ptr() for t in outputs),
    )  # fmt: skip
    return outputs[0], outputs[1], outputs[2]


def _check_layer(hidden_NH: Tensor, weight_VH: Tensor, bias_V: Tensor) -> tuple[int, int, int]:
    """The sizes N, H and V, once all three agree on them."""
    (rows, hidden), vocab = hidden_NH.shape, len(bias_V)
    checked("hidden_NH", hidden_NH, rows, hidden)
    checked("weight_VH", weight_VH, vocab, hidden)
    checked("bias_V", bias_V, vocab)
    return rows, hidden, vocab
