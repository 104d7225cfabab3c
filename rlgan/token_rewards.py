"""Where the reward of every token comes from: Monte-Carlo rollouts, or a control that ignores the discriminator."""

# B sequences, T positions, R rollouts

from typing import Protocol

import torch
from torch import Tensor

from rlgan.rollouts import MonteCarloRollouts
from rlgan.types import CompletionCritic, RewardFn, TokenPolicy


class TokenRewards(Protocol):
    """What pays for tokens: [B, T] ids and a generator -> [R, B, T] rewards to maximise."""

    def __call__(self, tokens_BT: Tensor, random: torch.Generator) -> Tensor:
        """Rewards of every token, R times."""
        ...


class MonteCarloRewards:
    """Rewards of R completions of every prefix (SeqGAN, arXiv:1609.05473, Eq. 3 and 4)."""

    def __init__(
        self, rollouts: MonteCarloRollouts, rollout_policy: TokenPolicy, critic: RewardFn | CompletionCritic
    ) -> None:
        self.rollouts = rollouts
        self.rollout_policy = rollout_policy
        self.critic = critic

    def __call__(self, tokens_BT: Tensor, random: torch.Generator) -> Tensor:
        """Complete and score, in groups of sequences that keep within `RolloutLimits.completed_tokens`.

        Args:
            tokens_BT: [B, T] int64 ids.
            random: where the random numbers come from.

        Returns:
            [R, B, T] rewards to maximise.
        """
        groups = tokens_BT.split(self.rollouts.sequences_at_once)
        return torch.cat([self._of_group(group_BT, random) for group_BT in groups], dim=1)

    def _of_group(self, tokens_BT: Tensor, random: torch.Generator) -> Tensor:
        """[R, B, T] rewards of sequences whose completions are all held at once."""
        uniform_PRBT = self.rollouts.draw_uniforms(len(tokens_BT), random)
        completed_PRBT = self.rollouts.complete(self.rollout_policy, tokens_BT, uniform_PRBT)
        return self.rollouts.score(self.critic, tokens_BT, completed_PRBT)


class ConstantRewards:
    """The control that pays 1 for everything: what is gained with it is not the discriminator's doing."""

    def __call__(self, tokens_BT: Tensor, random: torch.Generator) -> Tensor:
        """All ones.

        Args:
            tokens_BT: [B, T] ids.
            random: not used.

        Returns:
            [1, B, T].
        """
        return torch.ones(1, *tokens_BT.shape, device=tokens_BT.device)


class RandomRewards:
    """The control that pays a uniform number in [0, 1) for each token."""

    def __call__(self, tokens_BT: Tensor, random: torch.Generator) -> Tensor:
        """Independent draws.

        Args:
            tokens_BT: [B, T] ids.
            random: where the random numbers come from.

        Returns:
            [1, B, T].
        """
        return torch.rand(1, *tokens_BT.shape, generator=random, device=tokens_BT.device)
