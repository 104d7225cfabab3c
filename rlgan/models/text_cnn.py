"""The discriminator net of SeqGAN: a text CNN with a highway layer (arXiv:1609.05473, section 3.2 and Table 5)."""

# B sequences, T positions, E embedding, F all filters

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from rlgan.types import TokenSpace

PAPER_WINDOWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
PAPER_FILTERS = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)


class TextCNNConfig(BaseModel):
    """Sizes and regularisation of `TextCNN`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    embedding_size: int = Field(64, ge=1, description="Width of the token embedding (released SeqGAN: 64).")
    windows: tuple[int, ...] = Field(
        PAPER_WINDOWS, min_length=1, description="Convolution windows, tokens (paper, Table 5); longer than T: dropped."
    )
    filters: tuple[int, ...] = Field(
        PAPER_FILTERS, min_length=1, description="Number of filters of each window (paper, Table 5)."
    )
    dropout: float = Field(
        0.25, ge=0, lt=1, description="Share of features dropped before the output (released: 0.25)."
    )

    @field_validator("filters")
    @classmethod
    def _one_count_a_window(cls, filters: tuple[int, ...], info: object) -> tuple[int, ...]:
        """As many filter counts as windows."""
        windows = getattr(info, "data", {}).get("windows", filters)
        if len(windows) != len(filters):
            raise ValueError(f"one number of filters a window: got {len(windows)} windows and {len(filters)} numbers")
        return filters

    def fitting(self, length: int) -> list[tuple[int, int]]:
        """The windows that fit into a text; the others are dropped.

        Args:
            length: T, tokens.

        Returns:
            (window, number of filters) pairs.

        Raises:
            ValueError: if none fits.
        """
        pairs = [(w, f) for w, f in zip(self.windows, self.filters, strict=True) if w <= length]
        if not pairs:
            raise ValueError(f"no window fits into {length} tokens: windows are {self.windows}; add a shorter one.")
        return pairs


class TextCNN(nn.Module):
    """tokens -> one logit a sequence, high for real.

    Windows of several widths over the embedded text, maximum over time, ReLU, a highway layer with separate maps for
    gate and transform (gate offset 0), dropout, a linear output. The paper has a sigmoid output, its code a two-way
    softmax; one logit is both: it is the difference of the two.
    """

    def __init__(self, space: TokenSpace, config: TextCNNConfig, init: torch.Generator) -> None:
        super().__init__()
        fitting = config.fitting(space.length)
        num_features = sum(filters for _, filters in fitting)
        self.embedding = nn.Embedding(space.vocab_size, config.embedding_size)
        convolutions = [nn.Linear(w * config.embedding_size, f) for w, f in fitting]
        self.convolutions: Iterable[nn.Linear] = nn.ModuleList(convolutions)  # type: ignore[assignment]
        self.gate = nn.Linear(num_features, num_features)
        self.transform = nn.Linear(num_features, num_features)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(num_features, 1)
        self._initialise(init)

    @torch.no_grad()
    def _initialise(self, init: torch.Generator) -> None:
        """The released initial values; the difference of two output columns of sd 0.1 has sd 0.1 sqrt(2)."""
        self.embedding.weight.uniform_(-1.0, 1.0, generator=init)
        for convolution in self.convolutions:
            nn.init.trunc_normal_(convolution.weight, 0.0, 0.1, -0.2, 0.2, generator=init)
            nn.init.constant_(convolution.bias, 0.1)
        for linear in (self.gate, self.transform):
            nn.init.xavier_uniform_(linear.weight, generator=init)
            limit = (3.0 / linear.bias.shape[0]) ** 0.5
            linear.bias.uniform_(-limit, limit, generator=init)
        nn.init.trunc_normal_(self.output.weight, 0.0, 0.1 * 2**0.5, -0.2 * 2**0.5, 0.2 * 2**0.5, generator=init)
        nn.init.zeros_(self.output.bias)

    def features(self, tokens_BT: Tensor) -> Tensor:
        """Pooled features: ReLU(max over time of the convolution), window after window.

        Args:
            tokens_BT: [B, T] int64 ids.

        Returns:
            [B, F] float, >= 0.
        """
        embedded_BTE = self.embedding(tokens_BT)
        pooled = [_max_over_time(embedded_BTE, conv.weight, conv.bias) for conv in self.convolutions]
        return F.relu(torch.cat(pooled, dim=1))

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """The logit of "real".

        Args:
            tokens_BT: [B, T] int64 ids.

        Returns:
            [B] float, high for real.
        """
        features_BF = self.features(tokens_BT)
        gate_BF = torch.sigmoid(self.gate(features_BF))
        mixed_BF = features_BF + gate_BF * (F.relu(self.transform(features_BF)) - features_BF)
        logit_B: Tensor = self.output(self.dropout(mixed_BF)).squeeze(1)
        return logit_B


def _max_over_time(embedded_BTE: Tensor, weight_FK: Tensor, bias_F: Tensor) -> Tensor:
    """[B, F] maximum over all windows of the convolution, as a matrix product over overlapping windows of K = w * E."""
    batch, length, width = embedded_BTE.shape
    size_K = weight_FK.shape[1]
    windows_BPK = embedded_BTE.as_strided(
        (batch, length - size_K // width + 1, size_K), (embedded_BTE.stride(0), embedded_BTE.stride(1), 1)
    )
    return (windows_BPK @ weight_FK.t()).amax(dim=1) + bias_F
