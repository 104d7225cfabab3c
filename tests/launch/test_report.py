"""The report stands alone, escapes what was generated, and says honestly what a run shows."""

import base64
import re
from html.parser import HTMLParser

import pytest

from rlgan.evaluation import SweepPoint
from rlgan.launch.history import History, HistoryEntry
from rlgan.launch.report import write_report
from rlgan.launch.report_notes import reading_notes
from rlgan.launch.temperature_sweep import load_final_figures, load_sweep, save_sweep

NASTY = '<script>alert("x")</script> & <img src=http://e.x/y> \x1b[2J'


def evaluation(step, phase, nll_oracle, nll_test, entropy, **more):
    figures = {"gen/nll_oracle": nll_oracle, "gen/nll_test": nll_test, "gen/entropy": entropy, **more}
    return HistoryEntry(step, phase, "eval", 1.0, figures)


def round_of(step, phase="adversarial", **figures):
    return HistoryEntry(step, phase, "round", 2.0, figures)


def whole_history():
    rounds = [round_of(step, "likelihood", **{"gen/loss": 9.0 - step / 10}) for step in range(1, 5)]
    disc = {"disc/acc_real": 0.75, "disc/acc_fake": 0.5, "disc/loss": 0.6}
    rewards = {"gen/reward_mean": 0.4, "gen/reward_std": 0.1, "gen/frac_reward_zero_std": 0.0}
    rounds += [round_of(step, **disc, **rewards) for step in range(5, 9)]
    return [*rounds, evaluation(4, "likelihood", 9.2, 8.2, 6.5), evaluation(8, "adversarial", 8.7, 8.8, 5.9)]


@pytest.fixture
def run(tmp_path):
    """A directory with everything that a report reads."""
    path = tmp_path / "a<b>"
    path.mkdir()
    history = History(path)
    for entry in whole_history():
        history.append(entry)
    (path / "config.yaml").write_text(
        "system: seqgan\nseed: 3\ntraining:\n  reward: discriminator\ndata:\n  data: null\n  builtin: oracle\n"
    )
    (path / "samples").mkdir()
    (path / "samples" / "step-000004.txt").write_text("old\n")
    (path / "samples" / "step-000008.txt").write_text(f"{NASTY}\n春眠\n", encoding="utf-8")
    return path


class Page(HTMLParser):
    """Tags, what they load, and the text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loads, self.open, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name in {"src", "href", "srcset", "action", "data"}]
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def page_of(path):
    return Page(write_report(path).read_text(encoding="utf-8"))


def test_the_page_loads_nothing_from_elsewhere_and_its_plots_are_pictures(run):
    page = page_of(run)
    assert len(page.loads) == 4  # likelihood, quality and diversity, reward, discriminator
    for address in page.loads:
        assert address.startswith("data:image/png;base64,")
        assert base64.b64decode(address.partition(",")[2])[:8] == b"\x89PNG\r\n\x1a\n"
    assert page.open == [] and "script" not in page.tags and "link" not in page.tags
    assert not re.search(r"url\(|@import", run.joinpath("report.html").read_text(encoding="utf-8"))
    assert {path.name for path in (run / "plots").iterdir()} >= {"likelihood_and_entropy.png", "reward.png"}


def test_generated_text_and_names_are_escaped(run):
    page = page_of(run)
    text = "".join(page.words)
    assert '<script>alert("x")</script> & <img src=http://e.x/y> �[2J' in text
    assert "春眠" in text and "a<b>" in text and "old" not in text


def test_figures_at_the_end_of_each_phase(run):
    text = " ".join("".join(word) for word in page_of(run).words)
    assert "after likelihood (step 4)" in text and "after adversarial (step 8)" in text
    assert re.search(r"NLL oracle\s+9\.2\s+8\.7", text) and re.search(r"entropy\s+6\.5\s+5\.9", text)
    assert "seed 3" in text and "8 steps" in text and "the built-in oracle" in text


def test_bleu_has_its_ceiling(tmp_path):
    bleu = {"eval/bleu_3": 0.4, "eval/self_bleu_3": 0.6, "eval/real_bleu_3": 0.5, "eval/real_self_bleu_3": 0.55}
    History(tmp_path).append(HistoryEntry(1, "likelihood", "eval", 1.0, {"gen/nll_test": 8.0, **bleu}))
    text = " ".join(page_of(tmp_path).words)
    assert "real data" in text and re.search(r"BLEU-3\s+0\.4\s+0\.5", text)
    assert re.search(r"Self-BLEU-3\s+0\.6\s+0\.55", text) and "BLEU and Self-BLEU" in text


def test_images_have_their_figures_beside_real_ones(tmp_path):
    fids = {"eval/fid": 12.5, "eval/fid_equal_count": 13.5, "eval/real_fid": 0.25}
    figures = {**fids, "eval/diversity": 0.875, "eval/condition_accuracy": 0.75}
    History(tmp_path).append(HistoryEntry(480, "denoiser", "eval", 1.0, figures))
    (tmp_path / "config.yaml").write_text("system: ppgn\ndata: {data: null, scenes: 120}\n")
    text = " ".join(page_of(tmp_path).words)
    assert re.search(r"Frechet distance\s+12\.5\s+–\s+Frechet distance, equal numbers\s+13\.5\s+0\.25\s", text), text
    assert re.search(r"\s+diversity\s+0\.875\s+–", text), text
    assert "condition accuracy: images that the net which steered them" in text
    assert "on 120 scenes of scikit-learn's digits" in text


def test_an_empty_directory_has_a_report_too(tmp_path):
    text = " ".join(page_of(tmp_path).words)
    assert "No evaluation was done" in text and "no config.yaml" in text


@pytest.mark.parametrize("config", ["[1, 2", "- a\n- b\n", "training: 7\ndata: []\n", "\x00"])
def test_a_damaged_config_does_not_matter(run, config):
    (run / "config.yaml").write_text(config)
    assert write_report(run).exists()


def notes_of(history, training=None, sweep=()):
    return " ".join(reading_notes(history, {"training": training or {}}, sweep))


def sweep_points(*rows):
    return [SweepPoint(t, {"gen/entropy": x, "gen/nll_oracle": y}) for t, x, y in rows]


def test_notes_warn_that_the_oracle_alone_proves_nothing():
    assert "NLL oracle alone proves nothing" in notes_of(whole_history())
    assert "proves nothing" not in notes_of([round_of(1)])


def test_notes_say_what_changed():
    notes = notes_of(whole_history())
    assert "NLL oracle went from 9.200 to 8.700 (-0.500)" in notes
    assert "held-out NLL went from 8.200 to 8.800 (+0.600)" in notes
    assert "entropy went from 6.500 to 5.900 (-0.600)" in notes


def test_notes_compare_at_equal_entropy():
    """The sweep is at 8.6 and 9.2 for entropies 5.8 and 6.4: 8.7 at 5.9, as the generator has; a worse one is worse."""
    sweep = sweep_points((0.9, 5.8, 8.6), (1.0, 6.4, 9.2))
    assert "reaches NLL oracle 8.700 by its temperature alone; this generator has 8.700, 0.000" in notes_of(
        whole_history(), sweep=sweep
    )
    better = [*whole_history(), evaluation(9, "adversarial", 8.5, 8.8, 5.9)]
    assert "has 8.500, 0.200 better" in notes_of(better, sweep=sweep)
    worse = [*whole_history(), evaluation(9, "adversarial", 9.0, 8.8, 5.9)]
    assert "has 9.000, 0.300 worse" in notes_of(worse, sweep=sweep)


def test_notes_refuse_to_extrapolate_and_say_when_there_is_no_sweep():
    outside = sweep_points((0.9, 6.0, 8.6), (1.0, 6.4, 9.2))
    assert "outside the temperature sweep" in notes_of(whole_history(), sweep=outside)
    assert "no temperature sweep" in notes_of(whole_history())


def test_notes_name_a_control():
    assert "This run is a control" in notes_of(whole_history(), {"reward": "constant"})
    assert "This run is a control" not in notes_of(whole_history(), {"reward": "discriminator"})


@pytest.mark.parametrize(
    ("real", "fake", "said"),
    [(0.999, 0.999, "almost always"), (0.52, 0.48, "tells nothing apart"), (0.8, 0.7, "right on 80.0% of real")],
)
def test_notes_judge_the_discriminator(real, fake, said):
    history = [round_of(step, **{"disc/acc_real": real, "disc/acc_fake": fake}) for step in range(20)]
    assert said in notes_of(history)


def test_notes_say_when_nothing_could_be_learned():
    history = [round_of(step, **{"gen/frac_reward_zero_std": 1.0}) for step in range(3)]
    assert "At 100% of positions (BGAN: latent codes) everything that was compared had the same reward" in notes_of(
        history
    )


def test_sweep_file_comes_back_sorted_and_without_lies(tmp_path):
    points = [SweepPoint(1.0, {"a": 2.0}), SweepPoint(0.5, {"a": float("nan")})]
    save_sweep(tmp_path, points, num_samples=10, seed=1)
    cold, warm = load_sweep(tmp_path)
    assert (cold.temperature, warm) == (0.5, points[0]) and cold.figures["a"] != cold.figures["a"]
    (tmp_path / "temperature_sweep.json").write_text('{"points": [{"temp')
    assert load_sweep(tmp_path) == []
    assert load_sweep(tmp_path / "nowhere") == []


def test_notes_do_not_compare_self_bleu_of_different_numbers_of_sequences():
    def at(number, x, y):
        return {"eval/self_bleu_3": x, "eval/bleu_3": y, "eval/num_sequences": float(number)}

    history = [HistoryEntry(1, "adversarial", "eval", 1.0, at(300, 0.6, 0.45))]
    sweep = [SweepPoint(0.8, at(500, 0.7, 0.5)), SweepPoint(1.0, at(500, 0.5, 0.3))]
    assert "another number of sequences" in notes_of(history, sweep=sweep)
    notes = " ".join(reading_notes(history, {}, sweep, final=at(500, 0.6, 0.45)))
    assert "At the same Self-BLEU-3, the likelihood model reaches BLEU-3 0.400" in notes and "0.050 better" in notes


@pytest.mark.parametrize(("step", "expected"), [(8, {"gen/entropy": 5.5}), (7, None)])
def test_what_rlgan_eval_found_counts_for_its_own_step_only(tmp_path, step, expected):
    (tmp_path / "evaluation.json").write_text('{"figures": {"step": 8.0, "gen/entropy": 5.5}}')
    assert load_final_figures(tmp_path, step) == expected


def test_the_sweep_is_in_the_report(run):
    save_sweep(run, sweep_points((0.9, 5.8, 8.6), (1.0, 6.4, 9.2)), num_samples=10, seed=0)
    assert "reaches NLL oracle 8.700" in "".join(page_of(run).words)
