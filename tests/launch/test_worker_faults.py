"""Workers that cannot be brought back end the command: exit code 7 in time, one line, the last checkpoint whole."""

import os
import signal
import time

import pytest

from rlgan.checkpoint import latest_checkpoint
from rlgan.launch import run_config
from rlgan.policies import BEGANConfig, BGANConfig, MaskGANConfig, PPGNConfig, SeqGANConfig
from tests.launch.tiny_runs import TINY_RUNS

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]
CONFIGS = {
    "seqgan": SeqGANConfig, "maskgan": MaskGANConfig, "bgan": BGANConfig, "began": BEGANConfig, "ppgn": PPGNConfig
}  # fmt: skip
LAST_WORK = {
    "seqgan": "policy_step", "maskgan": "policy_step", "bgan": "policy_step", "began": "adversarial_round",
    "ppgn": "denoiser_round",
}  # fmt: skip
"""What a learner does in the last phase, or late."""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("system", ["seqgan", "maskgan", "bgan"])
def test_runners_that_cannot_be_built(system, rlgan, tmp_path, monkeypatch):
    runner_class = CONFIGS[system].runner_class

    def build_nets(self):
        if self.worker_index:
            raise ZeroDivisionError("the nets of a test")
        return runner_class.build_nets(self)

    monkeypatch.setattr(CONFIGS[system], "runner_class", type("Crashing", (runner_class,), {"build_nets": build_nets}))
    started = time.monotonic()
    said = rlgan("train", system, *TINY_RUNS[system], "--num-env-runners", "2", "--run-dir", tmp_path / "run")
    assert said.code == 7 and time.monotonic() - started < 120
    assert said.err.count("\n") == 1 and "the rollout runners did not start" in said.err
    assert "ZeroDivisionError: the nets of a test" in said.err
    trace = (tmp_path / "run" / "error.log").read_text()
    assert "Traceback" in trace and "in build_nets" in trace


@pytest.mark.timeout(180)
@pytest.mark.parametrize("system", CONFIGS)
def test_learners_that_die_again_and_again(system, rlgan, tmp_path, monkeypatch):
    learner_class = CONFIGS[system].policy_learner_class

    def last_words(self, *_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    dying = type("Dying", (learner_class,), {LAST_WORK[system]: last_words})
    monkeypatch.setattr(CONFIGS[system], "policy_learner_class", dying)
    words = [*TINY_RUNS[system], "--num-learners", "1", "--checkpoint-every", "1", "--run-dir", tmp_path / "run"]
    said = rlgan("train", system, *words, "--max-learner-restarts", "1")
    assert said.code == 7 and said.err.count("\n") == 1, said.err
    assert "one more than --max-learner-restarts = 1. The last checkpoint is intact." in said.err
    if system != "bgan":  # which has no other phase before
        assert latest_checkpoint(tmp_path / "run" / "checkpoints").step >= 1
    monkeypatch.undo()
    said = rlgan("train", system, *words, "--resume", "auto")
    assert said.code == 0, said.err


def test_workers_that_nothing_has_room_for_any_more(rlgan, tiny_words, tmp_path, monkeypatch):
    """Four CPUs were there when it was asked; they are not there, or taken, when the workers start."""
    monkeypatch.setattr(run_config, "PATIENCE_SECONDS", 2.0)
    words = ("--num-env-runners", "4", "--num-learners", "1")
    said = rlgan("train", "seqgan", *tiny_words, *words, "--run-dir", tmp_path / "run")
    assert said.code == 6 and said.err.count("\n") == 1, said
    assert "no room within 2 s: the run asks for 5 CPUs, the cluster has 4 CPUs" in said.err
