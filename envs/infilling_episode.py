"""The rules of an infilling episode that single and vector environment share: texts, blanks, ends and scoring."""

# B sequences, N texts, T positions

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch

from rlgan.blanks import BlankConfig, draw_blanks, open_tail
from rlgan.envs.token_episode import NO_TOKEN, Ids
from rlgan.errors import ConfigError, NonFiniteError
from rlgan.types import InfillingRewardFn, TokenSpace

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def infilling_observation_space(space: TokenSpace) -> gymnasium.spaces.Dict:
    """What the policy sees: the text with `NO_TOKEN` at unfilled blanks, where its blanks were, and which is next.

    Args:
        space: what a sequence of tokens is.

    Returns:
        A Dict of `tokens` (T ids, or -1), `blanks` (T bits) and `position` (0 to T; T when the episode is over).
    """
    return gymnasium.spaces.Dict(
        {
            "tokens": gymnasium.spaces.Box(NO_TOKEN, space.vocab_size - 1, (space.length,), np.int64),
            "blanks": gymnasium.spaces.MultiBinary(space.length),
            "position": gymnasium.spaces.Discrete(space.length + 1),
        }
    )


class TextsWithBlanks:
    """Real texts, and the law by which blanks are put into them.

    Attributes:
        space: what a sequence of tokens is.
        texts_NT: [N, T] ids.
        blanks: which words are hidden.
    """

    def __init__(self, texts: Any, space: TokenSpace, blanks: BlankConfig) -> None:
        if texts is None:
            raise ConfigError(
                "an infilling environment needs texts, [N, T] integer ids of real sequences to put blanks into, such "
                "as the train_NT of a source."
            )
        self.space, self.blanks = space, blanks
        self.texts_NT = space.check(torch.as_tensor(texts)).long()
        if not len(self.texts_NT):
            raise ValueError("texts must hold at least one sequence; got none.")
        if (
            blanks.kind != "everything"
            and space.end_id is not None
            and bool((self.texts_NT[:, 0] == space.end_id).any())
        ):
            raise ValueError("every text must have at least one word to hide; got one that begins with its end token.")

    def draw(self, count: int, np_random: np.random.Generator) -> tuple[Ids, Bools]:
        """Texts drawn with equal chance, each with at least one blank (others are drawn again).

        Args:
            count: B, how many.
            np_random: where the random numbers come from.

        Returns:
            [B, T] ids and [B, T] blanks.
        """
        random = torch.Generator().manual_seed(int(np_random.integers(2**63 - 1)))
        text_BT = self.texts_NT[torch.randint(len(self.texts_NT), (count,), generator=random)]
        blank_BT = torch.zeros_like(text_BT, dtype=torch.bool)
        while bool((is_empty_B := ~blank_BT.any(dim=1)).any()):
            blank_BT[is_empty_B] = draw_blanks(
                self.blanks, text_BT[is_empty_B], self.space, self.blanks.last_rate, random
            )
        return text_BT.numpy(), blank_BT.numpy()

    def given(self, options: Mapping[str, Any] | None) -> tuple[Ids, Bools] | None:
        """The text and the blanks that `reset(options=...)` names.

        Args:
            options: `{"tokens": ids, "blanks": bits}` of T each, or of [B, T]; what stands at blanks is not looked at.

        Returns:
            [B, T] ids and blanks; None where no option is given.

        Raises:
            ValueError: if there is any other option, one of the two is missing, or a text has no blank.
        """
        options = options or {}
        if not options:
            return None
        if sorted(options) != ["blanks", "tokens"]:
            raise ValueError(f'reset knows the options "tokens" and "blanks", both or none; got {sorted(options)}.')
        blank_BT = np.atleast_2d(np.asarray(options["blanks"])).astype(np.bool_)
        token_BT = np.atleast_2d(np.asarray(options["tokens"]))
        if token_BT.shape != blank_BT.shape or token_BT.shape[1] != self.space.length:
            raise ValueError(
                f"tokens and blanks must each have {self.space.length} entries; got {list(token_BT.shape)} and "
                f"{list(blank_BT.shape)}."
            )
        if not blank_BT.any(axis=1).all():
            raise ValueError("a text must have at least one blank; got none.")
        self.space.check(torch.as_tensor(np.where(blank_BT, 0, token_BT)))
        return token_BT.astype(np.int64), blank_BT


def first_blank(blank_BT: Bools, after_B: Ids) -> Ids:
    """The next blank of every row.

    Args:
        blank_BT: [B, T] blanks.
        after_B: [B] position of the one before; -1 for the first.

    Returns:
        [B] position, T where there is none.
    """
    length = blank_BT.shape[1]
    is_later_BT = blank_BT & (np.arange(length) > after_B[:, None])
    position_B: Ids = np.where(is_later_BT.any(axis=1), is_later_BT.argmax(axis=1), length)
    return position_B


def ends_text(action_B: Ids, position_B: Ids, blank_BT: Bools, space: TokenSpace) -> Bools:
    """Whether a token ends its text: an end token after which everything is blank.

    Args:
        action_B: [B] ids.
        position_B: [B] where they are put.
        blank_BT: [B, T] blanks.
        space: tells the end token.

    Returns:
        [B] bool.
    """
    if space.end_id is None:
        return np.zeros(len(action_B), dtype=np.bool_)
    is_open_BT = open_tail(torch.from_numpy(blank_BT)).numpy()
    ends_B: Bools = (action_B == space.end_id) & is_open_BT[np.arange(len(action_B)), position_B]
    return ends_B


def require_infilling_reward_fn(reward_fn: InfillingRewardFn | None) -> InfillingRewardFn:
    """The reward function, once it is known to be one.

    Args:
        reward_fn: what the user gave.

    Returns:
        `reward_fn` itself.

    Raises:
        ConfigError: if there is none.
    """
    if not callable(reward_fn):
        raise ConfigError(
            f"an infilling environment needs reward_fn, a function from [B, T] int64 tokens and [B, T] bool blanks to "
            f"[B, T] float rewards; got {reward_fn!r}. Pass one, such as reward_fn=discriminator.reward."
        )
    return reward_fn


def score_blanks(
    reward_fn: InfillingRewardFn, token_BT: Ids, blank_BT: Bools, position_B: Ids, space: TokenSpace
) -> Floats:
    """The reward of the token that was put at one blank of every row.

    Args:
        reward_fn: the critic; its reward of a token may depend on the given words and on the tokens up to it.
        token_BT: [B, T] ids, `NO_TOKEN` at unfilled blanks, where the critic is shown the start token.
        blank_BT: [B, T] blanks.
        position_B: [B] which.
        space: tells the start token.

    Returns:
        [B] rewards, to be maximised.

    Raises:
        ValueError: if the critic does not return a [B, T] float tensor.
        NonFiniteError: if a reward is NaN or infinite.
    """
    shown_BT = np.where(token_BT == NO_TOKEN, space.start_id, token_BT)
    with torch.no_grad():
        reward_BT = reward_fn(torch.from_numpy(shown_BT), torch.from_numpy(blank_BT.copy()))
    is_tensor = isinstance(reward_BT, torch.Tensor)
    if not is_tensor or reward_BT.shape != token_BT.shape or not reward_BT.is_floating_point():
        got = f"{reward_BT.dtype} {list(reward_BT.shape)}" if is_tensor else repr(reward_BT)
        raise ValueError(f"reward_fn must return a [B, T] float tensor, here {list(token_BT.shape)}; got {got}.")
    reward_B: Floats = reward_BT.detach().cpu().numpy().astype(np.float64)[np.arange(len(token_BT)), position_B]
    if not np.isfinite(reward_B).all():
        row = int((~np.isfinite(reward_B)).argmax())
        raise NonFiniteError(
            f"reward_fn gave {reward_B[row]} for position {position_B[row]} of {shown_BT[row].tolist()}. Check the "
            "discriminator's weights and learning rate."
        )
    return reward_B
