"""The runner that fills in blanks, and the batches a driver asks of it."""

# B sequences (K fills of one text stand one after the other), N texts, T positions

from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from rlgan.blanks import chosen, draw_blanks
from rlgan.errors import NonFiniteError
from rlgan.fills import CONTROLS, FillBatch, fill_blanks
from rlgan.policies.algorithm import AdversarialAlgorithm
from rlgan.policies.discriminator import DISCRIMINATOR
from rlgan.policies.infilling_discriminator import Negatives
from rlgan.policies.infilling_likelihood import GENERATOR
from rlgan.policies.rounds import EQUAL_REWARDS, share_without_spread
from rlgan.policies.runner import BatchRunner
from rlgan.policies.runner_pool import split_evenly
from rlgan.seeding import torch_generator


class FillRunner(BatchRunner):
    """Fills blanks, and pays for every fill."""

    def build_nets(self) -> dict[str, nn.Module]:
        """Generator and discriminator.

        Returns:
            The nets by name.
        """
        init = torch_generator(0, "replaced by the first broadcast")
        return {GENERATOR: self.config.build_generator(init), DISCRIMINATOR: self.config.build_discriminator(init)}

    def fill(self, real_BT: Tensor, blank_BT: Tensor, version: int, *place: int) -> Tensor:
        """Fills alone, for the discriminator to refuse.

        Args:
            real_BT: [B, T] int64 ids of real texts.
            blank_BT: [B, T] bool.
            version: the weights they must come from.
            *place: step, shard and so on, which the random numbers are drawn from.

        Returns:
            [B, T] int64 ids on the CPU.
        """
        return self._fill(real_BT, blank_BT, version, torch_generator(self.config.seed, "negatives", *place))

    def judged_fills(self, real_BT: Tensor, blank_BT: Tensor, version: int, *place: int) -> FillBatch:
        """Fills with what is paid for every token, and what the critic expected.

        Args:
            real_BT: [B, T] int64 ids of real texts.
            blank_BT: [B, T] bool.
            version: the weights they must come from.
            *place: step, shard and so on, which the random numbers are drawn from.

        Returns:
            The batch, on the CPU.

        Raises:
            NonFiniteError: if a reward or value is NaN or infinite.
        """
        started, control = perf_counter(), self.config.hyperparameters.reward
        random = torch_generator(self.config.seed, "fills", *place)
        tokens_BT = self._fill(real_BT, blank_BT, version, random)
        judge = self.nets[DISCRIMINATOR].judge
        reward_BT, value_BT = (
            t.cpu()
            for t in judge(tokens_BT.to(self.device), blank_BT.to(self.device))  # type: ignore[operator]
        )
        if control in CONTROLS:
            reward_BT = CONTROLS[control](chosen(tokens_BT, blank_BT, self.config.space), random)
        if not bool(torch.isfinite(reward_BT).all() & torch.isfinite(value_BT).all()):
            tensors = {"tokens_BT": tokens_BT, "blank_BT": blank_BT, "reward_BT": reward_BT, "value_BT": value_BT}
            raise NonFiniteError(
                "a reward or a value of the critic is NaN or infinite; the last checkpoint is intact.", tensors
            )
        return FillBatch(tokens_BT, real_BT, blank_BT, reward_BT, value_BT, version, perf_counter() - started)

    def _fill(self, real_BT: Tensor, blank_BT: Tensor, version: int, random: torch.Generator) -> Tensor:
        """[B, T] texts filled in by the generator of one version."""
        self.require_version(version)
        uniform_BT = torch.rand(real_BT.shape, generator=random)
        on_device = (tensor.to(self.device) for tensor in (real_BT, blank_BT, uniform_BT))
        return fill_blanks(self.nets[GENERATOR], *on_device).cpu()  # type: ignore[arg-type]


def draw_texts(algorithm: AdversarialAlgorithm, count: int, rate: float, purpose: str) -> tuple[Tensor, Tensor]:
    """Real texts of a round and their blanks, drawn from the seed of the run and the round.

    Args:
        algorithm: of a system that fills in blanks.
        count: N, texts.
        rate: share of blanks.
        purpose: what they are for: two purposes have different texts.

    Returns:
        [N, T] int64 ids and [N, T] bool.
    """
    random = torch_generator(algorithm.config.seed, purpose, algorithm.step_count)
    train_NT = algorithm.source.train_NT  # type: ignore[attr-defined]
    real_NT = train_NT[torch.randint(len(train_NT), (count,), generator=random)]
    blanks = algorithm.config.hyperparameters.blanks
    return real_NT, draw_blanks(blanks, real_NT, algorithm.source.space, rate, random)


def judged_fills(algorithm: AdversarialAlgorithm, rate: float) -> FillBatch:
    """The batch of a generator step, from all runners; the fills of one text stay together.

    Args:
        algorithm: of a system that fills in blanks.
        rate: share of blanks.

    Returns:
        The joined shards.
    """
    config = algorithm.config.hyperparameters
    real_NT, blank_NT = draw_texts(algorithm, config.batch_size, rate, "texts")
    sizes = split_evenly(config.batch_size, algorithm.num_shards)
    reals, blanks = real_NT.split(sizes), blank_NT.split(sizes)
    version, step, num_fills = algorithm.weights.version, algorithm.step_count, config.num_fills

    def call(runner: Any, shard: int) -> FillBatch:
        rows = (t[shard].repeat_interleave(num_fills, dim=0) for t in (reals, blanks))
        batch: FillBatch = runner.judged_fills(*rows, version, step, shard)
        return batch

    return FillBatch.join(algorithm.runners.collect(call, len(sizes)), version)


def draw_negatives(algorithm: AdversarialAlgorithm, num_steps: int, rate: float) -> list[Negatives]:
    """Fresh fills for some steps of the discriminator.

    Args:
        algorithm: of a system that fills in blanks.
        num_steps: of the discriminator.
        rate: share of blanks.

    Returns:
        Fills with their real texts, for each step its own.
    """
    batch_size = algorithm.config.hyperparameters.discriminator_training.batch_size
    real_NT, blank_NT = draw_texts(algorithm, num_steps * batch_size, rate, "negatives")
    sizes = split_evenly(len(real_NT), algorithm.num_shards)
    reals, blanks = real_NT.split(sizes), blank_NT.split(sizes)
    version, step = algorithm.weights.version, algorithm.step_count
    shards = algorithm.runners.collect(lambda runner, i: runner.fill(reals[i], blanks[i], version, step, i), len(sizes))
    parts = (t.split(batch_size) for t in (torch.cat(shards), real_NT, blank_NT))
    return [Negatives(*rows) for rows in zip(*parts, strict=True)]


def fill_figures(batch: FillBatch, mask_BT: Tensor, advantage_BT: Tensor) -> dict[str, float]:
    """Figures of the fills of a round by TensorBoard tag.

    Args:
        batch: the joined shards.
        mask_BT: [B, T] bool, which tokens were chosen.
        advantage_BT: [B, T] what they were worth.

    Returns:
        Rewards and advantages of a token, and rates.
    """
    reward_N = batch.reward_BT[mask_BT]
    return {
        "gen/reward_mean": float(reward_N.mean()),
        "gen/reward_std": float(reward_N.std(unbiased=False)),
        EQUAL_REWARDS: share_without_spread(batch.reward_BT, mask_BT),
        "gen/advantage_rms": float(advantage_BT[mask_BT].square().mean().sqrt()),
        "rollout/tokens_per_s": float(mask_BT.sum()) / batch.seconds,
        "rollout/weights_lag": 0.0,
    }
