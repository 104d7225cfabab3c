"""What BGAN's workers do: the runner's draws and the two learners' steps.

The algorithm that calls them is policies/bgan.py, their hyper-parameters are in policies/bgan_settings.py.
"""

# N latent codes, M draws for each, Z latent size, B samples

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

from rlgan.errors import NonFiniteError, WorkerError
from rlgan.objectives import boundary_seeking as bs
from rlgan.policies.bgan_settings import BGANHyperparameters
from rlgan.policies.discriminator import DISCRIMINATOR, Fit
from rlgan.policies.learner import AdversarialLearner
from rlgan.policies.runner import BatchRunner
from rlgan.policies.token_runner import GENERATOR
from rlgan.seeding import torch_generator

CRITIC = "critic"


@dataclass(frozen=True)
class DrawnBatch:
    """Draws of a round with their scores: a shard, or all shards joined.

    Example:
        64 latent codes and 20 draws of each: `DrawnBatch(latent_NZ, sample_NM, score_NM, weights_version=7,
        seconds=0.02)`

    Attributes:
        latent_NZ: [N, Z] latent codes.
        sample_NM: [N, M, ...] levels or ids.
        score_NM: [N, M] F of every draw, nats.
        weights_version: of the weights that drew and scored them.
        seconds: wall time of the slowest shard.
    """

    latent_NZ: Tensor
    sample_NM: Tensor
    score_NM: Tensor
    weights_version: int
    seconds: float

    @classmethod
    def join(cls, shards: Sequence["DrawnBatch"], weights_version: int) -> "DrawnBatch":
        """One batch of all shards.

        Args:
            shards: at least one.
            weights_version: that all must have.

        Returns:
            The shards, row after row.

        Raises:
            WorkerError: if a shard was made by other weights.
        """
        versions = {shard.weights_version for shard in shards}
        if versions != {weights_version}:
            raise WorkerError(f"all shards must come from weights version {weights_version}; got {sorted(versions)}.")
        return cls(
            latent_NZ=torch.cat([shard.latent_NZ for shard in shards]),
            sample_NM=torch.cat([shard.sample_NM for shard in shards]),
            score_NM=torch.cat([shard.score_NM for shard in shards]),
            weights_version=weights_version,
            seconds=max(shard.seconds for shard in shards),
        )


class BGANRunner(BatchRunner):
    """Draws M samples of each latent code and scores them."""

    def build_nets(self) -> dict[str, nn.Module]:
        """Generator and discriminator.

        Returns:
            The nets by name.
        """
        init = torch_generator(0, "replaced by the first broadcast")
        return {GENERATOR: self.config.build_generator(init), DISCRIMINATOR: self.config.build_discriminator(init)}

    def negatives(self, num_codes: int, version: int, *place: int) -> Tensor:
        """Draws for the discriminator to refuse.

        Args:
            num_codes: N.
            version: the weights they must come from.
            *place: step, d-step and shard, which the random numbers are drawn from.

        Returns:
            [N * draws, ...] levels or ids, on the CPU.
        """
        self.require_version(version)
        random = torch_generator(self.config.seed, "negatives", *place, device=self.device)
        generator = self.nets[GENERATOR]
        latent_NZ = generator.draw_latent(num_codes, random)  # type: ignore[operator]
        num_draws = 1 if self.config.is_continuous else self.config.hyperparameters.d_draws
        sample_NM: Tensor = generator.sample(latent_NZ, num_draws, random)  # type: ignore[operator]
        return sample_NM.flatten(0, 1).cpu()

    def draw(self, num_codes: int, version: int, *place: int) -> DrawnBatch:
        """Latent codes, draws and scores.

        Args:
            num_codes: N.
            version: the weights they must come from.
            *place: step and shard, which the random numbers are drawn from.

        Returns:
            The batch, on the CPU.

        Raises:
            NonFiniteError: if a score is NaN or infinite.
        """
        self.require_version(version)
        started = perf_counter()
        random = torch_generator(self.config.seed, "draw", *place, device=self.device)
        generator, discriminator = self.nets[GENERATOR], self.nets[DISCRIMINATOR]
        latent_NZ = generator.draw_latent(num_codes, random)  # type: ignore[operator]
        sample_NM = generator.sample(latent_NZ, self.config.num_draws, random)  # type: ignore[operator]
        score_NM = discriminator.reward(sample_NM.flatten(0, 1)).view(sample_NM.shape[:2])  # type: ignore[operator]
        if not bool(torch.isfinite(score_NM).all()):
            tensors = {"latent_NZ": latent_NZ.cpu(), "sample_NM": sample_NM.cpu(), "score_NM": score_NM.cpu()}
            raise NonFiniteError(
                "a score of the discriminator is NaN or infinite; the last checkpoint is intact.", tensors
            )
        seconds = perf_counter() - started
        return DrawnBatch(latent_NZ.cpu(), sample_NM.cpu(), score_NM.cpu(), version, seconds)


@dataclass(frozen=True)
class Whole:
    """What a learner, which sees its share of the rows, must know of the whole batch and of the rounds before.

    Example:
        `Whole(log_partition=torch.tensor(-0.3), moving_average=-0.4)`

    Attributes:
        log_partition: log beta of all draws of the batch.
        moving_average: of log beta over the rounds before.
    """

    log_partition: Tensor
    moving_average: float


def _importance(log_prob_NM: Tensor, score_NM: Tensor, whole: Whole, config: BGANHyperparameters) -> Tensor:
    """Algorithm 1."""
    del whole
    return bs.importance_weighted_loss(log_prob_NM, score_NM, config.control_variate)


def _single_partition(log_prob_NM: Tensor, score_NM: Tensor, whole: Whole, config: BGANHyperparameters) -> Tensor:
    """Theorem 1."""
    return bs.single_partition_loss(log_prob_NM, score_NM, whole.log_partition, config.control_variate)


def _reinforce(log_prob_NM: Tensor, score_NM: Tensor, whole: Whole, config: BGANHyperparameters) -> Tensor:
    """Definition 2.4."""
    return bs.reinforce_loss(log_prob_NM, score_NM, BASELINES[config.baseline](score_NM, whole))


ESTIMATORS = {"importance": _importance, "single_partition": _single_partition, "reinforce": _reinforce}
BASELINES: dict[str, Callable[[Tensor, Whole], Tensor]] = {
    "none": lambda score_NM, whole: torch.zeros_like(score_NM),
    "moving_average": lambda score_NM, whole: torch.full_like(score_NM, whole.moving_average),
    "leave_one_out": lambda score_NM, whole: bs.leave_one_out_baseline(score_NM),
}


class BGANLearner(AdversarialLearner):
    """Fits the generator to draws and their scores; in the continuous form, through a copy of the discriminator."""

    def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One Adam; the copy of the discriminator, where there is one, is never trained here.

        Returns:
            "policy".
        """
        config: BGANHyperparameters = self.config.hyperparameters
        if CRITIC in self.nets:
            self.nets[CRITIC].requires_grad_(False)
        parameters = self.nets[GENERATOR].parameters()
        return {"policy": torch.optim.Adam(parameters, config.lr, (config.beta1, 0.999), fused=True)}

    def set_critic(self, weights: dict[str, Tensor]) -> None:
        """Take the discriminator as it is now.

        Args:
            weights: its state dict.
        """
        self.nets[CRITIC].load_state_dict(weights)

    def policy_step(self, batch: DrawnBatch, moving_average: float) -> dict[str, float]:
        """One step of the chosen estimator.

        Args:
            batch: the whole batch.
            moving_average: of log beta over the rounds before.

        Returns:
            This learner's parts of loss, entropy (nats per pixel or character) and gradient norm.
        """
        config: BGANHyperparameters = self.config.hyperparameters
        latent_NZ, score_NM = self.shard(batch.latent_NZ), self.shard(batch.score_NM)
        share = len(latent_NZ) / len(batch.latent_NZ)
        log_prob_NM, entropy_N = self.nets[GENERATOR].log_prob_and_entropy(latent_NZ, self.shard(batch.sample_NM))  # type: ignore[operator]
        whole = Whole(bs.log_partition(batch.score_NM).to(self._device), moving_average)
        loss = ESTIMATORS[config.estimator](log_prob_NM, score_NM, whole, config)
        seen = {"latent_NZ": latent_NZ, "sample_NM": self.shard(batch.sample_NM), "score_NM": score_NM}
        norm = self.descend("policy", share * loss, config.max_grad_norm, **seen)
        num_values = batch.sample_NM[0, 0].numel()
        entropy = share * float(entropy_N.detach().mean()) / num_values
        return {"loss": share * float(loss.detach()), "entropy": entropy, "grad_norm": norm / self.world_size}

    def continuous_step(self, batch: DrawnBatch) -> dict[str, float]:
        """One step of the continuous form: F(G(z))^2, backpropagated through the copy of the discriminator.

        Args:
            batch: the whole batch, of which only the latent codes are used.

        Returns:
            This learner's parts of loss and gradient norm.
        """
        config: BGANHyperparameters = self.config.hyperparameters
        latent_NZ = self.shard(batch.latent_NZ)
        score_N = self.nets[CRITIC].score(self.nets[GENERATOR].image(latent_NZ))  # type: ignore[operator]
        loss = len(latent_NZ) / len(batch.latent_NZ) * bs.continuous_loss(score_N)
        norm = self.descend("policy", loss, config.max_grad_norm, latent_NZ=latent_NZ)
        return {"loss": float(loss.detach()), "grad_norm": norm / self.world_size}


class BoundaryLearner(AdversarialLearner):
    """Fits the discriminator to real samples and draws: the bound of the chosen f-divergence."""

    real_N: Tensor

    def set_real_data(self, real_N: Tensor) -> None:
        """Keep the real samples here, so that they are sent only once.

        Args:
            real_N: [N, ...] levels or ids.
        """
        self.real_N = real_N

    def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One Adam.

        Returns:
            "discriminator".
        """
        config: BGANHyperparameters = self.config.hyperparameters
        parameters = self.nets[DISCRIMINATOR].parameters()
        return {DISCRIMINATOR: torch.optim.Adam(parameters, config.discriminator_lr, (config.beta1, 0.999), fused=True)}

    def fit(self, negatives: Sequence[Tensor], first_d_step: int) -> Fit:
        """One step on each set of draws.

        Args:
            negatives: [B, ...] levels or ids for every d-step.
            first_d_step: how many d-steps came before, which the real samples are drawn from.

        Returns:
            This learner's parts of the figures of the last step.
        """
        for d_step, fake_B in enumerate(negatives, first_d_step):
            fit = self._step(fake_B, torch_generator(self.config.seed, "real samples", d_step))
        return fit

    def _step(self, fake_B: Tensor, random: torch.Generator) -> Fit:
        """One optimiser step; figures are this learner's share of the mean."""
        config: BGANHyperparameters = self.config.hyperparameters
        net = self.nets[DISCRIMINATOR]
        rows_B = torch.randint(len(self.real_N), (config.batch_size,), generator=random)
        mine_real_B, mine_fake_B = self.shard(self.real_N[rows_B]), self.shard(fake_B)
        share = len(mine_real_B) / config.batch_size
        loss, score_real_B, score_fake_B = net.loss(net.embed(mine_real_B), net.embed(mine_fake_B))  # type: ignore[operator]
        loss = share * loss
        seen = {"real_B": mine_real_B, "fake_B": mine_fake_B}
        norm = self.descend(DISCRIMINATOR, loss, config.discriminator_max_grad_norm, **seen)
        score_real_B, score_fake_B = score_real_B.detach(), score_fake_B.detach()
        figures = {
            "loss": float(loss.detach()),
            "acc_real": share * float((score_real_B > 0).float().mean()),
            "acc_fake": share * float((score_fake_B < 0).float().mean()),
            "logit_gap": share * float(score_real_B.mean() - score_fake_B.mean()),
            "grad_norm": norm / self.world_size,
        }
        return Fit(figures, torch.cat([score_real_B, score_fake_B]).cpu())
