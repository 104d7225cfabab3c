"""The learner of MaskGAN's discriminator and of the critic on top of it."""

# N texts, B a batch of them, T positions, V vocabulary, H width

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rlgan.blanks import chosen
from rlgan.policies.discriminator import DISCRIMINATOR, Fit
from rlgan.policies.learner import AdversarialLearner

CRITIC = "critic"


class InfillingTrainingConfig(BaseModel):
    """When and how discriminator and critic are trained."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    pretrain_rounds: int = Field(20, ge=0, description="Rounds of discriminator training before the adversarial ones.")
    pretrain_steps: int = Field(30, ge=1, description="Optimiser steps of such a round (released: 100 in all).")
    d_steps: int = Field(3, ge=0, description="Optimiser steps in an adversarial round (paper: 3), each on new fills.")
    batch_size: int = Field(128, ge=1, description="Texts of a step, real ones and as many filled in (released: 128).")
    lr: float = Field(3e-3, gt=0, description="Adam step size (released: 5e-4 on Penn Treebank; rlgan: 3e-3).")
    critic_lr: float = Field(
        1e-2, gt=0, description="Adam step size of the critic's head (released: 5e-7 on Penn Treebank; rlgan: 1e-2)."
    )
    critic_steps: int = Field(20, ge=1, description="Steps of the critic on the fills of a round (released: 1).")


@dataclass(frozen=True)
class Negatives:
    """Fills for one step of the discriminator, with the real texts they were made of.

    Example:
        `Negatives(tokens_NT, real_NT, blank_NT)` of 128 texts.

    Attributes:
        tokens_NT: [N, T] int64 ids with fills at blanks.
        real_NT: [N, T] int64 ids.
        blank_NT: [N, T] bool.
    """

    tokens_NT: Tensor
    real_NT: Tensor
    blank_NT: Tensor


class InfillingDiscriminatorLearner(AdversarialLearner):
    """Fits the net "discriminator": the verdicts with one optimiser, the critic's head with another."""

    def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Adam for all but the critic's head (and a shared embedding), and Adam for that.

        Returns:
            "discriminator" and "critic".
        """
        config: InfillingTrainingConfig = self.config.hyperparameters.discriminator_training
        net = self.nets[DISCRIMINATOR]
        parameters = [p for name, p in net.named_parameters() if p.requires_grad and not name.startswith("critic.")]
        return {
            DISCRIMINATOR: torch.optim.Adam(parameters, lr=config.lr, fused=True),
            CRITIC: torch.optim.Adam(net.critic.parameters(), lr=config.critic_lr, fused=True),  # type: ignore[union-attr]
        }

    def start_from(self, generator: dict[str, Tensor]) -> None:
        """Begin with the generator's embedding, encoder, decoder and attention, as released.

        Args:
            generator: its state dict.
        """
        net = self.nets[DISCRIMINATOR].net
        net.load_state_dict({name: generator[name] for name in net.state_dict()})  # type: ignore[union-attr]

    def share_embedding(self, weight_VH: Tensor) -> None:
        """Take the generator's embedding, which this learner leaves as it is.

        Args:
            weight_VH: [V + 1, H].
        """
        with torch.no_grad():
            self.nets[DISCRIMINATOR].net.embedding.weight.copy_(weight_VH)  # type: ignore[union-attr, operator]

    def fit(self, negatives: Sequence[Negatives], first_d_step: int) -> Fit:
        """One optimiser step on each set of fills and the real texts they were made of.

        Args:
            negatives: fresh from the generator, one for every step.
            first_d_step: how many steps came before, which the dropout is drawn from.

        Returns:
            This learner's parts of the mean figures, and logits of some tokens.
        """
        net = self.nets[DISCRIMINATOR].train()
        rows = []
        for d_step, fills in enumerate(negatives, first_d_step):
            self.seed_noise("discriminator dropout", d_step)
            rows.append(self._step(fills))
        net.eval()
        figures = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        with torch.no_grad():
            last = negatives[-1]
            both_BT = torch.cat([last.real_NT[:64], last.tokens_NT[:64]]).to(self._device)
            blank_BT = last.blank_NT[:64].repeat(2, 1).to(self._device)
            logits = net(both_BT, blank_BT)[chosen(both_BT, blank_BT, self.config.space)].cpu()
        return Fit(figures, logits)

    def _step(self, fills: Negatives) -> dict[str, float]:
        """One step; figures are this learner's share of the mean."""
        net, space = self.nets[DISCRIMINATOR], self.config.space
        real_BT, fake_BT, blank_BT = map(self.shard, (fills.real_NT, fills.tokens_NT, fills.blank_NT))
        masks = [chosen(texts, fills.blank_NT, space) for texts in (fills.real_NT, fills.tokens_NT)]
        real_mask_BT, fake_mask_BT = map(self.shard, masks)
        real_share, fake_share = (float(self.shard(mask).sum() / mask.sum()) for mask in masks)
        logit_real_BT, logit_fake_BT = net(torch.cat([real_BT, fake_BT]), blank_BT.repeat(2, 1)).chunk(2)
        loss = net.loss(logit_real_BT, logit_fake_BT, real_mask_BT, fake_mask_BT, real_share, fake_share)  # type: ignore[operator]
        norm = self.descend(DISCRIMINATOR, loss, real_BT=real_BT, fake_BT=fake_BT, blank_BT=blank_BT)
        real_N, fake_N = logit_real_BT.detach()[real_mask_BT], logit_fake_BT.detach()[fake_mask_BT]
        return {
            "loss": float(loss.detach()),
            "acc_real": _part(real_share, (real_N > 0).float()),
            "acc_fake": _part(fake_share, (fake_N < 0).float()),
            "logit_gap": _part(real_share, real_N) - _part(fake_share, fake_N),
            "grad_norm": norm / self.world_size,
        }

    def critic_step(self, tokens_BT: Tensor, blank_BT: Tensor, return_BT: Tensor) -> dict[str, float]:
        """Steps of the critic's head towards what came of the fills of a round.

        Args:
            tokens_BT: [B, T] the whole batch, filled in.
            blank_BT: [B, T] bool.
            return_BT: [B, T] returns.

        Returns:
            This learner's part of the loss before the first step.
        """
        config: InfillingTrainingConfig = self.config.hyperparameters.discriminator_training
        batch = [self.shard(rows) for rows in (tokens_BT, blank_BT, return_BT)]
        mask_BT = chosen(tokens_BT, blank_BT, self.config.space)
        share, losses = float(self.shard(mask_BT).sum() / mask_BT.sum()), []
        for loss in self.nets[DISCRIMINATOR].critic_losses(*batch, config.critic_steps):  # type: ignore[operator]
            self.descend(CRITIC, share * loss, tokens_BT=batch[0], blank_BT=batch[1], return_BT=batch[2])
            losses.append(share * float(loss.detach()))
        return {"value_loss": losses[0]}


def _part(share: float, value_N: Tensor) -> float:
    """This learner's part of a mean over the tokens of the whole batch, of which it may hold none."""
    return share * float(value_N.mean()) if len(value_N) else 0.0
