"""Log-probability and entropy of a softmax output layer without holding the [N, V] logits for the backward pass."""

# N rows, H hidden, V vocabulary

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rlgan.native import softmax_layer

_CHUNK_LOGITS = 64 * 5000


def softmax_log_prob_and_entropy(
    hidden_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_N: Tensor
) -> tuple[Tensor, Tensor]:
    """Log p(token) and the entropy of p = softmax(hidden W^T + b), row by row, differentiable in hidden, W and b.

        d log p_y / d logits = 1[y] - p          d H / d logits = -p (log p + H)

    Rows are worked off in chunks whose logits stay in the cache; the backward pass computes them once more. The native
    core does the same for blocks of the vocabulary.

    Args:
        hidden_NH: [N, H] float.
        weight_VH: [V, H] float, output matrix.
        bias_V: [V] float.
        token_N: [N] int64 or int32 ids.

    Returns:
        log_prob_N and entropy_N, both in nats.
    """
    log_prob_N, entropy_N = _FusedSoftmax.apply(hidden_NH, weight_VH, bias_V, token_N)  # type: ignore[no-untyped-call]
    return log_prob_N, entropy_N


def _chunks(num_rows: int, vocab_size: int) -> list[slice]:
    """Slices of rows that hold about `_CHUNK_LOGITS` logits each."""
    rows = max(1, _CHUNK_LOGITS // vocab_size)
    return [slice(start, min(start + rows, num_rows)) for start in range(0, num_rows, rows)]


class _FusedSoftmax(torch.autograd.Function):
    """The custom backward pass of `softmax_log_prob_and_entropy`."""

    @staticmethod
    def forward(
        ctx: Any, hidden_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_N: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs = (hidden_NH, weight_VH, bias_V, token_N)
        is_native = softmax_layer.supports(*inputs[:3])
        compute = softmax_layer.log_prob_and_entropy if is_native else _log_prob_and_entropy
        log_prob_N, entropy_N, log_normaliser_N = compute(*inputs)
        ctx.gradients = softmax_layer.gradients if is_native else _gradients
        ctx.save_for_backward(*inputs, log_normaliser_N, entropy_N)
        ctx.set_materialize_grads(False)
        return log_prob_N, entropy_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_log_prob_N: Tensor | None, grad_entropy_N: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        if grad_log_prob_N is None:
            grad_log_prob_N = torch.zeros_like(saved[-1])
        if grad_entropy_N is not None and not bool(grad_entropy_N.any()):
            grad_entropy_N = None
        return (*ctx.gradients(*saved, grad_log_prob_N, grad_entropy_N), None)


def _log_prob_and_entropy(
    hidden_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_N: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The forward pass in torch: log p(token), entropy, log-normaliser."""
    log_normaliser_N = hidden_NH.new_empty(hidden_NH.shape[0])
    log_prob_N, entropy_N = torch.empty_like(log_normaliser_N), torch.empty_like(log_normaliser_N)
    for rows in _chunks(hidden_NH.shape[0], weight_VH.shape[0]):
        logits = torch.addmm(bias_V, hidden_NH[rows], weight_VH.t())
        largest = logits.amax(dim=1)
        weight = (logits - largest[:, None]).exp_()  # the only exponential of this pass
        total = weight.sum(dim=1)
        log_normaliser_N[rows] = largest + total.log()
        log_prob_N[rows] = logits.gather(1, token_N[rows, None]).squeeze(1) - log_normaliser_N[rows]
        entropy_N[rows] = log_normaliser_N[rows] - torch.linalg.vecdot(weight, logits) / total
    return log_prob_N, entropy_N, log_normaliser_N


def _gradients(
    hidden_NH: Tensor, weight_VH: Tensor, bias_V: Tensor, token_N: Tensor, log_normaliser_N: Tensor,
    entropy_N: Tensor, grad_log_prob_N: Tensor, grad_entropy_N: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The backward pass in torch: gradients of hidden, weight and bias."""
    grad_hidden_NH, grad_weight_VH = torch.empty_like(hidden_NH), torch.zeros_like(weight_VH)
    grad_bias_V = torch.zeros_like(bias_V)
    for rows in _chunks(hidden_NH.shape[0], weight_VH.shape[0]):
        log_prob = torch.addmm(bias_V, hidden_NH[rows], weight_VH.t()).sub_(log_normaliser_N[rows, None])
        grad_logits = torch.exp(log_prob)
        scale = grad_log_prob_N[rows, None]
        if grad_entropy_N is not None:
            scale = scale + grad_entropy_N[rows, None] * log_prob.add_(entropy_N[rows, None])
        grad_logits.mul_(-scale)
        grad_logits.scatter_add_(1, token_N[rows, None], grad_log_prob_N[rows, None])
        grad_hidden_NH[rows] = grad_logits @ weight_VH
        grad_weight_VH.addmm_(grad_logits.t(), hidden_NH[rows])
        grad_bias_V += grad_logits.sum(dim=0)
    return grad_hidden_NH, grad_weight_VH, grad_bias_V
