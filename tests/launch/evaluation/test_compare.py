"""`rlgan eval --compare`: groups, equal diversity by hand-worked numbers, refusals, files."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from rlgan.errors import ConfigError
from rlgan.evaluation import SweepPoint
from rlgan.launch.compare import Protocol, compare_runs
from rlgan.launch.comparison import GAIN, LIKELIHOOD, MLE_HELD_OUT_THERE, MLE_THERE, REAL, Comparison, RunResult
from rlgan.launch.comparison_files import comparison_json, comparison_markdown, comparison_png
from rlgan.launch.plots import DIVERSITY_AXES, QUALITY_AXES
from rlgan.launch.run_labels import differences, labels_of

PNG = b"\x89PNG\r\n\x1a\n"
PROTOCOL = Protocol(num_samples=60, seed=0, temperatures=(0.4, 0.7, 1.5), diversity="auto", quality="auto")


def figures(entropy, nll_oracle, nll_test=8.0):
    return {"gen/entropy": entropy, "gen/nll_oracle": nll_oracle, "gen/nll_test": nll_test}


def result(label, seed, at, sweep, is_control=False, trajectory=()):
    points = tuple(SweepPoint(t, figures(*row)) for t, *row in sweep)
    return RunResult(
        path=Path(f"runs/{label}-{seed}"),
        label=label,
        seed=seed,
        step=10,
        is_control=is_control,
        figures=figures(*at),
        likelihood=next((point.figures for point in points if point.temperature == 1.0), {}),
        sweep=points,
        trajectory=tuple(figures(*row) for row in trajectory),
    )


# quality 8.6 + 2 (x - 5.8) and held-out 8.4 - (x - 5.8) between entropies 5.8 and 6.4
SWEEP_0 = [(0.9, 5.8, 8.6, 8.4), (1.0, 6.4, 9.8, 7.8)]
SWEEP_1 = [(0.9, 5.6, 8.6, 8.4), (1.0, 6.2, 9.8, 7.8)]


def compared(*results, diversity="entropy", quality="nll-oracle"):
    settings = differences([], [])
    axes = DIVERSITY_AXES[diversity], QUALITY_AXES[quality]
    return Comparison(tuple(results), figures(5.7, 5.8), *axes, settings, num_samples=60, seed=0, data="test")


def test_each_seed_is_read_at_its_own_diversity_in_its_own_sweep():
    """Seed 0 at 6.0: MLE 9.0, the run 8.5, gain 0.5. Seed 1 at 6.0: MLE 9.4, the run 9.6, gain -0.2."""
    rows = compared(result("a", 0, (6.0, 8.5), SWEEP_0), result("a", 1, (6.0, 9.6), SWEEP_1)).group_rows()
    assert rows["a"][MLE_THERE] == pytest.approx([9.0, 9.4])
    assert rows["a"][GAIN] == pytest.approx([0.5, -0.2])
    assert rows["a"][MLE_HELD_OUT_THERE] == pytest.approx([8.2, 8.0])
    assert rows["a"]["gen/entropy"] == [6.0, 6.0]
    assert rows[LIKELIHOOD]["gen/nll_oracle"] == [9.8, 9.8] and rows[LIKELIHOOD]["gen/entropy"] == [6.4, 6.2]
    assert rows[REAL]["gen/nll_oracle"] == [5.8]


def test_summaries_are_mean_and_sample_deviation():
    content = comparison_json(compared(result("a", 0, (6.0, 8.5), SWEEP_0), result("a", 1, (6.0, 9.6), SWEEP_1)))
    cell = content["groups"]["a"][GAIN]
    assert cell["mean"] == pytest.approx(0.15) and cell["n"] == 2
    assert cell["sd"] == pytest.approx(0.7 / 2**0.5)
    json.dumps(content, allow_nan=False)


def test_nothing_is_extrapolated_and_the_page_says_so():
    comparison = compared(result("a", 0, (5.0, 8.0), SWEEP_0), result("a", 1, (6.0, 9.0), SWEEP_1))
    row = comparison.group_rows()["a"]
    assert row[GAIN][0] == "5 is outside 5.8 to 6.4" and row[GAIN][1] == pytest.approx(0.4)
    cell = comparison_json(comparison)["groups"]["a"][GAIN]
    assert cell["n"] == 1 and cell["by_seed"][0] == "5 is outside 5.8 to 6.4"
    page = comparison_markdown(comparison)
    assert "(1 of 2 seeds)" in page and "runs/a-0: 5 is outside 5.8 to 6.4" in page


def test_a_run_without_likelihood_model_has_nothing_to_compare_with():
    comparison = compared(result("a", 0, (6.0, 8.5), []))
    assert comparison.group_rows()["a"][GAIN] == ["nothing to compare with"]
    assert LIKELIHOOD not in comparison.group_rows()
    assert "runs/a-0: nothing to compare with" in comparison_markdown(comparison)


def text_result(num_sequences):
    def at(x, y, number=500):
        return {"eval/self_bleu_3": x, "eval/bleu_3": y, "eval/num_sequences": float(number)}

    sweep = (SweepPoint(1.0, at(0.5, 0.3)), SweepPoint(0.8, at(0.7, 0.5)))
    return RunResult(Path("r"), "a", 0, 1, False, at(0.6, 0.45, num_sequences), {}, sweep, ())


def test_self_bleu_of_another_number_of_sequences_is_not_compared():
    comparison = compared(text_result(300), diversity="self-bleu-3", quality="bleu-3")
    assert comparison.group_rows()["a"][GAIN] == ["another number of sequences was measured"]


def test_high_bleu_is_better_and_low_self_bleu_is_more_diverse():
    """Between Self-BLEU 0.5 and 0.7 the sweep has BLEU 0.3 to 0.5; at 0.6 it has 0.4, and the run 0.45."""
    comparison = compared(text_result(500), diversity="self-bleu-3", quality="bleu-3")
    assert comparison.group_rows()["a"][MLE_THERE] == pytest.approx([0.4])
    assert comparison.group_rows()["a"][GAIN] == pytest.approx([0.05])


def test_controls_are_read_along_their_way_at_equal_diversity_and_seed():
    """The control of seed 0 passes 9.0 at entropy 6.0 on its way from (6.4, 9.4) to (5.6, 8.6)."""
    way = [(6.4, 9.4), (5.6, 8.6)]
    control_0 = result("constant reward", 0, (5.6, 8.6), SWEEP_0, is_control=True, trajectory=way)
    control_1 = result("constant reward", 1, (5.6, 8.6), SWEEP_1, is_control=True, trajectory=[(5.0, 1.0), (5.2, 1.0)])
    comparison = compared(
        result("a", 0, (6.0, 8.5), SWEEP_0), result("a", 1, (6.0, 9.6), SWEEP_1), control_0, control_1
    )
    rows = comparison.control_rows()
    assert rows.keys() == {"a"}
    assert rows["a"]["constant reward"] == [pytest.approx(0.5), "6 is outside 5 to 5.2"]
    assert "## Better than a control at equal entropy" in comparison_markdown(comparison)


def test_a_likelihood_model_that_several_runs_share_counts_once():
    rows = compared(result("a", 0, (6.0, 8.5), SWEEP_0), result("b", 0, (6.0, 8.6), SWEEP_0)).group_rows()
    assert len(rows[LIKELIHOOD]["gen/entropy"]) == 1


def test_the_plot_is_a_picture_with_and_without_sweeps():
    assert comparison_png(compared(result("a", 0, (6.0, 8.5), SWEEP_0)))[:8] == PNG
    assert comparison_png(compared(result("a", 0, (6.0, float("nan")), [])))[:8] == PNG


def config(seed=0, **training):
    basis = {"reward": "discriminator", "advantage": "prefix_value", "standardise": True, "discriminator": {"lr": 1}}
    return {"system": "seqgan", "seed": seed, "training": basis | training}


PAPER = {"advantage": "none", "standardise": False}


@pytest.mark.parametrize(
    ("configs", "labels"),
    [
        ([config(0), config(1)], ["seqgan", "seqgan"]),
        ([config(), config(**PAPER)], ["seqgan", "seqgan, paper form"]),
        ([config(reward="constant"), config(reward="random")], ["constant reward", "random reward"]),
        ([config(lr=0.5), config(lr=0.25)], ["seqgan (lr=0.5)", "seqgan (lr=0.25)"]),
        ([config(reward="random", discriminator={"lr": 2}), config(reward="random")], ["random reward"] * 2),
        (
            [config(a="x" * 50), config(1, a="y"), config(2, a="x" * 50)],
            ["seqgan (settings 1)", "seqgan (settings 2)", "seqgan (settings 1)"],
        ),
        ([config(**PAPER, regularisation={"likelihood_weight": 0.0, "entropy_ratio": None})], ["seqgan, paper form"]),
        ([config(**PAPER, regularisation={"likelihood_weight": 1.0, "entropy_ratio": None})], ["seqgan"]),
    ],
)
def test_labels_say_what_a_run_is(configs, labels):
    assert labels_of(configs) == labels


def test_differences_name_settings_and_leave_out_what_a_control_does_not_need():
    configs = [config(lr=0.5, discriminator={"lr": 2}), config(lr=0.25, reward="constant")]
    found = differences(configs, ["a", "b"])
    assert found == {"lr": {"a": "0.5", "b": "0.25"}, "reward": {"a": "discriminator", "b": "constant"}}


def compare(paths, output, **changes):
    console = Console(file=io.StringIO(), width=300)
    protocol = Protocol(**({**PROTOCOL.__dict__} | changes))
    return compare_runs(paths, output, protocol, console), console.file.getvalue()


def test_runs_from_their_directories(make_run, tmp_path):
    way = [(20, "likelihood", figures(2.2, 3.5)), (30, "adversarial", figures(1.0, 2.5))]
    paths = [make_run(tmp_path / f"s{seed}", seed=seed, weights_seed=seed) for seed in (0, 1)]
    paths += [make_run(tmp_path / f"c{seed}", seed=seed, reward="constant", evaluations=way) for seed in (0, 1)]
    comparison, said = compare(paths, tmp_path / "out")
    assert [run.label for run in comparison.results] == ["seqgan", "seqgan", "constant reward", "constant reward"]
    # the final weights of s0 and s1 are those of their likelihood models: at their entropy they are just as good
    content = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert content["groups"]["seqgan"][GAIN]["by_seed"] == pytest.approx([0.0, 0.0], abs=1e-6)
    assert content["groups"]["seqgan"]["gen/nll_oracle"] == content["groups"][LIKELIHOOD]["gen/nll_oracle"]
    assert [point["temperature"] for point in content["runs"][0]["sweep"]] == [0.4, 0.7, 1.0, 1.5]
    assert comparison.results[2].trajectory == (figures(2.2, 3.5), figures(1.0, 2.5))
    assert (tmp_path / "out" / "comparison.png").read_bytes()[:8] == PNG
    page = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    for expected in ("| seqgan | 2 |", "| constant reward | 2 |", f"| {REAL} |", "Settings that differ", "| reward |"):
        assert expected in page
    assert "constant reward" in said and "comparison.json" in said


def test_runs_of_different_data_are_refused(make_run, tmp_path):
    other = {"vocab_size": 12, "length": 5, "oracle_sequences": 40, "oracle_held_out": 20}
    paths = [make_run(tmp_path / "a"), make_run(tmp_path / "b", data=other)]
    with pytest.raises(ConfigError, match="different data"):
        compare(paths, tmp_path / "out")


def test_a_run_given_twice_is_refused(make_run, tmp_path):
    path = make_run(tmp_path / "a")
    with pytest.raises(ConfigError, match="given twice"):
        compare([path, tmp_path / "x" / ".." / "a"], tmp_path / "out")


def test_a_plane_that_was_not_measured_is_refused(make_run, tmp_path):
    with pytest.raises(ConfigError, match="--quality: BLEU-2 was not measured"):
        compare([make_run(tmp_path / "a")], tmp_path / "out", quality="bleu-2")


def test_data_without_any_measure_of_quality_is_refused(make_run, tmp_path):
    (tmp_path / "ids.txt").write_text("\n".join(f"{i} 1 2" for i in range(8)))
    data = {"data": tmp_path / "ids.txt", "tokens": "integers", "held_out_fraction": 0.0}
    with pytest.raises(ConfigError, match="neither an oracle nor held-out"):
        compare([make_run(tmp_path / "a", data=data)], tmp_path / "out")


def test_an_output_that_cannot_be_written_is_refused(make_run, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match="--output"):
        compare([make_run(tmp_path / "a")], tmp_path / "out")
