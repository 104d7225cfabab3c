"""Quality at equal diversity: a model against the temperature sweep of the likelihood model it started from.

A generator can trade diversity for quality by its temperature alone (arXiv:1811.02549), so a gain counts only against
what the sweep reaches at the same diversity, and only inside the sweep.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


class ExtrapolationError(ValueError):
    """A comparison at a diversity that the sweep does not cover."""


@dataclass(frozen=True)
class Point:
    """One model, or one temperature, in the plane.

    Example:
        `Point(diversity=6.0, quality=-8.7)`: entropy in nats, and minus NLL_oracle so that high is good.

    Attributes:
        diversity: high is diverse.
        quality: in any unit that the caller names.
    """

    diversity: float
    quality: float


@dataclass(frozen=True)
class Summary:
    """One quantity over several seeds.

    Example:
        `Summary(mean=8.6, sd=0.05, n=3)`

    Attributes:
        mean: over seeds.
        sd: sample standard deviation (n - 1); None for one seed.
        n: number of seeds.
    """

    mean: float
    sd: float | None
    n: int


def summarise(values: Sequence[float]) -> Summary:
    """Mean, standard deviation and number of one quantity over seeds.

    Args:
        values: one a seed.

    Returns:
        The summary.

    Raises:
        ValueError: if there is no value or one is not finite.
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"a summary needs at least one value, all finite; got {list(values)}.")
    return Summary(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))


def summarise_rows(rows: Sequence[Mapping[str, float]]) -> dict[str, Summary]:
    """A table row from the results of several seeds.

    Args:
        rows: one a seed, all with the same names.

    Returns:
        Name -> summary over the seeds.

    Raises:
        ValueError: if the names differ.
    """
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ValueError(f"every seed must report the same quantities; got {[sorted(row) for row in rows]}.")
    return {name: summarise([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def quality_at_diversity(curve: Sequence[Point], diversity: float) -> float:
    """Quality of a curve at a given diversity, linear between its points; never outside them.

    Args:
        curve: at least two points in any order; points of equal diversity count by their mean quality.
        diversity: where to read the curve.

    Returns:
        The quality there.

    Raises:
        ValueError: if there are fewer than two different diversities, or a number is not finite.
        ExtrapolationError: if the curve does not reach that diversity; extend the sweep.
    """
    numbers = [diversity, *(number for point in curve for number in (point.diversity, point.quality))]
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"diversity and quality must be finite; got {numbers}.")
    at: dict[float, list[float]] = {}
    for point in curve:
        at.setdefault(point.diversity, []).append(point.quality)
    knots = [(x, statistics.fmean(at[x])) for x in sorted(at)]
    if len(knots) < 2:
        raise ValueError(f"a curve needs at least 2 different diversities; got {len(knots)}.")
    if not knots[0][0] <= diversity <= knots[-1][0]:
        span = f"from {knots[0][0]:.4g} to {knots[-1][0]:.4g}"
        raise ExtrapolationError(
            f"the sweep covers diversity {span}; got {diversity:.4g}. Add temperatures to the sweep."
        )
    pairs = pairwise(knots)
    (left_x, left_y), (right_x, right_y) = next(pair for pair in pairs if diversity <= pair[1][0])
    return left_y + (right_y - left_y) * (diversity - left_x) / (right_x - left_x)


def gain_at_equal_diversity(models: Sequence[Point], curves: Sequence[Sequence[Point]]) -> Summary:
    """Quality of a model minus that of the sweep at the model's diversity, paired by seed.

    Args:
        models: the model of each seed.
        curves: the sweep of the likelihood model of the same seed, in the same order.

    Returns:
        The gain over seeds, in the unit of quality. It is good where high quality is good.

    Raises:
        ValueError: if the numbers of seeds differ; an `ExtrapolationError` if a model lies outside its sweep.
    """
    if len(models) != len(curves):
        raise ValueError(f"every model needs the sweep of its seed; got {len(models)} models and {len(curves)} sweeps.")
    gains = [
        model.quality - quality_at_diversity(curve, model.diversity)
        for model, curve in zip(models, curves, strict=True)
    ]
    return summarise(gains)
