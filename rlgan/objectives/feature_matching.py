"""The training losses of Plug & Play Generative Networks: fit images, features, codes, and a critic."""

# B images, the other axes are those of one image, feature map or code

import torch.nn.functional as F
from torch import Tensor


def squared_error(output_B: Tensor, target_B: Tensor) -> Tensor:
    """|a - b|^2: the loss of an image, of h1, of h, and of a denoising autoencoder (arXiv:1612.00005, appendix).

    Reduction: sum over the numbers of one image, mean over B.

    Args:
        output_B: [B, ...] what a net made.
        target_B: the same shape.

    Returns:
        Scalar, >= 0.

    Raises:
        ValueError: if the shapes differ.
    """
    if output_B.shape != target_B.shape:
        raise ValueError(
            f"what was made and what was wanted must have one shape; got {list(output_B.shape)} and "
            f"{list(target_B.shape)}."
        )
    return (output_B - target_B).square().flatten(1).sum(dim=1).mean()


def non_saturating(logit_fake_B: Tensor) -> Tensor:
    """-log D(G(h)), what the generator minimises (Goodfellow et al., 2014, section 3).

    Reduction: mean over B.

    Args:
        logit_fake_B: [B] logits of generated images, high for real.

    Returns:
        Scalar, nats.
    """
    return F.softplus(-logit_fake_B).mean()


def is_paused(loss_ratio: float | None, lowest: float = 0.1, highest: float = 10.0) -> tuple[bool, bool]:
    """Who sits out a step: the discriminator where r = L_D / L_G < 0.1, the generator where r > 10.

    Args:
        loss_ratio: r of the last step; None before the first.
        lowest: below it the discriminator is too good.
        highest: above it the generator is.

    Returns:
        Whether the discriminator is paused, and whether the generator is; never both.
    """
    if loss_ratio is None:
        return False, False
    return loss_ratio < lowest, loss_ratio > highest
