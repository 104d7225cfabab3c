"""Captions: words, likelihood by hand, the captioner, its condition, and the scenes that it is trained on."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rlgan.captions import CaptionWords
from rlgan.chain_requests import CaptionRequest
from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_source import load_image_source
from rlgan.data.scenes import compose_scenes, scene_names
from rlgan.errors import DataError
from rlgan.image_types import ImageSpace
from rlgan.models.captioner import Captioner, CaptionerConfig
from rlgan.objectives.captioning import caption_log_probability

WORDS = CaptionWords(["a two left of a one", "an eight"])


def test_words_are_numbered_in_order_and_end_with_0() -> None:
    assert WORDS.words == ("a", "an", "eight", "left", "of", "one", "two") and WORDS.num_words == 8
    assert WORDS.encode("an eight") == (2, 3, 0, 0, 0, 0, 0)
    assert WORDS.table().tolist() == [[1, 7, 4, 5, 1, 6, 0], [2, 3, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("caption", "message"), [("a cat", "'cat' is not known"), (" ", "1 to 6 words; got 0"), ("a " * 7, "got 7")]
)
def test_captions_that_cannot_be_written_are_refused(caption: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WORDS.encode(caption)


# Odds of the words 0, 1, 2 at the three positions: (1, 2, 1), (3, 1, 4), (1, 1, 6); both rows the same.
LOGITS = torch.tensor([[[1.0, 2, 1], [3, 1, 4], [1, 1, 6]]], dtype=torch.float64).log().expand(2, 3, 3)


def test_likelihood_by_hand() -> None:
    """1, 2 and the end: 2/4, 4/8, 1/8. 1 and the end: 2/4, 3/8, and what comes after the end does not count."""
    words = torch.tensor([[1, 2, 0], [1, 0, 0]])
    assert caption_log_probability(LOGITS, words).tolist() == pytest.approx([math.log(1 / 32), math.log(3 / 16)])


def test_gradient_stops_at_the_end() -> None:
    logits = LOGITS.clone().requires_grad_()
    words = torch.tensor([[1, 2, 0], [1, 0, 0]])
    caption_log_probability(logits, words).sum().backward()
    assert logits.grad is not None and logits.grad[1, 2].tolist() == [0, 0, 0]
    assert logits.grad[1, 1].tolist() == pytest.approx([1 - 3 / 8, -1 / 8, -4 / 8])
    assert torch.autograd.gradcheck(lambda x: caption_log_probability(x, words), logits)


@pytest.mark.parametrize(
    ("words", "message"),
    [([[1, 2, 0]], "a word for each"), ([[1, 3, 0]] * 2, r"in \[0, 3\)"), ([[1, 2, 1], [0, 0, 0]], "must end with 0")],
)
def test_wrong_captions_are_refused(words: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        caption_log_probability(LOGITS, torch.tensor(words))


def tiny_captioner(seed: int = 0) -> Captioner:
    sizes = CaptionerConfig(channels=2, features=6, embedding_size=3, hidden_size=5)
    return Captioner(ImageSpace(1, 8, 8, 256), 4, sizes, torch.Generator().manual_seed(seed))


def test_a_position_sees_the_words_before_it_and_the_image() -> None:
    net, image = tiny_captioner(), torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    one, other = torch.tensor([[1, 2, 3, 0]]), torch.tensor([[1, 3, 3, 0]])
    same = (net(image, one) == net(image, other)).all(dim=2)[0].tolist()
    assert same == [True, True, False, False]
    assert not torch.equal(net(image, one)[:, 0], net(1 - image, one)[:, 0])


def test_initial_values_are_those_of_the_generator_of_random_numbers() -> None:
    words, image = torch.tensor([[1, 0]]), torch.rand(1, 1, 8, 8)
    assert torch.equal(tiny_captioner()(image, words), tiny_captioner()(image, words))
    assert not torch.equal(tiny_captioner()(image, words), tiny_captioner(1)(image, words))


def test_a_captioner_learns_what_it_is_told_and_steers() -> None:
    """Two kinds of image and two captions of different lengths; then the gradient tells them apart."""
    net, random = tiny_captioner(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    captions = torch.tensor([[1, 2, 0, 0], [3, 1, 2, 0]])

    def images(kind_N: Tensor) -> Tensor:
        side = (torch.arange(8) >= 4).float()
        bright = torch.where(kind_N[:, None, None, None] == 1, side, 1 - side).expand(-1, 1, 8, 8)
        return bright + 0.1 * torch.randn(bright.shape, generator=random)

    for _ in range(400):
        kind_N = torch.randint(2, (16,), generator=random)
        loss = -caption_log_probability(net(images(kind_N), captions[kind_N]), captions[kind_N]).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert float(loss.detach()) < 0.05
    request = CaptionRequest(((1, 2, 0, 0), (3, 1, 2, 0)))
    image = torch.full((3, 1, 8, 8), 0.5, requires_grad=True)
    log_probability_N = request.build({"captioner": net}, [4, 5, 6]).log_probability(image)
    plugged = CaptionRequest(request.captions, captioner=net.eval())
    assert (request.needs, plugged.needs) == (("captioner",), ())
    assert torch.equal(plugged.build({}, [4, 5, 6]).log_probability(image), log_probability_N)
    (gradient,) = torch.autograd.grad(log_probability_N.sum(), image)
    right_minus_left_N = gradient[..., 4:].sum(dim=(1, 2, 3)) - gradient[..., :4].sum(dim=(1, 2, 3))
    assert right_minus_left_N[0] < 0 < right_minus_left_N[1] and right_minus_left_N[2] < 0, "captions in turn"


def test_scene_names() -> None:
    names = scene_names(("3", "8", "cat"))
    assert len(names) == 18 and names[1] == "a three left of an eight" and names[9 + 6] == "a cat above a three"


def test_scenes_show_what_their_label_says() -> None:
    """Image of label l is l + 1 everywhere: the first is left of or above the second, and they fill their half."""
    images = torch.arange(1, 4, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    scenes, labels = compose_scenes(images, torch.arange(3), 3, 300, np.random.default_rng(0))
    assert scenes.shape == (300, 1, 16, 16) and scenes.dtype == torch.uint8
    names = scene_names(("0", "1", "2"))
    assert "a one left of a two" in names, "one begins with a vowel's letter, not with its sound"
    places = set()
    for scene, label in zip(scenes[:, 0], labels.tolist(), strict=True):
        words = names[label].split()
        upright = scene if "left" in words else scene.T
        first, second = upright[:, :8], upright[:, 8:]
        numerals = [("zero", "one", "two").index(word) + 1 for word in words if word in ("zero", "one", "two")]
        assert [int(first.max()), int(second.max())] == numerals
        assert (first > 0).sum() == (second > 0).sum() == 64
        rows = [int((half > 0).any(dim=1).nonzero()[0]) for half in (first, second)]
        assert abs(rows[0] - rows[1]) <= 1, "an eighth of the size"
        places.add(rows[0])
    assert places == set(range(9)) and len(set(labels.tolist())) == 18


def test_scenes_of_digits_are_split_as_their_digits_are_and_repeat_by_seed() -> None:
    config = ImageCorpusConfig(max_images=50, scenes=200, held_out_fraction=0.3)
    one, same = load_image_source(config), load_image_source(config)
    assert one.fingerprint() == same.fingerprint() and one.space.shape == (1, 16, 16)
    assert (len(one.train_NCHW), len(one.held_out_NCHW)) == (140, 60) and len(one.label_names) == 200
    digits = load_image_source(ImageCorpusConfig(max_images=50, held_out_fraction=0.3))
    known = {image.numpy().tobytes() for image in digits.train_NCHW}
    for scenes, is_known in ((one.train_NCHW, True), (one.held_out_NCHW, False)):
        patches = (scene[:, top : top + 8, :8] for scene in scenes for top in range(9))
        assert any(patch.numpy().tobytes() in known for patch in patches) == is_known


def test_scenes_need_labels(tmp_path) -> None:  # type: ignore[no-untyped-def]
    np.savez(tmp_path / "a.npz", images=np.zeros((9, 8, 8), dtype=np.uint8))
    with pytest.raises(DataError, match="scenes need labelled images"):
        load_image_source(ImageCorpusConfig(data=tmp_path / "a.npz", scenes=10))
