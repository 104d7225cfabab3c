"""The last token alone, one-hot: all that a recurrent policy needs to see, and what stock RLlib takes as it is."""

# B sequences, T positions, V vocabulary

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector.utils import batch_space

from rlgan.types import TokenSpace

Floats = npt.NDArray[np.float32]


class OneHotLastToken(gymnasium.ObservationWrapper, gymnasium.utils.RecordConstructorArgs):  # type: ignore[misc]
    """Shows a `TokenEnv` as the one-hot of its last token, the start token at the beginning: Box(0, 1, (V,)).

    A policy with memory (RLlib's `use_lstm`) sees every token once, as the generator does. After a reset with a prefix
    it sees the last token of the prefix only: feed it the tokens before that yourself.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        gymnasium.ObservationWrapper.__init__(self, env)
        self._token_space = _token_space_of(env.unwrapped)
        self.observation_space = _one_hot_space(self._token_space)

    def observation(self, observation: dict[str, Any]) -> Floats:
        """The one-hot of the last token.

        Args:
            observation: what `TokenEnv` shows.

        Returns:
            [V] float32.
        """
        tokens_1T, position_1 = observation["tokens"][None], np.asarray([observation["position"]])
        one_hot_1V = one_hot_last_token(tokens_1T, position_1, self._token_space)
        return one_hot_1V.squeeze(0)


class OneHotLastTokenVector(gymnasium.vector.VectorObservationWrapper):  # type: ignore[misc]
    """Shows a `TokenVectorEnv` as the one-hots of its last tokens: Box(0, 1, (B, V))."""

    def __init__(self, env: gymnasium.vector.VectorEnv) -> None:
        super().__init__(env)
        self._token_space = _token_space_of(env.unwrapped)
        self.single_observation_space = _one_hot_space(self._token_space)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def observations(self, observations: dict[str, Any]) -> Floats:
        """The one-hot of the last token of every row.

        Args:
            observations: what `TokenVectorEnv` shows.

        Returns:
            [B, V] float32.
        """
        return one_hot_last_token(observations["tokens"], observations["position"], self._token_space)


def one_hot_last_token(
    tokens_BT: npt.NDArray[np.int64], position_B: npt.NDArray[np.int64], space: TokenSpace
) -> Floats:
    """One-hot of the token before each position, the start token where there is none.

    Args:
        tokens_BT: [B, T] ids.
        position_B: [B] number of tokens chosen so far, 0 to T.
        space: what a sequence of tokens is.

    Returns:
        [B, V] float32, one 1 in each row.
    """
    rows_B = np.arange(len(tokens_BT))
    last_token_B = np.where(position_B > 0, tokens_BT[rows_B, position_B - 1], space.start_id)
    one_hot_BV = np.zeros((len(tokens_BT), space.vocab_size), dtype=np.float32)
    one_hot_BV[rows_B, last_token_B] = 1.0
    return one_hot_BV


def _token_space_of(env: Any) -> TokenSpace:
    """The token space of a token environment."""
    space = getattr(env, "token_space", None)
    if not isinstance(space, TokenSpace):
        raise ValueError(f"the last token can be shown of a token environment only; got {env!r}.")
    return space


def _one_hot_space(space: TokenSpace) -> gymnasium.spaces.Box:
    """[V] numbers in [0, 1]."""
    return gymnasium.spaces.Box(0.0, 1.0, (space.vocab_size,), np.float32)


class OneHotText(gymnasium.ObservationWrapper, gymnasium.utils.RecordConstructorArgs):  # type: ignore[misc]
    """Shows an `InfillingEnv` as the one-hot of every position and of which blank is next: Box(0, 1, (T (V + 2),)).

    A position is one of V tokens or an unfilled blank; the last T numbers mark the blank to be filled.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        gymnasium.ObservationWrapper.__init__(self, env)
        self._token_space = _token_space_of(env.unwrapped)
        self.observation_space = _one_hot_text_space(self._token_space)

    def observation(self, observation: dict[str, Any]) -> Floats:
        """The one-hot text.

        Args:
            observation: what `InfillingEnv` shows.

        Returns:
            [T (V + 2)] float32.
        """
        tokens_1T, position_1 = observation["tokens"][None], np.asarray([observation["position"]])
        return one_hot_text(tokens_1T, position_1, self._token_space).squeeze(0)


class OneHotTextVector(gymnasium.vector.VectorObservationWrapper):  # type: ignore[misc]
    """Shows an `InfillingVectorEnv` as the one-hots of its texts: Box(0, 1, (B, T (V + 2)))."""

    def __init__(self, env: gymnasium.vector.VectorEnv) -> None:
        super().__init__(env)
        self._token_space = _token_space_of(env.unwrapped)
        self.single_observation_space = _one_hot_text_space(self._token_space)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def observations(self, observations: dict[str, Any]) -> Floats:
        """The one-hot text of every row.

        Args:
            observations: what `InfillingVectorEnv` shows.

        Returns:
            [B, T (V + 2)] float32.
        """
        return one_hot_text(observations["tokens"], observations["position"], self._token_space)


def one_hot_text(tokens_BT: npt.NDArray[np.int64], position_B: npt.NDArray[np.int64], space: TokenSpace) -> Floats:
    """Texts with blanks as numbers.

    Args:
        tokens_BT: [B, T] ids, -1 at unfilled blanks.
        position_B: [B] the blank to be filled, T where there is none.
        space: what a sequence of tokens is.

    Returns:
        [B, T (V + 2)] float32: T one-hots of V + 1 (the last: unfilled), then the one-hot of the position.
    """
    text_BTV = np.eye(space.vocab_size + 1, dtype=np.float32)[tokens_BT]  # -1 is the last row
    next_BT = np.eye(space.length + 1, dtype=np.float32)[position_B][:, : space.length]
    return np.concatenate([text_BTV.reshape(len(tokens_BT), -1), next_BT], axis=1)


def _one_hot_text_space(space: TokenSpace) -> gymnasium.spaces.Box:
    """[T (V + 2)] numbers in [0, 1]."""
    return gymnasium.spaces.Box(0.0, 1.0, (space.length * (space.vocab_size + 2),), np.float32)
