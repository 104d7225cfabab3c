"""The loop of a run with an algorithm that only counts: what is measured, saved and reported, and when."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from rlgan.checkpoint import Checkpoint, latest_checkpoint, list_checkpoints
from rlgan.errors import CheckpointError, NonFiniteError, WorkerError
from rlgan.launch import training_run as module
from rlgan.launch.history import History
from rlgan.launch.interrupts import Interrupts
from rlgan.launch.progress import Progress
from rlgan.launch.run_config import LogConfig
from rlgan.launch.run_directory import RunDirectory
from rlgan.launch.system import Judgement, Shown
from rlgan.launch.systems.seqgan import SeqGANSystem, quick
from rlgan.launch.training_run import TrainingRun
from rlgan.policies.algorithm import RoundReport

PHASES = (("likelihood", 2), ("discriminator", 1), ("adversarial", 4))


class CountingAlgorithm:
    """Rounds that count; in the discriminator's the generator stays the same object."""

    judged_net = "generator"
    last_whole = None

    def __init__(self, during_round=lambda step: None) -> None:
        self.step_count, self.total_steps = 0, sum(rounds for _, rounds in PHASES)
        self.report = RoundReport()
        self.source = SimpleNamespace(space=None)
        self.weights = SimpleNamespace(nets={"generator": {"w": torch.zeros(1)}})
        self.seconds = 0.0
        self._during_round = during_round

    def train(self) -> None:
        """One round."""
        step = self.step_count + 1
        self._during_round(step)
        self.step_count = step
        phase, before, rounds = next(
            (name, before, rounds)
            for (name, rounds), before in zip(PHASES, (0, 2, 3), strict=True)
            if step <= before + rounds
        )
        if phase != "discriminator":
            self.weights.nets["generator"] = {"w": torch.full((1,), float(step))}
        self.report = RoundReport(step, phase, step - before, rounds, {"gen/loss": 1.0}, {}, None, self.seconds)

    def checkpoint(self) -> Checkpoint:
        """The counter and the weights."""
        return Checkpoint(self.step_count, {"g": dict(self.weights.nets["generator"])}, {}, "seed: 0")


class SilentLog:
    """A TensorBoardLog that remembers calls."""

    def __init__(self) -> None:
        self.calls = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append((name, args))


class Counted(SeqGANSystem):
    """SeqGAN whose evaluations only note the weights that were measured."""

    seen: ClassVar = []

    def judge(self, algorithm, run, seed):
        weight = float(algorithm.weights.nets["generator"]["w"])
        self.seen.append((weight, run.log.eval_samples, seed))
        return Judgement({"gen/nll_test": weight}, [f"sample {weight:g}"] * 3)

    def conclude(self, algorithm, run, path):
        (path / "concluded").write_text(str(algorithm.step_count))

    def show(self, report, source):
        return Shown(texts={"samples/round": str(report.step)})


@pytest.fixture
def evaluated(monkeypatch):
    """The weights that were measured."""
    seen = []
    monkeypatch.setattr(Counted, "seen", seen)
    monkeypatch.setattr(module, "write_report", lambda path: path / "report.html")
    return seen


def start(tmp_path, algorithm, interrupts, **log) -> tuple[TrainingRun, SilentLog]:
    """A run of the algorithm in tmp_path."""
    config = quick().model_copy(update={"log": LogConfig(**{"eval_every": 0, "checkpoint_every": 0, **log})})
    silent = SilentLog()
    directory = RunDirectory(tmp_path, may_hold_a_run=True)
    progress = Progress(algorithm.total_steps)
    return TrainingRun(Counted(), algorithm, config, directory, silent, progress, interrupts), silent


def steps_on_disk(tmp_path: Path) -> list[int]:
    """Steps of the checkpoints, oldest first."""
    return sorted(int(path.name.removeprefix("step-")) for path in list_checkpoints(tmp_path / "checkpoints"))


def test_phases_end_with_an_evaluation_and_a_checkpoint(tmp_path, evaluated):
    with Interrupts() as interrupts:
        training, log = start(tmp_path, CountingAlgorithm(), interrupts, keep_checkpoints=9)
        assert training.run() == 0
    assert steps_on_disk(tmp_path) == [2, 3, 7]
    assert [weights for weights, _, _ in evaluated] == [2.0, 7.0], "after round 3 the generator is that of round 2"
    history = History(tmp_path).read()
    assert [(entry.step, entry.kind) for entry in history if entry.kind == "eval"] == [(2, "eval"), (7, "eval")]
    assert [entry.step for entry in history if entry.kind == "round"] == [1, 2, 3, 4, 5, 6, 7]
    assert (tmp_path / "samples" / "step-000007.txt").read_text() == "sample 7\n" * 3
    assert [name for name, _ in log.calls][-2:] == ["hyperparameters", "close"]
    health = [entry.figures.get("health/last_checkpoint_step") for entry in history if entry.kind == "round"]
    assert health == [None, None, 2.0, 3.0, None, None, None], "told with the round that follows"


def test_every_so_many_rounds(tmp_path, evaluated):
    with Interrupts() as interrupts:
        training, _ = start(
            tmp_path, CountingAlgorithm(), interrupts, eval_every=3, checkpoint_every=5, keep_checkpoints=9
        )
        training.run()
    assert steps_on_disk(tmp_path) == [2, 3, 5, 7]
    assert [weights for weights, _, _ in evaluated] == [2.0, 6.0, 7.0]
    assert len({seed for _, _, seed in evaluated}) == 3, "every evaluation draws with numbers of its own"


def test_what_a_round_made_is_looked_at_every_few_rounds_and_at_both_ends_of_a_phase(tmp_path, evaluated, monkeypatch):
    monkeypatch.setattr(module, "SHOW_EVERY", 4)
    with Interrupts() as interrupts:
        training, log = start(tmp_path, CountingAlgorithm(), interrupts)
        training.run()
    shown = [(args[0].phase, args[0].phase_round) for name, args in log.calls if name == "round" and args[1].texts]
    assert shown == [("likelihood", 1), ("likelihood", 2), ("discriminator", 1), ("adversarial", 1), ("adversarial", 4)]


def test_by_the_clock(tmp_path, evaluated):
    with Interrupts() as interrupts:
        training, _ = start(tmp_path, CountingAlgorithm(), interrupts, checkpoint_minutes=1e-9, keep_checkpoints=9)
        training.run()
    assert steps_on_disk(tmp_path) == [1, 2, 3, 4, 5, 6, 7]


def test_the_likelihood_model_is_kept(tmp_path, evaluated):
    import safetensors.torch

    with Interrupts() as interrupts:
        start(tmp_path, CountingAlgorithm(), interrupts)[0].run()
    assert safetensors.torch.load_file(tmp_path / "likelihood.safetensors")["w"].tolist() == [2.0]


def test_a_round_with_a_nan_ends_the_run_and_is_counted(tmp_path, evaluated):
    def fail(step):
        if step == 5:
            raise NonFiniteError("a loss is nan")

    with Interrupts() as interrupts:
        run, log = start(tmp_path, CountingAlgorithm(fail), interrupts)
        with pytest.raises(NonFiniteError):
            run.run()
    assert log.calls[-1] == ("evaluation", (5, {"health/nonfinite_total": 1.0}, []))
    rounds = [arguments[0].figures["health/nonfinite_total"] for name, arguments in log.calls if name == "round"]
    assert rounds == [0.0] * 4 and steps_on_disk(tmp_path)[-1] == 3


@pytest.mark.parametrize("is_full", [False, True])
def test_the_batch_of_a_round_with_a_nan_is_kept(tmp_path, evaluated, monkeypatch, is_full):
    """What the driver had and what the worker sent with the error; the file never stands in the error's way."""
    import safetensors.torch

    scores = torch.tensor([[1.0, torch.nan], [2.0, 3.0]])

    def fail(step):
        if step == 5:
            algorithm.report = RoundReport(batch=SimpleNamespace(tokens_BT=torch.arange(4), weights_version=3))
            raise NonFiniteError("a score is nan.", {"score_NM": scores.T})

    def refuse(*arguments):
        raise OSError(28, "No space left on device")

    algorithm = CountingAlgorithm(fail)
    if is_full:
        monkeypatch.setattr("rlgan.launch.run_directory.safetensors.torch.save", refuse)
    with Interrupts() as interrupts, pytest.raises(NonFiniteError) as raised:
        start(tmp_path, algorithm, interrupts)[0].run()
    path = tmp_path / "nonfinite-000005.safetensors"
    assert str(raised.value) == ("a score is nan." if is_full else f"a score is nan. The batch of that round: {path}")
    assert path.exists() is not is_full and not list(tmp_path.glob(".nonfinite*"))
    if not is_full:
        kept = safetensors.torch.load_file(path)
        assert kept["tokens_BT"].tolist() == [0, 1, 2, 3] and torch.allclose(kept["score_NM"], scores.T, equal_nan=True)


def test_a_signal_between_rounds_saves_the_step(tmp_path, evaluated, capsys):
    algorithm = CountingAlgorithm(lambda step: step == 5 and os.kill(os.getpid(), signal.SIGTERM))
    with Interrupts() as interrupts:
        training, _ = start(tmp_path, algorithm, interrupts)
        assert training.run() == 143
    assert steps_on_disk(tmp_path)[-1] == 5, "the round in hand was finished"
    said = capsys.readouterr().out
    assert f"rlgan: SIGTERM: the checkpoint of step 5 is in {tmp_path}" in said and "--resume auto" in said


@pytest.mark.parametrize(
    "seconds, saved", [(60.0, 5), (0.0, 3)], ids=["slow rounds are kept in memory", "quick ones not"]
)
def test_a_round_that_is_given_up(tmp_path, evaluated, seconds, saved):
    def hang(step):
        if step == 6:
            os.kill(os.getpid(), signal.SIGINT)
            algorithm.weights.nets["generator"] = {"w": torch.tensor([99.0])}  # half a round
            time.sleep(20)

    algorithm = CountingAlgorithm(hang)
    algorithm.seconds = seconds
    with Interrupts(grace_seconds=0.1) as interrupts:
        training, _ = start(tmp_path, algorithm, interrupts)
        assert training.run() == 130
    checkpoint = latest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None and checkpoint.step == saved
    assert checkpoint.tensors["g"]["w"].item() != 99.0


def test_a_signal_while_a_checkpoint_is_written_lets_it_end(tmp_path, evaluated, monkeypatch):
    """A slow disk: the grace of the round is over long before, and the save is not begun again."""
    real, tries = module.save_checkpoint, []

    def save(directory, checkpoint, keep):
        tries.append(checkpoint.step)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        return real(directory, checkpoint, keep=keep)

    monkeypatch.setattr(module, "save_checkpoint", save)
    with Interrupts(grace_seconds=0.1) as interrupts:
        training, _ = start(tmp_path, CountingAlgorithm(), interrupts, checkpoint_every=1)
        assert training.run() == 143
    assert tries == [1] and steps_on_disk(tmp_path) == [1]


def test_workers_that_are_lost_for_good_cost_no_whole_round(tmp_path, evaluated):
    """Where the state after the last one is in memory, as it is while learners are processes of their own."""

    def lose(step):
        if step == 6:
            algorithm.last_whole = algorithm.checkpoint()
            raise WorkerError("no room within 180 s")

    algorithm = CountingAlgorithm(lose)
    with Interrupts() as interrupts:
        training, _ = start(tmp_path, algorithm, interrupts, keep_checkpoints=9)
        with pytest.raises(WorkerError, match="no room"):
            training.run()
    assert steps_on_disk(tmp_path) == [2, 3, 5]


def test_a_signal_before_any_round_is_whole(tmp_path, evaluated, capsys):
    algorithm = CountingAlgorithm(lambda step: (os.kill(os.getpid(), signal.SIGINT), time.sleep(20)))
    with Interrupts(grace_seconds=0.1) as interrupts:
        assert start(tmp_path, algorithm, interrupts)[0].run() == 130
    assert steps_on_disk(tmp_path) == [] and "no round was whole" in capsys.readouterr().out


def test_a_disk_that_refuses_twice_is_forgiven(tmp_path, evaluated, monkeypatch, capsys):
    real, tries = module.save_checkpoint, []

    def save(directory, checkpoint, keep):
        tries.append(checkpoint.step)
        if len(tries) in {1, 2, 4, 5}:
            raise CheckpointError(f"{directory}: cannot write the checkpoint (No space left on device).")
        return real(directory, checkpoint, keep=keep)

    monkeypatch.setattr(module, "save_checkpoint", save)
    with Interrupts() as interrupts:
        training, _ = start(tmp_path, CountingAlgorithm(), interrupts, checkpoint_every=1)
        assert training.run() == 0
    assert steps_on_disk(tmp_path) == [6, 7]
    assert capsys.readouterr().out.count("No space left on device") == 4


def test_a_disk_that_refuses_three_times_ends_the_run(tmp_path, evaluated, monkeypatch):
    def save(directory, checkpoint, keep):
        raise CheckpointError("cannot write the checkpoint (No space left on device).")

    monkeypatch.setattr(module, "save_checkpoint", save)
    algorithm = CountingAlgorithm()
    with Interrupts() as interrupts, pytest.raises(CheckpointError, match="No space left"):
        start(tmp_path, algorithm, interrupts, checkpoint_every=1)[0].run()
    assert algorithm.step_count == 3


def test_last_measurements_come_once_and_before_the_report(tmp_path, evaluated, monkeypatch):
    monkeypatch.setattr(module, "write_report", lambda path: path / (path / "concluded").read_text())
    with Interrupts() as interrupts:
        assert start(tmp_path, CountingAlgorithm(), interrupts)[0].run() == 0
    assert (tmp_path / "concluded").read_text() == "7"


def test_last_measurements_that_fail_do_not_fail_the_run(tmp_path, evaluated, monkeypatch, capsys):
    def fail(*_):
        raise CheckpointError("likelihood.safetensors: is not a safetensors file.")

    monkeypatch.setattr(Counted, "conclude", fail)
    with Interrupts() as interrupts:
        assert start(tmp_path, CountingAlgorithm(), interrupts)[0].run() == 0
    said = capsys.readouterr().out
    assert "lacks the last measurements (likelihood.safetensors" in said and "report.html" in said


def test_a_report_that_cannot_be_written_does_not_fail_the_run(tmp_path, evaluated, monkeypatch, capsys):
    def refuse(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_report", refuse)
    with Interrupts() as interrupts:
        assert start(tmp_path, CountingAlgorithm(), interrupts)[0].run() == 0
    assert "the report cannot be written (No space left on device)" in capsys.readouterr().out


def test_a_run_that_is_done_already_only_reports(tmp_path, evaluated):
    algorithm = CountingAlgorithm(lambda step: pytest.fail("no round is left"))
    algorithm.step_count = 7
    with Interrupts() as interrupts:
        assert start(tmp_path, algorithm, interrupts)[0].run() == 0
    assert evaluated == []
