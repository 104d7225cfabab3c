"""Pictures with a hole that chains of a PPGN run are to fill: a file in the run's size, and where its hole is."""

# C channels, H height, W width

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rlgan.data.image_files import read_png
from rlgan.errors import ConfigError
from rlgan.image_types import ImageSpace

_HOLES: dict[str, Callable[[int, int], tuple[int, int, int, int]]] = {
    "center": lambda height, width: (height // 4, width // 4, height - height // 4, width - width // 4),
    "left": lambda height, width: (0, 0, height, width // 2),
    "right": lambda height, width: (0, width // 2, height, width),
    "top": lambda height, width: (0, 0, height // 2, width),
    "bottom": lambda height, width: (height // 2, 0, height, width),
}
"""First row, first column, and the row and column after the last."""


def picture_as(path: Path, space: ImageSpace) -> Tensor:
    """A picture of a file in the size and colours of a run.

    Args:
        path: PNG file; what is larger or smaller is scaled.
        space: of the run's images.

    Returns:
        [C, H, W] in [0, 1].

    Raises:
        ConfigError: if its sides have another ratio; DataError if it cannot be read.
    """
    bytes_HWC = np.atleast_3d(read_png(path, "grey" if space.channels == 1 else "colour"))
    height, width = bytes_HWC.shape[:2]
    if height * space.width != width * space.height:
        raise ConfigError(
            f"{path}: {height}x{width} pixels cannot be scaled to the run's {space.height}x{space.width}."
        )
    picture_CHW = torch.from_numpy(bytes_HWC.copy()).permute(2, 0, 1).float() / 255
    return torch.nn.functional.interpolate(picture_CHW[None], (space.height, space.width), mode="area")[0]


def hole_of(word: str, space: ImageSpace) -> Tensor:
    """The pixels that are to be filled.

    Args:
        word: see `ConditionOptions.mask`.
        space: of the run's images.

    Returns:
        [H, W] bool.

    Raises:
        ConfigError: if there is no such hole, or it is nothing or everything; DataError if a file cannot be read.
    """
    height, width = space.height, space.width
    if word in _HOLES:
        box = _HOLES[word](height, width)
    elif word.lower().endswith(".png"):
        return _partial(picture_as(Path(word), ImageSpace(1, height, width, 256)).squeeze(0) > 0.5, word)
    else:
        parts = word.split(",")
        if len(parts) != 4 or not all(part.isdecimal() for part in parts):
            raise ConfigError(f"--mask {word}: write {', '.join(_HOLES)}, ROW,COLUMN,ROW,COLUMN, or a PNG file.")
        box = tuple(int(part) for part in parts)  # type: ignore[assignment]
        if box[2] > height or box[3] > width:
            raise ConfigError(f"--mask {word}: the run's images have {height}x{width} pixels.")
    is_hole_HW = torch.zeros(height, width, dtype=torch.bool)
    is_hole_HW[box[0] : box[2], box[1] : box[3]] = True
    return _partial(is_hole_HW, word)


def _partial(is_hole_HW: Tensor, word: str) -> Tensor:
    """The same hole, refused where nothing is left to fill or to know."""
    if bool(is_hole_HW.all()) or not bool(is_hole_HW.any()):
        raise ConfigError(f"--mask {word}: some pixels must be in the hole, and some not.")
    return is_hole_HW
