"""Reward maps: what a policy is paid for a discriminator's logit (high for real). All are to be maximised."""

import torch
import torch.nn.functional as F
from torch import Tensor


def probability(logit_real_is_high: Tensor) -> Tensor:
    """D(Y) = sigmoid(logit), the reward of SeqGAN (arXiv:1609.05473, Eq. 2): a probability, not its log.

    Args:
        logit_real_is_high: any shape.

    Returns:
        Same shape, in [0, 1].
    """
    return torch.sigmoid(logit_real_is_high)


def log_probability(logit_real_is_high: Tensor) -> Tensor:
    """Log D(Y) (MaskGAN, arXiv:1801.07736, Eq. 3), by log-sigmoid: finite for every finite logit.

    Args:
        logit_real_is_high: any shape.

    Returns:
        Same shape, nats, <= 0.
    """
    return F.logsigmoid(logit_real_is_high)


def log_odds(logit_real_is_high: Tensor) -> Tensor:
    """Log D/(1-D): the logit itself. At the optimal D it is log p_data/p_G, whose mean under G is -KL(G || data).

    Args:
        logit_real_is_high: any shape.

    Returns:
        Same shape, nats.
    """
    return logit_real_is_high


REWARD_MAPS = {"probability": probability, "log_probability": log_probability, "log_odds": log_odds}
