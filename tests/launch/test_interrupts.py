"""Signals: a round is finished, or given up after a while; a second signal ends the process at once."""

import os
import signal
import subprocess
import sys
import time

import pytest

from rlgan.launch import interrupts as module
from rlgan.launch.interrupts import Interrupts

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@pytest.fixture(autouse=True)
def no_exit(monkeypatch):
    """The codes that the process would have ended with."""
    codes = []
    monkeypatch.setattr(module, "_exit_now", codes.append)
    return codes


@BOTH
def test_outside_a_round_it_stops_where_it_is(number):
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert (interrupts.signal, interrupts.exit_code) == (number, 128 + number)


@BOTH
def test_a_short_round_is_finished(number, no_exit):
    with Interrupts(grace_seconds=0.3) as interrupts:
        with interrupts.finish_round():
            os.kill(os.getpid(), number)
            finished = True
        time.sleep(0.5)  # the round has ended: nothing is given up any more
        assert finished and interrupts.signal == number and no_exit == []


def test_a_long_round_is_given_up(no_exit):
    started = time.monotonic()
    with Interrupts(grace_seconds=0.2) as interrupts, pytest.raises(KeyboardInterrupt), interrupts.finish_round():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
    assert 0.15 < time.monotonic() - started < 5 and interrupts.exit_code == 143 and no_exit == []


def test_the_second_signal_ends_at_once(no_exit, capfd):
    with Interrupts() as interrupts, interrupts.finish_round():
        os.kill(os.getpid(), signal.SIGTERM)
        assert capfd.readouterr().err == ""
        os.kill(os.getpid(), signal.SIGINT)
    assert no_exit == [130]
    said = capfd.readouterr().err
    assert said.startswith("rlgan: SIGINT, the second signal: the process ends at once;") and "--resume auto" in said


def test_what_takes_too_long_after_a_signal_ends(no_exit, monkeypatch, capfd):
    monkeypatch.setattr(module, "EXIT_SECONDS", 0.2)
    with Interrupts() as interrupts:
        with interrupts.finish_round():
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
    assert no_exit == [143]
    said = capfd.readouterr().err
    assert said.startswith("rlgan: SIGTERM: the run did not end within 0.2 s, so") and said.count("\n") == 1


def test_a_checkpoint_that_is_being_written_is_finished(no_exit, monkeypatch, capfd):
    """Neither the grace of a round nor the bound on the end of the process cuts it off."""
    monkeypatch.setattr(module, "EXIT_SECONDS", 0.3)
    monkeypatch.setattr(module, "SAVE_SECONDS", 30.0)
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 30.0)
    with Interrupts(grace_seconds=0.1) as interrupts:
        with interrupts.finish_round(), interrupts.finish_save():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.6)
            written = True
        assert written and no_exit == [] and capfd.readouterr().err == ""


def test_a_round_is_given_up_after_its_checkpoint(no_exit, monkeypatch):
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.1)
    with Interrupts(grace_seconds=0.1) as interrupts, pytest.raises(KeyboardInterrupt), interrupts.finish_round():
        with interrupts.finish_save():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.3)
            written = True
        time.sleep(20)
    assert written and no_exit == []


def test_a_checkpoint_that_is_never_written_ends_too(no_exit, monkeypatch, capfd):
    monkeypatch.setattr(module, "EXIT_SECONDS", 0.1)
    monkeypatch.setattr(module, "SAVE_SECONDS", 0.4)
    with Interrupts() as interrupts, interrupts.finish_round(), interrupts.finish_save():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.25)
        assert no_exit == []
        time.sleep(0.4)
    assert no_exit == [130]
    assert "rlgan: SIGINT: the checkpoint was not written within 0.4 s, so" in capfd.readouterr().err


def test_the_handlers_of_before_come_back():
    before = [signal.getsignal(number) for number in module.SIGNALS]
    with Interrupts() as interrupts:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as ray.init replaces it
        interrupts.install()
        assert signal.getsignal(signal.SIGTERM) == interrupts._handle
    assert [signal.getsignal(number) for number in module.SIGNALS] == before


def test_the_end_of_the_process_is_real():
    code = (
        "import os, signal, time; from rlgan.launch.interrupts import Interrupts\n"
        "with Interrupts() as i, i.finish_round():\n"
        "    os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGTERM); time.sleep(30)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 143
