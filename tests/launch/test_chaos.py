"""Long runs: nothing grows in hundreds of rounds; a run whose runners are killed again and again ends as any other."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from rlgan.launch.history import History
from tests.launch.processes import children_named, wait_for
from tests.launch.tiny_runs import TINY_RUNS

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("system", "runner", "rounds_before", "seconds"),
    [("seqgan", "SeqGANRunner", 4, 60), ("maskgan", "FillRunner", 3, 20), ("bgan", "BGANRunner", 0, 20)],
)
def test_chaos(system, runner, rounds_before, seconds, rlgan_process, tmp_path):
    """The schedule of kills is drawn from a seed; the moments at which they fall are not ours."""
    chance = random.Random(20261127)
    words = ["train", system, *TINY_RUNS[system], "--num-env-runners", "2", "--checkpoint-every", "20"]
    process = rlgan_process(*words, "--rounds", "1000000", "--run-dir", "chaos")
    wait_for("adversarial", process)
    started, killed = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        time.sleep(3 * (0.5 + chance.random()))
        runners = children_named(process.pid, f"ray::{runner}")
        if runners:
            os.kill(chance.choice(sorted(runners)), signal.SIGKILL)
            killed += 1
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 143 and killed >= seconds / 8, (killed, out[-2000:], err)
    done = History(tmp_path / "chaos").read()[-1].step
    assert done > rounds_before + killed, "rounds were done between the kills"
    rounds = done - rounds_before + 20
    process = rlgan_process(*words, "--rounds", rounds, "--run-dir", "chaos", "--resume", "auto")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out[-2000:], err)
    steps = [entry.step for entry in History(tmp_path / "chaos").read() if entry.kind == "round"]
    assert steps == list(range(1, rounds_before + rounds + 1))
    process = rlgan_process(*words, "--rounds", rounds, "--run-dir", "undisturbed")
    assert process.communicate(timeout=400) and process.returncode == 0
    ends = [
        [entry.figures for entry in History(tmp_path / name).read() if entry.kind == "eval"][-1]
        for name in ("chaos", "undisturbed")
    ]
    assert ends[0] == pytest.approx(ends[1], rel=1e-6), "not only within a band: the same"


def figures_of(pid: int) -> tuple[int, int]:
    """Resident kilobytes and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = int(status.split("VmRSS:")[1].split()[0])
    return kilobytes, len(list(Path(f"/proc/{pid}/fd").iterdir()))


STORE_WATCH = """
import threading, time
from pathlib import Path

def watch():
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address
    while True:
        time.sleep(1)
        if ray.is_initialized():
            used = get_memory_info_reply(get_state_from_address()).store_stats.object_store_bytes_used
            Path("store.txt").write_text(str(used))

threading.Thread(target=watch, daemon=True).start()
"""
"""Writes how many bytes Ray's object store holds, every second."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("system", "workers", "worker"),
    [
        ("seqgan", "--num-env-runners 1", "SeqGANRunner"), ("maskgan", "--num-env-runners 1", "FillRunner"),
        ("bgan", "--num-env-runners 1", "BGANRunner"), ("began", "--num-learners 1", "_WrappedExecutable"),
        ("ppgn", "", ""),
    ],
)  # fmt: skip
def test_soak(system, workers, worker, rlgan_process, tmp_path):
    process = rlgan_process(
        "train", system, *TINY_RUNS[system], *workers.split(), "--rounds", "1000000", "--checkpoint-every", "25",
        "--run-dir", "soak", prelude=STORE_WATCH,
    )  # fmt: skip
    seen: list[tuple[int, int, int]] = []
    stored: list[int] = []
    for line in process.stdout:
        step = int(line.split()[1].partition("/")[0]) if line.startswith("step ") else 0
        if step and (not seen or step >= seen[-1][0] + 50):
            pids = children_named(process.pid, f"ray::{worker}")[:1] if worker else []
            pairs = [figures_of(pid) for pid in (process.pid, *pids)]
            seen.append((step, sum(one for one, _ in pairs), sum(two for _, two in pairs)))
            store = tmp_path / "store.txt"
            stored.append(int(store.read_text() or 0) if store.exists() else 0)
        if seen and seen[-1][0] >= seen[0][0] + 450:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
    settled = [one for one in seen if one[0] >= seen[0][0] + 100]
    assert settled[-1][0] - settled[0][0] >= 300
    grown = (settled[-1][1] - settled[0][1]) / (settled[-1][0] - settled[0][0])
    assert grown < 20, f"kilobytes a round: {seen}"
    assert settled[-1][2] - settled[0][2] <= 4, f"open files: {seen}"
    assert stored[2] > 0, "the object store was watched"
    assert max(stored[-2:]) - max(stored[2:4]) < 1e6, f"bytes in the object store: {stored}"
