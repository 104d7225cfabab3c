"""BLEU and Self-BLEU against sacrebleu with explicit references, NLTK's formula and hand-worked numbers."""

import itertools
import math
import random
import time
from collections import Counter

import pytest
import torch
from sacrebleu.metrics import BLEU

from rlgan.metrics import BleuReferences, bleu_report, self_bleu, sequences_of
from rlgan.types import TokenSpace

ORDERS = (2, 3, 4, 5)


def random_sentences(seed: int, num: int, shortest: int = 0, longest: int = 12, vocab: int = 6) -> list[list[str]]:
    generator = random.Random(seed)
    lengths = [generator.randint(shortest, longest) for _ in range(num)]
    return [[f"w{generator.randrange(vocab)}" for _ in range(length)] for length in lengths]


def sacrebleu_mean(hypotheses: list, references_of) -> dict[int, float]:
    """Sentence by sentence, each with its explicit list of references."""
    means = {}
    for order in ORDERS:
        metric = BLEU(smooth_method="floor", smooth_value=0.1, tokenize="none", max_ngram_order=order, force=True)
        scores = [
            metric.sentence_score(
                " ".join(hypothesis), [" ".join(reference) for reference in references_of(index)]
            ).score
            for index, hypothesis in enumerate(hypotheses)
        ]
        means[order] = sum(scores) / len(scores) / 100
    return means


def nltk_method1(hypothesis: list, references: list, order: int) -> float:
    """What nltk.translate.bleu_score.sentence_bleu gives with uniform weights and method1, from its formulas."""
    log_sum = 0.0
    for n in range(1, order + 1):
        grams = Counter(zip(*(hypothesis[i:] for i in range(n)), strict=False))
        best = {
            gram: max(Counter(zip(*(ref[i:] for i in range(n)), strict=False))[gram] for ref in references)
            for gram in grams
        }
        matched = sum(min(count, best[gram]) for gram, count in grams.items())
        if n == 1 and matched == 0:
            return 0.0
        log_sum += math.log((matched or 0.1) / max(1, sum(grams.values()))) / order
    closest = min((abs(len(ref) - len(hypothesis)), len(ref)) for ref in references)[1]
    penalty = 1.0 if len(hypothesis) > closest else math.exp(1 - closest / len(hypothesis))
    return penalty * math.exp(log_sum)


def test_hand_worked_precisions_and_floor() -> None:
    # 1-grams 4/4, 2-grams ab, bc of 3, 3-gram abc of 2, 4-gram 0 of 1 -> 0.1, no 5-gram at all; lengths 4 and 4.
    scores = BleuReferences([list("abxd"), list("abc")]).bleu([list("abcd")])
    assert scores[2] == pytest.approx(math.sqrt(2 / 3))
    assert scores[3] == pytest.approx((1 / 3) ** (1 / 3))
    assert scores[4] == pytest.approx((1 / 30) ** (1 / 4))
    assert scores[5] == 0.0


def test_hand_worked_clipping() -> None:
    # "a" counts twice at most (2/3), "a a" once (1/2), by the reference that has most.
    scores = BleuReferences([["a"], ["a", "a"], ["a", "b"]], orders=(1, 2)).bleu([["a", "a", "a"]])
    assert scores == {1: pytest.approx(2 / 3), 2: pytest.approx(math.sqrt(1 / 3))}


def test_hand_worked_brevity() -> None:
    assert BleuReferences([list("abcd")], (1,)).bleu([list("ab")])[1] == pytest.approx(math.exp(-1))
    # 2 and 4 are equally near to 3: the shorter counts, hence no penalty.
    assert BleuReferences([list("abcd"), list("ab")], (1,)).bleu([list("abc")])[1] == pytest.approx(1.0)
    assert BleuReferences([list("abcd"), list("a")], (1,)).bleu([list("abc")])[1] == pytest.approx(math.exp(-1 / 3))


def test_mean_over_hypotheses() -> None:
    assert BleuReferences([[1, 2, 3]], (1,)).bleu([[1, 2, 3], [7, 8, 9], [1, 2, 9]])[1] == pytest.approx(
        (1 + 0 + 2 / 3) / 3
    )


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_sacrebleu(seed: int) -> None:
    references, hypotheses = random_sentences(seed, 15), random_sentences(100 + seed, 20, vocab=8)
    expected = sacrebleu_mean(hypotheses, lambda _: references)
    assert BleuReferences(references).bleu(hypotheses) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_nltk_method1_where_long_enough(seed: int) -> None:
    references, hypotheses = random_sentences(seed, 8), random_sentences(50 + seed, 10, shortest=5, vocab=9)
    scores = BleuReferences(references).bleu(hypotheses)
    for order in ORDERS:
        expected = sum(nltk_method1(hypothesis, references, order) for hypothesis in hypotheses) / len(hypotheses)
        assert scores[order] == pytest.approx(expected)


def test_ids_and_strings_score_alike() -> None:
    references, hypotheses = random_sentences(1, 9), random_sentences(2, 9)
    number = {f"w{index}": index * 1000 for index in range(6)}
    as_ids = [[[number[word] for word in sentence] for sentence in sentences] for sentences in (references, hypotheses)]
    assert BleuReferences(as_ids[0]).bleu(as_ids[1]) == BleuReferences(references).bleu(hypotheses)


def test_ids_never_join_into_other_ids() -> None:
    # (1, 23) and (12, 3) would be equal if ids were joined without a separator.
    assert BleuReferences([[1, 23]], (2,)).bleu([[12, 3]])[2] == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_self_bleu_leaves_one_out_exactly(seed: int) -> None:
    sample = random_sentences(seed, 12, longest=9, vocab=4)
    sample += [
        sample[0],
        sample[3],
        sample[3],
        ["w0"] * 15,
        ["w1"] * 4 + ["w0"] * 3,
    ]  # duplicates, and lengths of their own
    expected = sacrebleu_mean(sample, lambda index: sample[:index] + sample[index + 1 :])
    assert self_bleu(sample) == pytest.approx(expected)


def test_self_bleu_of_a_part_uses_all_as_references() -> None:
    sample = random_sentences(7, 10, shortest=3)
    expected = sacrebleu_mean(sample[:4], lambda index: sample[:index] + sample[index + 1 :])
    assert self_bleu(sample, num_hypotheses=4) == pytest.approx(expected)


def test_self_bleu_hand_worked() -> None:
    assert self_bleu([[1, 2], [3, 4], [5, 6]], (1, 2)) == {1: 0.0, 2: 0.0}  # nothing shared: not its own reference
    assert self_bleu([[1, 2, 3]] * 2, (1, 2, 3)) == pytest.approx({1: 1.0, 2: 1.0, 3: 1.0})  # a duplicate is
    # [1, 1, 1] against [1, 1, 2]: 2/3; [1, 1, 2] against [1, 1, 1]: 2/3.
    assert self_bleu([[1, 1, 1], [1, 1, 2]], (1,))[1] == pytest.approx(2 / 3)


def test_self_bleu_does_not_keep_references_of_an_earlier_sample() -> None:
    first, second = random_sentences(1, 8), random_sentences(2, 8)
    before = self_bleu(second)
    self_bleu(first)
    assert self_bleu(second) == before


def test_report_has_equal_numbers_and_the_ceiling() -> None:
    references, real, sample = (random_sentences(seed, num) for seed, num in ((1, 20), (2, 6), (3, 9)))
    report = bleu_report(sample, real, BleuReferences(references, (2, 3)))
    assert report.num_sentences == 6
    assert report.real_bleu == BleuReferences(references, (2, 3)).bleu(real)
    assert report.bleu == BleuReferences(references, (2, 3)).bleu(sample[:6])
    assert report.self_bleu == self_bleu(sample[:6], (2, 3)) and report.real_self_bleu == self_bleu(real, (2, 3))


def test_signature_is_that_of_sacrebleu() -> None:
    signature = BleuReferences([[1, 2]] * 7).signature()
    assert signature.startswith("BLEU-2,3,4,5|mean of sentences|nrefs:7|case:mixed|eff:no|tok:none|smooth:floor[0.10]|")


def test_ten_thousand_references_are_quick() -> None:
    sentences = random_sentences(0, 11_000, shortest=20, longest=20, vocab=2000)
    start = time.perf_counter()
    BleuReferences(sentences[:10_000]).bleu(sentences[10_000:])
    self_bleu(sentences[:10_000], num_hypotheses=1000)
    assert time.perf_counter() - start < 30  # about 1 s alone; sentence by sentence it would take many minutes


def test_tensors_become_sequences_without_the_end_token() -> None:
    tokens_NT = torch.tensor([[5, 6, 2, 2], [2, 2, 2, 2], [5, 6, 7, 8]])
    assert sequences_of(tokens_NT, TokenSpace(9, 4, end_id=2)) == [(5, 6), (), (5, 6, 7, 8)]
    assert sequences_of(tokens_NT, TokenSpace(9, 4)) == [(5, 6, 2, 2), (2, 2, 2, 2), (5, 6, 7, 8)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BleuReferences([]), "at least one sentence"),
        (lambda: BleuReferences([[1]]).bleu([]), "at least one hypothesis"),
        (lambda: BleuReferences([[1]], ()), "orders must be numbers of at least 1"),
        (lambda: BleuReferences([[1]], (0,)), "orders must be numbers of at least 1"),
        (lambda: BleuReferences([[1]]).bleu([["a"]]), "both strings; got strings and ids"),
        (lambda: BleuReferences([torch.tensor([1, 2])]), "got Tensor. Use sequences_of"),
        (lambda: self_bleu([[1]]), "at least 2 sentences; got 1"),
        (lambda: self_bleu([[1], [2]], num_hypotheses=0), "num_hypotheses must be at least 1"),
        (lambda: self_bleu([[1], [2]], ()), "orders must be numbers of at least 1"),
    ],
)
def test_misuse_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_sentences_of_no_tokens_score_zero() -> None:
    assert BleuReferences([[], [1, 2]], (1,)).bleu([[]]) == {1: 0.0}
    assert self_bleu([[], []], (1, 2)) == {1: 0.0, 2: 0.0}
    assert list(itertools.chain.from_iterable(sequences_of(torch.full((2, 3), 1), TokenSpace(2, 3, end_id=1)))) == []
