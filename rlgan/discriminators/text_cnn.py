"""The discriminator of SeqGAN: the text CNN, the loss it minimises, and what it pays."""

# B sequences, T positions, P prefixes, R rollouts

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rlgan import rewards
from rlgan.models.text_cnn import TextCNN, TextCNNConfig
from rlgan.objectives.adversarial import binary_cross_entropy
from rlgan.objectives.penalties import l2_penalty
from rlgan.types import TokenSpace


class TextCNNDiscriminatorConfig(TextCNNConfig):
    """The net's sizes and the weight of the penalty on its output layer."""

    l2_output: float = Field(
        0.1,
        ge=0,
        description="Weight of 1/2||w||^2 + 1/2 b^2 of the output layer. The released 0.2 on a two-way softmax has the "
        "same optimum as 0.1 on its difference, which is the one logit here.",
    )
    reward_map: Literal["probability", "log_probability", "log_odds"] = Field(
        "probability", description="What the policy is paid: D, log D or log D/(1-D) (SeqGAN, Eq. 2: probability)."
    )


class TextCNNDiscriminator(nn.Module):
    """Tells real sequences from generated ones. Logits are high for real."""

    def __init__(self, space: TokenSpace, config: TextCNNDiscriminatorConfig, init: torch.Generator) -> None:
        super().__init__()
        self.net = TextCNN(space, config, init)
        self.l2_output = config.l2_output
        self.reward_map = rewards.REWARD_MAPS[config.reward_map]

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """The logit of "real".

        Args:
            tokens_BT: [B, T] int64 ids.

        Returns:
            [B] float.
        """
        logit_B: Tensor = self.net(tokens_BT)
        return logit_B

    def loss(self, logit_real_B: Tensor, logit_fake_B: Tensor) -> Tensor:
        """What it minimises: binary cross-entropy and the penalty on the output layer.

        Args:
            logit_real_B: [B] logits of real sequences.
            logit_fake_B: [B'] logits of generated ones.

        Returns:
            Scalar.
        """
        penalty = l2_penalty(self.net.output.weight, self.net.output.bias)
        return binary_cross_entropy(logit_real_B, logit_fake_B) + self.l2_output * penalty

    @torch.no_grad()
    def reward(self, tokens_BT: Tensor) -> Tensor:
        """What the policy is paid for whole sequences, with dropout off; meets `rlgan.types.RewardFn`.

        Args:
            tokens_BT: [B, T] int64 ids.

        Returns:
            [B] float: the reward map of the logit, by default D(Y) in [0, 1].
        """
        was_training = self.training
        self.eval()
        reward_B = self.reward_map(self(tokens_BT))
        self.train(was_training)
        return reward_B

    @torch.no_grad()
    def completion_rewards(self, tokens_BT: Tensor, completed_PRBT: Tensor) -> tuple[Tensor, Tensor]:
        """What the policy is paid for sequences and completions of their prefixes; `rlgan.types.CompletionCritic`.

        Args:
            tokens_BT: [B, T] int64 ids.
            completed_PRBT: [P, R, B, T] ids: entry [p, r, b] begins with the first p + 1 tokens of sequence b.

        Returns:
            [P, R, B] and [B] float, as by `reward`.
        """
        was_training = self.training
        self.eval()
        logit_PRB, logit_B = self.net.completion_logits(tokens_BT, completed_PRBT)
        self.train(was_training)
        return self.reward_map(logit_PRB), self.reward_map(logit_B)
