"""What PPGN's learners and runners do: classifiers, the generator with its critic, denoisers; and chains.

The algorithm that calls them is policies/ppgn.py. Every random number is of the whole batch; a learner takes its rows.
"""

# B images of a step, N training images or chains, C channels, H height, W width, Z numbers of a code

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import cos, pi
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rlgan.chain_requests import ChainRequest, run_chains
from rlgan.chains import ChainRecord
from rlgan.errors import NonFiniteError
from rlgan.models.code_nets import CodeEncoder
from rlgan.objectives.adversarial import binary_cross_entropy
from rlgan.objectives.captioning import caption_log_probability
from rlgan.objectives.feature_matching import is_paused, non_saturating, squared_error
from rlgan.plug_and_play import CAPTIONER, DENOISER, ENCODER, GENERATOR
from rlgan.policies.discriminator import DISCRIMINATOR
from rlgan.policies.learner import AdversarialLearner, TensorGroups
from rlgan.policies.ppgn_settings import PPGNHyperparameters
from rlgan.policies.runner import BatchRunner
from rlgan.seeding import torch_generator

_LAST_LR_SHARE = 0.05


class PPGNRunner(BatchRunner):
    """Runs chains with the nets as they were published last."""

    def build_nets(self) -> dict[str, nn.Module]:
        """All nets that a chain may need.

        Returns:
            By name.
        """
        init = torch_generator(0, "replaced by the first broadcast")
        return {name: build(init).requires_grad_(False) for name, build in self.config.chain_nets().items()}

    def run(self, request: ChainRequest, chain_numbers: Sequence[int], version: int) -> ChainRecord:
        """Some of the chains of a request.

        Args:
            request: what is asked.
            chain_numbers: which chains.
            version: of the weights that the driver means.

        Returns:
            Their record.

        Raises:
            NonFiniteError: if a chain has left the finite numbers: its steps are too large.
        """
        self.require_version(version)
        config = self.config
        record = run_chains(
            config.hyperparameters.plug_and_play, self.nets, config.state_shape(), request, chain_numbers
        )
        if not bool(record.state_N.isfinite().all()):
            states = {"state_N": record.state_N}
            raise NonFiniteError("a chain has left the finite numbers. Give it a smaller eps1, eps2 or eps3.", states)
        return record


@dataclass(frozen=True)
class GeneratorProgress:
    """What a round of generator and discriminator did, and what the next one goes on from.

    Example:
        `GeneratorProgress(loss_ratio=0.4, figures={"gen/loss": 12.1, ...})`

    Attributes:
        loss_ratio: L_D / L_G of the last step, which decides who sits out the next.
        figures: means over the round, by TensorBoard tag.
    """

    loss_ratio: float
    figures: dict[str, float]


class PPGNLearner(AdversarialLearner):
    """Steps of all nets, each kind in a phase of its own."""

    real_NCHW: Tensor
    label_N: Tensor
    caption_LT: Tensor

    def set_real_data(self, real_NCHW: Tensor, label_N: Tensor, caption_LT: Tensor) -> None:
        """Keep the real images here, so that they are sent only once.

        Args:
            real_NCHW: [N, C, H, W] uint8 levels.
            label_N: [N] int64.
            caption_LT: [L, T] int64, the words of every label; see `CaptionWords`.
        """
        self.real_NCHW, self.label_N, self.caption_LT = real_NCHW, label_N, caption_LT

    def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """An Adam for each net.

        Returns:
            By the net's name.
        """
        config: PPGNHyperparameters = self.config.hyperparameters
        own = {GENERATOR: config.lr, DISCRIMINATOR: config.lr, DENOISER: config.denoiser_lr}
        betas = dict.fromkeys((GENERATOR, DISCRIMINATOR), (config.beta1, 0.999))
        return {
            name: torch.optim.Adam(
                net.parameters(), own.get(name, config.classifier_lr), betas.get(name, (0.9, 0.999)), fused=True
            )
            for name, net in self.nets.items()
        }

    @property
    def encoder(self) -> CodeEncoder:
        """The encoder."""
        net = self.nets[ENCODER]
        assert isinstance(net, CodeEncoder)
        return net

    @cached_property
    def pooled_sd(self) -> float:
        """Standard deviation of h1 over the first training images, the unit of its noise."""
        with torch.no_grad():
            unit = self.config.space.to_unit(self.real_NCHW[:1000].to(self._device))
            return float(torch.cat([self.encoder.pooled(rows) for rows in unit.split(250)]).std())

    def load_tensors(self, groups: TensorGroups) -> None:
        """See `AdversarialLearner`; another encoder has another h1.

        Args:
            groups: what `tensors` returned.
        """
        super().load_tensors(groups)
        self.__dict__.pop("pooled_sd", None)

    def captioner_round(self, index: int, num_rounds: int) -> dict[str, float]:
        """Steps of the captioner by teacher forcing, on images with some noise.

        Args:
            index: of the round.
            num_rounds: of the phase.

        Returns:
            Mean loss (nats a caption) and gradient norm.
        """

        def step(random: torch.Generator) -> list[float]:
            rows_B, noisy_BCHW = self._noisy_images(random)
            word_BT = self.shard(self.caption_LT[self.label_N[rows_B]])
            log_probability_B = caption_log_probability(self.nets[CAPTIONER](noisy_BCHW, word_BT), word_BT)
            loss = -log_probability_B.sum() / len(rows_B)
            norm = self.descend(CAPTIONER, loss, noisy_BCHW=noisy_BCHW, word_BT=word_BT)
            return [*self.summed(loss), norm]

        return self._round(CAPTIONER, (CAPTIONER,), index, num_rounds, step, ("loss", "grad_norm"))

    def classifier_round(self, name: str, index: int, num_rounds: int) -> dict[str, float]:
        """Steps of the encoder or of the second classifier, on images with some noise.

        Args:
            name: of the net.
            index: of the round.
            num_rounds: of the phase.

        Returns:
            Mean loss (nats), accuracy and gradient norm.
        """
        self.nets[name].requires_grad_(True)  # the encoder is frozen where a checkpoint of its phase is loaded later on

        def step(random: torch.Generator) -> list[float]:
            rows_B, noisy_BCHW = self._noisy_images(random)
            logits_BL = self.nets[name](noisy_BCHW)
            label_B = self.shard(self.label_N[rows_B])
            share = len(label_B) / len(rows_B)
            loss = share * F.cross_entropy(logits_BL, label_B)
            norm = self.descend(name, loss, noisy_BCHW=noisy_BCHW, label_B=label_B)
            accuracy = share * (logits_BL.argmax(dim=1) == label_B).float().mean()
            return [*self.summed(loss, accuracy), norm]

        return self._round(name, (name,), index, num_rounds, step, ("loss", "accuracy", "grad_norm"))

    def standardise(self) -> None:
        """The encoder is done: choose the unit of its codes, and freeze it."""
        self.encoder.standardise(self.config.space.to_unit(self.real_NCHW.to(self._device)))

    def denoiser_round(self, index: int, num_rounds: int) -> dict[str, float]:
        """Steps of the denoising autoencoder, of codes or of images.

        Args:
            index: of the round.
            num_rounds: of the phase.

        Returns:
            Mean squared error of a code or an image, and gradient norm.
        """
        config: PPGNHyperparameters = self.config.hyperparameters
        has_codes = config.plug_and_play.has_generator
        noise_sd = config.noise.code_denoiser if has_codes else config.noise.image_denoiser

        def step(random: torch.Generator) -> list[float]:
            rows_B, state_B = self._images(random)
            if has_codes:
                with torch.no_grad():
                    state_B = self.encoder.code(state_B)
            noisy_B = state_B + noise_sd * self._noise(state_B, random)
            loss = len(state_B) / len(rows_B) * squared_error(self.nets[DENOISER](noisy_B), state_B)
            norm = self.descend(DENOISER, loss, state_B=state_B, noisy_B=noisy_B)
            return [*self.summed(loss), norm]

        return self._round(DENOISER, (DENOISER,), index, num_rounds, step, ("loss", "grad_norm"))

    def generator_round(self, index: int, num_rounds: int, loss_ratio: float | None) -> GeneratorProgress:
        """Steps of generator and discriminator; one of them sits out a step where the other is far behind.

        Args:
            index: of the round.
            num_rounds: of the phase.
            loss_ratio: L_D / L_G of the last step; None before the first.

        Returns:
            Figures, and the ratio of the last step.
        """
        ratio = loss_ratio

        def step(random: torch.Generator) -> list[float]:
            nonlocal ratio
            figures = self._generator_step(random, *is_paused(ratio))
            ratio = figures[2] / max(figures[1], 1e-12)
            return figures

        names = ("gen/loss", "gen/adversarial_loss", "disc/loss", "gen/image_error", "gen/pooled_error",
                 "gen/code_error", "gen/grad_norm", "disc/grad_norm", "disc/paused", "gen/paused")  # fmt: skip
        figures = self._round(GENERATOR, (GENERATOR, DISCRIMINATOR), index, num_rounds, step, names)
        assert ratio is not None
        return GeneratorProgress(ratio, figures)

    def _generator_step(self, random: torch.Generator, disc_rests: bool, gen_rests: bool) -> list[float]:
        """One step of G through the frozen encoder and D, and one of D; figures in the order of `generator_round`."""
        losses = self.config.hyperparameters.losses
        rows_B, real_BCHW = self._images(random)
        share = len(real_BCHW) / len(rows_B)
        generator, discriminator, encoder = self.nets[GENERATOR], self.nets[DISCRIMINATOR], self.encoder
        encoder.requires_grad_(False)
        discriminator.requires_grad_(False)  # the pass of G leaves no gradient in D
        pooled, code_BZ, given_BZ = self._codes(real_BCHW, random)
        fake_BCHW = generator(given_BZ)
        fake_pooled = encoder.pooled(fake_BCHW)
        image_error, pooled_error = squared_error(fake_BCHW, real_BCHW), squared_error(fake_pooled, pooled)
        code_error = squared_error(encoder.code_of(fake_pooled), code_BZ)
        adversarial = non_saturating(discriminator(fake_BCHW).squeeze(1))
        loss = losses.image * image_error + losses.pooled * pooled_error + losses.adversarial * adversarial
        if self.config.hyperparameters.plug_and_play.has_noise:
            loss = loss + losses.code * code_error
        seen = {"real_BCHW": real_BCHW, "given_BZ": given_BZ, "fake_BCHW": fake_BCHW}
        gen_norm = 0.0 if gen_rests else self.descend(GENERATOR, share * loss, **seen)
        discriminator.requires_grad_(True)
        logit_real_B, logit_fake_B = (discriminator(images).squeeze(1) for images in (real_BCHW, fake_BCHW.detach()))
        disc_loss = share * 2.0 * binary_cross_entropy(logit_real_B, logit_fake_B)
        disc_norm = 0.0 if disc_rests else self.descend(DISCRIMINATOR, disc_loss, **seen)
        parts = (loss, adversarial, disc_loss / share, image_error, pooled_error, code_error)
        return [*self.summed(*(share * part for part in parts)), gen_norm, disc_norm, disc_rests, gen_rests]

    @torch.no_grad()
    def _codes(self, real_BCHW: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """h1 and h of real images, and the h that G is given: from noisy images, with noise on h1 and h."""
        config: PPGNHyperparameters = self.config.hyperparameters
        pooled = self.encoder.pooled(real_BCHW)
        code_BZ = self.encoder.code_of(pooled)
        if not config.plug_and_play.has_noise:
            return pooled, code_BZ, code_BZ
        noise = config.noise
        given = self.encoder.pooled(real_BCHW + noise.image * self._noise(real_BCHW, random))
        given_BZ = self.encoder.code_of(given + noise.pooled * self.pooled_sd * self._noise(given, random))
        return pooled, code_BZ, given_BZ + noise.code * self._noise(given_BZ, random)

    def _images(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Rows of a batch, and this learner's images of them: [B, C, H, W] in [0, 1]."""
        rows_B = torch.randint(len(self.real_NCHW), (self.config.hyperparameters.batch_size,), generator=random)
        unit_BCHW: Tensor = self.config.space.to_unit(self.shard(self.real_NCHW[rows_B]))
        return rows_B, unit_BCHW

    def _noisy_images(self, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """As `_images`, with noise of a size that differs from image to image."""
        rows_B, unit_BCHW = self._images(random)
        largest = self.config.hyperparameters.noise.encoder
        spread_B = largest * self.shard(torch.rand(len(rows_B), 1, 1, 1, generator=random))
        return rows_B, unit_BCHW + spread_B * self._noise(unit_BCHW, random)

    def _noise(self, like: Tensor, random: torch.Generator) -> Tensor:
        """Standard normal noise for this learner's rows of a batch."""
        num_rows = self.config.hyperparameters.batch_size
        return self.shard(torch.randn(num_rows, *like.shape[1:], generator=random))

    def _round(
        self,
        purpose: str,
        optimizers: tuple[str, ...],
        index: int,
        num_rounds: int,
        step: Callable[[torch.Generator], list[float]],
        names: tuple[str, ...],
    ) -> dict[str, float]:
        """The steps of a round with step sizes that fall along a cosine over the phase; the mean of their figures."""
        num_steps = self.config.hyperparameters.steps_per_round
        first_lr: dict[str, float] = {name: self.optimizers[name].defaults["lr"] for name in optimizers}
        rows: list[list[float]] = []
        for number in range(index * num_steps, (index + 1) * num_steps):
            progress = min(1.0, number / (num_rounds * num_steps))
            scale = _LAST_LR_SHARE + (1 - _LAST_LR_SHARE) * 0.5 * (1 + cos(pi * progress))
            for name in optimizers:
                self.optimizers[name].param_groups[0]["lr"] = scale * first_lr[name]
            rows.append(step(torch_generator(self.config.seed, f"ppgn {purpose}", number)))
        means: Any = torch.tensor(rows, dtype=torch.float64).mean(dim=0).tolist()
        return dict(zip(names, means, strict=True))
