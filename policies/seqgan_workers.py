"""SeqGAN's hyper-parameters, and what its workers do with them: the learner's step and the runner's nets.

The algorithm that calls them is policies/seqgan.py.
"""

# B sequences, T positions, R rollouts

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlgan.discriminators import TextCNNDiscriminatorConfig
from rlgan.models import RecurrentConfig
from rlgan.objectives import action_values
from rlgan.objectives.policy_gradient import policy_gradient_loss
from rlgan.policies.discriminator import DISCRIMINATOR, DiscriminatorTrainingConfig
from rlgan.policies.likelihood import LikelihoodConfig
from rlgan.policies.regularisation import RegularisationConfig, RegularisedLearner
from rlgan.policies.token_runner import GENERATOR, TokenRunner
from rlgan.rollouts import MonteCarloRollouts
from rlgan.seeding import torch_generator
from rlgan.token_rewards import ConstantRewards, MonteCarloRewards, RandomRewards, TokenRewards

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
            "discriminator": MonteCarloRewards(rollouts, rollout_policy, discriminator),
            "constant": ConstantRewards(),
            "random": RandomRewards(),
        }
        self.token_rewards = sources[config.reward]
        return {GENERATOR: generator, ROLLOUT_POLICY: rollout_policy, DISCRIMINATOR: discriminator}
