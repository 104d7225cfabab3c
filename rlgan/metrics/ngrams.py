"""All n-grams of a set of sentences, counted with sorted integer keys: a few array operations an order.

An n-gram is known by its number, and the number of a longer one is found from (number of its first n-1 tokens, last
token). Counts are rows (sentence, n-gram, count), which is what BLEU, Self-BLEU and distinct-n need.
"""

# L tokens of all sentences in a row, S starts of n-grams, E rows of (sentence, n-gram), G distinct n-grams

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlgan.metrics.sequences import Sentence

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class NgramCounts:
    """How often each n-gram of one order stands in each sentence.

    Example:
        "a b a" and "b" have the 1-grams a (number 0) and b (1): sentence_E = [0, 0, 1], ngram_E = [0, 1, 1],
        count_E = [2, 1, 1], num_ngrams = 2.

    Attributes:
        sentence_E: which sentence.
        ngram_E: the number of the n-gram, in [0, num_ngrams).
        count_E: how often, at least 1.
        num_ngrams: G, distinct n-grams known to the table.
    """

    sentence_E: IntArray
    ngram_E: IntArray
    count_E: IntArray
    num_ngrams: int


class NgramTable:
    """The n-grams of some sentences, of order 1 to `max_order`; further sentences are counted by its numbering.

    Attributes:
        counts: for order n at index n-1, the n-grams of the sentences it was made from.
        lengths: tokens of each of these sentences.
    """

    def __init__(self, sentences: Sequence[Sentence], max_order: int) -> None:
        if max_order < 1:
            raise ValueError(f"max_order must be at least 1; got {max_order}.")
        if not sentences:
            raise ValueError("n-grams need at least one sentence; got none.")
        self.lengths = _lengths(sentences)
        self._kind = _token_kind(sentences)
        self._number_of_token: dict[int | str, int] = {}
        for sentence in sentences:
            for token in sentence:
                self._number_of_token.setdefault(token, len(self._number_of_token))
        self._keys_by_order: list[IntArray] = []
        self.counts = self._count(sentences, max_order, learn=True)

    def count(self, sentences: Sequence[Sentence]) -> list[NgramCounts]:
        """Counts of further sentences; n-grams that are not in the table are left out.

        Args:
            sentences: tokens of the same kind (ids or strings) as those of the table.

        Returns:
            For order n at index n-1, the n-grams of these sentences.

        Raises:
            ValueError: if ids meet strings.
        """
        kind = _token_kind(sentences)
        if kind and self._kind and kind != self._kind:
            raise ValueError(f"both sets of sentences must hold ids, or both strings; got {kind} and {self._kind}.")
        return self._count(sentences, len(self._keys_by_order), learn=False)

    def _count(self, sentences: Sequence[Sentence], max_order: int, learn: bool) -> list[NgramCounts]:
        """Counts order by order; `learn` numbers new n-grams instead of leaving them out."""
        numbers = self._number_of_token
        token_L = np.array([numbers.get(token, -1) for sentence in sentences for token in sentence], dtype=np.int64)
        sentence_L = np.repeat(np.arange(len(sentences)), _lengths(sentences))
        start_S = np.flatnonzero(token_L >= 0)
        ngram_S = np.zeros(len(start_S), dtype=np.int64)
        counts = []
        for order in range(1, max_order + 1):
            end_S = start_S + order - 1
            inside_S = end_S < len(token_L)
            start_S, end_S, ngram_S = start_S[inside_S], end_S[inside_S], ngram_S[inside_S]
            known_S = (sentence_L[end_S] == sentence_L[start_S]) & (token_L[end_S] >= 0)
            start_S, ngram_S = start_S[known_S], ngram_S[known_S]
            key_S = ngram_S * len(numbers) + token_L[end_S[known_S]]
            if learn:
                self._keys_by_order.append(np.unique(key_S))
            keys = self._keys_by_order[order - 1]
            ngram_S = np.searchsorted(keys, key_S)
            found_S = np.append(keys, -1)[ngram_S] == key_S
            start_S, ngram_S = start_S[found_S], ngram_S[found_S]
            pair_E, count_E = np.unique(sentence_L[start_S] * max(1, len(keys)) + ngram_S, return_counts=True)
            sentence_E, ngram_E = np.divmod(pair_E, max(1, len(keys)))
            counts.append(NgramCounts(sentence_E, ngram_E, count_E.astype(np.int64), len(keys)))
        return counts


def _lengths(sentences: Sequence[Sentence]) -> IntArray:
    """Tokens of each sentence."""
    return np.array([len(sentence) for sentence in sentences], dtype=np.int64)


def _token_kind(sentences: Sequence[Sentence]) -> str:
    """What the tokens are, judged by the first: "strings", "ids", or "" where there is none."""
    first = next((token for sentence in sentences for token in sentence), None)
    if first is None:
        return ""
    if isinstance(first, str):
        return "strings"
    if isinstance(first, int | np.integer):
        return "ids"
    raise ValueError(f"tokens must be ids (int) or strings; got {type(first).__name__}. Use sequences_of for tensors.")
