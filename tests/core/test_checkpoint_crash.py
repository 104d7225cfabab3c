"""Writers that are killed or run out of disk (RELIABILITY R12 and R15). Run as a script, this file is such a writer."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rlgan.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    list_checkpoints,
    read_checkpoint,
    save_checkpoint,
    write_checkpoint,
)
from rlgan.errors import CheckpointError

WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}
NUM_ELEMENTS = 1_000


def make_checkpoint(step: int, version: int) -> Checkpoint:
    """Every file of it says step and version."""
    both = torch.tensor([step, version]).repeat(NUM_ELEMENTS)
    return Checkpoint(
        step, {"a": {"x": both}, "b": {"x": both}}, {"both": [step, version]}, f"both: [{step}, {version}]\n"
    )


def versions_of(checkpoint: Checkpoint) -> set[tuple[int, int]]:
    """What the files of a checkpoint say; one element unless they are of different checkpoints."""
    rows = torch.cat([named["x"].view(-1, 2) for named in checkpoint.tensors.values()]).unique(dim=0).tolist()
    step, version = (int(number) for number in checkpoint.config_yaml[7:-2].split(","))
    return {(checkpoint.step, version), (step, version), tuple(checkpoint.state["both"]), *(tuple(row) for row in rows)}


# --- the writer -----------------------------------------------------------------------------------------------------


def fork_writer(where: Path, crash_at: int | None) -> int:
    """Starts a process that replaces step 2, then saves 3, 4, ...; it kills itself at file operation `crash_at`."""
    report = os.open(where.with_suffix(".done"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    pid = os.fork()
    if pid:
        os.close(report)
        return pid
    if crash_at is not None:
        _crash_at(crash_at)
    version = 1
    for step in [2, 3] if crash_at is not None else [2, *range(3, 100_000)]:
        save_checkpoint(where, make_checkpoint(step, version))
        os.write(report, f"{step} {version}\n".encode())
    os._exit(0)


def _crash_at(number: int) -> None:
    """SIGKILL just before the `number`-th opening, renaming, making, removing or fsync of anything."""
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = lambda _: count()  # what is in the page cache outlives the process, and a real one is slow
    sys.addaudithook(lambda event, _: count() if event in WATCHED else None)


def crash_everywhere(base: Path, seed: int, num_random: int) -> None:
    """One killed writer for every file operation, then some at random times; prints how many of each."""
    save_checkpoint(base / "start", make_checkpoint(1, 0))
    save_checkpoint(base / "start", make_checkpoint(2, 0))
    num_points = 0
    while True:
        num_points += 1
        where = base / f"point-{num_points:03d}"
        shutil.copytree(base / "start", where)
        if os.waitpid(fork_writer(where, num_points), 0)[1] == 0:
            break
    generator = random.Random(seed)
    for index in range(num_random):
        where = base / f"random-{index:03d}"
        shutil.copytree(base / "start", where)
        pid = fork_writer(where, None)
        time.sleep(generator.uniform(0.0, 0.15))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(json.dumps({"points": num_points - 1, "random": num_random}))


def run_out_of_disk(base: Path) -> None:
    """Saves one checkpoint, then two that do not fit, then one again; prints what was raised."""
    save_checkpoint(base / "runs", make_checkpoint(1, 0))
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (NUM_ELEMENTS, hard))
    raised = []
    for save in (save_checkpoint, write_checkpoint):
        for step in (1, 2):
            try:
                save(base / ("runs" if save is save_checkpoint else f"tune-{step}"), make_checkpoint(step, 1))
            except CheckpointError as error:
                raised.append(str(error))
    left = sorted(str(path.relative_to(base)) for path in base.rglob("*"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    save_checkpoint(base / "runs", make_checkpoint(2, 2))
    print(json.dumps({"raised": raised, "left": left}))


# --- the tests ------------------------------------------------------------------------------------------------------


def run_script(*arguments: str) -> dict:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_survivor(where: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A whole checkpoint is found, none older than the writer reported, and the next writer cleans up."""
    reported = [tuple(map(int, line.split())) for line in where.with_suffix(".done").read_text().splitlines()]
    caplog.clear()
    found = latest_checkpoint(where)
    assert found is not None and caplog.text == "", where
    assert len(versions_of(found)) == 1, where
    assert versions_of(found).pop() >= (reported[-1] if reported else (2, 0)), where
    for folder in list_checkpoints(where):
        assert len(versions_of(read_checkpoint(folder))) == 1, folder
    assert len(list_checkpoints(where)) >= 2, where
    save_checkpoint(where, make_checkpoint(found.step + 1, 5))
    left = sorted(path.name for path in where.iterdir())
    assert left == [".lock", "LATEST", f"step-{found.step:06d}", f"step-{found.step + 1:06d}"], where


def check_kills(base: Path, caplog: pytest.LogCaptureFixture, num_random: int, seed: int) -> None:
    """Runs the writers, then looks at what each has left."""
    counts = run_script("crash", str(base), str(seed), str(num_random))
    assert counts["points"] > 40 and counts["random"] == num_random
    survivors = [*base.glob("point-[0-9]*[0-9]"), *base.glob("random-[0-9]*[0-9]")]
    assert len(survivors) == counts["points"] + 1 + num_random
    for where in sorted(survivors):
        check_survivor(where, caplog)


def test_a_writer_killed_at_every_file_operation_leaves_a_whole_checkpoint(tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # only of this process
    check_kills(tmp_path, caplog, num_random=8, seed=1)


@pytest.mark.slow
def test_thirty_more_kills_at_random_times(tmp_path, caplog) -> None:
    seed = time.time_ns() % 2**31
    print(f"seed {seed}")
    check_kills(tmp_path, caplog, num_random=30, seed=seed)


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    result = run_script("disk", str(tmp_path))
    assert len(result["raised"]) == 4
    assert all("File too large" in message and "Free space" in message for message in result["raised"])
    expected = [f"runs/step-000001/{name}" for name in ("a.safetensors", "b.safetensors", "config.yaml")]
    expected += ["runs", "runs/.lock", "runs/LATEST", "runs/step-000001", "tune-1", "tune-2"]
    expected += [f"runs/step-000001/{name}" for name in ("manifest.json", "state.json")]
    assert result["left"] == sorted(expected)
    assert versions_of(read_checkpoint(tmp_path / "runs" / "step-000001")) == {(1, 0)}
    assert versions_of(read_checkpoint(tmp_path / "runs" / "step-000002")) == {(2, 2)}


if __name__ == "__main__":
    if sys.argv[1] == "crash":
        crash_everywhere(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        run_out_of_disk(Path(sys.argv[2]))
