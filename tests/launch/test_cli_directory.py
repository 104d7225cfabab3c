"""The run directory: refused before Ray starts when it cannot be used, locked while it is, never written over."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import rlgan as rlgan_package
from rlgan.errors import ConfigError
from rlgan.launch.history import History, HistoryEntry
from rlgan.launch.run_directory import RunDirectory, fresh_path

pytestmark = pytest.mark.usefixtures("no_ray")

HOLD = """
import sys, time
from pathlib import Path
from rlgan.launch.run_directory import RunDirectory
with RunDirectory(Path(sys.argv[1]), may_hold_a_run=True):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that has locked tmp_path/run."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def refused(said, message) -> None:
    """One line on standard error, exit code 2, no Ray."""
    assert said.code == 2, said
    assert said.err.startswith("rlgan: ") and said.err.count("\n") == 1
    assert message in said.err


def test_a_file_in_the_way(rlgan, tmp_path):
    path = tmp_path / "run"
    path.write_text("mine")
    refused(rlgan("train", "seqgan", "--run-dir", path), f"{path}: cannot be written")
    assert path.read_text() == "mine"


def test_a_file_above_it(rlgan, tmp_path):
    (tmp_path / "file").touch()
    refused(rlgan("train", "seqgan", "--run-dir", tmp_path / "file" / "run"), "cannot be written (Not a directory)")


def test_a_read_only_place(rlgan):
    refused(rlgan("train", "seqgan", "--run-dir", "/proc/rlgan"), "/proc/rlgan: cannot be written")


def test_a_second_run_in_one_directory(rlgan, tmp_path, holder):
    path = tmp_path / "run"
    said = rlgan("train", "seqgan", "--run-dir", path)
    refused(said, f"{path}: in use by process {holder.pid} on {socket.gethostname()}")
    assert json.loads((path / "run.lock.json").read_text())["pid"] == holder.pid, "the holder is still named"


def test_the_lock_of_a_killed_run_is_free(tmp_path, holder):
    holder.kill()
    holder.wait()
    with RunDirectory(tmp_path / "run", may_hold_a_run=True):
        assert json.loads((tmp_path / "run" / "run.lock.json").read_text())["pid"] == os.getpid()


def test_a_run_is_not_written_over(rlgan, tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    History(path).append(HistoryEntry(1, "likelihood", "round", 0.1, {}))
    refused(rlgan("train", "seqgan", "--run-dir", path), f"{path}: holds a run already. Add --resume auto")
    assert len(History(path).read()) == 1
    with pytest.raises(ConfigError, match="holds a run"), RunDirectory(path, may_hold_a_run=False):
        pass
    with RunDirectory(path, may_hold_a_run=True):
        pass  # the refusals have left no lock


def test_samples_after_a_step_are_forgotten(tmp_path):
    with RunDirectory(tmp_path, may_hold_a_run=True) as directory:
        for step in (5, 10, 1_000_000):
            directory.write_samples(step, ["one", "two\nlines"])
        (tmp_path / "samples" / "step-notes.txt").touch()
        directory.forget_samples_after(5)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["step-000005.txt", "step-notes.txt"]
    assert (tmp_path / "samples" / "step-000005.txt").read_text() == "one\ntwo lines\n"


def test_a_disk_that_refuses_samples_costs_one_warning(tmp_path, caplog):
    (tmp_path / "samples").touch()
    directory = RunDirectory(tmp_path, may_hold_a_run=True)
    directory.write_samples(1, ["a"])
    directory.write_samples(2, ["b"])
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_config_is_written_whole(tmp_path):
    RunDirectory(tmp_path, may_hold_a_run=True).write_config("seed: 1\n")
    assert (tmp_path / "config.yaml").read_text() == "seed: 1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    (tmp_path / ".config.yaml.tmp").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        RunDirectory(tmp_path, may_hold_a_run=True).write_config("seed: 2\n")


def test_two_fresh_directories_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = fresh_path("seqgan")
    first.mkdir(parents=True)
    assert fresh_path("seqgan") != first and first.parent.name == "runs" and first.name.startswith("seqgan-2")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (Path(rlgan_package.__file__).parent / "runs" / "a", "lies in the package, which is uploaded with every job"),
        (Path("/tmp/ray/session_1/runtime_resources/working_dir_files/_ray_pkg_1/runs/a"), "outlives the job"),
    ],
    ids=["in the package", "in the upload of a job"],
)
def test_a_directory_that_would_be_lost_or_sent_along(path, message, rlgan, tiny_words):
    said = rlgan("train", "seqgan", *tiny_words, "--run-dir", path)
    refused(said, message)
    assert not path.exists()
