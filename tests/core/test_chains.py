"""Chains on densities that are known: moments within error bars, acceptance, the bias of unchecked Langevin, seeds."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from rlgan.chains import Chain, ChainRecord, start_states
from rlgan.conditions import ContextCondition, LabelCondition, UnitCondition
from rlgan.objectives.plug_and_play import denoising_score
from rlgan.priors import BlurPrior, DensityPrior, EncodedPrior, GaussianPrior, ReconstructionPrior, ScorePrior
from rlgan.step_rules import (
    AdjustedLangevinRule,
    LangevinRule,
    PlugAndPlayRule,
    RandomWalkRule,
    ReleasedRule,
    StochasticGradientRule,
)
from rlgan.types import Condition

NUM_CHAINS = 2000
COVARIANCE = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
CENTRES = torch.tensor([[-1.5, 0.0], [1.5, 1.0]])
SHARES = torch.tensor([0.3, 0.7])
CENTRE_VARIANCE = 0.5


def identity_image(state_ND: Tensor) -> Tensor:
    return state_ND[:, None, None, :]


def run(prior: Any, rule: Any, num_steps: int, condition: Condition | None = None, dims: int = 2) -> ChainRecord:
    numbers = range(NUM_CHAINS)
    start = 2.0 * start_states([dims], numbers, 0)
    return Chain(identity_image, prior, condition, rule).run(start, numbers, num_steps, 1, [num_steps])


def correlated_log_density(x_ND: Tensor) -> Tensor:
    return -0.5 * ((x_ND @ torch.linalg.inv(COVARIANCE)) * x_ND).sum(dim=1)


def mixture_log_density(x_ND: Tensor) -> Tensor:
    squares_NK = (x_ND[:, None] - CENTRES).square().sum(dim=2)
    return (SHARES.log() - 0.5 * squares_NK / CENTRE_VARIANCE).logsumexp(dim=1)


def assert_moments(state_ND: Tensor, mean_D: Tensor, covariance_DD: Tensor) -> None:
    """Within four standard errors of the exact moments; those of the covariance are estimated from the sample."""
    root = len(state_ND) ** 0.5
    error_D = (state_ND.mean(dim=0) - mean_D).abs()
    assert bool((error_D < 4 * covariance_DD.diagonal().sqrt() / root).all()), error_D
    centred_ND = state_ND - mean_D
    products_NDD = centred_ND[:, :, None] * centred_ND[:, None, :]
    errors_DD = (products_NDD.mean(dim=0) - covariance_DD).abs()
    assert bool((errors_DD < 4 * products_NDD.std(dim=0) / root).all()), errors_DD


@pytest.mark.parametrize(
    ("rule", "low", "high"), [(RandomWalkRule(1.0), 0.2, 0.7), (AdjustedLangevinRule(0.4), 0.4, 0.95)]
)
def test_exact_samplers_reach_a_correlated_gaussian(rule: Any, low: float, high: float) -> None:
    record = run(DensityPrior(correlated_log_density), rule, 150)
    assert_moments(record.state_N, torch.zeros(2), COVARIANCE)
    assert low < float(record.acceptance_N.mean()) < high


@pytest.mark.parametrize(
    ("rule", "low", "high"), [(RandomWalkRule(1.5), 0.15, 0.6), (AdjustedLangevinRule(0.8), 0.4, 0.95)]
)
def test_exact_samplers_reach_a_mixture(rule: Any, low: float, high: float) -> None:
    """mean = sum pi m;  covariance = 0.5 I + sum pi (m - mean)(m - mean)'."""
    record = run(DensityPrior(mixture_log_density), rule, 300)
    mean = SHARES @ CENTRES
    away = CENTRES - mean
    assert_moments(record.state_N, mean, CENTRE_VARIANCE * torch.eye(2) + (SHARES[:, None] * away).T @ away)
    assert low < float(record.acceptance_N.mean()) < high


def test_langevin_has_its_known_bias_which_shrinks_with_the_step() -> None:
    """N(0, 1): v = (1 - eps/2)^2 v + eps gives v = 1 / (1 - eps/4): 4/3 for eps 1, 1.0256 for eps 0.1."""
    standard_error = math.sqrt(2 / (NUM_CHAINS * 4))
    spread = {}
    for step_size, num_steps in [(1.0, 60), (0.1, 150)]:
        record = run(GaussianPrior(), LangevinRule(step_size), num_steps, dims=4)
        spread[step_size] = float(record.state_N.var())
        expected = 1 / (1 - step_size / 4)
        assert abs(spread[step_size] / expected - 1) < 4 * standard_error
        assert record.acceptance_N.tolist() == [1.0] * NUM_CHAINS
    assert spread[1.0] > 1.2, "the bias of a large step must show"
    exact = run(GaussianPrior(), AdjustedLangevinRule(1.0), 60, dims=4)
    assert abs(float(exact.state_N.var()) - 1) < 4 * standard_error


def test_stochastic_gradient_langevin_reaches_a_posterior_with_noisy_scores() -> None:
    """N(0, 1) with noise of sd 0.5 on every score: decaying steps end near variance 1, a large fixed step does not."""

    class NoisyPrior(GaussianPrior):
        def __init__(self) -> None:
            self.random = torch.Generator().manual_seed(3)

        def direction(self, state_N: Tensor, image_NCHW: Tensor) -> Tensor:
            noise = torch.randn(state_N.shape, generator=self.random)
            return super().direction(state_N, image_NCHW) + 0.5 * noise

    decayed = run(NoisyPrior(), StochasticGradientRule(first=1.0, delay=10.0, power=0.9), 400, dims=4)
    fixed = run(NoisyPrior(), LangevinRule(1.0), 60, dims=4)
    # fixed: v = v/4 + 1 + eps^2/4 * 0.25 -> (1.0625) / 0.75
    assert float(fixed.state_N.var()) == pytest.approx(1.0625 / 0.75, rel=0.05)
    assert float(decayed.state_N.var()) == pytest.approx(1.0, abs=0.06)


def test_a_denoising_autoencoder_learns_the_score() -> None:
    """Data N(0, 4) in one dimension, sigma 0.5: (R(x) - x) / sigma^2 is near -x / 4.25 where the data is."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(1500):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 1500)
        data = 2.0 * torch.randn(512, 1)
        (net(data + 0.5 * torch.randn(512, 1)) - data).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    x = torch.linspace(-4, 4, 41)[:, None]
    with torch.no_grad():
        score = denoising_score(net(x), x, 0.5)
    assert float((score + x / 4.25).abs().max()) < 0.15


def test_place_joins_prior_and_condition_by_hand() -> None:
    """G(h) = 2 h; two labels with logits (s, 0) for the brightness s: d log p(0)/dh = 2 (1 - p)."""

    def logits(image_NCHW: Tensor) -> Tensor:
        total_N = image_NCHW.flatten(1).sum(dim=1)
        return torch.stack([total_N, torch.zeros_like(total_N)], dim=1)

    chain = Chain(
        lambda h: 2.0 * identity_image(h),
        GaussianPrior(),
        LabelCondition(logits, torch.tensor([0, 1])),
        PlugAndPlayRule(0, 1, 0),
    )
    place = chain.place(torch.tensor([[0.5], [0.5]]))
    share = 1 / (1 + math.exp(-1.0))
    assert place.image_NCHW.flatten().tolist() == [1.0, 1.0]
    assert place.prior_N.flatten().tolist() == [-0.5, -0.5]
    assert place.gradient_N.flatten().tolist() == pytest.approx([2 * (1 - share), -2 * share])
    assert place.log_condition_N.tolist() == pytest.approx([math.log(share), math.log(1 - share)])
    assert place.log_density_N.tolist() == pytest.approx([math.log(share) - 0.125, math.log(1 - share) - 0.125])


def test_a_condition_shifts_an_exact_chain_to_the_posterior() -> None:
    """Prior N(0, 1), "condition" log N(2 | x, 1): the posterior is N(1, 1/2)."""

    class Observed:
        def log_probability(self, image_NCHW: Tensor) -> Tensor:
            return -0.5 * (image_NCHW - 2.0).square().flatten(1).sum(dim=1)

    record = run(GaussianPrior(), AdjustedLangevinRule(0.5), 60, Observed(), dims=2)
    assert_moments(record.state_N, torch.ones(2), 0.5 * torch.eye(2))


def test_a_known_pixel_moves_the_other_to_its_conditional_law() -> None:
    """One pixel seen as 1.5 with noise of sd 0.5: exact posterior of the other, by regression on the first."""
    condition = ContextCondition(torch.tensor([[[1.5, 0.0]]]), torch.tensor([[True, False]]), context_sd=0.5)
    record = run(DensityPrior(correlated_log_density), AdjustedLangevinRule(0.15), 400, condition)
    gain = COVARIANCE[:, :1] / (1.0 + 0.25)
    assert_moments(record.state_N, 1.5 * gain[:, 0], COVARIANCE - gain @ COVARIANCE[:1])


def test_a_condition_on_the_filled_picture_sees_the_real_context_and_moves_the_hole_alone() -> None:
    seen: list[Tensor] = []

    class Brightness:
        def log_probability(self, image_NCHW: Tensor) -> Tensor:
            seen.append(image_NCHW.detach())
            return 3.0 * image_NCHW.flatten(1).sum(dim=1)

    known, is_known = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[True, False]])
    condition = ContextCondition(known, is_known, 1.0, Brightness())
    place = Chain(identity_image, None, condition, PlugAndPlayRule(0.0, 1.0, 0.0)).place(torch.tensor([[0.4, 0.3]]))
    assert seen[0].flatten().tolist() == pytest.approx([1.0, 0.3])
    assert place.log_condition_N.tolist() == pytest.approx([3 * 1.3 - 0.18])
    assert place.gradient_N[0].tolist() == pytest.approx([0.6, 3.0])


def test_unit_condition_is_a_softmax_over_channels_at_one_place() -> None:
    activation = torch.zeros(1, 2, 3, 3)
    activation[0, 1, 2, 0] = math.log(3.0)
    image = torch.zeros(1, 1, 3, 3)
    unit = UnitCondition(lambda _: activation, torch.tensor([1]), row=2, column=0)
    assert float(unit.log_probability(image)) == pytest.approx(math.log(0.75))


def test_reconstruction_priors_by_hand() -> None:
    state, image = torch.tensor([[1.0, 2.0]]), torch.tensor([[[[4.0, 6.0]]]])
    assert ReconstructionPrior(lambda h: 3.0 * h).direction(state, image).tolist() == [[2.0, 4.0]]
    assert EncodedPrior(lambda x: x.flatten(1)).direction(state, image).tolist() == [[3.0, 4.0]]
    scored = ScorePrior(lambda h: 3.0 * h, noise_sd=0.5)
    assert scored.direction(state, image).tolist() == [[8.0, 16.0]]
    for prior in (ReconstructionPrior(torch.relu), EncodedPrior(torch.relu), BlurPrior(1.0), scored):
        assert bool(prior.log_density(state).isnan().all())


def test_blur_prior_by_hand() -> None:
    """Sd 1/2, window of two pixels (3 sd, rounded): weights 1, e^-2, e^-8 to each side over their sum."""
    point = torch.zeros(1, 1, 5, 5)
    point[0, 0, 2, 2] = 1.0
    direction = BlurPrior(0.5).direction(point, point)[0, 0]
    total = 1 + 2 * math.exp(-2.0) + 2 * math.exp(-8.0)
    middle, side = 1 / total, math.exp(-2.0) / total
    assert direction[2, 2].item() == pytest.approx(middle**2 - 1)
    assert direction[2, 3].item() == direction[1, 2].item() == pytest.approx(middle * side)
    assert direction[1, 1].item() == pytest.approx(side**2)
    assert float(direction.sum()) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match=r"states that are images, \[N, C, H, W\]; got \[2, 3\]"):
        BlurPrior(1.0).direction(torch.zeros(2, 3), point)


def roughness(image_NCHW: Tensor) -> float:
    """Mean square of the differences between neighbours."""
    return float(image_NCHW.diff(dim=3).square().mean() + image_NCHW.diff(dim=2).square().mean())


def test_activation_maximisation_with_a_hand_designed_prior_is_smoother_and_still_finds_the_class() -> None:
    """A classifier that looks at one row of every label, on pixels of 8x8: without r(x) - x the image is noise."""

    def logits(image_NCHW: Tensor) -> Tensor:
        return 4.0 * image_NCHW[:, 0].mean(dim=2)

    label_N, start = torch.tensor([1, 5, 6]), start_states([1, 8, 8], range(3), 0)
    found, rough = [], []
    for eps1 in (0.0, 0.3):
        condition = LabelCondition(logits, label_N)
        chain = Chain(lambda x: x, BlurPrior(0.8), condition, PlugAndPlayRule(eps1, 1.0, 0.0))
        image = chain.run(start, range(3), 60, 0, [60]).image_TNCHW[-1]
        found.append(logits(image).argmax(dim=1).tolist())
        rough.append(roughness(image))
    assert found == [label_N.tolist()] * 2
    assert rough[1] < 0.2 * rough[0] and rough[0] > 0.8 * roughness(start), rough


def test_activation_maximisation_of_a_code_with_the_blur_of_its_image_is_refused() -> None:
    chain = Chain(lambda h: h[:, None, None], BlurPrior(1.0), None, PlugAndPlayRule(0.1, 1.0, 0.0))
    with pytest.raises(ValueError, match="For a code use GaussianPrior"):
        chain.run(torch.zeros(2, 3), [0, 1], 2, 0, [2])


@pytest.mark.parametrize("rule", [RandomWalkRule(1.0), AdjustedLangevinRule(0.4)])
@pytest.mark.parametrize(
    "prior", [ReconstructionPrior(torch.relu), EncodedPrior(torch.relu), ScorePrior(torch.relu, 1.0)]
)
def test_a_rule_that_rejects_needs_a_density(rule: Any, prior: Any) -> None:
    """Else its acceptance is NaN and the chain would never move."""
    with pytest.raises(ValueError, match=f"{type(rule).__name__} needs the density of the prior, and "):
        run(prior, rule, 2)


@pytest.mark.parametrize("rule", [LangevinRule(0.1), StochasticGradientRule(first=1.0, delay=10.0, power=0.9)])
@pytest.mark.parametrize("prior", [ReconstructionPrior(torch.relu), EncodedPrior(torch.relu), BlurPrior(1.0)])
def test_langevin_does_not_take_a_direction_for_a_score(rule: Any, prior: Any) -> None:
    with pytest.raises(ValueError, match=r"knows its direction only. Use ScorePrior\(reconstruct, noise_sd\)"):
        run(prior, rule, 2)


def test_langevin_with_a_denoiser_reaches_the_data_with_noise() -> None:
    """Data N(0, 1), sigma 0.5: R(x) = x / 1.25 has the score -x / 1.25, and Langevin's bias is 1 / (1 - eps / 5)."""
    standard_error, size = math.sqrt(2 / (NUM_CHAINS * 4)), 0.2
    record = run(ScorePrior(lambda x: x / 1.25, noise_sd=0.5), LangevinRule(size), 150, dims=4)
    assert abs(float(record.state_N.var()) / (1.25 / (1 - size / 5)) - 1) < 4 * standard_error


def test_noise_is_there_until_the_quiet_steps() -> None:
    rule = PlugAndPlayRule(0.0, 0.0, 0.5, quiet_from=3)
    record = Chain(identity_image, None, None, rule).run(torch.zeros(1, 2), [0], 5, 0, range(6))
    moved = record.image_TNCHW.diff(dim=0).abs().flatten(1).sum(dim=1) > 0
    assert moved.tolist() == [True, True, True, False, False]
    always = Chain(identity_image, None, None, PlugAndPlayRule(0.0, 0.0, 0.5)).run(torch.zeros(1, 2), [0], 5, 0, [4, 5])
    assert not torch.equal(*always.image_TNCHW)


@pytest.mark.parametrize(("start", "bound"), [(0.02, 0.0), (29.98, 30.0)])
def test_released_rule_stays_in_bounds_whoever_pushes(start: float, bound: float) -> None:
    """A condition that pulls out of the bounds, a prior and noise; the second number is pushed the other way."""

    class Outwards:
        def log_probability(self, image_NCHW: Tensor) -> Tensor:
            sign = 1.0 if bound else -1.0
            return sign * 50.0 * (image_NCHW[..., 0] - image_NCHW[..., 1]).flatten(1).sum(dim=1)

    rule = ReleasedRule(0.01, 1.0, 0.1, step_size=0.5)
    chain = Chain(identity_image, GaussianPrior(), Outwards(), rule)
    record = chain.run(torch.full((2, 2), start), [0, 1], 3, 0, range(4))
    assert float(record.image_TNCHW.min()) >= 0.0 and float(record.image_TNCHW.max()) <= 30.0
    assert record.state_N[:, 0].tolist() == [bound] * 2, "exactly at the bound"
    assert bool(((record.state_N[:, 1] - start).abs() > 1).all())


def test_released_rule_moves_by_its_step_size() -> None:
    record = Chain(identity_image, GaussianPrior(), None, ReleasedRule(1.0, 1.0, 0.0, step_size=0.5)).run(
        torch.tensor([[4.0, 2.0]]), [0], 1, 0, [0, 1]
    )
    # d = (-4, -2), mean |d| 3: moves by -4/3 * 0.5 and -2/3 * 0.5
    assert record.state_N[0].tolist() == pytest.approx([4 - 2 / 3, 2 - 1 / 3])
    assert record.image_TNCHW.shape == (2, 1, 1, 1, 2)


def test_a_chain_depends_on_its_number_alone() -> None:
    """Run apart or together, in any order: the same states."""
    chain = Chain(identity_image, GaussianPrior(), None, AdjustedLangevinRule(0.7))
    together = chain.run(start_states([3], range(5), 9), range(5), 130, 9, [0, 130])
    parts = [chain.run(start_states([3], numbers, 9), numbers, 130, 9, [0, 130]) for numbers in ([0, 1], [2, 3, 4])]
    joined = ChainRecord.join(parts)
    for name, value in vars(together).items():
        assert torch.allclose(value, getattr(joined, name)), name
    other = chain.run(start_states([3], range(5), 8), range(5), 130, 8, [130])
    assert not torch.allclose(other.state_N, together.state_N)
    assert len(set(together.state_N[:, 0].tolist())) == 5


def test_wrong_numbers_are_refused() -> None:
    chain = Chain(identity_image, GaussianPrior(), None, LangevinRule(0.1))
    start = torch.zeros(2, 1)
    with pytest.raises(ValueError, match="number"):
        chain.run(start, [0], 5, 0, [5])
    for record_at in ([6], [-1], []):
        with pytest.raises(ValueError, match="record_at"):
            chain.run(start, [0, 1], 5, 0, record_at)
