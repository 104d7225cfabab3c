"""What an image is, and the protocol of a set of images made ready for training."""

# B and N images, C channels, H height, W width

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rlgan.types import Source

MAX_LEVELS = 256


def to_bytes(unit: Tensor) -> Tensor:
    """Brightness as bytes, rounded.

    Args:
        unit: any shape, float in [0, 1].

    Returns:
        Same shape, uint8: 0 is black, 255 white.
    """
    return (unit * 255 + 0.5).floor().to(torch.uint8)


@dataclass(frozen=True)
class ImageSpace:
    """What an image is: a pixel of a channel takes one of a number of equally spaced levels, 0 is black.

    Example:
        `ImageSpace(channels=1, height=28, width=28, levels=2)` is binarised MNIST; with `levels=256` it is MNIST
        itself.

    Attributes:
        channels: C, 1 for grey or 3 for colour.
        height: H, pixels.
        width: W, pixels.
        levels: K, values of a pixel, 2 to 256.
    """

    channels: int
    height: int
    width: int
    levels: int = MAX_LEVELS

    def __post_init__(self) -> None:
        if self.channels not in {1, 3} or min(self.height, self.width) < 1:
            raise ValueError(f"an image has 1 or 3 channels and at least one pixel; got {self.shape}.")
        if not 2 <= self.levels <= MAX_LEVELS:
            raise ValueError(f"levels must be from 2 to {MAX_LEVELS}; got {self.levels}.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    @property
    def num_values(self) -> int:
        """Numbers in an image: C times H times W."""
        return self.channels * self.height * self.width

    def to_unit(self, levels_BCHW: Tensor) -> Tensor:
        """Levels as brightness.

        Args:
            levels_BCHW: [..., C, H, W] integers in [0, K).

        Returns:
            Same shape, float in [0, 1].
        """
        return levels_BCHW.float() / (self.levels - 1)

    def quantise(self, unit_BCHW: Tensor) -> Tensor:
        """The nearest level of every brightness; for two levels the threshold is one half.

        Args:
            unit_BCHW: [..., C, H, W] float in [0, 1].

        Returns:
            Same shape, uint8 in [0, K).
        """
        return (unit_BCHW.clamp(0.0, 1.0) * (self.levels - 1) + 0.5).floor().to(torch.uint8)

    def check(self, levels_BCHW: Tensor) -> Tensor:
        """The same images, once they are known to be of this space.

        Args:
            levels_BCHW: [B, C, H, W] levels.

        Returns:
            `levels_BCHW` itself.

        Raises:
            ValueError: if the shape, the type or a level is wrong.
        """
        if tuple(levels_BCHW.shape[1:]) != self.shape or levels_BCHW.ndim != 4:
            raise ValueError(f"images must be [B, {self.channels}, {self.height}, {self.width}]; got "
                             f"{list(levels_BCHW.shape)}.")  # fmt: skip
        if levels_BCHW.is_floating_point() or levels_BCHW.dtype == torch.bool:
            raise ValueError(f"images must be integer levels; got {levels_BCHW.dtype}.")
        if levels_BCHW.numel() and not 0 <= int(levels_BCHW.min()) <= int(levels_BCHW.max()) < self.levels:
            low, high = int(levels_BCHW.min()), int(levels_BCHW.max())
            raise ValueError(f"levels must be in [0, {self.levels}); got {low} to {high}.")
        return levels_BCHW


@dataclass(frozen=True)
class LabelledImageSpace(ImageSpace):
    """What an image is, and how many labels there are.

    Example:
        `LabelledImageSpace(1, 28, 28, num_labels=10)` is MNIST.

    Attributes:
        num_labels: L, at least 2.
        num_words: of the captions that the labels are, with their end; 0 where nobody reads them so.
    """

    num_labels: int = 2
    num_words: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_labels < 2:
            raise ValueError(f"a condition needs at least 2 labels; got {self.num_labels}.")


class ImageSource(Source, Protocol):
    """A set of images made ready, split by seed into training and held-out ones, with labels where there are any."""

    space: ImageSpace
    train_NCHW: Tensor
    held_out_NCHW: Tensor
    train_label_N: Tensor | None
    held_out_label_N: Tensor | None
    label_names: tuple[str, ...]
