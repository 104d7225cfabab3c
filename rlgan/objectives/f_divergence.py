"""The f-divergences of boundary-seeking GANs: each with its conjugate, output activation and importance weight.

Convention: D_f(P || Q) = E_Q[f(p/q)] = sup_T E_P[T] - E_Q[f*(T)], reached at T* = f'(p/q). T = nu(F) is made of a free
real score F by the activation nu, which is chosen so that the weight (df*/dT)(nu(F)) is exp(F) for every row: F is then
an estimate of log p/q whatever the divergence (arXiv:1702.08431, Theorem 1 and Table 1).

Where printed tables differ from this file the mathematics is followed, and tested by enumeration: Pearson's denominator
is q, the printed Jensen-Shannon generator gives twice the divergence, and f-GAN's activation for the squared Hellinger
distance makes the weight exp(2F).
"""

# B samples

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Elementwise = Callable[[Tensor], Tensor]
LARGEST_EXPONENT = 20.0


@dataclass(frozen=True)
class FDivergence:
    """One row of the table. Every function works element by element.

    Example:
        `F_DIVERGENCES["kl"].weight(F_DIVERGENCES["kl"].activation(score))` is `exp(score)`.

    Attributes:
        name: what it is chosen by.
        f: of the ratio u = p/q > 0.
        conjugate: f*(t) = sup_u {u t - f(u)}.
        weight: df*/dT as a function of T; p/q at the optimum.
        activation: nu, from a free score F to T.
        conjugate_of_score: f*(nu(F)), written so that it is stable.
        powers: a and b of `tilted_bound`; None where the bound is not made of exponentials of F.
    """

    name: str
    f: Elementwise
    conjugate: Elementwise
    weight: Elementwise
    activation: Elementwise
    conjugate_of_score: Elementwise
    powers: tuple[float, float] | None = None


def bounded_exp(exponent: Tensor, largest: float = LARGEST_EXPONENT) -> Tensor:
    """exp(x) up to x = 20, and its tangent there above, so that loss, gradient and its norm are finite in float32.

    A density ratio of e^20 carries no information; without the tangent one sample of it ends a run.

    Args:
        exponent: any shape, nats.
        largest: x up to which it is exp(x).

    Returns:
        Same shape, > 0.
    """
    tangent = math.exp(largest) * (1.0 + exponent - largest)
    return torch.where(exponent > largest, tangent, exponent.clamp(max=largest).exp())


def lower_bound(divergence: FDivergence, score_real_B: Tensor, score_fake_B: Tensor) -> Tensor:
    """V, the bound on D_f(P || Q) that the discriminator makes tight (arXiv:1702.08431, Eq. 2).

        V = E_P[nu(F)] - E_Q[f*(nu(F))]

    Reduction: mean over each side. Algorithm 1 as printed subtracts the mean weight instead of the mean conjugate; that
    is V for the Kullback-Leibler divergence only (up to its constant).

    Args:
        divergence: a row of the table.
        score_real_B: [B] F of real samples, high for real.
        score_fake_B: [B'] F of generated samples.

    Returns:
        Scalar, to be maximised by the discriminator.
    """
    return divergence.activation(score_real_B).mean() - divergence.conjugate_of_score(score_fake_B).mean()


def tilted_bound(divergence: FDivergence, score_real_B: Tensor, score_fake_B: Tensor) -> Tensor:
    """The bound V at the best constant added to F, on a scale on which its gradient neither vanishes nor explodes.

        C = log E_P[exp(a F)] / a - log E_Q[exp(b F)] / b,   with E[F] in place of a term whose power is 0

    C does not change when a constant is added to F, nor do normalised importance weights. It increases with
    sup_c V(F + c), so that it has the same best F. KL: C = sup V, Donsker and Varadhan's bound; reverse KL: C = sup V;
    Pearson: C = log(1 + sup V) / 2; squared Hellinger: C = -4 log(1 - sup V / 2). The gradient of V itself holds
    exp(a F) and exp(b F): with Pearson's, a score that has gone wrong on all real samples has no gradient that would
    bring it back.

    Args:
        divergence: a row of the table with powers.
        score_real_B: [B] F of real samples, high for real.
        score_fake_B: [B'] F of generated samples.

    Returns:
        Scalar, to be maximised by the discriminator.

    Raises:
        ValueError: if the divergence has no powers.
    """
    if divergence.powers is None:
        raise ValueError(f"the bound of {divergence.name} is not made of exponentials; use its lower_bound.")
    power_real, power_fake = divergence.powers
    return _log_mean_power(score_real_B, power_real) - _log_mean_power(score_fake_B, power_fake)


def _log_mean_power(score_B: Tensor, power: float) -> Tensor:
    """Log E[exp(a F)] / a, and its limit E[F] for a = 0."""
    if power == 0:
        return score_B.mean()
    return ((power * score_B).logsumexp(dim=0) - math.log(len(score_B))) / power


def _kl_conjugate(t: Tensor) -> Tensor:
    return bounded_exp(t - 1)


def _reverse_kl_conjugate(t: Tensor) -> Tensor:
    return -1 - torch.log(-t)


def _jensen_shannon_f(u: Tensor) -> Tensor:
    return torch.xlogy(u, u) - (u + 1) * torch.log((1 + u) / 2)


def _gan_f(u: Tensor) -> Tensor:
    return torch.xlogy(u, u) - (u + 1) * torch.log1p(u)


F_DIVERGENCES: dict[str, FDivergence] = {
    row.name: row
    for row in (
        FDivergence(
            name="kl",
            f=lambda u: torch.xlogy(u, u),
            conjugate=_kl_conjugate,
            weight=_kl_conjugate,
            activation=lambda score: score + 1,
            conjugate_of_score=bounded_exp,
            powers=(0.0, 1.0),
        ),
        FDivergence(
            name="reverse_kl",
            f=lambda u: -torch.log(u),
            conjugate=_reverse_kl_conjugate,
            weight=lambda t: -1 / t,
            activation=lambda score: -bounded_exp(-score),
            conjugate_of_score=lambda score: score - 1,
            powers=(-1.0, 0.0),
        ),
        FDivergence(
            name="pearson",
            f=lambda u: (u - 1).square(),
            conjugate=lambda t: t.clamp(min=-2).square() / 4 + t.clamp(min=-2),
            weight=lambda t: (t / 2 + 1).clamp(min=0),
            # Both tangents begin at the same F: with this one later, V would be no lower bound between the two.
            activation=lambda score: 2 * (bounded_exp(score, LARGEST_EXPONENT / 2) - 1),
            conjugate_of_score=lambda score: bounded_exp(2 * score) - 1,
            powers=(1.0, 2.0),
        ),
        FDivergence(
            name="squared_hellinger",
            f=lambda u: (u.sqrt() - 1).square(),
            conjugate=lambda t: t / (1 - t),
            weight=lambda t: (1 - t) ** -2,
            activation=lambda score: 1 - bounded_exp(-score / 2),
            conjugate_of_score=lambda score: bounded_exp(score / 2) - 1,
            powers=(-0.5, 0.5),
        ),
        FDivergence(
            name="jensen_shannon",
            f=_jensen_shannon_f,
            conjugate=lambda t: -torch.log(2 - t.exp()),
            weight=lambda t: t.exp() / (2 - t.exp()),
            activation=lambda score: math.log(2) - F.softplus(-score),
            conjugate_of_score=lambda score: F.softplus(score) - math.log(2),
        ),
        FDivergence(
            name="gan",
            f=_gan_f,
            conjugate=lambda t: -torch.log(-torch.expm1(t)),
            weight=lambda t: 1 / torch.expm1(-t),
            activation=lambda score: -F.softplus(-score),
            conjugate_of_score=F.softplus,
        ),
    )
}
