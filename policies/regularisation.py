"""What keeps a policy from forgetting the language: likelihood steps beside the reward, and an entropy target."""

# B sequences, T positions

import torch
import torch.distributed as dist
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rlgan.models import Dropout
from rlgan.objectives.policy_gradient import entropy_target_loss
from rlgan.policies.likelihood import LikelihoodLearner
from rlgan.seeding import torch_generator


class RegularisationConfig(BaseModel):
    """Terms added to the policy-gradient loss; the paper has none of them (all weights 0, no entropy ratio)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    likelihood_weight: float = Field(
        0.0, ge=0, description="Weight of the mean cross-entropy (nats per token) of real sequences (paper: 0)."
    )
    likelihood_batch_size: int = Field(64, ge=1, description="Real sequences a step of the likelihood term.")
    embedding_dropout: float = Field(0.3, ge=0, lt=1, description="Share of the LSTM's inputs dropped in that term.")
    hidden_dropout: float = Field(0.5, ge=0, lt=1, description="Share of the LSTM's outputs dropped in that term.")
    entropy_weight: float = Field(1.0, ge=0, description="Weight of (entropy - target)^2, nats per token squared.")
    entropy_ratio: float | None = Field(
        None,
        gt=0,
        le=2,
        description="Target of the policy's entropy, as a share of what it was after pre-training; None: no target.",
    )


class RegularisedLearner(LikelihoodLearner):
    """A learner whose policy loss can carry both terms."""

    def regularisers(
        self, config: RegularisationConfig, entropy_part: Tensor, step: int, entropy_target: float | None
    ) -> Tensor:
        """This learner's part of the terms.

        Args:
            config: their weights.
            entropy_part: scalar with gradient, its part of the mean entropy of the policy (nats per token).
            step: of the run, which the real sequences and the dropout are drawn from.
            entropy_target: nats per token; None: no target.

        Returns:
            Scalar to add to the loss.
        """
        total = entropy_part.new_zeros(())
        if entropy_target is not None and config.entropy_weight > 0:
            mean = entropy_part.detach().clone()
            if self.world_size > 1:
                dist.all_reduce(mean)
            total = total + config.entropy_weight * entropy_target_loss(entropy_part, mean, entropy_target)
        if config.likelihood_weight > 0:
            total = total + config.likelihood_weight * self._dropped_likelihood_part(config, step)
        return total

    def _dropped_likelihood_part(self, config: RegularisationConfig, step: int) -> Tensor:
        """This learner's part of the mean cross-entropy of some real sequences, under dropout."""
        random = torch_generator(self.config.seed, "likelihood batch", step)
        count = max(config.likelihood_batch_size, self.world_size)
        rows = torch.randperm(len(self.train_NT), generator=random)[:count]
        self.seed_noise("likelihood dropout", step)
        dropout = Dropout(config.embedding_dropout, config.hidden_dropout)
        return self.likelihood_part(self.train_NT[rows], dropout)
