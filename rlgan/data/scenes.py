"""Scenes of two images, "a three left of a seven", with what is to be seen as their label."""

# N images or scenes, C channels, H height, W width

import numpy as np
import torch
from torch import Tensor

_NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
RELATIONS = ("left of", "above")


def scene_names(label_names: tuple[str, ...]) -> tuple[str, ...]:
    """What scenes of these labels are called.

    Args:
        label_names: L names; numerals are written out.

    Returns:
        2 L L captions, the relation first, then the first and the second label.
    """
    words = [_with_article(_NUMERALS[int(name)] if name in map(str, range(10)) else name) for name in label_names]
    return tuple(f"{first} {relation} {second}" for relation in RELATIONS for first in words for second in words)


def _with_article(word: str) -> str:
    """As it is said: an eight, an owl, a one."""
    is_vowel = word[0].lower() in "aeiou" and word != "one"
    return f"{'an' if is_vowel else 'a'} {word}"


def compose_scenes(
    image_NCHW: Tensor, label_N: Tensor, num_labels: int, num_scenes: int, random: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Two images on a black square of twice their size, side by side or one above the other.

    The pair stands anywhere across the direction it lies in, and one of the two up to an eighth of its size off the
    other; what overlaps shows the brighter pixel.

    Args:
        image_NCHW: [N, C, H, W] levels.
        label_N: [N] int64 in [0, L).
        num_labels: L.
        num_scenes: how many.
        random: what is chosen by; all relations and images are equally likely.

    Returns:
        [num_scenes, C, 2H, 2W] levels, and [num_scenes] indices into `scene_names`.
    """
    _, channels, height, width = image_NCHW.shape
    scene_NCHW = torch.zeros(num_scenes, channels, 2 * height, 2 * width, dtype=image_NCHW.dtype)
    row_N2 = random.integers(len(image_NCHW), size=(num_scenes, 2))
    relation_N = random.integers(2, size=num_scenes)
    for scene, rows, relation in zip(scene_NCHW, row_N2, relation_N, strict=True):
        across, along = (height, width) if relation == 0 else (width, height)
        jitter = across // 8
        first = int(random.integers(across + 1))
        second = int(np.clip(first + random.integers(-jitter, jitter + 1), 0, across))
        for row, place, offset in zip(rows, (0, along), (first, second), strict=True):
            top, left = (offset, place) if relation == 0 else (place, offset)
            patch = scene[:, top : top + height, left : left + width]
            patch.copy_(torch.maximum(patch, image_NCHW[row]))
    label_N2 = label_N.numpy()[row_N2]
    scene_label_N = (relation_N * num_labels + label_N2[:, 0]) * num_labels + label_N2[:, 1]
    return scene_NCHW, torch.from_numpy(scene_label_N.astype(np.int64))
