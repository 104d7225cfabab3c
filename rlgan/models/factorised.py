"""Distributions in which all pixels or characters are independent: draws and their probabilities."""

# N latent codes, M draws for each, D pixels or characters, K categories

import torch
import torch.nn.functional as F
from torch import Tensor

from rlgan.sampling import inverse_cdf_sample


class FactorisedBernoulli:
    """Zeros and ones, one logit each."""

    num_logits = 1

    def draw(self, logits_ND: Tensor, num_draws: int, random: torch.Generator) -> Tensor:
        """Independent samples.

        Args:
            logits_ND: [N, D] log-odds of a one, nats.
            num_draws: M.
            random: where the random numbers come from.

        Returns:
            [N, M, D] uint8 of 0 and 1.
        """
        probability_N1D = torch.sigmoid(logits_ND)[:, None]
        num_codes, num_values = logits_ND.shape
        uniform_NMD = torch.rand(num_codes, num_draws, num_values, generator=random, device=logits_ND.device)
        return (uniform_NMD < probability_N1D).to(torch.uint8)

    def mode(self, logits_ND: Tensor) -> Tensor:
        """The most likely sample.

        Args:
            logits_ND: [N, D] log-odds of a one, nats.

        Returns:
            [N, D] uint8 of 0 and 1.
        """
        return (logits_ND > 0).to(torch.uint8)

    def log_prob(self, logits_ND: Tensor, sample_NMD: Tensor) -> Tensor:
        """Log g(x | z) = sum_d x_d l_d - log(1 + exp l_d).

        Args:
            logits_ND: [N, D] nats, with gradient.
            sample_NMD: [N, M, D] zeros and ones.

        Returns:
            [N, M] nats: the sum over all pixels.
        """
        agreed_NM = torch.bmm(sample_NMD.to(logits_ND.dtype), logits_ND[:, :, None]).squeeze(2)
        return agreed_NM - F.softplus(logits_ND).sum(dim=1, keepdim=True)

    def expectation(self, logits_ND: Tensor) -> Tensor:
        """The mean category of every pixel.

        Args:
            logits_ND: [N, D] log-odds of 1, nats.

        Returns:
            [N, D] in [0, 1].
        """
        return torch.sigmoid(logits_ND)

    def entropy(self, logits_ND: Tensor) -> Tensor:
        """Entropy of g(. | z).

        Args:
            logits_ND: [N, D] nats.

        Returns:
            [N] nats: the sum over all pixels.
        """
        return (F.softplus(logits_ND) - logits_ND * torch.sigmoid(logits_ND)).sum(dim=1)


class FactorisedCategorical:
    """One of K categories for every pixel or character, K logits each."""

    def __init__(self, num_categories: int) -> None:
        self.num_logits = num_categories

    def draw(self, logits_ND: Tensor, num_draws: int, random: torch.Generator) -> Tensor:
        """Independent samples, by inverting the cumulative distribution.

        Args:
            logits_ND: [N, D * K], the K logits of a pixel side by side, nats.
            num_draws: M.
            random: where the random numbers come from.

        Returns:
            [N, M, D] of categories: uint8 where they fit, else int64.
        """
        logits_NDK = self._by_category(logits_ND)
        rows_RK = logits_NDK.flatten(0, 1)
        uniform_RM = torch.rand(len(rows_RK), num_draws, generator=random, device=logits_ND.device)
        index_RM = inverse_cdf_sample(rows_RK, uniform_RM)
        index_NDM = index_RM.view(*logits_NDK.shape[:2], num_draws)
        return index_NDM.transpose(1, 2).to(self._dtype)

    def mode(self, logits_ND: Tensor) -> Tensor:
        """The most likely sample.

        Args:
            logits_ND: [N, D * K], the K logits of a pixel side by side, nats.

        Returns:
            [N, D] of categories: uint8 where they fit, else int64.
        """
        return self._by_category(logits_ND).argmax(dim=2).to(self._dtype)

    def log_prob(self, logits_ND: Tensor, sample_NMD: Tensor) -> Tensor:
        """Log g(x | z), the sum over pixels of the log-probability of their categories.

        Args:
            logits_ND: [N, D * K] nats, with gradient.
            sample_NMD: [N, M, D] categories.

        Returns:
            [N, M] nats.
        """
        log_prob_NDK = torch.log_softmax(self._by_category(logits_ND), dim=2)
        return log_prob_NDK.gather(2, sample_NMD.transpose(1, 2).long()).sum(dim=1)

    def expectation(self, logits_ND: Tensor) -> Tensor:
        """The mean category of every pixel.

        Args:
            logits_ND: [N, D * K] nats.

        Returns:
            [N, D] in [0, K - 1].
        """
        category_K = torch.arange(self.num_logits, dtype=logits_ND.dtype, device=logits_ND.device)
        mean_ND: Tensor = self._by_category(logits_ND).softmax(dim=2) @ category_K
        return mean_ND

    def entropy(self, logits_ND: Tensor) -> Tensor:
        """Entropy of g(. | z).

        Args:
            logits_ND: [N, D * K] nats.

        Returns:
            [N] nats.
        """
        log_prob_NDK = torch.log_softmax(self._by_category(logits_ND), dim=2)
        return -(log_prob_NDK.exp() * log_prob_NDK).sum(dim=(1, 2))

    @property
    def _dtype(self) -> torch.dtype:
        """The smallest type that holds every category."""
        return torch.uint8 if self.num_logits <= 256 else torch.int64

    def _by_category(self, logits_ND: Tensor) -> Tensor:
        """[N, D, K]."""
        return logits_ND.view(len(logits_ND), -1, self.num_logits)


Factorised = FactorisedBernoulli | FactorisedCategorical


def factorised(num_categories: int) -> Factorised:
    """The distribution over values with so many categories.

    Args:
        num_categories: K; 2 has one logit instead of two.

    Returns:
        Bernoulli for two categories, else categorical.

    Raises:
        ValueError: if there are fewer than two.
    """
    if num_categories < 2:
        raise ValueError(f"a value needs at least two categories; got {num_categories}.")
    return FactorisedBernoulli() if num_categories == 2 else FactorisedCategorical(num_categories)
