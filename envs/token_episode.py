"""The rules of a token episode that the single and the vector environment share: spaces, prefixes and scoring."""

# B sequences, T positions, P prefix tokens

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch

from rlgan.errors import ConfigError, NonFiniteError
from rlgan.types import RewardFn, TokenSpace

Ids = npt.NDArray[np.int64]

NO_TOKEN = -1


def token_observation_space(space: TokenSpace) -> gymnasium.spaces.Dict:
    """What the policy sees: the tokens so far, `NO_TOKEN` where there is none yet, and how many there are.

    Args:
        space: what a sequence of tokens is.

    Returns:
        A Dict of `tokens` (T ids, -1 where not yet chosen) and `position` (0 to T). Gymnasium can flatten it.
    """
    return gymnasium.spaces.Dict(
        {
            "tokens": gymnasium.spaces.Box(NO_TOKEN, space.vocab_size - 1, (space.length,), np.int64),
            "position": gymnasium.spaces.Discrete(space.length + 1),
        }
    )


def require_reward_fn(reward_fn: RewardFn | None) -> RewardFn:
    """The reward function, once it is known to be one.

    Args:
        reward_fn: what the user gave.

    Returns:
        `reward_fn` itself.

    Raises:
        ConfigError: if there is none. A built-in default would train a policy on something nobody asked for.
    """
    if not callable(reward_fn):
        raise ConfigError(
            f"a token environment needs reward_fn, a function from [B, T] int64 tokens to [B] float rewards; got "
            f'{reward_fn!r}. Pass one, such as gymnasium.make("rlgan/Token-v0", ..., reward_fn=discriminator.reward).'
        )
    return reward_fn


def prefix_option(options: Mapping[str, Any] | None) -> Any:
    """What `reset(options=...)` says about the prefix.

    Args:
        options: the options of `reset`.

    Returns:
        The value of "prefix", not yet checked; an empty tuple where there is none.

    Raises:
        ValueError: if there is any other option, since a misspelt one would silently start from nothing.
    """
    options = options or {}
    unknown = sorted(set(options) - {"prefix"})
    if unknown:
        raise ValueError(f'reset knows the option "prefix" only; got {unknown}.')
    prefix = options.get("prefix")
    return () if prefix is None else prefix


def check_prefix(prefix: Any, space: TokenSpace) -> Ids:
    """The prefix as an array, once an episode can be continued from it.

    Args:
        prefix: ids of the tokens already chosen; a sequence, an array or a tensor.
        space: what a sequence of tokens is.

    Returns:
        [P] int64 ids, 0 <= P < T.

    Raises:
        ValueError: if it is not a list of ids, is too long, has an id out of range, or already holds the end token.
    """
    prefix_P = np.asarray(prefix)
    if prefix_P.size == 0:
        return np.empty(0, dtype=np.int64)
    if prefix_P.ndim != 1 or prefix_P.dtype.kind not in "iu":
        raise ValueError(f"a prefix must be a flat list of integer ids; got {prefix!r}.")
    if len(prefix_P) >= space.length:
        raise ValueError(
            f"a prefix must leave at least one of the {space.length} positions to the policy; got {len(prefix_P)} ids."
        )
    if prefix_P.min() < 0 or prefix_P.max() >= space.vocab_size:
        raise ValueError(
            f"prefix ids must be in [0, {space.vocab_size}); got {prefix_P.min()} to {prefix_P.max()}. "
            "Leave the start token and padding out of a prefix."
        )
    if space.end_id is not None and (prefix_P == space.end_id).any():
        raise ValueError(f"a prefix must not hold the end token {space.end_id}: its episode is over; got {prefix!r}.")
    return prefix_P.astype(np.int64)


def fill_after_end(tokens_BT: Ids, space: TokenSpace) -> Ids:
    """Finished sequences as the reward function sees them: end tokens where an early end left positions empty.

    Args:
        tokens_BT: [B, T] ids of finished episodes, `NO_TOKEN` after the end token.
        space: what a sequence of tokens is.

    Returns:
        [B, T] ids, all in [0, V).
    """
    if space.end_id is None:
        return tokens_BT
    return np.where(tokens_BT == NO_TOKEN, np.int64(space.end_id), tokens_BT)


def score(reward_fn: RewardFn, tokens_BT: Ids) -> npt.NDArray[np.float64]:
    """The reward of finished sequences.

    Args:
        reward_fn: the critic.
        tokens_BT: [B, T] ids of finished, filled sequences.

    Returns:
        [B] rewards, to be maximised.

    Raises:
        ValueError: if the critic does not return a [B] float tensor.
        NonFiniteError: if a reward is NaN or infinite. RLlib would zero the gradients and train on in silence.
    """
    with torch.no_grad():
        reward_B = reward_fn(torch.from_numpy(tokens_BT.copy()))
    is_tensor = isinstance(reward_B, torch.Tensor)
    if not is_tensor or reward_B.shape != tokens_BT.shape[:1] or not reward_B.is_floating_point():
        got = f"{reward_B.dtype} {list(reward_B.shape)}" if is_tensor else repr(reward_B)
        raise ValueError(f"reward_fn must return a [B] float tensor, here [{len(tokens_BT)}]; got {got}.")
    rewards_B = reward_B.detach().cpu().numpy().astype(np.float64)
    is_bad_B = ~np.isfinite(rewards_B)
    if is_bad_B.any():
        row = int(is_bad_B.argmax())
        raise NonFiniteError(
            f"reward_fn gave {rewards_B[row]} for tokens {tokens_BT[row].tolist()} ({int(is_bad_B.sum())} of "
            f"{len(rewards_B)} rewards are not finite). Check the discriminator's weights and learning rate."
        )
    return rewards_B
