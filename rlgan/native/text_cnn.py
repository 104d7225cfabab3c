"""Features and logits of the text CNN without gradient, for sequences that share prefixes."""

# B sequences, P = T-1 prefixes, R rollouts, T positions, V vocabulary, E embedding, F features, W window, N rows,
# K rows in question

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from rlgan.native.arguments import checked, checked_ids, checked_windows
from rlgan.native.library import instruction_set, native_library


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


class HighwayOutput:
    """A highway layer and a linear output in one pass; the weights are packed once, for any number of calls.

    Args:
        gate: weight [F, F] and bias [F] before the sigmoid.
        transform: weight [F, F] and bias [F] before the ReLU.
        output: weight of F numbers, and bias.

    Raises:
        ValueError: if the sizes do not agree, or there is no feature.
    """

    def __init__(
        self, gate: tuple[Tensor, Tensor], transform: tuple[Tensor, Tensor], output: tuple[Tensor, float]
    ) -> None:
        library = native_library()
        assert library is not None
        width = len(gate[1])
        if width < 1:
            raise ValueError("a highway layer needs at least one feature; got none.")
        for name, (weight_FF, bias_F) in (("gate", gate), ("transform", transform)):
            checked(f"weight of the {name}", weight_FF, width, width)
            checked(f"bias of the {name}", bias_F, width)
        output_F = checked("weight of the output", output[0].flatten(), width)
        self._num_features, self._offset, self._instruction_set = width, output[1], instruction_set()
        self._packed = torch.empty(library.rlgan_highway_size(width))  # torch's memory begins at a cache line
        given = [t.contiguous() for t in (*gate, *transform, output_F)]
        addresses = [t.data_ptr() for t in (*given, self._packed)]
        library.rlgan_pack_highway(torch.get_num_threads(), width, *addresses)

    def logits(
        self,
        features_NF: Tensor,
        row_K: Tensor | None = None,
        group_K: Tensor | None = None,
        run_K: Tensor | None = None,
    ) -> Tensor:
        """The logits of rows of features.

        Args:
            features_NF: [N, F] float.
            row_K: [K] int64 rows in [0, N); None stands for all.
            group_K: [K] int64, the group of each row: rows of one group are multiplied as their differences from what
                they have in common, which saves more the more that is. None: they have nothing in common.
            run_K: [K] int64, the run of each row, the same for all rows of a group: what a group has in common is
                multiplied as its difference from that of the group of the next lower number in its run. None: every
                group is a run.

        Returns:
            [K] float, of the rows in their order.

        Raises:
            IndexError: if a row is outside [0, N).
            RuntimeError: if another instruction set is in use than the one the weights were packed for.
        """
        if instruction_set() != self._instruction_set:
            raise RuntimeError(
                f"the weights were packed for {self._instruction_set}, and {instruction_set()} is in use now; do not "
                "change RLGAN_NATIVE between packing and use."
            )
        count = len(features_NF)
        features_NF = checked("features_NF", features_NF, count, self._num_features).contiguous()
        row_K = torch.arange(count) if row_K is None else checked_ids("row_K", row_K, len(row_K))
        if len(row_K) and not 0 <= int(row_K.min()) <= int(row_K.max()) < count:
            raise IndexError(f"rows must be in [0, {count}); got {int(row_K.min())} to {int(row_K.max())}.")
        keys = [
            None if key_K is None else checked_ids(name, key_K, len(row_K))
            for name, key_K in (("group_K", group_K), ("run_K", run_K))
        ]
        order_K = row_K.argsort(stable=True)
        for key_K in keys:
            order_K = order_K if key_K is None else order_K[key_K[order_K].argsort(stable=True)]
        logit_K = torch.empty(len(row_K))
        group_K, run_K = (None if key_K is None else key_K[order_K] for key_K in keys)
        logit_K[order_K] = self._in_order(features_NF, row_K[order_K], group_K, run_K)
        return logit_K

    def _in_order(self, features_NF: Tensor, row_K: Tensor, group_K: Tensor | None, run_K: Tensor | None) -> Tensor:
        """[K] logits of rows of which those of one group adjoin, as do the groups of one run."""
        library = native_library()
        assert library is not None
        logit_K = torch.empty(len(row_K))
        library.rlgan_highway(
            torch.get_num_threads(), features_NF.data_ptr(), self._num_features, len(row_K), row_K.data_ptr(),
            *(None if key_K is None else key_K.data_ptr() for key_K in (group_K, run_K)), self._packed.data_ptr(),
            self._offset, logit_K.data_ptr(),
        )  # fmt: skip
        return logit_K
