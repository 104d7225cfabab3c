"""The discriminator of BEGAN: an autoencoder whose error tells real from generated images."""

# B images, C channels, H height, W width

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rlgan.image_types import ImageSpace
from rlgan.models.autoencoder import Autoencoder
from rlgan.models.autoencoder_config import AutoencoderConfig
from rlgan.objectives.equilibrium import autoencoder_loss, reconstruction_error


class AutoencoderDiscriminatorConfig(AutoencoderConfig):
    """Sizes of the autoencoder and the norm of its error."""

    power: Literal[1, 2] = Field(1, description="eta: mean absolute (1, released) or squared (2) error of a pixel.")


class AutoencoderDiscriminator(nn.Module):
    """L(v) = |v - D(v)|^eta, a mean over pixels. Low for what looks like the images it was trained on."""

    def __init__(self, space: ImageSpace, config: AutoencoderDiscriminatorConfig, init: torch.Generator) -> None:
        super().__init__()
        self.net = Autoencoder(space, config, init)
        self.power = config.power

    def forward(self, image_BCHW: Tensor, carry: float = 0.0) -> Tensor:
        """The error of every image.

        Args:
            image_BCHW: [B, C, H, W] float.
            carry: see `rlgan.models.autoencoder`.

        Returns:
            [B], >= 0.
        """
        return reconstruction_error(image_BCHW, self.net(image_BCHW, carry), self.power)

    def loss(self, real_error: Tensor, fake_error: Tensor, balance: float) -> Tensor:
        """What it minimises: L(x) - k L(G(z)).

        Args:
            real_error: scalar mean error of real images.
            fake_error: scalar mean error of generated ones.
            balance: k, a number.

        Returns:
            Scalar.
        """
        return autoencoder_loss(real_error, fake_error, balance)
