"""`rlgan/Token-v0`: an episode writes one sequence, a token a step, and the critic scores it at the end (SeqGAN)."""

# T positions, V vocabulary

from typing import Any

import gymnasium
import numpy as np

from rlgan.envs.token_episode import (
    NO_TOKEN,
    check_prefix,
    fill_after_end,
    prefix_option,
    require_reward_fn,
    score,
    token_observation_space,
)
from rlgan.types import RewardFn, TokenSpace

Observation = dict[str, Any]


class TokenEnv(gymnasium.Env):  # type: ignore[misc]
    """Append tokens until there are T of them or the end token came; then the reward is that of the whole sequence.

    Deterministic: the only randomness is the policy's. The reward is 0 before the last step. Both ways to end are
    terminations, never truncations. The last observation shows the sequence as it was scored, filled with end tokens.

    Example:
        `TokenEnv(TokenSpace(vocab_size=5, length=3), reward_fn)`; after `reset(options={"prefix": [4, 0]})` the
        observation is `{"tokens": [4, 0, -1], "position": 2}`, and `step(1)` ends the episode with the reward of 4 0 1.

    Attributes:
        token_space: what a sequence of tokens is.
        reward_fn: the critic; may be replaced between episodes, as a retrained discriminator is.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it on the class

    def __init__(self, token_space: TokenSpace, reward_fn: RewardFn | None) -> None:
        self.token_space = token_space
        self.reward_fn: RewardFn = require_reward_fn(reward_fn)
        self.observation_space = token_observation_space(token_space)
        self.action_space = gymnasium.spaces.Discrete(token_space.vocab_size)
        self._tokens_T = np.full(token_space.length, NO_TOKEN, dtype=np.int64)
        self._position = 0
        self._needs_reset = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a sequence, from nothing or from any prefix.

        Args:
            seed: kept for Gymnasium's interface; this environment draws nothing.
            options: `{"prefix": ids}` puts these tokens first; fewer than T ids and no end token among them.

        Returns:
            The observation after the prefix, and an empty info.
        """
        super().reset(seed=seed)
        prefix_P = check_prefix(prefix_option(options), self.token_space)
        self._tokens_T[:] = NO_TOKEN
        self._tokens_T[: len(prefix_P)] = prefix_P
        self._position = len(prefix_P)
        self._needs_reset = False
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Append a token.

        Args:
            action: its id, in [0, V).

        Returns:
            Observation, reward (0 unless the sequence ended), terminated, truncated (always False), empty info.

        Raises:
            ValueError: if the action is not an id.
            ResetNeeded: if there is no running episode.
        """
        if self._needs_reset:
            raise gymnasium.error.ResetNeeded("this episode has not begun or is over; call reset() before step().")
        if not self.action_space.contains(action):
            raise ValueError(f"an action must be an integer id in [0, {self.token_space.vocab_size}); got {action!r}.")
        self._tokens_T[self._position] = action
        self._position += 1
        if self._position < self.token_space.length and int(action) != self.token_space.end_id:
            return self._observation(), 0.0, False, False, {}
        self._needs_reset = True
        self._tokens_T = fill_after_end(self._tokens_T, self.token_space)
        reward = float(score(self.reward_fn, self._tokens_T[None])[0])
        return self._observation(), reward, True, False, {}

    def _observation(self) -> Observation:
        """What the policy sees now; a copy, since RLlib keeps observations."""
        return {"tokens": self._tokens_T.copy(), "position": np.int64(self._position)}


def make_token_env(
    vocab_size: int, length: int, reward_fn: RewardFn | None = None, start_id: int = 0, end_id: int | None = None
) -> TokenEnv:
    """What `gymnasium.make("rlgan/Token-v0", ...)` calls.

    Args:
        vocab_size: V, number of ids, special ones included.
        length: T, positions of every sequence.
        reward_fn: the critic, from [B, T] int64 tokens to [B] float rewards. There is no default.
        start_id: the id fed before the first position.
        end_id: the id that ends a sequence and fills what follows; None where every sequence has exactly T tokens.

    Returns:
        The environment.
    """
    return TokenEnv(TokenSpace(vocab_size, length, start_id, end_id), reward_fn)
