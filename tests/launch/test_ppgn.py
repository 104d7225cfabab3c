"""`rlgan train ppgn` and `rlgan sample` of its chains: files, figures, conditions, resume, errors, workers."""

import json
import re
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.launch.test_images import PAGE, tags_of
from tests.launch.tiny_runs import TINY_RUNS

pytestmark = pytest.mark.usefixtures("local_ray")

TINY = TINY_RUNS["ppgn"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, local_ray) -> Path:
    """A finished run of PPGN-h."""
    from rlgan.launch.main import main

    path = tmp_path_factory.mktemp("ppgn") / "run"
    assert main(["train", "ppgn", "--model", "ppgn_h", "--run-dir", str(path), *TINY]) == 0
    return path


def images(path: Path) -> np.ndarray:
    with np.load(path) as arrays:
        return arrays["images"]


def test_a_run_leaves_pictures_figures_and_a_report(run):
    assert len(list((run / "samples").glob("step-*.png"))) == 1, "judged once: when the denoiser is there"
    tags, page = tags_of(run / "tensorboard"), PAGE.read_text(encoding="utf-8")
    assert {"samples/grid", "samples/chains"} == set(tags["images"])
    assert not [tag for tag in tags["scalars"] + tags["images"] if f"`{tag}`" not in page]
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    figures = next(entry["figures"] for entry in history if entry["kind"] == "eval")
    wanted = {"eval/condition_accuracy", "eval/condition_judged", "eval/within_class_distance", "eval/fid"}
    assert wanted <= figures.keys() and 0 <= figures["eval/condition_accuracy"] <= 1
    assert "data:image/png" in (run / "report.html").read_text()


def test_chains_are_files_that_repeat_by_seed(run, tmp_path, rlgan):
    a, b, more = (tmp_path / name for name in ("a.npz", "b.npz", "more.npz"))
    said = rlgan("sample", run, "--class", 7, "--chains", 3, "--frames", 4, "--output", a,
                 "--strip", tmp_path / "s.png", "--gif", tmp_path / "c.gif", "--grid", tmp_path / "g.png")  # fmt: skip
    assert said.code == 0 and "3 chains of 6 steps" in said.out, said.err
    assert images(a).shape == (4, 3, 8, 8, 1)
    assert np.asarray(Image.open(tmp_path / "s.png")).shape == ((3 * 9 + 1) * 6, (4 * 9 + 1) * 6, 3)
    assert Image.open(tmp_path / "c.gif").n_frames == 4
    assert np.asarray(Image.open(tmp_path / "g.png")).shape == ((9 + 1) * 6, (8 * 9 + 1) * 6, 3)
    assert rlgan("sample", run, "--class", 7, "--chains", 3, "--frames", 4, "--output", b).code == 0
    assert np.array_equal(images(a), images(b))
    assert rlgan("sample", run, "--class", 7, "--chains", 17, "--frames", 4, "--output", more).code == 0
    assert np.array_equal(images(a), images(more)[:, :3]), "a chain is its number's"
    assert rlgan("sample", run, "--class", 7, "--chains", 3, "--frames", 4, "--output", b, "--seed", 1).code == 0
    assert not np.array_equal(images(a), images(b))


def test_released_chains_too_are_the_same_whatever_their_number(run, tmp_path, rlgan):
    few, more = tmp_path / "few.npz", tmp_path / "more.npz"
    released = ["--rule", "released", "--steps", 40, "--frames", 2]
    assert rlgan("sample", run, *released, "--chains", 3, "--output", few).code == 0
    assert rlgan("sample", run, *released, "--chains", 19, "--output", more).code == 0
    assert np.array_equal(images(few), images(more)[:, :3])


@pytest.mark.parametrize(
    "words",
    [
        ["--class", "2"],
        ["--condition-net", "classifier"],
        ["--gradient", "released"],
        ["--gradient", "logit"],
        ["--unit", "second:3:1:2"],
        ["--unit", "hidden:4"],
        ["--rule", "released", "--released-step-size", "0.5"],
        ["--eps1", "0"],
        ["--prior", "gaussian"],
        ["--steps", "9"],
    ],
)
def test_every_option_changes_the_chains(words, run, tmp_path, rlgan):
    plain, changed = tmp_path / "plain.npz", tmp_path / "changed.npz"
    strong = ["--eps2", "50", "--chains", "3", "--frames", "2", "--output"]
    assert rlgan("sample", run, *strong, plain).code == 0
    said = rlgan("sample", run, *words, *strong, changed)
    assert said.code == 0, said.err
    assert not np.array_equal(images(plain), images(changed))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--strip"),
        (["--class", "11", "--strip", "a.png"], "the labels 0, 1, 2"),
        (["--class", "1", "--unit", "hidden:1", "--strip", "a.png"], "exclude each other"),
        (["--unit", "third:1", "--strip", "a.png"], "write first"),
        (["--unit", "second:4:0:0", "--strip", "a.png"], "4 channels of 4x4"),
        (["--unit", "second:1:0:4", "--strip", "a.png"], "4 channels of 4x4"),
        (["--steps", "1", "--strip", "a.png"], "quiet_steps is 2, and the chain has only 1 steps"),
        (["--quiet-steps", "7", "--strip", "a.png"], "quiet_steps is 7, and the chain has only 6 steps"),
        (["--unit", "second:3", "--strip", "a.png"], "second:CHANNEL:ROW:COLUMN"),
        (["--unit", "first:3:1", "--strip", "a.png"], "first:CHANNEL:ROW:COLUMN"),
        (["--unit", "hidden:3:0:0", "--strip", "a.png"], "hidden:NUMBER"),
        (["--released-step-size", "1", "--strip", "a.png"], "give it with --rule released"),
        (
            ["--rule", "released", "--quiet-steps", "3", "--strip", "a.png"],
            "--quiet-steps: the released step has noise",
        ),
        (["--address", "auto", "--strip", "a.png"], "give it with --num-env-runners 1 or more"),
        (["--rollout-timeout", "9", "--strip", "a.png"], "--rollout-timeout is of Ray processes"),
        (["--prior", "blur", "--strip", "a.png"], "--prior blur smooths states that are images"),
        (["--blur-sd", "2", "--strip", "a.png"], "--blur-sd is of a blur; give it with --prior blur"),
        (["--columns", "4", "--strip", "a.png"], "--columns is of a sheet; give it with --grid"),
        (["--unit", "hidden:1", "--gradient", "logit", "--strip", "a.png"], "--unit without --class asks for none"),
        (["--unit", "hidden:1", "--condition-net", "classifier", "--strip", "a.png"], "classifier has no layers"),
        (
            ["--inpaint", "square.png", "--gradient", "logit", "--strip", "a.png"],
            "--inpaint without --class asks for none",
        ),
        (
            ["--inpaint", "square.png", "--condition-net", "classifier", "--strip", "a.png"],
            "--condition-net is of labels",
        ),
        (["--strip", "no/a.png"], "cannot be written"),
        (["--chain", "2", "--strip", "a.png"], "perhaps you meant"),
        (["--inpaint", "wide.png", "--strip", "a.png"], "8x12 pixels cannot be scaled to the run's 8x8"),
        (["--inpaint", "a.png", "--unit", "hidden:1", "--strip", "b.png"], "exclude each other"),
        (["--inpaint", "square.png", "--mask", "middle", "--strip", "a.png"], "write center, left"),
        (["--inpaint", "square.png", "--mask", "0,0,9,8", "--strip", "a.png"], "8x8 pixels"),
        (["--inpaint", "square.png", "--mask", "0,0,8,8", "--strip", "a.png"], "some pixels must be in the hole"),
        (["--inpaint", "square.png", "--mask", "4,4,4,8", "--strip", "a.png"], "some pixels must be in the hole"),
        (["--inpaint", "square.png", "--mask", "square.png", "--strip", "a.png"], "some pixels must be in the hole"),
        (["--inpaint", "square.png", "--context-sd", "0", "--strip", "a.png"], "--context-sd"),
        (["--mask", "left", "--strip", "a.png"], "--mask says how a picture is filled; give it with --inpaint"),
        (["--context-sd", "0.2", "--strip", "a.png"], "--context-sd says"),
    ],
)
def test_mistakes_are_one_line(words, message, run, tmp_path, rlgan, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, size in {"wide.png": (12, 8), "square.png": (8, 8)}.items():
        Image.new("L", size).save(name)
    said = rlgan("sample", run, *words)
    assert said.code == 2 and message in said.err and len(said.err.splitlines()) == 1, said.err


def test_options_that_go_with_others_are_taken(run, tmp_path, rlgan):
    """What is refused alone."""
    Image.new("L", (8, 8)).save(tmp_path / "square.png")
    said = rlgan("sample", run, "--inpaint", tmp_path / "square.png", "--class", 7, "--gradient", "logit",
                 "--condition-net", "classifier", "--columns", 4, "--grid", tmp_path / "g.png")  # fmt: skip
    assert said.code == 0 and not said.err, said.err
    words = ["--rule", "released", "--steps", 1, "--quiet-steps", 0, "--released-step-size", 0.5]
    assert rlgan("sample", run, *words, "--strip", tmp_path / "s.png").code == 0


def test_the_released_step_on_codes_of_mean_zero_is_warned_of(run, tmp_path, rlgan):
    said = rlgan("sample", run, "--rule", "released", "--strip", tmp_path / "s.png")
    assert said.code == 0 and len(said.err.splitlines()) == 1, said.err
    assert said.err.startswith("rlgan: warning: the released step keeps codes in [0, 30]")
    rectified = tmp_path / "rectified"
    assert rlgan("train", "ppgn", "--run-dir", rectified, *TINY, "--nets.encoder.rectified").code == 0
    said = rlgan("sample", rectified, "--rule", "released", "--strip", tmp_path / "s.png")
    assert said.code == 0 and not said.err, said.err


@pytest.mark.parametrize("form", ["box", "name", "file"])
def test_the_hole_of_a_picture_is_filled_and_the_rest_is_kept(form, run, tmp_path, rlgan):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
    Image.fromarray(pixels).save(tmp_path / "large.png")  # of 4 x 4 pixels for each of the run's
    small = np.rint(pixels.reshape(8, 4, 8, 4).mean(axis=(1, 3)))
    hole = np.zeros((8, 8), dtype=bool)
    hole[2:6, 2:6] = True
    Image.fromarray(hole.astype(np.uint8) * 255).save(tmp_path / "hole.png")
    mask = {"box": "2,2,6,6", "name": "center", "file": tmp_path / "hole.png"}[form]
    chains = ["--chains", 3, "--frames", 3, "--output", tmp_path / "a.npz"]
    said = rlgan("sample", run, "--inpaint", tmp_path / "large.png", "--mask", mask, *chains)
    assert said.code == 0, said.err
    out = images(tmp_path / "a.npz")[..., 0].astype(int)
    assert np.abs(out - small)[..., ~hole].max() <= 1
    assert np.abs(out[:, 0] - out[:, 1])[..., hole].max() > 1, "two chains, two fills"
    rlgan("sample", run, "--inpaint", tmp_path / "large.png", "--mask", mask, "--class", 7, "--eps2", 50, *chains)
    assert not np.array_equal(images(tmp_path / "a.npz")[..., 0], out), "the class has a say"


def test_strips_and_sheets_begin_with_the_picture_that_is_to_be_filled(run, tmp_path, rlgan):
    pixels = np.full((8, 8), 255, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "white.png")
    said = rlgan("sample", run, "--inpaint", tmp_path / "white.png", "--mask", "left", "--chains", 2, "--frames", 3,
                 "--strip", tmp_path / "s.png", "--grid", tmp_path / "g.png", "--columns", 2)  # fmt: skip
    assert said.code == 0, said.err
    strip, grid = (np.asarray(Image.open(tmp_path / name))[::6, ::6, 0] for name in ("s.png", "g.png"))
    given = np.where(np.arange(8) < 4, 128, 255)[None].repeat(8, 0)
    assert strip.shape == (2 * 9 + 1, 4 * 9 + 1) and grid.shape == (2 * 9 + 1, 2 * 9 + 1), "one picture more"
    for first in (strip[1:9, 1:9], strip[10:18, 1:9], grid[1:9, 1:9]):
        assert np.array_equal(first, given)
    assert np.array_equal(strip[1:9, 28:36], grid[1:9, 10:18]), "the end of chain 0"


def test_a_picture_that_is_none_is_said_to_be_none(run, tmp_path, rlgan):
    (tmp_path / "a.png").write_text("not a picture")
    said = rlgan("sample", run, "--inpaint", tmp_path / "a.png", "--strip", tmp_path / "s.png")
    assert said.code == 3 and "cannot be read as a PNG" in said.err


@pytest.fixture(scope="module")
def scenes_run(tmp_path_factory, local_ray) -> Path:
    """A finished run on scenes, with a captioner."""
    from rlgan.launch.main import main

    path, words = tmp_path_factory.mktemp("scenes") / "run", ["--scenes", "120", "--captioner-rounds", "1"]
    words += ["--nets.captioner.hidden-size", "4", "--eval-samples", "8"]
    assert main(["train", "ppgn", "--model", "ppgn_h", "--run-dir", str(path), *TINY, *words]) == 0
    return path


def test_a_caption_steers_chains_of_scenes(scenes_run, tmp_path, rlgan):
    assert {"captioner/loss", "captioner/grad_norm"} <= set(tags_of(scenes_run / "tensorboard")["scalars"])
    chains = ["--chains", 2, "--frames", 2, "--eps2", 500, "--output"]
    said = rlgan("sample", scenes_run, "--caption", "a three left of a seven", *chains, tmp_path / "a.npz")
    assert said.code == 0 and images(tmp_path / "a.npz").shape == (2, 2, 16, 16, 1), said.err
    assert rlgan("sample", scenes_run, "--caption", "an eight above a one", *chains, tmp_path / "b.npz").code == 0
    assert rlgan("sample", scenes_run, "--class", "a three left of a seven", *chains, tmp_path / "c.npz").code == 0
    assert len({images(tmp_path / f"{name}.npz").tobytes() for name in "abc"}) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--caption", "a cat"], "'cat' is not known; the words are a, above, an"),
        (["--caption", "a " * 9], "1 to 6 words; got 9"),
        (["--caption", "a one", "--class", "a one left of a one"], "--class and --caption exclude each other"),
        (["--caption", "a one", "--unit", "hidden:1"], "--unit and --caption exclude each other"),
        (["--caption", "a one", "--inpaint", "a.png"], "--inpaint and --caption exclude each other"),
        (["--caption", "a one", "--gradient", "released"], "--gradient is of labels, and --caption without --class"),
        (["--caption", "a one", "--condition-net", "classifier"], "classifier is a classifier: give a captioner"),
    ],
)
def test_mistakes_in_captions_are_one_line(words, message, scenes_run, tmp_path, rlgan):
    said = rlgan("sample", scenes_run, *words, "--strip", tmp_path / "a.png")
    assert said.code == 2 and message in said.err and len(said.err.splitlines()) == 1, said.err


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory, local_ray) -> Path:
    """The checkpoints of a run on scenes after every round: encoder, generator 2, denoiser, classifier, captioner."""
    from rlgan.launch.main import main

    path, words = tmp_path_factory.mktemp("unfinished") / "run", ["--scenes", "120", "--captioner-rounds", "1"]
    words += ["--nets.captioner.hidden-size", "4", "--eval-samples", "8", "--checkpoint-every", "1"]
    words += ["--keep-checkpoints", "20", "--model", "ppgn_h"]
    assert main(["train", "ppgn", "--run-dir", str(path), *TINY, *words]) == 0
    return path / "checkpoints"


@pytest.mark.parametrize(
    ("step", "words", "net"),
    [
        (1, [], "generator"),
        (3, [], "denoiser"),
        (3, ["--num-env-runners", "2"], "denoiser"),
        (4, [], None),
        (4, ["--condition-net", "classifier"], "classifier"),
        (4, ["--unit", "hidden:1"], None),
        (5, ["--condition-net", "classifier"], None),
        (5, ["--caption", "a one left of a one"], "captioner"),
        (6, ["--caption", "a one left of a one"], None),
    ],
)
def test_a_net_that_has_not_learned_yet_leads_no_chain(step, words, net, unfinished, tmp_path, rlgan):
    checkpoint = unfinished / f"step-{step:06d}"
    said = rlgan("sample", checkpoint, *words, "--chains", 1, "--strip", tmp_path / "a.png")
    if net is None:
        assert said.code == 0, said.err
    else:
        assert said.code == 2 and len(said.err.splitlines()) == 1, said.err
        assert f"{checkpoint}: these chains need the {net}, which has not learned yet. Its " in said.err
        assert "finish the run, or take a later checkpoint" in said.err


def test_every_net_that_chains_need_must_have_learned(run):
    from dataclasses import replace

    from rlgan.chain_requests import ChainRequest, LabelRequest
    from rlgan.errors import ConfigError
    from rlgan.launch.chain_model import load_chain_model
    from rlgan.plug_and_play import MODELS, model_named
    from rlgan.step_rules import PlugAndPlayRule

    opened, rule = load_chain_model(run), PlugAndPlayRule(0.1, 0.1, 0.1)
    assert opened.done == {"encoder": 1, "generator": 2, "denoiser": 1, "classifier": 1, "captioner": 0}
    seen = {}
    for name in MODELS:
        seen[name] = set()
        for net in opened.done:
            model = replace(opened, model=model_named(name), done={**opened.done, net: 0})
            try:
                model.require_trained(ChainRequest(None, rule, 1, 0, (1,)))
            except ConfigError as error:
                assert f"the {net}, which has not learned" in str(error)
                seen[name].add(net)
    joint = {"generator", "encoder"}
    assert seen == {"noiseless_joint": joint, "joint": joint, "ppgn_h": {"generator", "denoiser"},
                    "dgn_am": {"generator"}, "ppgn_x": {"denoiser"}}  # fmt: skip
    without = replace(opened, training={**opened.training, "classifier_rounds": 0, "captioner_rounds": 1},
                      done={**opened.done, "classifier": 0})  # fmt: skip
    with pytest.raises(ConfigError, match="--classifier-rounds 0: train another run with more"):
        without.require_trained(ChainRequest(LabelRequest((1,), "classifier"), rule, 1, 0, (1,)))
    with pytest.raises(ConfigError, match="need the encoder"):
        replace(opened, done={**opened.done, "encoder": 0}).run(ChainRequest(LabelRequest((1,)), rule, 1, 0, (1,)), 1)


def test_a_run_without_a_second_classifier_says_so_and_can_be_given_one(tmp_path, rlgan):
    path, other = tmp_path / "run", ["--condition-net", "classifier", "--chains", 1, "--strip", tmp_path / "a.png"]
    assert rlgan("train", "ppgn", "--run-dir", path, *TINY, "--classifier-rounds", 0).code == 0
    said = rlgan("sample", path, *other)
    assert said.code == 2 and "The run has --classifier-rounds 0" in said.err and "--resume" in said.err, said.err
    said = rlgan("train", "ppgn", "--run-dir", path, "--resume", "auto", "--classifier-rounds", 1)
    assert said.code == 0, said.err
    assert rlgan("sample", path, *other).code == 0


def test_the_classifiers_rounds_are_fixed_where_a_captioner_comes_after_it(unfinished, tmp_path, rlgan, no_ray):
    words = ["--run-dir", tmp_path / "run", "--resume", unfinished / "step-000005", "--classifier-rounds", 3]
    said = rlgan("train", "ppgn", *words)
    assert said.code == 5 and "classifier_rounds" in said.err and len(said.err.splitlines()) == 1, said.err


def test_a_run_without_a_captioner_says_so(run, tmp_path, rlgan):
    said = rlgan("sample", run, "--caption", "a one", "--strip", tmp_path / "a.png")
    assert said.code == 2 and f"`rlgan train condition {run} --name words --kind captioner`" in said.err


def test_hand_designed_priors_need_no_net(tmp_path, rlgan):
    """A run of pixels whose denoiser has not learned: its own prior is refused; a blur and a decay move its chains."""
    words = ["--model", "ppgn_x", "--checkpoint-every", 1, "--keep-checkpoints", 20]
    assert rlgan("train", "ppgn", "--run-dir", tmp_path / "run", *TINY, *words).code == 0
    run = tmp_path / "run" / "checkpoints" / "step-000001"
    chains = ["--class", 7, "--chains", 2, "--frames", 2, "--eps1", 0.3, "--eps3", 0]
    said = rlgan("sample", run, *chains, "--output", tmp_path / "a.npz")
    assert said.code == 2 and "these chains need the denoiser" in said.err
    ends = {}
    for words in (("gaussian",), ("blur",), ("blur", "--blur-sd", 3)):
        said = rlgan("sample", run, *chains, "--prior", *words, "--output", tmp_path / "a.npz")
        assert said.code == 0, said.err
        ends[words] = images(tmp_path / "a.npz")[-1].astype(float)
    assert len({end.tobytes() for end in ends.values()}) == 3
    spread = {words: float(np.abs(np.diff(end, axis=1)).mean()) for words, end in ends.items()}
    assert spread["blur", "--blur-sd", 3] < spread["blur",], "a wider blur leaves less of the noise of the start"


def test_the_time_that_workers_get_is_an_option(run, tmp_path, rlgan, monkeypatch):
    """With Ray and its workers replaced by this process."""
    from rlgan.launch import ray_session
    from rlgan.launch.chain_model import load_chain_model
    from rlgan.policies import chain_workers

    seen = []

    def in_this_process(config, _weights):
        seen.append(config.rollout_timeout_seconds)
        return nullcontext(load_chain_model(run))

    monkeypatch.setattr(ray_session, "ray_for", lambda *_: nullcontext())
    monkeypatch.setattr(chain_workers, "ChainWorkers", in_this_process)
    words = ["--chains", 2, "--num-env-runners", 1, "--strip", tmp_path / "a.png"]
    for more in ([], ["--rollout-timeout", 77]):
        said = rlgan("sample", run, *words, *more)
        assert said.code == 0, said.err
    assert seen == [600.0, 77.0]


def test_the_example_of_the_environment_is_a_chain_of_the_run(run, monkeypatch):
    """Its last log-probability, against the same chain. A denoiser of two steps lets longer ones run away."""
    num_steps = 8
    examples = Path(__file__).parents[2] / "docs" / "examples"
    if not examples.is_dir():
        pytest.skip("docs/ is not here: the package was installed alone")
    monkeypatch.syspath_prepend(str(examples))
    from latent_env import SEED, main

    from rlgan.chain_requests import LabelRequest
    from rlgan.chains import Chain
    from rlgan.launch.chain_model import load_chain_model

    gained, log_condition = main(str(run), "7", num_steps)
    opened = load_chain_model(run)
    rule = opened.chain.model_copy(update={"steps": num_steps}).rule_for(opened.model)
    condition = LabelRequest((7,)).build(opened.nets, [0])
    chain = Chain(opened.model.generate(opened.nets), opened.model.prior(opened.nets), condition, rule)
    start = torch.from_numpy(np.random.default_rng(SEED).standard_normal((1, 5), dtype=np.float32))
    record = chain.run(start, [0], num_steps, SEED, [num_steps])
    assert log_condition == pytest.approx(float(record.log_condition_TN[-1]), abs=1e-5) and np.isfinite(gained)


def test_wild_steps_are_said_to_be_wild(run, tmp_path, rlgan):
    said = rlgan("sample", run, "--eps1", "1e30", "--output", tmp_path / "a.npz")
    assert said.code == 4 and "smaller --eps1" in said.err


def test_another_system_has_no_chains(run, tmp_path, rlgan):
    from rlgan.errors import CheckpointError
    from rlgan.launch.chain_model import load_chain_model

    began = tmp_path / "began"
    words = "--max-images 60 --rounds 1 --steps-per-round 1 --batch-size 4 --discriminator.channels 2 --eval-samples 4"
    assert rlgan("train", "began", "--run-dir", began, *words.split()).code == 0
    with pytest.raises(CheckpointError, match="Is it a PPGN run"):
        load_chain_model(began)


def test_a_run_goes_on_where_it_stopped(tmp_path, rlgan):
    """Stopped in the generator's phase, whose loss ratio is part of the checkpoint."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    words = [*TINY, "--checkpoint-every", 1, "--model", "joint", "--keep-checkpoints", 20]
    assert rlgan("train", "ppgn", "--run-dir", whole, *words).code == 0
    said = rlgan("train", "ppgn", "--run-dir", parts, "--resume", whole / "checkpoints" / "step-000002")
    assert said.code == 0, said.err
    one, other = ((path / "checkpoints" / "step-000004" / "manifest.json").read_text() for path in (whole, parts))
    weights = [re.findall(r'"([^"]*safetensors)":[^}]*"sha256": "(\w+)"', text) for text in (one, other)]
    assert weights[0] and weights[0] == weights[1]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "ppgn"], 2, "ppgn_h"),
        (["--chain.steps", "2"], 2, "quiet_steps is 4, and the chain has only 2 steps"),
        (["--num-discriminator-learners", "1"], 2, "hold the discriminator too"),
        (["--size", "6"], 3, "cannot be halved twice"),
        (["--batch-size", "5000"], 3, "do not fill one batch"),
    ],
)
def test_mistakes_are_one_line_before_ray(words, code, message, tmp_path, rlgan, no_ray):
    said = rlgan("train", "ppgn", *words, "--run-dir", tmp_path / "run")
    assert said.code == code and message in said.err and len(said.err.splitlines()) == 1, said.err


@pytest.mark.slow
def test_workers_make_the_same_images(run, tmp_path, rlgan):
    """Slow: two Ray workers are started."""
    a, b = tmp_path / "a.npz", tmp_path / "b.npz"
    assert rlgan("sample", run, "--chains", 40, "--output", a).code == 0
    said = rlgan("sample", run, "--chains", 40, "--output", b, "--num-env-runners", 2)
    assert said.code == 0, said.err
    assert np.array_equal(images(a), images(b))
