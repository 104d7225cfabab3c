"""`rlgan train maskgan` and `rlgan fill`: files, figures, fills before and after, resume, and what is refused."""

import json
import shlex
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlgan.errors import DataError
from rlgan.launch.filler import load_filler

pytestmark = pytest.mark.usefixtures("local_ray")

PAGE = Path(__file__).parents[2] / "docs" / "tensorboard.md"
TINY = shlex.split("""
    --length 8 --grammar-sequences 100 --grammar-held-out 20 --rounds 2 --batch-size 8 --generator.size 8
    --discriminator.size 8 --language-model.epochs 1 --language-model.batch-size 25 --mask-mle.epochs 1
    --mask-mle.batch-size 25 --discriminator-training.pretrain-rounds 1 --discriminator-training.pretrain-steps 2
    --discriminator-training.d-steps 2 --discriminator-training.batch-size 6 --eval-samples 20 --eval-every 0
""")


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
    assert not [tag for tag in events.Tags()["scalars"] if f"`{tag}`" not in page]
    (table,) = {event.tensor_proto.string_val[0].decode() for event in events.Tensors("samples/fills/text_summary")[:1]}
    assert "| real |" in table and "| filled |" in table and "| reward |" in table
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    figures = [entry["figures"] for entry in history if entry["kind"] == "eval"][-1]
    truths = {"eval/true_log_likelihood", "eval/grammatical", "eval/divergence"}
    assert truths | {"eval/masked_perplexity"} <= figures.keys()
    assert (run / "mask_mle.safetensors").is_file() and (run / "language_model.safetensors").is_file()
    assert (run / "report.html").is_file()


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


def test_a_resumed_run_goes_on(run, rlgan, tmp_path):
    whole = json.loads((run / "history.jsonl").read_text().splitlines()[-1])
    path = tmp_path / "run"
    words = [word if word != "2" or TINY[i - 1] != "--rounds" else "1" for i, word in enumerate(TINY)]
    assert rlgan("train", "maskgan", "--run-dir", path, *words).code == 0
    said = rlgan("train", "maskgan", "--run-dir", path, "--resume", "auto", "--rounds", 2)
    assert said.code == 0, said.err
    assert json.loads((path / "history.jsonl").read_text().splitlines()[-1])["figures"] == whole["figures"]
