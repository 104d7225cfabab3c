"""Pre-training by maximum likelihood, shared by the systems that start from a language model."""

# B sequences, T positions

from collections.abc import Callable

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rlgan.models.recurrent import NO_DROPOUT, Dropout
from rlgan.objectives.likelihood import negative_log_likelihood
from rlgan.policies.learner import AdversarialLearner
from rlgan.seeding import torch_generator
from rlgan.types import TokenSpace


class LikelihoodConfig(BaseModel):
    """Maximum-likelihood pre-training of the generator."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(20, ge=0, description="Passes over the training sequences (released SeqGAN: 120, rlgan: 20).")
    batch_size: int = Field(64, ge=1, description="Sequences a step (released SeqGAN: 64).")
    lr: float = Field(0.01, gt=0, description="Adam step size (released SeqGAN: 0.01).")
    max_grad_norm: float = Field(5.0, gt=0, description="Clip of the global gradient norm (released SeqGAN: 5).")


class TrainingDataLearner(AdversarialLearner):
    """A learner that keeps the real sequences and can go through them."""

    train_NT: Tensor

    def set_training_data(self, train_NT: Tensor) -> None:
        """Keep the real sequences here, so that they are sent only once.

        Args:
            train_NT: [N, T] int64 ids.
        """
        self.train_NT = train_NT

    def one_pass(
        self, purpose: str, epoch: int, batch_size: int, step: Callable[[Tensor], tuple[float, float]]
    ) -> dict[str, float]:
        """One pass over the training sequences, in an order drawn from the seed of the run and the epoch.

        Args:
            purpose: what the pass is for: two purposes have different orders.
            epoch: which pass this is.
            batch_size: sequences of a step; a last batch of fewer sequences than learners is left out.
            step: takes [B, T] ids of a whole batch; returns this learner's part of its loss, and the gradient norm.

        Returns:
            This learner's part of the mean loss (all parts add up) and of the mean gradient norm.
        """
        order = torch.randperm(len(self.train_NT), generator=torch_generator(self.config.seed, purpose, epoch))
        batches = [rows for rows in order.split(batch_size) if len(rows) >= self.world_size]
        losses, norms = zip(*(step(self.train_NT[rows]) for rows in batches), strict=True)
        return {"loss": sum(losses) / len(losses), "grad_norm": sum(norms) / len(norms) / self.world_size}


class LikelihoodLearner(TrainingDataLearner):
    """A learner whose net "generator" can be fitted to real sequences with the optimiser "likelihood"."""

    def likelihood_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training sequences.

        Args:
            epoch: which pass this is.

        Returns:
            This learner's part of the mean loss (nats per token, all parts add up) and of the mean gradient norm.
        """
        config: LikelihoodConfig = self.config.hyperparameters.likelihood
        return self.one_pass("likelihood order", epoch, config.batch_size, self.likelihood_step)

    def likelihood_step(self, tokens_BT: Tensor) -> tuple[float, float]:
        """One optimiser step on the mean cross-entropy of one batch.

        Args:
            tokens_BT: [B, T] the whole batch; this learner works on its shard.

        Returns:
            This learner's part of the loss (nats per token, all parts add up) and the gradient norm.
        """
        loss = self.likelihood_part(tokens_BT)
        norm = self.descend(
            "likelihood", loss, self.config.hyperparameters.likelihood.max_grad_norm, tokens_BT=self.shard(tokens_BT)
        )
        return float(loss.detach()), norm

    def likelihood_part(self, tokens_BT: Tensor, dropout: Dropout = NO_DROPOUT) -> Tensor:
        """This learner's part of the mean cross-entropy of a batch.

        Args:
            tokens_BT: [B, T] the whole batch; this learner works on its shard.
            dropout: shares of activations that are dropped.

        Returns:
            Scalar with gradient, nats per token; the parts of all learners add up to the mean.
        """
        space: TokenSpace = self.config.space
        num_tokens = space.mask(tokens_BT).sum()
        mine_BT = self.shard(tokens_BT)
        mask_BT = space.mask(mine_BT)
        log_prob_BT: Tensor = self.nets["generator"].log_prob_and_entropy(mine_BT, dropout)[0]  # type: ignore[operator]
        share: Tensor = mask_BT.sum() / num_tokens.to(mask_BT.device)
        return share * negative_log_likelihood(log_prob_BT, mask_BT)
