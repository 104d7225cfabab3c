"""Frozen records that cross processes, and the protocols that join the parts."""

# B sequences, T positions, V vocabulary, N rows, C channels, H height, W width

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class TokenSpace:
    """What a sequence of tokens is.

    Example:
        `TokenSpace(vocab_size=5000, length=20)` is the SeqGAN oracle task: exactly 20 ids in [0, 5000), and id 0 is
        both an ordinary token and the one fed before the first. `TokenSpace(4704, 26, start_id=1, end_id=2)` is padded
        text: at most 26 ids; after the first 2 every further id is 2 as well.

    Attributes:
        vocab_size: V, number of ids, special ones included.
        length: T, positions of every sequence.
        start_id: the id fed before the first position. It is not part of a sequence (but may be an ordinary token too).
        end_id: the id that ends a sequence and fills what follows; None where every sequence has exactly T tokens.
    """

    vocab_size: int
    length: int
    start_id: int = 0
    end_id: int | None = None

    def __post_init__(self) -> None:
        for name in ("start_id", "end_id"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < self.vocab_size:
                raise ValueError(f"{name} must be an id in [0, {self.vocab_size}); got {value}.")
        if self.length < 1:
            raise ValueError(f"length must be at least 1 token; got {self.length}.")

    def mask(self, tokens_BT: Tensor) -> Tensor:
        """Which positions the policy chose: all up to and including the first end token.

        Args:
            tokens_BT: [B, T] ids.

        Returns:
            [B, T] bool, True where the token was chosen, False where it is filling.
        """
        if self.end_id is None:
            return torch.ones_like(tokens_BT, dtype=torch.bool)
        is_end_BT = tokens_BT == self.end_id
        return (is_end_BT.long().cumsum(dim=1) - is_end_BT.long()) == 0

    def check(self, tokens_BT: Tensor) -> Tensor:
        """The same tokens, once they are known to be ids of this space.

        Args:
            tokens_BT: [B, T] ids.

        Returns:
            `tokens_BT` itself.

        Raises:
            ValueError: if the shape, the type or an id is wrong.
        """
        if tokens_BT.ndim != 2 or tokens_BT.shape[1] != self.length:
            raise ValueError(f"tokens_BT must be [B, {self.length}]; got {list(tokens_BT.shape)}.")
        if tokens_BT.dtype not in {torch.int64, torch.int32}:
            raise ValueError(f"tokens_BT must be integer ids; got {tokens_BT.dtype}.")
        if tokens_BT.numel() and not (int(tokens_BT.min()) >= 0 and int(tokens_BT.max()) < self.vocab_size):
            low, high = int(tokens_BT.min()), int(tokens_BT.max())
            raise ValueError(
                f"tokens_BT must be integer ids in [0, {self.vocab_size}); got {low} to {high}. "
                "Was the vocabulary built on this corpus?"
            )
        return tokens_BT


class RewardFn(Protocol):
    """The learned critic as an environment sees it."""

    def __call__(self, tokens_BT: Tensor) -> Tensor:
        """Reward of whole sequences: [B, T] int64 ids -> [B] float, to be maximised, carrying no gradient."""
        ...


@runtime_checkable
class CompletionCritic(Protocol):
    """A critic that knows how to score completions which share prefixes faster than row by row."""

    def reward(self, tokens_BT: Tensor) -> Tensor:
        """As a `RewardFn`."""
        ...

    def completion_rewards(self, tokens_BT: Tensor, completed_PRBT: Tensor) -> tuple[Tensor, Tensor]:
        """Rewards of all completions ([P, R, B]) and of the sequences ([B]), equal to those of `reward`.

        Entry [p, r, b] of the completions begins with the first p + 1 tokens of sequence b.
        """
        ...


class InfillingRewardFn(Protocol):
    """The learned critic of every token at a blank, as an environment sees it."""

    def __call__(self, tokens_BT: Tensor, blank_BT: Tensor) -> Tensor:
        """Reward of every token: [B, T] int64 ids and [B, T] bool blanks -> [B, T] float, to be maximised.

        The reward at t may depend on the words that are given and on tokens up to t, not on fills after t.
        """
        ...


class TokenPolicy(Protocol):
    """An autoregressive policy over tokens. A state is a tuple of tensors whose first axis is the rows."""

    def initial_state(self, num_rows: int) -> tuple[Tensor, ...]:
        """The state after the start token has been fed: what the first token is drawn from."""
        ...

    def state_logits(self, state_N: tuple[Tensor, ...]) -> Tensor:
        """[N, V] unnormalised log-probabilities (nats) of the next token."""
        ...

    def advance(self, token_N: Tensor, state_N: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after `token_N` ([N] int64) has been appended."""
        ...


@runtime_checkable
class LinearTokenPolicy(TokenPolicy, Protocol):
    """A policy whose logits are a linear layer of its state, which is drawn from without holding the logits."""

    def readout(self, state_N: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """(hidden [N, H], weight [V, H], bias [V]): `state_logits` is hidden W^T + b."""
        ...


class Condition(Protocol):
    """What a chain of images is to show: a class, a unit, a caption, the rest of a picture."""

    def log_probability(self, image_NCHW: Tensor) -> Tensor:
        """Log p(y | x) of every image: [N, C, H, W] float, brightness in [0, 1] -> [N] nats, but for a constant.

        It is differentiable in the images. Row n belongs to chain n of the batch, which may have a y of its own.
        """
        ...


class DensityKnowledge(IntEnum):
    """What a prior knows of p(state), and what a rule must be told; each includes those before it."""

    DIRECTION = 0
    """A way to the data, in a unit of its own: R(x) - x."""
    SCORE = 1
    """d log p(state) / d state."""
    DENSITY = 2
    """log p(state), but for a constant."""


class Source(Protocol):
    """Data made ready: what `rlgan train` learns from, whatever an example is."""

    name: str

    @property
    def space(self) -> Any:
        """What an example is: a frozen dataclass of plain values, such as `TokenSpace`."""
        ...

    def fingerprint(self) -> str:
        """A hash of all training examples and of how they are encoded."""
        ...

    def tokenizer_json(self) -> str | None:
        """The vocabulary as the JSON text that goes into a checkpoint; None where there is none."""
        ...


class TokenSource(Source, Protocol):
    """A corpus made ready, split by seed into training and held-out sequences."""

    space: TokenSpace
    train_NT: Tensor
    held_out_NT: Tensor

    def decode(self, tokens_T: Tensor) -> str:
        """One sequence as text, without the end token and what follows it."""
        ...


@dataclass(frozen=True)
class RolloutBatch:
    """Sequences with the value of every token: a shard of a round, or all shards joined.

    Example:
        32 sequences of 20 tokens drawn and valued with weights version 7, 16 completions of each of 19 prefixes:
        `RolloutBatch(tokens_BT, action_value_BT, reward_B, weights_version=7, seconds=0.4, num_completions=9728)`

    Attributes:
        tokens_BT: [B, T] int64 ids drawn from the policy.
        action_value_BT: [B, T] float32, Q of each token; 0 where the token is filling.
        reward_B: [B] float32, reward of the whole sequence.
        weights_version: the version of the weights that drew and scored them.
        seconds: wall time of the slowest shard.
        num_completions: completed and scored prefixes.
    """

    tokens_BT: Tensor
    action_value_BT: Tensor
    reward_B: Tensor
    weights_version: int
    seconds: float
    num_completions: int

    @classmethod
    def join(cls, shards: "Sequence[RolloutBatch]", weights_version: int) -> "RolloutBatch":
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
            action_value_BT=torch.cat([shard.action_value_BT for shard in shards]),
            reward_B=torch.cat([shard.reward_B for shard in shards]),
            weights_version=weights_version,
            seconds=max(shard.seconds for shard in shards),
            num_completions=sum(shard.num_completions for shard in shards),
        )


StateDict = dict[str, Any]
"""JSON values by name: counters, schedules, places in the data."""
