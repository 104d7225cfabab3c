"""Progress shows at once, does not flood a log, says how long it takes, and shows generated text harmlessly."""

import io
import re

import pytest
from rich.console import Console

from rlgan.launch import progress as progress_module
from rlgan.launch.progress import Progress
from rlgan.policies.rounds import RoundReport


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    state = {"now": 100.0}
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: state["now"])
    return state


def plain_console():
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def terminal_console():
    return Console(file=io.StringIO(), force_terminal=True, width=120, height=30, color_system=None)


def report(step, phase="adversarial", phase_round=None, phase_rounds=20, **figures):
    content = figures or {"gen/loss": 0.5, "gen/entropy": 6.25}
    return RoundReport(
        step=step,
        phase=phase,
        phase_round=step if phase_round is None else phase_round,
        phase_rounds=phase_rounds,
        figures=content,
        seconds=2.0,
    )


def lines(console):
    return console.file.getvalue().splitlines()


def test_the_first_round_shows_at_once_and_says_what_is_known(clock):
    console = plain_console()
    with Progress(20, console) as progress:
        progress.round(report(1))
        assert len(lines(console)) == 1
    (line,) = lines(console)
    for expected in ("step 1/20", "adversarial 1/20", "generator loss 0.5", "entropy 6.25", "2 s/round", "0:38 left"):
        assert expected in line


def test_plain_lines_come_every_ten_seconds_and_the_last_round_always_shows(clock):
    console = plain_console()
    with Progress(21, console) as progress:
        for step in range(1, 21):
            progress.round(report(step))
            clock["now"] += 1.0
    steps = [re.match(r"step (\d+)/", line).group(1) for line in lines(console)]
    assert steps == ["1", "11", "20"]


def test_a_new_phase_shows_at_once_with_its_own_rate(clock):
    console = plain_console()
    with Progress(4, console) as progress:
        progress.round(report(1, "likelihood", 1, 2))
        clock["now"] += 0.5
        progress.round(report(2, "likelihood", 2, 2))
        progress.round(report(3, "adversarial", 1, 2))
    first, second, _ = [*lines(console), ""]
    assert "0:02 left in likelihood" in first and "likelihood 1/2" in first
    assert "adversarial 1/2" in second and "0:02 left" in second and "left in" not in second


def test_rate_is_wall_time_between_rounds(clock):
    console = plain_console()
    with Progress(100, console) as progress:
        for step in range(1, 12):
            progress.round(report(step, phase_rounds=100))
            clock["now"] += 5.0  # evaluations between rounds count too
    # rounds of 2 s (the first, by its own word), then 5 s each: (2 + 10 * 5) / 11
    assert "4.727 s/round" in lines(console)[-1]


def test_evaluations_show_figures_and_samples_without_control_characters(clock):
    console = plain_console()
    with Progress(20, console) as progress:
        progress.evaluation(3, {"gen/nll_oracle": 9.1234, "eval/odd": 1.0}, ["a\x1b[2Jb [red]c[/red]", "d\ne"])
    text = console.file.getvalue()
    assert "step 3/20  evaluation  NLL oracle 9.123" in text
    assert "sample: a�[2Jb [red]c[/red]" in text and "sample: d e" in text
    assert "\x1b" not in text


def test_messages_are_not_markup():
    console = plain_console()
    Progress(1, console).message("saved [bold]x[/bold] in runs/[a]")
    assert lines(console) == ["saved [bold]x[/bold] in runs/[a]"]


def test_terminal_shows_phase_figures_and_samples_in_place(clock):
    console = terminal_console()
    with Progress(20, console) as progress:
        progress.round(report(1, "likelihood", 1, 10, **{"gen/loss": 7.5}))
        progress.evaluation(1, {"gen/nll_oracle": 9.5}, ["[b]one two"])
        clock["now"] += 1.0
        progress.round(report(11, "adversarial", 1, 10, **{"gen/reward_mean": 0.25}))
        progress.message("a line that stays")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())
    last = text[text.rindex("adversarial 1/10") :]
    assert "11/20" in last and "reward 0.25" in last and "NLL oracle 9.5" in last and "[b]one two" in last
    assert "generator loss" not in last  # a figure of the phase before is no news
    assert "a line that stays" in text


def test_the_display_ends_when_the_run_fails():
    console = terminal_console()
    with pytest.raises(ZeroDivisionError), Progress(20, console) as progress:
        progress.round(report(1))
        raise ZeroDivisionError
    assert "adversarial 1/20" in console.file.getvalue()
    assert console.file.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is back
