"""Exact draws from a categorical distribution given uniform random numbers, fast for large vocabularies."""

# N rows, H hidden, V vocabulary, K draws from the same row

import torch
from torch import Tensor

from rlgan.errors import NonFiniteError
from rlgan.native import softmax_layer

_BLOCK = 128  # of the native core too (native/layers.hpp): both sum up in the same two levels
_ACCELERATOR_CHUNKS = 256  # as many logits at once as on a CPU, whose cache is what limits it there
_LARGEST_BELOW_ONE = 1.0 - 2.0**-24


def inverse_cdf_sample(logits_NV: Tensor, uniform_NK: Tensor) -> Tensor:
    """Inverse-transform sampling: the first token whose cumulative probability exceeds the uniform number.

        token = min { v : sum_{w <= v} softmax(logits)_w > u }

    Every row is shifted by its own maximum, so that logits of any spread are safe, and the cumulative sum runs in two
    levels (blocks of 128 tokens, then inside one block), which is several times cheaper than one over V. A token of
    probability 0 is never drawn. The resolution is that of float32 uniforms, 2**-24. A row without a distribution (NaN,
    or -inf everywhere) is a `NonFiniteError`.

    Args:
        logits_NV: [N, V] float, unnormalised log-probabilities in nats. -inf forbids a token.
        uniform_NK: [N, K] float in [0, 1): K independent draws from every row.

    Returns:
        [N, K] int64 tokens.

    Raises:
        ValueError: if the number of rows differs.
    """
    if logits_NV.shape[0] != uniform_NK.shape[0]:
        raise ValueError(
            f"one row of uniforms a row of logits: got {logits_NV.shape[0]} and {uniform_NK.shape[0]} rows."
        )
    vocab_size = logits_NV.shape[1]
    weight_NV = logits_NV.new_zeros(len(logits_NV), _padded(vocab_size))
    weight_NV[:, :vocab_size] = logits_NV
    return _sample_in_place(weight_NV, vocab_size, uniform_NK)


def rows_at_once(chunk_logits: int, vocab_size: int, device: torch.device) -> int:
    """How many rows' logits are held at once.

    Args:
        chunk_logits: logits at once on a CPU.
        vocab_size: V.
        device: where they are held.

    Returns:
        At least 1.
    """
    return max(1, chunk_logits * (1 if device.type == "cpu" else _ACCELERATOR_CHUNKS) // vocab_size)


def _padded(vocab_size: int) -> int:
    """V, rounded up to whole blocks where there are several."""
    return vocab_size if vocab_size <= 2 * _BLOCK else -(-vocab_size // _BLOCK) * _BLOCK


def _sample_in_place(logits_NV: Tensor, vocab_size: int, uniform_NK: Tensor) -> Tensor:
    """The draws, from logits that are followed by zeros up to whole blocks and are overwritten."""
    used_NV = logits_NV[:, :vocab_size]
    used_NV.sub_(used_NV.amax(dim=1, keepdim=True)).exp_()
    if logits_NV.shape[1] <= 2 * _BLOCK:
        return _first_above(_checked(logits_NV.cumsum(dim=1)), uniform_NK)[0]
    weight_NGW = logits_NV.view(len(logits_NV), -1, _BLOCK)
    block_NK, rest_NK = _first_above(_checked(weight_NGW.sum(dim=2).cumsum(dim=1)), uniform_NK)
    inside_NKW = weight_NGW.gather(1, block_NK.unsqueeze(2).expand(-1, -1, _BLOCK)).cumsum(dim=2)
    inside_NKW = inside_NKW.flatten(0, 1)
    token_NK = _first_above(inside_NKW, rest_NK.reshape(-1, 1))[0].view_as(block_NK)
    return block_NK * _BLOCK + token_NK


def _checked(cumulative_NV: Tensor) -> Tensor:
    """The same cumulative weights, once every row is known to have a total; the largest weight of such a row is 1."""
    has_total_N = cumulative_NV[:, -1] > 0
    if not bool(has_total_N.all()):
        rows = len(has_total_N)
        raise NonFiniteError(softmax_layer.cannot_draw(rows - int(has_total_N.sum()), rows))
    return cumulative_NV


def _first_above(cumulative_NV: Tensor, uniform_NK: Tensor) -> tuple[Tensor, Tensor]:
    """The first index whose cumulative weight exceeds uniform x total, and where in its step that is, in [0, 1)."""
    total_N1 = cumulative_NV[:, -1:]
    target_NK = torch.minimum(uniform_NK * total_N1, total_N1 * _LARGEST_BELOW_ONE).contiguous()
    index_NK = torch.searchsorted(cumulative_NV, target_NK, right=True)
    upper_NK = cumulative_NV.gather(1, index_NK)
    lower_NK = cumulative_NV.gather(1, (index_NK - 1).clamp_min(0)) * (index_NK > 0)
    rest_NK = ((target_NK - lower_NK) / (upper_NK - lower_NK)).clamp(0.0, _LARGEST_BELOW_ONE)
    return index_NK, rest_NK


@torch.no_grad()
def sample_linear(
    hidden_NH: Tensor,
    weight_VH: Tensor,
    bias_V: Tensor,
    uniform_NK: Tensor,
    temperature: float = 1.0,
    chunk_logits: int = 64 * 5000,
) -> Tensor:
    """`inverse_cdf_sample` of the logits (hidden W^T + b) / temperature, which are held for a few rows at a time.

    The native core draws the same tokens from the same uniforms, but for one within rounding of a step of the CDF. A
    row without a distribution is a `NonFiniteError` on both paths.

    Args:
        hidden_NH: [N, H] float.
        weight_VH: [V, H] float.
        bias_V: [V] float.
        uniform_NK: [N, K] float in [0, 1): K independent draws from every row.
        temperature: divides the logits.
        chunk_logits: logits held at once.

    Returns:
        [N, K] int64 tokens.

    Raises:
        ValueError: if the sizes do not agree.
    """
    (num_rows, hidden_size), vocab_size = hidden_NH.shape, len(bias_V)
    if weight_VH.shape != (vocab_size, hidden_size) or len(uniform_NK) != num_rows:
        raise ValueError(
            f"hidden [N, H], weight [V, H], bias [V] and uniform [N, K] must agree; got {list(hidden_NH.shape)}, "
            f"{list(weight_VH.shape)}, {list(bias_V.shape)} and {list(uniform_NK.shape)}."
        )
    if softmax_layer.supports(hidden_NH, weight_VH, bias_V, uniform_NK):
        return softmax_layer.sample(hidden_NH, weight_VH, bias_V, uniform_NK, temperature)
    rows = rows_at_once(chunk_logits, vocab_size, hidden_NH.device)
    # one buffer for all chunks: fresh memory of this size costs several times the arithmetic on a CPU
    buffer_CV = hidden_NH.new_zeros(min(rows, len(hidden_NH)), _padded(vocab_size))
    drawn = []
    for hidden, uniform in zip(hidden_NH.split(rows), uniform_NK.split(rows), strict=True):
        logits = buffer_CV[: len(hidden), :vocab_size]
        torch.addmm(bias_V, hidden, weight_VH.t(), out=logits)
        if temperature != 1.0:
            logits.div_(temperature)
        drawn.append(_sample_in_place(buffer_CV[: len(hidden)], vocab_size, uniform))
    return torch.cat(drawn)
