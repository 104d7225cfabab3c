"""What a round is, and what it reports."""

# B sequences, T positions

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlgan.fills import FillBatch
from rlgan.types import RolloutBatch, TokenSpace

EQUAL_REWARDS = "gen/frac_reward_zero_std"
"""The figure that is 1 where the generator can learn nothing from a comparison."""


@dataclass(frozen=True)
class Phase:
    """A stretch of rounds of one kind.

    Example:
        `Phase("likelihood", 20, run)`: rounds 0..19, each one epoch.

    Attributes:
        name: what TensorBoard and the progress display call it.
        num_rounds: how many `train()` calls it lasts.
        run: does round i of the phase and returns its figures by TensorBoard tag.
    """

    name: str
    num_rounds: int
    run: Callable[[int], dict[str, float]]


@dataclass
class RoundReport:
    """What the last `train()` did, for the loggers.

    Attributes:
        step: rounds done in all phases together, this one included.
        phase: name of its phase.
        phase_round: rounds done in this phase, this one included.
        phase_rounds: rounds the phase has.
        figures: values by TensorBoard tag.
        histograms: values by TensorBoard tag.
        batch: the sequences the generator has just learned from, with the value of each token; None in other phases.
        seconds: wall time of the round.
    """

    step: int = 0
    phase: str = ""
    phase_round: int = 0
    phase_rounds: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, Tensor] = field(default_factory=dict)
    batch: RolloutBatch | FillBatch | None = None
    seconds: float = 0.0


def rollout_figures(batch: RolloutBatch, space: TokenSpace) -> dict[str, float]:
    """Figures of a rollout by TensorBoard tag.

    Args:
        batch: the joined shards.
        space: what counts as filling.

    Returns:
        Rewards, how many positions had no spread of Q at all, and rates.
    """
    mask_BT = space.mask(batch.tokens_BT)
    num_tokens = float(batch.num_completions * space.length / 2 + mask_BT.sum())
    return {
        "gen/reward_mean": float(batch.reward_B.mean()),
        "gen/reward_std": float(batch.reward_B.std(unbiased=False)),
        EQUAL_REWARDS: share_without_spread(batch.action_value_BT, mask_BT),
        "rollout/completions_per_s": batch.num_completions / batch.seconds,
        "rollout/tokens_per_s": num_tokens / batch.seconds,
    }


def share_without_spread(value_BT: Tensor, mask_BT: Tensor) -> float:
    """Share of the positions at which all sequences are worth the same: there is nothing to learn from a comparison.

    Args:
        value_BT: [B, T] float, what a sequence is worth at a position.
        mask_BT: [B, T] bool, which of them count.

    Returns:
        From 0 to 1, of the positions with at least two that count; 1 where there is no such position.
    """
    lowest_T = value_BT.masked_fill(~mask_BT, torch.inf).amin(dim=0)
    highest_T = value_BT.masked_fill(~mask_BT, -torch.inf).amax(dim=0)
    counts_T = mask_BT.sum(dim=0) >= 2
    return float((lowest_T == highest_T)[counts_T].float().mean()) if bool(counts_T.any()) else 1.0
