"""The equations of BEGAN (arXiv:1703.10717): losses of an autoencoder, and the balance between its two sides."""

# B images, the other axes are those of one image

import math

from torch import Tensor


def reconstruction_error(image_B: Tensor, reconstruction_B: Tensor, power: int) -> Tensor:
    """L(v) = |v - D(v)|^eta for each image, eta = 1 or 2 (Eq. 1).

    Reduction: mean over channels and pixels, as released: the drift of k depends on this scale, and a sum over pixels
    drives k out of its range at once.

    Args:
        image_B: [B, ...].
        reconstruction_B: the same shape, what the autoencoder makes of it.
        power: eta.

    Returns:
        [B], >= 0.

    Raises:
        ValueError: if the shapes differ or eta is neither 1 nor 2.
    """
    if image_B.shape != reconstruction_B.shape:
        raise ValueError(
            f"an image and its reconstruction must have one shape; got {list(image_B.shape)} and "
            f"{list(reconstruction_B.shape)}."
        )
    if power not in {1, 2}:
        raise ValueError(f"power must be 1 or 2; got {power}.")
    difference = image_B - reconstruction_B
    return (difference.abs() if power == 1 else difference.square()).flatten(1).mean(dim=1)


def autoencoder_loss(real_error: Tensor, fake_error: Tensor, balance: float) -> Tensor:
    """The discriminator's loss, to be minimised (section 3.4): L_D = L(x) - k_t L(G(z_D)).

    Args:
        real_error: scalar mean of L(x).
        fake_error: scalar mean of L(G(z_D)); the generator must be held constant in it.
        balance: k_t, a number outside any graph.

    Returns:
        Scalar.
    """
    return real_error - balance * fake_error


def next_balance(balance: float, gain: float, diversity: float, real_error: float, fake_error: float) -> float:
    """k_{t+1} = k_t + lambda_k (gamma L(x) - L(G(z_G))), kept in [0, 1] (section 3.4).

    Args:
        balance: k_t.
        gain: lambda_k.
        diversity: gamma.
        real_error: mean L(x) of the step.
        fake_error: mean L(G(z_G)) of the step.

    Returns:
        k_{t+1}; NaN where an error is NaN.
    """
    moved = balance + gain * (diversity * real_error - fake_error)
    return moved if math.isnan(moved) else min(max(moved, 0.0), 1.0)


def global_measure(real_error: float, fake_error: float, diversity: float) -> float:
    """M_global = L(x) + |gamma L(x) - L(G(z_G))|: low when both sides are good and in balance (section 3.4.1).

    Args:
        real_error: mean L(x).
        fake_error: mean L(G(z_G)).
        diversity: gamma.

    Returns:
        A number >= 0 of the same unit.
    """
    return real_error + abs(diversity * real_error - fake_error)
