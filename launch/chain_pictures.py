"""Chains as pictures: a strip with a row for each chain, and an animation of all of them at once."""

# T recorded steps, N chains, C channels, H height, W width

from pathlib import Path

from torch import Tensor

from rlgan.launch.image_judgement import as_picture
from rlgan.launch.pictures import Picture

_MILLISECONDS_A_FRAME, _MILLISECONDS_AT_THE_END = 120, 1500


def recorded_steps(num_steps: int, num_images: int) -> tuple[int, ...]:
    """Steps to look at: the first, the last, and others evenly between.

    Args:
        num_steps: of the chain.
        num_images: at most this many, at least 2.

    Returns:
        Increasing, from 0 to num_steps.
    """
    last = max(2, num_images) - 1
    return tuple(sorted({round(num_steps * index / last) for index in range(last + 1)}))


def strip(image_TNCHW: Tensor) -> Picture:
    """A row for each chain, from its start on the left to its end on the right.

    Args:
        image_TNCHW: [T, N, C, H, W] in [0, 1] or a little outside.

    Returns:
        [height, width, 3] uint8.
    """
    return as_picture(image_TNCHW.clamp(0.0, 1.0).transpose(0, 1).flatten(0, 1), len(image_TNCHW))


def write_gif(path: Path, image_TNCHW: Tensor, num_columns: int) -> None:
    """All chains on one sheet, moving; the end stands still for a while.

    Args:
        path: of the file.
        image_TNCHW: [T, N, C, H, W] in [0, 1] or a little outside.
        num_columns: chains in a row.
    """
    from PIL import Image

    frames = [Image.fromarray(as_picture(images.clamp(0.0, 1.0), num_columns)) for images in image_TNCHW]
    durations = [_MILLISECONDS_A_FRAME] * (len(frames) - 1) + [_MILLISECONDS_AT_THE_END]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
