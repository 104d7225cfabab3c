"""The benchmarks: the naive reference of speed does the same work as rlgan, its floor is right; rows are told apart."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def speed(monkeypatch) -> ModuleType:
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not here: the package was installed alone")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("speed")


def test_naive_reference_scores_and_completes_as_rlgan_does(speed):
    work = speed.Work(speed.Setting(vocab_size=50, length=7, batch_size=5, num_rollouts=2, hidden_size=8))
    naive = importlib.import_module("naive")
    reward_PRB = work.score().permute(2, 0, 1)[:-1]
    torch.testing.assert_close(reward_PRB, naive.score(work.discriminator, work.completed_PRBT), rtol=1e-4, atol=1e-6)
    completed_PRBT = naive.complete(work.generator, work.tokens_BT, 2, work.random)
    assert completed_PRBT.shape == work.completed_PRBT.shape == (6, 2, 5, 7)
    for kept in range(1, 7):
        assert bool((completed_PRBT[kept - 1, :, :, :kept] == work.tokens_BT[:, :kept]).all())
    torch.testing.assert_close(work.naive_log_prob(work.tokens_BT), work.generator.log_prob(work.tokens_BT))


def test_naive_draws_follow_the_generator(speed):
    work = speed.Work(speed.Setting(vocab_size=4, length=2, batch_size=2, num_rollouts=2, hidden_size=3))
    naive = importlib.import_module("naive")
    with torch.no_grad():
        work.generator.output.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 2.0]))
        first_V = torch.softmax(work.generator.state_logits(work.generator.initial_state(1))[0], dim=0)
    tokens_NT = naive.sample(work.generator, 20_000, 2, work.random)
    frequency_V = torch.bincount(tokens_NT[:, 0], minlength=4) / 20_000
    torch.testing.assert_close(frequency_V, first_V, atol=0.02, rtol=0)  # 0.02 is more than 5 standard errors


def test_every_part_of_the_benchmark_runs(speed):
    work = speed.Work(speed.Setting(vocab_size=50, length=7, batch_size=4, num_rollouts=2, hidden_size=8))
    for path in ("torch", "native"):
        assert speed.rlgan_seconds(work, path).keys() == set(speed.PARTS)
    assert speed.naive_seconds(work).keys() == set(speed.PARTS)


def test_floor_of_the_papers_setting(speed):
    rollouts, highways = speed.floor_gflop(speed.Setting(), 1720)
    assert rollouts == pytest.approx(194_560 * 2 * 32 * (5000 + 256) * 1e-9)  # projection, and 8H inputs to the gates
    assert highways == pytest.approx(19_520 * 2 * 2 * 1720**2 * 1e-9)


def test_a_row_of_ppgn_with_more_or_other_chains_is_another_row(monkeypatch):
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not here: the package was installed alone")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    results = importlib.import_module("ppgn_results")
    changes = ({}, {"num_chains": 1000}, {"num_chains": 1000, "chain_seed": 7})
    rows = [{"row": "PPGN-h", "seed": 1, "rule": {}, "figures": {}, **more} for more in changes]
    keys = [results.key_of(row) for row in rows]
    assert keys == [("PPGN-h", 1, 200, 1), ("PPGN-h", 1, 1000, 1), ("PPGN-h", 1, 1000, 7)]
    lines = results.table(rows).splitlines()[2:]
    names = ["PPGN-h", "PPGN-h, 1,000 chains", "PPGN-h, 1,000 chains of seed 7"]
    assert [line.split(" | ")[0] for line in lines] == [f"| {name}" for name in names]


def test_a_generator_of_one_word_is_seen_by_the_number_of_different_words(monkeypatch):
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not here: the package was installed alone")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    models = importlib.import_module("character_models")
    known = {"stock", "bank", "rate"}
    one = models.measured(["bank"] * 4, known, {"held"})
    several = models.measured(["bank", "stock", "held", "xxxx"], known, {"held"})
    assert one == ["4", "1000.0", "1 of 3", "0.0", "4.00", "0.250"]
    assert several == ["4", "500.0", "2 of 3", "250.0", "4.25", "1.000"]


def test_a_short_run_of_began_has_figures_too(monkeypatch):
    """Its last rounds are then of two phases, and those of the first have no balance."""
    if not BENCHMARKS.is_dir():
        pytest.skip("benchmarks/ is not here: the package was installed alone")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    results = importlib.import_module("image_results")
    adversarial = {"disc/loss": 2.0, "eval/began_k": 0.25, "gen/entropy": float("nan")}
    rows = [{"disc/loss": 5.0}, adversarial, {**adversarial, "eval/began_k": 0.75}]
    assert results.last_figures(rows) == {"disc/loss": 3.0, "eval/began_k": 0.5}
