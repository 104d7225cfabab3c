"""Figures of fills: perplexities by hand, the grammar's truth, gradient variance."""

import math

import pytest
import torch

from rlgan.blanks import BlankConfig
from rlgan.data import GrammarSource
from rlgan.infilling_evaluation import evaluate_infilling, infilling_temperature_sweep
from rlgan.metrics.bleu import BleuReferences, self_bleu
from rlgan.metrics.infilling import VectorMoments, blank_nll, perplexity
from rlgan.metrics.sequences import sequences_of
from rlgan.models.infilling import InfillingGenerator, LanguageModel
from rlgan.models.seq2seq import Seq2SeqConfig

SIZES = Seq2SeqConfig(size=8)


def test_masked_perplexity_by_hand() -> None:
    """Four blanks count with probabilities 1/2, 1/4, 1/8 and 1/16: 10/4 bits, perplexity 2^2.5."""
    log_prob = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 99.0]]).neg() * math.log(2)
    mask = torch.tensor([[False, True, True], [True, True, False]])
    tokens = torch.arange(6).view(2, 3)

    def score(tokens_BT: torch.Tensor, blank_BT: torch.Tensor) -> torch.Tensor:
        return log_prob[tokens_BT[:, 0] // 3]

    nll = blank_nll(score, tokens, mask, mask, chunk_rows=1)
    assert perplexity(nll) == pytest.approx(2**2.5)
    assert perplexity(1e6) == math.inf


def test_moments_of_vectors_by_hand() -> None:
    moments = VectorMoments()
    with pytest.raises(ValueError, match="at least 2"):
        moments.total_variance()
    for vector in (torch.tensor([0.0, 1.0]), torch.tensor([2.0, 5.0])):
        moments.add(vector)
    assert moments.total_variance() == 2.0 + 8.0 and moments.squared_mean() == 1.0 + 9.0 and moments.count == 2


def nets(source: GrammarSource) -> tuple[InfillingGenerator, LanguageModel]:
    random = torch.Generator().manual_seed(0)
    return InfillingGenerator(source.space, SIZES, random), LanguageModel(source.space, SIZES, random)


def test_repeated_texts_do_not_count_as_repetitive_real_ones() -> None:
    source = GrammarSource(length=8, num_train=50, num_held_out=30, seed=0)
    judged = (*nets(source), source, BlankConfig())
    once, again = (evaluate_infilling(*judged, num_samples, seed=1).figures for num_samples in (30, 31))
    assert "eval/real_distinct_2" in once
    assert "eval/real_distinct_2" not in again
    assert "eval/distinct_2" in again


def test_an_untrained_generator_is_near_uniform_and_not_grammatical() -> None:
    source = GrammarSource(length=8, num_train=50, num_held_out=60, seed=0)
    generator, language_model = nets(source)
    found = evaluate_infilling(generator, language_model, source, BlankConfig(), 100, seed=1)
    size = source.space.vocab_size
    assert found.filled_NT.shape == (100, 8) and torch.equal(found.real_NT[60:], source.held_out_NT[:40])
    assert found.figures["eval/masked_perplexity"] == pytest.approx(size, rel=0.1)
    assert found.figures["eval/lm_fill_perplexity"] == pytest.approx(size, rel=0.1)
    assert found.figures["gen/entropy"] == pytest.approx(math.log(size), abs=0.05)
    assert found.figures["eval/grammatical"] < 0.1
    assert torch.equal(found.filled_NT[~found.blank_NT], found.real_NT[~found.blank_NT])


def test_the_truth_of_the_real_words_is_the_ceiling() -> None:
    """Scored in place of fills, real words are grammatical, and their divergence is 0 for a generator that is true."""
    source = GrammarSource(length=8, num_train=50, num_held_out=60, seed=0)
    found = evaluate_infilling(*nets(source), source, BlankConfig(), 60, seed=1)
    real = source.fill_log_prob(found.real_NT, found.blank_NT, 1e-3)
    assert bool(source.is_grammatical(found.real_NT, found.blank_NT).all())
    per_blank = float(real.sum() / found.blank_NT.sum())
    assert -3 < per_blank < -1
    fills = source.fill_log_prob(found.filled_NT, found.blank_NT, 1e-3)
    assert found.figures["eval/true_log_likelihood"] == pytest.approx(float(fills.sum() / found.blank_NT.sum()))
    assert found.figures["eval/divergence"] == pytest.approx(
        -found.figures["gen/entropy"] - found.figures["eval/true_log_likelihood"]
    )
    assert found.figures["eval/true_log_likelihood"] < per_blank - 1


@pytest.mark.parametrize("kind", ["random", "everything"])
def test_other_kinds_of_blanks(kind: str) -> None:
    source = GrammarSource(length=8, num_train=50, num_held_out=60, seed=0)
    found = evaluate_infilling(*nets(source), source, BlankConfig(kind=kind), 60, seed=1, rate=0.5)
    assert all(math.isfinite(value) for value in found.figures.values())
    if kind == "everything":
        assert bool(found.blank_NT.all())


def test_bleu_is_against_other_texts_and_has_the_real_ones_as_its_ceiling() -> None:
    source = GrammarSource(length=8, num_train=50, num_held_out=61, seed=0)
    found = evaluate_infilling(*nets(source), source, BlankConfig(), 100, seed=1).figures
    texts = sequences_of(source.held_out_NT, source.space)
    ceiling = BleuReferences(texts[30:]).bleu(texts[:30])
    for n in (2, 3, 4, 5):
        assert found[f"eval/real_bleu_{n}"] == ceiling[n] and found[f"eval/bleu_{n}"] < ceiling[n]
        assert found[f"eval/real_self_bleu_{n}"] == self_bleu(texts[:30])[n]
    few = GrammarSource(length=8, num_train=50, num_held_out=3, seed=0)
    assert "eval/bleu_2" not in evaluate_infilling(*nets(few), few, BlankConfig(), 10, seed=1).figures


def test_whole_text_perplexity_counts_what_stands_outside_blanks() -> None:
    """By hand, from the language model's own scores: every word and the end token of the text, none after it."""
    source = GrammarSource(length=8, num_train=50, num_held_out=60, seed=0)
    language_model = nets(source)[1]
    found = evaluate_infilling(*nets(source), source, BlankConfig(), 60, seed=1)
    log_prob_NT = language_model.log_prob(found.real_NT)
    expected = math.exp(-float(log_prob_NT[source.space.mask(found.real_NT)].detach().mean()))
    assert found.figures["eval/lm_real_text_perplexity"] == pytest.approx(expected, rel=1e-5)
    log_prob_NT = language_model.log_prob(found.filled_NT)
    expected = math.exp(-float(log_prob_NT[source.space.mask(found.real_NT)].detach().mean()))
    assert found.figures["eval/lm_fill_text_perplexity"] == pytest.approx(expected, rel=1e-5)


def test_a_temperature_changes_the_generator_in_all_that_is_measured() -> None:
    """Logits divided by 0.5: the squared probabilities of the generator, renormalised."""
    source = GrammarSource(length=8, num_train=50, num_held_out=60, seed=0)
    generator, language_model = nets(source)
    with torch.no_grad():
        generator.bias_V.copy_(torch.linspace(-2, 2, len(generator.bias_V)))
    tokens_BT, blank_BT = source.held_out_NT[:1], torch.zeros(1, 8, dtype=torch.bool)
    blank_BT[0, 1] = True
    log_prob_V = torch.cat([
        generator.log_prob_and_entropy(torch.cat([tokens_BT[:, :1], word.view(1, 1), tokens_BT[:, 2:]], 1), blank_BT)[0]
        for word in torch.arange(source.space.vocab_size)
    ])[:, 1]  # fmt: skip
    squared_V = (2 * log_prob_V).softmax(dim=0)
    with torch.no_grad():
        log_prob_BT, entropy_BT = generator.log_prob_and_entropy(tokens_BT, blank_BT, 0.0, 0.5)
    assert float(log_prob_BT[0, 1]) == pytest.approx(float(squared_V[tokens_BT[0, 1]].log()), abs=1e-4)
    assert float(entropy_BT[0, 1]) == pytest.approx(float(-(squared_V * squared_V.log()).sum()), abs=1e-4)
    sweep = infilling_temperature_sweep(generator, language_model, source, BlankConfig(), (0.5, 1.0), 40, seed=1)
    plain = evaluate_infilling(generator, language_model, source, BlankConfig(), 40, seed=1).figures
    assert sweep[1].figures == plain and sweep[0].temperature == 0.5
    assert sweep[0].figures["gen/entropy"] < plain["gen/entropy"] - 0.5
    assert sweep[0].figures["eval/masked_perplexity"] != plain["eval/masked_perplexity"]
