"""MaskGAN's discriminator: a seq2seq net that judges every token that was filled in, and the critic on top of it."""

# B sequences, T positions, H width

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rlgan import rewards
from rlgan.blanks import chosen, hide
from rlgan.models.seq2seq import Seq2Seq, Seq2SeqConfig
from rlgan.objectives import baselines
from rlgan.objectives.adversarial import per_token_binary_cross_entropy
from rlgan.types import TokenSpace


class InfillingDiscriminatorConfig(Seq2SeqConfig):
    """The net's sizes, where it starts, and what it pays."""

    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="As the generator has it (released: 0.5; a small net stays at chance with that).",
    )
    share_embedding: bool = Field(
        True, description="Use the generator's embedding and leave it alone (paper); else one of its own."
    )
    start_from_generator: bool = Field(
        True,
        description="Begin with the generator's encoder, decoder and attention of the end of MaskMLE (as released); "
        "else at random.",
    )
    reward_map: Literal["probability", "log_probability", "log_odds"] = Field(
        "log_probability", description="What the policy is paid for a token: D, log D (MaskGAN, Eq. 3) or log D/(1-D)."
    )


class InfillingDiscriminator(nn.Module):
    """D(y_t | y_1..t, m(x)): whether the token at a blank is real, given what comes before it and the text around.

    It reads the text with blanks like the generator, then the filled-in text from left to right: the verdict on t has
    seen no fill after t (the paper writes the whole sequence; its code is left-to-right too). The critic's V_t is a
    second output of the same net, one position earlier: it has seen the fills before t, not t. (The paper has a second
    head on D; the released critic has no encoder and no attention.) It is also told how many blanks are left, which a
    return depends on most, and which D has no need to know. Logits are high for real.
    """

    def __init__(self, space: TokenSpace, config: InfillingDiscriminatorConfig, init: torch.Generator) -> None:
        super().__init__()
        self.net = Seq2Seq(space, config, init)
        self.verdict = nn.Linear(config.size, 1)
        self.critic = _Critic(config.size, space.length)
        with torch.no_grad():
            for head in (self.verdict, self.critic.feature):
                head.weight.uniform_(-config.init_limit, config.init_limit, generator=init)
                head.bias.zero_()
        self.net.embedding.weight.requires_grad_(not config.share_embedding)
        self.space, self.dropout = space, config.dropout
        self.reward_map = rewards.REWARD_MAPS[config.reward_map]

    def features(self, tokens_BT: Tensor, blank_BT: Tensor, dropout: float = 0.0) -> Tensor:
        """What both heads read.

        Args:
            tokens_BT: [B, T] int64 ids, the text with its blanks filled in.
            blank_BT: [B, T] bool; what stands at blanks is hidden from the encoder.
            dropout: share of activations dropped.

        Returns:
            [B, T + 1, H]: entry t has seen tokens 0..t-1 and the text with blanks.
        """
        memory = self.net.encode(hide(tokens_BT, blank_BT, self.space), dropout)
        return self.net.decode(self.net.after_start(tokens_BT), memory, dropout)

    def forward(self, tokens_BT: Tensor, blank_BT: Tensor) -> Tensor:
        """The logit of "real" of every token; with dropout while training.

        Args:
            tokens_BT: [B, T] int64 ids, the text with its blanks filled in.
            blank_BT: [B, T] bool.

        Returns:
            [B, T] float, high for real; it means something at blanks only.
        """
        feature_BSH = self.features(tokens_BT, blank_BT, self.dropout if self.training else 0.0)
        logit_BT: Tensor = self.verdict(feature_BSH[:, 1:]).squeeze(2)
        return logit_BT

    def loss(
        self,
        logit_real_BT: Tensor,
        logit_fake_BT: Tensor,
        real_mask_BT: Tensor,
        fake_mask_BT: Tensor,
        real_share: float = 1.0,
        fake_share: float = 1.0,
    ) -> Tensor:
        """What it minimises: cross-entropy of the tokens that were chosen.

        Args:
            logit_real_BT: [B, T] logits of real texts.
            logit_fake_BT: [B, T] logits of filled-in ones.
            real_mask_BT: [B, T] bool, from `rlgan.blanks.chosen`.
            fake_mask_BT: [B, T] bool, likewise.
            real_share: share of a larger batch's chosen real tokens that are these.
            fake_share: likewise of generated ones.

        Returns:
            Scalar, nats per token.
        """
        return per_token_binary_cross_entropy(
            logit_real_BT, logit_fake_BT, real_mask_BT, fake_mask_BT, real_share, fake_share
        )

    @torch.no_grad()
    def judge(self, tokens_BT: Tensor, blank_BT: Tensor) -> tuple[Tensor, Tensor]:
        """What the policy is paid for every token, and what the critic expected before it; dropout is off.

        (In the released code dropout is on while rewards are computed.)

        Args:
            tokens_BT: [B, T] int64 ids, the text with its blanks filled in.
            blank_BT: [B, T] bool.

        Returns:
            Two [B, T] tensors, 0 where no token was chosen: rewards (by default log D_t) and values V_t.
        """
        mask_BT = chosen(tokens_BT, blank_BT, self.space)
        feature_BSH = self.features(tokens_BT, blank_BT)
        reward_BT = self.reward_map(self.verdict(feature_BSH[:, 1:]).squeeze(2))
        return reward_BT * mask_BT, self.critic(feature_BSH[:, :-1], blank_BT) * mask_BT

    def reward(self, tokens_BT: Tensor, blank_BT: Tensor) -> Tensor:
        """What the policy is paid for every token; meets `rlgan.types.InfillingRewardFn`.

        Args:
            tokens_BT: [B, T] int64 ids, the text with its blanks filled in.
            blank_BT: [B, T] bool.

        Returns:
            [B, T] float, 0 where no token was chosen.
        """
        return self.judge(tokens_BT, blank_BT)[0]

    def critic_losses(self, tokens_BT: Tensor, blank_BT: Tensor, return_BT: Tensor, count: int) -> Iterator[Tensor]:
        """What the critic minimises, as often as it is to take a step; the gradient reaches its head alone.

        (As released; the verdicts never change. So the net is run once.)

        Args:
            tokens_BT: [B, T] int64 ids, the text with its blanks filled in.
            blank_BT: [B, T] bool.
            return_BT: [B, T] float, what came of every token.
            count: steps.

        Yields:
            Scalar: mean of (V_t - R_t)^2 over the tokens that were chosen, with the head as it is then.
        """
        with torch.no_grad():
            feature_BTH = self.features(tokens_BT, blank_BT)[:, :-1]
        mask_BT = chosen(tokens_BT, blank_BT, self.space)
        for _ in range(count):
            value_BT = self.critic(feature_BTH, blank_BT)
            # a learner's shard may hold no blank; its part of the loss is nothing then
            yield baselines.value_loss(value_BT, return_BT, mask_BT) if mask_BT.any() else 0.0 * value_BT.sum()


class _Critic(nn.Module):
    """V_t = w . feature_t + b + u[blanks from t on]."""

    def __init__(self, size: int, length: int) -> None:
        super().__init__()
        self.feature = nn.Linear(size, 1)
        self.blanks_left = nn.Parameter(torch.zeros(length + 1))

    def forward(self, feature_BTH: Tensor, blank_BT: Tensor) -> Tensor:
        """[B, T] values before each token, from what D had seen by then."""
        left_BT = blank_BT.flip(1).long().cumsum(dim=1).flip(1)
        value_BT: Tensor = self.feature(feature_BTH).squeeze(2) + self.blanks_left[left_BT]
        return value_BT
