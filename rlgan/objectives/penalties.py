"""Terms added to a loss."""

import torch
from torch import Tensor


def l2_penalty(*parameters: Tensor) -> Tensor:
    """Sum over the given tensors of 1/2 ||w||^2, TensorFlow's `l2_loss` (SeqGAN: the output layer only, times 0.2).

    Args:
        *parameters: tensors of any shape.

    Returns:
        Scalar.
    """
    return 0.5 * torch.stack([parameter.square().sum() for parameter in parameters]).sum()
