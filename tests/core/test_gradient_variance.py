"""The variance of MaskGAN's policy gradient by baseline: against estimates made one by one, and a case by hand."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rlgan.baselines import CriticBaseline, LeaveOneOutBaseline, MovingAverageBaseline, NoBaseline
from rlgan.discriminators.infilling import InfillingDiscriminator, InfillingDiscriminatorConfig
from rlgan.fills import fill_blanks
from rlgan.gradient_variance import baseline_variances
from rlgan.models.infilling import InfillingGenerator
from rlgan.models.seq2seq import Seq2SeqConfig
from rlgan.types import TokenSpace

SPACE = TokenSpace(5, 3, start_id=0)
RANDOM = torch.Generator().manual_seed(0)
GENERATOR = InfillingGenerator(SPACE, Seq2SeqConfig(size=4, init_limit=1.0), RANDOM)
JUDGE = InfillingDiscriminator(SPACE, InfillingDiscriminatorConfig(size=4, init_limit=1.0), RANDOM)
BLANK_BT = torch.tensor([[False, True, True]]).repeat(6, 1)


def batches(count: int, seed: int = 1) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Texts of two words each, of which two positions are blank; pairs of rows are fills of one text."""
    random = torch.Generator().manual_seed(seed)
    for _ in range(count):
        real_BT = torch.randint(5, (3, 3), generator=random).repeat_interleave(2, dim=0)
        yield real_BT, BLANK_BT, torch.rand(6, 3, generator=random)


def gradient_by_hand(batch: tuple[Tensor, Tensor, Tensor], use_critic: bool) -> Tensor:
    """The gradient of -1/12 sum of (R_t - b_t) log G, token by token, discount 0.5."""
    tokens_BT = fill_blanks(GENERATOR, *batch)
    reward_BT, value_BT = JUDGE.judge(tokens_BT, batch[1])
    log_prob_BT = GENERATOR.log_prob_and_entropy(tokens_BT, batch[1])[0]
    objective = torch.zeros(())
    for row in range(6):
        returns = {1: reward_BT[row, 1] + 0.5 * reward_BT[row, 2], 2: reward_BT[row, 2]}
        for t, total in returns.items():
            baseline = value_BT[row, t] if use_critic else 0.0
            objective = objective - (total - baseline) * log_prob_BT[row, t] / 12
    return torch.cat([part.flatten() for part in torch.autograd.grad(objective, list(GENERATOR.parameters()))])


@pytest.mark.parametrize("use_critic", [True, False])
def test_variance_and_signal_are_those_of_gradients_made_one_by_one(use_critic: bool) -> None:
    gradient_GP = torch.stack([gradient_by_hand(batch, use_critic) for batch in batches(5)]).double()
    baseline = {"b": CriticBaseline() if use_critic else NoBaseline()}
    found = baseline_variances(GENERATOR, JUDGE, batches(5), baseline, 0.5)["b"]
    variance = float(gradient_GP.var(dim=0).sum())
    assert found.num_batches == 5 and found.variance == pytest.approx(variance, rel=1e-4)
    assert found.signal == pytest.approx(float(gradient_GP.mean(dim=0).square().sum()) - variance / 5, rel=1e-3)


def test_all_baselines_share_fills_and_have_one_mean_gradient() -> None:
    """Over many batches the mean gradients agree within their noise, and a good baseline has less of it than none."""
    average = MovingAverageBaseline(3, 0.9)
    baseline_variances(GENERATOR, JUDGE, batches(20, seed=2), {"warm-up": average}, 0.9)
    kinds = {"average": average, "others": LeaveOneOutBaseline(2), "none": NoBaseline()}
    found = baseline_variances(GENERATOR, JUDGE, batches(150), kinds, 0.9)
    for name in ("average", "others"):
        noise = found["none"].variance / 150
        assert abs(found[name].signal - found["none"].signal) < 4 * (noise * max(found["none"].signal, noise)) ** 0.5
        assert found[name].variance < 0.8 * found["none"].variance
    assert found["none"].explained_variance == 0.0


def test_a_generator_without_gradients_is_refused() -> None:
    frozen = InfillingGenerator(SPACE, Seq2SeqConfig(size=4), RANDOM).requires_grad_(False)
    with pytest.raises(ValueError, match="ask for a gradient"):
        baseline_variances(frozen, JUDGE, batches(2), {"none": NoBaseline()}, 0.9)
