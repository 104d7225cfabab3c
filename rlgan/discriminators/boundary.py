"""The discriminator of boundary-seeking GANs: a free score F, the f-divergence it bounds, and F itself as the reward.

Its objective is the bound of the chosen divergence (arXiv:1702.08431, Eq. 2) with a gradient penalty on real samples.
The penalty is not in the paper (a released PyTorch version has one): without it F grows until the importance weights
rest on a few draws (docs/bgan.md).
"""

# B samples, D pixels, T positions, V vocabulary

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from rlgan.image_types import ImageSpace
from rlgan.models.discrete_generator import DiscreteSpace, Net, has_linear_layers
from rlgan.models.image_nets import MLP, SLOPE, DownConvolutions
from rlgan.models.text_nets import TextDownConvolutions
from rlgan.objectives.f_divergence import F_DIVERGENCES, lower_bound, tilted_bound
from rlgan.objectives.penalties import gradient_penalty
from rlgan.rewards import log_odds

Divergence = Literal["kl", "reverse_kl", "pearson", "squared_hellinger", "jensen_shannon", "gan"]
_PENALTIES = {"gan": 0.1, "jensen_shannon": 0.1, "pearson": 10.0}
"""Found on MNIST, seed 0 (docs/bgan.md); 1 elsewhere."""


class BoundaryDiscriminatorConfig(BaseModel):
    """The divergence and the sizes of `BoundaryDiscriminator`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    divergence: Divergence = Field(
        "gan", description="Which f-divergence F bounds; all make the weight exp(F) (released: gan)."
    )
    objective: Literal["auto", "bound", "tilted"] = Field(
        "auto",
        description="The bound itself (paper), or, for kl, reverse_kl, pearson and squared_hellinger, its value at the "
        "best constant added to F on a logarithmic scale, whose gradient cannot vanish or explode. auto: tilted for kl "
        "and pearson, whose bounds hardly train.",
    )
    net: Net = Field(
        "auto",
        description="Linear layers, or convolutions: strided ones for images (the published net has 64 channels), 1-D "
        "ones for text. auto: linear layers for images, convolutions for text (released: convolutions).",
    )
    hidden: tuple[int, ...] = Field(
        (256, 256), min_length=1, description="Widths of the hidden layers of net mlp (rlgan's choice)."
    )
    channels: int = Field(
        16, ge=1, le=4096, description="Base channels of convolutions (released: 64 for images, 256 for text)."
    )
    blocks: int = Field(3, ge=1, le=64, description="Residual blocks of the text net (released: 3).")
    window: int = Field(5, ge=1, le=99, description="Characters a convolution sees at once; odd (released: 5).")
    gradient_penalty: float | None = Field(
        None,
        ge=0,
        description="Weight of the squared gradient of F at real samples (paper: 0; a released version: 5). None "
        "(default): 0.1 for gan and jensen_shannon, 10 for pearson, 1 for the others.",
    )

    @model_validator(mode="after")
    def _has_powers(self) -> "BoundaryDiscriminatorConfig":
        """Refuse what has no formula."""
        if self.objective == "tilted" and F_DIVERGENCES[self.divergence].powers is None:
            raise ValueError(f"objective tilted is for bounds that are made of exponentials; {self.divergence} is not.")
        return self

    @property
    def is_tilted(self) -> bool:
        """Whether the bound is taken at the best constant."""
        return self.objective == "tilted" or (self.objective == "auto" and self.divergence in ("kl", "pearson"))

    @property
    def penalty(self) -> float:
        """The weight of the gradient penalty, what suits the divergence where none is given."""
        return _PENALTIES.get(self.divergence, 1.0) if self.gradient_penalty is None else self.gradient_penalty


class BoundaryDiscriminator(nn.Module):
    """F(x), an estimate of log p(x)/q(x) in nats, high for real."""

    def __init__(self, space: DiscreteSpace, config: BoundaryDiscriminatorConfig, init: torch.Generator) -> None:
        super().__init__()
        self.space = space
        self.divergence = F_DIVERGENCES[config.divergence]
        self.bound = tilted_bound if config.is_tilted else lower_bound
        self.gradient_penalty = config.penalty
        self.net = _build_net(space, config, init)

    def embed(self, sample_B: Tensor) -> Tensor:
        """What the net sees: brightness in [0, 1], or one-hot characters.

        Args:
            sample_B: [B, C, H, W] levels or, of a generator of continuous images, brightnesses; or [B, T] ids.

        Returns:
            [B, C, H, W] or [B, T, V] float.
        """
        if isinstance(self.space, ImageSpace):
            return sample_B if sample_B.is_floating_point() else self.space.to_unit(sample_B)
        return F.one_hot(sample_B.long(), self.space.vocab_size).float()

    def score(self, embedded_B: Tensor) -> Tensor:
        """F of what the net sees, which may be a continuous image too.

        Args:
            embedded_B: what `embed` returns.

        Returns:
            [B] float.
        """
        score_B1: Tensor = self.net(embedded_B.flatten(1) if isinstance(self.net, MLP) else embedded_B)
        return score_B1.squeeze(1)

    def forward(self, sample_B: Tensor) -> Tensor:
        """F of discrete samples.

        Args:
            sample_B: [B, C, H, W] levels, or [B, T] ids.

        Returns:
            [B] float.
        """
        return self.score(self.embed(sample_B))

    def loss(self, real_B: Tensor, fake_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What it minimises: minus the bound, and the penalty.

        Args:
            real_B: [B, ...] what the net sees of real samples (`embed`).
            fake_B: [B', ...] of generated ones.

        Returns:
            Scalar loss, and the scores of real and generated samples.
        """
        real_B = real_B.detach().requires_grad_(self.gradient_penalty > 0)
        score_real_B, score_fake_B = self.score(real_B), self.score(fake_B)
        loss = -self.bound(self.divergence, score_real_B, score_fake_B)
        if self.gradient_penalty > 0:
            loss = loss + self.gradient_penalty * gradient_penalty(score_real_B, real_B)
        return loss, score_real_B, score_fake_B

    @torch.no_grad()
    def reward(self, sample_B: Tensor) -> Tensor:
        """What the policy is paid: log w(x) = F(x).

        Args:
            sample_B: [B, C, H, W] levels, or [B, T] ids.

        Returns:
            [B] float, nats.
        """
        return log_odds(self(sample_B))


def _build_net(space: DiscreteSpace, config: BoundaryDiscriminatorConfig, init: torch.Generator) -> nn.Module:
    """The net that the configuration asks for."""
    if has_linear_layers(config.net, space):
        num_inputs = space.num_values if isinstance(space, ImageSpace) else space.length * space.vocab_size
        return MLP((num_inputs, *config.hidden, 1), init, has_norm=False, slope=SLOPE)
    if not isinstance(space, ImageSpace):
        sizes = (config.channels, config.blocks, config.window)
        return TextDownConvolutions(space.length, space.vocab_size, *sizes, init)
    return DownConvolutions(space.shape, config.channels, init)
