"""MaskGAN's pre-training: a language model, and the generator filled with its weights and taught to fill in blanks."""

# B sequences, T positions

import torch
from torch import Tensor

from rlgan.blanks import chosen, draw_blanks
from rlgan.objectives.likelihood import negative_log_likelihood
from rlgan.policies.likelihood import LikelihoodConfig, TrainingDataLearner
from rlgan.seeding import torch_generator

GENERATOR, LANGUAGE_MODEL, MASK_MLE = "generator", "language_model", "mask_mle"


class InfillingLikelihoodLearner(TrainingDataLearner):
    """A learner with the nets "language_model" and "generator" and an optimiser for each stage of likelihood."""

    def language_model_epoch(self, epoch: int) -> dict[str, float]:
        """One pass of maximum likelihood for the language model.

        Args:
            epoch: which pass this is.

        Returns:
            This learner's part of the mean loss (nats per token) and of the mean gradient norm.
        """
        config: LikelihoodConfig = self.config.hyperparameters.language_model
        net, dropout = self.nets[LANGUAGE_MODEL], self.config.hyperparameters.generator.dropout
        self.seed_noise("language model dropout", epoch)

        def step(tokens_BT: Tensor) -> tuple[float, float]:
            mine_BT = self.shard(tokens_BT)
            part = self._nll_part(
                net.log_prob_and_entropy(mine_BT, dropout)[0],  # type: ignore[operator]
                self.config.space.mask(tokens_BT),
            )
            return float(part.detach()), self.descend(LANGUAGE_MODEL, part, config.max_grad_norm, tokens_BT=mine_BT)

        return self.one_pass("language model order", epoch, config.batch_size, step)

    def start_generator(self) -> None:
        """Copy the language model into encoder and decoder of the generator."""
        self.nets[GENERATOR].start_from(self.nets[LANGUAGE_MODEL])  # type: ignore[operator]

    def mask_mle_epoch(self, epoch: int, rate: float) -> dict[str, float]:
        """One pass of MaskMLE: the likelihood of the words at fresh blanks, teacher-forced.

        Args:
            epoch: which pass this is.
            rate: share of blanks.

        Returns:
            This learner's part of the mean loss (nats per blank) and of the mean gradient norm.
        """
        config: LikelihoodConfig = self.config.hyperparameters.mask_mle
        self.seed_noise("MaskMLE dropout", epoch)
        random = torch_generator(self.config.seed, "MaskMLE blanks", epoch)

        def step(tokens_BT: Tensor) -> tuple[float, float]:
            blank_BT = draw_blanks(self.config.hyperparameters.blanks, tokens_BT, self.config.space, rate, random)
            part = self.mask_mle_part(tokens_BT, blank_BT)
            seen = {"tokens_BT": self.shard(tokens_BT), "blank_BT": self.shard(blank_BT)}
            return float(part.detach()), self.descend(MASK_MLE, part, config.max_grad_norm, **seen)

        return self.one_pass("MaskMLE order", epoch, config.batch_size, step)

    def mask_mle_part(self, tokens_BT: Tensor, blank_BT: Tensor) -> Tensor:
        """This learner's part of the mean cross-entropy at the blanks of a batch.

        (Mean over blanks. The released code divides by all positions, which halves it at rate 0.5.)

        Args:
            tokens_BT: [B, T] the whole batch.
            blank_BT: [B, T] its blanks.

        Returns:
            Scalar with gradient, nats per blank; the parts of all learners add up to the mean.
        """
        net, dropout = self.nets[GENERATOR], self.config.hyperparameters.generator.dropout
        log_prob_BT = net.log_prob_and_entropy(self.shard(tokens_BT), self.shard(blank_BT), dropout)[0]  # type: ignore[operator]
        return self._nll_part(log_prob_BT, chosen(tokens_BT, blank_BT, self.config.space))

    def _nll_part(self, log_prob_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """This learner's part of a mean cross-entropy, from its log-probabilities and the mask of the whole batch."""
        mine_BT = self.shard(mask_BT)
        if not bool(mine_BT.any()):
            return 0.0 * log_prob_BT.sum()
        return mine_BT.sum() / mask_BT.sum() * negative_log_likelihood(log_prob_BT, mine_BT)


def adam(net: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    """Adam on all parameters that are trained.

    Args:
        net: what is fitted.
        lr: step size.

    Returns:
        The optimiser.
    """
    return torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=lr, fused=True)
