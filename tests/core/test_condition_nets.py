"""Nets that are plugged into a finished run: what they learn, that they steer, that they repeat, what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rlgan.captions import CaptionWords
from rlgan.chain_requests import CaptionRequest, LabelRequest
from rlgan.condition_nets import ConditionNetConfig, train_condition_net
from rlgan.data.image_source import ImageFileSource
from rlgan.errors import DataError, NonFiniteError
from rlgan.image_types import ImageSpace

NAMES = ("bright above", "bright left")
SMALL: dict[str, Any] = {
    "convolutional": {"channels": 2, "num_features": 8},
    "dense_hidden": (8,),
    "captioner": {"channels": 2, "features": 8, "embedding_size": 4, "hidden_size": 8},
    "batch_size": 16,
    "steps": 150,
    "lr": 0.02,
}


def halves(num_train: int = 80, num_held_out: int = 20) -> ImageFileSource:
    """Images of 8x8 whose upper or left half is bright, with some noise."""
    random, num_images = torch.Generator().manual_seed(0), num_train + num_held_out
    label_N = torch.arange(num_images) % 2
    bright = torch.zeros(2, 1, 8, 8)
    bright[0, :, :4], bright[1, :, :, :4] = 160.0, 160.0
    level_NCHW = (bright[label_N] + 60 * torch.rand(num_images, 1, 8, 8, generator=random)).to(torch.uint8)
    images, labels = ((values[:num_train], values[num_train:]) for values in (level_NCHW, label_N))
    return ImageFileSource(ImageSpace(1, 8, 8), images, labels, NAMES, "halves")


def gradient_of(log_probability_N: Tensor, image: Tensor) -> tuple[float, float]:
    """What the upper right and the lower left of an image are to gain."""
    (gradient,) = torch.autograd.grad(log_probability_N.sum(), image)
    return float(gradient[..., :4, 4:].sum()), float(gradient[..., 4:, :4].sum())


@pytest.mark.parametrize("kind", ["convolutional", "dense", "captioner"])
def test_each_kind_learns_labels_of_its_own_and_steers_to_them(kind: str) -> None:
    said: list[tuple[int, float]] = []
    config = ConditionNetConfig(kind=kind, **SMALL)  # type: ignore[arg-type]
    trained = train_condition_net(halves(), config, lambda step, loss: said.append((step, loss)))
    assert trained.accuracy == 1.0 and trained.label_names == NAMES and not trained.net.training
    assert [step for step, _ in said] == list(range(15, 151, 15)) and said[-1][1] < 0.3 * said[0][1]
    log_p_NL = trained.log_probabilities(halves().space.to_unit(halves().held_out_NCHW))
    assert torch.equal(log_p_NL.argmax(dim=1), halves().held_out_label_N)
    image = torch.full((1, 1, 8, 8), 0.3, requires_grad=True)

    def request(label: int) -> Any:
        if kind == "captioner":
            return CaptionRequest((CaptionWords(NAMES).encode(NAMES[label]),), trained.net)
        return LabelRequest((label,), trained.net)

    above, left = (gradient_of(request(label).build({}, [0]).log_probability(image), image) for label in (0, 1))
    assert above[0] > 0 > above[1] and left[0] < 0 < left[1], (above, left)


def test_log_probabilities_are_those_of_every_label_or_caption() -> None:
    """By hand: a classifier's add up to 1; a captioner's are of whole captions, its end included."""
    source = halves()
    image_NCHW = source.space.to_unit(source.held_out_NCHW[:3])
    dense = train_condition_net(source, ConditionNetConfig(kind="dense", **SMALL | {"steps": 2}))
    assert dense.log_probabilities(image_NCHW).exp().sum(dim=1).tolist() == pytest.approx([1.0] * 3)
    reader = train_condition_net(source, ConditionNetConfig(kind="captioner", **SMALL | {"steps": 2}))
    word_T = CaptionWords(NAMES).table()[1]
    logits_NTW = reader.net(image_NCHW, word_T.expand(3, -1))
    by_hand_N = logits_NTW.log_softmax(dim=2)[:, range(len(word_T)), word_T].sum(dim=1)
    assert torch.allclose(reader.log_probabilities(image_NCHW)[:, 1], by_hand_N, atol=1e-5)


def test_same_seed_same_net() -> None:
    config = ConditionNetConfig(**SMALL | {"steps": 3})
    one, again, other = (
        train_condition_net(halves(), config.model_copy(update={"seed": seed})).net.state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_what_cannot_be_learned_is_refused() -> None:
    config = ConditionNetConfig(**SMALL | {"steps": 20})
    source = halves()
    source.train_label_N = None
    with pytest.raises(DataError, match="halves: a condition needs images with at least 2 labels"):
        train_condition_net(source, config)
    with pytest.raises(NonFiniteError, match="Lower --lr"):
        train_condition_net(halves(), config.model_copy(update={"lr": 1e30}))
    assert train_condition_net(halves(num_held_out=0), config).accuracy is None
