"""Learners and runners that die, hang or are slow: the run goes on, and its weights are those of an undisturbed run."""

import os
import signal
import time
from pathlib import Path

import pytest
import ray
import torch

from rlgan.errors import WorkerError
from rlgan.policies import SeqGAN, SeqGANConfig
from rlgan.policies.calls import on_learners
from rlgan.policies.seqgan_workers import SeqGANRunner
from tests.policies import test_began, test_bgan, test_maskgan, test_ppgn
from tests.policies.conftest import tiny, train_until_restarted
from tests.policies.test_seqgan import assert_equal, final, trained

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]

LEARNERS = {
    "policy": (lambda algorithm: algorithm.learner_group, lambda config: config.learners(num_learners=1)),
    "discriminator": (
        lambda algorithm: algorithm.discriminator_group.learners,
        lambda config: config.discriminator_learners(1),
    ),
}


def pids_of(group: object) -> list[int]:
    """Process numbers of the learners of a group."""
    return [answer.get() for answer in group.foreach_learner(lambda _: os.getpid())]  # type: ignore[attr-defined]


@pytest.mark.parametrize("which", LEARNERS)
def test_a_killed_learner_costs_a_round_and_no_figure(which: str) -> None:
    group_of, with_learner = LEARNERS[which]
    undisturbed = final(tiny(rounds=3))
    algorithm = trained(with_learner(tiny(rounds=3)), 3)
    os.kill(pids_of(group_of(algorithm))[0], signal.SIGKILL)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert algorithm.report.figures["health/learner_restarts"] == 1
    assert_equal(algorithm.checkpoint(), undisturbed)
    algorithm.stop()


def kill_in(learner: object, method: str, marker: Path) -> None:
    """Make a learner kill its own process inside a method, once."""
    original = getattr(learner, method)

    def last_words(*arguments: object, **named: object) -> object:
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(learner, method, last_words)


@pytest.mark.parametrize(("which", "method"), [("policy", "policy_step"), ("discriminator", "fit")])
def test_a_learner_killed_in_the_middle_of_its_work(which: str, method: str, tmp_path: Path) -> None:
    group_of, with_learner = LEARNERS[which]
    undisturbed = final(tiny(rounds=2))
    algorithm = trained(with_learner(tiny(rounds=2)), 2)
    marker = tmp_path / "killed"
    on_learners(group_of(algorithm), lambda learner: kill_in(learner, method, marker), which)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert marker.exists() and algorithm.report.figures["health/learner_restarts"] == 1
    assert_equal(algorithm.checkpoint(), undisturbed)
    algorithm.stop()


SYSTEMS = {"maskgan": test_maskgan.tiny, "bgan": test_bgan.tiny, "began": test_began.tiny, "ppgn": test_ppgn.tiny}


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_learner_of_every_system(name: str) -> None:
    undisturbed = final(SYSTEMS[name]())
    algorithm = trained(SYSTEMS[name]().learners(num_learners=1), 1)
    for step in range(1, algorithm.total_steps):
        if step in {1, algorithm.total_steps - 1}:
            os.kill(pids_of(algorithm.learner_group)[0], signal.SIGKILL)
        algorithm.train()
    assert algorithm.report.figures["health/learner_restarts"] == 2
    assert_equal(algorithm.checkpoint(), undisturbed)
    algorithm.stop()


def sleep_in(learner: object, method: str, marker: Path) -> None:
    """Make a learner hang inside a method, once."""
    original = getattr(learner, method)

    def hanging(*arguments: object, **named: object) -> object:
        if not marker.exists():
            marker.touch()
            time.sleep(10_000)
        return original(*arguments, **named)

    setattr(learner, method, hanging)


@pytest.mark.parametrize(("which", "method"), [("policy", "policy_step"), ("discriminator", "fit")])
def test_a_hung_learner_is_ended_and_replaced(which: str, method: str, tmp_path: Path) -> None:
    group_of, with_learner = LEARNERS[which]
    undisturbed = final(tiny(rounds=2))
    algorithm = trained(with_learner(tiny(rounds=2)).time_limits(learner_seconds=8.0), 2)
    marker, started = tmp_path / "slept", time.monotonic()
    on_learners(group_of(algorithm), lambda learner: sleep_in(learner, method, marker), which)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert marker.exists() and algorithm.report.figures["health/learner_restarts"] == 1
    assert time.monotonic() - started < 90
    assert_equal(algorithm.checkpoint(), undisturbed)
    algorithm.stop()


def test_a_state_that_was_put_back_by_hand_is_what_a_lost_learner_goes_on_from() -> None:
    algorithm = trained(tiny(rounds=3).learners(num_learners=1), 3)
    other = trained(tiny(rounds=3, lr=1e-5), 3)
    assert other.step_count == algorithm.step_count
    algorithm.restore_checkpoint(other.checkpoint())
    expected = algorithm.checkpoint()
    assert_equal(expected, other.checkpoint())
    other.stop(), algorithm.stop()


def test_one_of_two_learners() -> None:
    algorithm = trained(tiny(rounds=3).learners(num_learners=2), 3)
    before = algorithm.step_count
    os.kill(pids_of(algorithm.learner_group)[1], signal.SIGKILL)
    algorithm.train()
    assert algorithm.step_count == before + 1 and len(pids_of(algorithm.learner_group)) == 2
    assert algorithm.report.figures["health/learner_restarts"] == 1
    algorithm.stop()


def test_learners_that_die_again_and_again_end_the_run() -> None:
    config = tiny(rounds=3).learners(num_learners=1)
    config.max_learner_restarts = 1
    algorithm = trained(config, 3)
    for expected in (1, 2):
        os.kill(pids_of(algorithm.learner_group)[0], signal.SIGKILL)
        if expected == 1:
            algorithm.train()
            continue
        with pytest.raises(WorkerError, match=r"max_learner_restarts = 1\. The last checkpoint is intact"):
            algorithm.train()
    algorithm.stop()


def overlapped() -> SeqGANConfig:
    """Five rounds, in the last two of which a retraining is under way when they begin."""
    overlap = {"overlap": True}
    return tiny(rounds=3, discriminator_training=overlap).learners(num_learners=1).discriminator_learners(1)


@pytest.mark.parametrize(
    ("which", "when"), [(which, "between rounds") for which in LEARNERS] + [("discriminator", "while it retrains")]
)
def test_a_learner_lost_beside_a_retraining_that_overlaps(which: str, when: str, tmp_path: Path) -> None:
    """The retraining that was under way starts again from the state before it, whoever was lost."""
    group_of, _ = LEARNERS[which]
    undisturbed = final(overlapped())
    algorithm = trained(overlapped(), 2)
    if when == "while it retrains":
        on_learners(group_of(algorithm), lambda learner: kill_in(learner, "fit", tmp_path / "killed"), which)
    algorithm.train()
    assert algorithm.discriminator_group.retraining is not None
    if when == "between rounds":
        os.kill(pids_of(group_of(algorithm))[0], signal.SIGKILL)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert algorithm.report.figures["health/learner_restarts"] == 1
    assert_equal(algorithm.checkpoint(), undisturbed)
    algorithm.stop()


def test_an_older_state_put_back_abandons_the_retraining_under_way() -> None:
    algorithm = trained(overlapped(), 2)
    before = algorithm.checkpoint()
    assert "retraining" not in before.tensors
    algorithm.train()
    algorithm.restore_checkpoint(before)
    assert algorithm.discriminator_group.retraining is None
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert_equal(algorithm.checkpoint(), final(overlapped()))
    algorithm.stop()


class CrashingRunner(SeqGANRunner):
    """Cannot be built in a process of its own."""

    def build_nets(self) -> dict[str, torch.nn.Module]:
        if self.worker_index:
            raise ZeroDivisionError("the nets of a test")
        return super().build_nets()


def test_runners_that_cannot_be_built_end_the_run() -> None:
    config = tiny().env_runners(num_env_runners=2)
    config.env_runner_cls = CrashingRunner
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"(?s)did not start: .*build_nets.*ZeroDivisionError: the nets of a test"):
        config.build_algo()
    assert time.monotonic() - started < 120


def sleep_in_rollout(runner: object, marker: Path, seconds: float) -> None:
    """Make a runner sleep in its next rollout, once for all runners that know the marker."""
    original = runner.rollout  # type: ignore[attr-defined]

    def rollout(*arguments: object) -> object:
        if not marker.exists():
            marker.touch()
            time.sleep(seconds)
        return original(*arguments)

    runner.rollout = rollout  # type: ignore[attr-defined]


def with_sleeper(config: SeqGANConfig, marker: Path, seconds: float) -> SeqGAN:
    algorithm = trained(config, 3)
    algorithm.env_runner_group.foreach_env_runner(
        lambda runner: sleep_in_rollout(runner, marker, seconds) if runner.worker_index == 1 else None,
        local_env_runner=False,
    )
    return algorithm


def test_a_hung_runner_is_ended_and_replaced(tmp_path: Path) -> None:
    undisturbed = final(tiny(rounds=4).env_runners(num_env_runners=2))
    algorithm = with_sleeper(
        tiny(rounds=4).env_runners(num_env_runners=2).time_limits(rollout_seconds=5.0), tmp_path / "slept", 10_000.0
    )
    started = time.monotonic()
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert time.monotonic() - started < 90 and algorithm.report.figures["rollout/worker_timeouts"] == 1
    assert_equal(algorithm.checkpoint(), undisturbed)
    figures = train_until_restarted(algorithm, 1)
    assert (figures["rollout/worker_timeouts"], figures["rollout/worker_restarts"]) == (1, 1)
    assert figures["rollout/workers_healthy"] == 2
    algorithm.stop()


def test_a_slow_runner_is_left_alone(tmp_path: Path) -> None:
    config = tiny(rounds=3).env_runners(num_env_runners=2).time_limits(rollout_seconds=60.0)
    algorithm = with_sleeper(config, tmp_path / "slept", 2.0)
    algorithm.train()
    assert (tmp_path / "slept").exists()
    figures = algorithm.report.figures
    assert (figures["rollout/worker_timeouts"], figures["rollout/worker_restarts"]) == (0, 0)
    algorithm.stop()


def test_a_runner_killed_inside_a_rollout(tmp_path: Path) -> None:
    undisturbed = final(tiny(rounds=4).env_runners(num_env_runners=2))
    algorithm = trained(tiny(rounds=4).env_runners(num_env_runners=2), 3)
    marker = tmp_path / "killed"
    algorithm.env_runner_group.foreach_env_runner(
        lambda runner: kill_in(runner, "rollout", marker) if runner.worker_index == 1 else None, local_env_runner=False
    )
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert marker.exists()
    assert_equal(algorithm.checkpoint(), undisturbed)
    assert train_until_restarted(algorithm, 1)["rollout/worker_restarts"] == 1
    algorithm.stop()


def kill_runners(algorithm: SeqGAN) -> None:
    for pid in algorithm.env_runner_group.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False):
        os.kill(pid, signal.SIGKILL)


def test_all_runners_killed_at_once() -> None:
    undisturbed = final(tiny(rounds=4).env_runners(num_env_runners=2))
    algorithm = trained(tiny(rounds=4).env_runners(num_env_runners=2), 3)
    kill_runners(algorithm)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert algorithm.report.figures["rollout/worker_restarts"] == 2
    assert_equal(algorithm.checkpoint(), undisturbed)
    algorithm.stop()


def test_a_runner_that_was_restarted_between_weights_and_rollout() -> None:
    """Ray restarts it before RLlib has missed it: it answers, but with its first weights."""
    undisturbed = final(tiny(rounds=4).env_runners(num_env_runners=2))
    algorithm = trained(tiny(rounds=4).env_runners(num_env_runners=2), 3)
    old = set(algorithm.env_runner_group.foreach_env_runner(lambda r: r.birth, local_env_runner=False))
    kill_runners(algorithm)
    manager = algorithm.env_runner_group._worker_manager
    for actor in manager.actors().values():
        _wait_for_restart(actor, old)
    assert algorithm.env_runner_group.num_healthy_remote_env_runners() == 2, "RLlib has not missed them"
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert algorithm.report.figures["rollout/worker_restarts"] == 2
    assert_equal(algorithm.checkpoint(), undisturbed)
    algorithm.stop()


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
