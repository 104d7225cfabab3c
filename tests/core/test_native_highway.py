"""The highway layer of the native core for rows that have most features in common, against double precision."""

# N rows, K rows in question, F features

from itertools import chain, repeat

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rlgan.models import TextCNN, TextCNNConfig
from rlgan.native import text_cnn
from rlgan.native.library import INSTRUCTION_SETS
from rlgan.types import TokenSpace
from tests.native_core import use_path

SIZES = (1, 2, 16, 16, 1, 1, 3, 255, 256, 600, 5)  # of groups; a chunk of the core has 256 rows


@pytest.fixture(params=INSTRUCTION_SETS, autouse=True)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One instruction set, where the machine has it."""
    return use_path(request.param, monkeypatch)


class Layers:
    """Weights of two maps and an output."""

    def __init__(self, width: int) -> None:
        random = torch.Generator().manual_seed(0)
        weight_2FF = (torch.rand(2, width, width, generator=random) - 0.5) * 3 / width**0.5
        self.maps = [(weight_FF, torch.rand(width, generator=random) - 0.5) for weight_FF in weight_2FF]
        self.output_F = torch.randn(width, generator=random)

    def native(self, features_NF: Tensor, *rows: Tensor) -> Tensor:
        return text_cnn.HighwayOutput(*self.maps, (self.output_F, 0.25)).logits(features_NF, rows or None)

    def exact(self, features_NF: Tensor) -> Tensor:
        x_NF = features_NF.double()
        gate_NF, transform_NF = (F.linear(x_NF, weight.double(), bias.double()) for weight, bias in self.maps)
        y_NF = x_NF + torch.sigmoid(gate_NF) * (F.relu(transform_NF) - x_NF)
        return y_NF @ self.output_F.double() + 0.25


def groups_of_rows(width: int, share: float) -> tuple[Tensor, Tensor]:
    """[N, F] features, negative ones too, of which a share differs within a group, and the group of each row."""
    random = torch.Generator().manual_seed(1)
    group_N = torch.tensor(list(chain.from_iterable(repeat(g, size) for g, size in enumerate(SIZES))))
    common_NF = torch.randn(len(SIZES), width, generator=random)[group_N]
    own_NF = torch.randn(len(group_N), width, generator=random)
    return torch.where(torch.rand(own_NF.shape, generator=random) < share, own_NF, common_NF), group_N


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("width", [1, 5, 48, 70, 200])
def test_rows_of_groups(width: int, share: float) -> None:
    layers, (features_NF, group_N) = Layers(width), groups_of_rows(width, share)
    row_K = torch.arange(len(group_N))[group_N != 3]
    row_K = torch.cat([row_K.flip(0), row_K[:1]])  # in another order, not all, one twice
    logit_K = layers.native(features_NF, row_K, group_N[row_K])
    assert torch.allclose(logit_K.double(), layers.exact(features_NF)[row_K], rtol=1e-5, atol=1e-5)
    assert torch.allclose(layers.native(features_NF).double(), layers.exact(features_NF), rtol=1e-5, atol=1e-5)


def test_no_rows() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert Layers(5).native(torch.zeros(3, 5), none, none).shape == Layers(5).native(torch.zeros(0, 5)).shape == (0,)


def test_any_number_of_threads_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, (features_NF, group_N) = Layers(70), groups_of_rows(70, 0.5)
    results = []
    for threads in (1, 2, 3, 7):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(layers.native(features_NF, torch.arange(len(group_N)), group_N))
    assert all(torch.equal(results[0], other) for other in results[1:])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [0, 1, 15])
def test_what_is_not_finite_stays_in_its_row(bad: float, place: int) -> None:
    """Also where the bad feature is that of the row which a base begins with."""
    layers, (features_NF, group_N) = Layers(70), groups_of_rows(70, 0.3)
    row_N = torch.arange(len(group_N))
    sound_N = layers.native(features_NF, row_N, group_N)
    of_group_N = (group_N == 2).nonzero().flatten()
    features_NF[of_group_N[place], 33] = bad
    logit_N = layers.native(features_NF, row_N, group_N)
    assert not bool(logit_N[of_group_N[place]].isfinite())
    others_N = row_N != of_group_N[place]
    assert torch.allclose(logit_N[others_N], sound_N[others_N], rtol=1e-5, atol=1e-5)


def test_what_no_row_of_a_group_has_finite_is_in_all() -> None:
    layers, (features_NF, group_N) = Layers(70), groups_of_rows(70, 0.3)
    features_NF[group_N == 2, 33] = torch.nan
    logit_N = layers.native(features_NF, torch.arange(len(group_N)), group_N)
    assert torch.equal(logit_N.isnan(), group_N == 2)


def test_a_row_that_is_not_there_is_refused() -> None:
    for row in (-1, 3):
        with pytest.raises(IndexError, match=r"rows must be in \[0, 3\)"):
            Layers(5).native(torch.zeros(3, 5), torch.tensor([0, row]), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("highway", [True, False])
def test_completions_that_are_equal_are_evaluated_once(
    pooling: str, highway: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some within a prefix, some of other prefixes and sequences: all get the logit of their own tokens."""
    random = torch.Generator().manual_seed(0)
    config = TextCNNConfig(embedding_size=7, windows=(1, 2, 5), filters=(6, 19, 13), pooling=pooling, highway=highway)
    net = TextCNN(TokenSpace(3, 6), config, random).eval()
    tokens_BT = torch.randint(3, (8, 6), generator=random)
    tokens_BT[4] = tokens_BT[1]
    completed_PRBT = torch.randint(3, (5, 16, 8, 6), generator=random)
    for p in range(5):
        completed_PRBT[p, :, :, : p + 1] = tokens_BT[:, : p + 1]
    logit_PRB, logit_B = net.completion_logits(tokens_BT, completed_PRBT)
    monkeypatch.setenv("RLGAN_NATIVE", "0")
    exact = net.double()
    assert torch.allclose(logit_B.double(), exact(tokens_BT), rtol=1e-5, atol=1e-5)
    expected_N = exact(completed_PRBT.reshape(-1, 6))
    assert torch.allclose(logit_PRB.double().flatten(), expected_N, rtol=1e-5, atol=1e-5)
