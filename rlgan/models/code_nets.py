"""The nets of Plug & Play Generative Networks: an encoder that classifies, a generator from its codes, denoisers.

An image goes to h1 (pooled convolutions), to h (a hidden layer), to labels; the generator goes from h back to an image.
The published encoder is CaffeNet with h1 = pool5 and h = fc6; here it is a classifier as small as the images.
"""

# B images, C channels, H height, W width, Z numbers of a code h, n filters of h1, L labels

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlgan.image_types import ImageSpace
from rlgan.models.autoencoder import Autoencoder
from rlgan.models.autoencoder_config import AutoencoderConfig
from rlgan.models.captioner import CaptionerConfig
from rlgan.models.image_classifier import ImageClassifier, ImageClassifierConfig
from rlgan.models.image_nets import MLP, UpConvolutions

_SMALLEST_SD = 1e-3


class CodeEncoderConfig(BaseModel):
    """Sizes of the encoder, and what of its hidden layer is the code."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    channels: int = Field(16, ge=1, le=1024, description="Filters of the first convolution; h1 has twice as many.")
    code_size: int = Field(64, ge=1, le=10_000, description="Numbers in a code h (paper: 4096).")
    rectified: bool = Field(
        False,
        description="Whether h is the hidden layer after its rectifier (paper), or before (default): a rectifier hides "
        "from the generator what is below zero, and half the units of a small net are zero for every image.",
    )


class CodeNetsConfig(BaseModel):
    """Sizes of all nets."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    encoder: CodeEncoderConfig = CodeEncoderConfig()
    generator_channels: int = Field(24, ge=1, le=4096, description="Width of the generator's last hidden layer.")
    discriminator_channels: int = Field(16, ge=1, le=4096, description="Width of the discriminator's first layer.")
    denoiser_hidden: tuple[int, ...] = Field(
        (256, 256),
        min_length=1,
        description="Hidden widths of the denoiser of codes (paper: 2048, 1024, 500, 1024, 2048 for codes of 4096; "
        "with 48, 32, 16, 32, 48 for codes of 64 the narrow middle left twice the error).",
    )
    denoiser_channels: int = Field(8, ge=1, le=4096, description="Channels of the denoiser of images.")
    captioner: CaptionerConfig = CaptionerConfig()
    classifier_hidden: tuple[int, ...] = Field(
        (128,), min_length=1, description="Hidden widths of the second classifier."
    )


class CodeEncoder(nn.Module):
    """Image -> h1 -> h -> logits. Codes are in units of their standard deviation on the training images.

    Attributes:
        net: the classifier.
        mean_Z: of the hidden layer over the training images; 0 where the code is rectified.
        sd_Z: its standard deviation; 1 before `standardise`.
    """

    mean_Z: Tensor
    sd_Z: Tensor

    def __init__(self, space: ImageSpace, num_labels: int, config: CodeEncoderConfig, init: torch.Generator) -> None:
        super().__init__()
        sizes = ImageClassifierConfig(channels=config.channels, num_features=config.code_size)
        self.net = ImageClassifier(*space.shape, num_labels, sizes, init)
        self.is_rectified = config.rectified
        self.register_buffer("mean_Z", torch.zeros(config.code_size))
        self.register_buffer("sd_Z", torch.ones(config.code_size))

    @torch.no_grad()
    def standardise(self, image_NCHW: Tensor) -> None:
        """Choose the unit of the codes; done once, when the classifier is trained.

        Args:
            image_NCHW: [N, C, H, W] float in [0, 1], training images.
        """
        hidden_NZ = torch.cat([self._hidden(self.pooled(rows)) for rows in image_NCHW.split(500)])
        spread_Z = hidden_NZ.std(dim=0)
        self.sd_Z.copy_(spread_Z.clamp_min(_SMALLEST_SD * float(spread_Z.max())))
        if not self.is_rectified:
            self.mean_Z.copy_(hidden_NZ.mean(dim=0))

    def pooled(self, image_BCHW: Tensor) -> Tensor:
        """h1.

        Args:
            image_BCHW: [B, C, H, W] float in [0, 1].

        Returns:
            [B, n, H/4, W/4] float, >= 0.
        """
        return self.net.pooled(image_BCHW)

    def code_of(self, pooled: Tensor) -> Tensor:
        """H1 -> h.

        Args:
            pooled: [B, n, H/4, W/4].

        Returns:
            [B, Z] in standard deviations.
        """
        return (self._hidden(pooled) - self.mean_Z) / self.sd_Z

    def code(self, image_BCHW: Tensor) -> Tensor:
        """Image -> h.

        Args:
            image_BCHW: [B, C, H, W] float in [0, 1].

        Returns:
            [B, Z] in standard deviations.
        """
        return self.code_of(self.pooled(image_BCHW))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Which label.

        Args:
            image_BCHW: [B, C, H, W] float in [0, 1].

        Returns:
            [B, L] logits, nats.
        """
        return self.net(image_BCHW)  # type: ignore[no-any-return]

    def layer(self, name: str, image_BCHW: Tensor) -> Tensor:
        """Activations whose units can be a condition; see `ImageClassifier.layer`.

        Args:
            name: "first", "second" or "hidden".
            image_BCHW: [B, C, H, W] float in [0, 1].

        Returns:
            [B, units, rows, columns].
        """
        return self.net.layer(name, image_BCHW)

    def _hidden(self, pooled: Tensor) -> Tensor:
        """The hidden layer that is the code, before it is standardised."""
        hidden_BZ: Tensor = self.net.hidden(pooled.flatten(1))
        return F.relu(hidden_BZ) if self.is_rectified else hidden_BZ


class CodeGenerator(nn.Module):
    """G(h): the DCGAN generator, its output squashed into [0, 1] (published: not squashed)."""

    def __init__(self, space: ImageSpace, code_size: int, channels: int, init: torch.Generator) -> None:
        super().__init__()
        self.shape = space.shape
        self.net = UpConvolutions(code_size, space.shape, channels, init)

    def forward(self, code_BZ: Tensor) -> Tensor:
        """Generate.

        Args:
            code_BZ: [B, Z].

        Returns:
            [B, C, H, W] float in (0, 1).
        """
        pixels_BD: Tensor = self.net(code_BZ)
        return torch.sigmoid(pixels_BD.unflatten(1, self.shape))


class CodeDenoiser(nn.Module):
    """R(h): linear layers with rectifiers (paper: 4096-2048-1024-500-1024-2048-4096)."""

    def __init__(self, code_size: int, hidden: tuple[int, ...], init: torch.Generator) -> None:
        super().__init__()
        self.net = MLP((code_size, *hidden, code_size), init, has_norm=False)

    def forward(self, code_BZ: Tensor) -> Tensor:
        """Take noise away.

        Args:
            code_BZ: [B, Z].

        Returns:
            [B, Z].
        """
        out_BZ: Tensor = self.net(code_BZ)
        return out_BZ


class ImageDenoiser(nn.Module):
    """R(x): a convolutional autoencoder."""

    def __init__(self, space: ImageSpace, channels: int, code_size: int, init: torch.Generator) -> None:
        super().__init__()
        self.net = Autoencoder(space, AutoencoderConfig(channels=channels, code_size=code_size), init)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Take noise away.

        Args:
            image_BCHW: [B, C, H, W] float.

        Returns:
            The same shape.
        """
        out_BCHW: Tensor = self.net(image_BCHW)
        return out_BCHW


class DenseClassifier(nn.Module):
    """A classifier of another architecture, to be plugged in: linear layers over all pixels."""

    def __init__(self, space: ImageSpace, num_labels: int, hidden: tuple[int, ...], init: torch.Generator) -> None:
        super().__init__()
        self.net = MLP((space.num_values, *hidden, num_labels), init, has_norm=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Which label.

        Args:
            image_BCHW: [B, C, H, W] float in [0, 1].

        Returns:
            [B, L] logits, nats.
        """
        logits_BL: Tensor = self.net(image_BCHW.flatten(1))
        return logits_BL
