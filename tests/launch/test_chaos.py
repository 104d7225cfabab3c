"""Long runs: nothing grows in hundreds of rounds; a run whose runners are killed again and again ends as any other."""

import itertools
import os
import random
import signal
import statistics
import time
from pathlib import Path

import pytest

from rlgan.launch.history import History
from tests.launch.processes import children_named, wait_for
from tests.launch.tiny_runs import TINY_RUNS

pytestmark = pytest.mark.slow
STRETCH = 100
"""Rounds at least between two looks at memory."""
MAX_GROWTH = 5.0
"""Kilobytes a round. SeqGAN with a runner has 3.1 in rounds 120 to 370, and 1.5 in rounds 950 to 2,660: it falls."""
KNOWN_GROWTH = {"maskgan": 8.0}
"""The bound of those that have more, we do not know why: MaskGAN with a runner had 4.9 and 6.1 in rounds 114 to 678."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("system", "runner", "rounds_before", "seconds"),
    [("seqgan", "SeqGANRunner", 4, 60), ("maskgan", "FillRunner", 3, 12), ("bgan", "BGANRunner", 0, 12)],
)
def test_chaos(system, runner, rounds_before, seconds, rlgan_process, tmp_path):
    """The schedule of kills is drawn from a seed; the moments at which they fall are not ours."""
    chance = random.Random(20261127)
    words = ["train", system, *TINY_RUNS[system], "--num-env-runners", "2", "--checkpoint-every", "20"]
    process = rlgan_process(*words, "--rounds", "1000000", "--run-dir", "chaos")
    wait_for("adversarial", process)
    started, killed = time.monotonic(), 0
    while (passed := time.monotonic() - started) < seconds or (killed < seconds / 8 and passed < 4 * seconds):
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


def figures_of(driver: int, worker: str) -> dict[str, int]:
    """Kilobytes of their own and open files of the driver and the first of its workers."""
    pids = [driver, *(children_named(driver, f"ray::{worker}")[:1] if worker else [])]
    status = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return {
        "kilobytes": sum(int(text.split("RssAnon:")[1].split()[0]) for text in status),
        "files": sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
    }


def steady_growth(seen: list[dict[str, int]]) -> float:
    """Kilobytes a round, the median over the stretches: a leak is in all of them, a jump of the allocator in one."""
    return statistics.median(
        (later["kilobytes"] - earlier["kilobytes"]) / (later["step"] - earlier["step"])
        for earlier, later in itertools.pairwise(seen)
    )


@pytest.mark.parametrize(("leak", "is_seen"), [(0, False), (2, False), (6, True)])
def test_a_leak_is_told_from_a_jump(leak, is_seen):
    jumps = [{"step": step, "kilobytes": 500_000 + leak * step + 4_000 * (step > 300)} for step in range(100, 600, 110)]
    assert (steady_growth(jumps) > MAX_GROWTH) is is_seen


def stored_bytes(folder: Path) -> int:
    """What STORE_WATCH wrote last; 0 before that."""
    path = folder / "store.txt"
    return int(path.read_text() or 0) if path.exists() else 0


STORE_WATCH = """
import threading, time
from pathlib import Path

def watch():
    import ray
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address
    while True:
        time.sleep(1)
        if ray.is_initialized():
            address = ray.get_runtime_context().gcs_address  # there may be other clusters on this machine
            used = get_memory_info_reply(get_state_from_address(address)).store_stats.object_store_bytes_used
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
    seen: list[dict[str, int]] = []
    for line in process.stdout:
        step = int(line.split()[1].partition("/")[0]) if line.startswith("step ") else 0
        if step >= 100 and (not seen or step >= seen[-1]["step"] + STRETCH):
            seen.append({"step": step, **figures_of(process.pid, worker), "stored": stored_bytes(tmp_path)})
        if len(seen) == 5:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
    grown = {name: seen[-1][name] - seen[0][name] for name in seen[0]}
    assert len(seen) == 5 and any(one["stored"] for one in seen), "the object store was watched"
    bound = KNOWN_GROWTH.get(system, MAX_GROWTH)
    assert steady_growth(seen) < bound, f"kilobytes a round of driver and worker: {seen}"
    assert grown["files"] <= 4, f"open files: {seen}"
    assert grown["stored"] / grown["step"] < 1000, f"bytes in the object store; one net of a round has 10,000: {seen}"
