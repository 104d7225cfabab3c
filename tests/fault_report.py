"""Writes what the fault suite observed as JSON, and renders that as a table: `python tests/fault_report.py FILE...`.

Several files are parts of one suite, such as those of tests/policies and tests/launch, which may run at the same time.
"""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

try:
    from tests.fault_rows import ROWS, rows_of
except ImportError:  # called as a script
    from fault_rows import ROWS, rows_of  # type: ignore[no-redef]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-report", default=None, help="write row, expected, observed, seconds of the faults as JSON"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the scoreboard, before `-m fault` selects."""
    for item in items:
        if rows_of(item.nodeid):
            item.add_marker("fault")
            _observations.collected.add(item.nodeid)


class Observations:
    """What every test of the scoreboard did."""

    def __init__(self) -> None:
        self.collected: set[str] = set()
        self.tests: dict[str, dict[str, Any]] = {}

    def add(self, report: pytest.TestReport) -> None:
        if not rows_of(report.nodeid):
            return
        one = self.tests.setdefault(report.nodeid, {"observed": "not finished", "seconds": 0.0})
        one["seconds"] += report.duration
        if report.when == "call" and one["observed"] == "not finished":
            one["observed"] = report.outcome
        if report.outcome != "passed":
            one["observed"] = report.outcome
            one["message"] = str(report.longrepr).strip().splitlines()[-1][:300] if report.longrepr else ""

    def summary(self) -> dict[str, Any]:
        """One entry a row."""
        rows = []
        for name, row in ROWS.items():
            tests = {address: one for address, one in self.tests.items() if name in rows_of(address)}
            outcomes = {one["observed"] for one in tests.values()}
            are_all = not any(name in rows_of(address) for address in self.collected - self.tests.keys())
            observed = "as expected" if outcomes == {"passed"} and are_all else "in part as expected"
            if outcomes <= {"skipped"}:
                observed = "skipped" if tests else "not run"
            if "failed" in outcomes:
                observed = "failed"
            seconds = round(sum(one["seconds"] for one in tests.values()), 1)
            rows.append(
                {
                    "row": name,
                    "fault": row.fault,
                    "expected": row.expected,
                    "observed": observed,
                    "seconds": seconds,
                    "tests": [{"test": address, **one} for address, one in sorted(tests.items())],
                }
            )
        versions = {name: version(name) for name in ("rlgan", "ray", "torch")} | {"python": platform.python_version()}
        return {"versions": versions, "rows": rows}


_observations = Observations()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _observations.add(report)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a process of `pytest -n 2` had collected, in the process that reports."""
    _observations.collected |= set(getattr(node, "workeroutput", {}).get("fault_tests", ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes: another reports
        session.config.workeroutput["fault_tests"] = sorted(_observations.collected)
        return
    path = session.config.getoption("--fault-report")
    if path is not None:
        Path(path).write_text(json.dumps(_observations.summary(), indent=1), encoding="utf-8")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The scoreboard above pytest's closing line."""
    if config.getoption("--fault-report") is not None:
        terminalreporter.write_line(table(_observations.summary()))


def table(report: dict[str, Any]) -> str:
    """The markdown table of a report."""
    lines = ["| row | fault | expected | observed | tests | seconds |", "|---|---|---|---|---|---|"]
    for row in report["rows"]:
        cells = [row["row"], row["fault"], row["expected"], row["observed"], len(row["tests"]), row["seconds"]]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    total = sum(row["seconds"] for row in report["rows"])
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    return "\n".join([*lines, "", f"{total:.0f} s in all ({versions})"])


def merged(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """One report of parts of a suite; a row is no better than its worst part."""
    rows = [dict(row) for row in reports[0]["rows"]]
    for other in reports[1:]:
        for row, more in zip(rows, other["rows"], strict=True):
            row["observed"] = max(row["observed"], more["observed"], key=_WORSE.index)
            row["seconds"] = round(row["seconds"] + more["seconds"], 1)
            row["tests"] = [*row["tests"], *more["tests"]]
    return {"versions": reports[0]["versions"], "rows": rows}


_WORSE = ("not run", "as expected", "skipped", "in part as expected", "failed")

if __name__ == "__main__":
    print(table(merged([json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]])))
