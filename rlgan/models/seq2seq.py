"""A text with blanks read by an encoder, and a decoder that looks back at it: the shape of MaskGAN's two nets."""

# B sequences, T positions of the decoder, S positions of the text with blanks, V vocabulary, H width

from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlgan.models.variational_lstm import LSTMState, VariationalLSTM
from rlgan.types import TokenSpace


class Seq2SeqConfig(BaseModel):
    """Sizes, dropout and initialisation of both nets of MaskGAN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    size: int = Field(64, ge=1, description="Width of embedding and LSTM layers, equal as in the paper (paper: 650).")
    num_layers: int = Field(1, ge=1, description="LSTM layers of encoder and of decoder (paper: 2).")
    dropout: float = Field(
        0.5, ge=0, lt=1, description="Variational dropout while a net is fitted (released: 0.5 as a rule)."
    )
    init_limit: float = Field(
        0.1, gt=0, description="Initial weights are uniform in [-limit, limit] (rlgan: 0.1; width 650 wants 0.04)."
    )


class Memory(NamedTuple):
    """What the encoder knows of a text with blanks.

    Attributes:
        output_BSH: [B, S, H] output at every position.
        key_BSH: [B, S, H] what queries are compared with.
        valid_BS: [B, S] bool, False where the text is over.
        state: after its last position: where the decoder begins.
    """

    output_BSH: Tensor
    key_BSH: Tensor
    valid_BS: Tensor
    state: LSTMState


class LuongAttention(nn.Module):
    """weights = softmax(query . W_k memory);  out = W_o [query; sum of weights * memory]   (arXiv:1508.04025).

    Learned keys, no bias and no tanh, and the result does not go back into the decoder: as in MaskGAN's released code
    (attention_utils.py). W_o begins as the query alone, so that weights copied from a language model begin as that.
    """

    def __init__(self, size: int, init_limit: float, init: torch.Generator) -> None:
        super().__init__()
        self.key_HH = nn.Parameter(torch.empty(size, size))
        self.output_HX = nn.Parameter(torch.cat([torch.eye(size), torch.empty(size, size)], dim=1))
        with torch.no_grad():
            self.key_HH.uniform_(-init_limit, init_limit, generator=init)
            self.output_HX[:, size:].uniform_(-init_limit, init_limit, generator=init)

    def keys(self, output_BSH: Tensor) -> Tensor:
        """What queries are compared with.

        Args:
            output_BSH: [B, S, H] of the encoder.

        Returns:
            [B, S, H].
        """
        return F.linear(output_BSH, self.key_HH)

    def forward(self, query_BTH: Tensor, memory: Memory) -> Tensor:
        """Look back.

        Args:
            query_BTH: [B, T, H] outputs of the decoder.
            memory: of the encoder.

        Returns:
            [B, T, H].
        """
        score_BTS = query_BTH @ memory.key_BSH.transpose(1, 2)
        weight_BTS = score_BTS.masked_fill(~memory.valid_BS[:, None], -torch.inf).softmax(dim=2)
        return F.linear(torch.cat([query_BTH, weight_BTS @ memory.output_BSH], dim=2), self.output_HX)


class Seq2Seq(nn.Module):
    """Encoder, decoder and attention over one embedding, whose last row (id V) is the missing symbol.

    The encoder reads the whole text with blanks. (The released one is shifted by a position and never sees the last
    word.) What follows a given end token is not read.
    """

    def __init__(self, space: TokenSpace, config: Seq2SeqConfig, init: torch.Generator) -> None:
        super().__init__()
        self.space, self.config = space, config
        limit = config.init_limit
        self.embedding = nn.Embedding(space.vocab_size + 1, config.size)
        with torch.no_grad():
            self.embedding.weight.uniform_(-limit, limit, generator=init)
        self.encoder = VariationalLSTM(config.size, config.num_layers, limit, init)
        self.decoder = VariationalLSTM(config.size, config.num_layers, limit, init)
        self.attention = LuongAttention(config.size, limit, init)

    def encode(self, hidden_words_BS: Tensor, dropout: float = 0.0) -> Memory:
        """Read a text with blanks.

        Args:
            hidden_words_BS: [B, S] int64 ids, V at blanks.
            dropout: share of activations dropped.

        Returns:
            What the decoder looks back at.
        """
        valid_BS = self.space.mask(hidden_words_BS)
        embedded_BSH = self.embedding(hidden_words_BS)
        state = self.encoder.zero_state(len(hidden_words_BS))
        output_BSH, state = self.encoder(embedded_BSH, state, dropout, valid_BS.sum(dim=1) - 1)
        return Memory(output_BSH, self.attention.keys(output_BSH), valid_BS, state)

    def decode(self, input_BT: Tensor, memory: Memory, dropout: float = 0.0) -> Tensor:
        """Read tokens from left to right, looking back at the text with blanks.

        Args:
            input_BT: [B, T] int64 ids, the start token first.
            memory: of the encoder.
            dropout: share of activations dropped.

        Returns:
            [B, T, H]: position t has seen inputs 0..t.
        """
        output_BTH, _ = self.decoder(self.embedding(input_BT), memory.state, dropout)
        looked_back_BTH: Tensor = self.attention(output_BTH, memory)
        return looked_back_BTH

    def step(self, token_B: Tensor, memory: Memory, state: LSTMState) -> tuple[Tensor, LSTMState]:
        """Decode one position, without dropout or gradient.

        Args:
            token_B: [B] int64 ids.
            memory: of the encoder.
            state: of the decoder before it.

        Returns:
            [B, H] as from `decode`, and the state after it.
        """
        output_BH, state = self.decoder.step(self.embedding(token_B), state)
        return self.attention(output_BH[:, None], memory).squeeze(1), state

    def after_start(self, tokens_BT: Tensor) -> Tensor:
        """The tokens with the start token in front.

        Args:
            tokens_BT: [B, T] int64 ids.

        Returns:
            [B, T + 1] int64 ids.
        """
        return F.pad(tokens_BT, (1, 0), value=self.space.start_id)
