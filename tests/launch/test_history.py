"""The history survives what a killed writer leaves, and a resume cuts it where the checkpoint was."""

import logging
import math
from pathlib import Path

import pytest

from rlgan.errors import ConfigError
from rlgan.launch.history import History, HistoryEntry


def entry(step, kind="round", **figures):
    return HistoryEntry(step, "adversarial", kind, 0.5, figures or {"gen/loss": 1.5})


def test_what_is_appended_is_read_back(tmp_path):
    history = History(tmp_path)
    entries = [entry(1), entry(1, "eval", **{"gen/nll_oracle": 9.25}), entry(2)]
    for one in entries:
        history.append(one)
    assert History(tmp_path).read() == entries


def test_no_file_is_an_empty_history(tmp_path):
    assert History(tmp_path).read() == []
    History(tmp_path).truncate(3)
    assert not (tmp_path / "history.jsonl").exists()


@pytest.mark.parametrize("cut", [1, 20, 50])
def test_torn_last_line_is_passed_over_and_the_next_entry_is_whole(tmp_path, cut):
    history = History(tmp_path)
    history.append(entry(1))
    history.append(entry(2))
    data = history.path.read_bytes()
    history.path.write_bytes(data[:-cut])
    expected = [entry(1)] if cut > 1 else [entry(1), entry(2)]
    assert history.read() == expected
    history.append(entry(3))
    assert history.read() == [*expected, entry(3)]


@pytest.mark.parametrize(
    "line",
    [b"[]", b"null", b'{"step": 1}', b"\xff\xfe", b'{"step":1,"phase":"a","kind":"x","seconds":1,"figures":{}}'],
)
def test_a_line_that_is_no_entry_is_passed_over(tmp_path, line):
    history = History(tmp_path)
    history.path.write_bytes(line + b"\n")
    history.append(entry(2))
    assert history.read() == [entry(2)]


def test_numbers_that_json_lacks_come_back_as_nan(tmp_path):
    history = History(tmp_path)
    history.append(entry(1, **{"a": math.nan, "b": math.inf, "c": 2.0}))
    figures = history.read()[0].figures
    assert math.isnan(figures["a"]) and math.isnan(figures["b"]) and figures["c"] == 2.0
    assert b"NaN" not in history.path.read_bytes() and b"Infinity" not in history.path.read_bytes()


def test_truncate_keeps_the_step_itself_and_drops_later_ones(tmp_path):
    history = History(tmp_path)
    for step in (1, 2, 2, 3):
        history.append(entry(step))
    with history.path.open("ab") as file:
        file.write(b'{"step": 4, "ph')
    history.truncate(2)
    assert [one.step for one in history.read()] == [1, 2, 2]
    history.append(entry(3))
    assert [one.step for one in history.read()] == [1, 2, 2, 3]


def test_a_full_disk_on_resume_is_a_mistake_of_one_line_and_loses_nothing(tmp_path, monkeypatch):
    history = History(tmp_path)
    for step in (1, 2, 3):
        history.append(entry(step))

    def refuse(path, data):
        with path.open("wb") as file:
            file.write(data[:5])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(ConfigError, match=r"history\.jsonl: cannot be written \(No space left on device\)\. Make room"):
        history.truncate(1)
    assert [one.step for one in history.read()] == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]


def test_a_disk_that_refuses_costs_one_warning(tmp_path, caplog):
    (tmp_path / "history.jsonl").mkdir()
    history = History(tmp_path)
    with caplog.at_level(logging.WARNING):
        history.append(entry(1))
        history.append(entry(2))
    assert len(caplog.records) == 1 and "cannot be written" in caplog.text
