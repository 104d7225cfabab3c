"""`rlgan train condition` and what `rlgan sample` does with it: nets plugged into a finished run of PPGN."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.launch.test_ppgn import images
from tests.launch.tiny_runs import TINY_RUNS

pytestmark = pytest.mark.usefixtures("local_ray")

SMALL = ["--steps", "60", "--lr", "0.005", "--batch-size", "16", "--convolutional.channels", "4"]
SMALL += ["--dense-hidden", "8", "--captioner.hidden-size", "8", "--captioner.channels", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, local_ray) -> Path:
    """A finished run on digits, and three nets for it: two classifiers, and a captioner of the digits' names."""
    from rlgan.launch.main import main

    folder = tmp_path_factory.mktemp("conditions")
    path = folder / "run"
    assert main(["train", "ppgn", "--model", "ppgn_h", "--run-dir", str(path), *TINY_RUNS["ppgn"]]) == 0
    heavy_or_light(folder / "weights.npz")
    before = hashes(path)
    for name, kind, words in (
        ("weights", "convolutional", ["--data", str(folder / "weights.npz")]),
        ("linear", "dense", []),
        ("words", "captioner", []),
    ):
        assert main(["train", "condition", str(path), "--name", name, "--kind", kind, *SMALL, *words]) == 0
    assert {name: hashes(path)[name] for name in before} == before, "the run is as it was"
    return path


def heavy_or_light(path: Path, scale: int = 1) -> None:
    """Digits labelled by what no run has been told: how much ink they have."""
    from sklearn.datasets import load_digits

    bytes_NHW = (load_digits().images * 15).astype(np.uint8)
    ink_N = bytes_NHW.mean(axis=(1, 2))
    labels = np.where(ink_N > np.median(ink_N), "heavy", "light")
    np.savez(path, images=bytes_NHW.repeat(scale, 1).repeat(scale, 2), labels=labels)


def hashes(folder: Path) -> dict[str, str]:
    """Of every file."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }


def test_a_net_is_a_folder_without_pickles(run):
    files = sorted(path.relative_to(run).as_posix() for path in (run / "conditions").rglob("*"))
    parts = ["", "/config.yaml", "/manifest.json", "/net.safetensors", "/state.json"]
    assert files == [f"conditions/{name}{part}" for name in ("linear", "weights", "words") for part in parts]


def test_the_command_says_what_it_made_and_how_to_use_it(run, tmp_path, rlgan):
    copy = shutil.copytree(run, tmp_path / "copy")
    heavy_or_light(tmp_path / "large.npz", scale=2)  # scaled down to the run's 8x8
    said = rlgan("train", "condition", copy, "--name", "more", "--data", tmp_path / "large.npz", *SMALL)
    assert said.code == 0 and "step 60 of 60: loss " in said.out, said.err
    assert f"{copy}/conditions/more: convolutional, 2 labels; finds the label of 0." in said.out
    command = said.out.splitlines()[-1].removeprefix("try: rlgan ")
    assert command == f"sample {copy} --condition-net more --class light --strip chains.png"
    assert rlgan(*command.replace("chains.png", str(tmp_path / "chains.png")).split()).code == 0


def test_a_run_is_steered_by_nets_that_it_was_trained_without(run, tmp_path, rlgan):
    """Every one leads other chains; a unit's are led by the unit of the net that is named."""
    ends = {}
    for index, words in enumerate(
        [
            ["--class", "7"],
            ["--condition-net", "weights", "--class", "heavy"],
            ["--condition-net", "weights", "--class", "light"],
            ["--condition-net", "weights"],
            ["--condition-net", "weights", "--class", "light", "--gradient", "logit"],
            ["--condition-net", "linear", "--class", "7"],
            ["--condition-net", "words", "--caption", "7"],
            ["--condition-net", "words", "--caption", "3"],
            ["--condition-net", "words"],
            ["--unit", "second:3:1:2"],
            ["--condition-net", "weights", "--unit", "second:3:1:2"],
        ]
    ):
        output = tmp_path / f"{index}.npz"
        said = rlgan("sample", run, *words, "--eps2", 50, "--chains", 2, "--frames", 2, "--output", output)
        assert said.code == 0, said.err
        ends[tuple(words)] = images(output)[-1].tobytes()
    same = [[words for words, other in ends.items() if other == end] for end in set(ends.values())]
    assert len(same) == len(ends), same


def test_labels_of_a_plugged_net_are_asked_for_in_turn(run, tmp_path, rlgan):
    chains = ["--eps2", 50, "--frames", 2, "--output"]
    weights = ["--condition-net", "weights"]
    assert rlgan("sample", run, *weights, "--chains", 4, *chains, tmp_path / "all.npz").code == 0
    for index, label in enumerate(("heavy", "light")):
        output = tmp_path / f"{label}.npz"
        assert rlgan("sample", run, *weights, "--class", label, "--chains", 4, *chains, output).code == 0
        assert np.array_equal(images(output)[-1, index::2], images(tmp_path / "all.npz")[-1, index::2])


def test_a_net_steers_checkpoints_other_runs_and_holes_too(run, tmp_path, rlgan):
    """By its name in the run that a checkpoint is of; by its folder in another."""
    from PIL import Image

    words = ["--class", "light", "--eps2", 50, "--chains", 2, "--frames", 2, "--output"]
    checkpoint = max((run / "checkpoints").glob("step-*"))
    other = tmp_path / "other"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("conditions"))
    for index, (path, net) in enumerate(
        [(run, "weights"), (checkpoint, "weights"), (other, run / "conditions" / "weights")]
    ):
        said = rlgan("sample", path, "--condition-net", net, *words, tmp_path / f"{index}.npz")
        assert said.code == 0, said.err
    ends = [images(tmp_path / f"{index}.npz").tobytes() for index in range(3)]
    assert len(set(ends)) == 1
    Image.new("L", (8, 8)).save(tmp_path / "dark.png")
    hole = ["--inpaint", tmp_path / "dark.png", "--condition-net", "weights", *words, tmp_path / "hole.npz"]
    assert rlgan("sample", run, *hole).code == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--condition-net", "nobody"], 2, "there are encoder, classifier, linear, weights, words; `rlgan train con"),
        (["--condition-net", "weights", "--class", "7"], 2, "--condition-net weights has the labels heavy, light"),
        (["--condition-net", "words", "--class", "7"], 2, "--class: --condition-net words is a captioner"),
        (["--condition-net", "weights", "--caption", "7"], 2, "--caption: --condition-net weights is a classifier"),
        (["--condition-net", "words", "--caption", "a cat"], 2, "the word 'a' is not known"),
        (["--condition-net", "words", "--gradient", "logit"], 2, "--gradient is of labels, and a captioner has none"),
        (["--condition-net", "linear", "--unit", "hidden:1"], 2, "linear has no layers of units"),
        (["--condition-net", "weights", "--unit", "second:9:0:0"], 2, "layer second has 8 channels of 4x4 units"),
    ],
)
def test_mistakes_with_a_plugged_net_are_one_line(words, code, message, run, tmp_path, rlgan):
    said = rlgan("sample", run, *words, "--strip", tmp_path / "a.png")
    assert said.code == code and message in said.err and len(said.err.splitlines()) == 1, said.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--name", "weights"], 2, "is there already. Give another name, or remove it"),
        (["--name", "encoder"], 2, "a net that every run has. Give another name."),
        (["--name", "../a"], 2, "--name"),
        (["--kind", "transformer"], 2, "convolutional"),
        (["--size", "12"], 3, "images of 1x12x12 numbers, and the run's have 1x8x8"),
        (["--stepz", "12"], 2, "perhaps you meant --steps"),
        (["--data", "nothing.npz"], 3, "no such file"),
        (["--data", "bare.npz"], 3, "needs images with at least 2 labels"),
        (["--lr", "1e30", "--steps", "9"], 4, "Lower --lr"),
    ],
)
def test_mistakes_in_training_one_are_one_line(words, code, message, run, tmp_path, rlgan, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("bare.npz", images=np.zeros((50, 8, 8), np.uint8))
    said = rlgan("train", "condition", run, *words)
    assert said.code == code and message in said.err and len(said.err.splitlines()) == 1, said.err
    assert sorted(path.name for path in (run / "conditions").iterdir()) == ["linear", "weights", "words"]


def test_a_run_that_is_none_has_no_conditions(tmp_path, rlgan):
    said = rlgan("train", "condition", tmp_path / "nothing")
    assert said.code == 5 and "no such directory" in said.err
    assert rlgan("train", "condition", "--help").code == 0


def test_a_damaged_or_foreign_net_is_not_used(run, tmp_path, rlgan):
    copy = shutil.copytree(run, tmp_path / "copy")
    weights = copy / "conditions" / "weights" / "net.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    said = rlgan("sample", copy, "--condition-net", "weights", "--strip", tmp_path / "a.png")
    assert said.code == 5 and "net.safetensors" in said.err and len(said.err.splitlines()) == 1, said.err
    checkpoint = max((copy / "checkpoints").glob("step-*"))
    said = rlgan("sample", copy, "--condition-net", checkpoint, "--strip", tmp_path / "a.png")
    assert said.code == 5 and "holds no condition net" in said.err, said.err
    larger = tmp_path / "larger"
    assert rlgan("train", "ppgn", "--run-dir", larger, *TINY_RUNS["ppgn"], "--size", 12).code == 0
    said = rlgan("sample", larger, "--condition-net", run / "conditions" / "linear", "--strip", tmp_path / "a.png")
    assert said.code == 2 and "it knows images of 1x8x8 numbers, and the run's have 1x12x12" in said.err


def test_the_example_of_a_condition_of_ones_own_steers_a_run(run, tmp_path, monkeypatch):
    """The tiny run cannot draw; that its chains move as its own conditions say is tested, not how well."""
    examples = Path(__file__).parents[2] / "docs" / "examples"
    if not examples.is_dir():
        pytest.skip("docs/ is not here: the package was installed alone")
    monkeypatch.syspath_prepend(str(examples))
    import own_condition

    with_it, without, inks = own_condition.main(str(run), str(tmp_path / "strips"), num_steps=20)
    assert 0 <= with_it <= 1 and 0 <= without <= 1
    assert inks[1] < inks[0] < inks[2], "less ink, more ink"
    assert sorted(path.name for path in (tmp_path / "strips").iterdir()) == ["ink-0.7.png", "ink-1.3.png", "odd.png"]


@pytest.mark.slow
def test_a_plugged_net_goes_to_the_workers(run, tmp_path, rlgan):
    """Slow: two Ray workers are started."""
    words = ["--condition-net", "weights", "--class", "light", "--eps2", 50, "--chains", 40, "--output"]
    assert rlgan("sample", run, *words, tmp_path / "a.npz").code == 0
    said = rlgan("sample", run, *words, tmp_path / "b.npz", "--num-env-runners", 2)
    assert said.code == 0, said.err
    assert np.array_equal(images(tmp_path / "a.npz"), images(tmp_path / "b.npz"))
