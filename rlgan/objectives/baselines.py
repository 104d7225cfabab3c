"""What is taken from a return before it weighs a gradient: nothing, a critic, a moving average, or other rollouts.

Each depends on what came before the token at t only, or on other sequences, so that the gradient stays unbiased (but
for the mean of other rollouts where none of them has a token: the token there then weighs nothing).
"""

# K rollouts of one context, B sequences, T positions

import torch
import torch.nn.functional as F
from torch import Tensor


def no_baseline(return_BT: Tensor) -> Tensor:
    """b_t = 0: plain REINFORCE.

    In MaskGAN's released code "no baseline" replaces the objective by the mean reward, which has no log-probability in
    it and so no gradient (model_losses.py:274-280); here it is the policy gradient with the return itself.

    Args:
        return_BT: [B, T] float.

    Returns:
        [B, T] zeros.
    """
    return torch.zeros_like(return_BT)


def leave_one_out_baseline(return_KBT: Tensor, mask_KBT: Tensor) -> Tensor:
    """b_t of rollout k: the mean return at t of the other rollouts of the same context.

        b^k_t = sum_{j != k} m^j_t R^j_t / sum_{j != k} m^j_t;     b^k_t = R^k_t where no other rollout has a token at t

    Reduction: mean over the other rollouts that have a token there. Where there is none the advantage is 0.

    Args:
        return_KBT: [K, B, T] float, returns of K rollouts of every context.
        mask_KBT: [K, B, T] bool.

    Returns:
        [K, B, T] float.

    Raises:
        ValueError: if there are fewer than two rollouts.
    """
    if return_KBT.ndim != 3 or return_KBT.shape[0] < 2:
        raise ValueError(f"return_KBT must be [K, B, T] with K of at least 2 rollouts; got {list(return_KBT.shape)}.")
    masked_KBT = return_KBT * mask_KBT
    others_KBT = masked_KBT.sum(dim=0) - masked_KBT
    count_KBT = mask_KBT.sum(dim=0) - mask_KBT.long()
    return torch.where(count_KBT > 0, others_KBT / count_KBT.clamp_min(1), return_KBT)


def moving_average(mean_T: Tensor, return_BT: Tensor, mask_BT: Tensor, decay: float) -> Tensor:
    """The average return of every position after one more batch.

        mean_t <- decay * mean_t + (1 - decay) * batch mean of R_t;     unchanged where no sequence has a blank at t

    MaskGAN's released code averages the reward of one step for every example and position; examples differ from batch
    to batch, so here it is the return, for every position.

    Args:
        mean_T: [T] float, the average so far.
        return_BT: [B, T] float.
        mask_BT: [B, T] bool.
        decay: share of the old average that is kept, in [0, 1].

    Returns:
        [T] float.

    Raises:
        ValueError: if the decay is not in [0, 1].
    """
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"decay must be in [0, 1]; got {decay}.")
    count_T = mask_BT.sum(dim=0)
    batch_mean_T = (return_BT * mask_BT).sum(dim=0) / count_T.clamp_min(1)
    return torch.where(count_T > 0, decay * mean_T + (1.0 - decay) * batch_mean_T, mean_T)


def value_loss(value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """What the critic minimises: (V_t - R_t)^2 (MaskGAN, section 3.3).

    Reduction: mean over the masked positions, as in the released code. The target carries no gradient.

    Args:
        value_BT: [B, T] float with gradient, the critic's V_t.
        return_BT: [B, T] float, R_t; detached here.
        mask_BT: [B, T] bool.

    Returns:
        Scalar.

    Raises:
        ValueError: if no position is masked.
    """
    if not bool(mask_BT.any()):
        raise ValueError("mask_BT must keep at least one position; got none.")
    return F.mse_loss(value_BT[mask_BT], return_BT.detach()[mask_BT])
