"""A disk that is full in the middle of a run, as the kernel refuses it: files may not grow beyond a few kilobytes."""

import pytest

from rlgan.checkpoint import latest_checkpoint, list_checkpoints
from rlgan.launch.history import History
from tests.launch.tiny_runs import TINY_RUNS

FULL_AFTER_STEP_4 = """
import resource
from rlgan.launch.training_run import TrainingRun
real = TrainingRun._round
def run(self):
    if self.algorithm.step_count == 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    real(self)
TrainingRun._round = run
"""


@pytest.mark.slow
def test_a_disk_that_is_full_from_the_fifth_round_on(rlgan_process, tmp_path):
    words = [*TINY_RUNS["seqgan"], "--rounds", "60", "--checkpoint-every", "1", "--run-dir", "run"]
    process = rlgan_process("train", "seqgan", *words, prelude=FULL_AFTER_STEP_4)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 5 and err.count("\n") == 1 and "File too large" in err, (out, err)
    assert "(1 of 3 tries)" in out and "(2 of 3 tries)" in out
    warnings = [line for line in out.splitlines() if line.startswith("rlgan: warning")]
    assert sum("tensorboard" in line.lower() for line in warnings) == 1, warnings
    assert [entry for entry in History(tmp_path / "run").read() if entry.step >= 5], "training went on"
    checkpoints = tmp_path / "run" / "checkpoints"
    assert latest_checkpoint(checkpoints).step == 4 and len(list_checkpoints(checkpoints)) >= 1
    assert not list(checkpoints.glob(".tmp-*"))
