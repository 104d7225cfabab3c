"""Chains of a generator's states under a prior and a condition: many at once, each with random numbers of its own.

A chain's numbers are a function of (seed, number of the chain, block of steps): chains may be spread over workers, or
run again, and give the same images. This is a plain class: no Ray, no files, and it trains nothing.
"""

# N chains, C channels, H height, W width, T recorded steps

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rlgan.seeding import torch_generator
from rlgan.types import Condition, DensityKnowledge

STEPS_PER_BLOCK = 64


@dataclass(frozen=True)
class Place:
    """Where chains stand, and all that a step needs to know of it; nothing in it carries a gradient.

    Example:
        `chain.place(state_N)` of two chains of 64 numbers: state_N [2, 64], image_NCHW [2, 1, 28, 28], prior_N [2, 64]

    Attributes:
        state_N: [N, ...] latent codes, or images where the generator is the identity.
        image_NCHW: [N, C, H, W] what the generator makes of them.
        prior_N: [N, ...] direction of the prior: the score of p(state), or R(state) - state.
        gradient_N: [N, ...] d log p(y | image) / d state.
        log_condition_N: [N] log p(y | image), nats; 0 without a condition.
        log_density_N: [N] log p(state) + log p(y | image), nats; NaN where the prior knows no density.
    """

    state_N: Tensor
    image_NCHW: Tensor
    prior_N: Tensor
    gradient_N: Tensor
    log_condition_N: Tensor
    log_density_N: Tensor


class Prior(Protocol):
    """What pulls a chain to states that the data has."""

    @property
    def knows(self) -> DensityKnowledge:
        """How much of p(state)."""
        ...

    def direction(self, state_N: Tensor, image_NCHW: Tensor) -> Tensor:
        """[N, ...] the score of p(state), or R(state) - state; without a gradient."""
        ...

    def log_density(self, state_N: Tensor) -> Tensor:
        """[N] log p(state) but for a constant, nats; NaN where it is not known (a denoising autoencoder)."""
        ...


class StepRule(Protocol):
    """How a chain moves. A rule is a frozen record of step sizes; all randomness comes in."""

    @property
    def needs(self) -> DensityKnowledge:
        """What it must be told of p(state)."""
        ...

    def propose(self, place: Place, noise_N: Tensor, step: int) -> Tensor:
        """[N, ...] the next states, given standard normal noise and the number of the step."""
        ...

    def log_acceptance(self, place: Place, proposed: Place, step: int) -> Tensor | None:
        """[N] log-probability of taking each proposal; None where all are taken."""
        ...


@dataclass(frozen=True)
class ChainRecord:
    """What became of some chains.

    Example:
        `chain.run(start, [0, 1, 2], 200, seed=7, record_at=range(0, 201, 20)).image_TNCHW`: [11, 3, 1, 28, 28]

    Attributes:
        image_TNCHW: [T, N, C, H, W] the images at the steps asked for; step 0 is the start.
        log_condition_TN: [T, N] log p(y | image) at the same steps, nats.
        state_N: [N, ...] the last states.
        acceptance_N: [N] share of the steps that were taken.
    """

    image_TNCHW: Tensor
    log_condition_TN: Tensor
    state_N: Tensor
    acceptance_N: Tensor

    @classmethod
    def join(cls, shards: "Sequence[ChainRecord]") -> "ChainRecord":
        """One record of all shards.

        Args:
            shards: at least one.

        Returns:
            The chains, shard after shard.
        """
        return cls(
            image_TNCHW=torch.cat([shard.image_TNCHW for shard in shards], dim=1),
            log_condition_TN=torch.cat([shard.log_condition_TN for shard in shards], dim=1),
            state_N=torch.cat([shard.state_N for shard in shards]),
            acceptance_N=torch.cat([shard.acceptance_N for shard in shards]),
        )

    def first(self, num_chains: int) -> "ChainRecord":
        """The record of some of the chains.

        Args:
            num_chains: how many, from the first on.

        Returns:
            Theirs.
        """
        return ChainRecord(
            image_TNCHW=self.image_TNCHW[:, :num_chains],
            log_condition_TN=self.log_condition_TN[:, :num_chains],
            state_N=self.state_N[:num_chains],
            acceptance_N=self.acceptance_N[:num_chains],
        )


class Chain:
    """A generator, a prior, a condition and a rule: many chains that advance in one batch.

    Example:
        `Chain(generator, EncodedPrior(encoder.code), LabelCondition(encoder, label_N), PlugAndPlayRule(0.1, 1.0, 0.1))`

    Attributes:
        generator: [N, ...] states -> [N, C, H, W] images; differentiable.
        prior: None for a flat one.
        condition: None for none.
        rule: how a state moves.
    """

    def __init__(
        self, generator: Callable[[Tensor], Tensor], prior: Prior | None, condition: Condition | None, rule: StepRule
    ) -> None:
        self.generator, self.prior, self.condition, self.rule = generator, prior, condition, rule

    def place(self, state_N: Tensor) -> Place:
        """Look at states: images, both directions, log-probabilities.

        Args:
            state_N: [N, ...].

        Returns:
            Their place.
        """
        state_N = state_N.detach()
        zero_N = torch.zeros(len(state_N), dtype=state_N.dtype, device=state_N.device)
        if self.condition is None:
            with torch.no_grad():
                image_NCHW = self.generator(state_N)
            log_condition_N, gradient_N = zero_N, torch.zeros_like(state_N)
        else:
            with torch.enable_grad():
                leaf_N = state_N.clone().requires_grad_()
                image_NCHW = self.generator(leaf_N)
                log_condition_N = self.condition.log_probability(image_NCHW)
                (gradient_N,) = torch.autograd.grad(log_condition_N.sum(), leaf_N)
            image_NCHW, log_condition_N = image_NCHW.detach(), log_condition_N.detach()
        prior_N, log_prior_N = torch.zeros_like(state_N), zero_N
        if self.prior is not None:
            prior_N, log_prior_N = self.prior.direction(state_N, image_NCHW), self.prior.log_density(state_N)
        return Place(state_N, image_NCHW, prior_N, gradient_N, log_condition_N, log_prior_N + log_condition_N)

    def advance(self, place: Place, noise_N: Tensor, uniform_N: Tensor, step: int) -> tuple[Place, Tensor]:
        """One step of every chain.

        Args:
            place: where they stand.
            noise_N: [N, ...] standard normal.
            uniform_N: [N] in [0, 1): a proposal is taken where log u is below its log-probability.
            step: its number, from 0.

        Returns:
            The new place, and [N] bool: which proposals were taken.
        """
        proposed = self.place(self.rule.propose(place, noise_N, step))
        log_acceptance_N = self.rule.log_acceptance(place, proposed, step)
        if log_acceptance_N is None:
            return proposed, torch.ones_like(uniform_N, dtype=torch.bool)
        is_taken_N = uniform_N.log() < log_acceptance_N
        return _chosen(is_taken_N, proposed, place), is_taken_N

    def run(
        self,
        start_N: Tensor,
        chain_numbers: Sequence[int],
        num_steps: int,
        seed: int,
        record_at: Sequence[int] | range,
    ) -> ChainRecord:
        """Many steps of every chain.

        Args:
            start_N: [N, ...] first states.
            chain_numbers: the number of each chain, on which its random numbers depend.
            num_steps: how many.
            seed: of all chains.
            record_at: steps whose images are kept, from 0 (the start) to num_steps.

        Returns:
            Images, last states, acceptance.

        Raises:
            ValueError: if the chains are not numbered one by one, a step to be kept will not come, or the prior knows
                less than the rule needs.
        """
        self._require_knowledge()
        if len(chain_numbers) != len(start_N):
            raise ValueError(f"every chain needs a number; got {len(chain_numbers)} for {len(start_N)} states.")
        if any(not 0 <= step <= num_steps for step in record_at) or not len(record_at):
            raise ValueError(f"record_at must name steps from 0 to {num_steps}; got {list(record_at)}.")
        place, kept = self.place(start_N), set(record_at)
        records = [place] if 0 in kept else []
        num_taken_N = torch.zeros(len(start_N), dtype=torch.int64, device=start_N.device)
        for step in range(num_steps):
            if step % STEPS_PER_BLOCK == 0:
                noise_KN, uniform_KN = draw_block(start_N, chain_numbers, seed, step // STEPS_PER_BLOCK)
            row = step % STEPS_PER_BLOCK
            place, is_taken_N = self.advance(place, noise_KN[row], uniform_KN[row], step)
            num_taken_N += is_taken_N
            if step + 1 in kept:
                records.append(place)
        return ChainRecord(
            image_TNCHW=torch.stack([record.image_NCHW for record in records]),
            log_condition_TN=torch.stack([record.log_condition_N for record in records]),
            state_N=place.state_N,
            acceptance_N=num_taken_N / max(1, num_steps),
        )

    def _require_knowledge(self) -> None:
        """Refuse a rule that would take R(x) - x for a score, or accept nothing for want of a density."""
        if self.prior is None or self.prior.knows >= self.rule.needs:
            return
        rule, prior = type(self.rule).__name__, type(self.prior).__name__
        advice = {
            DensityKnowledge.SCORE: "Use ScorePrior(reconstruct, noise_sd) of a denoiser, or PlugAndPlayRule.",
            DensityKnowledge.DENSITY: "Use DensityPrior, GaussianPrior, or a rule that takes every step.",
        }[self.rule.needs]
        raise ValueError(
            f"{rule} needs the {self.rule.needs.name.lower()} of the prior, and {prior} knows its "
            f"{self.prior.knows.name.lower()} only. {advice}"
        )


def draw_block(state_N: Tensor, chain_numbers: Sequence[int], seed: int, block: int) -> tuple[Tensor, Tensor]:
    """The random numbers of a block of K = 64 steps.

    Args:
        state_N: [N, ...], for its shape.
        chain_numbers: N numbers.
        seed: of all chains.
        block: which 64 steps.

    Returns:
        [K, N, ...] standard normal and [K, N] uniform.
    """
    noise, uniform = [], []
    for number in chain_numbers:
        random = torch_generator(seed, "chain", number, block)
        noise.append(torch.randn(STEPS_PER_BLOCK, *state_N.shape[1:], generator=random))
        uniform.append(torch.rand(STEPS_PER_BLOCK, generator=random))
    return torch.stack(noise, dim=1).to(state_N), torch.stack(uniform, dim=1).to(state_N)


def start_states(shape: Sequence[int], chain_numbers: Sequence[int], seed: int) -> Tensor:
    """A standard normal state for every chain, which depends on its number only.

    Args:
        shape: of one state.
        chain_numbers: N numbers.
        seed: of all chains.

    Returns:
        [N, ...] float.
    """
    randoms = [torch_generator(seed, "chain start", number) for number in chain_numbers]
    return torch.stack([torch.randn(*shape, generator=random) for random in randoms])


def _chosen(is_taken_N: Tensor, new: Place, old: Place) -> Place:
    """The new place of some chains and the old one of the others."""

    def rows(one: Tensor, other: Tensor) -> Tensor:
        return torch.where(is_taken_N.view(-1, *([1] * (one.ndim - 1))), one, other)

    return Place(**{name: rows(value, getattr(old, name)) for name, value in vars(new).items()})
