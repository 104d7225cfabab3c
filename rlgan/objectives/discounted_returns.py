"""Returns of rewards that come one a blank, and the advantages made of them."""

# B sequences, T positions

import torch
from torch import Tensor


def discounted_return(reward_BT: Tensor, mask_BT: Tensor, discount: float) -> Tensor:
    """R_t = sum over blanks s >= t of discount^(s - t) r_s (MaskGAN, arXiv:1801.07736, section 3.3).

    The paper writes discount^s, the same for every t up to a factor; its released code has discount^(s - t) and so has
    this (model_losses.py:133-140). s - t counts positions, not blanks: a given word between two blanks discounts too.

    Reduction: sum over s.

    Args:
        reward_BT: [B, T] float, reward to maximise of the token at each position.
        mask_BT: [B, T] bool, True where the policy chose the token; rewards elsewhere count as 0.
        discount: in [0, 1].

    Returns:
        [B, T] float, 0 where not masked; carries no gradient.

    Raises:
        ValueError: if the shapes differ or the discount is not in [0, 1].
    """
    if reward_BT.shape != mask_BT.shape or reward_BT.ndim != 2:
        raise ValueError(
            f"reward_BT and mask_BT must have one shape [B, T]; got {list(reward_BT.shape)} and {list(mask_BT.shape)}."
        )
    if not 0.0 <= discount <= 1.0:
        raise ValueError(f"discount must be in [0, 1]; got {discount}.")
    reward_BT = reward_BT.detach().where(mask_BT, 0.0)
    total_B, columns = torch.zeros_like(reward_BT[:, 0]), []
    for reward_B in reward_BT.flip(1).unbind(dim=1):
        total_B = reward_B + discount * total_B
        columns.append(total_B)
    return torch.stack(columns[::-1], dim=1) * mask_BT


def clipped_advantage(return_BT: Tensor, baseline_BT: Tensor, mask_BT: Tensor, limit: float) -> Tensor:
    """A_t = R_t - b_t, cut to [-limit, limit] (MaskGAN's Eq. 6; the clip is in the released code only, at 5).

    Args:
        return_BT: [B, T] float.
        baseline_BT: [B, T] float, what was expected before the token at t was drawn.
        mask_BT: [B, T] bool.
        limit: > 0; infinity does not cut.

    Returns:
        [B, T] float, 0 where not masked; carries no gradient.

    Raises:
        ValueError: if the limit is not positive.
    """
    if not limit > 0:
        raise ValueError(f"limit must be positive; got {limit}. Infinity does not cut.")
    return (return_BT - baseline_BT).detach().clamp(-limit, limit) * mask_BT


def explained_variance(value_BT: Tensor, return_BT: Tensor, mask_BT: Tensor) -> float:
    """1 - Var(R - V) / Var(R) over the masked positions: 1 is a perfect critic, 0 one that says a constant.

    Args:
        value_BT: [B, T] float, the critic's V_t.
        return_BT: [B, T] float, R_t.
        mask_BT: [B, T] bool.

    Returns:
        At most 1; NaN where the returns do not vary.
    """
    value_N, return_N = value_BT[mask_BT].double(), return_BT[mask_BT].double()
    variance = return_N.var(unbiased=False)
    if return_N.numel() == 0 or float(variance) < 1e-12:
        return float("nan")
    return float(1.0 - (return_N - value_N).var(unbiased=False) / variance)
