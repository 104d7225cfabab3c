"""The discriminator's own learners: k epochs on fresh negatives and real data, looped inside the learner.

driver                         discriminator learners
  | start(negatives) ------------->| fit ...
  | (overlap: next rollouts)       |
  | finish <-----------------------| figures, weights
"""

# N sequences, T positions, B a batch

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
import torch
from pydantic import BaseModel, ConfigDict, Field
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from torch import Tensor

from rlgan.errors import LostLearnerError
from rlgan.policies.broadcast import StateDict
from rlgan.policies.calls import Failure, add_parts, from_first_learner, guarded, raise_failure
from rlgan.policies.learner import AdversarialLearner
from rlgan.policies.reserved_learners import ReservedLearnerGroup
from rlgan.seeding import torch_generator

DISCRIMINATOR = "discriminator"


class DiscriminatorTrainingConfig(BaseModel):
    """When and how the discriminator is retrained."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    pretrain_steps: int = Field(50, ge=0, description="d-steps before the first adversarial round (released: 50).")
    g_steps: int = Field(1, ge=1, description="Generator rounds between two retrainings (paper, Fig. 3d: 1).")
    d_steps: int = Field(5, ge=1, description="d-steps a retraining, each with fresh negatives (paper, Fig. 3d: 5).")
    epochs: int = Field(3, ge=1, description="k, passes over real and negatives in a d-step (paper, Fig. 3d: 3).")
    num_negatives: int | None = Field(
        None,
        ge=1,
        description="Sequences generated for a d-step, matched by as many real ones drawn without replacement. None: "
        "as many as the training set has (released SeqGAN: 10,000).",
    )
    batch_size: int = Field(64, ge=2, description="Sequences a step, half real and half generated (released: 64).")
    lr: float = Field(1e-4, gt=0, description="Adam step size (released SeqGAN: 1e-4).")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay on all parameters (released: 0).")
    overlap: bool = Field(
        False,
        description="Retrain while the next round is rolled out; its rewards come from the one before (lag 1). "
        "Needs at least one discriminator learner process.",
    )


class DiscriminatorLearner(AdversarialLearner):
    """Fits the net "discriminator", which brings its own loss."""

    real_NT: Tensor

    def set_real_data(self, real_NT: Tensor) -> None:
        """Keep the real sequences here, so that they are sent only once.

        Args:
            real_NT: [N, T] int64 ids.
        """
        self.real_NT = real_NT

    def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Adam on all parameters, without clipping, as released.

        Returns:
            One optimiser, "discriminator".
        """
        config: DiscriminatorTrainingConfig = self.config.hyperparameters.discriminator_training
        parameters = self.nets[DISCRIMINATOR].parameters()
        fused = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay, fused=True)
        return {DISCRIMINATOR: fused}

    def fit(self, negatives: Sequence[Tensor], first_d_step: int) -> "Fit":
        """d-steps, each of k epochs over its own negatives and as many real sequences.

        Args:
            negatives: [N, T] int64 ids for every d-step, fresh from the generator.
            first_d_step: how many d-steps came before, which the order and the dropout are drawn from.

        Returns:
            This learner's parts of the figures of the last epoch.
        """
        net = self.nets[DISCRIMINATOR].train()
        rows: list[dict[str, float]] = []
        for d_step, fake_NT in enumerate(negatives, first_d_step):
            self.seed_noise("discriminator dropout", d_step)
            rows = self._fit_once(fake_NT, torch_generator(self.config.seed, "discriminator order", d_step))
        net.eval()
        figures = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        with torch.no_grad():
            logits = net(torch.cat([self.real_NT[:128], negatives[-1][:128]]).to(self._device)).cpu()
        return Fit(figures, logits)

    def _fit_once(self, fake_NT: Tensor, generator: torch.Generator) -> list[dict[str, float]]:
        """K epochs on one set of negatives; the figures of every step of the last."""
        config: DiscriminatorTrainingConfig = self.config.hyperparameters.discriminator_training
        count, half = min(len(fake_NT), len(self.real_NT)), config.batch_size // 2
        real_NT = self.real_NT[torch.randperm(len(self.real_NT), generator=generator)[:count]]
        rows: list[dict[str, float]] = []
        for _ in range(config.epochs):
            orders = (torch.randperm(count, generator=generator).split(half) for _ in range(2))
            pairs = [pair for pair in zip(*orders, strict=True) if len(pair[0]) >= self.world_size]
            rows = [self._step(real_NT[real_rows], fake_NT[fake_rows]) for real_rows, fake_rows in pairs]
        return rows

    def _step(self, real_BT: Tensor, fake_BT: Tensor) -> dict[str, float]:
        """One optimiser step on a balanced batch; figures are this learner's share of the mean."""
        net = self.nets[DISCRIMINATOR]
        mine_real_BT, mine_fake_BT = self.shard(real_BT), self.shard(fake_BT)
        share = len(mine_real_BT) / len(real_BT)
        logit_N = net(torch.cat([mine_real_BT, mine_fake_BT]))
        logit_real_B, logit_fake_B = logit_N[: len(mine_real_BT)], logit_N[len(mine_real_BT) :]
        loss = share * net.loss(logit_real_B, logit_fake_B)  # type: ignore[operator]
        norm = self.descend(DISCRIMINATOR, loss, real_BT=mine_real_BT, fake_BT=mine_fake_BT)
        with torch.no_grad():
            return {
                "loss": float(loss),
                "acc_real": share * float((logit_real_B > 0).float().mean()),
                "acc_fake": share * float((logit_fake_B < 0).float().mean()),
                "logit_gap": share * float(logit_real_B.mean() - logit_fake_B.mean()),
                "grad_norm": norm / self.world_size,
            }


@dataclass(frozen=True)
class Fit:
    """What a retraining gave.

    Example:
        `Fit(figures={"loss": 0.41, "acc_real": 0.8, ...}, logits=tensor([1.2, ...]))`

    Attributes:
        figures: by name, of the last epoch.
        logits: of some real sequences, then of some generated ones.
    """

    figures: dict[str, float]
    logits: Tensor


@dataclass(frozen=True)
class Retraining:
    """A retraining that goes on from one round into the next: what is needed to do it again.

    Example:
        `Retraining({"discriminator": {...}}, (negatives_NT, negatives_NT), first_d_step=10)`

    Attributes:
        tensors: of the learners before it.
        negatives: [N, T] int64 ids for every d-step.
        first_d_step: how many d-steps came before.
    """

    tensors: dict[str, StateDict]
    negatives: tuple[Tensor, ...]
    first_d_step: int


class DiscriminatorGroup:
    """The discriminator's learner group, apart from the policy's: in the driver process, or actors of its own.

    Attributes:
        retraining: the one that other rounds overlap with, while it is under way.
    """

    def __init__(self, config: Any) -> None:
        config = config.copy(copy_frozen=False)
        config.learners(num_learners=config.num_discriminator_learners)
        config._learner_class = config.discriminator_learner_class
        spec = MultiRLModuleSpec(rl_module_specs={DISCRIMINATOR: config.discriminator_module()})
        self.learners: ReservedLearnerGroup = config.build_learner_group(rl_module_spec=spec)
        self._pending: list[Any] = []
        self.retraining: Retraining | None = None

    def tensors(self) -> dict[str, StateDict]:
        """Nets and optimisers of the learners; those before a retraining that overlaps, which is not waited for.

        Returns:
            State dicts on the CPU, by name.
        """
        if self.retraining is not None:
            return self.retraining.tensors
        return from_first_learner(self.learners, lambda learner: learner.tensors(), DISCRIMINATOR)

    def start_overlapped(self, negatives: Sequence[Tensor], first_d_step: int) -> None:
        """As `start`, for a retraining that is finished in another round: should a learner die, it can be done again.

        Args:
            negatives: [N, T] int64 ids for every d-step.
            first_d_step: how many d-steps came before.
        """
        self.retraining = Retraining(self.tensors(), tuple(negatives), first_d_step)
        self.start(negatives, first_d_step)

    def start(self, negatives: Sequence[Any], first_d_step: int) -> None:
        """Begin a retraining, `fit` of the learner class; actors work on while the driver goes on.

        Args:
            negatives: what the learner class calls negatives, such as [N, T] int64 ids, for every d-step.
            first_d_step: how many d-steps came before.
        """
        shared = ray.put(list(negatives))
        call = guarded(lambda learner: learner.fit(ray.get(shared), first_d_step), "the discriminator learner")
        if self.learners.is_local:
            self._pending = [call(self.learners._learner)]
        else:
            self._pending = [actor.apply.remote(call) for actor in self.learners._workers]

    def finish(self) -> Fit | None:
        """Wait for the retraining.

        Returns:
            Its figures; None where none was started.

        Raises:
            LostLearnerError: if a learner died, or took longer than the configuration allows.
        """
        pending, self._pending = self._pending, []
        limit = self.learners.config.learner_timeout_seconds
        try:
            fits = ray.get(pending, timeout=limit) if self.learners.is_remote else pending
        except ray.exceptions.GetTimeoutError as error:
            raise LostLearnerError(
                f"a discriminator learner took longer than learner_timeout_seconds = {limit:g}."
            ) from error
        except ray.exceptions.RayError as error:
            raise LostLearnerError("a discriminator learner died while it retrained.") from error
        for fit in fits:
            if isinstance(fit, Failure):
                raise_failure(fit)
        self.retraining = None
        return Fit(add_parts([fit.figures for fit in fits]), fits[0].logits) if fits else None

    def abandon(self) -> None:
        """Leave the retraining that is under way, if any: its learners are about to get another state."""
        self._pending, self.retraining = [], None

    def weights(self) -> StateDict:
        """The discriminator as the learners have it now.

        Returns:
            Its state dict, on the CPU.
        """
        nets = from_first_learner(self.learners, lambda learner: learner.weights(), DISCRIMINATOR)
        weights: StateDict = nets[DISCRIMINATOR]
        return weights

    def shutdown(self) -> None:
        """Stop the learners."""
        self.learners.shutdown()
