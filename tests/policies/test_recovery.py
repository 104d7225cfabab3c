"""Learners that die or hang: the run goes on, and its weights are those of an undisturbed run."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlgan.errors import WorkerError
from rlgan.policies import SeqGANConfig, recovery, resources
from rlgan.policies.calls import on_learners
from rlgan.policies.seqgan_workers import SeqGANLearner
from tests.policies.conftest import tiny
from tests.policies.systems import ALL_SYSTEMS, hang, kill_self, once_before, pids_of, tiny_run, undisturbed
from tests.policies.test_seqgan import assert_equal, final, trained

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]

LEARNERS = {
    "policy": (lambda algorithm: algorithm.learner_group, lambda config: config.learners(num_learners=1)),
    "discriminator": (
        lambda algorithm: algorithm.discriminator_group.learners,
        lambda config: config.discriminator_learners(1),
    ),
}


@pytest.mark.parametrize(
    ("name", "which"),
    [("seqgan", "policy"), ("seqgan", "discriminator"), ("maskgan", "discriminator"), ("bgan", "discriminator")],
)
def test_a_killed_learner_costs_a_round_and_no_figure(name: str, which: str) -> None:
    """The policy's learners of the other systems: `test_a_learner_of_every_system`."""
    group_of, with_learner = LEARNERS[which]
    algorithm = trained(with_learner(tiny_run(name)), undisturbed(name).step - 1)
    os.kill(pids_of(group_of(algorithm))[0], signal.SIGKILL)
    algorithm.train()
    assert algorithm.report.figures["health/learner_restarts"] == 1
    assert_equal(algorithm.checkpoint(), undisturbed(name))
    algorithm.stop()


WORK = [
    ("seqgan", "policy", "policy_step"), ("seqgan", "discriminator", "fit"),
    ("maskgan", "policy", "policy_step"), ("maskgan", "discriminator", "critic_step"),
    ("bgan", "discriminator", "fit"), ("began", "policy", "adversarial_round"), ("ppgn", "policy", "generator_round"),
]  # fmt: skip
"""What learners of every system do in a round."""


@pytest.mark.parametrize(("name", "which", "method"), WORK)
def test_a_learner_killed_in_the_middle_of_its_work(name: str, which: str, method: str, tmp_path: Path) -> None:
    group_of, with_learner = LEARNERS[which]
    algorithm = trained(with_learner(tiny_run(name)), 1)
    marker = tmp_path / "killed"
    on_learners(group_of(algorithm), lambda learner: once_before(learner, method, kill_self, marker), which)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert marker.exists() and algorithm.report.figures["health/learner_restarts"] == 1
    assert_equal(algorithm.checkpoint(), undisturbed(name))
    algorithm.stop()


@pytest.mark.parametrize("name", [name for name in ALL_SYSTEMS if name != "seqgan"])
def test_a_learner_of_every_system(name: str) -> None:
    algorithm = trained(tiny_run(name).learners(num_learners=1), 1)
    for step in range(1, algorithm.total_steps):
        if step in {1, algorithm.total_steps - 1}:
            os.kill(pids_of(algorithm.learner_group)[0], signal.SIGKILL)
        algorithm.train()
    assert algorithm.report.figures["health/learner_restarts"] == 2
    assert_equal(algorithm.checkpoint(), undisturbed(name))
    algorithm.stop()


@pytest.mark.parametrize(("name", "which", "method"), WORK)
def test_a_hung_learner_is_ended_and_replaced(name: str, which: str, method: str, tmp_path: Path) -> None:
    group_of, with_learner = LEARNERS[which]
    algorithm = trained(with_learner(tiny_run(name)).time_limits(learner_seconds=10.0), 1)
    marker, started = tmp_path / "slept", time.monotonic()
    on_learners(group_of(algorithm), lambda learner: once_before(learner, method, hang, marker), which)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert marker.exists() and algorithm.report.figures["health/learner_restarts"] == 1
    assert time.monotonic() - started < 120
    assert_equal(algorithm.checkpoint(), undisturbed(name))
    algorithm.train()
    assert algorithm.report.seconds < 5, "the time of a round is back to normal: no limit of 10 s runs out any more"
    algorithm.stop()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_state_that_was_put_back_by_hand_is_what_a_lost_learner_goes_on_from(when: str) -> None:
    """It is lost before the state is put back, or between that and the next round."""
    start = final(tiny(rounds=3, lr=1e-5), 3)
    algorithm = trained(tiny(rounds=3).learners(num_learners=1), 3)
    (pid,) = pids_of(algorithm.learner_group)
    if when == "before":
        os.kill(pid, signal.SIGKILL)
    algorithm.restore_checkpoint(start)
    assert_equal(algorithm.checkpoint(), start)
    if when == "after":
        os.kill(pid, signal.SIGKILL)
    algorithm.train()
    assert algorithm.report.figures["health/learner_restarts"] == 1
    assert_equal(algorithm.checkpoint(), final(tiny(rounds=3), 1, start))
    algorithm.stop()


@pytest.mark.parametrize("which", LEARNERS)
def test_a_learner_killed_before_the_first_round(which: str) -> None:
    group_of, with_learner = LEARNERS[which]
    algorithm = with_learner(tiny()).build_algo()
    os.kill(pids_of(group_of(algorithm))[0], signal.SIGKILL)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert algorithm.report.figures["health/learner_restarts"] == 1
    assert_equal(algorithm.checkpoint(), undisturbed("seqgan"))
    algorithm.stop()


def test_a_learner_that_dies_while_it_gets_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no state yet to go on from; the nets that a seed makes are the same again."""
    marker = tmp_path / "killed"

    def set_training_data(self: SeqGANLearner, real_NT: object) -> None:
        if not marker.exists():
            marker.touch()
            kill_self()
        SeqGANLearner.set_training_data(self, real_NT)

    dying = type("Dying", (SeqGANLearner,), {"set_training_data": set_training_data})
    monkeypatch.setattr(SeqGANConfig, "policy_learner_class", dying)
    algorithm = trained(tiny().learners(num_learners=1))
    assert marker.exists() and algorithm.report.figures["health/learner_restarts"] == 1
    assert_equal(algorithm.checkpoint(), undisturbed("seqgan"))
    algorithm.stop()


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


def test_whole_rounds_make_up_for_new_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two whole rounds here: lost after two rounds again and again is no more than one at a time."""
    monkeypatch.setattr(recovery, "_ROUNDS_THAT_MAKE_UP", 2)
    config = tiny(rounds=3).learners(num_learners=1)
    config.max_learner_restarts = 1
    algorithm = config.build_algo()
    for expected in (1, 2):
        os.kill(pids_of(algorithm.learner_group)[0], signal.SIGKILL)
        algorithm.train(), algorithm.train()
        assert algorithm.report.figures["health/learner_restarts"] == expected
    os.kill(pids_of(algorithm.learner_group)[0], signal.SIGKILL)
    algorithm.train()
    os.kill(pids_of(algorithm.learner_group)[0], signal.SIGKILL)
    with pytest.raises(WorkerError, match="max_learner_restarts = 1"):
        algorithm.train()
    algorithm.stop()


def test_learners_that_cannot_be_built_again_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their constructor raises from the second time on: a bounded number of tries, each later than the one before."""
    tries, delays = tmp_path / "tries", []

    def build_optimizers(self: SeqGANLearner) -> object:
        with tries.open("a") as file:
            file.write("x")
        if tries.stat().st_size > 1:
            raise ZeroDivisionError("the nets of a test")
        return SeqGANLearner.build_optimizers(self)

    dying = type("Crashing", (SeqGANLearner,), {"build_optimizers": build_optimizers})
    monkeypatch.setattr(SeqGANConfig, "policy_learner_class", dying)
    monkeypatch.setattr(recovery, "time", SimpleNamespace(sleep=delays.append))
    config = tiny().learners(num_learners=1)
    config.max_learner_restarts = 3
    algorithm = trained(config, 1)
    os.kill(pids_of(algorithm.learner_group)[0], signal.SIGKILL)
    with pytest.raises(
        WorkerError, match=r"did not start again: .*the nets of a test\. That is one more than"
    ) as error:
        algorithm.train()
    assert "in build_optimizers" in str(error.value), "the traceback of the last one"
    assert tries.stat().st_size == 4 and delays == [1.0, 2.0, 4.0]
    algorithm.stop()


def test_a_learner_that_hangs_while_it_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = tmp_path / "tries"

    def build_optimizers(self: SeqGANLearner) -> object:
        with tries.open("a") as file:
            file.write("x")
        if tries.stat().st_size == 2:
            hang()
        return SeqGANLearner.build_optimizers(self)

    monkeypatch.setattr(
        SeqGANConfig, "policy_learner_class", type("Hanging", (SeqGANLearner,), {"build_optimizers": build_optimizers})
    )
    algorithm = trained(tiny().learners(num_learners=1), 1)
    monkeypatch.setattr(resources, "START_SECONDS", 15.0)
    os.kill(pids_of(algorithm.learner_group)[0], signal.SIGKILL)
    started = time.monotonic()
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert time.monotonic() - started < 150 and algorithm.report.figures["health/learner_restarts"] == 2
    assert_equal(algorithm.checkpoint(), undisturbed("seqgan"))
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
        marker = tmp_path / "killed"
        on_learners(group_of(algorithm), lambda learner: once_before(learner, "fit", kill_self, marker), which)
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
