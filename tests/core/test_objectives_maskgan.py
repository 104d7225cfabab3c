"""MaskGAN's equations: golden numbers worked by hand, gradients, and every error."""

import math

import pytest
import torch
from torch import Tensor

from rlgan.baselines import CriticBaseline, LeaveOneOutBaseline, MovingAverageBaseline, NoBaseline
from rlgan.objectives.adversarial import binary_cross_entropy, per_token_binary_cross_entropy
from rlgan.objectives.baselines import leave_one_out_baseline, moving_average, no_baseline, value_loss
from rlgan.objectives.discounted_returns import clipped_advantage, discounted_return, explained_variance
from rlgan.objectives.policy_gradient import policy_gradient_loss

MASK = torch.tensor([[False, True, False, True, True]])


def test_return_by_hand() -> None:
    """Discount 1/2, rewards 1, 2, 4 at positions 1, 3, 4: R_4 = 4, R_3 = 2 + 4/2, R_1 = 1 + 2/4 + 4/8."""
    reward = torch.tensor([[9.0, 1.0, 9.0, 2.0, 4.0]])
    assert discounted_return(reward, MASK, 0.5).tolist() == [[0.0, 2.0, 0.0, 4.0, 4.0]]
    assert discounted_return(reward, MASK, 0.0).tolist() == [[0.0, 1.0, 0.0, 2.0, 4.0]]
    assert discounted_return(reward, MASK, 1.0).tolist() == [[0.0, 7.0, 0.0, 6.0, 4.0]]


def test_return_is_detached_and_ignores_what_was_given() -> None:
    reward = torch.tensor([[math.nan, 1.0, math.inf, 2.0, 4.0]], requires_grad=True)
    value = discounted_return(reward, MASK, 0.5)
    assert not value.requires_grad and value.tolist() == [[0.0, 2.0, 0.0, 4.0, 4.0]]


def test_return_equals_the_double_sum() -> None:
    random = torch.Generator().manual_seed(0)
    reward, mask = torch.rand(3, 7, generator=random), torch.rand(3, 7, generator=random) < 0.5
    expected = torch.zeros(3, 7)
    for b in range(3):
        for t in range(7):
            if mask[b, t]:
                expected[b, t] = sum(0.9 ** (s - t) * reward[b, s] for s in range(t, 7) if mask[b, s])
    assert torch.allclose(discounted_return(reward, mask, 0.9), expected)


@pytest.mark.parametrize("discount", [-0.1, 1.1])
def test_return_refuses_a_discount_outside_0_to_1(discount: float) -> None:
    with pytest.raises(ValueError, match="discount"):
        discounted_return(torch.zeros(1, 5), MASK, discount)


def test_return_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match="one shape"):
        discounted_return(torch.zeros(1, 4), MASK, 0.5)


def test_advantage_is_cut_and_detached() -> None:
    value = torch.tensor([[1.0, 1.0, 1.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    advantage = clipped_advantage(torch.tensor([[9.0, -1.5, 3.0]]), value, mask, 5.0)
    assert advantage.tolist() == [[5.0, -2.5, 0.0]] and not advantage.requires_grad
    with pytest.raises(ValueError, match="limit"):
        clipped_advantage(value, value, mask, 0.0)


def test_explained_variance_by_hand() -> None:
    returns, mask = torch.tensor([[1.0, 3.0, 99.0]]), torch.tensor([[True, True, False]])
    assert explained_variance(returns, returns, mask) == 1.0
    assert explained_variance(torch.full((1, 3), 7.0), returns, mask) == 0.0  # a constant, whichever it is
    assert explained_variance(torch.tensor([[3.0, 1.0, 0.0]]), returns, mask) == -3.0  # residuals -2 and 2: 1 - 4/1
    assert math.isnan(explained_variance(returns, torch.ones(1, 3), mask))


def test_no_baseline_still_has_a_gradient() -> None:
    """The released code has none: its objective is the mean reward, without a log-probability."""
    log_prob = torch.tensor([[-1.0, -2.0]], requires_grad=True)
    returns, mask = torch.tensor([[3.0, 5.0]]), torch.ones(1, 2, dtype=torch.bool)
    advantage = clipped_advantage(returns, no_baseline(returns), mask, math.inf)
    policy_gradient_loss(log_prob, advantage, mask).backward()
    assert log_prob.grad is not None and log_prob.grad.tolist() == [[-3.0, -5.0]]


def test_given_positions_get_no_gradient() -> None:
    log_prob = torch.full((1, 5), -1.0, requires_grad=True)
    policy_gradient_loss(log_prob, torch.full((1, 5), 7.0), MASK).backward()
    assert log_prob.grad is not None and log_prob.grad.tolist() == [[0.0, -7.0, 0.0, -7.0, -7.0]]


def test_leave_one_out_by_hand() -> None:
    """Three fills of one text, the last with no token at position 1: others' means, and itself where there is none."""
    returns = torch.tensor([[[1.0, 4.0, 0.0]], [[2.0, 6.0, 0.0]], [[6.0, 0.0, 5.0]]])
    mask = torch.tensor([[[True, True, False]], [[True, True, False]], [[True, False, True]]])
    baseline = leave_one_out_baseline(returns, mask)
    assert baseline[:, 0, 0].tolist() == [4.0, 3.5, 1.5]
    assert baseline[:2, 0, 1].tolist() == [6.0, 4.0]
    assert baseline[2, 0, 2] == 5.0, "alone: an advantage of 0"
    with pytest.raises(ValueError, match="at least 2"):
        leave_one_out_baseline(returns[:1], mask[:1])


def test_moving_average_by_hand() -> None:
    returns, mask = torch.tensor([[2.0, 9.0], [4.0, 9.0]]), torch.tensor([[True, False], [True, False]])
    assert moving_average(torch.tensor([1.0, 7.0]), returns, mask, 0.75).tolist() == [1.5, 7.0]
    with pytest.raises(ValueError, match="decay"):
        moving_average(torch.zeros(2), returns, mask, 1.5)


def test_value_loss_is_a_mean_over_blanks_and_its_target_carries_no_gradient() -> None:
    value = torch.tensor([[1.0, 5.0, 9.0]], requires_grad=True)
    returns = torch.tensor([[3.0, 1.0, 0.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    loss = value_loss(value, returns, mask)
    loss.backward()
    assert loss.item() == 10.0  # (4 + 16) / 2
    assert value.grad is not None and value.grad.tolist() == [[-2.0, 4.0, 0.0]]
    assert returns.grad is None
    with pytest.raises(ValueError, match="at least one"):
        value_loss(value, returns, torch.zeros(1, 3, dtype=torch.bool))


def test_discriminator_loss_counts_chosen_tokens_alone() -> None:
    real, fake = torch.tensor([[0.0, 50.0]], requires_grad=True), torch.tensor([[-50.0, 0.0]], requires_grad=True)
    real_mask, fake_mask = torch.tensor([[True, False]]), torch.tensor([[False, True]])
    loss = per_token_binary_cross_entropy(real, fake, real_mask, fake_mask)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert real.grad is not None and real.grad.tolist() == [[-0.25, 0.0]]
    assert fake.grad is not None and fake.grad.tolist() == [[0.0, 0.25]]
    assert binary_cross_entropy(real[:, 0], fake[:, 1]).item() == loss.item()
    with pytest.raises(ValueError, match="at least one"):
        per_token_binary_cross_entropy(real, fake, real_mask, torch.zeros(1, 2, dtype=torch.bool))


def test_parts_of_a_batch_add_up_even_where_a_part_holds_no_blank() -> None:
    random = torch.Generator().manual_seed(0)
    real, fake = torch.randn(4, 3, generator=random), torch.randn(4, 3, generator=random)
    mask = torch.tensor([[True, True, False], [True, False, False], [False] * 3, [False] * 3])
    whole = per_token_binary_cross_entropy(real, fake, mask, mask)
    parts = [
        per_token_binary_cross_entropy(real[rows], fake[rows], mask[rows], mask[rows], share, share)
        for rows, share in ((slice(0, 1), 2 / 3), (slice(1, 2), 1 / 3), (slice(2, 4), 0.0))
    ]
    assert torch.allclose(sum(parts), whole)


def test_baselines_with_memory_and_without() -> None:
    returns = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    value, mask = returns + 1, torch.ones(2, 2, dtype=torch.bool)
    assert NoBaseline()(returns, value, mask).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert torch.equal(CriticBaseline()(returns, value, mask), value)
    assert LeaveOneOutBaseline(2)(returns, value, mask).tolist() == [[3.0, 6.0], [1.0, 2.0]]
    average = MovingAverageBaseline(2, 0.5)
    assert average(returns, value, mask).tolist() == [[0.0, 0.0], [0.0, 0.0]], "a batch is no baseline for itself"
    assert average.state() == [1.0, 2.0]
    resumed = MovingAverageBaseline(2, 0.5)
    resumed.restore(average.state())
    assert torch.equal(resumed(returns, value, mask), average(returns, value, mask))


@pytest.mark.parametrize("baseline_of", ["critic", "leave_one_out"])
def test_baselines_leave_the_gradient_unbiased(baseline_of: str) -> None:
    """By enumeration: two fills of one blank with two words, P = sigmoid(theta), rewards 3 and 5."""
    theta = torch.tensor(0.3, requires_grad=True)
    reward = torch.tensor([3.0, 5.0])
    exact = torch.autograd.grad(torch.sigmoid(theta) * (reward[1] - reward[0]), theta)[0]
    expected: Tensor = torch.zeros(())
    for first in (0, 1):
        for second in (0, 1):
            words = torch.tensor([[first], [second]])
            log_prob = torch.where(words == 1, torch.sigmoid(theta).log(), torch.sigmoid(-theta).log())
            returns, mask = reward[words], torch.ones(2, 1, dtype=torch.bool)
            value = torch.full_like(returns, 4.2)
            baseline = LeaveOneOutBaseline(2) if baseline_of == "leave_one_out" else CriticBaseline()
            advantage = clipped_advantage(returns, baseline(returns, value, mask), mask, math.inf)
            gradient = torch.autograd.grad(-policy_gradient_loss(log_prob, advantage, mask) / 2, theta)[0]
            expected = expected + log_prob.detach().sum().exp() * gradient
    assert float(expected) == pytest.approx(float(exact))
