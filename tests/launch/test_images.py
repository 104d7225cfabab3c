"""`rlgan train bgan|began` and `rlgan sample` on images and texts: files, figures, pictures, resume, errors."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlgan.image_types import ImageSpace
from rlgan.launch.generator import checkpoint_at
from rlgan.launch.image_judgement import interpolation
from rlgan.launch.sample_images import load_latent_generator
from rlgan.models.discrete_generator import DiscreteGenerator, DiscreteGeneratorConfig
from rlgan.seeding import torch_generator
from tests.launch.tiny_runs import TINY_RUNS

pytestmark = pytest.mark.usefixtures("local_ray")

PAGE = Path(__file__).parents[2] / "docs" / "tensorboard.md"
BGAN = TINY_RUNS["bgan"]
RUNS = {name: TINY_RUNS[name] for name in ("bgan", "began")}


def tags_of(directory: Path) -> dict[str, list[str]]:
    events = EventAccumulator(str(directory), size_guidance={"images": 0}).Reload()
    return events.Tags()


@pytest.mark.parametrize("system", RUNS)
def test_a_run_leaves_pictures_figures_and_a_report(system, tmp_path, rlgan):
    run = tmp_path / "run"
    said = rlgan("train", system, "--run-dir", run, *RUNS[system])
    assert said.code == 0, said.err
    picture = np.asarray(Image.open(next((run / "samples").glob("step-*.png"))))
    assert picture.shape == ((8 * 9 + 1) * 6, (10 * 9 + 1) * 6, 3)
    tags = tags_of(run / "tensorboard")
    assert {"samples/grid", "samples/interpolation"} == set(tags["images"])
    page = PAGE.read_text(encoding="utf-8")
    assert not [tag for tag in tags["scalars"] + tags["images"] + tags["histograms"] if f"`{tag}`" not in page]
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    figures = next(entry["figures"] for entry in history if entry["kind"] == "eval")
    assert {"eval/fid", "eval/real_fid", "eval/judge_accuracy", "eval/diversity", "eval/num_images"} <= figures.keys()
    assert "data:image/png" in (run / "report.html").read_text()
    assert yaml.safe_load((run / "config.yaml").read_text())["system"] == system

    grid = tmp_path / "grid.png"
    assert rlgan("sample", run, "--grid", grid, "-n", 7, "--columns", 3).code == 0
    first = np.asarray(Image.open(grid))
    assert first.shape == ((3 * 9 + 1) * 6, (3 * 9 + 1) * 6, 3)
    assert rlgan("sample", run, "--grid", grid, "-n", 7, "--columns", 3).code == 0
    assert np.array_equal(first, np.asarray(Image.open(grid))), "the same seed draws the same images"
    assert rlgan("sample", run, "--grid", grid, "--interpolate", 2, "--columns", 5).code == 0
    assert np.asarray(Image.open(grid)).shape == ((2 * 9 + 1) * 6, (5 * 9 + 1) * 6, 3)
    assert rlgan("sample", run, "--output", tmp_path / "a.npz", "-n", 5).code == 0
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["images"].shape == (5, 8, 8, 1) and arrays["images"].dtype == np.uint8
    assert rlgan("sample", run, "--output", tmp_path / "folder", "-n", 2).code == 0
    assert len(list((tmp_path / "folder").glob("*.png"))) == 2
    said = rlgan("sample", run)
    assert said.code == 2 and "--grid" in said.err
    said = rlgan("sample", run, "--grid", tmp_path / "no" / "a.png")
    assert said.code == 2 and "cannot be written" in said.err
    said = rlgan("eval", run)
    assert said.code == 2 and "report.html" in said.err


def test_a_temperature_changes_what_is_drawn_of_a_code_and_not_the_code(tmp_path, rlgan):
    run, output = tmp_path / "run", tmp_path / "images.npz"
    assert rlgan("train", "bgan", "--run-dir", run, *BGAN).code == 0

    def images(*options):
        assert rlgan("sample", run, "--output", output, "-n", 5, *options).code == 0
        return np.load(output)["images"][..., 0] / 255

    generator = load_latent_generator(checkpoint_at(run), run)
    probability_NCHW = generator.expected_images(generator.draw_latent(250, torch_generator(0, "sample", 0))[:5])
    assert np.array_equal(images("--temperature", 0), (probability_NCHW[:, 0] > 0.5).numpy())
    assert np.array_equal(images("--temperature", 1), images()) and not np.array_equal(
        images("--temperature", 4), images()
    )
    grids = [tmp_path / "warm.png", tmp_path / "cold.png"]
    for grid, temperature in zip(grids, (1, 0), strict=True):
        said = rlgan("sample", run, "--grid", grid, "--interpolate", 2, "--columns", 5, "--temperature", temperature)
        assert said.code == 0, said.err
    assert grids[0].read_bytes() != grids[1].read_bytes()


@pytest.mark.parametrize("options", [["began"], ["bgan", "--estimator", "continuous"]], ids="-".join)
def test_there_is_no_temperature_where_nothing_is_drawn(options, tmp_path, rlgan):
    system, *more = options
    assert rlgan("train", system, "--run-dir", tmp_path / "run", *TINY_RUNS[system], *more).code == 0
    said = rlgan("sample", tmp_path / "run", "--grid", tmp_path / "a.png", "--temperature", 0)
    assert said.code == 2 and "follow from z" in said.err and len(said.err.splitlines()) == 1
    assert rlgan("sample", tmp_path / "run", "--grid", tmp_path / "a.png", "--temperature", 1).code == 0


@pytest.mark.parametrize("system", RUNS)
def test_a_run_goes_on_where_it_stopped(system, tmp_path, rlgan):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    rounds = {"bgan": "4", "began": "3"}[system]
    assert rlgan("train", system, "--run-dir", whole, *RUNS[system], "--rounds", rounds).code == 0
    assert rlgan("train", system, "--run-dir", parts, *RUNS[system], "--rounds", "2").code == 0
    said = rlgan("train", system, "--run-dir", parts, "--resume", "auto", "--rounds", rounds)
    assert said.code == 0, said.err
    one, other = ((path / "checkpoints" / "step-000004" / "manifest.json").read_text() for path in (whole, parts))
    weights = [re.findall(r'"([^"]*safetensors)":[^}]*"sha256": "(\w+)"', text) for text in (one, other)]
    assert weights[0] and weights[0] == weights[1]


def test_text_is_learned_shown_and_sampled(tmp_path, rlgan):
    path, run = tmp_path / "names.txt", tmp_path / "run"
    words = ["anna", "bert", "carl", "dora", "emil", "fritz", "gerda", "hans"]
    path.write_text("\n".join(f"{a}{b}" for a in words for b in words))
    options = [word for word in BGAN if word not in {"--max-images", "200"}]
    said = rlgan(
        "train", "bgan", "--kind", "text", "--data", path, "--run-dir", run, *options,
        "--generator.channels", 4, "--generator.blocks", 1, "--discriminator.channels", 4, "--discriminator.blocks", 1,
    )  # fmt: skip
    assert said.code == 0, said.err
    said = rlgan("sample", run, "-n", 3)
    assert said.code == 0 and len(said.out.splitlines()) == 3
    assert rlgan("sample", run, "-n", 3, "--output", tmp_path / "out.txt").code == 0
    assert (tmp_path / "out.txt").read_text() == said.out
    cold = rlgan("sample", run, "-n", 200, "--temperature", 0).out.splitlines()
    warm = rlgan("sample", run, "-n", 200, "--temperature", 4).out.splitlines()
    assert len(cold) == len(warm) == 200 and len(set(cold)) < len(set(warm))
    said = rlgan("sample", run, "--grid", tmp_path / "a.png")
    assert said.code == 2 and "makes texts" in said.err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["bgan", "--kind", "text"], 2, "needs a data file"),
        (["bgan", "--num-draws", "1"], 2, "at least 2"),
        (["began", "--diversty", "0.7"], 2, "perhaps you meant --diversity"),
        (["began", "--num-env-runners", "2"], 2, "nothing to roll out"),
        (["began", "--size", "7", "--discriminator.net", "convolutions"], 3, "cannot be halved"),
        (["bgan", "--data", "missing.gz"], 3, "no such file"),
        (["bgan", "--batch-size", "5000"], 3, "do not fill one batch"),
    ],
)
def test_mistakes_are_one_line_before_ray(words, code, message, tmp_path, rlgan, no_ray):
    said = rlgan("train", *words, "--run-dir", tmp_path / "run")
    assert said.code == code and message in said.err and len(said.err.splitlines()) == 1, said.err


@pytest.mark.parametrize("system", RUNS)
def test_help_lists_every_option_with_its_default(system, rlgan):
    said = rlgan("train", system, "--help")
    assert said.code == 0 and "--rounds" in said.out and "paper" in said.out


@pytest.mark.parametrize("latent", ["normal", "uniform"])
def test_interpolation_stays_where_codes_are(latent):
    seen = []

    class Codes(DiscreteGenerator):
        def images(self, latent_NZ, random):
            seen.append(latent_NZ[0])
            return super().images(latent_NZ, random)

    config = DiscreteGeneratorConfig(latent=latent, latent_size=2000)
    generator = Codes(ImageSpace(1, 8, 8, 2), config, torch.Generator().manual_seed(0))
    assert interpolation(generator, num_rows=1, num_columns=5, seed=0).shape == (5, 1, 8, 8)
    if latent == "uniform":
        assert all(float(code.min()) >= 0 and float(code.max()) <= 1 for code in seen)
        assert torch.allclose(seen[2], (seen[0] + seen[4]) / 2)
    else:
        assert all(0.9 < float(code.square().mean()) < 1.1 for code in seen)
