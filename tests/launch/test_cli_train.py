"""`rlgan train seqgan` on a real Ray: the files it leaves, the lines it shows, and how it stops."""

import os
import pkgutil
import signal
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlgan.checkpoint import latest_checkpoint, read_checkpoint
from rlgan.errors import NonFiniteError
from rlgan.launch.history import History
from rlgan.launch.systems.seqgan import SeqGANRun
from rlgan.policies.algorithm import AdversarialAlgorithm
from tests.launch.processes import alive, command_of, descendants, wait_for
from tests.launch.tiny_runs import TINY_RUNS

TRAIN = ("train", "seqgan")
pytestmark = pytest.mark.slow


def test_a_run_leaves_a_whole_directory(rlgan_process, tiny_words, tmp_path):
    process = rlgan_process(*TRAIN, *tiny_words, "--run-dir", "run", "--seed", "3")
    out, err = process.communicate(timeout=120)
    path = tmp_path / "run"
    assert (process.returncode, err) == (0, ""), "nothing of Ray's on standard error"
    assert all(line.startswith(("rlgan: ", "step ", "  sample: ")) for line in out.splitlines()), out
    assert out.splitlines()[-1] == "rlgan: done after step 7; try `rlgan sample run -n 10`"
    names = {one.name for one in path.iterdir()}
    assert names >= {"config.yaml", "history.jsonl", "checkpoints", "samples", "tensorboard", "report.html"}
    assert "error.log" not in names and "run.lock.json" not in names
    config = SeqGANRun.model_validate(yaml.safe_load((path / "config.yaml").read_text()))
    assert (config.seed, config.training.generator.hidden_size, config.data.vocab_size) == (3, 8, 20)
    phases = [entry.phase for entry in History(path).read() if entry.kind == "round"]
    assert phases == ["likelihood"] * 2 + ["discriminator"] * 2 + ["adversarial"] * 3
    assert [entry.step for entry in History(path).read() if entry.kind == "eval"] == [2, 7]
    checkpoint = latest_checkpoint(path / "checkpoints")
    assert checkpoint is not None and checkpoint.step == 7
    assert len((path / "samples" / "step-000007.txt").read_text().splitlines()) == 20
    assert not list(Path("/tmp").glob(f".rlgan-ray-*/session_*_{process.pid}")), "Ray's folder is gone"


def test_workers_change_nothing_but_the_speed(rlgan_process, tiny_words, tmp_path):
    """One runner, one learner of each kind and the driver alone: the same figures."""
    workers = ["--num-env-runners", "1", "--num-learners", "1", "--num-discriminator-learners", "1"]
    histories = []
    for name, words in (("alone", []), ("workers", workers)):
        process = rlgan_process(*TRAIN, *tiny_words, *words, "--run-dir", name)
        out, err = process.communicate(timeout=200)
        assert (process.returncode, err) == (0, ""), (out, err)
        histories.append([entry.figures for entry in History(tmp_path / name).read() if entry.kind == "eval"])
    for alone, together in zip(*histories, strict=True):
        assert alone == pytest.approx(together, rel=1e-5)


def test_text_with_an_end_token(local_ray, rlgan, tiny_words, poems, tmp_path):
    words = tiny_words[tiny_words.index("--likelihood.epochs") :]
    poems.write_text("".join(f"{'ab' * (i % 5 + 1)}{i:03d}\n" for i in range(80)))
    path = tmp_path / "run"
    said = rlgan(*TRAIN, *words, "--data", poems, "--tokens", "char", "--run-dir", path)
    assert said.code == 0, said.err
    assert yaml.safe_load((path / "config.yaml").read_text())["data"]["data"] == str(poems)
    sampled = rlgan("sample", path, "-n", 20)
    assert sampled.code == 0 and len(sampled.out.splitlines()) == 20
    assert set(sampled.out) <= set("ab0123456789\n") | set("<start>")


def test_too_large_for_memory(local_ray, rlgan, tiny_words, tmp_path):
    said = rlgan(*TRAIN, *tiny_words, "--generator.hidden-size", "10000000", "--run-dir", tmp_path / "run")
    assert said.code == 6 and said.err.count("\n") == 1 and "Ask for smaller nets" in said.err


def test_a_crash_leaves_its_traceback_in_the_run(local_ray, rlgan, tiny_words, tmp_path, monkeypatch):
    from rlgan.launch.training_run import TrainingRun

    def crash(self):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(TrainingRun, "_round", crash)
    path = tmp_path / "run"
    said = rlgan(*TRAIN, *tiny_words, "--run-dir", path)
    assert said.code == 1 and said.err.count("\n") == 1
    assert f"unexpected ZeroDivisionError: of all things; the traceback is in {path / 'error.log'}" in said.err
    assert "Traceback" in (path / "error.log").read_text()


FIRST_SEEN = {
    "seqgan": {"tokens_BT"}, "maskgan": {"tokens_BT"}, "bgan": {"real_B", "fake_B"}, "began": {"real_BCHW"},
    "ppgn": {"noisy_BCHW", "label_B"},
}  # fmt: skip
"""What the first step of a system is computed of."""


@pytest.mark.parametrize("system", FIRST_SEEN)
def test_a_non_finite_loss_stops_the_run(system, local_ray, rlgan, tmp_path, monkeypatch):
    from rlgan.policies import learner

    monkeypatch.setattr(learner, "_clipped_norm", lambda parameters, limit: torch.tensor(float("nan")))
    said = rlgan("train", system, *TINY_RUNS[system], "--run-dir", tmp_path / "run")
    path = tmp_path / "run" / "nonfinite-000001.safetensors"
    assert (
        said.code == 4 and said.err.count("\n") == 1 and "with gradient norm nan" in said.err and str(path) in said.err
    )
    assert load_file(path).keys() == FIRST_SEEN[system]


def _with_infinite_weights(original):
    def step(self, *arguments, **named):
        figures = original(self, *arguments, **named)
        with torch.no_grad():
            next(self.nets["generator"].parameters()).fill_(float("inf"))
        return figures

    return step


def _times_nan(real):
    def spoilt(*arguments):
        value = real(*arguments)
        return tuple(one * float("nan") for one in value) if isinstance(value, tuple) else value * float("nan")

    return spoilt


def _plus_infinity(real):
    return lambda *arguments: real(*arguments) + float("inf")


GRADIENT = ("rlgan.policies.learner._clipped_norm", _times_nan)
POINTS = {
    "seqgan": {
        "a reward": ("rlgan.token_rewards.MonteCarloRewards.__call__", _times_nan),
        "a log-probability": ("rlgan.models.RecurrentGenerator.log_prob_and_entropy", _times_nan),
        "the loss": ("rlgan.policies.seqgan_workers.policy_gradient_loss", _plus_infinity),
        "the gradient": GRADIENT,
        "a weight": ("rlgan.policies.seqgan_workers.SeqGANLearner.policy_step", _with_infinite_weights),
    },
    "maskgan": {
        "a reward": ("rlgan.discriminators.infilling.InfillingDiscriminator.judge", _times_nan),
        "a log-probability": ("rlgan.models.infilling.InfillingGenerator.log_prob_and_entropy", _times_nan),
        "the loss": ("rlgan.policies.maskgan_workers.policy_gradient_loss", _plus_infinity),
        "the gradient": GRADIENT,
        "a weight": ("rlgan.policies.maskgan_workers.MaskGANLearner.policy_step", _with_infinite_weights),
    },
    "bgan": {
        "a reward": ("rlgan.discriminators.boundary.BoundaryDiscriminator.reward", _times_nan),
        "a log-probability": ("rlgan.models.discrete_generator.DiscreteGenerator.log_prob_and_entropy", _times_nan),
        "the loss": ("rlgan.objectives.boundary_seeking.importance_weighted_loss", _plus_infinity),
        "the gradient": GRADIENT,
        "a weight": ("rlgan.policies.bgan_workers.BGANLearner.policy_step", _with_infinite_weights),
    },
    "began": {
        "a reconstruction": ("rlgan.discriminators.autoencoder.AutoencoderDiscriminator.forward", _times_nan),
        "the loss": ("rlgan.discriminators.autoencoder.AutoencoderDiscriminator.loss", _plus_infinity),
        "the gradient": GRADIENT,
        "a weight": ("rlgan.policies.began_workers.BEGANLearner.adversarial_round", _with_infinite_weights),
    },
    "ppgn": {
        "a code": ("rlgan.policies.ppgn_workers.PPGNLearner._codes", _times_nan),
        "the loss": ("rlgan.policies.ppgn_workers.non_saturating", _plus_infinity),
        "the gradient": GRADIENT,
        "a weight": ("rlgan.policies.ppgn_workers.PPGNLearner.generator_round", _with_infinite_weights),
    },
}
"""Where a NaN or an infinity comes up, and how it is put there. BEGAN and PPGN have no reward: G learns from D's
gradient."""


@pytest.mark.parametrize(("system", "point"), [(system, point) for system in POINTS for point in POINTS[system]])
def test_a_non_finite_number_anywhere_keeps_the_checkpoint_before(
    system, point, local_ray, rlgan, tmp_path, monkeypatch
):
    """In the second round of the phase in which the generator learns from the discriminator."""
    address, spoilt = POINTS[system][point]
    real_round, before = AdversarialAlgorithm._counted, []

    def second_round(self, phase, index):
        if phase.name == ("generator" if system == "ppgn" else "adversarial") and index == 1:
            monkeypatch.setattr(address, spoilt(pkgutil.resolve_name(address)))
            before.append(self.step_count)
        return real_round(self, phase, index)

    monkeypatch.setattr(AdversarialAlgorithm, "_counted", second_round)
    run = tmp_path / "run"
    said = rlgan("train", system, *TINY_RUNS[system], "--checkpoint-every", "1", "--run-dir", run)
    assert said.code == 4 and said.err.count("\n") == 1, said.err
    newest = latest_checkpoint(run / "checkpoints")
    assert before == [newest.step]
    assert all(bool(torch.isfinite(one).all()) for group in newest.tensors.values() for one in group.values())
    has_batch = {"seqgan": {"tokens_BT"}, "maskgan": {"tokens_BT"}}.get(system, set())
    if point != "a weight" or has_batch:
        dump = load_file(run / f"nonfinite-{newest.step + 1:06d}.safetensors")
        assert dump and has_batch <= dump.keys()
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert [one.value for one in events.Scalars("health/nonfinite_total")][-1] == 1.0


EQUAL = {
    "seqgan": (
        "rlgan.token_rewards.MonteCarloRewards.__call__",
        lambda real: lambda *a: torch.full_like(real(*a), 0.3),
    ),
    "maskgan": (
        "rlgan.discriminators.infilling.InfillingDiscriminator.judge",
        lambda real: lambda *a: tuple(torch.full_like(one, -0.7) for one in real(*a)),
    ),
    "bgan": (
        "rlgan.discriminators.boundary.BoundaryDiscriminator.reward",
        lambda real: lambda *a: torch.full_like(real(*a), 0.3),
    ),
}
"""What judges samples, and how it comes to find all of them alike."""


@pytest.mark.parametrize("system", EQUAL)
def test_equal_rewards(system, local_ray, rlgan, tmp_path, monkeypatch):
    address, equal = EQUAL[system]
    monkeypatch.setattr(address, equal(pkgutil.resolve_name(address)))
    run = tmp_path / "run"
    said = rlgan("train", system, *TINY_RUNS[system], "--run-dir", run)
    assert said.code == 0, said.err
    assert said.out.count("all rewards are equal, so that the generator has nothing to learn from them") == 1, said.out
    rounds = [entry.figures for entry in History(run).read() if entry.kind == "round"]
    shares = [figures["gen/frac_reward_zero_std"] for figures in rounds if "gen/frac_reward_zero_std" in figures]
    assert set(shares) == {1.0} and len(shares) >= 2
    newest = latest_checkpoint(run / "checkpoints")
    assert all(bool(torch.isfinite(one).all()) for group in newest.tensors.values() for one in group.values())
    assert "everything that was compared had the same reward" in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("system", EQUAL)
def test_rewards_that_differ(system, local_ray, rlgan, tmp_path):
    said = rlgan("train", system, *TINY_RUNS[system], "--run-dir", tmp_path / "run")
    assert said.code == 0 and "all rewards are equal" not in said.out, said
    rounds = [entry.figures for entry in History(tmp_path / "run").read() if entry.phase == "adversarial"]
    shares = [figures["gen/frac_reward_zero_std"] for figures in rounds if "gen/reward_mean" in figures]
    assert len(shares) >= 2 and max(shares) < 1.0


@pytest.mark.parametrize(("limit", "bad", "code"), [(2, (6, 7), 0), (1, (6, 7), 4), (5, (9,), 4)])
def test_rounds_with_a_non_finite_loss_can_be_left_out(
    limit, bad, code, local_ray, rlgan, tiny_words, tmp_path, monkeypatch
):
    """Of nine rounds: two of likelihood, two of D, five adversarial; the last of a phase is never left out."""
    from rlgan.policies.seqgan_workers import SeqGANLearner

    original, calls = SeqGANLearner.policy_step, []

    def broken(self, *arguments, **named):
        calls.append(0)
        if len(calls) + 4 in bad:
            raise NonFiniteError("the loss is nan")
        return original(self, *arguments, **named)

    monkeypatch.setattr(SeqGANLearner, "policy_step", broken)
    words = ["--rounds", "5", "--skip-nonfinite", limit, "--checkpoint-every", "1", "--keep-checkpoints", "20"]
    said = rlgan(*TRAIN, *tiny_words, *words, "--run-dir", tmp_path / "run")
    assert said.code == code, said.err
    dumps = sorted((tmp_path / "run").glob("nonfinite-*.safetensors"))
    assert dumps and all(f"The batch of that round: {path}" in said.out + said.err for path in dumps)
    assert {"tokens_BT", "action_value_BT"} <= load_file(dumps[0]).keys()
    steps = [entry.step for entry in History(tmp_path / "run").read() if entry.kind == "round"]
    assert steps == ([1, 2, 3, 4, 5, 8, 9] if code == 0 else [1, 2, 3, 4, 5] if limit == 1 else list(range(1, 9)))
    if code == 0:
        five, eight = (read_checkpoint(tmp_path / f"run/checkpoints/step-00000{step}") for step in (5, 8))
        generators = [checkpoint.tensors["learner_generator"] for checkpoint in (five, eight)]
        is_same = [torch.equal(value, generators[1][name]) for name, value in generators[0].items()]
        assert not all(is_same), "round 8 did its work"
        assert eight.state["weights_version"] == five.state["weights_version"] + 2, "one round since round 5"


@pytest.mark.parametrize(
    ("system", "number", "to"),
    [
        *[("seqgan", number, to) for number in (signal.SIGINT, signal.SIGTERM) for to in (os.kill, os.killpg)],
        ("maskgan", signal.SIGTERM, os.killpg), ("bgan", signal.SIGTERM, os.killpg), ("began", signal.SIGINT, os.kill),
        ("ppgn", signal.SIGTERM, os.kill),
    ],
)  # fmt: skip
def test_a_signal_leaves_a_checkpoint_and_no_process(system, number, to, rlgan_process, tmp_path):
    workers = ["--num-env-runners", "1"] if to is os.killpg else []
    process = rlgan_process("train", system, *TINY_RUNS[system], *workers, "--rounds", "100000", "--run-dir", "run")
    for line in process.stdout:
        if line.startswith("step ") and int(line.split()[1].partition("/")[0]) > 5:
            break
    below = descendants(process.pid)
    assert len(below) >= 4, "gcs, raylet and workers"
    to(process.pid, number)
    sent = time.monotonic()
    out, err = process.communicate(timeout=60)
    while any(map(alive, below)) and time.monotonic() - sent < 30:
        time.sleep(0.1)
    took = time.monotonic() - sent
    assert (process.returncode, err) == (128 + number, ""), (out, err)
    assert not any(map(alive, below)) and took < 20, took  # under 10 s on an idle machine
    checkpoint = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint is not None and checkpoint.step >= 5
    assert f"rlgan: {number.name}: the checkpoint of step {checkpoint.step} is in run" in out
    rounds = [entry.step for entry in History(tmp_path / "run").read() if entry.kind == "round"]
    assert rounds == list(range(1, checkpoint.step + 1))


def test_a_second_signal_ends_at_once(rlgan_process, tiny_words, tmp_path):
    """The round hangs, so that the first signal alone would take seconds."""
    prelude = (
        "import time; from rlgan.policies.seqgan import SeqGAN; real = SeqGAN._adversarial_round\n"
        "SeqGAN._adversarial_round = lambda self, index: (print('hanging', flush=True), time.sleep(60))"
    )
    process = rlgan_process(*TRAIN, *tiny_words, "--run-dir", "run", prelude=prelude)
    wait_for("hanging", process)
    below = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    sent = time.monotonic()
    assert process.wait(20) == 143 and time.monotonic() - sent < 3
    while any(map(alive, below)) and time.monotonic() - sent < 30:
        time.sleep(0.1)
    assert not any(map(alive, below))


def test_a_hanging_round_is_given_up(rlgan_process, tiny_words, tmp_path):
    prelude = (
        "import time; from rlgan.policies.seqgan import SeqGAN; real = SeqGAN._adversarial_round\n"
        "SeqGAN._adversarial_round = lambda self, index: "
        "(print('hanging', flush=True), time.sleep(60)) if index else real(self, index)"
    )
    process = rlgan_process(*TRAIN, *tiny_words, "--run-dir", "run", prelude=prelude)
    wait_for("hanging", process)
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and "rlgan: SIGTERM: the checkpoint of step 4 is in run" in out


def test_killed_then_resumed(rlgan_process, tiny_words, tmp_path):
    """Two times SIGKILL in the middle of a run: `--resume auto` goes on from the last checkpoint, no gap, no repeat."""
    words = [*TRAIN, *tiny_words, "--rounds", "40", "--checkpoint-every", "7", "--num-env-runners", "1"]
    path, below = tmp_path / "run", set()
    for killed_at, resumed_from in ((19, None), (29, 21)):
        prelude = (
            "import time; from rlgan.policies.seqgan import SeqGAN; real = SeqGAN._adversarial_round\n"
            "SeqGAN._adversarial_round = lambda self, index: "
            f"(print('hanging', flush=True), time.sleep(60)) if index == {killed_at} else real(self, index)"
        )
        process = rlgan_process(*words, "--run-dir", "run", "--resume", "auto", prelude=prelude)
        if resumed_from is not None:
            wait_for(f"rlgan: going on after step {resumed_from}", process)
        wait_for("hanging", process)
        below |= descendants(process.pid)
        process.kill()
        process.wait()
        assert max(entry.step for entry in History(path).read()) == killed_at + 4, "more than the last checkpoint"
    process = rlgan_process(*words, "--run-dir", "run", "--resume", "auto")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "going on after step 28" in out, (out, err)
    assert "which a run that was killed had left" in out + err
    assert [entry.step for entry in History(path).read() if entry.kind == "round"] == list(range(1, 45))

    # Two of Ray's agents may outlive a killed driver by a minute (facts/ray.md); they hold nothing that matters.
    def left() -> list[str]:
        return [name for one in below if alive(one) and "Agent" not in (name := command_of(one[0]))]

    deadline = time.monotonic() + 60
    while left() and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left() == [], "a private Ray ends with its driver"
