"""The rules of an image episode that the single and the vector environment share: spaces, codes, pixels and scoring."""

# B images, Z latent size, D pixels times channels, C channels, H height, W width

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch

from rlgan.errors import ConfigError, NonFiniteError
from rlgan.image_types import ImageSpace

Codes = npt.NDArray[np.float32]
Levels = npt.NDArray[np.int64]
ImageRewardFn = Callable[[torch.Tensor], torch.Tensor]

LATENT_BOUND = 8.0
"""A standard normal number is larger once in 10^15 draws; it is clipped, so that the observations are bounded."""


def latent_space(latent_size: int) -> gymnasium.spaces.Box:
    """What the policy sees: a code of independent standard normal numbers.

    Args:
        latent_size: Z.

    Returns:
        A Box of Z numbers within the bound.

    Raises:
        ValueError: if there is no number.
    """
    if latent_size < 1:
        raise ValueError(f"latent_size must be at least 1; got {latent_size}.")
    return gymnasium.spaces.Box(-LATENT_BOUND, LATENT_BOUND, (latent_size,), np.float32)


def pixel_space(space: ImageSpace) -> gymnasium.spaces.MultiDiscrete:
    """What the policy does: one level for every pixel of every channel.

    Args:
        space: what an image is.

    Returns:
        A MultiDiscrete, which RLlib's stock policies can sample.
    """
    return gymnasium.spaces.MultiDiscrete([space.levels] * space.num_values)


def draw_codes(random: np.random.Generator, shape: tuple[int, ...]) -> Codes:
    """Fresh latent codes.

    Args:
        random: the environment's random numbers.
        shape: [Z] or [B, Z].

    Returns:
        Standard normal numbers.
    """
    codes: Codes = random.standard_normal(shape, dtype=np.float32).clip(-LATENT_BOUND, LATENT_BOUND)
    return codes


def require_image_reward_fn(reward_fn: ImageRewardFn | None) -> ImageRewardFn:
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
            f"an image environment needs reward_fn, a function from [B, C, H, W] int64 levels to [B] float rewards; "
            f"got {reward_fn!r}. Pass one, such as "
            'gymnasium.make("rlgan/BinaryImage-v0", ..., reward_fn=discriminator.reward).'
        )
    return reward_fn


def latent_option(options: Mapping[str, Any] | None, shape: tuple[int, ...]) -> Codes | None:
    """What `reset(options=...)` says about the latent code.

    Args:
        options: the options of `reset`.
        shape: that the codes must have.

    Returns:
        The codes; None where none are given.

    Raises:
        ValueError: if there is any other option, or the codes have another shape or are out of bounds.
    """
    options = options or {}
    unknown = sorted(set(options) - {"latent"})
    if unknown:
        raise ValueError(f'reset knows the option "latent" only; got {unknown}.')
    if options.get("latent") is None:
        return None
    codes: Codes = np.array(options["latent"], dtype=np.float32)
    wanted = f"latent must be {list(shape)} numbers of at most {LATENT_BOUND:g} in size"
    if codes.shape != shape:
        raise ValueError(f"{wanted}; got {list(codes.shape)}.")
    is_within = np.abs(codes) <= LATENT_BOUND
    if not is_within.all():
        place = [int(axis[0]) for axis in np.nonzero(~is_within)]
        raise ValueError(f"{wanted}; got {codes[tuple(place)]:g} at {place}.")
    return codes


def check_images(action_BD: npt.NDArray[Any], num_images: int, space: ImageSpace) -> Levels:
    """Actions as images, once they are known to be levels.

    Args:
        action_BD: [B, D].
        num_images: B.
        space: what an image is.

    Returns:
        [B, C, H, W] int64.

    Raises:
        ValueError: if the shape, the type or a level is wrong.
    """
    if action_BD.shape != (num_images, space.num_values) or action_BD.dtype.kind not in "iu":
        raise ValueError(
            f"actions must be [{num_images}, {space.num_values}] integer levels; got {action_BD.dtype} "
            f"{list(action_BD.shape)}."
        )
    if action_BD.min() < 0 or action_BD.max() >= space.levels:
        raise ValueError(f"levels must be in [0, {space.levels}); got {action_BD.min()} to {action_BD.max()}.")
    return action_BD.astype(np.int64).reshape(num_images, *space.shape)


def score_images(reward_fn: ImageRewardFn, image_BCHW: Levels) -> npt.NDArray[np.float64]:
    """The reward of finished images.

    Args:
        reward_fn: the critic.
        image_BCHW: [B, C, H, W] levels.

    Returns:
        [B] rewards, to be maximised.

    Raises:
        ValueError: if the critic does not return a [B] float tensor.
        NonFiniteError: if a reward is NaN or infinite. RLlib would zero the gradients and train on in silence.
    """
    with torch.no_grad():
        reward_B = reward_fn(torch.from_numpy(image_BCHW))
    is_tensor = isinstance(reward_B, torch.Tensor)
    if not is_tensor or reward_B.shape != image_BCHW.shape[:1] or not reward_B.is_floating_point():
        got = f"{reward_B.dtype} {list(reward_B.shape)}" if is_tensor else repr(reward_B)
        raise ValueError(f"reward_fn must return a [B] float tensor, here [{len(image_BCHW)}]; got {got}.")
    rewards_B = reward_B.detach().cpu().numpy().astype(np.float64)
    if not np.isfinite(rewards_B).all():
        raise NonFiniteError(
            f"reward_fn gave {rewards_B[~np.isfinite(rewards_B)][0]} for {int((~np.isfinite(rewards_B)).sum())} of "
            f"{len(rewards_B)} images. Check the discriminator's weights and learning rate."
        )
    return rewards_B
