"""Action values from Monte-Carlo rewards, and the advantages made of them."""

# B sequences, T positions, R rollouts

import torch
from torch import Tensor


def mc_action_value(reward_RBT: Tensor) -> Tensor:
    """Monte-Carlo action value: mean reward over rollouts (SeqGAN, arXiv:1609.05473, Eq. 3 and 4).

        Q(s_t, a_t) = 1/R sum_r D(Y^r_{1:T}),  t < T;     Q(s_T, a_T) = D(Y_{1:T})

    Reduction: mean over R only. The released code agrees (rollout.py:102).

    Args:
        reward_RBT: [R, B, T] float, reward to maximise after token t in rollout r.

    Returns:
        [B, T] float, same unit; carries no gradient.

    Raises:
        ValueError: if reward_RBT is not rank 3.
    """
    if reward_RBT.ndim != 3:
        raise ValueError(f"reward_RBT must be [R, B, T]; got rank {reward_RBT.ndim}.")
    return reward_RBT.detach().mean(dim=0)


def no_baseline_advantage(action_value_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The action value itself: the form of the SeqGAN paper and of its code, which have no baseline (Eq. 6).

    With a reward that is never negative every drawn token is made more likely, so entropy falls even when the reward
    says nothing (facts: a constant reward lowers NLL_oracle from 9.17 to 8.70).

    Args:
        action_value_BT: [B, T] float.
        mask_BT: [B, T] bool, False where the token is filling.

    Returns:
        [B, T] float, 0 where masked.
    """
    return action_value_BT.detach() * mask_BT


def batch_mean_advantage(action_value_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """A(s_t, a_t) = Q(s_t, a_t) - mean over the batch of Q at position t (a baseline that depends on t only).

    Args:
        action_value_BT: [B, T] float.
        mask_BT: [B, T] bool, False where the token is filling.

    Returns:
        [B, T] float, 0 where masked; each column sums to 0.
    """
    value_BT = action_value_BT.detach() * mask_BT
    mean_T = value_BT.sum(dim=0) / mask_BT.sum(dim=0).clamp_min(1)
    return (value_BT - mean_T) * mask_BT


def prefix_value_advantage(action_value_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """A(s_t, a_t) = Q(s_t, a_t) - V(s_t), where V(s_t) is read off the rollouts of the prefix before the token.

        V(s_t) = E_{a ~ G} Q(s_t, a) = E[D(Y) | y_1..t-1], estimated by Q(s_{t-1}, a_{t-1});   V(s_1) = mean of Q_1

    Rollouts of y_1..t-1 draw their own y_t, so for t > 1 the baseline does not depend on the token it is taken from and
    the gradient stays unbiased. No critic is needed. Holds when the roll-out policy is the policy.

    Args:
        action_value_BT: [B, T] float.
        mask_BT: [B, T] bool, False where the token is filling.

    Returns:
        [B, T] float, 0 where masked.
    """
    value_BT = action_value_BT.detach()
    first_B1 = value_BT[:, :1].mean().expand(value_BT.shape[0], 1)
    baseline_BT = torch.cat([first_B1, value_BT[:, :-1]], dim=1)
    return (value_BT - baseline_BT) * mask_BT


def standardise(advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Divide by the root mean square over the valid entries, so that the size of a step does not depend on D's scale.

    Args:
        advantage_BT: [B, T] float, 0 where masked.
        mask_BT: [B, T] bool.

    Returns:
        [B, T] float of mean square 1, or all 0 where the advantage is 0 everywhere; NaN stays NaN.
    """
    mean_square = advantage_BT.square().sum() / mask_BT.sum().clamp_min(1)
    return torch.where(mean_square <= 1e-16, 0.0, advantage_BT / mean_square.clamp_min(1e-16).sqrt())
