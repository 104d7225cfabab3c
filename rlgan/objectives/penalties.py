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


def gradient_penalty(score_B: Tensor, input_B: Tensor) -> Tensor:
    """Zero-centred gradient penalty on the points given (R1 where they are real ones, arXiv:1801.04406, Eq. 9).

        penalty = 1/B sum_b || d score_b / d input_b ||^2

    Reduction: sum over the axes of an input, mean over B. The published weight has a factor 1/2, which is the caller's.

    Args:
        score_B: [B], each computed from its own row of `input_B` only.
        input_B: [B, ...] with gradient.

    Returns:
        Scalar, with gradient into the net that made the scores.
    """
    gradient_B = torch.autograd.grad(score_B.sum(), input_B, create_graph=True)[0]
    return gradient_B.flatten(1).square().sum(dim=1).mean()
