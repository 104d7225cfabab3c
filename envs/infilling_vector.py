"""Many `rlgan/Infilling-v0` episodes at once: one critic call a step for all of them."""

# B sequences (one for each sub-environment), T positions, V vocabulary

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space

from rlgan.blanks import BlankConfig
from rlgan.envs.infilling_episode import (
    Bools,
    Floats,
    TextsWithBlanks,
    ends_text,
    first_blank,
    infilling_observation_space,
    require_infilling_reward_fn,
    score_blanks,
)
from rlgan.envs.token_episode import NO_TOKEN, Ids
from rlgan.types import InfillingRewardFn, TokenSpace


class InfillingVectorEnv(gymnasium.vector.VectorEnv):  # type: ignore[misc]
    """B episodes of `InfillingEnv` side by side, equal to B single environments on the same texts and blanks.

    A row whose episode ended gets a new text by the next step, which ignores its action and rewards it with 0
    (Gymnasium's NEXT_STEP autoreset).

    Attributes:
        token_space: what a sequence of tokens is.
        texts: real texts, and how blanks are drawn.
        reward_fn: the critic; may be replaced between steps, as a retrained discriminator is.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium declares it on the class
        "render_modes": [],
        "autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int,
        token_space: TokenSpace,
        texts: Any,
        blanks: BlankConfig,
        reward_fn: InfillingRewardFn | None,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1; got {num_envs}.")
        self.num_envs, self.token_space = num_envs, token_space
        self.reward_fn: InfillingRewardFn = require_infilling_reward_fn(reward_fn)
        self.texts = TextsWithBlanks(texts, token_space, blanks)
        self.single_observation_space = infilling_observation_space(token_space)
        self.single_action_space = gymnasium.spaces.Discrete(token_space.vocab_size)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._token_BT = np.full((num_envs, token_space.length), NO_TOKEN, dtype=np.int64)
        self._blank_BT = np.zeros((num_envs, token_space.length), dtype=np.bool_)
        self._position_B = np.zeros(num_envs, dtype=np.int64)
        self._needs_reset = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin with a text and its blanks in every row.

        Args:
            seed: of the draws of texts and blanks.
            options: `{"tokens": ids, "blanks": bits}`, T of each for all rows or [B, T]; nothing is drawn then.

        Returns:
            The observation before the first blanks, and an empty info.

        Raises:
            ValueError: if the options are for another number of rows.
        """
        super().reset(seed=seed)
        given = self.texts.given(options)
        text_BT, blank_BT = given or self.texts.draw(self.num_envs, self.np_random)
        if len(text_BT) not in {1, self.num_envs}:
            raise ValueError(f"tokens and blanks must be one text, or {self.num_envs} of them; got {len(text_BT)}.")
        self._begin(np.arange(self.num_envs), text_BT, blank_BT)
        self._needs_reset = False
        return self._observation(), {}

    def step(self, actions: Any) -> tuple[dict[str, Any], Floats, Bools, Bools, dict[str, Any]]:
        """Fill the next blank of every running row; give new texts to the rows that ended one step ago.

        Args:
            actions: [B] ids in [0, V), else ValueError; those of the rows that begin anew are ignored.

        Returns:
            Observation, [B] rewards of these tokens, [B] terminated, [B] truncated (all False), empty info.

        Raises:
            ResetNeeded: if reset was never called.
        """
        if self._needs_reset:
            raise gymnasium.error.ResetNeeded("no episode has begun; call reset() before step().")
        length = self.token_space.length
        running = np.flatnonzero(self._position_B < length)
        ended = np.flatnonzero(self._position_B == length)
        action_N = self._check_actions(actions)[running]
        reward_B = np.zeros(self.num_envs, dtype=np.float64)
        if len(running):
            reward_B[running] = self._fill(running, action_N)
        if len(ended):
            self._begin(ended, *self.texts.draw(len(ended), self.np_random))
        terminated_B = self._position_B == length
        return self._observation(), reward_B, terminated_B, np.zeros(self.num_envs, dtype=np.bool_), {}

    def _begin(self, rows: Ids, text_NT: Ids, blank_NT: Bools) -> None:
        """Put texts into rows."""
        self._blank_BT[rows] = blank_NT
        self._token_BT[rows] = np.where(blank_NT, NO_TOKEN, text_NT)
        self._position_B[rows] = first_blank(self._blank_BT[rows], np.full(len(rows), -1))

    def _fill(self, rows: Ids, action_N: Ids) -> Floats:
        """Put tokens at the next blanks of rows; their rewards."""
        position_N, blank_NT = self._position_B[rows], self._blank_BT[rows]
        self._token_BT[rows, position_N] = action_N
        token_NT = self._token_BT[rows]
        reward_N = score_blanks(self.reward_fn, token_NT, blank_NT, position_N, self.token_space)
        ends_N = ends_text(action_N, position_N, blank_NT, self.token_space)
        rest_NT = ends_N[:, None] & (np.arange(token_NT.shape[1]) > position_N[:, None])
        self._token_BT[rows] = token_NT = np.where(rest_NT, action_N[:, None], token_NT)
        self._position_B[rows] = first_blank(blank_NT & (token_NT == NO_TOKEN), position_N)
        return reward_N

    def _observation(self) -> dict[str, Any]:
        """What the policy sees now; copies, since RLlib keeps observations."""
        return {
            "tokens": self._token_BT.copy(),
            "blanks": self._blank_BT.astype(np.int8),
            "position": self._position_B.copy(),
        }

    def _check_actions(self, actions: Any) -> Ids:
        """The actions as an array, once those of the running rows are ids."""
        action_B = np.asarray(actions)
        if action_B.shape != (self.num_envs,) or action_B.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be [{self.num_envs}] integer ids; got {action_B.dtype} {list(action_B.shape)}."
            )
        is_wrong_B = (action_B < 0) | (action_B >= self.token_space.vocab_size)
        is_wrong_B &= self._position_B < self.token_space.length
        if is_wrong_B.any():
            raise ValueError(
                f"actions must be ids in [0, {self.token_space.vocab_size}); got {action_B[is_wrong_B].tolist()} in "
                f"rows {np.flatnonzero(is_wrong_B).tolist()}."
            )
        return action_B


def make_infilling_vector_env(
    num_envs: int,
    vocab_size: int,
    length: int,
    texts: Any = None,
    reward_fn: InfillingRewardFn | None = None,
    blank_kind: str = "contiguous",
    blank_rate: float = 0.5,
    start_id: int = 0,
    end_id: int | None = None,
) -> InfillingVectorEnv:
    """What `gymnasium.make_vec("rlgan/Infilling-v0", ...)` calls.

    Args:
        num_envs: B, episodes at once.
        vocab_size: V, number of ids, special ones included.
        length: T, positions of every sequence.
        texts: [N, T] integer ids of real texts to put blanks into.
        reward_fn: the critic, from [B, T] int64 tokens and [B, T] bool blanks to [B, T] float rewards.
        blank_kind: contiguous, random or everything.
        blank_rate: share of the words that are blank.
        start_id: the id fed before the first position.
        end_id: the id that ends a sequence and fills what follows; None where every sequence has exactly T tokens.

    Returns:
        The vector environment.
    """
    blanks = BlankConfig.model_validate({"kind": blank_kind, "rate": blank_rate})
    return InfillingVectorEnv(num_envs, TokenSpace(vocab_size, length, start_id, end_id), texts, blanks, reward_fn)
