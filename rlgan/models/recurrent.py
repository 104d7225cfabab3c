"""The generator of SeqGAN: embedding, one LSTM layer, softmax output (arXiv:1609.05473, section 3.1)."""

# B sequences, T positions, V vocabulary, H hidden, N rows

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlgan.models.fused_softmax import softmax_log_prob_and_entropy
from rlgan.native import supports
from rlgan.native.lstm import lstm_step
from rlgan.types import TokenSpace


class RecurrentConfig(BaseModel):
    """Sizes and initialisation of `RecurrentGenerator`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    embedding_size: int = Field(32, ge=1, description="Width of the token embedding (released SeqGAN: 32).")
    hidden_size: int = Field(32, ge=1, description="Width of the LSTM (released SeqGAN: 32).")
    init_std: float = Field(
        0.1, gt=0, description="Standard deviation of every initial parameter, biases too (released SeqGAN: 0.1)."
    )


class Dropout(NamedTuple):
    """Shares of activations that are dropped during a regularised likelihood step, each in [0, 1)."""

    embedding: float
    hidden: float


NO_DROPOUT = Dropout(0.0, 0.0)


class OneBiasLSTM(nn.LSTM):
    """One LSTM layer with one bias a gate: the second one that torch adds stays at zero and is not trained."""

    weight_ih_l0: Tensor
    weight_hh_l0: Tensor
    bias_ih_l0: Tensor
    bias_hh_l0: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, batch_first=True)
        self.bias_hh_l0.requires_grad_(False)


class RecurrentGenerator(nn.Module):
    """G(y_t | y_1..t-1): a `TokenPolicy` that also scores whole sequences.

    The LSTM has one bias a gate and no forget-gate offset, as released; the state starts at zero and the start token is
    fed first.

    Attributes:
        space: the token space it was made for.
    """

    def __init__(self, space: TokenSpace, config: RecurrentConfig, init: torch.Generator) -> None:
        super().__init__()
        self.space = space
        self.embedding = nn.Embedding(space.vocab_size, config.embedding_size)
        self.lstm = OneBiasLSTM(config.embedding_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, space.vocab_size)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(0.0, config.init_std, generator=init)
            self.lstm.bias_hh_l0.zero_()

    def hidden(self, tokens_BT: Tensor, dropout: Dropout = NO_DROPOUT) -> Tensor:
        """The state that each token was drawn from, under teacher forcing.

        Args:
            tokens_BT: [B, T] int64 ids; the start token is put in front here.
            dropout: shares of the inputs and outputs of the LSTM that are dropped.

        Returns:
            [B, T, H]: position t has seen the start token and y_1..t-1.
        """
        start_B1 = tokens_BT.new_full((tokens_BT.shape[0], 1), self.space.start_id)
        embedded_BTE = self.embedding(torch.cat([start_B1, tokens_BT[:, :-1]], dim=1))
        hidden_BTH: Tensor = self.lstm(F.dropout(embedded_BTE, dropout.embedding))[0]
        return F.dropout(hidden_BTH, dropout.hidden)

    def log_prob_and_entropy(self, tokens_BT: Tensor, dropout: Dropout = NO_DROPOUT) -> tuple[Tensor, Tensor]:
        """Log G(y_t | y_1..t-1) and the entropy of G(. | y_1..t-1).

        Args:
            tokens_BT: [B, T] int64 ids.
            dropout: for a regularised likelihood step; none otherwise.

        Returns:
            Two [B, T] tensors in nats. Filling after the end token is scored like any other token: mask it.
        """
        hidden_NH = self.hidden(tokens_BT, dropout).flatten(0, 1)
        log_prob_N, entropy_N = softmax_log_prob_and_entropy(
            hidden_NH, self.output.weight, self.output.bias, tokens_BT.flatten()
        )
        return log_prob_N.view(tokens_BT.shape), entropy_N.view(tokens_BT.shape)

    def log_prob(self, tokens_BT: Tensor) -> Tensor:
        """Log G(y_t | y_1..t-1).

        Args:
            tokens_BT: [B, T] int64 ids.

        Returns:
            [B, T] nats.
        """
        return self.log_prob_and_entropy(tokens_BT)[0]

    def initial_state(self, num_rows: int) -> tuple[Tensor, ...]:
        """The state after the start token.

        Args:
            num_rows: N.

        Returns:
            (h, c), each [N, H].
        """
        zero_NH = self.output.weight.new_zeros(num_rows, self.lstm.hidden_size)
        start_N = torch.full((num_rows,), self.space.start_id, dtype=torch.int64, device=zero_NH.device)
        return self.advance(start_N, (zero_NH, zero_NH))

    def state_logits(self, state_N: tuple[Tensor, ...]) -> Tensor:
        """What the next token is drawn from.

        Args:
            state_N: (h, c), each [N, H].

        Returns:
            [N, V] unnormalised log-probabilities, nats.
        """
        logits_NV: Tensor = self.output(state_N[0])
        return logits_NV

    def readout(self, state_N: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """The parts of `state_logits`.

        Args:
            state_N: (h, c), each [N, H].

        Returns:
            Hidden [N, H], weight [V, H], bias [V].
        """
        return state_N[0], self.output.weight, self.output.bias

    def advance(self, token_N: Tensor, state_N: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """One LSTM step.

        Args:
            token_N: [N] int64 ids.
            state_N: (h, c), each [N, H].

        Returns:
            The state after the token.
        """
        hidden_NH, cell_NH = state_N
        if not torch.is_grad_enabled() and supports(hidden_NH, self.output.weight):
            lstm = self.lstm
            weights = (self.embedding.weight, lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0)
            return lstm_step(token_N, hidden_NH, cell_NH, *weights)
        gates = torch.addmm(self.lstm.bias_ih_l0, self.embedding(token_N), self.lstm.weight_ih_l0.t())
        input_gate, forget_gate, candidate, output_gate = gates.addmm(hidden_NH, self.lstm.weight_hh_l0.t()).chunk(4, 1)
        cell_NH = torch.sigmoid(forget_gate) * cell_NH + torch.sigmoid(input_gate) * torch.tanh(candidate)
        return torch.sigmoid(output_gate) * torch.tanh(cell_NH), cell_NH
