"""Discriminator losses, on logits that are high for real."""

# B sequences, T positions

import torch.nn.functional as F
from torch import Tensor


def binary_cross_entropy(logit_real_B: Tensor, logit_fake_B: Tensor) -> Tensor:
    """The discriminator loss of GAN and SeqGAN (arXiv:1609.05473, Eq. 5), to be minimised.

        loss = 1/2 ( - E_real[log D] - E_fake[log(1 - D)] ),   D = sigmoid(logit)

    Reduction: mean over each half, then their mean. Equal numbers make it the mean over the joint batch, which is what
    the released code takes; the paper has the sum of the two means, twice this.

    Args:
        logit_real_B: [B] logits of real sequences, high for real.
        logit_fake_B: [B'] logits of generated sequences.

    Returns:
        Scalar, nats; log 2 for a discriminator that knows nothing.
    """
    return 0.5 * (F.softplus(-logit_real_B).mean() + F.softplus(logit_fake_B).mean())


def per_token_binary_cross_entropy(
    logit_real_BT: Tensor,
    logit_fake_BT: Tensor,
    real_mask_BT: Tensor,
    fake_mask_BT: Tensor,
    real_share: float = 1.0,
    fake_share: float = 1.0,
) -> Tensor:
    """The discriminator loss of MaskGAN (arXiv:1801.07736, Eq. 7): one verdict on every token that was filled in.

        loss = 1/2 ( - mean_{masked real} log D_t - mean_{masked fake} log(1 - D_t) )

    Reduction: mean over the masked positions of each half, then their mean, as in the released code
    (model_losses.py:33-47); positions that were given count for nothing.

    Args:
        logit_real_BT: [B, T] logits of real tokens, high for real.
        logit_fake_BT: [B', T] logits of generated ones.
        real_mask_BT: [B, T] bool, True where a real token stands at a blank.
        fake_mask_BT: [B', T] bool, True where a generated one does.
        real_share: share of a larger batch's masked real tokens that are these; the losses of its parts add up to its.
        fake_share: likewise of generated ones.

    Returns:
        Scalar, nats; log 2 for a discriminator that knows nothing.

    Raises:
        ValueError: if one half has no blank, though its share is above 0.
    """
    halves = ((real_share, -logit_real_BT, real_mask_BT), (fake_share, logit_fake_BT, fake_mask_BT))
    if any(share > 0 and not bool(mask_BT.any()) for share, _, mask_BT in halves):
        raise ValueError("real_mask_BT and fake_mask_BT must each keep at least one position; got none.")
    real, fake = (
        share * F.softplus(logit_BT[mask_BT]).sum() / mask_BT.sum().clamp_min(1) for share, logit_BT, mask_BT in halves
    )
    return 0.5 * (real + fake)
