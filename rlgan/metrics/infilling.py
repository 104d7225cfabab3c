"""Likelihood of words at blanks, and the variance of a policy gradient."""

# B, N sequences, T positions, G gradients, P parameters

import math
from collections.abc import Callable

import torch
from torch import Tensor

from rlgan.metrics.likelihood import mean_nll


@torch.no_grad()
def blank_nll(
    log_prob: Callable[[Tensor, Tensor], Tensor],
    tokens_NT: Tensor,
    blank_NT: Tensor,
    mask_NT: Tensor,
    chunk_rows: int = 256,
) -> float:
    """Mean of -log P over the words at blanks; its exponential is MaskGAN's masked perplexity.

    Args:
        log_prob: [B, T] ids and [B, T] blanks -> [B, T] log-probabilities (nats). That of a language model looks at the
            ids alone, and so at what stands before a blank; MaskMLE's knows both sides.
        tokens_NT: [N, T] int64 ids, real or filled in.
        blank_NT: [N, T] bool.
        mask_NT: [N, T] bool, which of the tokens count (`rlgan.blanks.chosen`).
        chunk_rows: sequences scored at once.

    Returns:
        Nats per blank.
    """
    chunks = zip(tokens_NT.split(chunk_rows), blank_NT.split(chunk_rows), strict=True)
    return mean_nll(-torch.cat([log_prob(tokens_BT, blank_BT) for tokens_BT, blank_BT in chunks]), mask_NT)


def perplexity(nll: float) -> float:
    """The exponential of a mean negative log-likelihood.

    Args:
        nll: nats per token.

    Returns:
        Infinity where it does not fit into a float.
    """
    return math.exp(nll) if nll < 700 else math.inf


def total_variance(gradient_GP: Tensor) -> float:
    """Variance of a gradient estimate, summed over all parameters.

    Args:
        gradient_GP: [G, P] independent estimates, G of at least 2.

    Returns:
        The sum of the unbiased variances (n - 1).

    Raises:
        ValueError: if there are fewer than 2 estimates.
    """
    if gradient_GP.ndim != 2 or len(gradient_GP) < 2:
        raise ValueError(f"a variance needs [G, P] gradients with G of at least 2; got {list(gradient_GP.shape)}.")
    return float(gradient_GP.double().var(dim=0, unbiased=True).sum())
