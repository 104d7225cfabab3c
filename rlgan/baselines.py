"""Baselines with what they remember: what is taken from the return of every token before it weighs a gradient."""

# B sequences (K fills of one text stand one after the other), T positions

from typing import Protocol

import torch
from torch import Tensor

from rlgan.objectives import baselines


class Baseline(Protocol):
    """b_t for a batch of returns."""

    def __call__(self, return_BT: Tensor, value_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """[B, T] baseline, from returns, the critic's values and which tokens were chosen."""
        ...

    def state(self) -> list[float]:
        """What it remembers of earlier batches, as JSON."""
        ...

    def restore(self, state: list[float]) -> None:
        """The reverse of `state`."""
        ...


class _Memoryless:
    """A baseline that remembers nothing."""

    def state(self) -> list[float]:
        """Nothing."""
        return []

    def restore(self, state: list[float]) -> None:
        """Nothing to restore."""


class NoBaseline(_Memoryless):
    """b_t = 0."""

    def __call__(self, return_BT: Tensor, value_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Zeros."""
        return baselines.no_baseline(return_BT)


class CriticBaseline(_Memoryless):
    """b_t = V_t."""

    def __call__(self, return_BT: Tensor, value_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """The critic's values."""
        return value_BT


class LeaveOneOutBaseline(_Memoryless):
    """b_t: the mean return at t of the other fills of the same text.

    Example:
        `LeaveOneOutBaseline(4)` for batches in which rows 0..3 are fills of one text, rows 4..7 of the next.
    """

    def __init__(self, num_fills: int) -> None:
        self.num_fills = num_fills

    def __call__(self, return_BT: Tensor, value_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Means over the other fills."""
        return_KBT, mask_KBT = (t.unflatten(0, (-1, self.num_fills)).transpose(0, 1) for t in (return_BT, mask_BT))
        return baselines.leave_one_out_baseline(return_KBT, mask_KBT).transpose(0, 1).flatten(0, 1)


class MovingAverageBaseline:
    """b_t: the average return at position t in earlier batches; zeros before the first."""

    def __init__(self, length: int, decay: float) -> None:
        self.decay = decay
        self._mean_T = torch.zeros(length)

    def __call__(self, return_BT: Tensor, value_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """The averages so far; this batch counts from the next one on."""
        before_T = self._mean_T
        self._mean_T = baselines.moving_average(before_T, return_BT, mask_BT, self.decay)
        return before_T.expand_as(return_BT)

    def state(self) -> list[float]:
        """The averages."""
        averages: list[float] = self._mean_T.tolist()
        return averages

    def restore(self, state: list[float]) -> None:
        """The reverse of `state`."""
        self._mean_T = torch.tensor(state)
