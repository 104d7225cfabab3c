"""Features and logits of the text CNN without gradient, for sequences that share prefixes."""

# B sequences, P = T-1 prefixes, R rollouts, T positions, V vocabulary, E embedding, F features, W window, N rows

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from rlgan.native.arguments import checked, checked_ids, checked_windows
from rlgan.native.library import native_library


def pointers(tensors: Sequence[Tensor]) -> "ctypes.Array[ctypes.c_void_p]":
    """The addresses of tensors as a C array.

    Args:
        tensors: contiguous.

    Returns:
        One pointer each.
    """
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))


def features(
    embedding_VE: Tensor,
    convolutions: Sequence[tuple[Tensor, Tensor]],
    tokens_BT: Tensor,
    completed_PRBT: Tensor | None,
    is_mean: bool,
) -> Tensor:
    """Pooled features of sequences and of the completions of their prefixes.

    Args:
        embedding_VE: [V, E] float.
        convolutions: weight [f, W * E] and bias [f] of every window.
        tokens_BT: [B, T] int64 or int32 ids.
        completed_PRBT: [P, R, B, T] ids, or None; entry [p, r, b] begins with the first p + 1 tokens of sequence b.
        is_mean: whether the ReLUs are averaged over the windows, or their maximum is taken.

    Returns:
        [P * R * B + B, F] float: completions in their order, then the sequences.

    Raises:
        IndexError: if an id is outside [0, V).
    """
    library = native_library()
    assert library is not None
    (batch, length), (vocab, width) = tokens_BT.shape, embedding_VE.shape
    rollouts = 0 if completed_PRBT is None else completed_PRBT.shape[1]
    tokens_BT = checked_ids("tokens_BT", tokens_BT, batch, length)
    if completed_PRBT is None:
        completed_PRBT = tokens_BT[:0]
    else:
        completed_PRBT = checked_ids("completed_PRBT", completed_PRBT, length - 1, rollouts, batch, length)
    embedding_VE = checked("embedding_VE", embedding_VE, vocab, width).contiguous()
    windows = checked_windows(convolutions, width, length)
    weights, biases = ([t.contiguous() for t in parts] for parts in zip(*convolutions, strict=True))
    num_filters = [len(bias) for bias in biases]
    count = len(num_filters)
    out_NF = torch.empty((length - 1) * rollouts * batch + batch, sum(num_filters))
    outside = library.rlgan_features(
        torch.get_num_threads(), embedding_VE.data_ptr(), vocab, width, count,
        (ctypes.c_int64 * count)(*windows), (ctypes.c_int64 * count)(*num_filters), pointers(weights),
        pointers(biases), int(is_mean), tokens_BT.data_ptr(), completed_PRBT.data_ptr(), batch, rollouts, length,
        out_NF.data_ptr(),
    )  # fmt: skip
    if outside:
        raise IndexError(f"tokens must be ids in [0, {vocab}); {outside} are not.")
    return out_NF


def highway_logits(
    features_NF: Tensor, gate: tuple[Tensor, Tensor], transform: tuple[Tensor, Tensor], output: tuple[Tensor, float]
) -> Tensor:
    """A highway layer and a linear output in one pass.

    Args:
        features_NF: [N, F] float.
        gate: weight [F, F] and bias [F] before the sigmoid.
        transform: weight [F, F] and bias [F] before the ReLU.
        output: weight of F numbers, and bias.

    Returns:
        [N] float.
    """
    library = native_library()
    assert library is not None
    rows, width = features_NF.shape
    for name, (weight_FF, bias_F) in (("gate", gate), ("transform", transform)):
        checked(f"weight of the {name}", weight_FF, width, width)
        checked(f"bias of the {name}", bias_F, width)
    output_F = checked("weight of the output", output[0].flatten(), width)
    maps = [t.contiguous() for t in (*gate, *transform, output_F)]
    features_NF = checked("features_NF", features_NF, rows, width).contiguous()
    logit_N = torch.empty(len(features_NF))
    library.rlgan_highway(
        torch.get_num_threads(), features_NF.data_ptr(), *features_NF.shape, *(t.data_ptr() for t in maps),
        output[1], logit_N.data_ptr(),
    )  # fmt: skip
    return logit_N
