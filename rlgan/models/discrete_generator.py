"""A generator of discrete things in one step: latent code -> independent distributions of all pixels or characters."""

# N latent codes, M draws for each, Z latent size, D pixels or characters, K categories

import math
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlgan.image_types import ImageSpace
from rlgan.models.factorised import Factorised, factorised
from rlgan.models.image_nets import MLP, UpConvolutions
from rlgan.models.text_nets import TextUpConvolutions
from rlgan.types import TokenSpace

DiscreteSpace = ImageSpace | TokenSpace
_COLDEST = 1e-6
"""Logits divided by less could be infinite; below it the most likely sample is taken."""
_NEVER = -1e9
"""A logit whose probability is 0, and 0 times whose logarithm is 0 too."""


Net = Literal["auto", "mlp", "convolutions"]


class DiscreteGeneratorConfig(BaseModel):
    """Sizes of `DiscreteGenerator`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    net: Net = Field(
        "auto",
        description="Linear layers, or convolutions: transposed ones for images (the published net has 64 channels), "
        "1-D ones for text. auto: linear layers for images, convolutions for text (released: convolutions).",
    )
    latent: Literal["normal", "uniform", "categorical"] = Field(
        "normal",
        description="Distribution of z: standard normal, uniform in [0, 1) (released, images), or one of latent_size "
        "codes with nothing between them: the generator is then a mixture of so many parts.",
    )
    latent_size: int = Field(
        64, ge=1, le=100_000, description="Numbers of z (released: 64 for images, 100 for text); codes if categorical."
    )
    hidden: tuple[int, ...] = Field(
        (256, 512), min_length=1, description="Widths of the hidden layers of net mlp (rlgan's choice)."
    )
    channels: int = Field(
        16, ge=1, le=4096, description="Base channels of convolutions (released: 64 for images, 256 for text)."
    )
    blocks: int = Field(3, ge=1, le=64, description="Residual blocks of the text net (released: 3).")
    window: int = Field(5, ge=1, le=99, description="Characters a convolution sees at once; odd (released: 5).")


def num_values_of(space: DiscreteSpace) -> int:
    """D, independent values of a sample.

    Args:
        space: images or sequences.

    Returns:
        Pixels times channels, or positions.
    """
    return space.num_values if isinstance(space, ImageSpace) else space.length


def has_linear_layers(net: Net, space: DiscreteSpace) -> bool:
    """What a choice of net means for these samples.

    Args:
        net: the choice.
        space: images or sequences.

    Returns:
        True for linear layers, False for convolutions.
    """
    return isinstance(space, ImageSpace) if net == "auto" else net == "mlp"


def shape_of(space: DiscreteSpace) -> tuple[int, ...]:
    """The axes of one sample.

    Args:
        space: images or sequences.

    Returns:
        (C, H, W) or (T,).
    """
    return space.shape if isinstance(space, ImageSpace) else (space.length,)


def num_categories_of(space: DiscreteSpace) -> int:
    """K, what a value can be.

    Args:
        space: images or sequences.

    Returns:
        Levels of a pixel, or the size of the vocabulary.
    """
    return space.levels if isinstance(space, ImageSpace) else space.vocab_size


class DiscreteGenerator(nn.Module):
    """G(x | z): all values of x are independent given z.

    Attributes:
        space: what it makes.
        likelihood: Bernoulli for two categories, else categorical.
        latent_size: Z.
        latent: how latent codes are distributed.
    """

    def __init__(self, space: DiscreteSpace, config: DiscreteGeneratorConfig, init: torch.Generator) -> None:
        super().__init__()
        self.space = space
        self.likelihood: Factorised = factorised(num_categories_of(space))
        self.latent_size = config.latent_size
        self.latent = config.latent
        self.net = _build_net(space, config, self.likelihood.num_logits, init)

    @property
    def is_normal(self) -> bool:
        """Whether latent codes are standard normal."""
        return self.latent == "normal"

    def draw_latent(self, num_codes: int, random: torch.Generator) -> Tensor:
        """Latent codes from their prior.

        Args:
            num_codes: N.
            random: where the random numbers come from.

        Returns:
            [N, Z] float, on the generator's device. A categorical code is as long as a normal one is on average.
        """
        if self.latent == "categorical":
            code_N = torch.randint(self.latent_size, (num_codes,), generator=random, device=random.device)
            return math.sqrt(self.latent_size) * F.one_hot(code_N, self.latent_size).float()
        draw = torch.randn if self.is_normal else torch.rand
        return draw(num_codes, self.latent_size, generator=random, device=random.device)

    def logits(self, latent_NZ: Tensor) -> Tensor:
        """What the values of x are drawn from.

        Args:
            latent_NZ: [N, Z] float.

        Returns:
            [N, D] log-odds for two categories; else [N, D * K], the K logits of a value side by side; nats. In
            texts that end, the start is a symbol of its own, and is never drawn.
        """
        out: Tensor = self.net(latent_NZ)
        if isinstance(self.space, TokenSpace) and self.space.end_id is not None and self.likelihood.num_logits > 1:
            is_start_K = torch.arange(self.space.vocab_size, device=out.device) == self.space.start_id
            return out.view(len(out), -1, self.space.vocab_size).masked_fill(is_start_K, _NEVER).flatten(1)
        if (
            isinstance(self.space, ImageSpace)
            and self.likelihood.num_logits > 1
            and isinstance(self.net, UpConvolutions)
        ):
            out_NCKP = out.view(len(out), self.space.channels, self.likelihood.num_logits, -1)
            return out_NCKP.transpose(2, 3).flatten(1)
        return out

    def forward(self, latent_NZ: Tensor) -> Tensor:
        """The same as `logits`.

        Args:
            latent_NZ: [N, Z] float.

        Returns:
            See there.
        """
        return self.logits(latent_NZ)

    @torch.no_grad()
    def sample(self, latent_NZ: Tensor, num_draws: int, random: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Draws of every latent code.

        Args:
            latent_NZ: [N, Z] float.
            num_draws: M.
            random: where the random numbers come from.
            temperature: divides the logits. It changes what is drawn of a code, not which codes there are; 0 draws
                the most likely sample of every code.

        Returns:
            [N, M, ...] with the axes of a sample behind: categories, uint8 where they fit.
        """
        logits_ND = self.logits(latent_NZ)
        if temperature < _COLDEST:
            sample_NMD = self.likelihood.mode(logits_ND)[:, None].expand(-1, num_draws, -1)
        else:
            sample_NMD = self.likelihood.draw(logits_ND / temperature, num_draws, random)
        return sample_NMD.reshape(*sample_NMD.shape[:2], *shape_of(self.space))

    def images(self, latent_NZ: Tensor, random: torch.Generator, temperature: float = 1.0) -> Tensor:
        """One draw of every latent code, to look at: draws, not probabilities. Only where samples are images.

        Args:
            latent_NZ: [N, Z] float.
            random: where the random numbers come from.
            temperature: of the draw.

        Returns:
            [N, C, H, W] float in [0, 1].
        """
        assert isinstance(self.space, ImageSpace), "only a generator of images has images"
        return self.space.to_unit(self.sample(latent_NZ, 1, random, temperature)[:, 0])

    @torch.no_grad()
    def expected_images(self, latent_NZ: Tensor) -> Tensor:
        """E[x | z]: what an image owes to its code. Only where samples are images.

        Args:
            latent_NZ: [N, Z] float.

        Returns:
            [N, C, H, W] float in [0, 1].
        """
        assert isinstance(self.space, ImageSpace), "only a generator of images has images"
        level_ND = self.likelihood.expectation(self.logits(latent_NZ))
        return level_ND.view(-1, *self.space.shape) / (self.space.levels - 1)

    def log_prob_and_entropy(self, latent_NZ: Tensor, sample_NM: Tensor) -> tuple[Tensor, Tensor]:
        """Log g(x | z) of every draw, and the entropy of g(. | z).

        Args:
            latent_NZ: [N, Z] float.
            sample_NM: [N, M, ...] what `sample` returned for the same codes.

        Returns:
            [N, M] and [N], nats: sums over all values.
        """
        logits_ND = self.logits(latent_NZ)
        return self.likelihood.log_prob(logits_ND, sample_NM.flatten(2)), self.likelihood.entropy(logits_ND)


class ContinuousImageGenerator(DiscreteGenerator):
    """G(z) is an image of brightnesses, without randomness of its own: the sigmoid of one logit a pixel."""

    space: ImageSpace

    def __init__(self, space: ImageSpace, config: DiscreteGeneratorConfig, init: torch.Generator) -> None:
        super().__init__(replace(space, levels=2), config, init)
        self.space = space

    def image(self, latent_NZ: Tensor) -> Tensor:
        """The images, with gradient.

        Args:
            latent_NZ: [N, Z] float.

        Returns:
            [N, C, H, W] float in (0, 1).
        """
        return torch.sigmoid(self.logits(latent_NZ)).view(-1, *self.space.shape)

    @torch.no_grad()
    def sample(self, latent_NZ: Tensor, num_draws: int, random: torch.Generator, temperature: float = 1.0) -> Tensor:
        """The images, M times the same: the discriminator sees them as they are, not at the nearest levels.

        Args:
            latent_NZ: [N, Z] float.
            num_draws: M.
            random: not used.
            temperature: not used.

        Returns:
            [N, M, C, H, W] float in (0, 1).
        """
        return self.image(latent_NZ)[:, None].expand(-1, num_draws, -1, -1, -1)

    @torch.no_grad()
    def images(self, latent_NZ: Tensor, random: torch.Generator, temperature: float = 1.0) -> Tensor:
        """The images, to look at.

        Args:
            latent_NZ: [N, Z] float.
            random: not used.
            temperature: not used.

        Returns:
            [N, C, H, W] float in (0, 1).
        """
        return self.image(latent_NZ)

    @torch.no_grad()
    def expected_images(self, latent_NZ: Tensor) -> Tensor:
        """The images themselves.

        Args:
            latent_NZ: [N, Z] float.

        Returns:
            [N, C, H, W] float in (0, 1).
        """
        return self.image(latent_NZ)


def _build_net(
    space: DiscreteSpace, config: DiscreteGeneratorConfig, num_logits: int, init: torch.Generator
) -> nn.Module:
    """The net that the configuration asks for."""
    if has_linear_layers(config.net, space):
        return MLP((config.latent_size, *config.hidden, num_values_of(space) * num_logits), init, has_norm=True)
    if not isinstance(space, ImageSpace):
        sizes = (config.channels, config.blocks, config.window)
        return TextUpConvolutions(config.latent_size, space.length, num_logits, *sizes, init)
    shape = (space.channels * num_logits, space.height, space.width)
    return UpConvolutions(config.latent_size, shape, config.channels, init)
