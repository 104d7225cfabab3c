"""Initial values of image nets, drawn from a generator of random numbers that is passed in."""

import torch
from torch import nn


@torch.no_grad()
def initialise(net: nn.Module, init: torch.Generator, gain: float = 1.0) -> None:
    """Uniform weights of variance gain^2 / fan-in ("Kaiming" for gain 2^0.5) and zero biases, layer after layer.

    Args:
        net: whose linear and convolutional layers are filled; norms keep their ones and zeros.
        init: where the numbers come from.
        gain: multiplies every weight.
    """
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
            fan_in = layer.weight.shape[0 if isinstance(layer, nn.ConvTranspose2d) else 1] * layer.weight[0, 0].numel()
            limit = gain * (3.0 / fan_in) ** 0.5
            layer.weight.uniform_(-limit, limit, generator=init)
            if layer.bias is not None:
                layer.bias.zero_()
