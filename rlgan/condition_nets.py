"""Nets that steer the chains of a finished run: trained apart, on labels of their own, and plugged in afterwards.

The run's generator has never seen such a net and does not change. This is plain torch: no Ray, no files.
"""

# N and B images, C channels, H height, W width, L labels or captions, T words of a caption with its end

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlgan.captions import CaptionWords
from rlgan.errors import DataError, NonFiniteError
from rlgan.image_types import ImageSource, LabelledImageSpace
from rlgan.models.captioner import Captioner, CaptionerConfig
from rlgan.models.code_nets import DenseClassifier
from rlgan.models.image_classifier import ImageClassifier, ImageClassifierConfig
from rlgan.objectives.captioning import caption_log_probability
from rlgan.seeding import torch_generator

_ROWS = 250
_MOST_CAPTIONED = 200
_REPORTS = 10


class ConditionNetConfig(BaseModel):
    """What kind of net, its sizes, and how it learns."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["convolutional", "dense", "captioner"] = Field(
        "convolutional",
        description="A classifier of two convolutions, one of linear layers, or a CNN with an LSTM that reads labels "
        "as captions.",
    )
    convolutional: ImageClassifierConfig = ImageClassifierConfig()
    dense_hidden: tuple[int, ...] = Field((128,), min_length=1, description="Hidden widths of a dense classifier.")
    captioner: CaptionerConfig = CaptionerConfig()
    steps: int = Field(1500, ge=1, description="Adam steps (as many as the recipe's encoder has).")
    batch_size: int = Field(64, ge=1, description="Images of a step.")
    lr: float = Field(1e-3, gt=0, description="First Adam step size; it falls to 0 along a cosine.")
    noise: float = Field(
        0.3, ge=0, description="Largest sd of noise on an image it learns from; it makes its gradients smooth."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of its initial values, its noise and its order of images.")


@dataclass(frozen=True)
class ConditionNet:
    """A net that knows what chains are to show.

    Example:
        `train_condition_net(source, ConditionNetConfig())` of MNIST: `label_names` "0" to "9", `net(images)` its logits

    Attributes:
        config: how it was made.
        space: of its images, with the number of its labels.
        label_names: in order; the captions of a captioner.
        net: a classifier, [N, C, H, W] -> [N, L] logits, or a `Captioner`; in evaluation mode.
        accuracy: share of held-out images whose own label is the likeliest; None where none is held out.
    """

    config: ConditionNetConfig
    space: LabelledImageSpace
    label_names: tuple[str, ...]
    net: nn.Module
    accuracy: float | None = None

    @property
    def is_captioner(self) -> bool:
        """Whether it is asked for captions, not for labels."""
        return self.config.kind == "captioner"

    @torch.no_grad()
    def log_probabilities(self, image_NCHW: Tensor) -> Tensor:
        """Of every label or caption.

        Args:
            image_NCHW: [N, C, H, W] float in [0, 1].

        Returns:
            [N, L] nats.
        """
        if not self.is_captioner:
            logits_NL: Tensor = self.net(image_NCHW)
            return logits_NL.log_softmax(dim=1)
        return caption_log_probabilities(self.net, CaptionWords(self.label_names), image_NCHW)


@torch.no_grad()
def caption_log_probabilities(captioner: nn.Module, words: CaptionWords, image_NCHW: Tensor) -> Tensor:
    """Of every caption that there is.

    Args:
        captioner: see `Captioner`.
        words: with the L captions.
        image_NCHW: [N, C, H, W] float in [0, 1].

    Returns:
        [N, L] nats.
    """
    columns = []
    for word_T in words.table():
        word_NT = word_T.expand(len(image_NCHW), -1)
        columns.append(caption_log_probability(captioner(image_NCHW, word_NT), word_NT))
    return torch.stack(columns, dim=1)


def build_condition_net(config: ConditionNetConfig, space: LabelledImageSpace, init: torch.Generator) -> nn.Module:
    """An untrained net.

    Args:
        config: its kind and sizes.
        space: of its images, with the number of labels, and of words where it is a captioner.
        init: source of the initial values.

    Returns:
        The net, in training mode.
    """
    if config.kind == "captioner":
        return Captioner(space, space.num_words, config.captioner, init)
    if config.kind == "dense":
        return DenseClassifier(space, space.num_labels, config.dense_hidden, init)
    return ImageClassifier(*space.shape, space.num_labels, config.convolutional, init)


def train_condition_net(
    source: ImageSource, config: ConditionNetConfig, report: Callable[[int, float], None] | None = None
) -> ConditionNet:
    """Fit a net to labelled images.

    Args:
        source: images with at least two labels.
        config: what to fit, and how.
        report: told the number of steps done and the mean loss since last time (nats), ten times.

    Returns:
        The net; its accuracy is of the source's held-out images.

    Raises:
        DataError: if there are no labels.
        NonFiniteError: if the loss is not finite.
    """
    label_N, names = source.train_label_N, tuple(source.label_names)
    if label_N is None or len(names) < 2:
        raise DataError(
            f"{source.name}: a condition needs images with at least 2 labels. Give --labels, or a folder each."
        )
    words = CaptionWords(names)
    num_words = words.num_words if config.kind == "captioner" else 0
    space = LabelledImageSpace(**asdict(source.space) | {"num_labels": len(names), "num_words": num_words})
    net = build_condition_net(config, space, torch_generator(config.seed, "condition net"))
    optimizer = torch.optim.Adam(net.parameters(), config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    table_LT, every, losses = words.table(), -(-config.steps // _REPORTS), list[Tensor]()
    for step in range(1, config.steps + 1):
        random = torch_generator(config.seed, "condition net step", step)
        row_B = torch.randint(len(label_N), (config.batch_size,), generator=random)
        noisy_BCHW = _noisy(space.to_unit(source.train_NCHW[row_B]), config.noise, random)
        loss = _loss(net, noisy_BCHW, label_N[row_B], table_LT if num_words else None)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        if step % every == 0 or step == config.steps:
            mean = float(torch.stack(losses).mean())
            if not math.isfinite(mean):
                raise NonFiniteError(f"the loss of the condition net is {mean} at step {step}. Lower --lr.")
            if report is not None:
                report(step, mean)
            losses.clear()
    trained = ConditionNet(config, space, names, net.eval().requires_grad_(False))
    return replace(trained, accuracy=_accuracy(trained, source))


def _noisy(unit_BCHW: Tensor, largest_sd: float, random: torch.Generator) -> Tensor:
    """Noise of a size that differs from image to image, as the run's own classifiers learn with."""
    spread_B = largest_sd * torch.rand(len(unit_BCHW), 1, 1, 1, generator=random)
    return unit_BCHW + spread_B * torch.randn(unit_BCHW.shape, generator=random)


def _loss(net: nn.Module, image_BCHW: Tensor, label_B: Tensor, table_LT: Tensor | None) -> Tensor:
    """-log p of every image's label, or of its caption by teacher forcing; mean over B, nats."""
    if table_LT is None:
        return F.cross_entropy(net(image_BCHW), label_B)
    word_BT = table_LT[label_B]
    return -caption_log_probability(net(image_BCHW, word_BT), word_BT).mean()


def _accuracy(trained: ConditionNet, source: ImageSource) -> float | None:
    """Share of held-out images whose label is the likeliest; of 200 at most for a captioner, which is asked L times."""
    label_N = source.held_out_label_N
    if label_N is None or not len(label_N):
        return None
    most = _MOST_CAPTIONED if trained.is_captioner else len(label_N)
    unit_NCHW = source.space.to_unit(source.held_out_NCHW[:most])
    chosen_N = torch.cat([trained.log_probabilities(rows).argmax(dim=1) for rows in unit_NCHW.split(_ROWS)])
    return float((chosen_N == label_N[:most]).float().mean())
