"""The nets of BEGAN: a convolutional encoder and decoder; the generator has the decoder's form and its own weights.

Linear -> a small square of n channels -> at every resolution two 3x3 convolutions with ELU, then nearest-neighbour
doubling -> a 3x3 convolution to the image, without a squashing output. No batch normalisation, no dropout
(arXiv:1703.10717, section 3.5; the released network).
"""

# B images, Z latent size, C channels of an image, n channels of the nets, H height, W width

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlgan.image_types import ImageSpace
from rlgan.models.autoencoder_config import AutoencoderConfig, halvings_of
from rlgan.models.initial_values import initialise
from rlgan.models.linear_autoencoder import LinearDecoder, LinearEncoder

_ROWS = 250


class ConvolutionPair(nn.Module):
    """Two 3x3 convolutions with ELU; `carry` of what goes into one that keeps the width is mixed to what comes out."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.second = nn.Conv2d(width_out, width_out, 3, padding=1)

    def forward(self, hidden: Tensor, carry: float) -> Tensor:
        """Both convolutions.

        Args:
            hidden: [B, n, H, W].
            carry: share of the identity, in [0, 1].

        Returns:
            [B, n', H, W].
        """
        return _carried(self.second, _carried(self.first, hidden, carry), carry)


def _carried(layer: nn.Conv2d, hidden: Tensor, carry: float) -> Tensor:
    """Carry * h + (1 - carry) * ELU(layer(h)); a layer that changes the width has nothing to carry."""
    out = F.elu(layer(hidden))
    return carry * hidden + (1 - carry) * out if carry > 0 and layer.in_channels == layer.out_channels else out


class Decoder(nn.Module):
    """Code -> image, in the range of the data but not forced into it."""

    def __init__(self, space: ImageSpace, config: AutoencoderConfig, init: torch.Generator) -> None:
        super().__init__()
        num_halvings = halvings_of(space, config)
        n = config.channels
        self.has_skips = config.skip_connections
        self.base = (n, space.height >> num_halvings, space.width >> num_halvings)
        self.dense = nn.Linear(config.code_size, n * self.base[1] * self.base[2])
        widths = [n, *[2 * n if self.has_skips else n] * num_halvings]
        self.pairs = nn.ModuleList(ConvolutionPair(width, n) for width in widths)
        self.output = nn.Conv2d(n, space.channels, 3, padding=1)
        initialise(self, init)

    def forward(self, code_BZ: Tensor, carry: float = 0.0) -> Tensor:
        """Decode.

        Args:
            code_BZ: [B, Z] float.
            carry: share of the identity in every convolution that keeps the width.

        Returns:
            [B, C, H, W] float.
        """
        first = hidden = self.dense(code_BZ).unflatten(1, self.base)
        for level, pair in enumerate(self.pairs):
            if level:
                hidden = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
                if self.has_skips:
                    hidden = torch.cat([hidden, F.interpolate(first, size=hidden.shape[2:], mode="nearest")], dim=1)
            hidden = pair(hidden, carry)
        image_BCHW: Tensor = self.output(hidden)
        return image_BCHW


class Encoder(nn.Module):
    """Image -> code, linear at the end; the channels grow by n with every halving."""

    def __init__(self, space: ImageSpace, config: AutoencoderConfig, init: torch.Generator) -> None:
        super().__init__()
        num_halvings = halvings_of(space, config)
        n = config.channels
        self.first = nn.Conv2d(space.channels, n, 3, padding=1)
        widths = [n, *(n * (level + 1) for level in range(num_halvings + 1))]
        self.pairs = nn.ModuleList(ConvolutionPair(i, o) for i, o in pairwise(widths))
        self.halve = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for width in widths[1:-1])
        num_features = widths[-1] * (space.height >> num_halvings) * (space.width >> num_halvings)
        self.dense = nn.Linear(num_features, config.code_size)
        initialise(self, init)

    def forward(self, image_BCHW: Tensor, carry: float = 0.0) -> Tensor:
        """Encode.

        Args:
            image_BCHW: [B, C, H, W] float.
            carry: share of the identity in every convolution that keeps the width.

        Returns:
            [B, Z] float.
        """
        hidden = F.elu(self.first(image_BCHW))
        for level, pair in enumerate(self.pairs):
            hidden = pair(hidden, carry)
            if level < len(self.halve):
                hidden = F.elu(self.halve[level](hidden))
        code_BZ: Tensor = self.dense(hidden.flatten(1))
        return code_BZ


ENCODERS: dict[str, type[Encoder | LinearEncoder]] = {"convolutions": Encoder, "mlp": LinearEncoder}
DECODERS: dict[str, type[Decoder | LinearDecoder]] = {"convolutions": Decoder, "mlp": LinearDecoder}


class Autoencoder(nn.Module):
    """D(v): what is left of an image after it went through a code."""

    def __init__(self, space: ImageSpace, config: AutoencoderConfig, init: torch.Generator) -> None:
        super().__init__()
        self.encoder = ENCODERS[config.net](space, config, init)
        self.decoder = DECODERS[config.net](space, config, init)

    def forward(self, image_BCHW: Tensor, carry: float = 0.0) -> Tensor:
        """Encode and decode.

        Args:
            image_BCHW: [B, C, H, W] float.
            carry: share of the identity in every convolution that keeps the width.

        Returns:
            [B, C, H, W] float.
        """
        image_out: Tensor = self.decoder(self.encoder(image_BCHW, carry), carry)
        return image_out


class ImageGenerator(nn.Module):
    """G(z): a decoder with weights of its own and a prior over its codes. Images are in [-1, 1] where the net works.

    Attributes:
        carry: share of the identities, part of the state: images are drawn by the net that is trained, not by what it
            will be when the identities are gone. None without vanishing residuals.
    """

    carry: Tensor | None

    def __init__(self, space: ImageSpace, config: AutoencoderConfig, init: torch.Generator) -> None:
        super().__init__()
        self.decoder = DECODERS[config.net](space, config, init)
        self.space = space
        self.code_size = config.code_size
        self.is_normal = config.latent == "normal"
        self.register_buffer("carry", torch.ones(()) if config.vanishing_residuals else None)

    def forward(self, latent_NZ: Tensor) -> Tensor:
        """G(z), with gradient.

        Args:
            latent_NZ: [N, Z] float.

        Returns:
            [N, C, H, W] float.
        """
        image_NCHW: Tensor = self.decoder(latent_NZ, 0.0 if self.carry is None else float(self.carry))
        return image_NCHW

    def draw_latent(self, num_codes: int, random: torch.Generator) -> Tensor:
        """Latent codes from their prior.

        Args:
            num_codes: N.
            random: where the random numbers come from.

        Returns:
            [N, Z] float.
        """
        if self.is_normal:
            return torch.randn(num_codes, self.code_size, generator=random)
        return 2.0 * torch.rand(num_codes, self.code_size, generator=random) - 1.0

    @torch.no_grad()
    def images(self, latent_NZ: Tensor, random: torch.Generator | None = None) -> Tensor:
        """Images to look at.

        Args:
            latent_NZ: [N, Z] float.
            random: not used: an image has no randomness of its own.

        Returns:
            [N, C, H, W] float in [0, 1].
        """
        image_NCHW = torch.cat([self(rows) for rows in latent_NZ.split(_ROWS)])
        return ((image_NCHW + 1.0) / 2.0).clamp(0.0, 1.0)

    @torch.no_grad()
    def start_from(self, decoder: Decoder | LinearDecoder, code_NZ: Tensor) -> None:
        """Become this decoder, with a first layer that gives z the mean and covariance of these codes.

        Args:
            decoder: whose weights are copied.
            code_NZ: [N, Z] codes that it decodes.
        """
        self.decoder.load_state_dict(decoder.state_dict())
        covariance_ZZ = torch.cov(code_NZ.T).double()
        ridge_ZZ = 1e-6 * torch.eye(self.code_size, dtype=torch.float64, device=code_NZ.device)
        root_ZZ = torch.linalg.cholesky(covariance_ZZ + ridge_ZZ).to(code_NZ.dtype)
        variance_of_latent = 1.0 if self.is_normal else 1.0 / 3.0
        first = self.decoder.dense
        first.bias.add_(first.weight @ code_NZ.mean(dim=0))
        first.weight.copy_(first.weight @ root_ZZ / variance_of_latent**0.5)
