"""Every figure against a number worked out by hand or by another formula."""

# N sequences, T positions, V vocabulary

import math

import pytest
import torch

from rlgan import evaluation
from rlgan.data import Oracle, OracleSource
from rlgan.data.text import TextSource
from rlgan.evaluation import (
    Evaluation,
    SweepPoint,
    comparable,
    evaluate_generator,
    evaluate_sequences,
    figures_at_entropy,
    mle_temperature_sweep,
    oracle_nll,
    oracle_of,
)
from rlgan.metrics.quality_diversity import ExtrapolationError
from rlgan.models import RecurrentConfig, RecurrentGenerator
from rlgan.seeding import torch_generator
from rlgan.types import TokenSpace


class Dice:
    """A policy that forgets everything: each token comes from the same distribution."""

    def __init__(self, probabilities):
        self.logits_V = torch.tensor(probabilities).log()

    def initial_state(self, num_rows):
        return (torch.zeros(num_rows, 1),)

    def state_logits(self, state_N):
        return self.logits_V.expand(len(state_N[0]), -1)

    def advance(self, token_N, state_N):
        return state_N


def source(train, held_out, vocab_size=4, end_id=None, oracle=None):
    length = len((train or held_out)[0])
    rows = [torch.tensor(part, dtype=torch.int64).reshape(-1, length) for part in (train, held_out)]
    return TextSource(TokenSpace(vocab_size, length, end_id=end_id), *rows, "test", oracle=oracle)


def entropy(probabilities):
    return -sum(p * math.log(p) for p in probabilities)


HALF, QUARTER, EIGHTH = 0.5, 0.25, 0.125


def test_entropy_and_held_out_nll_of_dice():
    """H = 1.75 ln 2; NLL of 0 0 1 and 2 3 0 is (1+1+2 + 3+3+1) ln 2 / 6."""
    figures = evaluate_generator(
        Dice([HALF, QUARTER, EIGHTH, EIGHTH]), source([[0, 0, 0]], [[0, 0, 1], [2, 3, 0]]), num_samples=50, seed=0
    ).figures
    assert figures["gen/entropy"] == pytest.approx(1.75 * math.log(2), rel=1e-5)
    assert figures["gen/nll_test"] == pytest.approx(11 / 6 * math.log(2), rel=1e-5)


def test_temperature_changes_samples_entropy_and_likelihood():
    """At temperature 1/2 the probabilities are the squares 16, 4, 1, 1 of 22."""
    cold = [16 / 22, 4 / 22, 1 / 22, 1 / 22]
    dice, data = Dice([HALF, QUARTER, EIGHTH, EIGHTH]), source([[0, 0]], [[0, 1]])
    evaluation = evaluate_generator(dice, data, num_samples=4000, seed=3, temperature=0.5)
    assert evaluation.figures["gen/entropy"] == pytest.approx(entropy(cold), rel=1e-5)
    assert evaluation.figures["gen/nll_test"] == pytest.approx(-(math.log(cold[0]) + math.log(cold[1])) / 2, rel=1e-5)
    share = (evaluation.samples_NT == 0).double().mean()
    assert float(share) == pytest.approx(cold[0], abs=0.02)


def test_only_tokens_up_to_the_end_count():
    """End token 3 has probability 1/8: the held-out sequence 0 3 3 is two tokens, (1 + 3) ln 2 / 2."""
    data = source([[0, 3, 3]], [[0, 3, 3]], end_id=3)
    figures = evaluate_generator(Dice([HALF, QUARTER, EIGHTH, EIGHTH]), data, num_samples=20, seed=0).figures
    assert figures["gen/nll_test"] == pytest.approx(2 * math.log(2), rel=1e-5)
    assert figures["gen/entropy"] == pytest.approx(1.75 * math.log(2), rel=1e-5)


def test_no_held_out_data_no_held_out_figures():
    figures = evaluate_generator(Dice([HALF, HALF]), source([[0, 1]], [], vocab_size=2), 10, seed=0).figures
    assert "gen/nll_test" not in figures and not any("bleu" in tag and "self" not in tag for tag in figures)


def test_the_generator_is_scored_alike_by_both_paths():
    """At a temperature next to 1 the step-by-step path must agree with the fused one of temperature 1."""
    data = OracleSource(Oracle.draw(1, vocab_size=30), 5, num_train=20, num_held_out=40, seed=1)
    generator = RecurrentGenerator(data.space, RecurrentConfig(init_std=1.0), torch_generator(0, "test"))
    fused = evaluate_generator(generator, data, 200, seed=5)
    stepwise = evaluate_generator(generator, data, 200, seed=5, temperature=1.0 + 1e-7)
    assert torch.equal(fused.samples_NT, stepwise.samples_NT)
    for tag in ("gen/entropy", "gen/nll_test", "gen/nll_oracle"):
        assert fused.figures[tag] == pytest.approx(stepwise.figures[tag], rel=1e-4)


def test_the_oracle_scores_its_own_samples_with_its_entropy():
    oracle = Oracle.draw(1, vocab_size=30)
    data = OracleSource(oracle, 5, num_train=20, num_held_out=20, seed=1)
    figures = evaluate_generator(oracle, data, 4000, seed=0).figures
    assert figures["gen/nll_oracle"] == pytest.approx(figures["gen/entropy"], abs=0.05)
    own_NT = oracle.sample(50, 5, torch_generator(0, "test"))
    assert evaluate_sequences(own_NT, data).figures["gen/nll_oracle"] == pytest.approx(
        float(oracle.nll(own_NT).mean()), rel=1e-6
    )


def test_the_oracle_is_not_asked_about_the_end_token():
    """A source of integer lines ends them with an id that the oracle does not have."""
    oracle = Oracle.draw(1, vocab_size=4)
    data = source([[0, 1, 4]], [[2, 4, 4]], vocab_size=5, end_id=4, oracle=oracle)
    samples_NT = torch.tensor([[1, 2, 4], [3, 4, 4], [4, 4, 4]])
    expected = (oracle.nll(torch.tensor([[1, 2]])).sum() + oracle.nll(torch.tensor([[3]])).sum()) / 3
    assert evaluate_sequences(samples_NT, data).figures["gen/nll_oracle"] == pytest.approx(float(expected), rel=1e-6)
    assert math.isnan(oracle_nll(oracle, torch.tensor([[4, 4, 4]]), data))


def test_which_sources_have_an_oracle():
    oracle = Oracle.draw(1, vocab_size=4)
    assert oracle_of(source([[0]], [], oracle=oracle)) is oracle
    assert oracle_of(source([[0]], [])) is None
    assert oracle_of(OracleSource(oracle, 2, 3, 3, seed=0)) is oracle


def test_bleu_against_held_out_text_self_bleu_and_ceiling():
    """Sample = held-out: BLEU 1. Two samples share one of 6 tokens and none of 5 pairs (smoothed to 0.1)."""
    held_out = [[0, 1, 2, 0, 1, 2], [0, 4, 5, 3, 4, 5]]
    data = source(train=held_out, held_out=held_out, vocab_size=6)
    figures = evaluate_sequences(torch.tensor(held_out), data).figures
    apart = math.sqrt(1 / 6 * 0.1 / 5)
    for n in (2, 3, 4, 5):
        assert figures[f"eval/bleu_{n}"] == pytest.approx(1.0)
        assert figures[f"eval/real_bleu_{n}"] == pytest.approx(1.0)
    assert figures["eval/self_bleu_2"] == pytest.approx(apart, rel=1e-6)
    assert figures["eval/real_self_bleu_2"] == pytest.approx(apart, rel=1e-6)


def test_bleu_is_not_measured_where_an_oracle_is():
    data = OracleSource(Oracle.draw(1, vocab_size=30), 5, num_train=20, num_held_out=20, seed=1)
    figures = evaluate_sequences(data.held_out_NT, data).figures
    assert not any(tag.startswith(("eval/bleu", "eval/real")) for tag in figures)
    assert "eval/self_bleu_5" in figures


def test_bleu_work_is_bounded(monkeypatch):
    monkeypatch.setattr(evaluation, "BLEU_SEQUENCES", 2)
    monkeypatch.setattr(evaluation, "BLEU_REFERENCES", 1)
    train, held_out = [[0, 1, 2, 0, 1, 2]] * 3, [[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]]
    data = source(train, held_out, vocab_size=6)
    samples = [[0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]]
    figures = evaluate_sequences(torch.tensor(samples), data).figures
    assert figures["eval/bleu_5"] == pytest.approx(1.0)
    assert figures["eval/self_bleu_5"] == pytest.approx(1.0)
    assert figures["eval/distinct_sequences"] == pytest.approx(2 / 3)


def test_distinct_and_copied():
    """Three sequences, two different, two of them training sequences; 3 different of 6 tokens, 2 of 3 pairs."""
    data = source(train=[[0, 1], [3, 3]], held_out=[[2, 2]])
    figures = evaluate_sequences(torch.tensor([[0, 1], [0, 1], [1, 2]]), data).figures
    assert figures["eval/distinct_1"] == pytest.approx(3 / 6)
    assert figures["eval/distinct_2"] == pytest.approx(2 / 3)
    assert figures["eval/distinct_3"] == 0
    assert figures["eval/distinct_sequences"] == pytest.approx(2 / 3)
    assert figures["eval/copied_from_training"] == pytest.approx(2 / 3)


def test_self_bleu_of_other_numbers_of_sequences_is_not_comparable():
    """All that have 500 or more use the first 500."""

    def of(number):
        return {"eval/num_sequences": float(number)}

    assert comparable(of(500), of(2000)) and comparable(of(300), of(300))
    assert not comparable(of(300), of(500)) and not comparable({}, of(500)) and not comparable({}, {})
    data = source([[0, 1]], [])
    assert evaluate_sequences(torch.tensor([[0, 1]] * 7), data).figures["eval/num_sequences"] == 7


def test_equal_seeds_draw_equal_samples():
    data, dice = source([[0, 1, 2]], [[0, 1, 2]]), Dice([HALF, QUARTER, EIGHTH, EIGHTH])
    first, again, other = (evaluate_generator(dice, data, 30, seed=seed) for seed in (1, 1, 2))
    assert isinstance(first, Evaluation)
    assert torch.equal(first.samples_NT, again.samples_NT) and first.figures == again.figures
    assert not torch.equal(first.samples_NT, other.samples_NT)


def test_a_sweep_is_read_at_an_entropy_between_its_points_and_nowhere_else():
    sweep = [
        SweepPoint(1.0, {"gen/entropy": 3.0, "eval/bleu_2": 0.2, "eval/other": math.inf}),
        SweepPoint(0.5, {"gen/entropy": 1.0, "eval/bleu_2": 0.8, "eval/other": 1.0}),
    ]
    assert figures_at_entropy(sweep, 2.5) == pytest.approx({"gen/entropy": 2.5, "eval/bleu_2": 0.35})
    with pytest.raises(ExtrapolationError):
        figures_at_entropy(sweep, 3.1)


def test_sweep_has_a_point_a_temperature_and_entropy_rises_with_it():
    data, dice = source([[0, 1]], [[0, 1]]), Dice([HALF, QUARTER, EIGHTH, EIGHTH])
    points = mle_temperature_sweep(dice, data, temperatures=(2.0, 0.5, 1.0), num_samples=20, seed=0)
    assert [point.temperature for point in points] == [2.0, 0.5, 1.0]
    hot, cold, warm = (point.figures["gen/entropy"] for point in points)
    assert cold < warm < hot
    assert points[2] == SweepPoint(1.0, evaluate_generator(dice, data, 20, seed=0).figures)


@pytest.mark.parametrize("samples", [[[0, 1]], []])
def test_too_few_sequences_are_refused(samples):
    with pytest.raises(ValueError, match="at least 2 sequences"):
        evaluate_sequences(torch.tensor(samples, dtype=torch.int64).reshape(-1, 2), source([[0, 1]], []))


def test_sequences_of_another_space_are_refused():
    with pytest.raises(ValueError, match="ids in"):
        evaluate_sequences(torch.tensor([[0, 9], [0, 1]]), source([[0, 1]], []))
