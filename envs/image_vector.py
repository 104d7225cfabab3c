"""Many image episodes at once, with one critic call for all."""

# B images (one for each sub-environment), Z latent size, D pixels times channels

from typing import Any

import gymnasium
import numpy as np

from rlgan.envs.image_episode import (
    Codes,
    ImageRewardFn,
    check_images,
    draw_codes,
    latent_option,
    latent_space,
    pixel_space,
    require_image_reward_fn,
    score_images,
)
from rlgan.image_types import ImageSpace


class ImageVectorEnv(gymnasium.vector.VectorEnv):  # type: ignore[misc]
    """B episodes of `ImageEnv` in lockstep, with one critic call for all.

    Every step but the one after an end draws all images; the step after it ignores its actions, pays 0 and shows new
    codes (Gymnasium's NEXT_STEP autoreset).

    Attributes:
        image_space: what an image is.
        reward_fn: the critic; may be replaced between steps.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium declares it on the class
        "render_modes": [],
        "autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self, num_envs: int, image_space: ImageSpace, latent_size: int, reward_fn: ImageRewardFn | None
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1; got {num_envs}.")
        self.num_envs = num_envs
        self.image_space = image_space
        self.reward_fn = require_image_reward_fn(reward_fn)
        self.single_observation_space = latent_space(latent_size)
        self.single_action_space = pixel_space(image_space)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)
        self._code_BZ: Codes = np.zeros((num_envs, latent_size), dtype=np.float32)
        self._has_begun = self._has_ended = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Codes, dict[str, Any]]:
        """Draw a latent code for every row, or take given ones.

        Args:
            seed: of the environment's random numbers.
            options: `{"latent": z}` begins from these codes, [B, Z].

        Returns:
            [B, Z] codes, and an empty info.
        """
        super().reset(seed=seed)
        given = latent_option(options, self._code_BZ.shape)
        self._code_BZ = draw_codes(self.np_random, self._code_BZ.shape) if given is None else given
        self._has_begun, self._has_ended = True, False
        return self._code_BZ.copy(), {}

    def step(self, actions: Any) -> tuple[Codes, Any, Any, Any, dict[str, Any]]:
        """Draw all images, or begin anew after they were drawn.

        Args:
            actions: [B, D] levels in [0, K), else ValueError; ignored when the episodes begin anew.

        Returns:
            [B, Z] codes, [B] rewards, [B] terminated, [B] truncated (all False), empty info.

        Raises:
            ResetNeeded: if reset was never called.
        """
        if not self._has_begun:
            raise gymnasium.error.ResetNeeded("no episode has begun; call reset() before step().")
        no_B = np.zeros(self.num_envs, dtype=np.bool_)
        if self._has_ended:
            self._code_BZ, self._has_ended = draw_codes(self.np_random, self._code_BZ.shape), False
            return self._code_BZ.copy(), np.zeros(self.num_envs, dtype=np.float64), no_B, no_B.copy(), {}
        image_BCHW = check_images(np.asarray(actions), self.num_envs, self.image_space)
        self._has_ended = True
        return self._code_BZ.copy(), score_images(self.reward_fn, image_BCHW), ~no_B, no_B, {}


def make_binary_image_vector_env(
    num_envs: int,
    height: int,
    width: int,
    reward_fn: ImageRewardFn | None = None,
    channels: int = 1,
    latent_size: int = 64,
) -> ImageVectorEnv:
    """What `gymnasium.make_vec("rlgan/BinaryImage-v0", ...)` calls.

    Args:
        num_envs: B, episodes at once.
        height: H, pixels.
        width: W, pixels.
        reward_fn: the critic, from [B, C, H, W] int64 zeros and ones to [B] float rewards. There is no default.
        channels: C, 1 or 3.
        latent_size: Z.

    Returns:
        The vector environment.
    """
    return ImageVectorEnv(num_envs, ImageSpace(channels, height, width, levels=2), latent_size, reward_fn)


def make_categorical_image_vector_env(
    num_envs: int,
    height: int,
    width: int,
    levels: int,
    reward_fn: ImageRewardFn | None = None,
    channels: int = 1,
    latent_size: int = 64,
) -> ImageVectorEnv:
    """What `gymnasium.make_vec("rlgan/CategoricalImage-v0", ...)` calls.

    Args:
        num_envs: B, episodes at once.
        height: H, pixels.
        width: W, pixels.
        levels: K, what a pixel can be.
        reward_fn: the critic, from [B, C, H, W] int64 levels to [B] float rewards. There is no default.
        channels: C, 1 or 3.
        latent_size: Z.

    Returns:
        The vector environment.
    """
    return ImageVectorEnv(num_envs, ImageSpace(channels, height, width, levels), latent_size, reward_fn)
