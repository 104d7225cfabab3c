"""The folder of a private Ray: what killed runs have left is removed, and nothing that is anybody else's."""

import os
from pathlib import Path

import filelock
import pytest

from rlgan.launch import ray_folder as module
from rlgan.launch.ray_folder import ray_folder

MARKER = "rlgan-private-ray.lock"


def left_by_a_killed_run(folder: Path) -> Path:
    """What there is after SIGKILL."""
    (folder / "session_2026-11-30_05-51-16_123456_77" / "sockets").mkdir(parents=True)
    (folder / "session_latest").symlink_to(folder / "session_2026-11-30_05-51-16_123456_77")
    (folder / "prom_metrics_service_discovery.json").symlink_to(folder / "session_latest" / "prom.json")
    (folder / MARKER).touch()
    return folder


def test_what_a_killed_run_has_left_is_removed(tmp_path, capsys):
    left, alive = (left_by_a_killed_run(tmp_path / f".rlgan-ray-{name}") for name in ("left", "alive"))
    with filelock.FileLock(alive / MARKER), ray_folder(tmp_path) as folder:
        assert folder.parent == tmp_path and (folder / MARKER).is_file()
        assert {path.name for path in tmp_path.iterdir()} == {alive.name, folder.name}
        (folder / "session_1").mkdir()
        with ray_folder(tmp_path):
            assert folder.is_dir(), "one that is in use"
    assert not folder.exists() and alive.is_dir()
    assert f"rlgan: removed {left}, which a run that was killed had left" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["rlgan-finished", ".rlgan-ray-finished", "rlgan-ray-1"])
def test_run_directories_are_never_removed(name, tmp_path):
    """`--run-dir /tmp/rlgan-demo`, whose lock file is free when its run has ended."""
    run = tmp_path / name
    (run / "checkpoints" / "step-000007").mkdir(parents=True)
    for file in ("config.yaml", "history.jsonl", "run.lock", MARKER):
        (run / file).touch()
    before = sorted(run.rglob("*"))
    with ray_folder(tmp_path):
        pass
    assert sorted(run.rglob("*")) == before


def test_what_is_another_users_stays(tmp_path, monkeypatch):
    left = left_by_a_killed_run(tmp_path / ".rlgan-ray-left")
    monkeypatch.setattr(module.os, "getuid", lambda: os.geteuid() + 1)
    with ray_folder(tmp_path):
        pass
    assert left.is_dir()


def test_a_link_to_another_folder_is_not_followed(tmp_path, capsys):
    left_by_a_killed_run(tmp_path / "mine")
    (tmp_path / ".rlgan-ray-planted").symlink_to(tmp_path / "mine")
    before = sorted(tmp_path.rglob("*"))
    with ray_folder(tmp_path):
        pass
    assert sorted(tmp_path.rglob("*")) == before and "removed" not in capsys.readouterr().out
