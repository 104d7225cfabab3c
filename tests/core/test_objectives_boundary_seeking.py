"""The losses of boundary-seeking GANs against exact gradients, by enumeration of all images of three or four bits."""

# N latent codes, M draws, X all images, D bits

import itertools
import math

import pytest
import torch

from rlgan.objectives import boundary_seeking as bs

BITS_XD = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
DATA_X = torch.tensor([0.30, 0.05, 0.20, 0.01, 0.14, 0.10, 0.15, 0.05], dtype=torch.float64)


def log_prob(logits_D: torch.Tensor, image_D: torch.Tensor) -> torch.Tensor:
    """Log of a product of Bernoulli probabilities, for any leading axes of the images."""
    return (image_D * logits_D - torch.nn.functional.softplus(logits_D)).sum(-1)


@pytest.fixture(name="logits_D")
def bernoulli_logits() -> torch.Tensor:
    return torch.tensor([0.4, -0.7, 0.2], dtype=torch.float64, requires_grad=True)


def single_partition(log_prob_NM: torch.Tensor, score_NM: torch.Tensor, control_variate: bool = True) -> torch.Tensor:
    """The plain estimator with the partition function of the batch itself."""
    return bs.single_partition_loss(log_prob_NM, score_NM, bs.log_partition(score_NM), control_variate)


LOSSES = {"importance_weighted_loss": bs.importance_weighted_loss, "single_partition_loss": single_partition}


def exact_gradient(logits_D: torch.Tensor, score_X: torch.Tensor) -> torch.Tensor:
    """- E_g[(w / alpha) grad log g] by enumeration."""
    log_g_X = log_prob(logits_D, BITS_XD)
    target_X = torch.softmax(log_g_X.detach() + score_X, dim=0)
    return torch.autograd.grad(-(target_X * log_g_X).sum(), logits_D)[0]


def draws(logits_D: torch.Tensor, num_rows: int, num_draws: int, seed: int = 0) -> torch.Tensor:
    """[N, M] indices of images drawn from g."""
    probability_X = log_prob(logits_D.detach(), BITS_XD).exp().expand(num_rows, 8)
    return torch.multinomial(probability_X, num_draws, replacement=True, generator=torch.Generator().manual_seed(seed))


def mean_gradient(logits_D, score_X, num_draws: int, loss: str, **options) -> torch.Tensor:
    """The gradient of a Monte-Carlo loss over so many rows that only its bias is left."""
    index_NM = draws(logits_D, 400_000 // num_draws, num_draws)
    log_prob_NM, score_NM = log_prob(logits_D, BITS_XD[index_NM]), score_X[index_NM]
    return torch.autograd.grad(LOSSES[loss](log_prob_NM, score_NM, **options), logits_D)[0]


def test_weights_by_hand_and_unchanged_by_a_constant() -> None:
    score_NM = torch.tensor([[0.0, math.log(3.0)], [1.0, 1.0]])
    weight_NM = bs.normalised_weights(score_NM)
    assert torch.allclose(weight_NM, torch.tensor([[0.25, 0.75], [0.5, 0.5]]))
    assert torch.allclose(bs.normalised_weights(score_NM + 123.0), weight_NM)
    assert torch.isfinite(bs.normalised_weights(torch.tensor([[1e4, -1e4]]))).all()


def test_effective_sample_size() -> None:
    assert torch.allclose(
        bs.effective_sample_size(bs.normalised_weights(torch.full((2, 7), 3.0))), torch.full((2,), 7.0)
    )
    assert torch.allclose(bs.effective_sample_size(torch.tensor([[0.25, 0.75]])), torch.tensor([1 / 0.625]))
    assert torch.allclose(bs.effective_sample_size(torch.tensor([[1.0, 0.0]])), torch.ones(1))


def test_importance_weighted_loss_by_hand() -> None:
    log_prob_NM = torch.tensor([[-1.0, -2.0], [-3.0, -5.0]])
    score_NM = torch.tensor([[0.0, math.log(3.0)], [2.0, 2.0]])
    expected = -((0.25 * -1 + 0.75 * -2) + (0.5 * -3 + 0.5 * -5)) / 2
    assert math.isclose(float(bs.importance_weighted_loss(log_prob_NM, score_NM, False)), expected, rel_tol=1e-6)
    shifted = expected + ((0.5 * -1 + 0.5 * -2) + (0.5 * -3 + 0.5 * -5)) / 2
    assert math.isclose(float(bs.importance_weighted_loss(log_prob_NM, score_NM)), shifted, rel_tol=1e-6)


@pytest.mark.parametrize("loss", ["importance_weighted_loss", "single_partition_loss"])
def test_the_control_variate_changes_no_expectation_and_lowers_the_variance(logits_D: torch.Tensor, loss: str) -> None:
    """All triples of draws enumerated with their probabilities."""
    score_X = torch.tensor([1.2, -0.5, 0.3, -1.0, 0.8, 0.0, -0.2, 0.6], dtype=torch.float64)
    log_g_X = log_prob(logits_D, BITS_XD)
    index_TM = torch.tensor(list(itertools.product(range(8), repeat=3)))
    probability_T = log_g_X.detach().exp()[index_TM].prod(dim=1)
    jacobian_XD = torch.stack([torch.autograd.grad(g, logits_D, retain_graph=True)[0] for g in log_g_X])
    mean, variance = {}, {}
    for control_variate in (False, True):
        rows = []
        for index_M in index_TM:
            log_prob_NM = log_g_X.detach()[index_M][None].requires_grad_(True)
            value = LOSSES[loss](log_prob_NM, score_X[index_M][None], control_variate)
            rows.append(torch.autograd.grad(value, log_prob_NM)[0][0] @ jacobian_XD[index_M])
        gradient_TD = torch.stack(rows)
        mean[control_variate] = probability_T @ gradient_TD
        variance[control_variate] = float(probability_T @ (gradient_TD - mean[control_variate]).square().sum(1))
    assert torch.allclose(mean[True], mean[False], atol=1e-12)
    assert variance[True] < 0.5 * variance[False], variance


def test_equal_scores_give_no_gradient_with_the_control_variate() -> None:
    log_prob_NM = torch.randn(2, 4, requires_grad=True)
    bs.importance_weighted_loss(log_prob_NM, torch.full((2, 4), 7.0)).backward()
    assert torch.equal(log_prob_NM.grad, torch.zeros(2, 4))


def test_importance_weighted_gradient_tends_to_the_exact_one_as_draws_grow(logits_D: torch.Tensor) -> None:
    score_X = torch.tensor([1.2, -0.5, 0.3, -1.0, 0.8, 0.0, -0.2, 0.6], dtype=torch.float64)
    exact = exact_gradient(logits_D, score_X)
    errors = [
        float((mean_gradient(logits_D, score_X, m, "importance_weighted_loss") - exact).norm()) for m in (2, 10, 50)
    ]
    assert errors[0] > 2.5 * errors[1] > 5 * errors[2] and errors[2] < 0.03 * float(exact.norm()), errors


def test_with_the_true_log_ratio_the_step_is_that_of_maximum_likelihood(logits_D: torch.Tensor) -> None:
    log_g_X = log_prob(logits_D, BITS_XD)
    score_X = DATA_X.log() - log_g_X.detach()
    likelihood = torch.autograd.grad(-(DATA_X * log_g_X).sum(), logits_D)[0]
    assert torch.allclose(exact_gradient(logits_D, score_X), likelihood, atol=1e-12)
    assert torch.allclose(mean_gradient(logits_D, score_X, 1000, "importance_weighted_loss"), likelihood, atol=0.01)
    # all images once, each as often as g makes it: the loss itself, without sampling noise, in the form M -> infinity
    weight_X = torch.softmax(log_g_X.detach() + score_X, dim=0)
    assert torch.allclose(weight_X, DATA_X, atol=1e-12)


def test_single_partition_has_the_same_limit_and_more_variance(logits_D: torch.Tensor) -> None:
    score_X = torch.tensor([1.2, -0.5, 0.3, -1.0, 0.8, 0.0, -0.2, 0.6], dtype=torch.float64)
    exact = exact_gradient(logits_D, score_X)
    assert torch.allclose(mean_gradient(logits_D, score_X, 10, "single_partition_loss"), exact, atol=0.005)
    log_prob_NM, score_NM = torch.tensor([[-1.0, -2.0]]), torch.tensor([[0.0, math.log(3.0)]])
    assert math.isclose(float(single_partition(log_prob_NM, score_NM, False)), 1.75, rel_tol=1e-6)


def test_single_partition_weights_compare_latent_codes_and_normalised_ones_do_not() -> None:
    """Code 0 makes images worth w = 1, code 1 images worth w = 3: only the plain estimator moves mass to code 1."""
    log_prob_NM = torch.zeros(2, 4, requires_grad=True)
    score_NM = torch.log(torch.tensor([[1.0], [3.0]])).expand(2, 4)
    plain = torch.autograd.grad(single_partition(log_prob_NM, score_NM, False), log_prob_NM)[0]
    normalised = torch.autograd.grad(bs.importance_weighted_loss(log_prob_NM, score_NM, False), log_prob_NM)[0]
    assert torch.allclose(plain, -torch.tensor([[1.0], [3.0]]).expand(2, 4) / 16)
    assert torch.allclose(normalised, torch.full((2, 4), -1 / 8))


@pytest.mark.parametrize("baseline", [0.0, 5.0, -1.0])
def test_reinforce_gradient_does_not_depend_on_the_baseline_in_expectation(
    logits_D: torch.Tensor, baseline: float
) -> None:
    """By enumeration: every image once, weighted by its probability, so that the mean is exact."""
    score_X = torch.tensor([1.2, -0.5, 0.3, -1.0, 0.8, 0.0, -0.2, 0.6], dtype=torch.float64)
    log_g_X = log_prob(logits_D, BITS_XD)
    expected_reward = torch.autograd.grad((log_g_X.exp() * score_X).sum(), logits_D, retain_graph=True)[0]
    probability_X = log_g_X.exp().detach()
    surrogate = sum(
        8
        * probability_X[x]
        / 8
        * bs.reinforce_loss(log_g_X[x].view(1, 1), score_X[x].view(1, 1), torch.tensor(baseline))
        for x in range(8)
    )
    assert torch.allclose(torch.autograd.grad(surrogate, logits_D)[0], -expected_reward, atol=1e-12)


def test_leave_one_out_leaves_the_gradient_unbiased_and_lowers_its_variance(logits_D: torch.Tensor) -> None:
    """All pairs of draws enumerated with their probabilities."""
    score_X = 3.0 + torch.tensor([1.2, -0.5, 0.3, -1.0, 0.8, 0.0, -0.2, 0.6], dtype=torch.float64)
    log_g_X = log_prob(logits_D, BITS_XD)
    probability_X = log_g_X.exp().detach()
    exact = torch.autograd.grad(-(log_g_X.exp() * score_X).sum(), logits_D, retain_graph=True)[0]
    means, variances = {}, {}
    for name in ("none", "leave_one_out"):
        gradients, weights = [], []
        for pair in itertools.product(range(8), repeat=2):
            index_NM = torch.tensor([pair])
            score_NM = score_X[index_NM]
            baseline = bs.leave_one_out_baseline(score_NM) if name == "leave_one_out" else torch.zeros(1, 2)
            loss = bs.reinforce_loss(log_g_X[index_NM], score_NM, baseline)
            gradients.append(torch.autograd.grad(loss, logits_D, retain_graph=True)[0])
            weights.append(probability_X[index_NM].prod())
        gradient, weight = torch.stack(gradients), torch.stack(weights)[:, None]
        means[name] = (weight * gradient).sum(0)
        variances[name] = float((weight * (gradient - means[name]).square()).sum())
        assert torch.allclose(means[name], exact, atol=1e-12), name
    assert variances["leave_one_out"] < 0.3 * variances["none"]


def test_leave_one_out_by_hand_and_its_error() -> None:
    baseline_NM = bs.leave_one_out_baseline(torch.tensor([[1.0, 2.0, 6.0]], requires_grad=True))
    assert torch.allclose(baseline_NM, torch.tensor([[4.0, 3.5, 1.5]])) and not baseline_NM.requires_grad
    with pytest.raises(ValueError, match="at least 2 draws"):
        bs.leave_one_out_baseline(torch.zeros(3, 1))


def test_log_partition_by_hand() -> None:
    assert math.isclose(
        float(bs.log_partition(torch.log(torch.tensor([[1.0, 2.0], [3.0, 6.0]])))), math.log(3), rel_tol=1e-6
    )


def test_weights_and_rewards_are_constants_for_the_generator() -> None:
    for loss in LOSSES.values():
        score_NM = torch.randn(2, 3, requires_grad=True)
        loss(torch.randn(2, 3, requires_grad=True), score_NM).backward()
        assert score_NM.grad is None
    score_NM = torch.randn(2, 3, requires_grad=True)
    bs.reinforce_loss(torch.randn(2, 3, requires_grad=True), score_NM, score_NM.mean()).backward()
    assert score_NM.grad is None


def test_continuous_loss_by_hand_passes_its_gradient_through_the_score() -> None:
    score_B = torch.tensor([1.0, -3.0], requires_grad=True)
    loss = bs.continuous_loss(score_B)
    assert float(loss.detach()) == 5.0
    assert torch.allclose(torch.autograd.grad(loss, score_B)[0], torch.tensor([1.0, -3.0]))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_other_shapes_are_refused(loss) -> None:
    with pytest.raises(ValueError, match="one shape"):
        loss(torch.zeros(2, 3), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="one shape"):
        bs.reinforce_loss(torch.zeros(6), torch.zeros(6), torch.zeros(6))
