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

SIZES = (1, 2, 16, 16, 1, 1, 3, 255, 256, 600, 5)  # of groups; a run of the core has 256 rows


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

    def native(self, features_NF: Tensor, *rows_and_groups: Tensor) -> Tensor:
        return self.packed().logits(features_NF, *rows_and_groups)

    def packed(self) -> text_cnn.HighwayOutput:
        return text_cnn.HighwayOutput(*self.maps, (self.output_F, 0.25))

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
    logit_K = layers.native(features_NF, row_K, group_N[row_K], group_N[row_K] // 4)
    assert torch.allclose(logit_K.double(), layers.exact(features_NF)[row_K], rtol=1e-5, atol=1e-5)
    assert torch.allclose(layers.native(features_NF).double(), layers.exact(features_NF), rtol=1e-5, atol=1e-5)


def test_groups_are_used() -> None:
    """Seen by rounding: rows that are multiplied as differences from a base have other last bits."""
    layers, (features_NF, group_N) = Layers(200), groups_of_rows(200, 0.3)
    in_groups_N = layers.native(features_NF, torch.arange(len(group_N)), group_N)
    differs_N = in_groups_N != layers.native(features_NF)
    has_group_N = group_N.bincount()[group_N] > 1
    assert float(differs_N[has_group_N].float().mean()) > 0.3 and not bool(differs_N[~has_group_N].any())


def test_no_rows() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert Layers(5).native(torch.zeros(3, 5), none, none).shape == Layers(5).native(torch.zeros(0, 5)).shape == (0,)


def test_any_number_of_threads_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    layers, (features_NF, group_N) = Layers(70), groups_of_rows(70, 0.5)
    results = []
    for threads in (1, 2, 3, 7, 64):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        results.append(layers.native(features_NF, torch.arange(len(group_N)), group_N, group_N // 4))
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
    for run_N in (group_N, torch.zeros_like(group_N)):  # in the second all groups build on the one before
        logit_N = layers.native(features_NF, torch.arange(len(group_N)), group_N, run_N)
        assert torch.equal(logit_N.isnan(), group_N == 2)


def test_a_row_that_is_not_there_is_refused() -> None:
    for row in (-1, 3):
        with pytest.raises(IndexError, match=r"rows must be in \[0, 3\)"):
            Layers(5).native(torch.zeros(3, 5), torch.tensor([0, row]), torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("map_number", [0, 1])
def test_a_weight_that_is_not_finite_is_seen_beside_a_feature_of_zero(bad: float, map_number: int) -> None:
    layers, (features_NF, group_N) = Layers(70), groups_of_rows(70, 0.3)
    features_NF[:, 69] = 0.0
    layers.maps[map_number][0][3, 69] = bad
    assert bool(layers.native(features_NF, torch.arange(len(group_N)), group_N).isnan().all())


def test_weights_packed_for_another_instruction_set_are_refused(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = Layers(70).packed()
    for other in ("0", "portable" if kernels != "portable" else "0"):
        monkeypatch.setenv("RLGAN_NATIVE", other)
        with pytest.raises(RuntimeError, match=f"packed for {kernels}, and (None|portable) is in use"):
            packed.logits(torch.zeros(3, 70))


def repetitive_completions(batch: int = 8, rollouts: int = 16) -> tuple[Tensor, Tensor]:
    """[B, 6] ids of three, two sequences alike, and [5, R, B, 6] completions, of which many are equal."""
    random = torch.Generator().manual_seed(0)
    tokens_BT = torch.randint(3, (batch, 6), generator=random)
    tokens_BT[4] = tokens_BT[1]
    completed_PRBT = torch.randint(3, (5, rollouts, batch, 6), generator=random)
    for p in range(5):
        completed_PRBT[p, :, :, : p + 1] = tokens_BT[:, : p + 1]
    return tokens_BT, completed_PRBT


def small_net(**changes: object) -> TextCNN:
    config = TextCNNConfig(embedding_size=7, windows=(1, 2, 5), filters=(6, 19, 13), **changes)  # type: ignore[arg-type]
    return TextCNN(TokenSpace(3, 6), config, torch.Generator().manual_seed(0)).eval()


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("highway", [True, False])
def test_equal_completions_of_a_sequence_are_evaluated_once(
    pooling: str, highway: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All get the logit of their own tokens."""
    net, (tokens_BT, completed_PRBT) = small_net(pooling=pooling, highway=highway), repetitive_completions()
    rows, real = [], text_cnn.HighwayOutput.logits

    def logits(self: text_cnn.HighwayOutput, features_NF: Tensor, *given: Tensor) -> Tensor:
        row_K, group_K, run_K = given
        rows.extend(zip(row_K.tolist(), group_K.tolist(), strict=True))
        assert torch.equal(run_K, row_K % 8), "the sequence"
        return real(self, features_NF, *given)

    monkeypatch.setattr(text_cnn.HighwayOutput, "logits", logits)
    logit_PRB, logit_B = net.completion_logits(tokens_BT, completed_PRBT)
    if highway:
        of_sequence = [{tuple(one) for one in [*completed_PRBT[:, :, b].flatten(0, 1).tolist()]} for b in range(8)]
        assert len(rows) == sum(len(texts | {tuple(tokens_BT[b].tolist())}) for b, texts in enumerate(of_sequence))
        places = {row: (row // 128, row % 8) for row, _ in rows}  # prefix and sequence
        assert len({group for _, group in rows}) == len({(group, places[row]) for row, group in rows})
    monkeypatch.setenv("RLGAN_NATIVE", "0")
    exact = net.double()
    assert torch.allclose(logit_B.double(), exact(tokens_BT), rtol=1e-5, atol=1e-5)
    expected_N = exact(completed_PRBT.reshape(-1, 6))
    assert torch.allclose(logit_PRB.double().flatten(), expected_N, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rollouts", [16, 300])
def test_a_logit_does_not_depend_on_the_other_sequences(rollouts: int) -> None:
    """Bit for bit: a batch may be split into shards and parts in any way."""
    net, (tokens_BT, completed_PRBT) = small_net(), repetitive_completions(rollouts=rollouts)
    logit_PRB, logit_B = net.completion_logits(tokens_BT, completed_PRBT)
    alone = [net.completion_logits(tokens_BT[b : b + 1], completed_PRBT[:, :, b : b + 1]) for b in range(8)]
    assert torch.equal(logit_PRB, torch.cat([of_completions for of_completions, _ in alone], dim=2))
    assert torch.equal(logit_B, torch.cat([of_sequence for _, of_sequence in alone]))
