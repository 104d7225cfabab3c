"""The equations of Plug & Play Generative Networks (arXiv:1612.00005): terms of a chain, its steps, its acceptance.

Randomness is passed in. Every function works on [N, ...] states of N chains at once, whose other axes are one state.
"""

# N chains, L labels or units, C channels, H height, W width

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def label_log_probability(logits_NL: Tensor, label_N: Tensor) -> Tensor:
    """Log p(y = c | x), whose gradient by the logits is 1 - p_c at c and -p_j at every other j (Eq. 5).

    Args:
        logits_NL: [N, L] float.
        label_N: [N] int64, c of every chain.

    Returns:
        [N] nats.
    """
    _require_labels(logits_NL, label_N)
    return logits_NL.log_softmax(dim=1).gather(1, label_N[:, None]).squeeze(1)


def released_label_log_probability(logits_NL: Tensor, label_N: Tensor) -> Tensor:
    """The same value with the gradient that was released: 1 - p_c at c, and 0 at every other logit.

    Evolving-AI-Lab/ppgn, sampling_class.py:62-70, sends only that much back from the last layer, where the gradient of
    the paper's log-softmax also lowers the other logits. Here the other logits are held constant in the normaliser.

    Args:
        logits_NL: [N, L] float.
        label_N: [N] int64, c of every chain.

    Returns:
        [N] nats.
    """
    _require_labels(logits_NL, label_N)
    is_label_NL = F.one_hot(label_N, logits_NL.shape[1]).bool()
    held_NL = torch.where(is_label_NL, logits_NL, logits_NL.detach())
    return held_NL.log_softmax(dim=1).gather(1, label_N[:, None]).squeeze(1)


def label_logit(logits_NL: Tensor, label_N: Tensor) -> Tensor:
    """The raw logit of c, which the released code of DGN-AM climbs (arXiv:1605.09304; act_max.py:118).

    Args:
        logits_NL: [N, L] float.
        label_N: [N] int64, c of every chain.

    Returns:
        [N], log p(y = c | x) but for a normaliser that changes with x.
    """
    _require_labels(logits_NL, label_N)
    return logits_NL.gather(1, label_N[:, None]).squeeze(1)


def _require_labels(logits_NL: Tensor, label_N: Tensor) -> None:
    """One label a row, each of them a column."""
    if logits_NL.ndim != 2 or label_N.shape != logits_NL.shape[:1]:
        raise ValueError(
            f"logits_NL must be [N, L] with one label a row; got {list(logits_NL.shape)} and {list(label_N.shape)}."
        )
    if label_N.numel() and not (int(label_N.min()) >= 0 and int(label_N.max()) < logits_NL.shape[1]):
        raise ValueError(
            f"labels must be in [0, {logits_NL.shape[1]}); got {int(label_N.min())} to {int(label_N.max())}."
        )


def stitched(image_NCHW: Tensor, known_CHW: Tensor, is_known_HW: Tensor) -> Tensor:
    """The real context around a generated hole: m x_known + (1 - m) x.

    Args:
        image_NCHW: [N, C, H, W] x.
        known_CHW: [C, H, W] the real image; what it has in the hole does not matter.
        is_known_HW: [H, W] bool, m.

    Returns:
        [N, C, H, W]; no gradient reaches x outside the hole.
    """
    return torch.where(is_known_HW, known_CHW, image_NCHW)


def context_log_likelihood(image_NCHW: Tensor, known_CHW: Tensor, is_known_HW: Tensor, context_sd: float) -> Tensor:
    """-|m (x - x_known)|^2 / (2 s^2): known pixels seen through normal noise of sd s (the paper's eps4 is eps2 / s^2).

    Args:
        image_NCHW: [N, C, H, W] x, in [0, 1].
        known_CHW: [C, H, W] x_known.
        is_known_HW: [H, W] bool, m.
        context_sd: s, in units of brightness.

    Returns:
        [N] nats, but for a constant.

    Raises:
        ValueError: if s is not positive, a shape is another one, or every pixel is known, or none.
    """
    if not context_sd > 0:
        raise ValueError(f"context_sd must be positive; got {context_sd}.")
    if known_CHW.shape != image_NCHW.shape[1:] or is_known_HW.shape != image_NCHW.shape[2:]:
        raise ValueError(
            f"known_CHW and is_known_HW must fit images of {list(image_NCHW.shape[1:])}; got {list(known_CHW.shape)} "
            f"and {list(is_known_HW.shape)}."
        )
    if bool(is_known_HW.all()) or not bool(is_known_HW.any()):
        raise ValueError("some pixels must be known and some not.")
    error_NCHW = torch.where(is_known_HW, image_NCHW - known_CHW, 0.0)
    return -error_NCHW.square().flatten(1).sum(dim=1) / (2.0 * context_sd**2)


def reconstruction_direction(reconstruction_N: Tensor, state_N: Tensor) -> Tensor:
    """R(x) - x: the score of p(x) times sigma^2, which the paper leaves to eps1.

    Args:
        reconstruction_N: [N, ...] R(x), what a denoising autoencoder makes of the state.
        state_N: the same shape.

    Returns:
        The same shape.

    Raises:
        ValueError: if the shapes differ.
    """
    if reconstruction_N.shape != state_N.shape:
        raise ValueError(
            f"a state and its reconstruction must have one shape; got {list(state_N.shape)} and "
            f"{list(reconstruction_N.shape)}."
        )
    return reconstruction_N - state_N


def denoising_score(reconstruction_N: Tensor, state_N: Tensor, noise_sd: float) -> Tensor:
    """D log p(x) / dx ~ (R(x) - x) / sigma^2, where R was trained to take away noise N(0, sigma^2) (Eq. 6).

    It is exact for the data with noise added: for data N(0, s^2), the best R is x s^2 / (s^2 + sigma^2), which gives
    -x / (s^2 + sigma^2).

    Args:
        reconstruction_N: [N, ...] R(x).
        state_N: the same shape.
        noise_sd: sigma.

    Returns:
        The same shape, nats a unit of the state.

    Raises:
        ValueError: if sigma is not positive.
    """
    if not noise_sd > 0:
        raise ValueError(f"noise_sd must be positive; got {noise_sd}.")
    return reconstruction_direction(reconstruction_N, state_N) / noise_sd**2


def log_density_gain(state_N: Tensor, next_N: Tensor, score_N: Tensor, next_score_N: Tensor) -> Tensor:
    """Log p(x') - log p(x) ~ (x' - x) . (s(x) + s(x')) / 2: the trapezoid rule along the line from x to x'.

    A denoising autoencoder knows the score s and no density. The rule is exact for a normal density, whose score is
    linear; elsewhere its error is of the third order in the size of the step.

    Args:
        state_N: [N, ...] x.
        next_N: the same shape, x'.
        score_N: the same shape, s(x) = d log p / dx.
        next_score_N: the same shape, s(x').

    Returns:
        [N] nats.
    """
    return ((next_N - state_N) * 0.5 * (score_N + next_score_N)).flatten(1).sum(dim=1)


def gaussian_prior_direction(state_N: Tensor) -> Tensor:
    """-x, the score of N(0, 1): with eps1 = lambda the state decays by 1 - lambda a step, an L2 prior.

    Args:
        state_N: [N, ...].

    Returns:
        The same shape.
    """
    return -state_N


def blurred(image_NCHW: Tensor, blur_sd: float) -> Tensor:
    """A hand-designed prior's r(x): a Gaussian blur, so that r(x) - x smooths an image.

    Args:
        image_NCHW: [N, C, H, W].
        blur_sd: in pixels; the window is 3 of them wide to each side, and the edge is repeated beyond the image.

    Returns:
        The same shape.

    Raises:
        ValueError: if the width is not positive.
    """
    if not blur_sd > 0:
        raise ValueError(f"blur_sd must be positive; got {blur_sd}.")
    radius = max(1, round(3 * blur_sd))
    place_K = torch.arange(-radius, radius + 1, dtype=image_NCHW.dtype, device=image_NCHW.device)
    weight_K = (-0.5 * (place_K / blur_sd).square()).softmax(dim=0)
    channels = image_NCHW.shape[1]
    padded = F.pad(image_NCHW, (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(padded, weight_K.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(rows, weight_K.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)


def plug_and_play_step(
    state_N: Tensor,
    prior_N: Tensor,
    condition_N: Tensor,
    noise_N: Tensor,
    multipliers: tuple[float, float, float],
) -> Tensor:
    """X' = x + eps1 (R(x) - x) + eps2 d log p(y = c | x) / dx + N(0, eps3^2) (Eq. 5, Eq. 11 for h).

    Args:
        state_N: [N, ...] x, or h.
        prior_N: the same shape, the direction of the prior.
        condition_N: the same shape, the gradient of the condition by the state.
        noise_N: the same shape, standard normal.
        multipliers: eps1, eps2, eps3.

    Returns:
        The same shape.
    """
    return state_N + plug_and_play_direction(prior_N, condition_N, noise_N, multipliers)


def plug_and_play_direction(
    prior_N: Tensor, condition_N: Tensor, noise_N: Tensor, multipliers: tuple[float, float, float]
) -> Tensor:
    """The sum of the three terms of `plug_and_play_step`.

    Args:
        prior_N: [N, ...].
        condition_N: the same shape.
        noise_N: the same shape.
        multipliers: eps1, eps2, eps3.

    Returns:
        The same shape.
    """
    eps1, eps2, eps3 = multipliers
    return eps1 * prior_N + eps2 * condition_N + eps3 * noise_N


def released_step(state_N: Tensor, direction_N: Tensor, step_size: float, highest: float = 30.0) -> Tensor:
    """The released step: x' = clip(x + step_size d / mean|d|, 0, 30); d is the sum of all three terms, noise included.

    Evolving-AI-Lab/ppgn, sampler.py:157-159. The paper has no such division: with it only the ratios of the eps matter,
    and a chain never comes to rest. The mean is over the numbers of one chain; a chain whose d is 0 stays.

    Args:
        state_N: [N, ...].
        direction_N: the same shape.
        step_size: mean absolute change of a number.
        highest: upper bound of every number.

    Returns:
        The same shape.
    """
    size_N = direction_N.abs().flatten(1).mean(dim=1).clamp_min(torch.finfo(direction_N.dtype).tiny)
    moved_N: Tensor = state_N + step_size * direction_N / size_N.view(-1, *([1] * (state_N.ndim - 1)))
    return moved_N.clamp(0.0, highest)


def langevin_step(state_N: Tensor, score_N: Tensor, noise_N: Tensor, step_size: float) -> Tensor:
    """X' = x + eps/2 d log p(x)/dx + sqrt(eps) N(0, 1): Langevin dynamics without a check.

    Its stationary law is not p: for N(0, 1) it is normal with variance 1 / (1 - eps/4), from v = (1 - eps/2)^2 v + eps.

    Args:
        state_N: [N, ...].
        score_N: the same shape; a mini-batch estimate of it makes this stochastic-gradient Langevin.
        noise_N: the same shape, standard normal.
        step_size: eps.

    Returns:
        The same shape.
    """
    return state_N + 0.5 * step_size * score_N + math.sqrt(step_size) * noise_N


def decaying_step_size(first: float, delay: float, power: float, step: int) -> float:
    """eps_t = a (1 + t/b)^-gamma: stochastic-gradient Langevin reaches p where gamma is in (1/2, 1].

    Welling and Teh, 2011, with their a (b + t)^-gamma divided so that a is the first step.

    Args:
        first: a.
        delay: b, steps.
        power: gamma.
        step: t, from 0.

    Returns:
        eps_t.

    Raises:
        ValueError: if a or b is not positive, or gamma is not in (1/2, 1].
    """
    if not (first > 0 and delay > 0 and 0.5 < power <= 1):
        raise ValueError(f"steps must be positive and gamma in (0.5, 1]; got a {first}, b {delay}, gamma {power}.")
    return float(first * (1 + step / delay) ** -power)


def metropolis_log_acceptance(
    log_density_N: Tensor, proposed_log_density_N: Tensor, forward_N: Tensor | float = 0.0, back_N: Tensor | float = 0.0
) -> Tensor:
    """Log min(1, p(x') q(x | x') / (p(x) q(x' | x))) (Metropolis-Hastings).

    Args:
        log_density_N: [N] log p(x), nats, but for a constant.
        proposed_log_density_N: [N] log p(x') but for the same constant.
        forward_N: [N] log q(x' | x); 0 with `back_N` where the proposal is symmetric.
        back_N: [N] log q(x | x').

    Returns:
        [N] <= 0; minus infinity where a proposal is impossible, or its density is NaN.
    """
    ratio_N = proposed_log_density_N - log_density_N + back_N - forward_N
    return torch.where(ratio_N.isnan(), -torch.inf, ratio_N).clamp_max(0.0)


def langevin_log_proposal(to_N: Tensor, from_N: Tensor, score_N: Tensor, step_size: float) -> Tensor:
    """Log q(x' | x) of `langevin_step`, -|x' - x - eps/2 score(x)|^2 / (2 eps), but for a constant of eps.

    Args:
        to_N: [N, ...] x'.
        from_N: [N, ...] x.
        score_N: [N, ...] at x.
        step_size: eps.

    Returns:
        [N] nats.
    """
    return -(to_N - from_N - 0.5 * step_size * score_N).square().flatten(1).sum(dim=1) / (2.0 * step_size)
