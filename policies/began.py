"""BEGAN: a generator and an autoencoder held in balance (arXiv:1703.10717).

What differs from the paper: one latent code serves G's and D's step, as in the released code; the nets of the recipes
are small. Both step sizes are halved when M_global stalls, as the text says (the released code halves them on a
schedule). There is nothing to roll out: G learns from D's gradient, so one learner holds both nets.
"""

# N latent codes, C channels, H height, W width

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import ray
import torch
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_source import load_image_source
from rlgan.discriminators.autoencoder import AutoencoderDiscriminator
from rlgan.errors import ConfigError, DataError
from rlgan.image_types import ImageSource
from rlgan.models.autoencoder import ImageGenerator
from rlgan.models.autoencoder_config import halvings_of
from rlgan.policies.algorithm import AdversarialAlgorithm
from rlgan.policies.began_workers import (
    BEGANHyperparameters,
    BEGANLearner,
    BEGANRunner,
    Equilibrium,
)
from rlgan.policies.broadcast import StateDict
from rlgan.policies.calls import on_learners
from rlgan.policies.config import AdversarialConfig
from rlgan.policies.discriminator import DISCRIMINATOR
from rlgan.policies.modules import net_spec
from rlgan.policies.rounds import Phase
from rlgan.policies.token_runner import GENERATOR
from rlgan.seeding import torch_generator


class BEGANConfig(AdversarialConfig):
    """Configuration of `BEGAN`."""

    system = "began"
    hyperparameters_class = BEGANHyperparameters
    corpus_class = ImageCorpusConfig
    runner_class = BEGANRunner
    policy_learner_class = BEGANLearner
    discriminator_learner_class = None
    architecture = ("discriminator",)
    fixed_on_resume = ("discriminator", "pretrain_rounds", "warm_start", "steps_per_round", "beta1")
    fixed_data = ("levels", "colour", "size")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or BEGAN)

    def load_source(self) -> ImageSource:
        """Read the images.

        Returns:
            The source, checked.

        Raises:
            DataError: if there is no batch of them, or their size cannot be halved.
        """
        source = load_image_source(self.corpus)
        num_train, batch_size = len(source.train_NCHW), self.smallest_corpus()
        if num_train < batch_size:
            raise DataError(f"{source.name}: {num_train} training images do not fill one batch of {batch_size}.")
        try:
            if self.hyperparameters.discriminator.net == "convolutions":  # linear layers take any size
                halvings_of(source.space, self.hyperparameters.discriminator)
        except ValueError as error:
            raise DataError(f"{source.name}: {error}") from None
        return source

    def gym_spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        """A latent code, and an image in [-1, 1].

        Returns:
            Observation and action space.
        """
        size, space = self.hyperparameters.discriminator.code_size, self.space
        box = partial(gymnasium.spaces.Box, dtype=np.float32)
        return box(-np.inf, np.inf, (size,)), box(-1.0, 1.0, space.shape)

    def policy_modules(self) -> dict[str, RLModuleSpec]:
        """Generator and autoencoder.

        Returns:
            Their specs.
        """
        return {
            GENERATOR: net_spec(self, GENERATOR, self.build_generator),
            DISCRIMINATOR: net_spec(self, DISCRIMINATOR, self.build_discriminator),
        }

    @property
    def build_generator(self) -> Callable[[torch.Generator], ImageGenerator]:
        """Makes the generator, which has the decoder's form, from a source of initial values."""
        return partial(ImageGenerator, self.space, self.hyperparameters.discriminator)

    @property
    def build_discriminator(self) -> Callable[[torch.Generator], AutoencoderDiscriminator]:
        """Makes the autoencoder from a source of initial values."""
        return partial(AutoencoderDiscriminator, self.space, self.hyperparameters.discriminator)

    def validate(self) -> None:
        """RLlib's checks, and ours.

        Raises:
            ConfigError: if there are workers that would have nothing to do, or a batch that cannot be shared evenly.
        """
        super().validate()
        if self.num_env_runners or self.num_discriminator_learners:
            raise ConfigError(
                "BEGAN has nothing to roll out, and its learners hold both nets: num_env_runners and "
                "num_discriminator_learners must be 0. Use num_learners for more processes."
            )
        training = self.hyperparameters
        self.require_even_batch("num_learners")
        if training.warm_start and not training.pretrain_rounds:
            raise ConfigError("training.warm_start: needs pretrain_rounds, after which the generator starts.")
        if training.discriminator.vanishing_residuals and training.pretrain_rounds:
            raise ConfigError(
                "training.pretrain_rounds: must be 0 with vanishing_residuals, which begin as identities in place of "
                "what would have been trained."
            )


class BEGAN(AdversarialAlgorithm):
    """Rounds of steps of G, D and k; before them, where asked for, rounds of the autoencoder alone.

    Attributes:
        equilibrium: where the balance stands.
        lr_scale: share of the configured step sizes.
        best_measure: lowest M_global of a round so far; None before the first.
        stalled_rounds: rounds since.
    """

    config_class = BEGANConfig
    source: ImageSource
    best_measure: float | None

    def phases(self) -> list[Phase]:
        """The two phases.

        Returns:
            Pre-training (none by default) and the adversarial rounds.
        """
        config: BEGANHyperparameters = self.config.hyperparameters
        return [
            Phase("autoencoder", config.pretrain_rounds, self._autoencoder_round),
            Phase("adversarial", config.rounds, self._adversarial_round),
        ]

    def send_data(self) -> None:
        """The real images, once, to the learners; and the state that the rounds begin with."""
        real = ray.put(self.source.train_NCHW)
        on_learners(self.learner_group, lambda learner: learner.set_real_data(ray.get(real)), "policy")
        self.equilibrium = Equilibrium(step=0, balance=self.config.hyperparameters.initial_balance)
        self.lr_scale, self.best_measure, self.stalled_rounds = 1.0, None, 0

    def fresh_nets(self) -> dict[str, StateDict]:
        """The generator.

        Returns:
            Its state dict.
        """
        return {GENERATOR: self.policy_weights()[GENERATOR]}

    def _autoencoder_round(self, index: int) -> dict[str, float]:
        """Steps of the autoencoder; after the last one the generator may start from its decoder."""
        config: BEGANHyperparameters = self.config.hyperparameters
        figures = on_learners(self.learner_group, lambda learner: learner.pretrain_round(index), "policy")[0]
        if config.warm_start and index + 1 == config.pretrain_rounds:
            on_learners(self.learner_group, lambda learner: learner.start_generator(), "policy")
            self.runners.publish(self.fresh_nets())
        return {"disc/loss": figures["loss"], "disc/grad_norm": figures["grad_norm"]}

    def _adversarial_round(self, index: int) -> dict[str, float]:
        """Steps of both nets and of k."""
        del index
        config: BEGANHyperparameters = self.config.hyperparameters
        start, scale = self.equilibrium, self.lr_scale
        now = on_learners(self.learner_group, lambda learner: learner.adversarial_round(start, scale), "policy")[0]
        self.equilibrium = now
        self._follow_measure(now.measure)
        self.runners.publish(self.fresh_nets())
        return {
            "gen/loss": now.fake_error,
            "gen/grad_norm": now.generator_norm,
            "gen/lr": config.lr * scale,
            "disc/loss": now.discriminator_loss,
            "disc/real_error": now.real_error,
            "disc/grad_norm": now.discriminator_norm,
            "eval/began_M": now.measure,
            "eval/began_k": now.balance,
            "eval/began_ratio": now.fake_error / max(now.real_error, 1e-12),
        }

    def _follow_measure(self, measure: float) -> None:
        """Halve the step sizes when M has had no new minimum for a while."""
        config: BEGANHyperparameters = self.config.hyperparameters
        if self.best_measure is None or measure < self.best_measure:
            self.best_measure, self.stalled_rounds = measure, 0
            return
        self.stalled_rounds += 1
        if self.stalled_rounds >= config.patience:
            self.lr_scale, self.stalled_rounds = max(self.lr_scale / 2, config.smallest_lr_scale), 0

    def generator(self) -> ImageGenerator:
        """The generator as it was published last.

        Returns:
            A copy on the CPU.
        """
        generator: ImageGenerator = self.config.build_generator(torch_generator(0, "replaced below"))
        generator.load_state_dict(self.weights.nets[GENERATOR])
        return generator.eval()

    def extra_state(self) -> dict[str, Any]:
        """The balance and the state of the step sizes.

        Returns:
            Plain numbers.
        """
        return {
            "equilibrium": asdict(self.equilibrium),
            "lr_scale": self.lr_scale,
            "best_measure": self.best_measure,
            "stalled_rounds": self.stalled_rounds,
        }

    def restore_extra_state(self, state: dict[str, Any]) -> None:
        """The reverse of `extra_state`.

        Args:
            state: of the checkpoint.
        """
        self.equilibrium = Equilibrium(**state["equilibrium"])
        self.lr_scale, self.best_measure = state["lr_scale"], state["best_measure"]
        self.stalled_rounds = state["stalled_rounds"]
