"""How much a baseline quiets MaskGAN's policy gradient: the same nets, blanks and fills with each of several baselines.

Nothing is trained. Every batch gives one estimate of the gradient a baseline; the fills and rewards of a batch are the
same for all of them, so that what differs is the baseline alone. Advantages are not cut: the estimates of all baselines
then have one mean.
"""

# B sequences (K fills of one text stand one after the other), T positions, P parameters

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rlgan.baselines import Baseline
from rlgan.blanks import chosen
from rlgan.discriminators.infilling import InfillingDiscriminator
from rlgan.fills import fill_blanks
from rlgan.metrics.infilling import VectorMoments
from rlgan.models.infilling import InfillingGenerator
from rlgan.objectives.discounted_returns import clipped_advantage, discounted_return, explained_variance
from rlgan.objectives.policy_gradient import policy_gradient_loss


@dataclass(frozen=True)
class GradientVariance:
    """What one baseline makes of the policy gradient.

    Attributes:
        variance: of the gradient of one batch, summed over all parameters (the trace of its covariance).
        signal: squared norm of the mean gradient of all batches, minus what the variance adds to it: unbiased, and
            below 0 where there is less signal than noise.
        num_batches: estimates it was computed from.
        explained_variance: 1 - Var(R - b) / Var(R), the mean over batches.
    """

    variance: float
    signal: float
    num_batches: int
    explained_variance: float


def baseline_variances(
    generator: InfillingGenerator,
    discriminator: InfillingDiscriminator,
    batches: Iterable[tuple[Tensor, Tensor, Tensor]],
    baselines: Mapping[str, Baseline],
    discount: float,
) -> dict[str, GradientVariance]:
    """The variance of the policy gradient with each baseline.

    Args:
        generator: whose gradient it is; its weights stay as they are.
        discriminator: what pays; it holds the critic.
        batches: at least 2, independent: [B, T] ids of real texts, [B, T] blanks, [B, T] uniform numbers of the fills.
        baselines: by name; one with a memory goes on remembering.
        discount: of the returns.

    Returns:
        What each baseline makes of the gradient of the mean per token.

    Raises:
        ValueError: if no parameter of the generator asks for a gradient.
    """
    moments = {name: VectorMoments() for name in baselines}
    explained: dict[str, list[float]] = {name: [] for name in baselines}
    parameters = [p for p in generator.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the generator needs parameters that ask for a gradient; got none. Call requires_grad_(True).")
    for real_BT, blank_BT, uniform_BT in batches:
        tokens_BT = fill_blanks(generator, real_BT, blank_BT, uniform_BT)
        mask_BT = chosen(tokens_BT, blank_BT, generator.space)
        reward_BT, value_BT = discriminator.judge(tokens_BT, blank_BT)
        return_BT = discounted_return(reward_BT, mask_BT, discount)
        log_prob_BT = generator.log_prob_and_entropy(tokens_BT, blank_BT)[0]
        for name, baseline in baselines.items():
            baseline_BT = baseline(return_BT, value_BT, mask_BT)
            advantage_BT = clipped_advantage(return_BT, baseline_BT, mask_BT, math.inf)
            loss = policy_gradient_loss(log_prob_BT, advantage_BT, mask_BT) / mask_BT.sum()
            gradient = torch.autograd.grad(loss, parameters, retain_graph=True)
            moments[name].add(torch.cat([part.flatten() for part in gradient]))
            explained[name].append(explained_variance(baseline_BT, return_BT, mask_BT))
    return {
        name: GradientVariance(
            variance=moments[name].total_variance(),
            signal=moments[name].squared_mean() - moments[name].total_variance() / moments[name].count,
            num_batches=moments[name].count,
            explained_variance=sum(explained[name]) / len(explained[name]),
        )
        for name in baselines
    }
