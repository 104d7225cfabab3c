"""What the C functions are given: they trust sizes and types, so all are checked before an address is passed on."""

# B sequences, T positions, E embedding, f filters of a window, W window

from collections.abc import Sequence

import torch
from torch import Tensor


def checked(name: str, tensor: Tensor, *shape: int) -> Tensor:
    """The same tensor, once it is known to be what the core reads or writes.

    Args:
        name: what it is, for the message.
        tensor: in any memory order.
        *shape: the shape it must have.

    Returns:
        `tensor` itself.

    Raises:
        ValueError: if it is not float32 on the CPU, or has another shape.
    """
    if tensor.shape != shape or tensor.dtype != torch.float32 or tensor.device.type != "cpu":
        raise ValueError(
            f"{name} must be float32 of shape {list(shape)} on the CPU; got {_kind(tensor)}. "
            "The native core reads nothing else."
        )
    return tensor


def checked_ids(name: str, ids: Tensor, *shape: int) -> Tensor:
    """The ids as the core reads them.

    Args:
        name: what they are, for the message.
        ids: int64 or int32, in any memory order.
        *shape: the shape they must have.

    Returns:
        The ids as contiguous int64.

    Raises:
        ValueError: if they are no integers on the CPU, or have another shape.
    """
    if ids.shape != shape or ids.dtype not in {torch.int64, torch.int32} or ids.device.type != "cpu":
        raise ValueError(
            f"{name} must be int64 or int32 ids of shape {list(shape)} on the CPU; got {_kind(ids)}. "
            "The native core reads nothing else."
        )
    return ids.to(torch.int64).contiguous()


def checked_windows(convolutions: Sequence[tuple[Tensor, Tensor]], embedding_size: int, length: int) -> list[int]:
    """The width of every window, once weights and biases are known to agree.

    Args:
        convolutions: weight [f, W * E] and bias [f] of every window.
        embedding_size: E.
        length: T, the tokens of a sequence.

    Returns:
        W of every window, tokens.

    Raises:
        ValueError: if a window is no whole number of tokens in [1, T].
    """
    windows = []
    for i, (weight, bias) in enumerate(convolutions):
        window = weight.shape[-1] // embedding_size
        checked(f"weight of window {i}", weight, len(bias), window * embedding_size)
        checked(f"bias of window {i}", bias, len(bias))
        if not 1 <= window <= length:
            raise ValueError(f"window {i} must be 1 to {length} tokens, as the sequences have; got {window}.")
        windows.append(window)
    return windows


def _kind(tensor: Tensor) -> str:
    """What a tensor is, in a few words."""
    return f"{tensor.dtype} of shape {list(tensor.shape)} on {tensor.device}"
