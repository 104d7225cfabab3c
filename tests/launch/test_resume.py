"""N + M rounds equal N, resume, M, bit for bit and in every phase; and what is not gone on from."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from rlgan.checkpoint import Checkpoint, list_checkpoints, read_checkpoint, save_checkpoint
from rlgan.launch.history import History, HistoryEntry
from rlgan.launch.main import main

TRAIN = ("train", "seqgan")
NUM_ROUNDS = 7  # 2 of likelihood, 2 of the discriminator, 3 adversarial


def tensors_at(path: Path, step: int) -> dict[str, torch.Tensor]:
    """All tensors of a checkpoint, by group and name."""
    groups = read_checkpoint(path / "checkpoints" / f"step-{step:06d}").tensors
    return {f"{group}/{name}": tensor for group, named in groups.items() for name, tensor in named.items()}


def measured(path: Path) -> list[tuple[int, str, dict[str, float]]]:
    """The history without times, rates and checkpoints, which depend on the machine and on where it was cut."""
    return [
        (entry.step, entry.kind, {k: v for k, v in entry.figures.items() if k.split("/")[0] in {"gen", "disc", "eval"}})
        for entry in History(path).read()
    ]


def require_equal(one: Path, other: Path) -> None:
    """The same weights, optimisers and published nets after the last round, to the last bit."""
    mine, theirs = tensors_at(one, NUM_ROUNDS), tensors_at(other, NUM_ROUNDS)
    assert mine.keys() == theirs.keys() and len(mine) > 30
    different = [name for name in mine if not torch.equal(mine[name], theirs[name])]
    assert different == []


@pytest.fixture(scope="module")
def every_step(local_ray, tiny_words, tmp_path_factory) -> Path:
    """An uninterrupted run that keeps a checkpoint of each round."""
    path = tmp_path_factory.mktemp("whole") / "run"
    words = ["--checkpoint-every", "1", "--keep-checkpoints", "99", "--eval-every", "1"]
    assert main([*TRAIN, *tiny_words, *words, "--run-dir", str(path)]) == 0
    assert len(list_checkpoints(path / "checkpoints")) == NUM_ROUNDS
    return path


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6], ids=lambda step: f"after {step}")
def test_a_run_resumed_from_any_round_ends_equal(step, every_step, rlgan, tmp_path):
    source = every_step / "checkpoints" / f"step-{step:06d}"
    words = ["--eval-every", "1", "--eval-samples", "20"]  # a checkpoint does not know how the run was measured
    said = rlgan(*TRAIN, "--resume", source, "--run-dir", tmp_path / "run", *words)
    assert said.code == 0, said.err
    require_equal(tmp_path / "run", every_step)
    assert measured(tmp_path / "run") == [entry for entry in measured(every_step) if entry[0] > step]


@pytest.mark.slow
def test_a_run_directory_branches_with_all_its_settings(every_step, rlgan, tmp_path):
    said = rlgan(*TRAIN, "--resume", every_step, "--run-dir", tmp_path / "branch", "--rounds", "4")
    assert said.code == 0 and "going on after step 7" in said.out, said
    assert [entry[:2] for entry in measured(tmp_path / "branch")] == [(8, "round"), (8, "eval")]
    log = yaml.safe_load((tmp_path / "branch" / "config.yaml").read_text())["log"]
    assert (log["eval_samples"], log["checkpoint_every"], log["keep_checkpoints"]) == (20, 1, 99)
    assert len(list_checkpoints(every_step / "checkpoints")) == NUM_ROUNDS, "the first run is as it was"


@pytest.mark.slow
def test_auto_goes_on_in_place(every_step, rlgan, tmp_path):
    """As after a kill in round 5: records go beyond the newest checkpoint, one checkpoint is torn, no report."""
    path = tmp_path / "run"
    shutil.copytree(every_step, path)
    for later in (5, 6, 7):
        shutil.rmtree(path / "checkpoints" / f"step-{later:06d}")
    (path / "checkpoints" / ".tmp-step-000005").mkdir()
    (path / "report.html").unlink()
    with (path / "history.jsonl").open("a") as file:
        file.write('{"step": 8, "phase": "adver')
    (path / "samples" / "step-000009.txt").write_text("of a future that does not happen\n")
    said = rlgan(*TRAIN, "--run-dir", path, "--resume", "auto")
    assert said.code == 0 and "going on after step 4" in said.out, said
    require_equal(path, every_step)
    assert measured(path) == measured(every_step), "no gap, no repeat"
    assert (path / "report.html").exists() and not (path / "samples" / "step-000009.txt").exists()
    assert (path / "config.yaml").read_text() == (every_step / "config.yaml").read_text()


@pytest.mark.slow
def test_more_rounds_can_be_added_to_a_finished_run(every_step, rlgan, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(every_step, path)
    said = rlgan(*TRAIN, "--run-dir", path, "--resume", "auto", "--rounds", "4")
    assert said.code == 0 and "training.rounds: 3 in the checkpoint, 4 from here on" in said.out
    assert max(entry.step for entry in History(path).read()) == NUM_ROUNDS + 1
    assert yaml.safe_load((path / "config.yaml").read_text())["training"]["rounds"] == 4


@pytest.mark.slow
def test_a_finished_run_is_left_alone(every_step, rlgan):
    before = (every_step / "history.jsonl").read_bytes()
    assert rlgan(*TRAIN, "--run-dir", every_step, "--resume", "auto").code == 0
    assert (every_step / "history.jsonl").read_bytes() == before


@pytest.mark.slow
def test_another_oracle_is_other_data(every_step, rlgan, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(every_step, path)
    said = rlgan(*TRAIN, "--run-dir", path, "--resume", "auto", "--oracle-seed", "3", "--rounds", "9")
    assert said.code == 3 and "not the data that the checkpoint of step 7 was made of" in said.err
    assert (path / "config.yaml").read_text() == (every_step / "config.yaml").read_text(), "nothing has changed"
    assert (path / "history.jsonl").read_bytes() == (every_step / "history.jsonl").read_bytes()


@pytest.fixture
def poem_run(poems, tmp_path) -> Callable[[], Path]:
    """A run on words whose checkpoint has no weights: enough for everything that is refused before Ray starts."""
    from rlgan.data import load_source
    from rlgan.launch.systems.seqgan import SYSTEM
    from rlgan.launch.train_options import read_train_options

    run = read_train_options(SYSTEM, ["--recipe", "paper", "--data", str(poems)]).run
    source = load_source(run.data)
    space = {name: getattr(source.space, name) for name in ("vocab_size", "length", "start_id", "end_id")}
    state = {"space": space, "corpus": {"fingerprint": source.fingerprint(), "name": source.name}}
    path = tmp_path / "run"
    config = {"system": "seqgan", **yaml.safe_load(run.to_yaml())}
    checkpoint = Checkpoint(4, {}, state, yaml.safe_dump(config), source.tokenizer_json())
    save_checkpoint(path / "checkpoints", checkpoint)
    History(path).append(HistoryEntry(4, "discriminator", "round", 0.1, {}))
    (path / "config.yaml").write_text(run.to_yaml())
    return path


DIFFERENT = {
    "size of the generator": (
        ["--generator.hidden-size", "64"],
        "training.generator.hidden_size: 32 in the checkpoint, 64 in this run",
    ),
    "windows of the discriminator": (
        ["--discriminator.windows", "1", "--discriminator.filters", "9"],
        "training.discriminator.windows: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20] in the checkpoint, [1] in this run",
    ),
    "tokens": (["--tokens", "char"], "data.tokens: 'word' in the checkpoint, 'char' in this run"),
    "vocabulary": (["--max-vocab", "5"], "data.max_vocab: None in the checkpoint, 5 in this run"),
    "length": (["--length", "9"], "data.length: None in the checkpoint, 9 in this run"),
    "end token": (["--fixed-length"], "data.fixed_length: False in the checkpoint, True in this run"),
    "pre-training": (["--likelihood.epochs", "3"], "training.likelihood.epochs: 120 in the checkpoint, 3 in this run"),
    "learning rate": (["--lr", "0.5"], "training.lr: 0.01 in the checkpoint, 0.5 in this run"),
    "control": (["--reward-ablation", "random"], "training.reward: 'discriminator' in the checkpoint, 'random'"),
}


@pytest.mark.parametrize("words, message", DIFFERENT.values(), ids=DIFFERENT)
def test_another_architecture_or_vocabulary(words, message, poem_run, poems, rlgan):
    said = rlgan(*TRAIN, "--run-dir", poem_run, "--resume", "auto", "--data", poems, *words)
    assert said.code == 5 and said.err.count("\n") == 1, said
    assert "the checkpoint of step 4 belongs to another run" in said.err and message in said.err


def test_other_data(poem_run, poems, rlgan):
    lines = poems.read_text().splitlines()
    poems.write_text("\n".join(reversed(lines[1:])) + "\n")
    said = rlgan(*TRAIN, "--run-dir", poem_run, "--resume", "auto")
    assert said.code == 3 and said.err.count("\n") == 1
    assert "poems.txt: not the data that the checkpoint of step 4 was made of" in said.err
    assert "--allow-data-change" in said.err


def test_other_data_that_is_allowed(poem_run, poems, rlgan):
    lines = poems.read_text().splitlines()
    poems.write_text("\n".join(reversed(lines)) + "\n")
    options = [*TRAIN, "--run-dir", poem_run, "--resume", "auto"]
    assert rlgan(*options).code == 3
    said = rlgan(*options, "--allow-data-change")
    assert said.code != 3 and "not the data" not in said.err, "this checkpoint has no nets to go on with"


def test_data_with_an_unknown_word(poem_run, poems, rlgan):
    poems.write_text(poems.read_text() + "w1 w2 surprise end\n")
    said = rlgan(*TRAIN, "--run-dir", poem_run, "--resume", "auto", "--allow-data-change")
    assert said.code == 3 and "'surprise' is not in the vocabulary" in said.err


def test_data_of_another_length_is_refused_even_if_change_is_allowed(poem_run, poems, rlgan):
    poems.write_text("w1 w2 w3 w4 end end\n" + poems.read_text())
    said = rlgan(*TRAIN, "--run-dir", poem_run, "--resume", "auto", "--allow-data-change")
    assert said.code == 5 and "has length 4, the data now gives 6" in said.err


def test_data_that_is_gone(poem_run, poems, rlgan):
    poems.unlink()
    said = rlgan(*TRAIN, "--run-dir", poem_run, "--resume", "auto")
    assert said.code == 3 and "poems.txt: cannot be read (No such file or directory)" in said.err


def test_a_damaged_checkpoint_by_name(poem_run, rlgan, tmp_path):
    checkpoint = poem_run / "checkpoints" / "step-000004"
    (checkpoint / "state.json").write_text("{}")
    said = rlgan(*TRAIN, "--resume", checkpoint, "--run-dir", tmp_path / "new")
    assert said.code == 5 and "state.json: has 2 bytes" in said.err
    said = rlgan(*TRAIN, "--resume", "auto", "--run-dir", poem_run)
    assert said.code == 5 and "none of 1 checkpoints is usable" in said.err, "going on from nothing would hide the loss"


@pytest.mark.parametrize("words", [(), ("--resume", "PATH")])
def test_a_directory_with_a_run_takes_no_other(words, poem_run, rlgan):
    words = [str(poem_run / "checkpoints" / "step-000004") if word == "PATH" else word for word in words]
    said = rlgan(*TRAIN, "--run-dir", poem_run, *words)
    assert said.code == 2 and "holds a run already" in said.err


def test_resume_from_nowhere(rlgan, tmp_path):
    said = rlgan(*TRAIN, "--resume", tmp_path / "nowhere", "--run-dir", tmp_path / "new")
    assert said.code == 5 and "nowhere: no such directory" in said.err
