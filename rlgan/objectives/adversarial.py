"""Discriminator losses, on logits that are high for real."""

# B sequences

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
