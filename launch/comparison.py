"""The numbers of a comparison: several seeds of several kinds of run, judged alike, at equal diversity.

Every run is compared with the likelihood model of its own seed: what that reaches by its temperature alone at the
diversity of the run. A run outside the sweep gets no such figure.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from rlgan.evaluation import SweepPoint, comparable
from rlgan.launch.plots import Axis
from rlgan.metrics.quality_diversity import ExtrapolationError, Point, quality_at_diversity

LIKELIHOOD, REAL = "likelihood (MLE), temperature 1", "real data"
FIGURE_NAMES = {
    "gen/nll_oracle": "NLL oracle",
    "gen/nll_test": "NLL held out",
    "gen/entropy": "entropy",
    **{f"eval/bleu_{n}": f"BLEU-{n}" for n in (2, 3, 4, 5)},
    **{f"eval/self_bleu_{n}": f"Self-BLEU-{n}" for n in (2, 3, 4, 5)},
    **{f"eval/distinct_{n}": f"distinct-{n}" for n in (1, 2, 3)},
    "eval/distinct_sequences": "distinct sequences",
    "eval/copied_from_training": "copied",
}
MLE_THERE, GAIN, MLE_HELD_OUT_THERE = "mle_at_equal_diversity", "gain_over_mle", "mle_nll_test_at_equal_diversity"
_HELD_OUT = Axis("gen/nll_test", "held-out NLL (nats per token)", high_is_good=False)

Cell: TypeAlias = float | str
"""The figure of one seed, or why there is none."""
Rows: TypeAlias = dict[str, dict[str, list[Cell]]]
"""Group -> column -> one cell a seed."""


@dataclass(frozen=True)
class RunResult:
    """One run, judged.

    Example:
        `RunResult(Path("runs/a"), label="seqgan", seed=1, step=320, is_control=False, figures={"gen/entropy": 6.1},
        likelihood={...}, sweep=(...), trajectory=(...))`

    Attributes:
        path: the run directory.
        label: its group.
        seed: of the run.
        step: of the checkpoint.
        is_control: whether its reward ignores the discriminator.
        figures: of its final generator, by TensorBoard tag.
        likelihood: of the likelihood model it started from, at temperature 1; empty where the run kept none.
        sweep: of that model; empty where the run kept none.
        trajectory: figures of the evaluations along its adversarial rounds, and of the last one before them.
    """

    path: Path
    label: str
    seed: int
    step: int
    is_control: bool
    figures: dict[str, float]
    likelihood: dict[str, float]
    sweep: tuple[SweepPoint, ...]
    trajectory: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Comparison:
    """All runs, judged in one plane.

    Example:
        `Comparison(results, real={...}, diversity=DIVERSITY_AXES["entropy"], quality=QUALITY_AXES["nll-oracle"],
        settings={"reward": {"seqgan": "discriminator", "constant reward": "constant"}}, num_samples=2000, seed=0,
        data="oracle-1a2b3c4d")`

    Attributes:
        results: in the order given.
        real: figures of real training sequences, the ceiling.
        diversity: at equal what.
        quality: what is compared.
        settings: in which the groups differ: setting -> label -> value.
        num_samples: sequences drawn from every generator.
        seed: of the draws.
        data: name of the data.
    """

    results: tuple[RunResult, ...]
    real: dict[str, float]
    diversity: Axis
    quality: Axis
    settings: dict[str, dict[str, str]]
    num_samples: int
    seed: int
    data: str

    def group_rows(self) -> Rows:
        """The figures of every group.

        Returns:
            The likelihood model, the groups of runs, and real data. The columns are tags, and for groups of runs the
            quality of the likelihood model at their diversity, how much better they are, and its held-out NLL there.
        """
        rows: Rows = {}
        models = _distinct([result.likelihood for result in self.results])
        if models:
            rows[LIKELIHOOD] = {tag: [model[tag] for model in models if tag in model] for tag in FIGURE_NAMES}
        for result in self.results:
            row = rows.setdefault(result.label, {})
            for tag in FIGURE_NAMES:
                if tag in result.figures:
                    row.setdefault(tag, []).append(result.figures[tag])
            sweep = [point.figures for point in result.sweep]
            row.setdefault(MLE_THERE, []).append(self.read_curve(sweep, result, self.quality))
            row.setdefault(GAIN, []).append(self.gain_over(sweep, result))
            row.setdefault(MLE_HELD_OUT_THERE, []).append(self.read_curve(sweep, result, _HELD_OUT))
        rows[REAL] = {tag: [self.real[tag]] for tag in FIGURE_NAMES if tag in self.real}
        return rows

    def control_rows(self) -> Rows:
        """Every group that learned from a discriminator against the trajectories of the controls of the same seeds.

        Returns:
            Group -> control -> how much better at equal diversity, one cell a pair.
        """
        rows: Rows = {}
        for result in self.results:
            for control in self.results:
                if control.is_control and not result.is_control and control.seed == result.seed:
                    cell = self.gain_over(control.trajectory, result)
                    rows.setdefault(result.label, {}).setdefault(control.label, []).append(cell)
        return rows

    def gain_over(self, curve: Sequence[Mapping[str, float]], result: RunResult) -> Cell:
        """How much better a run is than a curve at the run's diversity.

        Args:
            curve: figures of the points of a sweep or trajectory.
            result: the run.

        Returns:
            In the unit of quality, positive where the run is better; or why there is none.
        """
        there = self.read_curve(curve, result, self.quality)
        if isinstance(there, str):
            return there
        return self.quality.directed(result.figures[self.quality.tag]) - self.quality.directed(there)

    def is_comparable(self, figures: Mapping[str, float], others: Mapping[str, float]) -> bool:
        """Whether two models can be compared in this plane.

        Args:
            figures: of one.
            others: of the other.

        Returns:
            False where an axis depends on the number of sequences and that differs.
        """
        return not self.diversity.needs_equal_numbers or comparable(figures, others)

    def read_curve(self, curve: Sequence[Mapping[str, float]], result: RunResult, axis: Axis) -> Cell:
        """A figure of a curve at the diversity of a run, by linear interpolation.

        Args:
            curve: figures of the points of a sweep or trajectory.
            result: the run.
            axis: which figure.

        Returns:
            The figure in its own unit; or why there is none.
        """
        rows = [row for row in curve if self.is_comparable(row, result.figures)]
        if curve and not rows:
            return "another number of sequences was measured"
        pairs = [(row.get(self.diversity.tag, math.nan), row.get(axis.tag, math.nan)) for row in rows]
        points = [Point(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
        at = result.figures[self.diversity.tag]
        if not points:
            return "nothing to compare with"
        try:
            return quality_at_diversity(points, at)
        except ExtrapolationError:
            low, high = (end(point.diversity for point in points) for end in (min, max))
            return f"{at:.4g} is outside {low:.4g} to {high:.4g}"
        except ValueError:
            return "nothing to compare with"


def _distinct(models: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """The likelihood models, each once though several runs started from it."""
    distinct: list[dict[str, float]] = []
    for model in models:
        if model and model not in distinct:
            distinct.append(model)
    return distinct
