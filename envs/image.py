"""`rlgan/BinaryImage-v0` and `rlgan/CategoricalImage-v0`: one step draws a whole image from a latent code (BGAN)."""

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


class ImageEnv(gymnasium.Env):  # type: ignore[misc]
    """See a latent code z, answer with all pixels of an image at once, and be paid log w(x) = F(x).

    The observation is z, drawn at reset from the environment's own random numbers; the only step ends the episode and
    shows the same z. An action holds the level of every pixel, channel by channel and row by row.

    Example:
        `ImageEnv(ImageSpace(1, 28, 28, levels=2), latent_size=64, reward_fn=discriminator.reward)` has 784 binary
        actions.

    Attributes:
        image_space: what an image is.
        reward_fn: the critic; may be replaced between episodes, as a retrained discriminator is.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it on the class

    def __init__(self, image_space: ImageSpace, latent_size: int, reward_fn: ImageRewardFn | None) -> None:
        self.image_space = image_space
        self.reward_fn = require_image_reward_fn(reward_fn)
        self.observation_space = latent_space(latent_size)
        self.action_space = pixel_space(image_space)
        self._code_Z: Codes = np.zeros(latent_size, dtype=np.float32)
        self._needs_reset = True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Codes, dict[str, Any]]:
        """Draw a latent code, or take a given one.

        Args:
            seed: of the environment's random numbers.
            options: `{"latent": z}` begins from this code, a list of Z numbers.

        Returns:
            z, and an empty info.
        """
        super().reset(seed=seed)
        given = latent_option(options, (len(self._code_Z),))
        self._code_Z = draw_codes(self.np_random, self._code_Z.shape) if given is None else given
        self._needs_reset = False
        return self._code_Z.copy(), {}

    def step(self, action: Any) -> tuple[Codes, float, bool, bool, dict[str, Any]]:
        """Draw the image.

        Args:
            action: [D] levels in [0, K), else ValueError.

        Returns:
            z again, the reward, terminated (True), truncated (False), empty info.

        Raises:
            ResetNeeded: if there is no running episode.
        """
        if self._needs_reset:
            raise gymnasium.error.ResetNeeded("this episode has not begun or is over; call reset() before step().")
        image_1CHW = check_images(np.asarray(action)[None], 1, self.image_space)
        self._needs_reset = True
        return self._code_Z.copy(), float(score_images(self.reward_fn, image_1CHW)[0]), True, False, {}


def make_binary_image_env(
    height: int, width: int, reward_fn: ImageRewardFn | None = None, channels: int = 1, latent_size: int = 64
) -> ImageEnv:
    """What `gymnasium.make("rlgan/BinaryImage-v0", ...)` calls.

    Args:
        height: H, pixels.
        width: W, pixels.
        reward_fn: the critic, from [B, C, H, W] int64 zeros and ones to [B] float rewards. There is no default.
        channels: C, 1 or 3.
        latent_size: Z.

    Returns:
        The environment.
    """
    return ImageEnv(ImageSpace(channels, height, width, levels=2), latent_size, reward_fn)


def make_categorical_image_env(
    height: int,
    width: int,
    levels: int,
    reward_fn: ImageRewardFn | None = None,
    channels: int = 1,
    latent_size: int = 64,
) -> ImageEnv:
    """What `gymnasium.make("rlgan/CategoricalImage-v0", ...)` calls.

    Args:
        height: H, pixels.
        width: W, pixels.
        levels: K, what a pixel can be.
        reward_fn: the critic, from [B, C, H, W] int64 levels to [B] float rewards. There is no default.
        channels: C, 1 or 3.
        latent_size: Z.

    Returns:
        The environment.
    """
    return ImageEnv(ImageSpace(channels, height, width, levels), latent_size, reward_fn)
