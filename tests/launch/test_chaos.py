"""Long runs: nothing grows in hundreds of rounds; a run whose runners are killed again and again ends as any other."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from rlgan.launch.history import History
from tests.launch.processes import children_named, wait_for

TRAIN = ("train", "seqgan")
pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
def test_chaos(rlgan_process, tiny_words, tmp_path):
    """The schedule of kills is drawn from a seed; the moments at which they fall are not ours."""
    chance = random.Random(20261127)
    words = [*TRAIN, *tiny_words, "--num-env-runners", "2", "--checkpoint-every", "20", "--eval-every", "0"]
    process = rlgan_process(*words, "--rounds", "1000000", "--run-dir", "chaos")
    wait_for("adversarial", process)
    started, killed = time.monotonic(), 0
    while time.monotonic() - started < 60:
        time.sleep(3 * (0.5 + chance.random()))
        runners = children_named(process.pid, "ray::SeqGANRunner")
        if runners:
            os.kill(chance.choice(sorted(runners)), signal.SIGKILL)
            killed += 1
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 143 and killed >= 5, (killed, out[-2000:], err)
    done = History(tmp_path / "chaos").read()[-1].step
    rounds = done - 4 + 20  # 4 rounds come before the adversarial ones
    process = rlgan_process(*words, "--rounds", rounds, "--run-dir", "chaos", "--resume", "auto")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out[-2000:], err)
    steps = [entry.step for entry in History(tmp_path / "chaos").read() if entry.kind == "round"]
    assert steps == list(range(1, rounds + 5))
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


@pytest.mark.timeout(600)
def test_soak(rlgan_process, tiny_words):
    process = rlgan_process(
        *TRAIN, *tiny_words, "--num-env-runners", "1", "--rounds", "1000000", "--eval-every", "0", "--run-dir", "soak",
        "--checkpoint-every", "25",
    )  # fmt: skip
    seen: list[tuple[int, int, int]] = []
    for line in process.stdout:
        step = int(line.split()[1].partition("/")[0]) if line.startswith("step ") else 0
        if "adversarial" in line and (not seen or step >= seen[-1][0] + 50):
            runner = children_named(process.pid, "ray::SeqGANRunner")
            pairs = [figures_of(pid) for pid in (process.pid, *runner[:1])]
            seen.append((step, sum(one for one, _ in pairs), sum(two for _, two in pairs)))
        if seen and seen[-1][0] >= seen[0][0] + 400:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
    settled = [one for one in seen if one[0] >= seen[0][0] + 100]
    assert settled[-1][0] - settled[0][0] >= 200
    grown = (settled[-1][1] - settled[0][1]) / (settled[-1][0] - settled[0][0])
    assert grown < 20, f"kilobytes a round: {seen}"
    assert settled[-1][2] - settled[0][2] <= 4, f"open files: {seen}"
