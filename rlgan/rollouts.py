"""Sequences drawn from a policy, and Monte-Carlo completions of all their prefixes, in one growing batch.

No prefix is ever run again: the state after every prefix is kept, and at position t the rows of all shorter prefixes
advance together (R*B*t of them).
"""

# B sequences, T positions, V vocabulary, R rollouts, P = T-1 prefixes (lengths 1..T-1), N rows

from dataclasses import dataclass

import torch
from torch import Tensor

from rlgan.sampling import inverse_cdf_sample, rows_at_once, sample_linear
from rlgan.types import CompletionCritic, LinearTokenPolicy, RewardFn, TokenPolicy, TokenSpace

State = tuple[Tensor, ...]


@dataclass(frozen=True)
class RolloutLimits:
    """How much is worked off at once.

    Attributes:
        logits: logits held at once while sampling (64 rows of 5,000 stay in a CPU cache; on a GPU 256 times as many);
            results do not depend on it.
        scored_rows: sequences given to the reward function at once; results do not depend on it.
        completed_tokens: tokens of completions held at once, of 12 bytes each with their random numbers. Sequences
            beyond it come in a later group, whose random numbers are drawn after those of the group before.
    """

    logits: int = 64 * 5000
    scored_rows: int = 1024
    completed_tokens: int = 1 << 22

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1; got {value}.")


class MonteCarloRollouts:
    """Completes every prefix R times with a roll-out policy and scores the results (arXiv:1609.05473, Eq. 3 and 4).

    All methods take their random numbers, so that stepping an environment with the same numbers gives the same tokens.
    """

    def __init__(self, space: TokenSpace, num_rollouts: int, limits: RolloutLimits | None = None) -> None:
        if num_rollouts < 1:
            raise ValueError(f"num_rollouts must be at least 1; got {num_rollouts}.")
        self.space = space
        self.num_rollouts = num_rollouts
        self.limits = limits or RolloutLimits()

    @property
    def sequences_at_once(self) -> int:
        """How many sequences' completions are within `limits.completed_tokens`; at least 1."""
        of_one = (self.space.length - 1) * self.num_rollouts * self.space.length
        return max(1, self.limits.completed_tokens // max(1, of_one))

    def draw_uniforms(self, num_sequences: int, generator: torch.Generator) -> Tensor:
        """The random numbers of `complete`.

        Args:
            num_sequences: B.
            generator: where they come from.

        Returns:
            [P, R, B, T] float in [0, 1): entry [p, r, b, t] draws token t of rollout r after the first p + 1 tokens.
        """
        shape = (self.space.length - 1, self.num_rollouts, num_sequences, self.space.length)
        return torch.rand(shape, generator=generator, device=generator.device)

    @torch.no_grad()
    def complete(self, policy: TokenPolicy, tokens_BT: Tensor, uniform_PRBT: Tensor) -> Tensor:
        """R completions of every prefix of every sequence.

        Args:
            policy: the roll-out policy G_beta.
            tokens_BT: [B, T] int64 ids, the sequences whose prefixes are completed.
            uniform_PRBT: [P, R, B, T] from `draw_uniforms`.

        Returns:
            [P, R, B, T] int64: entry [p, r, b] keeps the first p + 1 tokens of sequence b and draws the rest.
        """
        batch, length = tokens_BT.shape
        num_prefixes, num_rollouts = length - 1, self.num_rollouts
        completed_PRBT = tokens_BT.expand(num_prefixes, num_rollouts, batch, length).contiguous()
        base_state = policy.initial_state(batch)
        states: list[Tensor] = []
        for position in range(1, length):
            base_state = policy.advance(tokens_BT[:, position - 1], base_state)
            drawn_PRB = self._draw(policy, base_state, states, uniform_PRBT[:position, :, :, position])
            if self.space.end_id is not None:
                ended_PRB = completed_PRBT[:position, :, :, position - 1] == self.space.end_id
                drawn_PRB = torch.where(ended_PRB, self.space.end_id, drawn_PRB)
            completed_PRBT[:position, :, :, position] = drawn_PRB
            if position < length - 1:
                copies = [part.repeat(num_rollouts, 1) for part in base_state]
                states = [torch.cat([old, new]) for old, new in zip(states, copies, strict=True)] if states else copies
                states = list(policy.advance(drawn_PRB.flatten(), tuple(states)))
        return completed_PRBT

    def _draw(self, policy: TokenPolicy, base_state: State, states: list[Tensor], uniform_ARB: Tensor) -> Tensor:
        """The next token of all active rows: A prefixes; rollouts of the newest still share their state."""
        num_active, num_rollouts, batch = uniform_ARB.shape
        drawn_ARB = torch.empty(uniform_ARB.shape, dtype=torch.int64, device=uniform_ARB.device)
        newest_BR = _sample_rows(policy, base_state, uniform_ARB[-1].t(), self.limits.logits, self.space.vocab_size)
        drawn_ARB[-1] = newest_BR.t()
        if num_active > 1:
            uniform_N1 = uniform_ARB[:-1].reshape(-1, 1)
            older_N1 = _sample_rows(policy, tuple(states), uniform_N1, self.limits.logits, self.space.vocab_size)
            drawn_ARB[:-1] = older_N1.view(num_active - 1, num_rollouts, batch)
        return drawn_ARB

    @torch.no_grad()
    def score(self, critic: RewardFn | CompletionCritic, tokens_BT: Tensor, completed_PRBT: Tensor) -> Tensor:
        """Rewards of all completions and of the sequences themselves.

        Args:
            critic: [N, T] ids -> [N] reward to maximise, or what scores completions by their prefixes.
            tokens_BT: [B, T] int64 ids.
            completed_PRBT: [P, R, B, T] from `complete`.

        Returns:
            [R, B, T] float: entry [r, b, t] belongs to rollout r after token t; the last column is the whole sequence.
        """
        batch, length = tokens_BT.shape
        if isinstance(critic, CompletionCritic):
            reward_PRB, finished_B = critic.completion_rewards(tokens_BT, completed_PRBT)
        else:
            rows_NT = torch.cat([completed_PRBT.reshape(-1, length), tokens_BT])
            reward_N = torch.cat([critic(chunk) for chunk in rows_NT.split(self.limits.scored_rows)])
            reward_PRB, finished_B = reward_N[:-batch].view(length - 1, self.num_rollouts, batch), reward_N[-batch:]
        reward_TRB = torch.cat([reward_PRB, finished_B.expand(1, self.num_rollouts, batch)])
        return reward_TRB.permute(1, 2, 0)


@torch.no_grad()
def sample_sequences(
    policy: TokenPolicy, space: TokenSpace, uniform_BT: Tensor, temperature: float = 1.0, chunk_logits: int = 64 * 5000
) -> Tensor:
    """Whole sequences from a policy.

    Args:
        policy: what draws.
        space: length, vocabulary and end token.
        uniform_BT: [B, T] float in [0, 1): entry [b, t] draws token t of sequence b.
        temperature: divides the logits; 1 is the policy itself.
        chunk_logits: logits held at once.

    Returns:
        [B, T] int64 ids; after the end token all is filled with it.

    Raises:
        ValueError: if the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive; got {temperature}. Close to 0 is greedy.")
    state = policy.initial_state(uniform_BT.shape[0])
    tokens_TB: list[Tensor] = []
    for position in range(space.length):
        uniform_B1 = uniform_BT[:, position : position + 1]
        token_B = _sample_rows(policy, state, uniform_B1, chunk_logits, space.vocab_size, temperature).squeeze(1)
        if space.end_id is not None and tokens_TB:
            token_B = torch.where(tokens_TB[-1] == space.end_id, space.end_id, token_B)
        tokens_TB.append(token_B)
        if position < space.length - 1:
            state = policy.advance(token_B, state)
    return torch.stack(tokens_TB, dim=1)


def _sample_rows(
    policy: TokenPolicy, state: State, uniform_NK: Tensor, chunk_logits: int, vocab_size: int, temperature: float = 1.0
) -> Tensor:
    """K draws from every row of a state, a few rows at a time."""
    if isinstance(policy, LinearTokenPolicy):
        return sample_linear(*policy.readout(state), uniform_NK, temperature, chunk_logits)
    rows = rows_at_once(chunk_logits, vocab_size, state[0].device)
    chunks = zip(*(part.split(rows) for part in state), strict=True)
    drawn = [
        inverse_cdf_sample(
            policy.state_logits(chunk) / temperature if temperature != 1.0 else policy.state_logits(chunk), u
        )
        for chunk, u in zip(chunks, uniform_NK.split(rows), strict=True)
    ]
    return torch.cat(drawn)
