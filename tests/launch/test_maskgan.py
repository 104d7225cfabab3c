"""`rlgan train maskgan` and `rlgan fill`: files, figures, fills before and after, resume, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlgan.data import CorpusConfig, load_source
from rlgan.errors import DataError
from rlgan.fills import fill_blanks
from rlgan.infilling_evaluation import evaluate_infilling
from rlgan.launch.filler import load_filler
from rlgan.seeding import torch_generator
from tests.launch.tiny_runs import TINY_RUNS

pytestmark = pytest.mark.usefixtures("local_ray")

PAGE = Path(__file__).parents[2] / "docs" / "tensorboard.md"
TINY = TINY_RUNS["maskgan"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, local_ray) -> Path:
    """A finished run on the grammar."""
    from rlgan.launch.main import main

    path = tmp_path_factory.mktemp("maskgan") / "run"
    assert main(["train", "maskgan", "--run-dir", str(path), *TINY]) == 0
    return path


def test_a_run_leaves_figures_fills_weights_and_a_report(run):
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    page = PAGE.read_text(encoding="utf-8")
    scalars = set(events.Tags()["scalars"])
    assert not [tag for tag in scalars if f"`{tag}`" not in page]
    assert {"critic/value_loss", "critic/explained_variance", "gen/entropy", "disc/acc_fake"} <= scalars
    (table,) = {event.tensor_proto.string_val[0].decode() for event in events.Tensors("samples/fills/text_summary")[:1]}
    assert "| real |" in table and "| filled |" in table and "| reward |" in table
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    figures = [entry["figures"] for entry in history if entry["kind"] == "eval"][-1]
    truths = {"eval/true_log_likelihood", "eval/grammatical", "eval/divergence"}
    assert truths | {"eval/masked_perplexity"} <= figures.keys()
    assert (run / "mask_mle.safetensors").is_file() and (run / "language_model.safetensors").is_file()
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "Quality and diversity" in report and "true log-likelihood" in report and "--compare RUN" not in report
    sweep = json.loads((run / "temperature_sweep.json").read_text())
    assert sweep["num_samples"] == 20 and len(sweep["points"]) == 10


OWN = {
    "word": "--tokens word",
    "char": "--tokens char",
    "bpe": "--tokens bpe --bpe-size 300",
    "fixed": "--fixed-length",
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OWN)
def test_lines_of_ones_own_train_and_are_filled(kind, rlgan, tmp_path):
    nouns, adverbs = ["cat", "dog", "cow", "hen", "pig", "owl", "bee"], ["now", "still", "here", "too", "again", ""]
    ends = adverbs[:-1] if kind == "fixed" else adverbs
    lines = [f"{count} the {noun} sat {end}".strip() for count in "012" for noun in nouns for end in ends]
    (tmp_path / "own.txt").write_text("\n".join(lines), encoding="utf-8")
    path = tmp_path / "run"
    options = [*TINY[6:], "--data", tmp_path / "own.txt", *OWN[kind].split()]  # without those of the grammar
    said = rlgan("train", "maskgan", "--run-dir", path, *options)
    assert said.code == 0, said.err
    line = "1 the ___ sat now" if kind == "char" else "1 the ____ sat now"
    said = rlgan("fill", path, line, "-n", "2", "--format", "jsonl")
    assert (said.code, said.err) == (0, "")
    told = [json.loads(row) for row in said.out.splitlines()]
    assert len(told) == 4
    assert all(one["text"].startswith("1 the") and one["text"].endswith(" sat now") for one in told)
    assert all(len(one["tokens"]) == (3 if kind == "char" else 1) == len(one["rewards"]) for one in told)
    assert rlgan("eval", path, "-n", "8").code == 0


def test_a_word_that_was_never_seen_is_named(rlgan, tmp_path):
    lines = [f"{noun} {verb} {end}" for noun in "abcdefg" for verb in "hijkl" for end in "mnop"]
    (tmp_path / "own.txt").write_text("\n".join([*lines, "a h once"]), encoding="utf-8")
    words = ["--data", tmp_path / "own.txt", "--max-vocab", "16", "--run-dir", tmp_path / "run"]
    assert rlgan("train", "maskgan", *TINY[6:], *words).code == 0
    said = rlgan("fill", tmp_path / "run", "a ____ <eos>")
    assert said.code == 0 and said.err == "rlgan: warning: not in the vocabulary, read as <unk>: '<eos>'\n"


def test_fills_of_both_generators_keep_the_given_words(run, rlgan):
    given = load_filler(run).vocabulary.decode([5])
    line = f"{given} ____ {given} ____:2"
    said = rlgan("fill", run, line, "-n", 4, "--format", "jsonl")
    fills = [json.loads(row) for row in said.out.splitlines()]
    assert said.code == 0 and [one["generator"] for one in fills] == ["maskgan"] * 4 + ["mask_mle"] * 4
    for one in fills:
        words = one["text"].split()
        assert words[0] == given and words[2] == given and words[1] == one["tokens"][0]
        assert len(one["tokens"]) == len(one["rewards"]) == 3 and all(reward <= 0 for reward in one["rewards"])
        assert one["line"] == line and one["step"] == 5
    assert rlgan("fill", run, line, "-n", 4, "--format", "jsonl").out == said.out
    assert rlgan("fill", run, line, "-n", 4, "--format", "jsonl", "--seed", 1).out != said.out


def test_a_file_of_lines_and_text_to_read(run, rlgan, tmp_path):
    word = load_filler(run).vocabulary.decode([5])
    lines = tmp_path / "lines.txt"
    lines.write_text(f"{word} ____\n\n____ {word}\n", encoding="utf-8")
    said = rlgan("fill", run, "--file", lines, "-n", 1, "--generator", "mask_mle")
    rows = said.out.splitlines()
    assert said.code == 0 and rows[0] == f"{word} ____" and rows[2] == f"____ {word}"
    assert rows[1].startswith("  mask_mle  ") and rows[1].endswith("]") and len(rows) == 4


def test_marks_become_blanks_and_the_rest_ends(run):
    filler = load_filler(run)
    word = filler.vocabulary.decode([5])
    tokens_T, blank_T = filler.read(f"__ {word} ____:3")
    assert blank_T.tolist() == [True, False, True, True, True, False, False, False]
    assert tokens_T[1] == 5 and tokens_T[5:].tolist() == [filler.space.end_id] * 3
    with pytest.raises(DataError, match="no blank"):
        filler.read(word)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["xyzzy ____"], 3, "not in the vocabulary"),
        (["____:9"], 3, "knows texts of 8"),
        ([], 2, "give a line"),
        (["____", "--file", "x.txt"], 2, "give a line"),
        (["--file", "missing.txt"], 3, "cannot be read"),
        (["____", "--temprature", "1"], 2, "perhaps you meant"),
    ],
)
def test_what_is_wrong_is_one_line_and_a_code(run, rlgan, words, code, message):
    said = rlgan("fill", run, *words)
    assert said.code == code and message in said.err and len(said.err.splitlines()) == 1 and not said.out


def test_a_folder_without_a_checkpoint_is_refused(rlgan, tmp_path):
    said = rlgan("fill", tmp_path, "a ____")
    assert said.code == 5 and "no checkpoint" in said.err


def test_eval_puts_the_fills_of_both_generators_side_by_side(run, rlgan):
    said = rlgan("eval", run, "-n", 30, "--seed", 3, "--sweep", "--temperatures", 0.2, 5)
    assert said.code == 0, said.err
    assert "mask mle at equal entropy" in said.out and "eval/lm_fill_text_perplexity" in said.out
    result = json.loads(said.out.splitlines()[-1])
    nets = load_filler(run).nets
    source = load_source(CorpusConfig(builtin="grammar", length=8, grammar_sequences=100, grammar_held_out=20), None)
    for name, net in nets.generators.items():
        expected = evaluate_infilling(net, nets.language_model, source, nets.blanks, 30, seed=3).figures
        assert result[name] == pytest.approx(expected)
    assert result["step"] == 5 and "eval/real_bleu_3" in result["maskgan"]
    assert result["mask_mle_at_equal_entropy"]["gen/entropy"] == pytest.approx(result["maskgan"]["gen/entropy"])
    saved = json.loads((run / "evaluation.json").read_text())
    assert saved["figures"] == {"step": 5.0, **result["maskgan"]} and saved["mask_mle"] == result["mask_mle"]
    assert len(json.loads((run / "temperature_sweep.json").read_text())["points"]) == 2


def test_eval_of_whole_texts_is_shown_and_not_left_for_the_report(run, rlgan):
    (run / "evaluation.json").unlink(missing_ok=True)
    said = rlgan("eval", run, "-n", 30, "--blanks", "everything")
    figures = json.loads(said.out.splitlines()[-1])["mask_mle"]
    assert said.code == 0 and figures["eval/lm_fill_perplexity"] == figures["eval/lm_fill_text_perplexity"]
    assert not (run / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--temperatures", "0", "1"], 2, "must be positive"),
        (["--num-samples", "1"], 2, "--num-samples"),
        (["--compare", "x"], 2, "--compare"),
    ],
)
def test_what_eval_refuses_is_one_line_and_a_code(run, rlgan, words, code, message):
    said = rlgan("eval", run, *words)
    assert said.code == code and message in said.err and len(said.err.splitlines()) == 1 and not said.out


@pytest.mark.parametrize("command", ["sample", "eval"])
def test_a_maskgan_run_without_a_usable_checkpoint_is_exit_5(command, rlgan, tmp_path):
    (tmp_path / "config.yaml").write_text("system: maskgan\n")
    said = rlgan(command, tmp_path)
    assert said.code == 5 and "no checkpoint" in said.err


def test_sampled_texts_are_blanks_alone_filled_in(run, rlgan):
    filler = load_filler(run)
    space, uniform_NT = filler.space, torch.rand(256, 8, generator=torch_generator(2, "sample", 0))[:6]
    for name, net in filler.nets.generators.items():
        said = rlgan("sample", run, "-n", 6, "--seed", 2, "--generator", name, "--format", "jsonl")
        any_NT, blank_NT = torch.full((6, 8), 3), torch.ones(6, 8, dtype=torch.bool)
        expected_NT = fill_blanks(net, any_NT, blank_NT, uniform_NT)
        rows = [json.loads(line) for line in said.out.splitlines()]
        kept = [row[keep].tolist() for row, keep in zip(expected_NT, space.mask(expected_NT), strict=True)]
        assert [row["tokens"] for row in rows] == kept and {row["step"] for row in rows} == {5}
    text = rlgan("sample", run, "-n", 6, "--seed", 2, "--generator", name).out.splitlines()
    assert text == [row["text"] for row in rows]


def test_neither_sample_nor_eval_imports_ray(run):
    program = (
        "import sys; from rlgan.launch.main import main; "
        f"main(['eval', {str(run)!r}, '-n', '10']); main(['sample', {str(run)!r}]); sys.exit('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_resumed_run_goes_on(run, rlgan, tmp_path):
    whole = json.loads((run / "history.jsonl").read_text().splitlines()[-1])
    path = tmp_path / "run"
    words = [word if word != "2" or TINY[i - 1] != "--rounds" else "1" for i, word in enumerate(TINY)]
    assert rlgan("train", "maskgan", "--run-dir", path, *words).code == 0
    said = rlgan("train", "maskgan", "--run-dir", path, "--resume", "auto", "--rounds", 2)
    assert said.code == 0, said.err
    assert json.loads((path / "history.jsonl").read_text().splitlines()[-1])["figures"] == whole["figures"]
