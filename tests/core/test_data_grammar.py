"""The grammar: the inside algorithm against enumeration and against counted samples; the source made of it."""

import itertools
import math

import numpy as np
import pytest
import torch

from rlgan.data import CorpusConfig, Grammar, GrammarSource, load_source
from rlgan.data.grammar import BLANK, NOTHING, OTHER
from rlgan.errors import ConfigError
from rlgan.settings import filled

GRAMMAR = Grammar()


def ids(*texts: str, length: int = 8) -> np.ndarray:
    rows = np.full((len(texts), length), NOTHING)
    special = {"_": BLANK, "?": OTHER}
    for row, text in zip(rows, texts, strict=True):
        words = text.split()
        row[: len(words)] = [special.get(w, GRAMMAR.words.index(w) if w in GRAMMAR.words else -9) for w in words]
    return rows


def test_one_sentence_by_hand() -> None:
    """S -> Subject_s Verbs_s (.45); Subject_s -> The_s Beings_s (.8); first words of 4, 10 and 6."""
    share = {n: 0.5 / sum(1 / (k + 2) for k in range(n)) for n in (4, 6, 10)}
    expected = 0.45 * 0.8 * share[4] * (6 / 10) * share[10] * (3 / 11) * share[6]
    assert np.exp(GRAMMAR.log_prob(ids("the dog sleeps")))[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "is_good"),
    [
        ("the dog sleeps", True), ("the dog sleep", False), ("the dogs sleep", True),
        ("the dog near the cats sleeps", True), ("the dog near the cats sleep", False),
        ("anna eats the apple", True), ("anna eats the dog", False), ("anna and ben", False),
        ("anna runs and ben sings", True), ("the dog that the cats see sleeps", True),
        ("the dog that the cats sees sleeps", False), ("", False),
    ],
)  # fmt: skip
def test_agreement(text: str, is_good: bool) -> None:
    assert bool(GRAMMAR.is_grammatical(ids(text))[0]) == is_good


def test_sum_over_all_fills_is_what_the_inside_algorithm_gives_for_blanks() -> None:
    vocabulary = GRAMMAR.words
    rows = np.concatenate([ids(f"the {a} {b}", length=3) for a, b in itertools.product(vocabulary, vocabulary)])
    total = np.exp(GRAMMAR.log_prob(rows)).sum()
    assert total == pytest.approx(float(np.exp(GRAMMAR.log_prob(ids("the _ _", length=3)))[0]))
    noisy = np.exp(GRAMMAR.log_prob(rows, noise=0.1)).sum()
    assert noisy == pytest.approx(float(np.exp(GRAMMAR.log_prob(ids("the _ _", length=3), noise=0.1))[0]))


def test_conditional_probabilities_add_up_to_1() -> None:
    rows = np.concatenate([ids(f"the {word} sleeps", length=3) for word in GRAMMAR.words])
    blank = np.zeros_like(rows, dtype=bool)
    blank[:, 1] = True
    assert np.exp(GRAMMAR.conditional_log_prob(rows, blank)).sum() == pytest.approx(1.0)
    assert np.exp(GRAMMAR.conditional_log_prob(rows, blank, noise=0.01)).sum() == pytest.approx(1.0)


def test_conditional_probability_is_the_frequency_among_samples() -> None:
    """Of the sentences "the X sleeps", how often is X the dog? 40,000 samples against the inside algorithm."""
    samples = GRAMMAR.sample(40_000, 16, np.random.Generator(np.random.PCG64(1)))
    texts = [" ".join(GRAMMAR.words[i] for i in sentence) for sentence in samples]
    matches = [
        text.split()[1]
        for text in texts
        if len(text.split()) == 3 and text.startswith("the ") and text.endswith(" sleeps")
    ]
    row, blank = ids("the dog sleeps", length=3), np.array([[False, True, False]])
    truth = float(np.exp(GRAMMAR.conditional_log_prob(row, blank))[0])
    frequency = matches.count("dog") / len(matches)
    assert len(matches) > 150
    assert abs(frequency - truth) < 4 * (truth * (1 - truth) / len(matches)) ** 0.5


def test_no_sentence_is_impossible_with_noise_and_no_word_counts_as_a_replaced_one() -> None:
    with np.errstate(divide="ignore"):
        assert GRAMMAR.log_prob(ids("sleeps sleeps sleeps"))[0] == -np.inf
        assert GRAMMAR.log_prob(ids("the ? sleeps"))[0] == -np.inf
    noisy = GRAMMAR.log_prob(ids("sleeps sleeps sleeps", "the ? sleeps", "the sleeps sleeps"), noise=1e-3)
    assert np.isfinite(noisy).all() and noisy[1] == pytest.approx(noisy[2])


def test_what_is_given_may_be_impossible() -> None:
    blank = np.array([[False, True, False]])
    assert np.isnan(GRAMMAR.conditional_log_prob(ids("sleeps dog sleeps", length=3), blank)[0])


def source() -> GrammarSource:
    return GrammarSource(length=10, num_train=300, num_held_out=100, seed=3)


def test_a_source_is_drawn_from_its_seed() -> None:
    one, two = source(), source()
    assert torch.equal(one.train_NT, two.train_NT) and one.fingerprint() == two.fingerprint()
    assert one.fingerprint() != GrammarSource(10, 300, 100, seed=4).fingerprint()
    assert not torch.equal(one.train_NT[:100], one.held_out_NT)
    assert one.space.check(one.train_NT) is one.train_NT
    text = one.decode(one.train_NT[0])
    assert one.vocabulary.encode(text) == [i for i in one.train_NT[0].tolist() if i != one.space.end_id]


def test_real_texts_are_grammatical_and_score_as_the_grammar_says() -> None:
    one = source()
    rows = one.held_out_NT
    blank = torch.zeros_like(rows, dtype=torch.bool)
    blank[:, 0] = True
    assert bool(one.is_grammatical(rows, blank).all())
    text = one.decode(rows[0])
    words, first = ids(text, length=10), np.zeros((1, 10), dtype=bool)
    first[0, 0] = True
    assert float(one.fill_log_prob(rows[:1], blank[:1])[0]) == pytest.approx(
        GRAMMAR.conditional_log_prob(words, first)[0]
    )


def test_with_everything_blank_the_score_is_that_of_the_sentence_among_all() -> None:
    one = GrammarSource(length=3, num_train=50, num_held_out=0, seed=0)
    rows = one.train_NT[:1]
    mass = np.exp(GRAMMAR.log_prob(ids("_", "_ _", "_ _ _", length=3))).sum()
    expected = GRAMMAR.log_prob(ids(one.decode(rows[0]), length=3))[0] - np.log(mass)
    assert float(one.fill_log_prob(rows, torch.ones_like(rows, dtype=torch.bool))[0]) == pytest.approx(expected)


def test_an_end_token_before_a_given_word_is_no_word() -> None:
    one = source()
    row = torch.tensor([one.vocabulary.encode("the dog sleeps") + [1] * 7])
    blank = torch.zeros(1, 10, dtype=torch.bool)
    blank[0, 1] = True
    broken = row.clone()
    broken[0, 1] = 1
    assert bool(one.is_grammatical(row, blank)[0]) and not bool(one.is_grammatical(broken, blank)[0])
    assert torch.isfinite(one.fill_log_prob(broken, blank, noise=1e-3)).all()


def test_load_source_draws_from_the_grammar() -> None:
    made = load_source(CorpusConfig(builtin="grammar", grammar_sequences=20, grammar_held_out=5))
    assert isinstance(made, GrammarSource) and made.space.length == 16 and len(made.train_NT) == 20
    with pytest.raises(ConfigError, match="for the oracle"):
        filled(CorpusConfig, {"builtin": "grammar", "vocab_size": 50}, "data")


def test_whole_texts_of_no_words_or_an_impossible_length_have_a_finite_score_with_noise() -> None:
    """By hand: noise / (T + 1) for the length, times 1 / V a word; and 1 - noise times the truth for a good one."""
    source = GrammarSource(length=8, num_train=5, num_held_out=5, seed=0)
    end_id, size = source.space.end_id or 0, len(source.grammar.words)
    empty, one = torch.full((1, 8), end_id), torch.full((1, 8), end_id)
    one[0, 0] = 5
    rows, blank = torch.cat([empty, one, source.train_NT[:1]]), torch.ones(3, 8, dtype=torch.bool)
    exact, noisy = source.fill_log_prob(rows, blank), source.fill_log_prob(rows, blank, noise=1e-3)
    assert float(exact[0]) == float(exact[1]) == -math.inf
    assert float(noisy[0]) == pytest.approx(math.log(1e-3 / 9))
    assert float(noisy[1]) == pytest.approx(math.log(1e-3 / 9 / size))
    assert float(exact[2]) - 0.05 < float(noisy[2]) < float(exact[2])
