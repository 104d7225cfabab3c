"""A runner that draws whole sequences of tokens and values every token of them."""

# B sequences, T positions, R rollouts

from time import perf_counter

import torch
from torch import Tensor

from rlgan.errors import NonFiniteError
from rlgan.objectives.action_values import mc_action_value
from rlgan.policies.algorithm import AdversarialAlgorithm
from rlgan.policies.runner import BatchRunner
from rlgan.policies.runner_pool import split_evenly
from rlgan.rollouts import sample_sequences
from rlgan.seeding import torch_generator
from rlgan.token_rewards import TokenRewards
from rlgan.types import RolloutBatch

GENERATOR = "generator"


class TokenRunner(BatchRunner):
    """A `BatchRunner` whose net "generator" is a token policy.

    Attributes:
        token_rewards: what pays for tokens; `build_nets` sets it.
    """

    token_rewards: TokenRewards

    def draw(self, num_sequences: int, random: torch.Generator) -> Tensor:
        """[B, T] sequences of the generator."""
        space = self.config.space
        uniform_BT = torch.rand(num_sequences, space.length, generator=random, device=self.device)
        return sample_sequences(self.nets[GENERATOR], space, uniform_BT)  # type: ignore[arg-type]

    def negatives(self, num_sequences: int, version: int, *place: int) -> Tensor:
        """Sequences of the generator, for the discriminator to refuse.

        Args:
            num_sequences: how many.
            version: the weights they must come from.
            *place: step and shard, which the random numbers are drawn from.

        Returns:
            [N, T] int64 ids on the CPU.
        """
        self.require_version(version)
        return self.draw(
            num_sequences, torch_generator(self.config.seed, "negatives", *place, device=self.device)
        ).cpu()

    def rollout(self, num_sequences: int, version: int, *place: int) -> RolloutBatch:
        """Sequences of the generator with the Monte-Carlo Q of every token.

        Args:
            num_sequences: how many.
            version: the weights they must come from.
            *place: step and shard, which the random numbers are drawn from.

        Returns:
            The batch, on the CPU.

        Raises:
            NonFiniteError: if a reward is NaN or infinite.
        """
        self.require_version(version)
        started = perf_counter()
        random = torch_generator(self.config.seed, "rollout", *place, device=self.device)
        tokens_BT = self.draw(num_sequences, random)
        reward_RBT = self.token_rewards(tokens_BT, random)
        if not bool(torch.isfinite(reward_RBT).all()):
            batch = {"tokens_BT": tokens_BT.cpu(), "reward_RBT": reward_RBT.cpu()}
            raise NonFiniteError(
                "a reward of the discriminator is NaN or infinite; the last checkpoint is intact.", batch
            )
        action_value_BT = mc_action_value(reward_RBT) * self.config.space.mask(tokens_BT)
        return RolloutBatch(
            tokens_BT=tokens_BT.cpu(),
            action_value_BT=action_value_BT.cpu(),
            reward_B=reward_RBT[0, :, -1].cpu(),
            weights_version=version,
            seconds=perf_counter() - started,
            num_completions=reward_RBT[:, :, :-1].numel(),
        )


def rollout_batch(algorithm: AdversarialAlgorithm, num_sequences: int) -> RolloutBatch:
    """The batch of a generator step, from all runners.

    Args:
        algorithm: whose runners are `TokenRunner`s.
        num_sequences: how many.

    Returns:
        Sequences with the Q of every token.
    """
    sizes = split_evenly(num_sequences, algorithm.num_shards)
    version, step = algorithm.weights.version, algorithm.step_count
    shards = algorithm.runners.collect(lambda runner, i: runner.rollout(sizes[i], version, step, i), len(sizes))
    return RolloutBatch.join(shards, version)


def draw_negatives(algorithm: AdversarialAlgorithm, num_sequences: int, d_steps: int) -> list[Tensor]:
    """Fresh sequences of the generator for each of some d-steps.

    Args:
        algorithm: whose runners are `TokenRunner`s.
        num_sequences: for each d-step.
        d_steps: how many.

    Returns:
        [N, T] int64 ids for every d-step.
    """
    sizes = split_evenly(num_sequences, algorithm.num_shards)
    version, step = algorithm.weights.version, algorithm.step_count
    shards = algorithm.runners.collect(
        lambda runner, i: [runner.negatives(sizes[i], version, step, d_step, i) for d_step in range(d_steps)],
        len(sizes),
    )
    return [torch.cat(parts) for parts in zip(*shards, strict=True)]
