"""Many `rlgan/Token-v0` episodes at once: one numpy update a step and one critic call for all that end together."""

# B sequences (one for each sub-environment), T positions, V vocabulary

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector.utils import batch_space

from rlgan.envs.token_episode import (
    NO_TOKEN,
    Ids,
    check_prefix,
    fill_after_end,
    prefix_option,
    require_reward_fn,
    score,
    token_observation_space,
)
from rlgan.types import RewardFn, TokenSpace

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class TokenVectorEnv(gymnasium.vector.VectorEnv):  # type: ignore[misc]
    """B episodes of `TokenEnv` in lockstep, equal to B single environments step for step.

    A row whose episode ended is reset, from nothing, by the next step, which ignores its action and rewards it with 0
    (Gymnasium's NEXT_STEP autoreset).

    Attributes:
        token_space: what a sequence of tokens is.
        reward_fn: the critic; may be replaced between steps, as a retrained discriminator is.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium declares it on the class
        "render_modes": [],
        "autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP,
    }

    def __init__(self, num_envs: int, token_space: TokenSpace, reward_fn: RewardFn | None) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1; got {num_envs}.")
        self.num_envs = num_envs
        self.token_space = token_space
        self.reward_fn: RewardFn = require_reward_fn(reward_fn)
        self.single_observation_space = token_observation_space(token_space)
        self.single_action_space = gymnasium.spaces.Discrete(token_space.vocab_size)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._tokens_BT = np.full((num_envs, token_space.length), NO_TOKEN, dtype=np.int64)
        self._position_B = np.zeros(num_envs, dtype=np.int64)
        self._ended_B = np.zeros(num_envs, dtype=np.bool_)
        self._needs_reset = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Ids], dict[str, Any]]:
        """Begin a sequence in every row.

        Args:
            seed: kept for Gymnasium's interface; this environment draws nothing.
            options: `{"prefix": ids}` puts the same tokens first in every row, `{"prefix": [ids, ids, ...]}` its own in
                each (their lengths may differ).

        Returns:
            The observation after the prefixes, and an empty info.
        """
        super().reset(seed=seed)
        prefixes = self._row_prefixes(prefix_option(options))
        self._tokens_BT[:] = NO_TOKEN
        for tokens_T, prefix_P in zip(self._tokens_BT, prefixes, strict=True):
            tokens_T[: len(prefix_P)] = prefix_P
        self._position_B[:] = [len(prefix_P) for prefix_P in prefixes]
        self._ended_B[:] = False
        self._needs_reset = False
        return self._observation(), {}

    def step(self, actions: Any) -> tuple[dict[str, Ids], Floats, Bools, Bools, dict[str, Any]]:
        """Append a token to every running row; begin anew the rows that ended one step ago.

        Args:
            actions: [B] ids in [0, V), else ValueError; those of the rows that begin anew are ignored.

        Returns:
            Observation, [B] rewards (0 unless the row ended), [B] terminated, [B] truncated (all False), empty info.

        Raises:
            ResetNeeded: if reset was never called.
        """
        if self._needs_reset:
            raise gymnasium.error.ResetNeeded("no episode has begun; call reset() before step().")
        running_B = ~self._ended_B
        actions_B = self._check_actions(actions, running_B)
        self._tokens_BT[self._ended_B] = NO_TOKEN
        self._position_B[self._ended_B] = 0
        running_rows = np.flatnonzero(running_B)
        self._tokens_BT[running_rows, self._position_B[running_rows]] = actions_B[running_rows]
        self._position_B += running_B
        ends_B = self._position_B == self.token_space.length
        if self.token_space.end_id is not None:
            ends_B |= running_B & (actions_B == self.token_space.end_id)
        self._ended_B = ends_B
        reward_B = np.zeros(self.num_envs, dtype=np.float64)
        if ends_B.any():
            self._tokens_BT[ends_B] = fill_after_end(self._tokens_BT[ends_B], self.token_space)
            reward_B[ends_B] = score(self.reward_fn, self._tokens_BT[ends_B])
        return self._observation(), reward_B, ends_B.copy(), np.zeros(self.num_envs, dtype=np.bool_), {}

    def _observation(self) -> dict[str, Ids]:
        """What the policy sees now; copies, since RLlib keeps observations."""
        return {"tokens": self._tokens_BT.copy(), "position": self._position_B.copy()}

    def _check_actions(self, actions: Any, running_B: Bools) -> Ids:
        """The actions as an array, once those of the running rows are ids."""
        actions_B = np.asarray(actions)
        if actions_B.shape != (self.num_envs,) or actions_B.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be [{self.num_envs}] integer ids; got {actions_B.dtype} {list(actions_B.shape)}."
            )
        is_wrong_B = running_B & ((actions_B < 0) | (actions_B >= self.token_space.vocab_size))
        if is_wrong_B.any():
            raise ValueError(
                f"actions must be ids in [0, {self.token_space.vocab_size}); got {actions_B[is_wrong_B].tolist()} in "
                f"rows {np.flatnonzero(is_wrong_B).tolist()}."
            )
        return actions_B

    def _row_prefixes(self, prefix: Any) -> Sequence[Ids]:
        """One checked prefix for each row, from one for all or one each."""
        is_one_each = hasattr(prefix, "__len__") and len(prefix) > 0 and np.ndim(prefix[0]) == 1
        if not is_one_each:
            return [check_prefix(prefix, self.token_space)] * self.num_envs
        if len(prefix) != self.num_envs:
            raise ValueError(f"prefix must be one list of ids, or {self.num_envs} of them; got {len(prefix)}.")
        return [check_prefix(row_prefix, self.token_space) for row_prefix in prefix]


def make_token_vector_env(
    num_envs: int,
    vocab_size: int,
    length: int,
    reward_fn: RewardFn | None = None,
    start_id: int = 0,
    end_id: int | None = None,
) -> TokenVectorEnv:
    """What `gymnasium.make_vec("rlgan/Token-v0", ...)` calls.

    Args:
        num_envs: B, episodes at once.
        vocab_size: V, number of ids, special ones included.
        length: T, positions of every sequence.
        reward_fn: the critic, from [B, T] int64 tokens to [B] float rewards. There is no default.
        start_id: the id fed before the first position.
        end_id: the id that ends a sequence and fills what follows; None where every sequence has exactly T tokens.

    Returns:
        The vector environment.
    """
    return TokenVectorEnv(num_envs, TokenSpace(vocab_size, length, start_id, end_id), reward_fn)
