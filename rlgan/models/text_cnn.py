"""The discriminator net of SeqGAN: a text CNN with a highway layer (arXiv:1609.05473, section 3.2 and Table 5)."""

# B sequences, T positions, E embedding, F all filters, P = T-1 prefixes, R rollouts, N rows,
# K rows that differ, M = P R + 1

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from rlgan.native import supports
from rlgan.native import text_cnn as native_text_cnn
from rlgan.native import text_cnn_training as native_training
from rlgan.types import TokenSpace

_FEATURES_AT_ONCE = 17 * 2**20  # floats: 71 MB
_CONVOLVED_AT_ONCE = 2**19  # features of a chunk without the native core, which holds them for all positions

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
    pooling: Literal["max", "mean"] = Field(
        "max", description="What is kept of each filter over the text: its maximum (paper) or its mean."
    )
    highway: bool = Field(True, description="Whether a highway layer follows the pooling (paper: yes).")
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

    Windows of several widths over the embedded text, ReLU, maximum over time, highway layer, dropout, a linear output.
    The paper has a sigmoid output, its code a two-way softmax; one logit is both: it is the difference of the two.
    """

    def __init__(self, space: TokenSpace, config: TextCNNConfig, init: torch.Generator) -> None:
        super().__init__()
        fitting = config.fitting(space.length)
        num_features = sum(filters for _, filters in fitting)
        self.embedding = nn.Embedding(space.vocab_size, config.embedding_size)
        convolutions = [nn.Linear(w * config.embedding_size, f) for w, f in fitting]
        self.convolutions: Iterable[nn.Linear] = nn.ModuleList(convolutions)  # type: ignore[assignment]
        self.pooling = config.pooling
        self.num_filters = [filters for _, filters in fitting]
        self.pool = _POOLING[config.pooling]
        self.highway = Highway(num_features, init) if config.highway else nn.Identity()
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
        nn.init.trunc_normal_(self.output.weight, 0.0, 0.1 * 2**0.5, -0.2 * 2**0.5, 0.2 * 2**0.5, generator=init)
        nn.init.zeros_(self.output.bias)

    def features(self, tokens_BT: Tensor) -> Tensor:
        """Pooled features: the maximum or mean over time of ReLU(convolution), window after window.

        Args:
            tokens_BT: [B, T] int64 ids.

        Returns:
            [B, F] float, >= 0.
        """
        if self._is_native:
            return self._native_features(tokens_BT, None)
        embedded_BET = self.embedding(tokens_BT).transpose(1, 2)
        return torch.cat([self.pool(embedded_BET, convolution) for convolution in self.convolutions], dim=1)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """The logit of "real".

        Args:
            tokens_BT: [B, T] int64 ids.

        Returns:
            [B] float, high for real.
        """
        if self._is_natively_trained:
            return self._trained_logits(tokens_BT)
        return self._logits(self.features(tokens_BT))

    @torch.no_grad()
    def completion_logits(self, tokens_BT: Tensor, completed_PRBT: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of all completions and of the sequences themselves; equal rows of a sequence are evaluated once.

        A logit depends on its sequence and the completions of that alone, bit for bit with the native core.

        Args:
            tokens_BT: [B, T] int64 ids.
            completed_PRBT: [P, R, B, T] ids: entry [p, r, b] begins with the first p + 1 tokens of sequence b.

        Returns:
            [P, R, B] and [B] float, without gradient.
        """
        num_prefixes, num_rollouts = completed_PRBT.shape[:2]
        at_once = max(1, _FEATURES_AT_ONCE // (self.output.in_features * (num_prefixes * num_rollouts + 1)))
        num_parts = -(-len(tokens_BT) // at_once)  # of equal size: each costs the core its tables of tokens and weights
        highway = self._native_highway()
        parts = [
            self._part_logits(base_BT, part_PRBT, highway)
            for base_BT, part_PRBT in zip(
                tokens_BT.tensor_split(num_parts), completed_PRBT.tensor_split(num_parts, dim=2), strict=True
            )
        ]
        logit_MB = torch.cat(parts, dim=1)
        return logit_MB[:-1].view(num_prefixes, num_rollouts, -1), logit_MB[-1]

    def _part_logits(
        self, tokens_BT: Tensor, completed_PRBT: Tensor, highway: native_text_cnn.HighwayOutput | None
    ) -> Tensor:
        """[M, B] logits of completions and, last, of their sequences; no features outlive the call."""
        _, num_rollouts, batch, length = completed_PRBT.shape
        rows_NT = torch.cat([completed_PRBT.reshape(-1, length), tokens_BT])
        kept_K, place_N = distinct_rows(rows_NT, num_sequences=batch)
        if self._is_native:
            features_NF = self._native_features(tokens_BT, completed_PRBT)
            prefix_K, sequence_K = kept_K // (num_rollouts * batch), kept_K % batch
            if highway is not None:
                logit_K = highway.logits(features_NF, kept_K, sequence_K * length + prefix_K, sequence_K)
            else:
                logit_K = self._logits(features_NF if len(kept_K) == len(rows_NT) else features_NF[kept_K])
        else:
            chunks = rows_NT[kept_K].split(max(1, _CONVOLVED_AT_ONCE // self.output.in_features))
            logit_K = torch.cat([self(chunk) for chunk in chunks])
        return logit_K[place_N].view(-1, batch)

    @property
    def _is_native(self) -> bool:
        """Whether the native core, which knows no gradient and no dropout, can do the work."""
        is_plain = not torch.is_grad_enabled() and not self.training
        return is_plain and supports(self.embedding.weight, self.output.weight)

    @property
    def _is_natively_trained(self) -> bool:
        """Whether the native core can do the work with gradients."""
        is_supported = torch.is_grad_enabled() and supports(self.embedding.weight, self.output.weight)
        return is_supported and self.pooling == "max" and native_training.supports_sizes(self.num_filters)

    def _trained_logits(self, tokens_BT: Tensor) -> Tensor:
        """[B] logits with gradient by the native core; dropout and output are torch's."""
        convolutions = [(c.weight, c.bias) for c in self.convolutions]
        mixed_FS = native_training.max_features(tokens_BT, self.embedding.weight, convolutions)
        if isinstance(self.highway, Highway):
            gate, transform = self.highway.gate, self.highway.transform
            maps = ((gate.weight, gate.bias), (transform.weight, transform.bias))
            mixed_FS = native_training.highway(mixed_FS, len(tokens_BT), *maps)
        mixed_BF = mixed_FS[:, : len(tokens_BT)].t().contiguous()
        logit_B: Tensor = self.output(self.dropout(mixed_BF)).squeeze(1)
        return logit_B

    def _native_features(self, tokens_BT: Tensor, completed_PRBT: Tensor | None) -> Tensor:
        """[N, F] features by the native core."""
        convolutions = [(c.weight, c.bias) for c in self.convolutions]
        is_mean = self.pooling == "mean"
        return native_text_cnn.features(self.embedding.weight, convolutions, tokens_BT, completed_PRBT, is_mean)

    def _native_highway(self) -> native_text_cnn.HighwayOutput | None:
        """The highway layer and the output by the native core, where they are its to do."""
        if not (isinstance(self.highway, Highway) and self._is_native):
            return None
        gate, transform, output = self.highway.gate, self.highway.transform, self.output
        maps = ((gate.weight, gate.bias), (transform.weight, transform.bias))
        return native_text_cnn.HighwayOutput(*maps, (output.weight, float(output.bias)))

    def _logits(self, features_BF: Tensor) -> Tensor:
        """[B] logits of features: highway, dropout, output."""
        native = self._native_highway()
        if native is not None:
            return native.logits(features_BF)
        logit_B: Tensor = self.output(self.dropout(self.highway(features_BF))).squeeze(1)
        return logit_B


class Highway(nn.Module):
    """y = g * ReLU(W_h x + b_h) + (1 - g) * x,  g = sigmoid(W_g x + b_g): two separate maps, gate offset 0."""

    def __init__(self, num_features: int, init: torch.Generator) -> None:
        super().__init__()
        self.gate = nn.Linear(num_features, num_features)
        self.transform = nn.Linear(num_features, num_features)
        limit = (3.0 / num_features) ** 0.5
        with torch.no_grad():
            for linear in (self.gate, self.transform):
                nn.init.xavier_uniform_(linear.weight, generator=init)
                linear.bias.uniform_(-limit, limit, generator=init)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Mix every feature with its transform.

        Args:
            features_BF: [B, F] float.

        Returns:
            [B, F] float.
        """
        gate_BF = torch.sigmoid(self.gate(features_BF))
        return features_BF + gate_BF * (F.relu(self.transform(features_BF)) - features_BF)


def distinct_rows(rows_NT: Tensor, num_sequences: int = 1) -> tuple[Tensor, Tensor]:
    """Which rows stand for all: rollouts of a long or confident prefix repeat each other.

    Rows are compared by a 64-bit hash, and rows of equal hash by their tokens.

    Args:
        rows_NT: [N, T] int64 or int32 ids.
        num_sequences: B; row n belongs to sequence n % B, and only rows of one sequence are compared.

    Returns:
        [K] rows that differ from each other, and [N] the place among them of each row's equal.
    """
    sequence_N1 = torch.arange(len(rows_NT), device=rows_NT.device)[:, None] % num_sequences
    rows_NT = torch.cat([rows_NT, sequence_N1], dim=1)
    powers_T = torch.full_like(rows_NT[0], 0x1E3779B97F4A7C15, dtype=torch.int64).cumprod(dim=0)  # modulo 2**64
    _, place_N = (rows_NT * powers_T).sum(dim=1).unique(return_inverse=True)
    row_N = torch.arange(len(rows_NT), device=rows_NT.device)
    first_K = row_N.new_full((int(place_N.max()) + 1,), len(rows_NT)).scatter_reduce_(0, place_N, row_N, "amin")
    all_differ = len(first_K) == len(rows_NT)
    if all_differ or not bool((rows_NT == rows_NT[first_K[place_N]]).all()):  # or two rows of one hash: save nothing
        return row_N, row_N
    return first_K, place_N


def _filters(convolution: nn.Linear, embedding_size: int) -> Tensor:
    """The filters as conv1d wants them."""
    filters_FWE: Tensor = convolution.weight.unflatten(1, (-1, embedding_size))
    return filters_FWE.transpose(1, 2)


def _max_pool(embedded_BET: Tensor, convolution: nn.Linear) -> Tensor:
    """[B, F] ReLU of the maximum over windows; the bias is added once, after it."""
    convolved_BFP = F.conv1d(embedded_BET, _filters(convolution, embedded_BET.shape[1]))
    return F.relu(convolved_BFP.amax(dim=2) + convolution.bias)


def _mean_pool(embedded_BET: Tensor, convolution: nn.Linear) -> Tensor:
    """[B, F] mean over windows of the ReLU."""
    weight_FEW = _filters(convolution, embedded_BET.shape[1])
    return F.relu(F.conv1d(embedded_BET, weight_FEW, convolution.bias)).mean(dim=2)


_POOLING = {"max": _max_pool, "mean": _mean_pool}
