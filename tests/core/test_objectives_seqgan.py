"""The equations of SeqGAN: numbers worked by hand, gradients checked, one test for each error."""

# B sequences, T positions, R rollouts

import math

import pytest
import torch

from rlgan.objectives.action_values import (
    batch_mean_advantage,
    mc_action_value,
    no_baseline_advantage,
    prefix_value_advantage,
    standardise,
)
from rlgan.objectives.adversarial import binary_cross_entropy
from rlgan.objectives.delayed_policy import delayed_weights
from rlgan.objectives.likelihood import negative_log_likelihood
from rlgan.objectives.penalties import l2_penalty
from rlgan.objectives.policy_gradient import entropy_target_loss, policy_gradient_loss

ALL = torch.ones(2, 3, dtype=torch.bool)
Q_BT = torch.tensor([[0.5, 0.7, 1.0], [0.3, 0.1, 0.0]])


def test_mc_action_value_is_the_mean_over_rollouts_and_carries_no_gradient() -> None:
    reward_RBT = torch.tensor([[[0.0, 0.2], [1.0, 0.4]], [[1.0, 0.4], [1.0, 0.8]]], requires_grad=True)
    q_BT = mc_action_value(reward_RBT)
    assert torch.allclose(q_BT, torch.tensor([[0.5, 0.3], [1.0, 0.6]])) and not q_BT.requires_grad


def test_mc_action_value_refuses_another_rank() -> None:
    with pytest.raises(ValueError, match="rank 2"):
        mc_action_value(torch.zeros(2, 3))


def test_no_baseline_is_q_itself() -> None:
    assert torch.equal(no_baseline_advantage(Q_BT, ALL), Q_BT)


def test_batch_mean_baseline_by_hand_with_filling() -> None:
    mask_BT = torch.tensor([[True, True, True], [True, True, False]])
    expected = torch.tensor([[0.1, 0.3, 0.0], [-0.1, -0.3, 0.0]])
    assert torch.allclose(batch_mean_advantage(Q_BT, mask_BT), expected, atol=1e-7)


def test_prefix_value_baseline_by_hand() -> None:
    expected = torch.tensor([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.1]])
    assert torch.allclose(prefix_value_advantage(Q_BT, ALL), expected, atol=1e-7)


def test_prefix_value_baseline_leaves_the_gradient_unbiased() -> None:
    """Two binary tokens, all enumerated: E[sum_t A_t d log p_t] equals the exact gradient of E[D(Y)]."""
    logits = torch.tensor([[0.3, -0.2], [0.5, 0.1], [-0.4, 0.6]], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([[0.1, 0.9], [0.6, 0.2]], dtype=torch.float64)
    log_p = torch.log_softmax(logits, 1)  # row 0: first token, rows 1 and 2: second token given the first
    p_YY = (log_p[0][:, None] + log_p[1:]).exp()
    exact = torch.autograd.grad((p_YY * reward).sum(), logits, retain_graph=True)[0]
    # exact Q: Q_1(a) = E[reward | a], Q_2(a, b) = reward; baseline of token 1 = E Q_1 (the batch mean in the limit)
    q_first = (log_p[1:].exp() * reward).sum(1).detach()
    baseline = (log_p[0].exp() * q_first).sum().detach()
    surrogate = sum(
        p_YY[a, b].detach() * ((q_first[a] - baseline) * log_p[0, a] + (reward[a, b] - q_first[a]) * log_p[1 + a, b])
        for a in range(2)
        for b in range(2)
    )
    assert torch.allclose(torch.autograd.grad(surrogate, logits)[0], exact, atol=1e-12)


def test_standardise_makes_mean_square_one_over_valid_entries() -> None:
    mask_BT = torch.tensor([[True, True, True], [True, True, False]])
    advantage_BT = torch.tensor([[3.0, -1.0, 1.0], [2.0, 0.0, 0.0]])
    scaled_BT = standardise(advantage_BT, mask_BT)
    assert torch.allclose(scaled_BT, advantage_BT / math.sqrt(3.0))


def test_standardise_of_a_constant_reward_is_zero_and_finite() -> None:
    assert torch.equal(standardise(torch.zeros(2, 3), ALL), torch.zeros(2, 3))


def test_standardise_does_not_hide_a_nan() -> None:
    assert bool(torch.isnan(standardise(torch.full((2, 3), torch.nan), ALL)).all())


def test_policy_gradient_loss_by_hand() -> None:
    log_prob_BT = torch.log(torch.tensor([[0.5, 0.25], [0.1, 1.0]]))
    advantage_BT = torch.tensor([[1.0, -2.0], [3.0, 5.0]])
    mask_BT = torch.tensor([[True, True], [True, False]])
    expected = -(1.0 * math.log(0.5) - 2.0 * math.log(0.25) + 3.0 * math.log(0.1))
    assert math.isclose(float(policy_gradient_loss(log_prob_BT, advantage_BT, mask_BT)), expected, rel_tol=1e-6)


def test_policy_gradient_raises_the_probability_of_what_pays() -> None:
    logits_V = torch.zeros(3, requires_grad=True)
    log_prob_BT = torch.log_softmax(logits_V, 0)[[0, 1]][:, None]
    policy_gradient_loss(log_prob_BT, torch.tensor([[1.0], [-1.0]]), torch.ones(2, 1, dtype=torch.bool)).backward()
    assert logits_V.grad is not None and logits_V.grad[0] < 0 < logits_V.grad[1] and logits_V.grad[2] == 0


def test_policy_gradient_does_not_flow_into_the_advantage() -> None:
    advantage_BT = torch.ones(1, 2, requires_grad=True)
    policy_gradient_loss(torch.zeros(1, 2, requires_grad=True), advantage_BT, ALL[:1, :2]).backward()
    assert advantage_BT.grad is None


def test_entropy_target_parts_add_up_to_the_gradient_of_the_square() -> None:
    logits_NV = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    log_p_NV = torch.log_softmax(logits_NV, 1)
    entropy_N = -(log_p_NV.exp() * log_p_NV).sum(1)
    exact = torch.autograd.grad((entropy_N.mean() - 0.7).square(), logits_NV, retain_graph=True)[0]
    parts = [entropy_N[:1].sum() / 4, entropy_N[1:].sum() / 4]
    mean = entropy_N.mean().detach()
    split = sum(torch.autograd.grad(entropy_target_loss(p, mean, 0.7), logits_NV, retain_graph=True)[0] for p in parts)
    assert torch.allclose(split, exact, atol=1e-12)


def test_policy_gradient_refuses_shapes_that_differ() -> None:
    with pytest.raises(ValueError, match="one shape"):
        policy_gradient_loss(torch.zeros(2, 3), torch.zeros(3, 2), ALL)


def test_likelihood_is_the_mean_over_valid_tokens() -> None:
    log_prob_BT = torch.tensor([[-1.0, -2.0], [-4.0, -100.0]])
    mask_BT = torch.tensor([[True, True], [True, False]])
    assert math.isclose(float(negative_log_likelihood(log_prob_BT, mask_BT)), 7 / 3, rel_tol=1e-6)


def test_likelihood_refuses_an_empty_mask() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        negative_log_likelihood(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool))


def test_discriminator_loss_by_hand_and_at_ignorance() -> None:
    assert math.isclose(float(binary_cross_entropy(torch.zeros(3), torch.zeros(2))), math.log(2), rel_tol=1e-6)
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0])
    expected = 0.5 * ((math.log(1 + math.exp(-2)) + math.log(2)) / 2 + math.log(1 + math.exp(-1)))
    assert math.isclose(float(binary_cross_entropy(real, fake)), expected, rel_tol=1e-6)


def test_discriminator_loss_is_finite_for_huge_logits_and_has_the_right_gradient() -> None:
    assert math.isfinite(float(binary_cross_entropy(torch.tensor([-1e4]), torch.tensor([1e4]))))
    real = torch.randn(4, dtype=torch.float64, requires_grad=True)
    fake = torch.randn(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(binary_cross_entropy, (real, fake))


def test_l2_penalty_is_half_the_sum_of_squares() -> None:
    assert float(l2_penalty(torch.tensor([[1.0, 2.0]]), torch.tensor([3.0]))) == 7.0


def test_delayed_weights_really_move_and_copy_the_embedding() -> None:
    beta = {"embedding.weight": torch.zeros(2), "output.bias": torch.tensor([1.0])}
    theta = {"embedding.weight": torch.ones(2), "output.bias": torch.tensor([2.0])}
    moved = delayed_weights(beta, theta, 0.8)
    assert torch.equal(moved["embedding.weight"], torch.ones(2))
    assert torch.allclose(moved["output.bias"], torch.tensor([1.2]))
    assert torch.equal(delayed_weights(beta, theta, 0.0)["output.bias"], theta["output.bias"])
    assert float(beta["output.bias"]) == 1.0


def test_delayed_weights_refuse_other_names_and_rates() -> None:
    with pytest.raises(ValueError, match="same names"):
        delayed_weights({"a": torch.zeros(1)}, {"b": torch.zeros(1)}, 0.5)
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\]"):
        delayed_weights({"a": torch.zeros(1)}, {"a": torch.zeros(1)}, 1.5)
