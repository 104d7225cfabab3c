"""`rlgan/Infilling-v0`: an episode fills the blanks of one text from left to right; each is paid at once (MaskGAN)."""

# T positions, V vocabulary

from typing import Any

import gymnasium
import numpy as np

from rlgan.blanks import BlankConfig
from rlgan.envs.infilling_episode import (
    TextsWithBlanks,
    ends_text,
    first_blank,
    infilling_observation_space,
    require_infilling_reward_fn,
    score_blanks,
)
from rlgan.envs.token_episode import NO_TOKEN
from rlgan.types import InfillingRewardFn, TokenSpace

Observation = dict[str, Any]


class InfillingEnv(gymnasium.Env):  # type: ignore[misc]
    """Fill the next blank until there is none; words that are given cannot be changed.

    `reset` draws a text and its blanks. The reward of a step is that of the token just put down, log D_t for MaskGAN.
    An end token after which everything is blank ends the text, and the rest is filled with it; before a given word it
    is a word like any other. Both ways to end are terminations, never truncations.

    A step is a blank. So a learner's discount counts blanks, where MaskGAN's own counts words: the same returns for
    blanks in one block, other ones for blanks here and there.

    Example:
        After `reset(options={"tokens": [4, 0, 0, 5], "blanks": [0, 1, 1, 0]})` the observation is
        `{"tokens": [4, -1, -1, 5], "blanks": [0, 1, 1, 0], "position": 1}`; two steps end the episode.

    Attributes:
        token_space: what a sequence of tokens is.
        texts: real texts, and how blanks are drawn.
        reward_fn: the critic; may be replaced between episodes, as a retrained discriminator is.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it on the class

    def __init__(
        self, token_space: TokenSpace, texts: Any, blanks: BlankConfig, reward_fn: InfillingRewardFn | None
    ) -> None:
        self.token_space = token_space
        self.reward_fn: InfillingRewardFn = require_infilling_reward_fn(reward_fn)
        self.texts = TextsWithBlanks(texts, token_space, blanks)
        self.observation_space = infilling_observation_space(token_space)
        self.action_space = gymnasium.spaces.Discrete(token_space.vocab_size)
        self._token_1T = np.full((1, token_space.length), NO_TOKEN, dtype=np.int64)
        self._blank_1T = np.zeros((1, token_space.length), dtype=np.bool_)
        self._position_1 = np.full(1, token_space.length, dtype=np.int64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin with a text and its blanks.

        Args:
            seed: of the draws of text and blanks.
            options: `{"tokens": ids, "blanks": bits}` chooses both; nothing is drawn then.

        Returns:
            The observation before the first blank, and an empty info.
        """
        super().reset(seed=seed)
        text_1T, self._blank_1T = self.texts.given(options) or self.texts.draw(1, self.np_random)
        self._token_1T = np.where(self._blank_1T, NO_TOKEN, text_1T)
        self._position_1 = first_blank(self._blank_1T, np.full(1, -1))
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Fill the next blank.

        Args:
            action: the id of the token, in [0, V).

        Returns:
            Observation, reward of this token, terminated, truncated (always False), empty info.

        Raises:
            ValueError: if the action is not an id.
            ResetNeeded: if there is no running episode.
        """
        position = int(self._position_1[0])
        if position == self.token_space.length:
            raise gymnasium.error.ResetNeeded("this episode has not begun or is over; call reset() before step().")
        if not self.action_space.contains(action):
            raise ValueError(f"an action must be an integer id in [0, {self.token_space.vocab_size}); got {action!r}.")
        self._token_1T[0, position] = action
        reward = score_blanks(self.reward_fn, self._token_1T, self._blank_1T, self._position_1, self.token_space)
        if ends_text(np.array([action]), self._position_1, self._blank_1T, self.token_space)[0]:
            self._token_1T[0, position:] = action
        self._position_1 = first_blank(self._blank_1T & (self._token_1T == NO_TOKEN), self._position_1)
        is_over = bool(self._position_1[0] == self.token_space.length)
        return self._observation(), float(reward[0]), is_over, False, {}

    def _observation(self) -> Observation:
        """What the policy sees now; copies, since RLlib keeps observations."""
        return {
            "tokens": self._token_1T[0].copy(),
            "blanks": self._blank_1T[0].astype(np.int8),
            "position": np.int64(self._position_1[0]),
        }


def make_infilling_env(
    vocab_size: int,
    length: int,
    texts: Any = None,
    reward_fn: InfillingRewardFn | None = None,
    blank_kind: str = "contiguous",
    blank_rate: float = 0.5,
    start_id: int = 0,
    end_id: int | None = None,
) -> InfillingEnv:
    """What `gymnasium.make("rlgan/Infilling-v0", ...)` calls.

    Args:
        vocab_size: V, number of ids, special ones included.
        length: T, positions of every sequence.
        texts: [N, T] integer ids of real texts to put blanks into.
        reward_fn: the critic, from [B, T] int64 tokens and [B, T] bool blanks to [B, T] float rewards.
        blank_kind: contiguous, random or everything.
        blank_rate: share of the words that are blank.
        start_id: the id fed before the first position.
        end_id: the id that ends a sequence and fills what follows; None where every sequence has exactly T tokens.

    Returns:
        The environment.
    """
    blanks = BlankConfig.model_validate({"kind": blank_kind, "rate": blank_rate})
    return InfillingEnv(TokenSpace(vocab_size, length, start_id, end_id), texts, blanks, reward_fn)
