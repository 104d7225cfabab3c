"""BEGAN's hyper-parameters, and what its learners do with them: both nets in one learner, since G needs D's gradient.

The algorithm that calls them is policies/began.py.
"""

# B images of a step, N training images, Z latent size, C channels, H height, W width

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlgan.discriminators.autoencoder import AutoencoderDiscriminator, AutoencoderDiscriminatorConfig
from rlgan.models.autoencoder import ImageGenerator
from rlgan.objectives.equilibrium import global_measure, next_balance
from rlgan.policies.discriminator import DISCRIMINATOR
from rlgan.policies.learner import AdversarialLearner
from rlgan.policies.runner import BatchRunner
from rlgan.policies.token_runner import GENERATOR
from rlgan.seeding import torch_generator

_CODES_MEASURED = 1000


class BEGANHyperparameters(BaseModel):
    """Everything BEGAN can be told, with the paper's or the released code's value beside rlgan's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    discriminator: AutoencoderDiscriminatorConfig = AutoencoderDiscriminatorConfig()
    pretrain_rounds: int = Field(
        0, ge=0, description="Rounds in which only the autoencoder learns, on real images (paper: 0)."
    )
    warm_start: bool = Field(
        False,
        description="After these, start the generator from the decoder, its first layer fitted to the codes of real "
        "images (paper: no).",
    )
    rounds: int = Field(200, ge=1, description="Adversarial rounds of steps_per_round steps.")
    steps_per_round: int = Field(10, ge=1, description="Steps of both nets between two looks at them.")
    batch_size: int = Field(16, ge=1, description="Real images of a step, and as many generated (paper: 16).")
    diversity: float = Field(
        0.5,
        gt=0,
        le=1,
        description="gamma, the L(G(z))/L(x) aimed at: low is sharper, high more diverse (released: 0.5).",
    )
    gain: float = Field(0.001, ge=0, description="lambda_k, step size of k (paper: 0.001).")
    initial_balance: float = Field(0.0, ge=0, le=1, description="k of the first step (paper: 0).")
    lr: float = Field(1e-4, gt=0, description="Adam step size of the generator (paper: 1e-4).")
    discriminator_lr: float = Field(1e-4, gt=0, description="Adam step size of the autoencoder (paper: 1e-4).")
    beta1: float = Field(0.5, ge=0, lt=1, description="First decay rate of both Adams (released: 0.5 asked, 0.9 used).")
    patience: int = Field(
        50,
        ge=1,
        description="Rounds without a new minimum of M after which both step sizes are halved (rlgan's choice).",
    )
    smallest_lr_scale: float = Field(
        0.25, gt=0, le=1, description="The step sizes are never less than this share of their start (released: 1/4)."
    )

    def carry_at(self, step: int) -> float:
        """Share of the identities, which vanishes over the first steps.

        Args:
            step: adversarial steps done.

        Returns:
            max(0, 1 - step / carry_steps); 0 without vanishing residuals.
        """
        sizes = self.discriminator
        return max(0.0, 1.0 - step / sizes.carry_steps) if sizes.vanishing_residuals else 0.0


@dataclass(frozen=True)
class Equilibrium:
    """Where the balance of the two nets stands.

    Example:
        After 300 steps: `Equilibrium(step=300, balance=0.04, real_error=0.11, fake_error=0.055, measure=0.11)`

    Attributes:
        step: adversarial steps done.
        balance: k.
        real_error: mean L(x) of the last round.
        fake_error: mean L(G(z)) of the last round.
        measure: mean M_global of the last round.
        discriminator_loss: mean L_D = L(x) - k L(G(z)) of the last round, each step with its own k.
        generator_norm: mean gradient norm of G in the last round.
        discriminator_norm: mean gradient norm of D.
    """

    step: int
    balance: float
    real_error: float = 0.0
    fake_error: float = 0.0
    measure: float = 0.0
    discriminator_loss: float = 0.0
    generator_norm: float = 0.0
    discriminator_norm: float = 0.0


class BEGANRunner(BatchRunner):
    """Holds the generator as it was published last; nothing is rolled out."""

    def build_nets(self) -> dict[str, nn.Module]:
        """The generator.

        Returns:
            The net by name.
        """
        return {GENERATOR: self.config.build_generator(torch_generator(0, "replaced by the first broadcast"))}


class BEGANLearner(AdversarialLearner):
    """Steps of both nets. Every random number is of the whole batch; a learner takes its rows of it."""

    real_NCHW: Tensor

    def set_real_data(self, real_NCHW: Tensor) -> None:
        """Keep the real images here, so that they are sent only once.

        Args:
            real_NCHW: [N, C, H, W] uint8 levels.
        """
        self.real_NCHW = real_NCHW

    def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """An Adam for each net.

        Returns:
            "generator" and "discriminator".
        """
        config: BEGANHyperparameters = self.config.hyperparameters
        betas = (config.beta1, 0.999)
        return {
            GENERATOR: torch.optim.Adam(self.nets[GENERATOR].parameters(), config.lr, betas, fused=True),
            DISCRIMINATOR: torch.optim.Adam(
                self.nets[DISCRIMINATOR].parameters(), config.discriminator_lr, betas, fused=True
            ),
        }

    @property
    def _discriminator(self) -> AutoencoderDiscriminator:
        """The autoencoder."""
        net = self.nets[DISCRIMINATOR]
        assert isinstance(net, AutoencoderDiscriminator)
        return net

    @property
    def _generator(self) -> ImageGenerator:
        """The generator."""
        net = self.nets[GENERATOR]
        assert isinstance(net, ImageGenerator)
        return net

    def _real_images(self, purpose: str, step: int) -> Tensor:
        """[B, C, H, W] this learner's rows of a batch of real images, in [-1, 1]."""
        random = torch_generator(self.config.seed, purpose, step)
        rows_B = torch.randint(len(self.real_NCHW), (self.config.hyperparameters.batch_size,), generator=random)
        unit_BCHW: Tensor = self.config.space.to_unit(self.shard(self.real_NCHW[rows_B]))
        return 2.0 * unit_BCHW - 1.0

    def pretrain_round(self, index: int) -> dict[str, float]:
        """Steps of the autoencoder alone.

        Args:
            index: of the round.

        Returns:
            Mean L(x) and gradient norm of the whole batch.
        """
        config: BEGANHyperparameters = self.config.hyperparameters
        errors, norms = [], []
        for step in range(index * config.steps_per_round, (index + 1) * config.steps_per_round):
            real_BCHW = self._real_images("pretraining", step)
            loss = len(real_BCHW) / config.batch_size * self._discriminator(real_BCHW).mean()
            norms.append(self.descend(DISCRIMINATOR, loss, real_BCHW=real_BCHW))
            errors.append(self.summed(loss)[0])
        return {"loss": sum(errors) / len(errors), "grad_norm": sum(norms) / len(norms)}

    @torch.no_grad()
    def start_generator(self) -> None:
        """The generator becomes the decoder, with a first layer fitted to the codes of real images."""
        images = 2.0 * self.config.space.to_unit(self.real_NCHW[:_CODES_MEASURED].to(self._device)) - 1.0
        code_NZ = torch.cat([self._discriminator.net.encoder(rows) for rows in images.split(100)])
        self._generator.start_from(self._discriminator.net.decoder, code_NZ)

    def adversarial_round(self, start: Equilibrium, lr_scale: float) -> Equilibrium:
        """Steps of both nets and of k.

        Args:
            start: where the last round ended.
            lr_scale: share of the configured step sizes.

        Returns:
            Where this round ended, the same on every learner.
        """
        config: BEGANHyperparameters = self.config.hyperparameters
        self.optimizers[GENERATOR].param_groups[0]["lr"] = config.lr * lr_scale
        self.optimizers[DISCRIMINATOR].param_groups[0]["lr"] = config.discriminator_lr * lr_scale
        now, rows = start, []
        for _ in range(config.steps_per_round):
            now = self._step(now)
            rows.append(now)
        names = (field.name for field in fields(Equilibrium) if field.name not in {"step", "balance"})
        means: dict[str, Any] = {name: sum(getattr(row, name) for row in rows) / len(rows) for name in names}
        return replace(now, **means)

    def _step(self, start: Equilibrium) -> Equilibrium:
        """One step of G, one of D, one of k."""
        config: BEGANHyperparameters = self.config.hyperparameters
        carry = config.carry_at(start.step)
        if self._generator.carry is not None:
            self._generator.carry.fill_(carry)
        real_BCHW = self._real_images("real images", start.step)
        random = torch_generator(self.config.seed, "latent", start.step)
        latent_BZ = self.shard(self._generator.draw_latent(config.batch_size, random))
        share = len(real_BCHW) / config.batch_size
        fake_BCHW = self._generator(latent_BZ)
        self._discriminator.requires_grad_(False)  # the pass of G leaves no gradient in D
        generator_loss = share * self._discriminator(fake_BCHW, carry).mean()
        generator_norm = self.descend(GENERATOR, generator_loss, latent_BZ=latent_BZ, fake_BCHW=fake_BCHW)
        self._discriminator.requires_grad_(True)
        error_B = self._discriminator(torch.cat([real_BCHW, fake_BCHW.detach()]), carry)
        real_error, fake_error = (share * half.mean() for half in error_B.split(len(real_BCHW)))
        loss = self._discriminator.loss(real_error, fake_error, start.balance)
        discriminator_norm = self.descend(DISCRIMINATOR, loss, real_BCHW=real_BCHW, fake_BCHW=fake_BCHW)
        real, fake, total = self.summed(real_error, generator_loss, loss)
        return Equilibrium(
            step=start.step + 1,
            balance=next_balance(start.balance, config.gain, config.diversity, real, fake),
            real_error=real,
            fake_error=fake,
            measure=global_measure(real, fake, config.diversity),
            discriminator_loss=total,
            generator_norm=generator_norm,
            discriminator_norm=discriminator_norm,
        )
