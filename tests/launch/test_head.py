"""The head of a cluster dies under a run: exit code 6 within a minute, and the last checkpoint is whole."""

import os
import signal
import threading
import time

import pytest

from rlgan.checkpoint import latest_checkpoint
from rlgan.errors import ClusterError
from rlgan.launch import ray_session
from tests.launch.processes import alive, children_named, cluster_head, command_of, descendants
from tests.launch.tiny_runs import TINY_RUNS

IMPATIENT = "from rlgan.launch import ray_session; ray_session._WATCH_SECONDS = 1.0"
"""Before a command: the head is asked every second, and given up after five."""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("system", "workers", "prelude", "patience"),
    [
        ("seqgan", "", "", 60), ("seqgan", "--num-env-runners 1", "", 60),
        ("maskgan", "--num-env-runners 1", IMPATIENT, 25), ("bgan", "--num-env-runners 1", IMPATIENT, 25),
        ("began", "--num-learners 1", IMPATIENT, 25), ("ppgn", "--num-learners 1", IMPATIENT, 25),
    ],
    ids=["seqgan alone", "seqgan", "maskgan", "bgan", "began", "ppgn"],
)  # fmt: skip
def test_the_head_dies(system, workers, prelude, patience, rlgan_process, tmp_path):
    """SeqGAN with the patience of a real run and of Ray's nodes, the others with less: that saves a minute each."""
    with cluster_head(patience) as (head, address):
        (gcs,) = children_named(head.pid, "gcs_server")
        process = rlgan_process(
            "train", system, *TINY_RUNS[system], *workers.split(), "--rounds", "100000", "--checkpoint-every", "5",
            "--address", address, "--run-dir", "run", prelude=prelude,
        )  # fmt: skip
        for line in process.stdout:
            if line.startswith("step 1") and int(line.split()[1].split("/")[0]) > 10:
                break
        names = ("Runner", "_WrappedExecutable")  # runners and learners; idle workers and agents are the cluster's
        ours = {one for one in descendants(head.pid) if any(name in command_of(one[0]) for name in names)}
        assert bool(ours) is bool(workers)
        os.kill(gcs, signal.SIGKILL)
        started = time.monotonic()
        out, err = process.communicate(timeout=120)
        assert process.returncode == 6 and time.monotonic() - started < 60, (process.returncode, out[-500:], err)
        assert err.count("\n") == 1 and f"--address {address}: the head of the cluster does not answer any more" in err
        assert "--resume auto" in err
        assert latest_checkpoint(tmp_path / "run" / "checkpoints").step >= 5
        while any(map(alive, ours)) and time.monotonic() - started < 90:
            time.sleep(0.5)
        assert not any(map(alive, ours)), "no orphans of ours"
        head.kill()


def test_a_head_that_is_missed_for_a_moment_is_forgiven(monkeypatch):
    answers = iter([True, False, False, True, False, False, False])
    ended = []

    def ask(address, seconds):
        if not next(answers):
            raise ClusterError("refused")

    monkeypatch.setattr(ray_session, "require_listener", ask)
    monkeypatch.setattr(ray_session, "_WATCH_SECONDS", 0.0)
    ray_session.watch_head("h:1", threading.Event(), lambda: ended.append(1), misses=3)
    assert ended == [1] and next(answers, None) is None


def test_a_run_that_is_over_needs_no_head(monkeypatch):
    monkeypatch.setattr(ray_session, "require_listener", lambda *_: pytest.fail("nobody is asked"))
    is_over = threading.Event()
    is_over.set()
    ray_session.watch_head("h:1", is_over, lambda: pytest.fail("nobody is ended"))
