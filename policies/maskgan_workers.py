"""MaskGAN's hyper-parameters, and what its workers do with them: the learner's step.

The algorithm that calls them is policies/maskgan.py.
"""

# B sequences (K fills of one text stand one after the other), T positions

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from rlgan.blanks import BlankConfig, chosen, draw_blanks
from rlgan.discriminators.infilling import InfillingDiscriminatorConfig
from rlgan.models.seq2seq import Seq2SeqConfig
from rlgan.objectives.policy_gradient import policy_gradient_loss
from rlgan.policies.infilling_discriminator import InfillingTrainingConfig
from rlgan.policies.infilling_likelihood import (
    GENERATOR,
    LANGUAGE_MODEL,
    MASK_MLE,
    InfillingLikelihoodLearner,
    adam,
)
from rlgan.policies.likelihood import LikelihoodConfig
from rlgan.seeding import torch_generator


class MaskGANHyperparameters(BaseModel):
    """Everything MaskGAN can be told, with the paper's or the released code's value beside rlgan's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    generator: Seq2SeqConfig = Seq2SeqConfig()
    discriminator: InfillingDiscriminatorConfig = InfillingDiscriminatorConfig()
    blanks: BlankConfig = BlankConfig()
    language_model: LikelihoodConfig = LikelihoodConfig(epochs=3, lr=5e-3)
    mask_mle: LikelihoodConfig = LikelihoodConfig(epochs=8, lr=3e-3)
    discriminator_training: InfillingTrainingConfig = InfillingTrainingConfig()
    rounds: int = Field(200, ge=0, description="Adversarial rounds, one generator step each (released: millions).")
    batch_size: int = Field(128, ge=1, description="Texts of a generator step (released: 128).")
    num_fills: int = Field(1, ge=1, description="K, fills of each text in a generator step (released: 1).")
    lr: float = Field(1e-3, gt=0, description="Adam step size of the policy gradient (released: 4e-5 to 2e-3).")
    max_grad_norm: float = Field(10.0, gt=0, description="Clip of the global gradient norm (released: 10).")
    discount: float = Field(0.9, ge=0, le=1, description="Of a reward, a position (released: 0.89; default 0.9).")
    advantage_limit: float = Field(5.0, gt=0, description="Advantages are cut to plus or minus this (released: 5).")
    baseline: Literal["critic", "moving_average", "leave_one_out", "none"] = Field(
        "critic",
        description="What is taken from a return: the critic's value (paper), the average return so far by position, "
        "the mean of the other fills of the text (needs num_fills of 2 or more), or nothing.",
    )
    average_decay: float = Field(0.9, ge=0, le=1, description="Share of the old moving average kept in a round (0.9).")
    reduction: Literal["sum", "mean"] = Field(
        "mean", description="Policy-gradient loss summed over tokens and texts (released), or its mean per token."
    )
    likelihood_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of MaskMLE's loss (nats per blank) of other texts in a generator step (0).",
    )
    reward: Literal["discriminator", "constant", "random"] = Field(
        "discriminator", description="The reward, or a control that ignores the discriminator: 1, or uniform in [0, 1]."
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "MaskGANHyperparameters":
        """Refuse options that contradict each other."""
        if self.baseline == "leave_one_out" and self.num_fills < 2:
            raise ValueError(f"baseline leave_one_out needs num_fills of at least 2; got {self.num_fills}.")
        shares = self.discriminator.share_embedding or self.discriminator.start_from_generator
        if shares and self.discriminator.size != self.generator.size:
            raise ValueError(
                f"discriminator.size must be that of the generator, {self.generator.size}, to share_embedding or "
                f"start_from_generator; got {self.discriminator.size}."
            )
        if self.discriminator.start_from_generator and self.discriminator.num_layers != self.generator.num_layers:
            raise ValueError(
                f"discriminator.num_layers must be that of the generator, {self.generator.num_layers}, to "
                f"start_from_generator; got {self.discriminator.num_layers}."
            )
        return self


class MaskGANLearner(InfillingLikelihoodLearner):
    """Fits language model and generator by likelihood, then the generator by policy gradient."""

    def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """An Adam for each stage.

        Returns:
            "language_model", "mask_mle" and "policy".
        """
        config: MaskGANHyperparameters = self.config.hyperparameters
        return {
            LANGUAGE_MODEL: adam(self.nets[LANGUAGE_MODEL], config.language_model.lr),
            MASK_MLE: adam(self.nets[GENERATOR], config.mask_mle.lr),
            "policy": adam(self.nets[GENERATOR], config.lr),
        }

    def policy_step(
        self, tokens_BT: Tensor, blank_BT: Tensor, advantage_BT: Tensor, rate: float, step: int
    ) -> dict[str, float]:
        """One policy-gradient step; dropout is off, as it was when the fills were drawn.

        Args:
            tokens_BT: [B, T] the whole batch, filled in.
            blank_BT: [B, T] bool.
            advantage_BT: [B, T] what every chosen token was worth.
            rate: share of blanks in the likelihood term.
            step: of the run, which the texts of that term are drawn from.

        Returns:
            This learner's parts of loss, entropy (nats per blank) and gradient norm; they add up over the learners.
        """
        config: MaskGANHyperparameters = self.config.hyperparameters
        mask_BT = chosen(tokens_BT, blank_BT, self.config.space)
        mine_BT, num_tokens = self.shard(mask_BT), mask_BT.sum().clamp_min(1)
        log_prob_BT, entropy_BT = self.nets[GENERATOR].log_prob_and_entropy(  # type: ignore[operator]
            self.shard(tokens_BT), self.shard(blank_BT)
        )
        loss = policy_gradient_loss(log_prob_BT, self.shard(advantage_BT), mine_BT)
        if config.reduction == "mean":
            loss = loss / num_tokens
        objective = loss
        if config.likelihood_weight > 0:
            objective = loss + config.likelihood_weight * self._fresh_likelihood_part(rate, step)
        norm = self.descend("policy", objective, config.max_grad_norm)
        entropy = float((entropy_BT.detach() * mine_BT).sum() / num_tokens)
        return {"loss": float(loss.detach()), "entropy": entropy, "grad_norm": norm / self.world_size}

    def _fresh_likelihood_part(self, rate: float, step: int) -> Tensor:
        """This learner's part of MaskMLE's loss on some real texts."""
        config: MaskGANHyperparameters = self.config.hyperparameters
        random = torch_generator(self.config.seed, "likelihood term", step)
        self.seed_noise("likelihood term dropout", step)
        rows = torch.randint(len(self.train_NT), (config.batch_size,), generator=random)
        tokens_BT = self.train_NT[rows]
        return self.mask_mle_part(tokens_BT, draw_blanks(config.blanks, tokens_BT, self.config.space, rate, random))
