"""Pictures as files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""[H, W, 3] colours."""


def write_png(path: Path, picture_HWC: Picture) -> None:
    """Write a picture, one pixel a pixel.

    Args:
        path: of the file.
        picture_HWC: [H, W, 3] uint8.
    """
    from PIL import Image

    Image.fromarray(picture_HWC).save(path, format="PNG")
