"""BLEU-n against references and Self-BLEU-n within a sample, exact and fast, scored by sacrebleu.

The score of one sentence is sacrebleu's with smooth_method="floor", smooth_value=0.1, tokenize="none" and uniform
weights (NLTK's method1 gives the same wherever the sentence has at least n tokens; a shorter one scores 0 here). The
result is its mean over all hypotheses, as a fraction of 1. Texygen (arXiv:1802.01886) reports the same quantities.
"""

# E rows of (sentence, n-gram), G distinct n-grams

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sacrebleu.metrics import BLEU

from rlgan.metrics.ngrams import IntArray, NgramCounts, NgramTable
from rlgan.metrics.sequences import Sentence

ORDERS = (2, 3, 4, 5)
_SMOOTH_METHOD = "floor"
_SMOOTH_VALUE = 0.1


class BleuReferences:
    """References counted once, for any number of samples.

    Example:
        `references = BleuReferences(held_out)`, then `references.bleu(sample)[2]` in every evaluation.
    """

    def __init__(self, references: Sequence[Sentence], orders: Sequence[int] = ORDERS) -> None:
        self.orders = _checked_orders(orders)
        self._table = NgramTable(references, max(self.orders))
        self._largest_by_order = [_largest_counts(counts) for counts in self._table.counts]
        self._lengths = np.unique(self._table.lengths)

    def bleu(self, hypotheses: Sequence[Sentence]) -> dict[int, float]:
        """Mean sentence BLEU; no hypothesis may come from the references.

        Args:
            hypotheses: sentences, ids or strings as the references are.

        Returns:
            n -> BLEU-n in [0, 1].

        Raises:
            ValueError: if there is no hypothesis.
        """
        if not hypotheses:
            raise ValueError("BLEU needs at least one hypothesis; got none.")
        clipped = [
            _sum_by_sentence(counts, np.minimum(counts.count_E, largest_G[counts.ngram_E]), len(hypotheses))
            for counts, largest_G in zip(self._table.count(hypotheses), self._largest_by_order, strict=True)
        ]
        lengths = np.array([len(hypothesis) for hypothesis in hypotheses], dtype=np.int64)
        closest = np.array([_closest(self._lengths, length) for length in lengths], dtype=np.int64)
        return _mean_scores(clipped, lengths, closest, self.orders)

    def signature(self) -> str:
        """What was computed, in sacrebleu's words and ours.

        Returns:
            One line; two numbers may be compared if theirs are equal.
        """
        return _signature("BLEU", self.orders, len(self._table.lengths))


def self_bleu(
    sample: Sequence[Sentence], orders: Sequence[int] = ORDERS, num_hypotheses: int | None = None
) -> dict[int, float]:
    """Mean sentence BLEU of each sentence against all others of the sample; high means little diversity.

    A sentence is never its own reference, but its exact duplicates are. The value grows with the size of the sample:
    compare only equal sizes.

    Args:
        sample: at least two sentences.
        orders: which n.
        num_hypotheses: score only the first so many; all remain references. None scores all.

    Returns:
        n -> Self-BLEU-n in [0, 1].

    Raises:
        ValueError: if there are fewer than two sentences, or no hypothesis is left.
    """
    if len(sample) < 2:
        raise ValueError(f"Self-BLEU needs at least 2 sentences; got {len(sample)}.")
    num_scored = len(sample) if num_hypotheses is None else min(num_hypotheses, len(sample))
    if num_scored < 1:
        raise ValueError(f"num_hypotheses must be at least 1; got {num_hypotheses}.")
    table = NgramTable(sample, max(_checked_orders(orders)))
    clipped = [
        _sum_by_sentence(counts, np.minimum(counts.count_E, _largest_of_others(counts)), len(sample))[:num_scored]
        for counts in table.counts
    ]
    unique_lengths, multiplicity = np.unique(table.lengths, return_counts=True)
    closest = np.empty(num_scored, dtype=np.int64)
    for index, length in enumerate(table.lengths[:num_scored]):
        is_only_one = multiplicity[np.searchsorted(unique_lengths, length)] == 1
        others = unique_lengths[unique_lengths != length] if is_only_one else unique_lengths
        closest[index] = _closest(others, length)
    return _mean_scores(clipped, table.lengths[:num_scored], closest, orders)


@dataclass(frozen=True)
class BleuReport:
    """A sample and real data under one protocol.

    Example:
        `BleuReport(bleu={2: 0.67}, self_bleu={2: 0.71}, real_bleu={2: 0.75}, real_self_bleu={2: 0.69},
        num_sentences=1000, signature="...")`: the ceiling of BLEU-2 is 0.75; real data is a little more diverse.

    Attributes:
        bleu: n -> BLEU-n of the sample against the references.
        self_bleu: n -> Self-BLEU-n of the sample.
        real_bleu: n -> BLEU-n of as many real sentences against the same references, the ceiling.
        real_self_bleu: n -> Self-BLEU-n of these real sentences.
        num_sentences: how many sentences of each were used.
        signature: the protocol in one line.
    """

    bleu: dict[int, float]
    self_bleu: dict[int, float]
    real_bleu: dict[int, float]
    real_self_bleu: dict[int, float]
    num_sentences: int
    signature: str


def bleu_report(sample: Sequence[Sentence], real: Sequence[Sentence], references: BleuReferences) -> BleuReport:
    """BLEU and Self-BLEU of a sample beside those of real sentences: equal numbers of both, the same references.

    Args:
        sample: drawn from the model.
        real: real sentences that are not among the references (held-out ones if the references are training data).
        references: what both are compared with.

    Returns:
        Both, cut to the smaller of the two numbers of sentences.
    """
    size = min(len(sample), len(real))
    sample, real = sample[:size], real[:size]
    return BleuReport(
        bleu=references.bleu(sample),
        self_bleu=self_bleu(sample, references.orders),
        real_bleu=references.bleu(real),
        real_self_bleu=self_bleu(real, references.orders),
        num_sentences=size,
        signature=f"{references.signature()}|nhyps:{size}|self-bleu:leave-one-out",
    )


def _checked_orders(orders: Sequence[int]) -> tuple[int, ...]:
    """The orders, once they are known to be some positive numbers."""
    if not orders or min(orders) < 1:
        raise ValueError(f"orders must be numbers of at least 1, such as (2, 3, 4, 5); got {tuple(orders)}.")
    return tuple(orders)


def _largest_counts(counts: NgramCounts) -> IntArray:
    """[G] the largest count of every n-gram in any one sentence."""
    largest_G = np.zeros(counts.num_ngrams, dtype=np.int64)
    np.maximum.at(largest_G, counts.ngram_E, counts.count_E)
    return largest_G


def _largest_of_others(counts: NgramCounts) -> IntArray:
    """[E] the largest count of the same n-gram in any other sentence: the second largest for the only holder."""
    largest_G = _largest_counts(counts)
    holds_largest_E = counts.count_E == largest_G[counts.ngram_E]
    num_holders_G = np.bincount(counts.ngram_E[holds_largest_E], minlength=counts.num_ngrams)
    only_holder_E = holds_largest_E & (num_holders_G[counts.ngram_E] == 1)
    second_G = np.zeros(counts.num_ngrams, dtype=np.int64)
    np.maximum.at(second_G, counts.ngram_E[~only_holder_E], counts.count_E[~only_holder_E])
    return np.where(only_holder_E, second_G[counts.ngram_E], largest_G[counts.ngram_E])


def _sum_by_sentence(counts: NgramCounts, value_E: IntArray, num_sentences: int) -> IntArray:
    """Sums of the rows of each sentence."""
    sums: IntArray = np.bincount(counts.sentence_E, weights=value_E, minlength=num_sentences).astype(np.int64)
    return sums


def _closest(unique_lengths: IntArray, length: int) -> int:
    """The reference length nearest to that of the hypothesis, the shorter of two (as sacrebleu and NLTK choose)."""
    return int(min(unique_lengths, key=lambda other: (abs(int(other) - int(length)), other)))


def _mean_scores(
    clipped_by_order: list[IntArray], lengths: IntArray, closest: IntArray, orders: Sequence[int]
) -> dict[int, float]:
    """Sentence BLEU from matched n-grams and lengths, by sacrebleu, averaged."""
    totals_by_order = [np.maximum(lengths - order, -1) + 1 for order in range(1, len(clipped_by_order) + 1)]
    scores: dict[int, list[float]] = {order: [] for order in orders}
    for index in range(len(lengths)):
        correct = [int(clipped[index]) for clipped in clipped_by_order]
        total = [int(totals[index]) for totals in totals_by_order]
        for order in orders:
            score = BLEU.compute_bleu(
                correct[:order],
                total[:order],
                int(lengths[index]),
                int(closest[index]),
                smooth_method=_SMOOTH_METHOD,
                smooth_value=_SMOOTH_VALUE,
                max_ngram_order=order,
            )
            scores[order].append(score.score / 100.0)
    return {order: float(np.mean(values)) for order, values in scores.items()}


def _signature(name: str, orders: Sequence[int], num_references: int) -> str:
    """The signature of sacrebleu with what it leaves out."""
    metric = BLEU(smooth_method=_SMOOTH_METHOD, smooth_value=_SMOOTH_VALUE, tokenize="none", force=True)
    metric.num_refs = num_references
    return f"{name}-{','.join(map(str, orders))}|mean of sentences|{metric.get_signature().format()}"
