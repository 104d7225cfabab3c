"""Negative log-likelihood of held-out data and entropy of a policy, in nats per token."""

# B, N sequences, T positions, V vocabulary

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from rlgan.types import TokenPolicy, TokenSpace


@runtime_checkable
class SequenceScorer(Protocol):
    """A model that scores whole sequences at once."""

    def log_prob(self, tokens_BT: Tensor) -> Tensor:
        """[B, T] log-probability (nats) of every token given those before it."""
        ...


@runtime_checkable
class EntropyScorer(Protocol):
    """A model that knows its entropy at every position too."""

    def log_prob_and_entropy(self, tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T] log-probability of every token, and [B, T] entropy of the distribution it was drawn from (nats)."""
        ...


@dataclass(frozen=True)
class EntropyEstimate:
    """Two estimates of one quantity, the entropy of a policy per token.

    Example:
        `EntropyEstimate(sampled=6.46, conditional=6.45)` for SeqGAN's generator after pre-training.

    Attributes:
        sampled: mean of -log p of the policy's own tokens (nats).
        conditional: mean of the exact entropy of the next token after the policy's own prefixes (nats); less noisy.
    """

    sampled: float
    conditional: float


class Tempered:
    """A policy whose logits are divided by a temperature: MLE's way from diversity to quality.

    Example:
        `held_out_nll(Tempered(policy, 0.8), held_out_NT, space)`
    """

    def __init__(self, policy: TokenPolicy, temperature: float) -> None:
        if not temperature > 0:
            raise ValueError(f"temperature must be positive; got {temperature}. Close to 0 is greedy.")
        self._policy = policy
        self._temperature = temperature

    def initial_state(self, num_rows: int) -> tuple[Tensor, ...]:
        """As the policy itself."""
        return self._policy.initial_state(num_rows)

    def state_logits(self, state_N: tuple[Tensor, ...]) -> Tensor:
        """[N, V] logits of the policy divided by the temperature."""
        return self._policy.state_logits(state_N) / self._temperature

    def advance(self, token_N: Tensor, state_N: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """As the policy itself."""
        return self._policy.advance(token_N, state_N)


def mean_nll(nll_NT: Tensor, mask_NT: Tensor) -> float:
    """Mean over all chosen tokens, every token of equal weight.

    Args:
        nll_NT: [N, T] minus log-probabilities (nats).
        mask_NT: [N, T] bool, True where a token was chosen (`TokenSpace.mask`).

    Returns:
        Nats per token.

    Raises:
        ValueError: if the shapes differ or no token was chosen.
    """
    if nll_NT.shape != mask_NT.shape:
        raise ValueError(f"nll_NT and mask_NT must have one shape; got {list(nll_NT.shape)} and {list(mask_NT.shape)}.")
    chosen = nll_NT[mask_NT.bool()]
    if chosen.numel() == 0:
        raise ValueError("a mean needs at least one token; the mask has none.")
    return float(chosen.double().mean())


@torch.no_grad()
def held_out_nll(
    policy: TokenPolicy | SequenceScorer, tokens_NT: Tensor, space: TokenSpace, chunk_rows: int = 256
) -> float:
    """NLL of sequences that the policy was not trained on.

    Args:
        policy: scored by its `log_prob` if it has one, else step by step.
        tokens_NT: [N, T] int64 ids.
        space: tells which positions count: up to and including the first end token.
        chunk_rows: sequences scored at once; the result does not depend on it but for rounding.

    Returns:
        Nats per token.
    """
    chunks = space.check(tokens_NT).split(chunk_rows)
    if isinstance(policy, SequenceScorer):
        log_prob_NT = torch.cat([policy.log_prob(chunk) for chunk in chunks])
    else:
        log_prob_NT = torch.cat([stepwise_log_prob_and_entropy(policy, chunk)[0] for chunk in chunks])
    return mean_nll(-log_prob_NT, space.mask(tokens_NT))


@torch.no_grad()
def policy_entropy(
    policy: TokenPolicy | EntropyScorer, own_tokens_NT: Tensor, space: TokenSpace, chunk_rows: int = 256
) -> EntropyEstimate:
    """Entropy per token, from sequences drawn from this very policy.

    Args:
        policy: scored by its `log_prob_and_entropy` if it has one, else step by step.
        own_tokens_NT: [N, T] int64 ids drawn from it, at temperature 1 (use `Tempered` for another).
        space: tells which positions count.
        chunk_rows: sequences scored at once.

    Returns:
        Both estimates.
    """
    chunks = space.check(own_tokens_NT).split(chunk_rows)
    if isinstance(policy, EntropyScorer):
        pairs = [policy.log_prob_and_entropy(chunk) for chunk in chunks]
    else:
        pairs = [stepwise_log_prob_and_entropy(policy, chunk) for chunk in chunks]
    mask_NT = space.mask(own_tokens_NT)
    log_prob_NT, entropy_NT = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return EntropyEstimate(sampled=mean_nll(-log_prob_NT, mask_NT), conditional=mean_nll(entropy_NT, mask_NT))


@torch.no_grad()
def stepwise_log_prob_and_entropy(policy: TokenPolicy, tokens_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Scores sequences by feeding a policy one token after the other.

    Args:
        policy: any `TokenPolicy`.
        tokens_BT: [B, T] int64 ids.

    Returns:
        [B, T] log-probability of every token given those before it, and [B, T] entropy of the distribution it came
        from, both in nats. A token of probability 0 adds nothing to an entropy.
    """
    state_B = policy.initial_state(tokens_BT.shape[0])
    log_probs_TB, entropies_TB = [], []
    for position, token_B in enumerate(tokens_BT.unbind(dim=1)):
        log_prob_BV = policy.state_logits(state_B).log_softmax(dim=1)
        log_probs_TB.append(log_prob_BV.gather(1, token_B.unsqueeze(1)).squeeze(1))
        entropies_TB.append(torch.special.entr(log_prob_BV.exp()).sum(dim=1))
        if position < tokens_BT.shape[1] - 1:
            state_B = policy.advance(token_B, state_B)
    return torch.stack(log_probs_TB, dim=1), torch.stack(entropies_TB, dim=1)
