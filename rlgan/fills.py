"""Blanks filled in by a generator, and what is paid for every token of it. Plain functions that run without Ray."""

# B sequences (K fills of one text stand one after the other), T positions

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlgan.blanks import hide, open_tail
from rlgan.models.infilling import InfillingGenerator
from rlgan.sampling import inverse_cdf_sample


@dataclass(frozen=True)
class FillBatch:
    """Texts with their blanks filled in: a shard of a round, or all shards joined.

    Example:
        128 texts of 20 words, 10 of them filled in with weights version 7 and judged:
        `FillBatch(tokens_BT, real_BT, blank_BT, reward_BT, value_BT, weights_version=7, seconds=0.1)`

    Attributes:
        tokens_BT: [B, T] int64 ids with fills at blanks.
        real_BT: [B, T] int64 ids of the real texts.
        blank_BT: [B, T] bool.
        reward_BT: [B, T] float32, what every chosen token was paid; 0 elsewhere.
        value_BT: [B, T] float32, the critic's V_t; 0 elsewhere.
        weights_version: of the weights that filled and judged.
        seconds: wall time of the slowest shard.
    """

    tokens_BT: Tensor
    real_BT: Tensor
    blank_BT: Tensor
    reward_BT: Tensor
    value_BT: Tensor
    weights_version: int
    seconds: float

    @classmethod
    def join(cls, shards: Sequence["FillBatch"], weights_version: int) -> "FillBatch":
        """One batch of all shards.

        Args:
            shards: at least one.
            weights_version: the version that all must have.

        Returns:
            The shards, row after row.

        Raises:
            ValueError: if a shard was made by other weights.
        """
        versions = {shard.weights_version for shard in shards}
        if versions != {weights_version}:
            raise ValueError(f"all shards must come from weights version {weights_version}; got {sorted(versions)}.")
        return cls(
            tokens_BT=torch.cat([shard.tokens_BT for shard in shards]),
            real_BT=torch.cat([shard.real_BT for shard in shards]),
            blank_BT=torch.cat([shard.blank_BT for shard in shards]),
            reward_BT=torch.cat([shard.reward_BT for shard in shards]),
            value_BT=torch.cat([shard.value_BT for shard in shards]),
            weights_version=weights_version,
            seconds=max(shard.seconds for shard in shards),
        )


@torch.no_grad()
def fill_blanks(
    generator: InfillingGenerator, tokens_BT: Tensor, blank_BT: Tensor, uniform_BT: Tensor, temperature: float = 1.0
) -> Tensor:
    """Fill the blanks from left to right; given words stay as they are.

    An end token after which all is blank ends the text: what follows is filled with it. One before a given word is a
    word like any other.

    Args:
        generator: what draws.
        tokens_BT: [B, T] int64 ids; those at blanks are not looked at.
        blank_BT: [B, T] bool.
        uniform_BT: [B, T] float in [0, 1): entry [b, t] draws token t of sequence b.
        temperature: divides the logits; 1 is the generator itself.

    Returns:
        [B, T] int64 ids.

    Raises:
        ValueError: if the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive; got {temperature}. Close to 0 is greedy.")
    space = generator.space
    filled_BT = tokens_BT.clone()
    memory = generator.encode(hide(tokens_BT, blank_BT, space))
    is_open_BT, state = open_tail(blank_BT), memory.state
    token_B = torch.full_like(tokens_BT[:, 0], space.start_id)
    ended_B = torch.zeros_like(blank_BT[:, 0])
    for position in range(tokens_BT.shape[1]):
        feature_BH, state = generator.step(token_B, memory, state)
        token_B = filled_BT[:, position].clone()
        draws_B = blank_BT[:, position] & ~ended_B
        if bool(draws_B.any()):
            logits_NV = generator.logits(feature_BH[draws_B]) / temperature
            token_B[draws_B] = inverse_cdf_sample(logits_NV, uniform_BT[draws_B, position : position + 1]).squeeze(1)
        if space.end_id is not None:
            token_B = token_B.masked_fill(ended_B, space.end_id)
            ended_B = ended_B | ((token_B == space.end_id) & is_open_BT[:, position])
        filled_BT[:, position] = token_B
    return filled_BT


def constant_reward(mask_BT: Tensor, random: torch.Generator) -> Tensor:
    """The control that pays 1 for every token: what is gained with it is not the discriminator's doing.

    Args:
        mask_BT: [B, T] bool, which tokens were chosen.
        random: not used.

    Returns:
        [B, T] float.
    """
    return mask_BT.float()


def random_reward(mask_BT: Tensor, random: torch.Generator) -> Tensor:
    """The control that pays a uniform number in [0, 1) for each token.

    Args:
        mask_BT: [B, T] bool, which tokens were chosen.
        random: where the random numbers come from.

    Returns:
        [B, T] float.
    """
    return torch.rand(mask_BT.shape, generator=random, device=mask_BT.device) * mask_BT


CONTROLS = {"constant": constant_reward, "random": random_reward}
