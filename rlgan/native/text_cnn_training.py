"""Features and highway layer of the text CNN with their gradients, for maximum pooling.

Activations are [F, S]: the batch lies innermost, filled up to S sequences with columns that have no meaning.
"""

# B sequences, S = B filled up, T positions, V vocabulary, E embedding, F features, W window

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rlgan.native.arguments import checked, checked_ids, checked_windows
from rlgan.native.library import native_library
from rlgan.native.text_cnn import pointers


def supports_sizes(num_filters: Sequence[int]) -> bool:
    """Whether every window has the few filters that a tile needs.

    Args:
        num_filters: of every window.

    Returns:
        True if so, and the core is in use.
    """
    library = native_library()
    return library is not None and min(num_filters) >= int(library.rlgan_height())


def max_features(tokens_BT: Tensor, embedding_VE: Tensor, convolutions: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """ReLU of the maximum over time of the convolutions, differentiable in all parameters.

    Args:
        tokens_BT: [B, T] int64 or int32 ids.
        embedding_VE: [V, E] float.
        convolutions: weight [f, W * E] and bias [f] of every window.

    Returns:
        [F, S] float, the features of sequence b in column b.
    """
    parameters = [t for pair in convolutions for t in pair]
    features_FS: Tensor = _MaxFeatures.apply(tokens_BT, embedding_VE, *parameters)  # type: ignore[no-untyped-call]
    return features_FS


def highway(x_FS: Tensor, num_sequences: int, gate: tuple[Tensor, Tensor], transform: tuple[Tensor, Tensor]) -> Tensor:
    """A highway layer, differentiable in all but the columns that fill up.

    Args:
        x_FS: [F, S] float.
        num_sequences: B.
        gate: weight [F, F] and bias [F] before the sigmoid.
        transform: weight [F, F] and bias [F] before the ReLU.

    Returns:
        [F, S] float.
    """
    y_FS: Tensor = _Highway.apply(x_FS, num_sequences, *gate, *transform)  # type: ignore[no-untyped-call]
    return y_FS


def _library() -> ctypes.CDLL:
    """The core, which `supports_sizes` has been asked for."""
    library = native_library()
    assert library is not None
    return library


class _MaxFeatures(torch.autograd.Function):
    """The gradient of `max_features` runs through the window that won each maximum."""

    @staticmethod
    def forward(ctx: Any, tokens_BT: Tensor, embedding_VE: Tensor, *parameters: Tensor) -> Tensor:
        library = _library()
        (batch, length), (vocab, embedding_size) = tokens_BT.shape, embedding_VE.shape
        tokens_BT = checked_ids("tokens_BT", tokens_BT, batch, length)
        embedding_VE = checked("embedding_VE", embedding_VE, vocab, embedding_size).contiguous()
        checked_windows(list(zip(parameters[::2], parameters[1::2], strict=True)), embedding_size, length)
        parameters = tuple(t.contiguous() for t in parameters)
        weights, biases = parameters[::2], parameters[1::2]
        _check_height(min(map(len, biases)), "filters of a window")
        width = int(library.rlgan_width())
        num_padded = -(-batch // width) * width
        features_FS = torch.empty(sum(map(len, biases)), num_padded)
        place_FS = torch.empty_like(features_FS, dtype=torch.int32)
        outside = library.rlgan_max_features(
            torch.get_num_threads(), embedding_VE.data_ptr(), vocab, embedding_size, *_windows(embedding_VE, weights),
            pointers(weights), pointers(biases), tokens_BT.data_ptr(), batch, length, features_FS.data_ptr(),
            place_FS.data_ptr(),
        )  # fmt: skip
        if outside:
            raise IndexError(f"tokens must be ids in [0, {vocab}); {outside} are not.")
        ctx.save_for_backward(tokens_BT, embedding_VE, features_FS, place_FS, *parameters)
        return features_FS

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_FS: Tensor) -> tuple[Tensor | None, ...]:
        tokens_BT, embedding_VE, features_FS, place_FS, *parameters = ctx.saved_tensors
        weights, grad_FS = parameters[::2], checked("grad_FS", grad_FS, *features_FS.shape).contiguous()
        grad_embedding_VE, gradients = torch.empty_like(embedding_VE), [torch.empty_like(t) for t in parameters]
        _library().rlgan_max_features_gradient(
            torch.get_num_threads(), embedding_VE.data_ptr(), *embedding_VE.shape, *_windows(embedding_VE, weights),
            pointers(weights), tokens_BT.data_ptr(), *tokens_BT.shape, features_FS.data_ptr(), place_FS.data_ptr(),
            grad_FS.data_ptr(), grad_embedding_VE.data_ptr(), pointers(gradients[::2]), pointers(gradients[1::2]),
        )  # fmt: skip
        return None, grad_embedding_VE, *gradients


class _Highway(torch.autograd.Function):
    """The custom backward pass of `highway`."""

    @staticmethod
    def forward(
        ctx: Any, x_FS: Tensor, num_sequences: int, gate_FF: Tensor, gate_F: Tensor, map_FF: Tensor, map_F: Tensor
    ) -> Tensor:
        num_features, width = len(x_FS), int(_library().rlgan_width())
        checked("x_FS", x_FS, num_features, -(-num_sequences // width) * width)
        for name, weight_FF, bias_F in (("gate", gate_FF, gate_F), ("transform", map_FF, map_F)):
            checked(f"weight of the {name}", weight_FF, num_features, num_features)
            checked(f"bias of the {name}", bias_F, num_features)
        _check_height(num_features, "features of a highway layer")
        x_FS, gate_FF, gate_F, map_FF, map_F = (t.contiguous() for t in (x_FS, gate_FF, gate_F, map_FF, map_F))
        gate_FS, map_FS, y_FS = (torch.empty_like(x_FS) for _ in range(3))
        _library().rlgan_highway_forward(
            torch.get_num_threads(), x_FS.data_ptr(), gate_FF.data_ptr(), gate_F.data_ptr(), map_FF.data_ptr(),
            map_F.data_ptr(), len(x_FS), num_sequences, gate_FS.data_ptr(), map_FS.data_ptr(), y_FS.data_ptr(),
        )  # fmt: skip
        ctx.save_for_backward(x_FS, gate_FF, map_FF, gate_FS, map_FS)
        ctx.num_sequences = num_sequences
        return y_FS

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y_FS: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        x_FS, gate_FF, map_FF = saved[:3]
        grad_y_FS = checked("grad_y_FS", grad_y_FS, *x_FS.shape).contiguous()
        grad_x_FS, grad_gate_FF, grad_map_FF = (torch.empty_like(t) for t in (x_FS, gate_FF, map_FF))
        grad_gate_F, grad_map_F = (x_FS.new_empty(len(x_FS)) for _ in range(2))
        outputs = (grad_x_FS, grad_gate_FF, grad_gate_F, grad_map_FF, grad_map_F)
        _library().rlgan_highway_backward(
            torch.get_num_threads(), *(t.data_ptr() for t in saved), grad_y_FS.data_ptr(), len(x_FS),
            ctx.num_sequences, *(t.data_ptr() for t in outputs),
        )  # fmt: skip
        return grad_x_FS, None, grad_gate_FF, grad_gate_F, grad_map_FF, grad_map_F


def _check_height(count: int, what: str) -> None:
    """A tile of the core looks back over this many rows; ValueError where there are fewer."""
    least = int(_library().rlgan_height())
    if count < least:
        raise ValueError(f"the native core needs at least {least} {what}; got {count}. Ask `supports_sizes` first.")


def _windows(embedding_VE: Tensor, weights: Sequence[Tensor]) -> tuple[int, ctypes.Array[Any], ctypes.Array[Any]]:
    """Their number, widths and numbers of filters, as the C functions take them."""
    count, width = len(weights), embedding_VE.shape[1]
    array = ctypes.c_int64 * count
    return count, array(*(weight.shape[1] // width for weight in weights)), array(*map(len, weights))
