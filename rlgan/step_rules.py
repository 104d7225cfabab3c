"""The rules a chain may move by: one thin class each, whose equation is in rlgan/objectives/plug_and_play.py."""

# N chains

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from rlgan.chains import Place
from rlgan.objectives.plug_and_play import (
    decaying_step_size,
    langevin_log_proposal,
    langevin_step,
    metropolis_log_acceptance,
    plug_and_play_direction,
    plug_and_play_step,
    released_step,
)
from rlgan.types import DensityKnowledge


@dataclass(frozen=True)
class PlugAndPlayRule:
    """The equation's step, every one taken.

    Example:
        `PlugAndPlayRule(eps1=0.1, eps2=1.0, eps3=0.1)`; eps1 = 0 is activation maximisation without a prior.

    Attributes:
        eps1: multiplier of the prior.
        eps2: multiplier of the condition.
        eps3: sd of the noise.
        quiet_from: from this step on there is no noise, so that the image comes to rest; None: always noise.
    """

    needs: ClassVar = DensityKnowledge.DIRECTION
    eps1: float
    eps2: float
    eps3: float
    quiet_from: int | None = None

    def propose(self, place: Place, noise_N: Tensor, step: int) -> Tensor:
        """See `plug_and_play_step`."""
        is_quiet = self.quiet_from is not None and step >= self.quiet_from
        multipliers = (self.eps1, self.eps2, 0.0 if is_quiet else self.eps3)
        return plug_and_play_step(place.state_N, place.prior_N, place.gradient_N, noise_N, multipliers)

    def log_acceptance(self, place: Place, proposed: Place, step: int) -> None:
        """Every step is taken."""


@dataclass(frozen=True)
class ReleasedRule:
    """The released step: of a fixed mean size, and kept in [0, highest].

    Example:
        `ReleasedRule(eps1=1e-5, eps2=1.0, eps3=1e-17, step_size=1.0)`

    Attributes:
        eps1: multiplier of the prior.
        eps2: multiplier of the condition.
        eps3: sd of the noise.
        step_size: mean absolute change of a number of the state.
        highest: their upper bound.
    """

    needs: ClassVar = DensityKnowledge.DIRECTION
    eps1: float
    eps2: float
    eps3: float
    step_size: float
    highest: float = 30.0

    def propose(self, place: Place, noise_N: Tensor, step: int) -> Tensor:
        """See `released_step`."""
        del step
        multipliers = (self.eps1, self.eps2, self.eps3)
        direction_N = plug_and_play_direction(place.prior_N, place.gradient_N, noise_N, multipliers)
        return released_step(place.state_N, direction_N, self.step_size, self.highest)

    def log_acceptance(self, place: Place, proposed: Place, step: int) -> None:
        """Every step is taken."""


@dataclass(frozen=True)
class LangevinRule:
    """Langevin dynamics without a check: biased by its step size.

    Attributes:
        step_size: eps.
    """

    needs: ClassVar = DensityKnowledge.SCORE
    step_size: float

    def propose(self, place: Place, noise_N: Tensor, step: int) -> Tensor:
        """See `langevin_step`."""
        del step
        return langevin_step(place.state_N, place.prior_N + place.gradient_N, noise_N, self.step_size)

    def log_acceptance(self, place: Place, proposed: Place, step: int) -> None:
        """Every step is taken."""


@dataclass(frozen=True)
class StochasticGradientRule:
    """Langevin steps that become smaller, for a prior whose score is a mini-batch estimate.

    Attributes:
        first: a, the first step size.
        delay: b, steps.
        power: gamma.
    """

    needs: ClassVar = DensityKnowledge.SCORE
    first: float
    delay: float
    power: float

    def propose(self, place: Place, noise_N: Tensor, step: int) -> Tensor:
        """See `langevin_step` and `decaying_step_size`."""
        step_size = decaying_step_size(self.first, self.delay, self.power, step)
        return langevin_step(place.state_N, place.prior_N + place.gradient_N, noise_N, step_size)

    def log_acceptance(self, place: Place, proposed: Place, step: int) -> None:
        """Every step is taken."""


@dataclass(frozen=True)
class AdjustedLangevinRule:
    """MALA: Langevin steps, taken or not so that the density is reached exactly; it needs a prior with a density.

    Attributes:
        step_size: eps.
    """

    needs: ClassVar = DensityKnowledge.DENSITY
    step_size: float

    def propose(self, place: Place, noise_N: Tensor, step: int) -> Tensor:
        """See `langevin_step`."""
        del step
        return langevin_step(place.state_N, place.prior_N + place.gradient_N, noise_N, self.step_size)

    def log_acceptance(self, place: Place, proposed: Place, step: int) -> Tensor:
        """See `metropolis_log_acceptance`."""
        del step
        old_N, new_N, size = place.state_N, proposed.state_N, self.step_size
        forward_N = langevin_log_proposal(new_N, old_N, place.prior_N + place.gradient_N, size)
        back_N = langevin_log_proposal(old_N, new_N, proposed.prior_N + proposed.gradient_N, size)
        return metropolis_log_acceptance(place.log_density_N, proposed.log_density_N, forward_N, back_N)


@dataclass(frozen=True)
class RandomWalkRule:
    """Metropolis-Hastings with a normal random walk; it needs a prior with a density, and no gradient.

    Attributes:
        walk_sd: sd of a step in every direction.
    """

    needs: ClassVar = DensityKnowledge.DENSITY
    walk_sd: float

    def propose(self, place: Place, noise_N: Tensor, step: int) -> Tensor:
        """X + sd N(0, 1)."""
        del step
        return place.state_N + self.walk_sd * noise_N

    def log_acceptance(self, place: Place, proposed: Place, step: int) -> Tensor:
        """See `metropolis_log_acceptance`; the walk is symmetric."""
        del step
        return metropolis_log_acceptance(place.log_density_N, proposed.log_density_N)
