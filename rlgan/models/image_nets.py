"""Nets from a latent code to one number (or several) for every pixel, and from an image to one score.

The published nets of BGAN have batch normalisation in the generator. Here it is layer normalisation: the probability of
a draw must be the same on the runner that drew it, on every learner, and whatever else is in the batch.
"""

# B images or latent codes, Z latent size, C channels, H height, W width, D numbers out

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from rlgan.models.initial_values import initialise

GAIN = 2.0**0.5
SLOPE = 0.2


class MLP(nn.Sequential):
    """Linear layers with an activation between them."""

    def __init__(self, sizes: Sequence[int], init: torch.Generator, has_norm: bool, slope: float = 0.0) -> None:
        """Build the layers.

        Args:
            sizes: widths, from the input to the output.
            init: where initial values come from.
            has_norm: whether a layer norm stands before every activation.
            slope: of the leaky rectifier below zero; 0 is the plain rectifier.
        """
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(sizes):
            if layers:
                layers += [nn.LayerNorm(width_in)] * has_norm + [nn.LeakyReLU(slope)]
            layers.append(nn.Linear(width_in, width_out))
        super().__init__(*layers)
        initialise(self, init, GAIN)


class UpConvolutions(nn.Module):
    """The DCGAN generator: two linear layers, then stride-2 transposed 5x5 convolutions up to the size of the image.

    For 28x28 it is the published net (dense 1024, dense 128x7x7, deconvolution to 64, to 1), its widths scaled by
    `channels`/64. Any size works whose half is whole; a second halving is used where it is whole too.
    """

    def __init__(self, latent_size: int, shape: tuple[int, int, int], channels: int, init: torch.Generator) -> None:
        super().__init__()
        channels_out, height, width = shape
        num_halvings = _num_halvings(height, width)
        base = (channels * 2 ** (num_halvings - 1), height >> num_halvings, width >> num_halvings)
        self.dense = MLP((latent_size, 16 * channels, base[0] * base[1] * base[2]), init, has_norm=True)
        layers: list[nn.Module] = [nn.Unflatten(1, base)]
        for level in range(num_halvings):
            width_in = base[0] >> level
            is_last = level == num_halvings - 1
            layers += [nn.GroupNorm(1, width_in), nn.ReLU()]
            layers.append(nn.ConvTranspose2d(width_in, channels_out if is_last else width_in // 2, 5, 2, 2, 1))
        self.convolutions = nn.Sequential(*layers)
        initialise(self.convolutions, init, GAIN)

    def forward(self, latent_BZ: Tensor) -> Tensor:
        """Numbers for every pixel.

        Args:
            latent_BZ: [B, Z] float.

        Returns:
            [B, channels out * H * W] float.
        """
        out: Tensor = self.convolutions(self.dense(latent_BZ))
        return out.flatten(1)


class DownConvolutions(nn.Sequential):
    """The DCGAN discriminator: stride-2 5x5 convolutions, a linear layer, one score; leaky rectifiers and no norm."""

    def __init__(self, shape: tuple[int, int, int], channels: int, init: torch.Generator) -> None:
        channels_in, height, width = shape
        num_halvings = _num_halvings(height, width)
        widths = [channels_in, *(channels << level for level in range(num_halvings))]
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Conv2d(width_in, width_out, 5, 2, 2), nn.LeakyReLU(SLOPE)]
        num_features = widths[-1] * (height >> num_halvings) * (width >> num_halvings)
        dense = [nn.Flatten(), nn.Linear(num_features, 16 * channels), nn.LeakyReLU(SLOPE), nn.Linear(16 * channels, 1)]
        super().__init__(*layers, *dense)
        initialise(self, init, GAIN)


def _num_halvings(height: int, width: int) -> int:
    """How often both sides can be halved: once or twice."""
    if height % 2 or width % 2:
        raise ValueError(f"convolutions of stride 2 need an even height and width; got {height}x{width}. Use net mlp.")
    return 1 if height % 4 or width % 4 else 2
