"""SeqGAN: a sequence generator trained by policy gradient against a text CNN (arXiv:1609.05473, Algorithm 1).

What differs from the paper by default, each with its option back: the advantage has a baseline (paper: none), and the
schedule of the `quick` recipe is short. What differs from the released code: rollouts really use the policy the paper
says (its delayed update never takes effect), and the output is one logit instead of a two-way softmax.
"""

# B sequences, T positions, R rollouts

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import ray
import torch
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rlgan.discriminators import TextCNNDiscriminator
from rlgan.models import RecurrentGenerator
from rlgan.objectives.delayed_policy import delayed_weights
from rlgan.policies.algorithm import AdversarialAlgorithm
from rlgan.policies.broadcast import StateDict
from rlgan.policies.calls import on_learners
from rlgan.policies.config import AdversarialConfig
from rlgan.policies.discriminator import DISCRIMINATOR, DiscriminatorTrainingConfig
from rlgan.policies.modules import net_spec
from rlgan.policies.rounds import Phase, rollout_figures
from rlgan.policies.seqgan_workers import ROLLOUT_POLICY, SeqGANHyperparameters, SeqGANLearner, SeqGANRunner
from rlgan.policies.token_runner import GENERATOR, draw_negatives, rollout_batch
from rlgan.seeding import torch_generator
from rlgan.types import RolloutBatch, TokenSource


class SeqGANConfig(AdversarialConfig):
    """Configuration of `SeqGAN`."""

    hyperparameters_class = SeqGANHyperparameters
    runner_class = SeqGANRunner
    policy_learner_class = SeqGANLearner
    system = "seqgan"
    fixed_on_resume = (
        "generator",
        "discriminator",
        "likelihood",
        "lr",
        "reward",
        "discriminator_training.pretrain_steps",
        "discriminator_training.lr",
        "discriminator_training.weight_decay",
    )
    fixed_data = ("tokens", "length", "fixed_length", "max_vocab", "bpe_size", "vocab_size")

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or SeqGAN)

    def policy_modules(self) -> dict[str, RLModuleSpec]:
        """The generator.

        Returns:
            Its spec.
        """
        return {GENERATOR: net_spec(self, GENERATOR, self.build_generator)}

    @property
    def build_generator(self) -> Callable[[torch.Generator], RecurrentGenerator]:
        """Makes the generator from a source of initial values."""
        return partial(RecurrentGenerator, self.space, self.hyperparameters.generator)

    def discriminator_module(self) -> RLModuleSpec:
        """The text CNN.

        Returns:
            Its spec.
        """
        config, length = self.hyperparameters.discriminator, self.space.length
        dropped = sorted(set(config.windows) - {window for window, _ in config.fitting(length)})
        if dropped:
            logging.getLogger(__name__).warning("windows %s are longer than the %d tokens: dropped", dropped, length)
        return net_spec(self, DISCRIMINATOR, self.build_discriminator)

    @property
    def build_discriminator(self) -> Callable[[torch.Generator], TextCNNDiscriminator]:
        """Makes the discriminator from a source of initial values."""
        return partial(TextCNNDiscriminator, self.space, self.hyperparameters.discriminator)

    def smallest_corpus(self) -> int:
        """One batch of the pre-training.

        Returns:
            Sequences.
        """
        return int(
            max(self.hyperparameters.likelihood.batch_size, self.hyperparameters.discriminator_training.batch_size // 2)
        )


class SeqGAN(AdversarialAlgorithm):
    """Algorithm 1: likelihood, discriminator, then rounds of both.

    Attributes:
        initial_entropy: of the policy when the adversarial rounds began, nats per token; None before.
    """

    config_class = SeqGANConfig
    source: TokenSource
    initial_entropy: float | None = None

    def phases(self) -> list[Phase]:
        """The three phases.

        Returns:
            Pre-training of the generator, of the discriminator (unless a control ignores it), and adversarial rounds.
        """
        config: SeqGANHyperparameters = self.config.hyperparameters
        return [
            Phase("likelihood", config.likelihood.epochs, self._likelihood_round),
            Phase("discriminator", self._pretrain_steps, self._discriminator_round),
            Phase("adversarial", config.rounds, self._adversarial_round),
        ]

    @property
    def _pretrain_steps(self) -> int:
        """d-steps before the first adversarial round; a control that ignores the discriminator needs none."""
        config: SeqGANHyperparameters = self.config.hyperparameters
        return config.discriminator_training.pretrain_steps if config.reward == "discriminator" else 0

    @property
    def _num_negatives(self) -> int:
        """Sequences generated for a d-step."""
        return self.config.hyperparameters.discriminator_training.num_negatives or len(self.source.train_NT)

    def send_data(self) -> None:
        """The real sequences, once, to the learners of both groups."""
        real = ray.put(self.source.train_NT)
        on_learners(self.learner_group, lambda learner: learner.set_training_data(ray.get(real)), "policy")
        on_learners(
            self.discriminator_group.learners, lambda learner: learner.set_real_data(ray.get(real)), DISCRIMINATOR
        )

    def fresh_nets(self) -> dict[str, StateDict]:
        """Generator, roll-out policy (equal at first) and discriminator.

        Returns:
            State dicts.
        """
        theta = self.policy_weights()[GENERATOR]
        return {GENERATOR: theta, ROLLOUT_POLICY: theta, DISCRIMINATOR: self.discriminator_group.weights()}

    def _publish_generator(self) -> None:
        """Theta to the runners; beta = theta with it, unless it is delayed and the adversarial rounds have begun."""
        theta = self.policy_weights()[GENERATOR]
        delayed = self.config.hyperparameters.rollout_delay > 0 and self.report.phase == "adversarial"
        self.runners.publish({GENERATOR: theta} if delayed else {GENERATOR: theta, ROLLOUT_POLICY: theta})

    def _likelihood_round(self, index: int) -> dict[str, float]:
        """One epoch of maximum likelihood."""
        figures = self.update_policy(lambda learner: learner.likelihood_epoch(index))
        self._publish_generator()
        lr = self.config.hyperparameters.likelihood.lr
        return {"gen/loss": figures["loss"], "gen/grad_norm": figures["grad_norm"], "gen/lr": lr}

    def _discriminator_round(self, index: int) -> dict[str, float]:
        """One d-step before the adversarial rounds."""
        self.discriminator_group.start(draw_negatives(self, self._num_negatives, 1), index)
        return self.publish_discriminator()

    def _adversarial_round(self, index: int) -> dict[str, float]:
        """One generator step, and every g_steps rounds a retraining of the discriminator."""
        training: DiscriminatorTrainingConfig = self.config.hyperparameters.discriminator_training
        batch = self.report.batch = rollout_batch(self, self.config.hyperparameters.batch_size)
        shared = ray.put((batch.tokens_BT, batch.action_value_BT))
        step, target = self.step_count, self._entropy_target(batch)
        figures = self.update_policy(lambda learner: learner.policy_step(*ray.get(shared), step, target))
        figures = {f"gen/{name}": value for name, value in figures.items()} | rollout_figures(batch, self.source.space)
        figures |= {
            "gen/lr": self.config.hyperparameters.lr,
            "rollout/weights_lag": float(self.discriminator_group.retraining is not None),
        }
        self._publish_generator()
        if self.discriminator_group.retraining is not None:
            figures |= self.publish_discriminator()
        if self.config.hyperparameters.reward == "discriminator" and (index + 1) % training.g_steps == 0:
            d_steps_before = self._pretrain_steps + index // training.g_steps * training.d_steps
            negatives = draw_negatives(self, self._num_negatives, training.d_steps)
            if training.overlap:
                self.discriminator_group.start_overlapped(negatives, d_steps_before)
            else:
                self.discriminator_group.start(negatives, d_steps_before)
                figures |= self.publish_discriminator()
        if (index + 1) % training.g_steps == 0:
            self._delay_rollout_policy()
        return figures

    def _entropy_target(self, batch: RolloutBatch) -> float | None:
        """What the entropy is held at: a share of what it was when the adversarial rounds began."""
        ratio: float | None = self.config.hyperparameters.regularisation.entropy_ratio
        if ratio is None:
            return None
        if self.initial_entropy is None:
            with torch.no_grad():
                entropy_BT = self.generator().log_prob_and_entropy(batch.tokens_BT)[1]
            self.initial_entropy = float(entropy_BT[self.source.space.mask(batch.tokens_BT)].mean())
        return ratio * self.initial_entropy

    def _delay_rollout_policy(self) -> None:
        """Beta follows theta by the delayed rule, where there is one."""
        rate = self.config.hyperparameters.rollout_delay
        if rate > 0:
            nets = self.weights.nets
            self.runners.publish({ROLLOUT_POLICY: delayed_weights(nets[ROLLOUT_POLICY], nets[GENERATOR], rate)})

    def generator(self) -> RecurrentGenerator:
        """The generator as the runners have it.

        Returns:
            A copy on the CPU.
        """
        generator: RecurrentGenerator = self.config.build_generator(torch_generator(0, "replaced below"))
        generator.load_state_dict(self.weights.nets[GENERATOR])
        return generator.eval()

    def extra_state(self) -> dict[str, Any]:
        """What the entropy was when the adversarial rounds began.

        Returns:
            Nats per token; None before.
        """
        return {"initial_entropy": self.initial_entropy}

    def restore_extra_state(self, state: dict[str, Any]) -> None:
        """The reverse of `extra_state`.

        Args:
            state: of the checkpoint.
        """
        self.initial_entropy = state["initial_entropy"]
