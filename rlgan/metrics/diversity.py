"""How varied a sample is, and how much of it was copied."""

from collections.abc import Sequence

from rlgan.metrics.ngrams import NgramTable
from rlgan.metrics.sequences import Sentence


def distinct_n(sample: Sequence[Sentence], orders: Sequence[int] = (1, 2, 3)) -> dict[int, float]:
    """Distinct n-grams of a sample divided by all its n-grams (distinct-n, arXiv:1510.03055).

    MaskGAN's "% unique n-grams" (arXiv:1801.07736, Table 6) is 100 times this. It falls as the sample grows: compare
    only equal numbers of sentences of equal length.

    Args:
        sample: sentences, ids or strings.
        orders: which n.

    Returns:
        n -> distinct-n in [0, 1]; 0 where no sentence has n tokens.

    Raises:
        ValueError: if there are no orders.
    """
    if not orders:
        raise ValueError("orders must be numbers of at least 1, such as (1, 2, 3); got none.")
    counts_by_order = NgramTable(sample, max(orders)).counts
    return {
        order: counts_by_order[order - 1].num_ngrams / max(1, int(counts_by_order[order - 1].count_E.sum()))
        for order in orders
    }


def num_distinct_sequences(sample: Sequence[Sentence]) -> int:
    """How many different sequences a sample holds.

    Args:
        sample: sentences, ids or strings.

    Returns:
        A number of sequences, at most the size of the sample.
    """
    return len({tuple(sentence) for sentence in sample})


def copied_fraction(sample: Sequence[Sentence], train: Sequence[Sentence]) -> float:
    """How much of a sample is a copy of a training sequence, token for token.

    Args:
        sample: sentences, ids or strings.
        train: the training sequences, of the same kind.

    Returns:
        A fraction of the sample in [0, 1].

    Raises:
        ValueError: if the sample is empty.
    """
    if not sample:
        raise ValueError("the fraction of copies needs at least one sequence; got none.")
    known = {tuple(sentence) for sentence in train}
    return sum(tuple(sentence) in known for sentence in sample) / len(sample)
