"""A judge of images: a classifier trained on the real ones, apart from any generator, whose features compare samples.

It replaces the Inception network of published figures, which is neither small nor made for digits. So its Frechet
distances compare runs that share a judge and a data set, and nothing else: the distance of held-out real images is the
floor, that of noise the ceiling, and both belong beside every figure.
"""

# N images, C channels, H height, W width, F features, L labels

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from rlgan.errors import DataError
from rlgan.image_types import ImageSource
from rlgan.metrics.frechet import FeatureMoments
from rlgan.metrics.images import total_variation
from rlgan.models.image_classifier import ImageClassifier, ImageClassifierConfig
from rlgan.seeding import torch_generator

_BATCH = 64
_FORWARD_ROWS = 500


@dataclass(frozen=True)
class Judge:
    """A trained classifier and what it sees in the training images.

    Example:
        `judge = train_judge(source, seed=0)`, then `judge.figures(sample_NCHW)`.

    Attributes:
        net: the classifier.
        accuracy: share of held-out images that it labels rightly; NaN where none is held out.
        real: moments of the features of the training images.
        real_share_L: shares of the labels among the training images, as the judge labels them.
    """

    net: ImageClassifier
    accuracy: float
    real: FeatureMoments
    real_share_L: Tensor

    def frechet_distance(self, unit_NCHW: Tensor) -> float:
        """Distance of a sample to the training images.

        Args:
            unit_NCHW: [N, C, H, W] float in [0, 1].

        Returns:
            See `FeatureMoments.frechet_distance`.
        """
        return FeatureMoments.of(_features(self.net, unit_NCHW)).frechet_distance(self.real)

    def figures(self, unit_NCHW: Tensor) -> dict[str, float]:
        """All that the judge has to say about a sample.

        Args:
            unit_NCHW: [N, C, H, W] float in [0, 1].

        Returns:
            fid; judge_confidence: mean probability of its first choice; class_balance: total variation between the
            labels of the sample and of the training images, 0 best.
        """
        features_NF = _features(self.net, unit_NCHW)
        probability_NL = self.net.output(features_NF).softmax(dim=1)
        return {
            "fid": FeatureMoments.of(features_NF).frechet_distance(self.real),
            "judge_confidence": float(probability_NL.amax(dim=1).mean()),
            "class_balance": total_variation(_shares(probability_NL), self.real_share_L),
        }

    @torch.no_grad()
    def labels(self, unit_NCHW: Tensor) -> Tensor:
        """The label of every image.

        Args:
            unit_NCHW: [N, C, H, W] float in [0, 1].

        Returns:
            [N] int64.
        """
        logits_NL: Tensor = self.net.output(_features(self.net, unit_NCHW))
        return logits_NL.argmax(dim=1)


def train_judge(source: ImageSource, seed: int = 0, num_steps: int = 800, lr: float = 1e-3) -> Judge:
    """Fit a judge to the training images of a source; seconds on a CPU.

    Args:
        source: images with labels.
        seed: of the initial values and the order of the images.
        num_steps: Adam steps of 64 images.
        lr: step size of Adam, falling to 0 along a cosine.

    Returns:
        The judge.

    Raises:
        DataError: if the images have no labels, or are too small for two poolings.
    """
    if source.train_label_N is None:
        raise DataError(f"{source.name}: a judge needs labelled images. Give --labels, or a folder for each label.")
    channels, height, width = source.space.shape
    if min(height, width) < 4:
        raise DataError(f"{source.name}: a judge needs images of at least 4x4 pixels; got {height}x{width}.")
    random = torch_generator(seed, "judge")
    net = ImageClassifier(channels, height, width, len(source.label_names), ImageClassifierConfig(), random)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        rows_B = torch.randint(len(source.train_NCHW), (_BATCH,), generator=random)
        logits_BL = net(source.space.to_unit(source.train_NCHW[rows_B]))
        optimizer.zero_grad()
        F.cross_entropy(logits_BL, source.train_label_N[rows_B]).backward()
        optimizer.step()
        schedule.step()
    net.eval().requires_grad_(False)
    features_NF = _features(net, source.space.to_unit(source.train_NCHW))
    real_share_L = _shares(net.output(features_NF).softmax(dim=1))
    return Judge(net, _accuracy(net, source), FeatureMoments.of(features_NF), real_share_L)


def _accuracy(net: ImageClassifier, source: ImageSource) -> float:
    """Share of held-out images labelled rightly."""
    if source.held_out_label_N is None or not len(source.held_out_NCHW):
        return float("nan")
    logits_NL = net.output(_features(net, source.space.to_unit(source.held_out_NCHW)))
    return float((logits_NL.argmax(dim=1) == source.held_out_label_N).float().mean())


def _features(net: ImageClassifier, unit_NCHW: Tensor) -> Tensor:
    """[N, F] features, some images at a time."""
    with torch.no_grad():
        return torch.cat([net.features(rows) for rows in unit_NCHW.split(_FORWARD_ROWS)])


def _shares(probability_NL: Tensor) -> Tensor:
    """[L] share of every label among first choices."""
    num_labels = probability_NL.shape[1]
    return torch.bincount(probability_NL.argmax(dim=1), minlength=num_labels).float() / len(probability_NL)
