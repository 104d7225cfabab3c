"""SeqGAN: a sequence generator trained by policy gradient against a text CNN (arXiv:1609.05473, Algorithm 1).

What differs from the paper by default, each with its option back: the advantage has a baseline (paper: none), and the
schedule of the `quick` recipe is short. What differs from the released code: rollouts really use the policy the paper
says (its delayed update never takes effect), and the output is one logit instead of a two-way softmax.
"""

# B sequences, T positions, R rollouts

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import ray
import torch
from pydantic import BaseModel, ConfigDict, Field
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from torch import Tensor, nn

from rlgan.discriminators import TextCNNDiscriminator, TextCNNDiscriminatorConfig
from rlgan.models import RecurrentConfig, RecurrentGenerator
from rlgan.objectives import action_values
from rlgan.objectives.delayed_policy import delayed_weights
from rlgan.objectives.policy_gradient import policy_gradient_loss
from rlgan.policies.algorithm import AdversarialAlgorithm
from rlgan.policies.broadcast import StateDict
from rlgan.policies.calls import from_first_learner, on_learners
from rlgan.policies.collect import split_evenly
from rlgan.policies.config import AdversarialConfig
from rlgan.policies.discriminator import DISCRIMINATOR, DiscriminatorTrainingConfig
from rlgan.policies.likelihood import LikelihoodConfig
from rlgan.policies.modules import net_spec
from rlgan.policies.regularisation import RegularisationConfig, RegularisedLearner
from rlgan.policies.rounds import Phase, rollout_figures
from rlgan.policies.token_runner import GENERATOR, TokenRunner
from rlgan.rollouts import MonteCarloRollouts
from rlgan.seeding import torch_generator
from rlgan.token_rewards import ConstantRewards, MonteCarloRewards, RandomRewards, TokenRewards
from rlgan.types import RolloutBatch, TokenSource

ROLLOUT_POLICY = "rollout_policy"
ADVANTAGES = {
    "none": action_values.no_baseline_advantage,
    "batch_mean": action_values.batch_mean_advantage,
    "prefix_value": action_values.prefix_value_advantage,
}


class SeqGANHyperparameters(BaseModel):
    """Everything SeqGAN can be told, with the paper's or the released code's value beside rlgan's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    generator: RecurrentConfig = RecurrentConfig()
    discriminator: TextCNNDiscriminatorConfig = TextCNNDiscriminatorConfig()
    likelihood: LikelihoodConfig = LikelihoodConfig()
    discriminator_training: DiscriminatorTrainingConfig = DiscriminatorTrainingConfig()
    regularisation: RegularisationConfig = RegularisationConfig()
    rounds: int = Field(200, ge=0, description="Adversarial rounds, one generator step each (released: 200).")
    batch_size: int = Field(64, ge=1, description="Sequences of a generator step (released: 64).")
    num_rollouts: int = Field(16, ge=1, description="R, Monte-Carlo completions of every prefix (released: 16).")
    lr: float = Field(0.01, gt=0, description="Adam step size of the policy gradient (released: 0.01).")
    max_grad_norm: float = Field(5.0, gt=0, description="Clip of the global gradient norm (released: 5).")
    advantage: Literal["none", "batch_mean", "prefix_value"] = Field(
        "prefix_value",
        description="Baseline taken from Q: none (the paper), batch mean by position, or V of the prefix.",
    )
    standardise: bool = Field(
        True,
        description="Divide the advantage by its root mean square (paper: no; rlgan: D's scale must not set the step).",
    )
    reduction: Literal["sum", "mean"] = Field(
        "mean", description="Policy-gradient loss summed over tokens and sequences (released), or its mean per token."
    )
    rollout_delay: float = Field(
        0.0,
        ge=0,
        le=1,
        description="beta <- delay*beta + (1-delay)*theta after each retraining; 0 is beta = theta (paper).",
    )
    reward: Literal["discriminator", "constant", "random"] = Field(
        "discriminator", description="The reward, or a control that ignores the discriminator: 1, or uniform in [0, 1]."
    )


class SeqGANLearner(RegularisedLearner):
    """Fits the generator: by likelihood, then by policy gradient, with an Adam for each as released."""

    def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Two Adam optimisers that share no state.

        Returns:
            "likelihood" and "policy".
        """
        config: SeqGANHyperparameters = self.config.hyperparameters
        parameters = [p for p in self.nets[GENERATOR].parameters() if p.requires_grad]
        return {
            "likelihood": torch.optim.Adam(parameters, lr=config.likelihood.lr, fused=True),
            "policy": torch.optim.Adam(parameters, lr=config.lr, fused=True),
        }

    def policy_step(
        self, tokens_BT: Tensor, action_value_BT: Tensor, step: int, entropy_target: float | None
    ) -> dict[str, float]:
        """One policy-gradient step, with the regularisers that the configuration asks for.

        Args:
            tokens_BT: [B, T] the whole batch.
            action_value_BT: [B, T] its Q.
            step: of the run, which the real sequences of the likelihood term are drawn from.
            entropy_target: nats per token; None leaves the entropy alone.

        Returns:
            This learner's parts of loss, entropy (nats per token) and gradient norm; they add up over the learners.
        """
        config: SeqGANHyperparameters = self.config.hyperparameters
        mask_BT = self.config.space.mask(tokens_BT)
        advantage_BT = ADVANTAGES[config.advantage](action_value_BT, mask_BT)
        if config.standardise:
            advantage_BT = action_values.standardise(advantage_BT, mask_BT)
        mine_BT, num_tokens = self.shard(mask_BT), mask_BT.sum()
        log_prob_BT, entropy_BT = self.nets[GENERATOR].log_prob_and_entropy(self.shard(tokens_BT))  # type: ignore[operator]
        loss = policy_gradient_loss(log_prob_BT, self.shard(advantage_BT), mine_BT)
        if config.reduction == "mean":
            loss = loss / num_tokens
        entropy = (entropy_BT * mine_BT).sum() / num_tokens
        objective = loss + self.regularisers(config.regularisation, entropy, step, entropy_target)
        norm = self.descend("policy", objective, config.max_grad_norm)
        return {
            "loss": float(loss.detach()),
            "entropy": float(entropy.detach()),
            "grad_norm": norm / self.world_size,
        }


class SeqGANRunner(TokenRunner):
    """Draws sequences and values every token by Monte-Carlo rollouts, or by a control."""

    def build_nets(self) -> dict[str, nn.Module]:
        """Generator, roll-out policy and discriminator, and what the reward comes from.

        Returns:
            The nets by name.
        """
        config: SeqGANHyperparameters = self.config.hyperparameters
        init = torch_generator(0, "replaced by the first broadcast")
        generator, rollout_policy = self.config.build_generator(init), self.config.build_generator(init)
        discriminator = self.config.build_discriminator(init)
        rollouts = MonteCarloRollouts(self.config.space, config.num_rollouts)
        sources: dict[str, TokenRewards] = {
            "discriminator": MonteCarloRewards(rollouts, rollout_policy, discriminator.reward),
            "constant": ConstantRewards(),
            "random": RandomRewards(),
        }
        self.token_rewards = sources[config.reward]
        return {GENERATOR: generator, ROLLOUT_POLICY: rollout_policy, DISCRIMINATOR: discriminator}


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
        theta = self._theta()
        return {GENERATOR: theta, ROLLOUT_POLICY: theta, DISCRIMINATOR: self.discriminator_group.weights()}

    def _theta(self) -> StateDict:
        """The generator as the learners have it now."""
        theta: StateDict = from_first_learner(self.learner_group, lambda learner: learner.weights(), "policy")[
            GENERATOR
        ]
        return theta

    def _publish_generator(self) -> None:
        """Theta to the runners; beta = theta with it, unless it is delayed and the adversarial rounds have begun."""
        theta = self._theta()
        delayed = self.config.hyperparameters.rollout_delay > 0 and self.report.phase == "adversarial"
        self.publish({GENERATOR: theta} if delayed else {GENERATOR: theta, ROLLOUT_POLICY: theta})

    def _likelihood_round(self, index: int) -> dict[str, float]:
        """One epoch of maximum likelihood."""
        figures = self.update_policy(lambda learner: learner.likelihood_epoch(index))
        self._publish_generator()
        lr = self.config.hyperparameters.likelihood.lr
        return {"gen/loss": figures["loss"], "gen/grad_norm": figures["grad_norm"], "gen/lr": lr}

    def _discriminator_round(self, index: int) -> dict[str, float]:
        """One d-step before the adversarial rounds."""
        self.discriminator_group.start(self._negatives(1), index)
        return self._publish_discriminator()

    def _adversarial_round(self, index: int) -> dict[str, float]:
        """One generator step, and every g_steps rounds a retraining of the discriminator."""
        training: DiscriminatorTrainingConfig = self.config.hyperparameters.discriminator_training
        batch = self.report.batch = self._rollout()
        shared = ray.put((batch.tokens_BT, batch.action_value_BT))
        step, target = self.step_count, self._entropy_target(batch)
        figures = self.update_policy(lambda learner: learner.policy_step(*ray.get(shared), step, target))
        figures = {f"gen/{name}": value for name, value in figures.items()} | rollout_figures(batch, self.source.space)
        figures |= {
            "gen/lr": self.config.hyperparameters.lr,
            "rollout/weights_lag": float(self.discriminator_group.is_busy),
        }
        self._publish_generator()
        if self.discriminator_group.is_busy:
            figures |= self._publish_discriminator()
        if self.config.hyperparameters.reward == "discriminator" and (index + 1) % training.g_steps == 0:
            d_steps_before = self._pretrain_steps + index // training.g_steps * training.d_steps
            self.discriminator_group.start(self._negatives(training.d_steps), d_steps_before)
            if not training.overlap:
                figures |= self._publish_discriminator()
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

    def _rollout(self) -> RolloutBatch:
        """The batch of a generator step, from all runners."""
        sizes = split_evenly(self.config.hyperparameters.batch_size, self.num_shards)
        version, step = self.weights.version, self.step_count
        shards = self.collect(lambda runner, i: runner.rollout(sizes[i], version, step, i), len(sizes))
        return RolloutBatch.join(shards, version)

    def _negatives(self, d_steps: int) -> list[Tensor]:
        """Fresh sequences of the generator for each of some d-steps."""
        count = self.config.hyperparameters.discriminator_training.num_negatives or len(self.source.train_NT)
        sizes = split_evenly(count, self.num_shards)
        version, step = self.weights.version, self.step_count
        shards = self.collect(
            lambda runner, i: [runner.negatives(sizes[i], version, step, d_step, i) for d_step in range(d_steps)],
            len(sizes),
        )
        return [torch.cat(parts) for parts in zip(*shards, strict=True)]

    def _publish_discriminator(self) -> dict[str, float]:
        """Wait for the retraining, send its weights out, and return its figures."""
        fit = self.discriminator_group.finish()
        self.publish({DISCRIMINATOR: self.discriminator_group.weights()})
        if fit is None:
            return {}
        self.report.histograms["disc/logits"] = fit.logits
        return {f"disc/{name}": value for name, value in fit.figures.items()}

    def _delay_rollout_policy(self) -> None:
        """Beta follows theta by the delayed rule, where there is one."""
        rate = self.config.hyperparameters.rollout_delay
        if rate > 0:
            nets = self.weights.nets
            self.publish({ROLLOUT_POLICY: delayed_weights(nets[ROLLOUT_POLICY], nets[GENERATOR], rate)})

    def generator(self) -> RecurrentGenerator:
        """The generator as the runners have it.

        Returns:
            A copy on the CPU.
        """
        generator: RecurrentGenerator = self.config.build_generator(torch_generator(0, "replaced below"))
        generator.load_state_dict(self.weights.nets[GENERATOR])
        return generator.eval()

    def extra_state(self) -> dict[str, Any]:
        """Whether a retraining is under way, and what the entropy was when the adversarial rounds began.

        Returns:
            A flag, and nats per token (None before).
        """
        return {"discriminator_busy": self.discriminator_group.is_busy, "initial_entropy": self.initial_entropy}

    def restore_extra_state(self, state: dict[str, Any]) -> None:
        """The reverse of `extra_state`.

        Args:
            state: of the checkpoint.
        """
        self.initial_entropy = state["initial_entropy"]
        if state["discriminator_busy"]:
            self.discriminator_group.resume_busy()
