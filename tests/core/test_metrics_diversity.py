"""Distinct-n, copies, and quality at equal diversity, worked by hand."""

import math

import pytest

from rlgan.metrics import (
    ExtrapolationError,
    Point,
    Summary,
    copied_fraction,
    distinct_n,
    gain_at_equal_diversity,
    num_distinct_sequences,
    quality_at_diversity,
    summarise,
    summarise_rows,
)


def test_distinct_n_by_hand() -> None:
    # 1-grams: a b c = 3 of 7. 2-grams: ab ba ab | ca ab -> ab ba ca = 3 of 5. 3-grams: aba bab | cab -> 3 of 3.
    sample = [["a", "b", "a", "b"], ["c", "a", "b"]]
    assert distinct_n(sample) == {1: pytest.approx(3 / 7), 2: pytest.approx(3 / 5), 3: 1.0}


def test_distinct_n_does_not_join_sentences_and_tells_collapse() -> None:
    assert distinct_n([[1], [2], [1]], (1, 2)) == {1: pytest.approx(2 / 3), 2: 0.0}
    assert distinct_n([[1, 2, 3]] * 50, (1, 2, 3))[3] == pytest.approx(1 / 50)


def test_distinct_n_without_orders_is_refused() -> None:
    with pytest.raises(ValueError, match="orders must be"):
        distinct_n([[1]], ())


def test_distinct_sequences_and_copies_by_hand() -> None:
    sample = [(1, 2), (1, 2), (2, 1), (1, 2, 3)]
    assert num_distinct_sequences(sample) == 3
    assert copied_fraction(sample, train=[[1, 2], [9]]) == 0.5
    assert copied_fraction(sample, train=[]) == 0.0
    with pytest.raises(ValueError, match="at least one sequence"):
        copied_fraction([], train=sample)


CURVE = [Point(6.0, -9.0), Point(4.0, -8.0), Point(5.0, -8.2)]


@pytest.mark.parametrize(("diversity", "quality"), [(4.0, -8.0), (4.5, -8.1), (5.0, -8.2), (5.25, -8.4), (6.0, -9.0)])
def test_curve_is_read_linearly(diversity: float, quality: float) -> None:
    assert quality_at_diversity(CURVE, diversity) == pytest.approx(quality)


@pytest.mark.parametrize("diversity", [3.999, 6.001])
def test_curve_is_not_extrapolated(diversity: float) -> None:
    with pytest.raises(ExtrapolationError, match=r"covers diversity from 4 to 6; got .* Add temperatures"):
        quality_at_diversity(CURVE, diversity)


def test_equal_diversities_are_averaged() -> None:
    assert quality_at_diversity([*CURVE, Point(4.0, -7.0)], 4.0) == pytest.approx(-7.5)


def test_curves_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 different diversities; got 1"):
        quality_at_diversity([Point(1.0, 2.0), Point(1.0, 3.0)], 1.0)
    with pytest.raises(ValueError, match="must be finite"):
        quality_at_diversity([Point(1.0, math.nan), Point(2.0, 3.0)], 1.0)
    with pytest.raises(ValueError, match="must be finite"):
        quality_at_diversity(CURVE, math.inf)


def test_summary_over_seeds() -> None:
    assert summarise([1.0, 2.0, 6.0]) == Summary(mean=3.0, sd=pytest.approx(math.sqrt(7.0)), n=3)
    assert summarise([2.5]) == Summary(2.5, None, 1)
    rows = [{"nll": 8.0, "entropy": 6.0}, {"nll": 9.0, "entropy": 6.0}]
    assert summarise_rows(rows) == {
        "nll": Summary(8.5, pytest.approx(math.sqrt(0.5)), 2),
        "entropy": Summary(6.0, 0.0, 2),
    }
    assert summarise_rows([]) == {}


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_summary_of_nothing_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one value, all finite"):
        summarise(values)


def test_rows_of_different_quantities_are_refused() -> None:
    with pytest.raises(ValueError, match="same quantities"):
        summarise_rows([{"nll": 1.0}, {"bleu": 1.0}])


def test_gain_is_paired_by_seed() -> None:
    shifted = [Point(point.diversity, point.quality + 1.0) for point in CURVE]
    models = [Point(4.5, -8.0), Point(5.0, -7.0)]  # +0.1 over the first sweep, +0.2 over the second
    assert gain_at_equal_diversity(models, [CURVE, shifted]) == Summary(
        mean=pytest.approx(0.15), sd=pytest.approx(math.sqrt(0.005)), n=2
    )


def test_gain_outside_the_sweep_or_unpaired_is_refused() -> None:
    with pytest.raises(ExtrapolationError):
        gain_at_equal_diversity([Point(7.0, 0.0)], [CURVE])
    with pytest.raises(ValueError, match="1 models and 2 sweeps"):
        gain_at_equal_diversity([Point(5.0, 0.0)], [CURVE, CURVE])
