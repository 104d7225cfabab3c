"""Figures of a sample of images beside real ones: variety, copies, class balance."""

# N and M images, D pixels of all channels, L labels

from dataclasses import dataclass

import torch
from torch import Tensor

_ROWS = 512


def mean_pairwise_distance(image_ND: Tensor) -> float:
    """Mean Euclidean distance between two different images of a sample: a generator forced to one image has 0.

    Args:
        image_ND: [N, ...] float; the other axes are flattened.

    Returns:
        A distance, in brightness (pixels in [0, 1]).

    Raises:
        ValueError: if there are fewer than two images.
    """
    num_images = len(image_ND)
    if num_images < 2:
        raise ValueError(f"a distance between images needs two of them; got {num_images}.")
    flat_ND = image_ND.flatten(1).double()
    total = sum(float(torch.cdist(rows_RD, flat_ND).sum()) for rows_RD in flat_ND.split(_ROWS))
    return total / (num_images * (num_images - 1))


def within_label_distance(image_ND: Tensor, label_N: Tensor) -> float:
    """Mean over the labels of the mean pairwise distance inside one label: variety that a condition leaves.

    Args:
        image_ND: [N, ...] float.
        label_N: [N] int64; labels with fewer than two images do not count.

    Returns:
        A distance, in brightness.

    Raises:
        ValueError: if no label has two images.
    """
    groups = [image_ND[label_N == label] for label in label_N.unique()]
    distances = [mean_pairwise_distance(group) for group in groups if len(group) > 1]
    if not distances:
        raise ValueError(f"no label has two images among {len(image_ND)}.")
    return sum(distances) / len(distances)


def nearest_distances(image_ND: Tensor, reference_MD: Tensor) -> Tensor:
    """Distance of every image to the nearest of a set: from samples to the training images, a test for copies.

    Samples that are nearer to the training images than held-out images are have been copied.

    Args:
        image_ND: [N, ...] float.
        reference_MD: [M, ...] float.

    Returns:
        [N] Euclidean distances.
    """
    reference_MD = reference_MD.flatten(1).float()
    return torch.cat(
        [torch.cdist(rows_RD, reference_MD).amin(dim=1) for rows_RD in image_ND.flatten(1).float().split(_ROWS)]
    )


def total_variation(share_L: Tensor, reference_L: Tensor) -> float:
    """Half the sum of absolute differences between two distributions over labels: 0 equal, 1 disjoint.

    Args:
        share_L: [L] shares that add up to 1.
        reference_L: the same of what it is compared with.

    Returns:
        A number in [0, 1].
    """
    return float(0.5 * (share_L - reference_L).abs().sum())


@dataclass(frozen=True)
class Spread:
    """How varied a sample is, beside real images, and whether it has collapsed.

    Example:
        `Spread(samples=0.4, real=10.2).has_collapsed` is True.

    Attributes:
        samples: mean pairwise distance of the sample.
        real: the same of as many real images.
    """

    samples: float
    real: float

    ALARM_BELOW = 0.25
    """Share of the real distance below which a sample counts as collapsed."""

    @property
    def ratio(self) -> float:
        """Distance of the sample divided by that of real images."""
        return self.samples / self.real if self.real > 0 else float(self.samples > 0)

    @property
    def has_collapsed(self) -> bool:
        """Whether the generator makes little else than one image."""
        return self.ratio < self.ALARM_BELOW
