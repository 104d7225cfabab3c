"""SeqGAN's work as public implementations do it: every prefix run again, softmax + multinomial, conv2d, plain Adam.

Written here from what they do, not copied. It is kind to them: a prefix is run by one LSTM call, and its logits, which
some of them compute and throw away, are not computed. The discriminator is the exact one, with the same weights.
"""

# B sequences, T positions, V vocabulary, E embedding, F filters, P = T-1 prefixes, R rollouts

import torch
import torch.nn.functional as F
from torch import Tensor

from rlgan.discriminators import TextCNNDiscriminator
from rlgan.models import RecurrentGenerator


def draw(generator: RecurrentGenerator, state: tuple[Tensor, Tensor], random: torch.Generator) -> Tensor:
    """[B] next tokens of a state by softmax and multinomial."""
    probability_BV = torch.softmax(generator.output(state[0][0]), dim=1)
    return torch.multinomial(probability_BV, 1, generator=random).squeeze(1)


def run(generator: RecurrentGenerator, tokens_BT: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """The LSTM's state after some more tokens."""
    return generator.lstm(generator.embedding(tokens_BT), state)[1]


@torch.no_grad()
def continue_prefix(generator: RecurrentGenerator, prefix_BL: Tensor, length: int, random: torch.Generator) -> Tensor:
    """[B, length] sequences that begin with the prefix, which is run again from the start token."""
    start_B1 = prefix_BL.new_full((len(prefix_BL), 1), generator.space.start_id)
    state, tokens = run(generator, torch.cat([start_B1, prefix_BL], dim=1), None), [prefix_BL]
    for position in range(prefix_BL.shape[1], length):
        token_B1 = draw(generator, state, random).unsqueeze(1)
        tokens.append(token_B1)
        if position < length - 1:
            state = run(generator, token_B1, state)
    return torch.cat(tokens, dim=1)


def sample(generator: RecurrentGenerator, num_sequences: int, length: int, random: torch.Generator) -> Tensor:
    """[B, T] sequences."""
    return continue_prefix(generator, torch.empty(num_sequences, 0, dtype=torch.int64), length, random)


def complete(generator: RecurrentGenerator, tokens_BT: Tensor, num_rollouts: int, random: torch.Generator) -> Tensor:
    """[P, R, B, T] completions, one prefix and one rollout at a time."""
    length = tokens_BT.shape[1]
    rollouts = [
        [continue_prefix(generator, tokens_BT[:, :kept], length, random) for _ in range(num_rollouts)]
        for kept in range(1, length)
    ]
    return torch.stack([torch.stack(rows) for rows in rollouts])


def logits(discriminator: TextCNNDiscriminator, tokens_BT: Tensor) -> Tensor:
    """[B] logits by conv2d over the embedded text, ReLU, maximum, highway, output."""
    net = discriminator.net
    embedded_B1TE = net.embedding(tokens_BT).unsqueeze(1)
    pooled = []
    for convolution in net.convolutions:
        filters_F1WE = convolution.weight.unflatten(1, (1, -1, embedded_B1TE.shape[-1]))
        convolved_BFP = F.relu(F.conv2d(embedded_B1TE, filters_F1WE, convolution.bias)).squeeze(3)
        pooled.append(F.max_pool1d(convolved_BFP, convolved_BFP.shape[2]).squeeze(2))
    features_BF = torch.cat(pooled, dim=1)
    gate_BF = torch.sigmoid(net.highway.gate(features_BF))
    mixed_BF = gate_BF * F.relu(net.highway.transform(features_BF)) + (1 - gate_BF) * features_BF
    return net.output(net.dropout(mixed_BF)).squeeze(1)


@torch.no_grad()
def score(discriminator: TextCNNDiscriminator, completed_PRBT: Tensor) -> Tensor:
    """[P, R, B] D of all completions, a batch for each prefix and rollout."""
    return torch.stack(
        [
            torch.stack([torch.sigmoid(logits(discriminator, tokens_BT)) for tokens_BT in rows_RBT])
            for rows_RBT in completed_PRBT
        ]
    )


def log_prob(generator: RecurrentGenerator, tokens_BT: Tensor) -> Tensor:
    """[B, T] log-probabilities with gradient, all [B, T, V] logits held."""
    log_prob_BTV = torch.log_softmax(generator.output(generator.hidden(tokens_BT)), dim=2)
    return log_prob_BTV.gather(2, tokens_BT.unsqueeze(2)).squeeze(2)
