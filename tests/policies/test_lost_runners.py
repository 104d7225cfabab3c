"""Runners that die, hang or are slow: every round is complete, and the weights are those of an undisturbed run."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import ray

from rlgan.errors import WorkerError
from rlgan.policies import runner_pool
from rlgan.policies.algorithm import AdversarialAlgorithm
from rlgan.policies.runner import BatchRunner
from rlgan.policies.seqgan_workers import SeqGANRunner
from tests.policies.conftest import train_until_restarted
from tests.policies.systems import ROLLOUTS, hang, kill_self, once_before, tiny_run, undisturbed
from tests.policies.test_seqgan import assert_equal, trained

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]
all_with_runners = pytest.mark.parametrize("name", ROLLOUTS)


def before_the_last_two_rounds(name: str, **limits: float) -> AdversarialAlgorithm:
    """A run of the system with two runners."""
    config = tiny_run(name, 2).time_limits(**limits)
    total_steps = undisturbed(name, 2).step
    return trained(config, total_steps - 2)


def in_the_next_rollout(algorithm: AdversarialAlgorithm, name: str, act: Callable[[], object], marker: Path) -> None:
    """Let the first runner do something, once."""
    algorithm.env_runner_group.foreach_env_runner(
        lambda runner: once_before(runner, ROLLOUTS[name], act, marker) if runner.worker_index == 1 else None,
        local_env_runner=False,
    )


def finish(algorithm: AdversarialAlgorithm, name: str) -> dict[str, float]:
    """Train to the end and compare; the figures of the last round."""
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert_equal(algorithm.checkpoint(), undisturbed(name, 2))
    return algorithm.report.figures


def kill_runners(algorithm: AdversarialAlgorithm) -> None:
    for pid in algorithm.env_runner_group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False):
        os.kill(pid, signal.SIGKILL)


@all_with_runners
def test_a_hung_runner_is_ended_and_replaced(name: str, tmp_path: Path) -> None:
    algorithm = before_the_last_two_rounds(name, rollout_seconds=5.0)
    in_the_next_rollout(algorithm, name, hang, tmp_path / "slept")
    started = time.monotonic()
    figures = finish(algorithm, name)
    assert time.monotonic() - started < 90 and figures["rollout/worker_timeouts"] == 1
    figures = train_until_restarted(algorithm, 1)
    assert (figures["rollout/worker_timeouts"], figures["rollout/worker_restarts"]) == (1, 1)
    assert figures["rollout/workers_healthy"] == 2
    algorithm.train()
    assert algorithm.report.seconds < 2.5, "the time of a round is back to normal: no limit of 5 s runs out any more"
    algorithm.stop()


@all_with_runners
def test_a_slow_runner_is_left_alone(name: str, tmp_path: Path) -> None:
    algorithm = before_the_last_two_rounds(name, rollout_seconds=60.0)
    in_the_next_rollout(algorithm, name, lambda: time.sleep(2.0), tmp_path / "slept")
    figures = finish(algorithm, name)
    assert (tmp_path / "slept").exists()
    assert (figures["rollout/worker_timeouts"], figures["rollout/worker_restarts"]) == (0, 0)
    algorithm.stop()


@all_with_runners
def test_a_runner_killed_inside_a_rollout(name: str, tmp_path: Path) -> None:
    algorithm = before_the_last_two_rounds(name)
    in_the_next_rollout(algorithm, name, kill_self, tmp_path / "killed")
    finish(algorithm, name)
    assert (tmp_path / "killed").exists()
    assert train_until_restarted(algorithm, 1)["rollout/worker_restarts"] == 1
    algorithm.stop()


@all_with_runners
def test_all_runners_killed_at_once(name: str) -> None:
    algorithm = before_the_last_two_rounds(name)
    kill_runners(algorithm)
    finish(algorithm, name)
    assert train_until_restarted(algorithm, 2)["rollout/worker_restarts"] == 2
    algorithm.stop()


def test_a_runner_that_was_restarted_between_weights_and_rollout() -> None:
    """Ray restarts it before RLlib has missed it: it answers, but with its first weights."""
    algorithm = before_the_last_two_rounds("seqgan")
    old = set(algorithm.env_runner_group.foreach_env_runner(lambda r: r.birth, local_env_runner=False))
    kill_runners(algorithm)
    manager = algorithm.env_runner_group._worker_manager
    for actor in manager.actors().values():
        _wait_for_restart(actor, old)
    assert algorithm.env_runner_group.num_healthy_remote_env_runners() == 2, "RLlib has not missed them"
    assert finish(algorithm, "seqgan")["rollout/worker_restarts"] == 2
    algorithm.stop()


class DyingRunner(SeqGANRunner):
    """Dies in every rollout, in whichever process."""

    def rollout(self, *arguments: object) -> None:
        kill_self()


class HangingRunner(SeqGANRunner):
    """Never finishes a rollout."""

    def rollout(self, *arguments: object) -> None:
        hang()


@pytest.mark.parametrize("runner", [DyingRunner, HangingRunner])
def test_runners_that_never_bring_a_shard_end_the_run(runner: type) -> None:
    config = tiny_run("seqgan", 1).time_limits(rollout_seconds=3.0, replacement_seconds=20.0)
    config.env_runner_cls = runner
    algorithm = trained(config, 2)
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"1 of 1 rollout shards are missing: .* The last checkpoint is intact"):
        algorithm.train()
    assert time.monotonic() - started < 150
    algorithm.stop()


def crashing_again(tries: Path, runner_class: type) -> type:
    """A runner like another, whose first one cannot be built a second time."""

    def build_nets(self: BatchRunner) -> object:
        if self.worker_index == 1:
            with tries.open("a") as file:
                file.write("x")
            if tries.stat().st_size > 1:
                raise ZeroDivisionError("the nets of a test")
        return runner_class.build_nets(self)  # type: ignore[attr-defined]

    return type("Crashing", (runner_class,), {"build_nets": build_nets})


@pytest.mark.parametrize(("name", "num_runners"), [("seqgan", 1), *((name, 2) for name in ROLLOUTS)])
def test_a_runner_that_cannot_be_built_again(
    name: str, num_runners: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is alone ends the run, with its traceback; beside another one it is done without."""
    expected = undisturbed(name, 2)
    config_class, tries = type(tiny_run(name)), tmp_path / "tries"
    monkeypatch.setattr(config_class, "runner_class", crashing_again(tries, config_class.runner_class))
    config = tiny_run(name, num_runners).time_limits(replacement_seconds=3.0)
    algorithm = trained(config, expected.step - 2)
    (pid,) = algorithm.env_runner_group.foreach_env_runner(
        lambda _: os.getpid(), local_env_runner=False, remote_worker_ids=[1]
    )
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    while tries.stat().st_size < 2 and time.monotonic() - started < 60:
        time.sleep(0.1)
    started = time.monotonic()
    if num_runners == 1:
        with pytest.raises(WorkerError, match=r"shards are missing: .* intact") as error:
            algorithm.train()
        assert "in build_nets" in str(error.value) and "ZeroDivisionError: the nets of a test" in str(error.value)
    else:
        algorithm.train(), algorithm.train()
        assert algorithm.report.figures["rollout/workers_healthy"] == 1
        assert_equal(algorithm.checkpoint(), expected)
    assert time.monotonic() - started < 60 and 2 <= tries.stat().st_size <= 10, tries.stat().st_size
    algorithm.stop()


def test_runners_whose_room_is_taken_before_they_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run was faster; RLlib alone would wait for ever."""
    monkeypatch.setattr("rlgan.policies.algorithm.require_room", lambda *_: None)
    monkeypatch.setattr(runner_pool, "START_SECONDS", 5.0)
    started = time.monotonic()
    with pytest.raises(WorkerError, match="the rollout runners did not start"):
        tiny_run("seqgan", 2).env_runners(num_cpus_per_env_runner=5).build_algo()
    assert time.monotonic() - started < 60


def _wait_for_restart(actor: object, old: set[object]) -> None:
    """Until another process answers for the actor."""
    for _ in range(120):
        try:
            if ray.get(actor.apply.remote(lambda r: r.birth), timeout=60) not in old:  # type: ignore[attr-defined]
                return
        except ray.exceptions.RayError:
            pass
        time.sleep(0.5)
    raise TimeoutError("the runner was not restarted")
