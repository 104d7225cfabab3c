"""A directory of checkpoints: what is kept, what is replaced, what is found again."""

import shutil
import threading
from pathlib import Path

import filelock
import pytest
import torch

from rlgan.checkpoint import (
    Checkpoint,
    directory,
    latest_checkpoint,
    list_checkpoints,
    read_checkpoint,
    save_checkpoint,
)
from rlgan.errors import CheckpointError


def make_checkpoint(step: int, version: str = "first") -> Checkpoint:
    return Checkpoint(
        step, {"net": {"weight": torch.full((4,), float(step))}}, {"step": step, "version": version}, "a: 1\n"
    )


def names(where: Path) -> list[str]:
    return sorted(path.name for path in where.iterdir() if path.name != ".lock")


def damage(folder: Path) -> None:
    (folder / "state.json").write_text("{}")


def test_an_empty_or_missing_directory_has_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "missing") is None and list_checkpoints(tmp_path / "missing") == []


def test_newest_two_are_kept_and_latest_names_the_last(tmp_path: Path) -> None:
    for step in (8, 9, 10, 120):
        assert save_checkpoint(tmp_path / "runs" / "a", make_checkpoint(step)).name == f"step-{step:06d}"
    assert names(tmp_path / "runs" / "a") == ["LATEST", "step-000010", "step-000120"]
    assert (tmp_path / "runs" / "a" / "LATEST").read_text() == "step-000120\n"
    found = latest_checkpoint(tmp_path / "runs" / "a")
    assert found is not None and found.step == 120


def test_order_is_by_number_also_beyond_six_digits(tmp_path: Path) -> None:
    for step in (999_999, 1_000_000):
        save_checkpoint(tmp_path, make_checkpoint(step))
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-1000000", "step-999999"]


def test_damaged_ones_do_not_count_as_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, make_checkpoint(step), keep=3)
    damage(tmp_path / "step-000003")
    save_checkpoint(tmp_path, make_checkpoint(4), keep=2)
    assert names(tmp_path) == ["LATEST", "step-000002", "step-000003", "step-000004"]
    save_checkpoint(tmp_path, make_checkpoint(5), keep=2)
    assert names(tmp_path) == ["LATEST", "step-000004", "step-000005"]


def test_the_one_just_written_is_kept_below_later_steps(tmp_path: Path) -> None:
    for step in (5, 10, 20):
        save_checkpoint(tmp_path, make_checkpoint(step), keep=3)
    save_checkpoint(tmp_path, make_checkpoint(7), keep=2)
    assert names(tmp_path) == ["LATEST", "step-000007", "step-000020"]


def test_keep_below_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep must be at least 2"):
        save_checkpoint(tmp_path, make_checkpoint(1), keep=1)


def test_the_same_step_is_replaced(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make_checkpoint(1, "first"))
    save_checkpoint(tmp_path, make_checkpoint(1, "second"))
    assert names(tmp_path) == ["LATEST", "step-000001"]
    assert read_checkpoint(tmp_path / "step-000001").state["version"] == "second"


def test_a_damaged_one_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make_checkpoint(1))
    damage(tmp_path / "step-000001")
    save_checkpoint(tmp_path, make_checkpoint(1, "second"))
    assert read_checkpoint(tmp_path / "step-000001").state["version"] == "second"


@pytest.mark.parametrize("new", ["whole", "damaged", "missing"])
def test_a_replacement_that_was_cut_short_is_settled(tmp_path: Path, new: str) -> None:
    save_checkpoint(tmp_path, make_checkpoint(1, "old"))
    (tmp_path / "step-000001").rename(tmp_path / "step-000001.replaced")
    if new != "missing":
        save_checkpoint(tmp_path / "elsewhere", make_checkpoint(1, "new"))
        shutil.move(tmp_path / "elsewhere" / "step-000001", tmp_path / "step-000001")
        shutil.rmtree(tmp_path / "elsewhere")
    if new == "damaged":
        damage(tmp_path / "step-000001")
    expected = "new" if new == "whole" else "old"
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.state["version"] == expected
    save_checkpoint(tmp_path, make_checkpoint(2))
    assert names(tmp_path) == ["LATEST", "step-000001", "step-000002"]
    assert read_checkpoint(tmp_path / "step-000001").state["version"] == expected


def test_leftovers_of_a_dead_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".tmp-step-000009").mkdir()
    (tmp_path / ".tmp-step-000009" / "state.json").write_text("{")
    (tmp_path / ".tmp-LATEST").write_text("")
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / ".tmp-link").symlink_to(precious)
    (tmp_path / "events.out").write_text("not ours")
    save_checkpoint(tmp_path, make_checkpoint(1))
    assert names(tmp_path) == ["LATEST", "events.out", "precious", "step-000001"]


def test_latest_is_only_advice(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make_checkpoint(1))
    (tmp_path / "LATEST").write_text("../../etc")
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.step == 1


def test_fallback_over_several_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, make_checkpoint(step), keep=3)
    damage(tmp_path / "step-000003")
    (tmp_path / "step-000002" / "manifest.json").unlink()
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.step == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "step-000003/state.json" in caplog.text and "step-000002/manifest.json: is missing" in caplog.text


def test_none_usable_is_an_error_and_not_a_fresh_start(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, make_checkpoint(1))
    damage(tmp_path / "step-000001")
    with pytest.raises(CheckpointError, match=r"none of 1 checkpoints is usable.*state\.json"):
        latest_checkpoint(tmp_path)


def test_another_writer_is_waited_for_with_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_LOCK_SECONDS", 0.1)
    lock = filelock.FileLock(tmp_path / ".lock")
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            release.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(20)
        with pytest.raises(CheckpointError, match="another process has been writing here"):
            save_checkpoint(tmp_path, make_checkpoint(1))
    finally:
        release.set()
        thread.join()
    assert save_checkpoint(tmp_path, make_checkpoint(1)).is_dir()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        CheckpointError, match=r"file/it/step-000001: cannot save the checkpoint .*Is the directory writable"
    ):
        save_checkpoint(tmp_path / "file" / "it", make_checkpoint(1))
