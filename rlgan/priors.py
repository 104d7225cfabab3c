"""What pulls a chain to the data: a denoising autoencoder, E(G(h)), a Gaussian, a blur, or a density that is known."""

# N chains, C channels, H height, W width

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from rlgan.objectives.plug_and_play import (
    blurred,
    denoising_score,
    gaussian_prior_direction,
    reconstruction_direction,
)
from rlgan.types import DensityKnowledge


class ReconstructionPrior:
    """R(x) - x of a denoising autoencoder on the states (PPGN-x, PPGN-h); neither score nor density is known.

    Attributes:
        reconstruct: [N, ...] states -> the same shape.
    """

    knows: ClassVar = DensityKnowledge.DIRECTION

    def __init__(self, reconstruct: Callable[[Tensor], Tensor]) -> None:
        self.reconstruct = reconstruct

    @torch.no_grad()
    def direction(self, state_N: Tensor, image_NCHW: Tensor) -> Tensor:
        """R(x) - x."""
        del image_NCHW
        return reconstruction_direction(self.reconstruct(state_N), state_N)

    def log_density(self, state_N: Tensor) -> Tensor:
        """Not known."""
        return _unknown(state_N)


class ScorePrior:
    """(R(x) - x) / sigma^2 of a denoising autoencoder: the score of the data with noise, for Langevin's rules.

    Attributes:
        reconstruct: [N, ...] states -> the same shape.
        noise_sd: sigma, of the noise that it was trained to take away.
    """

    knows: ClassVar = DensityKnowledge.SCORE

    def __init__(self, reconstruct: Callable[[Tensor], Tensor], noise_sd: float) -> None:
        self.reconstruct, self.noise_sd = reconstruct, noise_sd

    @torch.no_grad()
    def direction(self, state_N: Tensor, image_NCHW: Tensor) -> Tensor:
        """See `denoising_score`."""
        del image_NCHW
        return denoising_score(self.reconstruct(state_N), state_N, self.noise_sd)

    def log_density(self, state_N: Tensor) -> Tensor:
        """Not known."""
        return _unknown(state_N)


class EncodedPrior:
    """E(G(h)) - h: the generator and the encoder are the denoising autoencoder (Joint PPGN-h; Eq. 11).

    The images are those of the place, so that nothing is generated twice.

    Attributes:
        encode: [N, C, H, W] images -> [N, ...] states.
    """

    knows: ClassVar = DensityKnowledge.DIRECTION

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        self.encode = encode

    @torch.no_grad()
    def direction(self, state_N: Tensor, image_NCHW: Tensor) -> Tensor:
        """E(G(h)) - h; as released, no gradient goes through it."""
        return reconstruction_direction(self.encode(image_NCHW), state_N)

    def log_density(self, state_N: Tensor) -> Tensor:
        """Not known."""
        return _unknown(state_N)


class GaussianPrior:
    """N(0, 1): with eps1 = lambda, the decay of an L2 penalty."""

    knows: ClassVar = DensityKnowledge.DENSITY

    def direction(self, state_N: Tensor, image_NCHW: Tensor) -> Tensor:
        """-x."""
        del image_NCHW
        return gaussian_prior_direction(state_N)

    def log_density(self, state_N: Tensor) -> Tensor:
        """-|x|^2 / 2."""
        return -0.5 * state_N.square().flatten(1).sum(dim=1)


class BlurPrior:
    """A hand-designed prior on images: r(x) - x with a Gaussian blur r.

    Attributes:
        blur_sd: pixels.
    """

    knows: ClassVar = DensityKnowledge.DIRECTION

    def __init__(self, blur_sd: float) -> None:
        self.blur_sd = blur_sd

    def direction(self, state_N: Tensor, image_NCHW: Tensor) -> Tensor:
        """Blurred minus sharp.

        Args:
            state_N: [N, C, H, W].
            image_NCHW: not looked at.

        Returns:
            The same shape.

        Raises:
            ValueError: if the states are no images.
        """
        del image_NCHW
        if state_N.ndim != 4:
            raise ValueError(
                f"BlurPrior smooths states that are images, [N, C, H, W]; got {list(state_N.shape)}. For a code use "
                "GaussianPrior, ReconstructionPrior or EncodedPrior."
            )
        return blurred(state_N, self.blur_sd) - state_N

    def log_density(self, state_N: Tensor) -> Tensor:
        """Not known."""
        return _unknown(state_N)


class DensityPrior:
    """A density that is known but for a constant; its score comes by differentiation.

    Attributes:
        log_density_of: [N, ...] states -> [N] nats.
    """

    knows: ClassVar = DensityKnowledge.DENSITY

    def __init__(self, log_density_of: Callable[[Tensor], Tensor]) -> None:
        self.log_density_of = log_density_of

    def direction(self, state_N: Tensor, image_NCHW: Tensor) -> Tensor:
        """D log p / dx."""
        del image_NCHW
        with torch.enable_grad():
            leaf_N = state_N.detach().clone().requires_grad_()
            (score_N,) = torch.autograd.grad(self.log_density_of(leaf_N).sum(), leaf_N)
        return score_N

    @torch.no_grad()
    def log_density(self, state_N: Tensor) -> Tensor:
        """Log p."""
        return self.log_density_of(state_N)


def _unknown(state_N: Tensor) -> Tensor:
    """[N] NaN."""
    return torch.full((len(state_N),), torch.nan, dtype=state_N.dtype, device=state_N.device)
