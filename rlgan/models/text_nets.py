"""Nets from a latent code to the characters of a text, and from a text to one score: 1-D residual convolutions.

The released character model of BGAN has 3 blocks of 256 channels with windows of 5; these are options here.
"""

# B texts or latent codes, Z latent size, T positions, V vocabulary, H channels

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlgan.models.initial_values import initialise

_RESIDUAL_SCALE = 0.3


class ResidualConvolution(nn.Module):
    """x + conv(relu(conv(relu(x)))), without a norm or with one over channels before each rectifier."""

    def __init__(self, channels: int, window: int, has_norm: bool) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, window, padding=window // 2)
        self.second = nn.Conv1d(channels, channels, window, padding=window // 2)
        self.norms = nn.ModuleList(nn.GroupNorm(1, channels) if has_norm else nn.Identity() for _ in range(2))

    def forward(self, hidden_BHT: Tensor) -> Tensor:
        """One block.

        Args:
            hidden_BHT: [B, H, T] float.

        Returns:
            [B, H, T] float.
        """
        inner_BHT = self.first(F.relu(self.norms[0](hidden_BHT)))
        change_BHT: Tensor = self.second(F.relu(self.norms[1](inner_BHT)))
        return hidden_BHT + _RESIDUAL_SCALE * change_BHT


class TextUpConvolutions(nn.Module):
    """Latent code -> logits of every character; the characters are independent given the code."""

    def __init__(
        self,
        latent_size: int,
        length: int,
        vocab_size: int,
        channels: int,
        num_blocks: int,
        window: int,
        init: torch.Generator,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.dense = nn.Linear(latent_size, channels * length)
        self.blocks = nn.Sequential(*(ResidualConvolution(channels, window, True) for _ in range(num_blocks)))
        self.output = nn.Conv1d(channels, vocab_size, 1)
        initialise(self, init)

    def forward(self, latent_BZ: Tensor) -> Tensor:
        """Logits, those of one character side by side.

        Args:
            latent_BZ: [B, Z] float.

        Returns:
            [B, T * V] float, nats.
        """
        hidden_BHT = self.blocks(self.dense(latent_BZ).unflatten(1, (self.channels, -1)))
        logits_BVT: Tensor = self.output(F.relu(hidden_BHT))
        return logits_BVT.transpose(1, 2).flatten(1)


class TextDownConvolutions(nn.Module):
    """One-hot characters -> one score."""

    def __init__(
        self, length: int, vocab_size: int, channels: int, num_blocks: int, window: int, init: torch.Generator
    ) -> None:
        super().__init__()
        self.first = nn.Conv1d(vocab_size, channels, 1)
        self.blocks = nn.Sequential(*(ResidualConvolution(channels, window, False) for _ in range(num_blocks)))
        self.output = nn.Linear(channels * length, 1)
        initialise(self, init)

    def forward(self, one_hot_BTV: Tensor) -> Tensor:
        """The score.

        Args:
            one_hot_BTV: [B, T, V] float.

        Returns:
            [B, 1] float, high for real.
        """
        hidden_BHT = self.blocks(self.first(one_hot_BTV.transpose(1, 2)))
        score_B1: Tensor = self.output(F.relu(hidden_BHT).flatten(1))
        return score_B1
