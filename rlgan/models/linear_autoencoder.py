"""BEGAN's encoder and decoder of plain linear layers: not the paper's form, but a fifteenth of its time on 28x28."""

# B images, Z latent size, C channels of an image, H height, W width

import torch
from torch import Tensor, nn

from rlgan.image_types import ImageSpace
from rlgan.models.autoencoder_config import AutoencoderConfig
from rlgan.models.image_nets import GAIN, MLP
from rlgan.models.initial_values import initialise


class LinearDecoder(nn.Module):
    """Code -> image, in the range of the data but not forced into it."""

    def __init__(self, space: ImageSpace, config: AutoencoderConfig, init: torch.Generator) -> None:
        super().__init__()
        self.shape = space.shape
        self.dense = nn.Linear(config.code_size, config.hidden[-1])
        initialise(self.dense, init, GAIN)
        self.net = MLP((*reversed(config.hidden), space.num_values), init, has_norm=False)

    def forward(self, code_BZ: Tensor, carry: float = 0.0) -> Tensor:
        """Decode.

        Args:
            code_BZ: [B, Z] float.
            carry: not used.

        Returns:
            [B, C, H, W] float.
        """
        del carry
        image_BCHW: Tensor = self.net(self.dense(code_BZ).relu()).unflatten(1, self.shape)
        return image_BCHW


class LinearEncoder(nn.Module):
    """Image -> code, linear at the end."""

    def __init__(self, space: ImageSpace, config: AutoencoderConfig, init: torch.Generator) -> None:
        super().__init__()
        self.net = MLP((space.num_values, *config.hidden, config.code_size), init, has_norm=False)

    def forward(self, image_BCHW: Tensor, carry: float = 0.0) -> Tensor:
        """Encode.

        Args:
            image_BCHW: [B, C, H, W] float.
            carry: not used.

        Returns:
            [B, Z] float.
        """
        del carry
        code_BZ: Tensor = self.net(image_BCHW.flatten(1))
        return code_BZ
