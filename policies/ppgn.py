"""Plug & Play Generative Networks: images by chains in a latent space, steered by any classifier (arXiv:1612.00005).

What differs from the paper: the encoder is a small classifier of the same images instead of CaffeNet, its code h is by
default the hidden layer before the rectifier, in units of its standard deviation, and the loss weights and noises are
rlgan's (the paper's are not published). Encoder first, frozen; then generator and discriminator in one learner, since G
learns from D's gradient; then a denoiser where the model has one; last a second classifier, which nothing before it
knows of, and a captioner where labels are read as captions. The chains run on the rollout runners.
"""

# N images, C channels, H height, W width, Z numbers of a code

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import ray
from pydantic import BaseModel
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from torch import nn

from rlgan.captions import CaptionWords
from rlgan.chain_requests import ChainRequest, shards_of
from rlgan.chains import ChainRecord
from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_source import load_image_source
from rlgan.errors import ConfigError, DataError
from rlgan.image_types import ImageSource, LabelledImageSpace
from rlgan.models.image_nets import DownConvolutions
from rlgan.plug_and_play import CAPTIONER, CLASSIFIER, DENOISER, ENCODER, GENERATOR, BuildNet, nets_of, planned_rounds
from rlgan.policies.algorithm import AdversarialAlgorithm
from rlgan.policies.broadcast import StateDict
from rlgan.policies.calls import on_learners
from rlgan.policies.config import AdversarialConfig
from rlgan.policies.discriminator import DISCRIMINATOR
from rlgan.policies.modules import net_spec
from rlgan.policies.ppgn_settings import PPGNHyperparameters
from rlgan.policies.ppgn_workers import GeneratorProgress, PPGNLearner, PPGNRunner
from rlgan.policies.rounds import Phase
from rlgan.seeding import torch_generator


class PPGNConfig(AdversarialConfig):
    """Configuration of `PPGN`."""

    system = "ppgn"
    hyperparameters_class = PPGNHyperparameters
    corpus_class = ImageCorpusConfig
    runner_class = PPGNRunner
    policy_learner_class = PPGNLearner
    discriminator_learner_class = None
    architecture = ("model", "nets")
    fixed_on_resume = (*architecture, "noise", "losses", "encoder_rounds", "rounds", "denoiser_rounds",
                       "captioner_rounds", "steps_per_round", "batch_size", "beta1")  # fmt: skip
    fixed_data = ("levels", "colour", "size", "scenes")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or PPGN)

    @classmethod
    def settings_fixed_on_resume(cls, settings: BaseModel) -> tuple[str, ...]:
        """The classifier's rounds too where others come after them: they say where those begin.

        Args:
            settings: the hyper-parameters of the run.

        Returns:
            Names, with dots for nested ones.
        """
        assert isinstance(settings, PPGNHyperparameters)
        return (*cls.fixed_on_resume, *(("classifier_rounds",) if settings.captioner_rounds else ()))

    def load_source(self) -> ImageSource:
        """Read the images and their labels.

        Returns:
            The source, checked; its space knows the number of labels.

        Raises:
            DataError: if there are no labels, no batch of images, or their sides cannot be halved twice.
        """
        source = load_image_source(self.corpus)
        num_train, space = len(source.train_NCHW), source.space
        if source.train_label_N is None or len(source.label_names) < 2:
            raise DataError(
                f"{source.name}: PPGN needs images with at least 2 labels. Give --labels, or a folder each."
            )
        if num_train < self.smallest_corpus():
            raise DataError(
                f"{source.name}: {num_train} training images do not fill one batch of {self.smallest_corpus()}."
            )
        if space.height % 4 or space.width % 4:
            raise DataError(
                f"{source.name}: images of {space.height}x{space.width} cannot be halved twice; use --size."
            )
        has_captions = self.hyperparameters.captioner_rounds > 0
        num_words = CaptionWords(source.label_names).num_words if has_captions else 0
        source.space = LabelledImageSpace(**asdict(space), num_labels=len(source.label_names), num_words=num_words)
        return source

    def gym_spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        """A state of the chain, and its change.

        Returns:
            Observation and action space.
        """
        box = gymnasium.spaces.Box(-np.inf, np.inf, self.state_shape(), np.float32)
        return box, box

    def state_shape(self) -> tuple[int, ...]:
        """Of one state of a chain.

        Returns:
            (Z,), or (C, H, W) where the state is the image.
        """
        settings: PPGNHyperparameters = self.hyperparameters
        return settings.plug_and_play.state_shape(self.space, settings.nets.encoder.code_size)

    def chain_nets(self) -> dict[str, BuildNet]:
        """The nets a chain may need, as functions of a source of initial values.

        Returns:
            By name.
        """
        settings: PPGNHyperparameters = self.hyperparameters
        return nets_of(settings.plug_and_play, settings.nets, self.space)

    def policy_modules(self) -> dict[str, RLModuleSpec]:
        """The nets of the chain, and the discriminator where there is a generator.

        Returns:
            Their specs.
        """
        settings: PPGNHyperparameters = self.hyperparameters
        builds = self.chain_nets()
        if settings.plug_and_play.has_generator:
            builds[DISCRIMINATOR] = partial(DownConvolutions, self.space.shape, settings.nets.discriminator_channels)
        return {name: net_spec(self, name, build) for name, build in builds.items()}

    def validate(self) -> None:
        """RLlib's checks, and ours.

        Raises:
            ConfigError: if there is a learner that would have nothing to do, or a batch that cannot be shared evenly.
        """
        super().validate()
        if self.num_discriminator_learners:
            raise ConfigError(
                "PPGN's learners hold the discriminator too: num_discriminator_learners must be 0. Use num_learners."
            )
        self.require_even_batch("num_learners")


class PPGN(AdversarialAlgorithm):
    """Encoder, generator, denoiser, second classifier: one phase after the other, each frozen when it is done.

    Attributes:
        loss_ratio: L_D / L_G of the last step; None before the first.
    """

    config_class = PPGNConfig
    source: ImageSource
    loss_ratio: float | None

    @property
    def judged_net(self) -> str:
        """What a chain needs last: the denoiser where there is one, or else the generator."""
        return DENOISER if self.config.hyperparameters.plug_and_play.has_denoiser else GENERATOR

    def phases(self) -> list[Phase]:
        """The five phases; a model may have no generator or no denoiser.

        Returns:
            In order.
        """
        config: PPGNHyperparameters = self.config.hyperparameters
        rounds = {
            ENCODER: self._encoder_round,
            GENERATOR: self._generator_round,
            DENOISER: self._denoiser_round,
            CLASSIFIER: self._classifier_round,
            CAPTIONER: self._captioner_round,
        }
        planned = planned_rounds(config.plug_and_play, dict(config))
        return [Phase(net, num_rounds, rounds[net]) for net, num_rounds in planned.items()]

    def send_data(self) -> None:
        """The real images and labels, once, to the learners."""
        real = ray.put(
            (self.source.train_NCHW, self.source.train_label_N, CaptionWords(self.source.label_names).table())
        )
        on_learners(self.learner_group, lambda learner: learner.set_real_data(*ray.get(real)), "policy")
        self.loss_ratio = None

    def fresh_nets(self) -> dict[str, StateDict]:
        """All nets of a chain.

        Returns:
            State dicts.
        """
        weights = self.policy_weights()
        return {name: weights[name] for name in self.config.chain_nets()}

    def _encoder_round(self, index: int) -> dict[str, float]:
        """Steps of the encoder; after the last one its codes get their unit."""
        rounds = self.config.hyperparameters.encoder_rounds
        figures = self._on_learners(lambda learner: learner.classifier_round(ENCODER, index, rounds))
        if index + 1 == rounds:
            self._on_learners(lambda learner: learner.standardise())
        return self._published(ENCODER, figures, "encoder")

    def _classifier_round(self, index: int) -> dict[str, float]:
        """Steps of the second classifier."""
        rounds = self.config.hyperparameters.classifier_rounds
        figures = self._on_learners(lambda learner: learner.classifier_round(CLASSIFIER, index, rounds))
        return self._published(CLASSIFIER, figures, "classifier")

    def _captioner_round(self, index: int) -> dict[str, float]:
        """Steps of the captioner."""
        rounds = self.config.hyperparameters.captioner_rounds
        figures = self._on_learners(lambda learner: learner.captioner_round(index, rounds))
        return self._published(CAPTIONER, figures, "captioner")

    def _denoiser_round(self, index: int) -> dict[str, float]:
        """Steps of the denoiser."""
        rounds = self.config.hyperparameters.denoiser_rounds
        figures = self._on_learners(lambda learner: learner.denoiser_round(index, rounds))
        return self._published(DENOISER, figures, "denoiser")

    def _generator_round(self, index: int) -> dict[str, float]:
        """Steps of generator and discriminator."""
        rounds, ratio = self.config.hyperparameters.rounds, self.loss_ratio
        progress: GeneratorProgress = self._on_learners(lambda learner: learner.generator_round(index, rounds, ratio))
        self.loss_ratio = progress.loss_ratio
        self._published(GENERATOR, {}, "gen")
        return progress.figures

    def _on_learners(self, call: Callable[[Any], Any]) -> Any:
        """What the first learner answers; all have the same figures."""
        return on_learners(self.learner_group, call, "policy")[0]

    def _published(self, net: str, figures: dict[str, float], group: str) -> dict[str, float]:
        """Send the net that has learned to the runners; its figures by TensorBoard tag."""
        self.runners.publish({net: self.policy_weights()[net]})
        return {f"{group}/{name}": value for name, value in figures.items()}

    def run_chains(self, request: ChainRequest, num_chains: int) -> ChainRecord:
        """Chains on the runners, 16 at a time; the images do not depend on the number of runners.

        Args:
            request: what is asked.
            num_chains: how many.

        Returns:
            The record of all.
        """
        shards, version = shards_of(num_chains), self.weights.version
        return ChainRecord.join(
            self.runners.collect(lambda runner, i: runner.run(request, shards[i], version), len(shards))
        )

    def chain_net(self, name: str) -> nn.Module:
        """A net as it was published last.

        Args:
            name: of the net.

        Returns:
            A copy on the CPU, in evaluation mode.
        """
        net: nn.Module = self.config.chain_nets()[name](torch_generator(0, "replaced below"))
        net.load_state_dict(self.weights.nets[name])
        return net.eval().requires_grad_(False)

    def extra_state(self) -> dict[str, Any]:
        """The loss ratio, and the names of the labels for those who sample.

        Returns:
            Plain values.
        """
        return {"loss_ratio": self.loss_ratio, "label_names": list(self.source.label_names)}

    def restore_extra_state(self, state: Mapping[str, Any]) -> None:
        """The reverse of `extra_state`.

        Args:
            state: of the checkpoint.
        """
        self.loss_ratio = state["loss_ratio"]
