"""MaskGAN's language model, and the generator that starts from its weights (arXiv:1801.07736, section 3.2 and App. A).

Embeddings of encoder and decoder are one table, which is the softmax's matrix too.
"""

# B sequences, T positions, V vocabulary, H width, L layers, N rows

import torch
from torch import Tensor, nn

from rlgan.blanks import hide
from rlgan.models.fused_softmax import softmax_log_prob_and_entropy
from rlgan.models.seq2seq import Seq2Seq, Seq2SeqConfig
from rlgan.models.variational_lstm import LSTMState, VariationalLSTM
from rlgan.types import TokenSpace


class LanguageModel(nn.Module):
    """P(y_t | y_1..t-1) by the decoder alone: a `TokenPolicy` that also scores whole sequences."""

    def __init__(self, space: TokenSpace, config: Seq2SeqConfig, init: torch.Generator) -> None:
        super().__init__()
        self.space = space
        self.embedding = nn.Embedding(space.vocab_size + 1, config.size)
        self.lstm = VariationalLSTM(config.size, config.num_layers, config.init_limit, init)
        self.bias_V = nn.Parameter(torch.zeros(space.vocab_size))
        with torch.no_grad():
            self.embedding.weight.uniform_(-config.init_limit, config.init_limit, generator=init)

    def log_prob_and_entropy(self, tokens_BT: Tensor, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """Log-probability of every token given those before it, and the entropy of what it was drawn from.

        Args:
            tokens_BT: [B, T] int64 ids; the start token is put in front here.
            dropout: share of activations dropped.

        Returns:
            Two [B, T] tensors in nats; what follows an end token is scored like any other token.
        """
        input_BT = nn.functional.pad(tokens_BT[:, :-1], (1, 0), value=self.space.start_id)
        output_BTH, _ = self.lstm(self.embedding(input_BT), self.lstm.zero_state(len(tokens_BT)), dropout)
        log_prob_N, entropy_N = softmax_log_prob_and_entropy(
            output_BTH.flatten(0, 1), self.embedding.weight[:-1], self.bias_V, tokens_BT.flatten()
        )
        return log_prob_N.view(tokens_BT.shape), entropy_N.view(tokens_BT.shape)

    def log_prob(self, tokens_BT: Tensor) -> Tensor:
        """Log-probability of every token given those before it.

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
            Output [N, H], hidden and cell [N, L, H].
        """
        zero_LNH = self.lstm.zero_state(num_rows).hidden_LBH
        start_N = torch.full((num_rows,), self.space.start_id, device=zero_LNH.device)
        zero_NLH = zero_LNH.transpose(0, 1)
        return self.advance(start_N, (zero_NLH[:, -1], zero_NLH, zero_NLH))

    def state_logits(self, state_N: tuple[Tensor, ...]) -> Tensor:
        """What the next token is drawn from.

        Args:
            state_N: from `initial_state` or `advance`.

        Returns:
            [N, V] unnormalised log-probabilities, nats.
        """
        return torch.addmm(self.bias_V, state_N[0], self.embedding.weight[:-1].t())

    def advance(self, token_N: Tensor, state_N: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after one more token.

        Args:
            token_N: [N] int64 ids.
            state_N: from `initial_state` or `advance`.

        Returns:
            Output [N, H], hidden and cell [N, L, H].
        """
        before = LSTMState(state_N[1].transpose(0, 1), state_N[2].transpose(0, 1))
        output_NH, after = self.lstm.step(self.embedding(token_N), before)
        return output_NH, after.hidden_LBH.transpose(0, 1), after.cell_LBH.transpose(0, 1)


class InfillingGenerator(Seq2Seq):
    """G(y_t | y_1..t-1, m(x)): what a blank is filled with, given the text around it and the fills before it."""

    def __init__(self, space: TokenSpace, config: Seq2SeqConfig, init: torch.Generator) -> None:
        super().__init__(space, config, init)
        self.bias_V = nn.Parameter(torch.zeros(space.vocab_size))

    def log_prob_and_entropy(
        self, tokens_BT: Tensor, blank_BT: Tensor, dropout: float = 0.0, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Log-probability of the token at every blank, and the entropy of what it was drawn from.

        The decoder reads `tokens_BT`: the true words where they are given, the fills (or, for likelihood training, the
        true words again) at blanks.

        Args:
            tokens_BT: [B, T] int64 ids, the text with its blanks filled in.
            blank_BT: [B, T] bool; what stands at blanks is hidden from the encoder.
            dropout: share of activations dropped.
            temperature: divides the logits; 1 is the generator itself.

        Returns:
            Two [B, T] tensors in nats, 0 where nothing is blank.
        """
        memory = self.encode(hide(tokens_BT, blank_BT, self.space), dropout)
        feature_BTH = self.decode(self.after_start(tokens_BT[:, :-1]), memory, dropout)
        log_prob_N, entropy_N = softmax_log_prob_and_entropy(
            feature_BTH[blank_BT] / temperature,
            self.embedding.weight[:-1],
            self.bias_V / temperature,
            tokens_BT[blank_BT],
        )
        zero_BT = torch.zeros(tokens_BT.shape, dtype=log_prob_N.dtype, device=log_prob_N.device)
        return zero_BT.masked_scatter(blank_BT, log_prob_N), zero_BT.masked_scatter(blank_BT, entropy_N)

    def logits(self, feature_NH: Tensor) -> Tensor:
        """What a token is drawn from.

        Args:
            feature_NH: [N, H] from `step`.

        Returns:
            [N, V] unnormalised log-probabilities, nats.
        """
        return torch.addmm(self.bias_V, feature_NH, self.embedding.weight[:-1].t())

    @torch.no_grad()
    def start_from(self, language_model: LanguageModel) -> None:
        """Copy a language model into encoder and decoder, as MaskGAN's second stage begins.

        Args:
            language_model: of the same sizes.
        """
        weights = language_model.lstm.state_dict()
        self.encoder.load_state_dict(weights)
        self.decoder.load_state_dict(weights)
        self.embedding.load_state_dict(language_model.embedding.state_dict())
        self.bias_V.copy_(language_model.bias_V)
