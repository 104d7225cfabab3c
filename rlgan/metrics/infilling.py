"""Likelihood of words at blanks, and the variance of vectors such as gradients."""

# B, N sequences, T positions, P components

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


class VectorMoments:
    """Mean and total variance of vectors that come one after the other, in double precision and without keeping them.

    Example:
        after `add(tensor([0., 1.]))` and `add(tensor([2., 5.]))` the total variance is 2 + 8.
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum_P: Tensor | None = None
        self._sum_of_squares = 0.0

    def add(self, vector_P: Tensor) -> None:
        """One more vector.

        Args:
            vector_P: [P], of the length of those before it.
        """
        vector_P = vector_P.detach().double()
        self._sum_P = vector_P.clone() if self._sum_P is None else self._sum_P + vector_P
        self._sum_of_squares += float(vector_P.square().sum())
        self.count += 1

    def squared_mean(self) -> float:
        """Squared norm of the mean.

        Returns:
            0 before the first vector.
        """
        return 0.0 if self._sum_P is None else float(self._sum_P.square().sum()) / self.count**2

    def total_variance(self) -> float:
        """The trace of the covariance.

        Returns:
            The sum over all components of their unbiased variances (n - 1).

        Raises:
            ValueError: if there are fewer than 2 vectors.
        """
        if self.count < 2:
            raise ValueError(f"a variance needs at least 2 vectors; got {self.count}.")
        return (self._sum_of_squares - self.count * self.squared_mean()) / (self.count - 1)
