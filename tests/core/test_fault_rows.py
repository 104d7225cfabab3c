"""The scoreboard of faults: every row has tests that are there, and a failure of one cannot look like a success."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.fault_report import Observations, merged, table
from tests.fault_rows import ROWS, rows_of

TESTS = Path(__file__).parents[1]


def test_there_are_all_rows():
    assert list(ROWS) == [f"R{number}" for number in range(1, 37)]


@pytest.mark.parametrize("name", ROWS)
def test_every_entry_of_a_row_names_tests_that_are_there(name):
    for entry in ROWS[name].tests:
        file, _, beginning = entry.partition("::")
        functions = re.findall(r"^def (test_\w+)", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE)
        assert any(function.startswith(beginning.partition("[")[0]) for function in functions), entry


def test_one_failure_fails_the_row():
    seen = Observations()
    address = "tests/policies/test_lost_runners.py::test_a_slow_runner_is_left_alone"
    other = "tests/policies/test_lost_runners.py::test_a_hung_runner_is_ended_and_replaced"
    assert (rows_of(address), rows_of(other), rows_of("tests/core/test_native.py::test_x")) == (["R10"], ["R9"], [])
    for nodeid, outcome in ((address, "passed"), (address, "failed"), (other, "skipped")):
        seen.add(
            SimpleNamespace(
                when="call", nodeid=nodeid, duration=1.5, outcome=outcome, longrepr="trace\nAssertionError: no"
            )
        )
    rows = {row["row"]: row for row in seen.summary()["rows"]}
    assert (rows["R10"]["observed"], rows["R10"]["seconds"]) == ("failed", 3.0)
    assert rows["R10"]["tests"][0]["message"] == "AssertionError: no"
    assert (rows["R9"]["observed"], rows["R1"]["observed"]) == ("skipped", "not run")
    third = "tests/policies/test_recovery.py::test_a_hung_learner_is_ended_and_replaced"
    seen.add(SimpleNamespace(when="call", nodeid=third, duration=1.0, outcome="passed", longrepr=""))
    assert {row["row"]: row for row in seen.summary()["rows"]}["R9"]["observed"] == "in part as expected"
    whole = Observations()
    whole.add(SimpleNamespace(when="call", nodeid=address, duration=1.0, outcome="passed", longrepr=""))
    assert {row["row"]: row for row in whole.summary()["rows"]}["R10"]["observed"] == "as expected"
    cut = Observations()
    cut.add(SimpleNamespace(when="setup", nodeid=address, duration=0.1, outcome="passed", longrepr=""))
    assert {row["row"]: row for row in cut.summary()["rows"]}["R10"]["observed"] == "in part as expected", "interrupted"
    whole.collected.add(f"{address}[another]")
    assert {row["row"]: row for row in whole.summary()["rows"]}["R10"]["observed"] == "in part as expected"
    assert "| R10 | a runner is slow | left alone | failed | 1 | 3.0 |" in table(seen.summary())


def test_parts_of_a_suite_make_one_table_and_none_hides_a_failure():
    parts = []
    for outcome, seconds in (("passed", 1.0), ("failed", 2.0)):
        seen = Observations()
        address = f"tests/policies/test_lost_runners.py::test_a_slow_runner_is_left_alone[{outcome}]"
        seen.add(SimpleNamespace(when="call", nodeid=address, duration=seconds, outcome=outcome, longrepr=""))
        parts.append(seen.summary())
    for reports, observed in ((parts, "failed"), ([parts[0], Observations().summary()], "as expected")):
        row = {row["row"]: row for row in merged(reports)["rows"]}["R10"]
        assert row["observed"] == observed and len(row["tests"]) == (2 if observed == "failed" else 1)
    assert {row["row"]: row for row in merged(parts)["rows"]}["R10"]["seconds"] == 3.0


def test_ci_keeps_the_report_where_it_is_told_to():
    script = TESTS.parent / ".ci" / "run"
    if not script.is_file():
        pytest.skip(".ci/ is not here: the package was installed alone")
    text = script.read_text(encoding="utf-8")
    # Its own folder, which it removes, is for those who did not ask; pytest's closing line stays the last.
    last = text.replace("\\\n", " ").strip().splitlines()[-1]
    assert last.startswith("python -m pytest") and '--fault-report "${RLGAN_FAULT_REPORT:-$work/faults.json}"' in last
    assert "RLGAN_REQUIRE_NATIVE=1" in text and "RLGAN_REQUIRE_TOOLS=1" in text, "no test is skipped for want of a tool"


def test_the_page_has_every_row():
    page = TESTS.parent / "docs" / "reliability.md"
    if not page.is_file():
        pytest.skip("docs/ is not here: the package was installed alone")
    text = page.read_text(encoding="utf-8")
    for name, row in ROWS.items():
        assert f"| {name} | {row.fault} | {row.expected} |" in text
