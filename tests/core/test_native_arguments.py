"""What the wrappers of the native core are given: wrong sizes and types are refused, int32 ids are taken like int64."""

# N rows, B sequences, T positions, P prefixes, R rollouts

from collections.abc import Callable

import pytest
import torch

from rlgan.models import RecurrentConfig, RecurrentGenerator, TextCNN, TextCNNConfig
from rlgan.native import native_library, softmax_layer, text_cnn, text_cnn_training
from rlgan.native.lstm import lstm_step
from rlgan.sampling import sample_linear
from rlgan.types import TokenSpace
from tests.native_core import require_core

SPACE = TokenSpace(50, 9)
Sizes = tuple[int, ...]


def floats(*shape: int) -> torch.Tensor:
    return torch.zeros(shape)


def ids(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.int64)


def sample(hidden: Sizes = (4, 3), weight: Sizes = (5, 3), bias: Sizes = (5,), uniform: Sizes = (4, 1)) -> object:
    return softmax_layer.sample(*map(torch.zeros, (hidden, weight, bias, uniform)), 1.0)


def gradients(grad_log_prob: Sizes = (4,), grad_entropy: Sizes | None = None) -> object:
    of_entropy = None if grad_entropy is None else floats(*grad_entropy)
    rows = ids(4), floats(4), floats(4), floats(*grad_log_prob), of_entropy
    return softmax_layer.gradients(floats(4, 3), floats(5, 3), floats(5), *rows)


def step(num_ids: int = 2, cell: Sizes = (2, 4), weight: Sizes = (16, 3), bias: Sizes = (16,)) -> object:
    return lstm_step(ids(num_ids), *map(torch.zeros, ((2, 4), cell, (5, 3), weight, (16, 4), bias)))


FILTERS = [(floats(6, 7), floats(6)), (floats(8, 21), floats(8))]
MAPS = [(floats(14, 14), floats(14)), (floats(14, 14), floats(14)), (floats(1, 14), 0.0)]
WRONG_CALLS: dict[str, tuple[str, Callable[[], object]]] = {
    "uniforms of other rows": ("uniform_NK", lambda: sample(uniform=(2, 1))),
    "another hidden width": ("weight_VH", lambda: sample(weight=(5, 4))),
    "a short weight": ("weight_VH", lambda: sample(weight=(4, 3))),
    "a bias of two axes": ("bias_V", lambda: sample(bias=(5, 1))),
    "float64": (
        "weight_VH",
        lambda: softmax_layer.sample(floats(4, 3), floats(5, 3).double(), floats(5), floats(4, 1), 1.0),
    ),
    "too few tokens": (
        "token_N",
        lambda: softmax_layer.log_prob_and_entropy(floats(4, 3), floats(5, 3), floats(5), ids(3)),
    ),
    "tokens that are floats": (
        "token_N",
        lambda: softmax_layer.log_prob_and_entropy(floats(4, 3), floats(5, 3), floats(5), floats(4)),
    ),
    "too few gradients": ("grad_log_prob_N", lambda: gradients(grad_log_prob=(3,))),
    "too few gradients of the entropy": ("grad_entropy_N", lambda: gradients(grad_entropy=(3,))),
    "a cell of other rows": ("cell_NH", lambda: step(cell=(1, 4))),
    "too few ids": ("token_N", lambda: step(num_ids=1)),
    "three gates": ("weight_GE", lambda: step(weight=(12, 3))),
    "a short bias": ("bias_G", lambda: step(bias=(12,))),
    "a window longer than the text": (
        "window 1",
        lambda: text_cnn.features(floats(9, 7), FILTERS, ids(2, 2), None, False),
    ),
    "a filter of half a token": (
        "weight of window 0",
        lambda: text_cnn.features(floats(9, 7), [(floats(6, 10), floats(6))], ids(2, 2), None, False),
    ),
    "too few prefixes": (
        "completed_PRBT",
        lambda: text_cnn.features(floats(9, 7), FILTERS, ids(2, 4), ids(2, 1, 2, 4), False),
    ),
    "features of another width": ("features_NF", lambda: text_cnn.HighwayOutput(*MAPS).logits(floats(3, 13))),
    "maps of other widths": (
        "weight of the transform",
        lambda: text_cnn.HighwayOutput(MAPS[0], (floats(14, 13), floats(14)), MAPS[2]),
    ),
    "a short output": ("weight of the output", lambda: text_cnn.HighwayOutput(*MAPS[:2], (floats(1, 13), 0.0))),
    "fewer groups than rows": (
        "group_K",
        lambda: text_cnn.HighwayOutput(*MAPS).logits(floats(3, 14), ids(3), ids(2)),
    ),
    "no feature": (
        "at least one feature",
        lambda: text_cnn.HighwayOutput((floats(0, 0), floats(0)), (floats(0, 0), floats(0)), (floats(1, 0), 0.0)),
    ),
    "a trained window longer than the text": (
        "window 1",
        lambda: text_cnn_training.max_features(ids(2, 2), floats(9, 7), FILTERS),
    ),
    "a trained bias of other filters": (
        "weight of window 0",
        lambda: text_cnn_training.max_features(ids(2, 2), floats(9, 7), [(floats(6, 7), floats(7))]),
    ),
    "too few filters": (
        "filters of a window",
        lambda: text_cnn_training.max_features(ids(2, 2), floats(9, 7), [(floats(2, 7), floats(2))]),
    ),
    "features that are not filled up": ("x_FS", lambda: text_cnn_training.highway(floats(14, 3), 3, *MAPS[:2])),
    "maps of other features": (
        "weight of the gate",
        lambda: text_cnn_training.highway(floats(13, int(native_library().rlgan_width())), 3, *MAPS[:2]),
    ),
}


@pytest.mark.parametrize("call", WRONG_CALLS)
def test_a_size_or_type_that_the_core_would_trust_is_refused(call: str) -> None:
    require_core()
    name, wrong = WRONG_CALLS[call]
    with pytest.raises(ValueError, match=name):
        wrong()


def with_gradients(output: torch.Tensor, net: torch.nn.Module) -> list[torch.Tensor]:
    """An output and what its sum gives the parameters."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    return [output, *torch.autograd.grad(output.sum(), parameters)]


@pytest.mark.usefixtures("both_paths")
def test_a_text_cnn_takes_int32_ids() -> None:
    random = torch.Generator().manual_seed(0)
    net = TextCNN(SPACE, TextCNNConfig(embedding_size=7, windows=(1, 3), filters=(6, 19), dropout=0.0), random).eval()
    tokens_BT = torch.randint(50, (4, 9), generator=random)
    completed_PRBT = tokens_BT.expand(8, 2, 4, 9)
    results = []
    for dtype in (torch.int64, torch.int32):
        given_BT = SPACE.check(tokens_BT.to(dtype))
        with torch.no_grad():
            scored = [net(given_BT), *net.completion_logits(given_BT, completed_PRBT.to(dtype))]
        results.append(scored + with_gradients(net(given_BT), net))
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.usefixtures("both_paths")
def test_a_generator_takes_int32_ids() -> None:
    random = torch.Generator().manual_seed(0)
    net = RecurrentGenerator(SPACE, RecurrentConfig(init_std=1.0), random)
    tokens_BT = torch.randint(50, (4, 9), generator=random)
    results = []
    for dtype in (torch.int64, torch.int32):
        given_BT = SPACE.check(tokens_BT.to(dtype))
        with torch.no_grad():
            state = net.advance(given_BT[:, 0], net.initial_state(4))
        results.append([*state, *with_gradients(net.log_prob(given_BT), net)])
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


@pytest.mark.usefixtures("both_paths")
@pytest.mark.parametrize(
    "sizes",
    [((4, 3), (5, 3), (5,), (2, 1)), ((4, 3), (5, 4), (5,), (4, 1)), ((4, 3), (5, 3), (1,), (4, 1))],
    ids=["rows", "width", "bias"],
)
def test_a_linear_layer_whose_sizes_differ_is_refused(sizes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="must agree"):
        sample_linear(*map(torch.zeros, sizes))
