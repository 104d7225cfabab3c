"""BGAN: a one-step generator of discrete things, trained by importance weights (arXiv:1702.08431, Algorithm 1).

What differs from the paper by default, each with its option back: a control variate takes the mean from the weights,
the discriminator has a gradient penalty, one draw of each code is enough for it, and the nets are small. What differs
from the released code: layer normalisation instead of batch normalisation, so that a draw has the same probability
everywhere, and the discriminator maximises the bound of the chosen divergence, which the code does for "gan" only.
"""

# N latent codes, M draws for each

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import ray
import torch
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from torch import Tensor

from rlgan.data.discrete_config import DiscreteCorpusConfig, load_discrete_source, training_samples
from rlgan.discriminators.boundary import BoundaryDiscriminator
from rlgan.errors import ConfigError, DataError
from rlgan.image_types import ImageSpace
from rlgan.models.discrete_generator import (
    ContinuousImageGenerator,
    DiscreteGenerator,
    num_categories_of,
    num_values_of,
)
from rlgan.objectives.boundary_seeking import effective_sample_size, log_partition, normalised_weights
from rlgan.policies.algorithm import AdversarialAlgorithm
from rlgan.policies.bgan_settings import BGANHyperparameters
from rlgan.policies.bgan_workers import CRITIC, BGANLearner, BGANRunner, BoundaryLearner, DrawnBatch
from rlgan.policies.broadcast import StateDict
from rlgan.policies.calls import on_learners
from rlgan.policies.config import AdversarialConfig
from rlgan.policies.discriminator import DISCRIMINATOR
from rlgan.policies.modules import net_spec
from rlgan.policies.rounds import EQUAL_REWARDS, Phase, share_without_spread
from rlgan.policies.runner_pool import split_evenly
from rlgan.policies.token_runner import GENERATOR
from rlgan.seeding import torch_generator
from rlgan.types import Source

_AVERAGE_RATE = 0.95
"""Share of the moving average of log beta that is kept a round (released: 0.95)."""


class BGANConfig(AdversarialConfig):
    """Configuration of `BGAN`."""

    system = "bgan"
    hyperparameters_class = BGANHyperparameters
    corpus_class = DiscreteCorpusConfig
    runner_class = BGANRunner
    policy_learner_class = BGANLearner
    discriminator_learner_class = BoundaryLearner
    fixed_on_resume = ("generator", "discriminator", "estimator", "lr", "discriminator_lr", "beta1", "d_steps")
    fixed_data = ("kind", "levels", "colour", "size", "length", "max_vocab")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or BGAN)

    @property
    def is_continuous(self) -> bool:
        """Whether the generator makes brightnesses and needs the discriminator's gradient."""
        return bool(self.hyperparameters.estimator == "continuous")

    @property
    def num_draws(self) -> int:
        """M; a continuous generator has only one image for a code."""
        return 1 if self.is_continuous else int(self.hyperparameters.num_draws)

    def load_source(self) -> Source:
        """Read the images or the text.

        Returns:
            The source, checked.

        Raises:
            DataError: if there is no batch of it, or the continuous form is asked for text.
        """
        source = load_discrete_source(self.corpus, self.tokenizer_json)
        num_train = len(training_samples(source))
        if num_train < self.smallest_corpus():
            raise DataError(
                f"{source.name}: {num_train} training samples do not fill one batch of {self.smallest_corpus()}. Give "
                "more data or a smaller --batch-size."
            )
        if self.is_continuous and not isinstance(source.space, ImageSpace):
            raise DataError("estimator continuous makes images; it cannot make text. Choose another --estimator.")
        return source

    def gym_spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        """A latent code, and all values of a sample: those of rlgan/BinaryImage-v0 and rlgan/CategoricalImage-v0.

        Returns:
            Observation and action space.
        """
        size = self.hyperparameters.generator.latent_size
        values = np.full(num_values_of(self.space), num_categories_of(self.space))
        return gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32), gymnasium.spaces.MultiDiscrete(values)

    def policy_modules(self) -> dict[str, RLModuleSpec]:
        """The generator; in the continuous form a copy of the discriminator too.

        Returns:
            Their specs.
        """
        modules = {GENERATOR: net_spec(self, GENERATOR, self.build_generator)}
        if self.is_continuous:
            modules[CRITIC] = net_spec(self, CRITIC, self.build_discriminator)
        return modules

    @property
    def build_generator(self) -> Callable[[Any], DiscreteGenerator]:
        """Makes the generator from a source of initial values."""
        kind = ContinuousImageGenerator if self.is_continuous else DiscreteGenerator
        return partial(kind, self.space, self.hyperparameters.generator)

    def discriminator_module(self) -> RLModuleSpec:
        """The net of the score F.

        Returns:
            Its spec.
        """
        return net_spec(self, DISCRIMINATOR, self.build_discriminator)

    @property
    def build_discriminator(self) -> Callable[[Any], BoundaryDiscriminator]:
        """Makes the discriminator from a source of initial values."""
        return partial(BoundaryDiscriminator, self.space, self.hyperparameters.discriminator)

    def validate(self) -> None:
        """RLlib's checks, and ours.

        Raises:
            ConfigError: if the batch cannot be shared among the learners.
        """
        super().validate()
        self.require_even_batch("num_learners", "num_discriminator_learners")
        if self.hyperparameters.discriminator.is_tilted and self.num_discriminator_learners > 1:
            raise ConfigError(
                "training.discriminator.objective: tilted compares all samples of a batch with each other; "
                f"num_discriminator_learners must be at most 1, got {self.num_discriminator_learners}."
            )


class BGAN(AdversarialAlgorithm):
    """Rounds of: draw and score on the runners, one step of the generator, steps of the discriminator.

    Attributes:
        moving_average: of log beta over the rounds, nats; 0 before the first.
    """

    config_class = BGANConfig
    moving_average: float = 0.0

    def phases(self) -> list[Phase]:
        """One phase: there is nothing to pre-train.

        Returns:
            The adversarial rounds.
        """
        return [Phase("adversarial", self.config.hyperparameters.rounds, self._round)]

    def send_data(self) -> None:
        """The real samples, once, to the learners of the discriminator."""
        real = ray.put(training_samples(self.source))
        learners = self.discriminator_group.learners
        on_learners(learners, lambda learner: learner.set_real_data(ray.get(real)), DISCRIMINATOR)

    def fresh_nets(self) -> dict[str, StateDict]:
        """Generator and discriminator.

        Returns:
            State dicts.
        """
        return {GENERATOR: self.policy_weights()[GENERATOR], DISCRIMINATOR: self.discriminator_group.weights()}

    def _round(self, index: int) -> dict[str, float]:
        """One round of Algorithm 1: D first, so that the draws of G's step are scored by a D that knows this G.

        Args:
            index: of the round.

        Returns:
            Figures by TensorBoard tag.
        """
        config: BGANHyperparameters = self.config.hyperparameters
        self.discriminator_group.start(self._negatives(), index * config.d_steps)
        disc_figures = self.publish_discriminator()
        batch = self._draw()
        shared, average = ray.put(batch), self.moving_average
        if self.config.is_continuous:
            critic = ray.put(self.weights.nets[DISCRIMINATOR])
            on_learners(self.learner_group, lambda learner: learner.set_critic(ray.get(critic)), "policy")
            figures = self.update_policy(lambda learner: learner.continuous_step(ray.get(shared)))
        else:
            figures = self.update_policy(lambda learner: learner.policy_step(ray.get(shared), average))
        self.moving_average = _AVERAGE_RATE * average + (1 - _AVERAGE_RATE) * float(log_partition(batch.score_NM))
        self.runners.publish({GENERATOR: self.policy_weights()[GENERATOR]})
        return {f"gen/{name}": value for name, value in figures.items()} | self._figures(batch) | disc_figures

    def _negatives(self) -> list[Tensor]:
        """Fresh draws for every d-step, from all runners."""
        config: BGANHyperparameters = self.config.hyperparameters
        sizes = split_evenly(config.batch_size, self.num_shards)
        version, step, d_steps = self.weights.version, self.step_count, range(config.d_steps)
        shards = self.runners.collect(
            lambda runner, i: [runner.negatives(sizes[i], version, step, d_step, i) for d_step in d_steps], len(sizes)
        )
        return [torch.cat(parts) for parts in zip(*shards, strict=True)]

    def _draw(self) -> DrawnBatch:
        """The batch of G's step, from all runners."""
        sizes = split_evenly(self.config.hyperparameters.batch_size, self.num_shards)
        version, step = self.weights.version, self.step_count
        shards = self.runners.collect(lambda runner, i: runner.draw(sizes[i], version, step, i), len(sizes))
        return DrawnBatch.join(shards, version)

    def _figures(self, batch: DrawnBatch) -> dict[str, float]:
        """Figures of the draws by TensorBoard tag."""
        score_NM = batch.score_NM
        self.report.histograms["gen/log_weight"] = score_NM
        score_MN = score_NM.T  # the draws of a code are compared with each other; one alone with none
        no_spread = {EQUAL_REWARDS: share_without_spread(score_MN, torch.ones_like(score_MN, dtype=torch.bool))}
        return (no_spread if len(score_MN) > 1 else {}) | {
            "gen/reward_mean": float(score_NM.mean()),
            "gen/reward_std": float(score_NM.std(unbiased=False)),
            "gen/lr": self.config.hyperparameters.lr,
            "eval/bgan_ess": float(effective_sample_size(normalised_weights(score_NM)).mean()),
            "rollout/completions_per_s": score_NM.numel() / batch.seconds,
            "rollout/weights_lag": 0.0,
        }

    def generator(self) -> DiscreteGenerator:
        """The generator as the runners have it.

        Returns:
            A copy on the CPU.
        """
        generator: DiscreteGenerator = self.config.build_generator(torch_generator(0, "replaced below"))
        generator.load_state_dict(self.weights.nets[GENERATOR])
        return generator.eval()

    def extra_state(self) -> dict[str, Any]:
        """The moving average.

        Returns:
            Nats.
        """
        return {"moving_average": self.moving_average}

    def restore_extra_state(self, state: dict[str, Any]) -> None:
        """The reverse of `extra_state`.

        Args:
            state: of the checkpoint.
        """
        self.moving_average = state["moving_average"]
