"""`rlgan eval`: files of sequences, runs, and what it refuses."""

import json
import subprocess
import sys

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from rlgan.checkpoint import read_checkpoint
from rlgan.data import CorpusConfig, Oracle, load_source
from rlgan.evaluation import evaluate_generator
from rlgan.launch.evaluate import evaluate
from rlgan.launch.main import main
from rlgan.launch.temperature_sweep import load_sweep
from rlgan.models import RecurrentConfig, RecurrentGenerator
from rlgan.seeding import torch_generator


def answer(arguments, tmp_path):
    """What `rlgan eval` prints, and its line of JSON."""
    with (tmp_path / "out.txt").open("w", encoding="utf-8") as file:
        assert evaluate([str(word) for word in arguments], Console(file=file, width=100)) == 0
    text = (tmp_path / "out.txt").read_text(encoding="utf-8")
    return text, json.loads(text.splitlines()[-1])


def refusal(arguments, capsys):
    """The exit code and the line on standard error."""
    code = main(["eval", *(str(word) for word in arguments)])
    said = capsys.readouterr().err
    assert said.startswith("rlgan: ") and said.count("\n") == 1
    return code, said


@pytest.fixture
def sequences(tmp_path):
    """A file of three sequences of four ids below 12."""
    path = tmp_path / "sequences.txt"
    path.write_text("1 2 3 4\n\n5 6 7 8\n0 0 11 11\n")
    return path


ROWS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 11, 11]])


def test_a_file_under_an_oracle_of_a_seed(sequences, tmp_path):
    text, result = answer(["--sequences", sequences, "--oracle-seed", 5, "--vocab-size", 12], tmp_path)
    mean_N = Oracle.draw(5, 12).nll(ROWS).mean(dim=1)
    assert result["gen/nll_oracle"] == pytest.approx(float(mean_N.mean()), rel=1e-6)
    assert result["sd_of_sequences"] == pytest.approx(float(mean_N.std()), rel=1e-5)
    assert result["standard_error"] == pytest.approx(float(mean_N.std()) / 3**0.5, rel=1e-5)
    assert (result["num_sequences"], result["tokens_per_sequence"]) == (3, 4)
    assert "sequences.txt" in text and f"{float(mean_N.mean()):.4f}" in text


def test_a_file_under_an_oracle_of_a_file(sequences, tmp_path):
    oracle = Oracle.draw(9, 12)
    oracle.save(tmp_path / "oracle.safetensors")
    _, result = answer(["--sequences", sequences, "--oracle-file", tmp_path / "oracle.safetensors"], tmp_path)
    assert result["gen/nll_oracle"] == pytest.approx(float(oracle.nll(ROWS).mean()), rel=1e-6)


def test_one_sequence_has_no_spread(tmp_path):
    (tmp_path / "one.txt").write_text("1 2 3\n")
    _, result = answer(["--sequences", tmp_path / "one.txt", "--vocab-size", 12], tmp_path)
    assert result["sd_of_sequences"] is None and result["standard_error"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [("1 2 12 3\n", "too large"), ("1 x 3\n", "is not an id"), ("1 2\n1 2 3\n", "expected 2"), ("\n", "no sequences")],
)
def test_a_bad_file_is_exit_3(tmp_path, capsys, content, said):
    (tmp_path / "bad.txt").write_text(content)
    code, message = refusal(["--sequences", tmp_path / "bad.txt", "--vocab-size", 12], capsys)
    assert code == 3 and said in message


def test_an_oracle_of_another_size_is_exit_3(sequences, tmp_path, capsys):
    Oracle.draw(9, 12).save(tmp_path / "o.safetensors")
    words = ["--sequences", sequences, "--oracle-file", tmp_path / "o.safetensors", "--vocab-size", 13]
    code, message = refusal(words, capsys)
    assert code == 3 and "12 ids" in message


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected one of RUN"),
        (["a", "--sequences", "b"], "expected one of RUN"),
        (["a", "--compare", "b", "c"], "expected one of RUN"),
        (["a", "--oracle-file", "b"], "--oracle-file is for --sequences"),
        (["a", "--temperatures", "0", "1"], "must be positive"),
        (["a", "--temperatures", "1"], "--temperatures"),
        (["a", "--num-samples", "1"], "--num-samples"),
        (["a", "--sequence", "b"], "perhaps you meant --sequences"),
        (["--compare", "a", "b", "--quality", "bleu-9"], "quality"),
    ],
)
def test_bad_options_are_exit_2(words, said, capsys):
    code, message = refusal(words, capsys)
    assert code == 2 and said in message


def run_generator(path):
    """The generator of the run, rebuilt here."""
    (folder,) = (path / "checkpoints").glob("step-*")
    sizes = RecurrentConfig(embedding_size=8, hidden_size=8)
    source = load_source(CorpusConfig(vocab_size=12, length=4, oracle_sequences=40, oracle_held_out=20))
    net = RecurrentGenerator(source.space, sizes, torch_generator(0, "any"))
    net.load_state_dict(read_checkpoint(folder).tensors["published_generator"])
    return net, source


def test_a_run_is_measured_at_its_newest_checkpoint(make_run, tmp_path):
    path = make_run(tmp_path / "run")
    text, result = answer([path, "-n", 64, "--seed", 3], tmp_path)
    net, source = run_generator(path)
    expected = evaluate_generator(net, source, 64, seed=3).figures
    assert result == pytest.approx({"step": 30.0, **expected})
    assert "gen/nll_oracle" in text
    saved = json.loads((path / "evaluation.json").read_text())
    assert saved["figures"] == result and (saved["num_samples"], saved["seed"]) == (64, 3)


def test_a_text_run_has_bleu_with_its_ceiling(make_run, tmp_path):
    words = ["the", "cat", "sat", "on", "a", "mat", "while", "dogs", "ran", "past", "every", "tree", "and", "bird"]
    lines = [" ".join(words[(3 * i + j) % 13] for j in range(6)) for i in range(13)]
    (tmp_path / "text.txt").write_text("\n".join(lines))
    path = make_run(tmp_path / "run", data={"data": tmp_path / "text.txt", "held_out_fraction": 0.3})
    _, result = answer([path, "-n", 20], tmp_path)
    assert 0 <= result["eval/bleu_2"] < result["eval/real_bleu_2"] <= 1
    assert "gen/nll_oracle" not in result


def test_the_sweep_goes_into_the_report(make_run, tmp_path):
    path = make_run(tmp_path / "run", evaluations=[(20, "likelihood", {"gen/nll_oracle": 2.0, "gen/entropy": 1.5})])
    answer([path, "-n", 40, "--sweep", "--temperatures", 1.5, 0.5], tmp_path)
    assert [point.temperature for point in load_sweep(path)] == [0.5, 1.5]
    assert load_sweep(path)[0].figures["gen/entropy"] < load_sweep(path)[1].figures["gen/entropy"]
    assert "no temperature sweep" not in (path / "report.html").read_text(encoding="utf-8")


def test_no_sweep_without_a_likelihood_model(make_run, tmp_path, capsys):
    path = make_run(tmp_path / "run", with_likelihood=False)
    code, message = refusal([path, "-n", 10, "--sweep"], capsys)
    assert code == 2 and "likelihood.safetensors is missing" in message


def test_a_path_without_a_run_is_exit_5(tmp_path, capsys):
    assert refusal([tmp_path / "nowhere"], capsys)[0] == 5
    assert refusal([tmp_path], capsys)[0] == 5


@pytest.mark.parametrize("damage", ["garbage", "another architecture"])
def test_a_damaged_likelihood_model_is_exit_5_and_named(make_run, tmp_path, capsys, damage):
    path = make_run(tmp_path / "run")
    if damage == "garbage":
        (path / "likelihood.safetensors").write_bytes(b"\x80\x04garbage")
    else:
        save_file({"embedding.weight": torch.zeros(3, 8)}, path / "likelihood.safetensors")
    code, message = refusal([path], capsys)
    assert code == 5 and "likelihood.safetensors" in message


def test_changed_data_is_exit_3(make_run, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("\n".join(f"a b c {chr(100 + i)}" for i in range(20)))
    path = make_run(tmp_path / "run", data={"data": tmp_path / "text.txt", "split_seed": 1})
    lines = (tmp_path / "text.txt").read_text().splitlines()
    (tmp_path / "text.txt").write_text("\n".join(reversed(lines)))
    code, message = refusal([path], capsys)
    assert code == 3 and "not what the run learned from" in message


def test_ray_is_never_imported(make_run, tmp_path):
    path = make_run(tmp_path / "run")
    program = (
        "import sys; from rlgan.launch.main import main; "
        f"code = main(['eval', {str(path)!r}, '-n', '10']); sys.exit(code or 10 * ('ray' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
