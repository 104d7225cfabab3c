"""What a round is, and what it reports."""

# B sequences, T positions

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rlgan.fills import FillBatch
from rlgan.types import RolloutBatch, TokenSpace


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
    spread_T = torch.stack(
        [q[m].std(unbiased=False) for q, m in zip(batch.action_value_BT.T, mask_BT.T, strict=True) if m.any()]
    )
    num_tokens = float(batch.num_completions * space.length / 2 + mask_BT.sum())
    return {
        "gen/reward_mean": float(batch.reward_B.mean()),
        "gen/reward_std": float(batch.reward_B.std(unbiased=False)),
        "gen/frac_reward_zero_std": float((spread_T == 0).float().mean()),
        "rollout/completions_per_s": batch.num_completions / batch.seconds,
        "rollout/tokens_per_s": num_tokens / batch.seconds,
    }
