"""How a generator of images is judged and shown while it trains: the figures of its samples, a grid, interpolations."""

# N images, C channels, H height, W width

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from rlgan.image_evaluation import ImageEvaluator, image_grid
from rlgan.image_types import ImageSource
from rlgan.launch.pictures import Picture
from rlgan.launch.system import Judgement, Shown
from rlgan.models.discrete_generator import DiscreteGenerator
from rlgan.seeding import torch_generator

GRID_ROWS, GRID_COLUMNS = 8, 10
_PIXELS_WIDE = 48
"""Small images are enlarged to about this many pixels a side."""


class LatentImages(Protocol):
    """A generator of images from latent codes."""

    @property
    def is_normal(self) -> bool:
        """Whether the codes are standard normal."""
        ...

    def draw_latent(self, num_codes: int, random: torch.Generator) -> Tensor:
        """[N, Z] codes from their prior."""
        ...

    def images(self, latent_NZ: Tensor, random: torch.Generator) -> Tensor:
        """[N, C, H, W] in [0, 1], one for each code."""
        ...


class ImageJudgement:
    """Judges one run; the judge and the figures of real images are made at the first evaluation.

    Example:
        `ImageJudgement().judge(algorithm.generator(), algorithm.source, num_samples=1000, seed=0, judge_seed=0)`
    """

    def __init__(self) -> None:
        self._evaluator: ImageEvaluator | None = None

    def judge(
        self, generator: LatentImages, source: ImageSource, num_samples: int, seed: int, judge_seed: int
    ) -> Judgement:
        """Draw images and measure them.

        Args:
            generator: on the CPU.
            source: the real images.
            num_samples: how many to draw.
            seed: of the draw.
            judge_seed: of the judge, which stays the same in a run.

        Returns:
            Figures, and the images "samples/grid" and "samples/interpolation".
        """
        if self._evaluator is None or self._evaluator.source is not source:
            self._evaluator = ImageEvaluator.of(source, judge_seed)
        random = torch_generator(seed, "image evaluation")
        latent_NZ = generator.draw_latent(num_samples, random)
        images_NCHW = generator.images(latent_NZ, random)
        expected_NCHW = generator.expected_images(latent_NZ) if isinstance(generator, DiscreteGenerator) else None
        figures = self._evaluator.figures(images_NCHW, expected_NCHW)
        figures["eval/num_images"] = float(num_samples)
        between_NCHW = interpolation(generator, num_rows=4, num_columns=GRID_COLUMNS, seed=seed)
        pictures = {
            "samples/grid": as_picture(images_NCHW[: GRID_ROWS * GRID_COLUMNS]),
            "samples/interpolation": as_picture(between_NCHW),
        }
        return Judgement(figures, shown=Shown(images=pictures))


def interpolation(generator: LatentImages, num_rows: int, num_columns: int, seed: int) -> Tensor:
    """Images on the way from one latent code to another, a row for each pair.

    Normal codes are mixed with weights whose squares add up to 1, so that they stay as likely; uniform ones with
    weights that add up to 1, so that they stay where codes are; between categorical ones there is no code, and the way
    is a straight line too. Where an image is drawn, all images of a row are drawn
    with the same random numbers: only the code changes.

    Args:
        generator: on the CPU.
        num_rows: pairs of codes.
        num_columns: images from the first code to the second, at least 2.
        seed: of the codes and draws.

    Returns:
        [rows * columns, C, H, W] in [0, 1], row after row.
    """
    random = torch_generator(seed, "interpolation")
    first_RZ, last_RZ = (generator.draw_latent(num_rows, random) for _ in range(2))
    share_C1 = torch.linspace(0, 1, num_columns)[:, None]
    angle_C1 = share_C1 * torch.pi / 2
    weights = (angle_C1.cos(), angle_C1.sin()) if generator.is_normal else (1 - share_C1, share_C1)
    rows = []
    for row in range(num_rows):
        latent_CZ = weights[0] * first_RZ[row] + weights[1] * last_RZ[row]
        for latent_Z in latent_CZ:
            rows.append(generator.images(latent_Z[None], torch_generator(seed, "interpolation draws", row)))
    return torch.cat(rows)


def as_picture(images_NCHW: Tensor, num_columns: int = GRID_COLUMNS) -> Picture:
    """A sheet of images in colour.

    Args:
        images_NCHW: [N, C, H, W] in [0, 1].
        num_columns: images in a row.

    Returns:
        [height, width, 3] uint8.
    """
    scale = max(1, round(_PIXELS_WIDE / images_NCHW.shape[3]))
    sheet_CHW = image_grid(images_NCHW, num_columns, scale)
    picture_HWC: Any = sheet_CHW.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    return np.asarray(picture_HWC, dtype=np.uint8)
