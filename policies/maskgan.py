"""MaskGAN: a seq2seq generator fills in blanks and is paid for each, with a critic (arXiv:1801.07736).

Language model -> its weights in encoder and decoder -> MaskMLE -> discriminator -> actor and critic. What differs from
the paper by default: sizes and step sizes are small, and the policy gradient is a mean per token. What differs from the
released code: the encoder reads the whole text, the critic reads the text with blanks too, returns have discount^(s-t)
as there, dropout is off while fills are drawn and judged, and having no baseline still leaves a gradient.
"""

# B sequences (K fills of one text stand one after the other), T positions

from collections.abc import Callable
from functools import partial
from typing import Any

import ray
import torch
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rlgan import baselines
from rlgan.data import CorpusConfig
from rlgan.discriminators.infilling import InfillingDiscriminator
from rlgan.models.infilling import InfillingGenerator, LanguageModel
from rlgan.objectives.discounted_returns import clipped_advantage
from rlgan.policies.broadcast import StateDict
from rlgan.policies.calls import on_learners
from rlgan.policies.config import AdversarialConfig
from rlgan.policies.discriminator import DISCRIMINATOR
from rlgan.policies.fill_runner import FillRunner, draw_negatives, fill_figures, judged_fills
from rlgan.policies.infilling_algorithm import InfillingAlgorithm
from rlgan.policies.infilling_discriminator import InfillingDiscriminatorLearner, InfillingTrainingConfig
from rlgan.policies.infilling_likelihood import GENERATOR, LANGUAGE_MODEL, MASK_MLE
from rlgan.policies.maskgan_workers import MaskGANHyperparameters, MaskGANLearner
from rlgan.policies.modules import net_spec
from rlgan.policies.rounds import Phase


class MaskGANConfig(AdversarialConfig):
    """Configuration of `MaskGAN`. Without a data file it learns the built-in grammar."""

    hyperparameters_class = MaskGANHyperparameters
    runner_class = FillRunner
    policy_learner_class = MaskGANLearner
    discriminator_learner_class = InfillingDiscriminatorLearner
    system = "maskgan"
    fixed_on_resume = (
        "generator",
        "discriminator",
        "blanks",
        "language_model",
        "mask_mle",
        "lr",
        "reward",
        "baseline",
        "discriminator_training.pretrain_rounds",
        "discriminator_training.pretrain_steps",
        "discriminator_training.lr",
        "discriminator_training.critic_lr",
    )
    fixed_data = ("builtin", "tokens", "length", "fixed_length", "max_vocab", "bpe_size", "vocab_size")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or MaskGAN)
        self.corpus = CorpusConfig(builtin="grammar")

    def policy_modules(self) -> dict[str, RLModuleSpec]:
        """Language model and generator.

        Returns:
            Their specs.
        """
        build_language_model = partial(LanguageModel, self.space, self.hyperparameters.generator)
        return {
            LANGUAGE_MODEL: net_spec(self, LANGUAGE_MODEL, build_language_model),
            GENERATOR: net_spec(self, GENERATOR, self.build_generator),
        }

    @property
    def build_generator(self) -> Callable[[torch.Generator], InfillingGenerator]:
        """Makes the generator from a source of initial values."""
        return partial(InfillingGenerator, self.space, self.hyperparameters.generator)

    def discriminator_module(self) -> RLModuleSpec:
        """The seq2seq discriminator with the critic on top.

        Returns:
            Its spec.
        """
        return net_spec(self, DISCRIMINATOR, self.build_discriminator)

    @property
    def build_discriminator(self) -> Callable[[torch.Generator], InfillingDiscriminator]:
        """Makes the discriminator from a source of initial values."""
        return partial(InfillingDiscriminator, self.space, self.hyperparameters.discriminator)

    def build_baseline(self) -> baselines.Baseline:
        """What is taken from a return.

        Returns:
            The baseline that `hyperparameters.baseline` names.
        """
        training: MaskGANHyperparameters = self.hyperparameters
        made: dict[str, Callable[[], baselines.Baseline]] = {
            "critic": baselines.CriticBaseline,
            "moving_average": partial(baselines.MovingAverageBaseline, self.space.length, training.average_decay),
            "leave_one_out": partial(baselines.LeaveOneOutBaseline, training.num_fills),
            "none": baselines.NoBaseline,
        }
        return made[training.baseline]()

    def smallest_corpus(self) -> int:
        """One batch of the pre-training.

        Returns:
            Texts.
        """
        training: MaskGANHyperparameters = self.hyperparameters
        return max(training.language_model.batch_size, training.mask_mle.batch_size)


class MaskGAN(InfillingAlgorithm):
    """The five stages. Published beside the nets that act: the language model, and the generator after MaskMLE."""

    config_class = MaskGANConfig

    def phases(self) -> list[Phase]:
        """The stages as phases; the weights are copied at the end of the first.

        Returns:
            Language model, MaskMLE, discriminator (unless a control ignores it), adversarial rounds.
        """
        config: MaskGANHyperparameters = self.config.hyperparameters
        pretrain_rounds = config.discriminator_training.pretrain_rounds if config.reward == "discriminator" else 0
        return [
            Phase("language_model", config.language_model.epochs, self._language_model_round),
            Phase("mask_mle", config.mask_mle.epochs, self._mask_mle_round),
            Phase("discriminator", pretrain_rounds, self._discriminator_round),
            Phase("adversarial", config.rounds, self._adversarial_round),
        ]

    def send_data(self) -> None:
        """The real texts to the policy's learners; the discriminator's get theirs with the fills."""
        self.baseline = self.config.build_baseline()
        real = ray.put(self.source.train_NT)
        on_learners(self.learner_group, lambda learner: learner.set_training_data(ray.get(real)), "policy")

    def fresh_nets(self) -> dict[str, StateDict]:
        """All nets as they are before the first round.

        Returns:
            State dicts.
        """
        nets = self.policy_weights()
        return {**nets, MASK_MLE: nets[GENERATOR], DISCRIMINATOR: self.discriminator_group.weights()}

    def _language_model_round(self, index: int) -> dict[str, float]:
        """An epoch of the language model; after the last its weights go into the generator."""
        figures = self.update_policy(lambda learner: learner.language_model_epoch(index))
        config = self.config.hyperparameters.language_model
        if index + 1 < config.epochs:
            self.runners.publish({LANGUAGE_MODEL: self.policy_weights()[LANGUAGE_MODEL]})
        else:
            on_learners(self.learner_group, lambda learner: learner.start_generator(), "policy")
            nets = self.policy_weights()
            self.runners.publish({**nets, MASK_MLE: nets[GENERATOR]})
            self.start_discriminator(nets[GENERATOR])
        return {"gen/loss": figures["loss"], "gen/grad_norm": figures["grad_norm"], "gen/lr": config.lr}

    def _mask_mle_round(self, index: int) -> dict[str, float]:
        """An epoch of MaskMLE; after the last the discriminator starts from the generator."""
        config: MaskGANHyperparameters = self.config.hyperparameters
        rate = config.blanks.rate_at(index, config.mask_mle.epochs)
        figures = self.update_policy(lambda learner: learner.mask_mle_epoch(index, rate))
        theta = self.policy_weights()[GENERATOR]
        self.runners.publish({GENERATOR: theta, MASK_MLE: theta})
        if index + 1 == config.mask_mle.epochs:
            self.start_discriminator(theta)
        return {
            "gen/loss": figures["loss"],
            "gen/grad_norm": figures["grad_norm"],
            "gen/lr": config.mask_mle.lr,
            "gen/blank_rate": rate,
        }

    def _discriminator_round(self, index: int) -> dict[str, float]:
        """Some steps of the discriminator before the adversarial rounds, and the critic's on fills it has judged."""
        num_steps = self.config.hyperparameters.discriminator_training.pretrain_steps
        self.discriminator_group.start(draw_negatives(self, num_steps, self.rate), index * num_steps)
        figures = self.publish_discriminator()
        batch = judged_fills(self, self.rate)
        return figures | self.critic_round(batch, self.returns(batch))

    def _adversarial_round(self, index: int) -> dict[str, float]:
        """Fill, judge, one step of the actor, the critic's, then the discriminator's on new fills."""
        config: MaskGANHyperparameters = self.config.hyperparameters
        training: InfillingTrainingConfig = config.discriminator_training
        batch = self.report.batch = judged_fills(self, self.rate)
        mask_BT, return_BT = self.mask(batch), self.returns(batch)
        baseline_BT = self.baseline(return_BT, batch.value_BT, mask_BT)
        advantage_BT = clipped_advantage(return_BT, baseline_BT, mask_BT, config.advantage_limit)
        shared = ray.put((batch.tokens_BT, batch.blank_BT, advantage_BT, self.rate))
        step = self.step_count
        parts = self.update_policy(lambda learner: learner.policy_step(*ray.get(shared), step))
        figures = {f"gen/{name}": value for name, value in parts.items()}
        figures |= fill_figures(batch, mask_BT, advantage_BT) | {"gen/lr": config.lr, "gen/blank_rate": self.rate}
        figures |= self.critic_round(batch, return_BT)
        self.runners.publish({GENERATOR: self.policy_weights()[GENERATOR]})
        if config.discriminator.share_embedding:
            self.share_embedding()
        if config.reward == "discriminator" and training.d_steps > 0:
            steps_before = training.pretrain_rounds * training.pretrain_steps + index * training.d_steps
            self.discriminator_group.start(draw_negatives(self, training.d_steps, self.rate), steps_before)
        return figures | self.publish_discriminator()

    def extra_state(self) -> dict[str, Any]:
        """What the baseline remembers.

        Returns:
            Numbers.
        """
        return {"baseline": self.baseline.state()}

    def restore_extra_state(self, state: dict[str, Any]) -> None:
        """The reverse of `extra_state`.

        Args:
            state: of the checkpoint.
        """
        self.baseline.restore(state["baseline"])
