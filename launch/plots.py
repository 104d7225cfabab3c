"""The plots of reports and comparisons, as PNG bytes; matplotlib without a screen and without its global state."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's colours, which differ for colour-blind readers too
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#666666")
_DPI = 110
_GRID = "#dddddd"
_PHASE_SHADES = ("#f2f2f2", "#ffffff")


@dataclass(frozen=True)
class Curve:
    """One line of a plot over steps.

    Example:
        `Curve("NLL oracle", steps=(1, 2), values=(9.4, 9.3))`

    Attributes:
        label: in the legend.
        steps: where.
        values: what; NaN leaves a gap.
        spread: half the height of a band around the line, or nothing.
        style: of the line, as matplotlib names it.
    """

    label: str
    steps: Sequence[float]
    values: Sequence[float]
    spread: Sequence[float] = ()
    style: str = "-"


@dataclass(frozen=True)
class PhaseSpan:
    """A phase on the axis of steps.

    Example:
        `PhaseSpan("likelihood", first=1, last=20)`

    Attributes:
        name: of the phase.
        first: its first step.
        last: its last step so far.
    """

    name: str
    first: int
    last: int


@dataclass(frozen=True)
class Axis:
    """What one axis of a quality-diversity plot shows.

    Example:
        `Axis("gen/nll_oracle", "NLL oracle (nats per token)", high_is_good=False)`

    Attributes:
        tag: TensorBoard tag of the figure.
        label: with its unit.
        high_is_good: whether high is good (or diverse); if not, the axis is drawn downwards.
        needs_equal_numbers: whether only figures of equally many sequences can be compared.
    """

    tag: str
    label: str
    high_is_good: bool
    needs_equal_numbers: bool = False

    def directed(self, value: float) -> float:
        """The value with the sign that makes high good.

        Args:
            value: of the figure.

        Returns:
            `value` or its negative.
        """
        return value if self.high_is_good else -value


@dataclass(frozen=True)
class Cloud:
    """Points of a quality-diversity plot that belong together.

    Example:
        `Cloud("seqgan", points=((6.1, 8.6), (6.0, 8.7)))`: two seeds.

    Attributes:
        label: in the legend.
        points: (diversity, quality).
        is_line: whether they are joined in the given order, as a sweep or a path in time is.
        notes: a word beside each point, or nothing.
        trails: where the points came from, drawn faintly; each is a line of (diversity, quality).
    """

    label: str
    points: Sequence[tuple[float, float]]
    is_line: bool = False
    notes: Sequence[str] = ()
    trails: Sequence[Sequence[tuple[float, float]]] = ()


def curves_png(
    curves: Sequence[Curve], phases: Sequence[PhaseSpan], y_label: str, y_range: tuple[float, float] | None = None
) -> bytes:
    """Lines over steps, with the phases marked.

    Args:
        curves: at least one.
        phases: in order.
        y_label: with its unit.
        y_range: of the axis; None fits it.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    _mark_phases(axes, phases)
    for curve, colour in zip(curves, _cycle(len(curves)), strict=True):
        few = len(curve.steps) <= 40
        axes.plot(curve.steps, curve.values, curve.style, color=colour, lw=1.6, label=curve.label)
        if few:
            axes.plot(curve.steps, curve.values, ".", color=colour, ms=5)
        if curve.spread:
            low = [value - half for value, half in zip(curve.values, curve.spread, strict=True)]
            high = [value + half for value, half in zip(curve.values, curve.spread, strict=True)]
            axes.fill_between(curve.steps, low, high, color=colour, alpha=0.18, lw=0)
    axes.set_xlabel("step (rounds of all phases)")
    axes.set_ylabel(y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if y_range is not None:
        axes.set_ylim(*y_range)
    _finish(axes)
    return _png(figure)


def quality_diversity_png(
    clouds: Sequence[Cloud], sweeps: Sequence[Cloud], diversity: Axis, quality: Axis, note: str = ""
) -> bytes:
    """Every model in one plane: good is up, diverse is right.

    Args:
        clouds: models, one a group.
        sweeps: the likelihood model at several temperatures, one line a seed; all in grey.
        diversity: the horizontal axis.
        quality: the vertical axis.
        note: under the plot.

    Returns:
        A PNG file.
    """
    figure = Figure(figsize=(8.4, 5.4), layout="constrained")
    axes = figure.add_subplot()
    for number, sweep in enumerate(sweeps):
        points = _finite_points(sweep.points)
        axes.plot(*_columns(points), "-o", color="#777777", lw=1.2, ms=3.5, label=sweep.label if number == 0 else None)
        if number == 0:
            named = [(point, text) for point, text in zip(sweep.points, sweep.notes, strict=False) if _is_finite(point)]
            for point, text in named:
                axes.annotate(
                    text, point, (5, -9), textcoords="offset points", fontsize=7, color="#777777", annotation_clip=True
                )
    for number, (cloud, colour) in enumerate(zip(clouds, _cycle(len(clouds)), strict=True)):
        _draw_cloud(axes, cloud, colour, "osD^vP*X"[number % 8])
    _zoom(axes, clouds, sweeps)
    if not diversity.high_is_good:
        axes.invert_xaxis()
    if not quality.high_is_good:
        axes.invert_yaxis()
    axes.set_xlabel(f"{diversity.label}   (more diverse →)")
    axes.set_ylabel(f"{quality.label}   (better →)")
    if note:
        figure.supxlabel(note, fontsize=8, color="#555555")
    _finish(axes)
    return _png(figure)


def axes_for(figures: Mapping[str, float]) -> tuple[Axis, Axis] | None:
    """The plane for what was measured.

    Args:
        figures: of an evaluation.

    Returns:
        Entropy and NLL_oracle where there is an oracle; entropy and true log-likelihood for the grammar; Self-BLEU-3
        and BLEU-3 for text; None where there is none of these.
    """
    if "eval/true_log_likelihood" in figures:
        return DIVERSITY_AXES["entropy"], Axis("eval/true_log_likelihood", "true log-likelihood (nats per blank)", True)
    if "gen/nll_oracle" in figures:
        return DIVERSITY_AXES["entropy"], QUALITY_AXES["nll-oracle"]
    if "eval/bleu_3" in figures:
        return DIVERSITY_AXES["self-bleu-3"], QUALITY_AXES["bleu-3"]
    return None


DIVERSITY_AXES = {
    "entropy": Axis("gen/entropy", "entropy of the policy (nats per token)", high_is_good=True),
    **{f"self-bleu-{n}": Axis(f"eval/self_bleu_{n}", f"Self-BLEU-{n}", False, True) for n in (2, 3, 4, 5)},
}
QUALITY_AXES = {
    "nll-oracle": Axis("gen/nll_oracle", "NLL oracle (nats per token)", high_is_good=False),
    **{f"bleu-{n}": Axis(f"eval/bleu_{n}", f"BLEU-{n}", high_is_good=True) for n in (2, 3, 4, 5)},
}


def _draw_cloud(axes: Axes, cloud: Cloud, colour: str, marker: str) -> None:
    """A group: points with the trails they came from, or one line with its end marked."""
    points = _finite_points(cloud.points)
    if not points:
        return
    for trail in cloud.trails:
        axes.plot(*_columns(_finite_points(trail)), "-", color=colour, lw=0.9, alpha=0.35)
    if cloud.is_line:
        axes.plot(*_columns(points), "-", color=colour, lw=1.4, marker=".", ms=4, label=cloud.label)
        axes.plot(*points[-1], "o", color=colour, ms=8)
    else:
        axes.plot(*_columns(points), marker, color=colour, ms=8, mec="white", mew=0.8, label=cloud.label)


def _zoom(axes: Axes, clouds: Sequence[Cloud], sweeps: Sequence[Cloud]) -> None:
    """Show all models, and of the sweeps what is near them."""
    models = _finite_points([point for cloud in clouds for line in (cloud.points, *cloud.trails) for point in line])
    known = models + _finite_points([point for sweep in sweeps for point in sweep.points])
    if not models:
        return
    axes.set_xlim(*_limits([x for x, _ in models], [x for x, _ in known]))
    axes.set_ylim(*_limits([y for _, y in models], [y for _, y in known]))


def _limits(of_models: Sequence[float], of_all: Sequence[float]) -> tuple[float, float]:
    """The range of the models with a margin, but no emptiness beyond what there is."""
    low, high = min(of_models), max(of_models)
    margin = 0.6 * (high - low) or 0.1 * abs(high) or 1.0
    edge = 0.08 * margin
    return max(low - margin, min(of_all) - edge), min(high + margin, max(of_all) + edge)


def _mark_phases(axes: Axes, phases: Sequence[PhaseSpan]) -> None:
    """Shade every other phase and name all."""
    for number, phase in enumerate(phases):
        axes.axvspan(phase.first - 0.5, phase.last + 0.5, color=_PHASE_SHADES[number % 2], lw=0, zorder=0)
        axes.annotate(
            phase.name,
            ((phase.first + phase.last) / 2, 1.0),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color="#555555",
        )
    if phases:
        axes.set_xlim(phases[0].first - 0.5, phases[-1].last + 0.5)


def _finish(axes: Axes) -> None:
    """Grid, legend and frame."""
    axes.grid(color=_GRID, lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="best")


def _finite_points(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that can be drawn."""
    return [point for point in points if _is_finite(point)]


def _is_finite(point: tuple[float, float]) -> bool:
    """Whether a point can be drawn."""
    return all(math.isfinite(number) for number in point)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The two coordinates apart."""
    return [x for x, _ in points], [y for _, y in points]


def _cycle(count: int) -> list[str]:
    """As many colours as there are things."""
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def _png(figure: Figure) -> bytes:
    """The figure as a file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
