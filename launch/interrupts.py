"""Ctrl-C and SIGTERM: the round in hand is finished or given up, then a checkpoint; a second signal ends at once."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE_SECONDS = 4.0
EXIT_SECONDS = 20.0
SAVE_SECONDS = 90.0
"""Less than the two minutes that SLURM gives (launch/cluster/slurm.sh)."""
_PAUSE_SECONDS = 0.5
_AS_LEFT = "the run is as the last checkpoint left it: go on with --resume auto"


class Interrupts:
    """Handles the two signals while a run lasts.

    Outside `finish_round` a signal raises KeyboardInterrupt where it arrives. Inside, the round may go on for
    GRACE_SECONDS before that. EXIT_SECONDS after the first signal the process ends in any case, but for a checkpoint
    that is being written then (`finish_save`): it has SAVE_SECONDS. Whatever ends the process so says it.

    Example:
        `with Interrupts() as interrupts: ...; with interrupts.finish_round(): algorithm.train()`

    Attributes:
        signal: the first one that came; None so far.
    """

    def __init__(self, grace_seconds: float = GRACE_SECONDS) -> None:
        self.signal: signal.Signals | None = None
        self._grace_seconds = grace_seconds
        self._in_round = self._in_save = False
        self._gives_up = False
        self._before: dict[signal.Signals, object] = {}
        self._timers: list[threading.Timer] = []

    def __enter__(self) -> "Interrupts":
        self.install()
        return self

    def __exit__(self, *error: object) -> None:
        for timer in self._timers:
            timer.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def install(self) -> None:
        """Take the signals; again after anything that replaces handlers, as `ray.init` does."""
        for number in SIGNALS:
            before = signal.signal(number, self._handle)
            self._before.setdefault(number, before)

    @property
    def exit_code(self) -> int:
        """What the command ends with: 128 and the number of the signal (SIGINT where none was recorded)."""
        return 128 + (self.signal or signal.SIGINT)

    def finish_round(self) -> "_Round":
        """A stretch that a signal lets go on for a while.

        Returns:
            A context manager.
        """
        return _Round(self)

    @contextlib.contextmanager
    def finish_save(self) -> Iterator[None]:
        """A checkpoint that is being written: a first signal lets it end, however long the grace of the round is.

        Yields:
            Nothing.
        """
        self._in_save = True
        try:
            yield
        finally:
            self._in_save = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """First signal: stop soon. Second: stop now."""
        if self._gives_up and self._in_round:
            self._gives_up = False
            if self._in_save:
                self._after(_PAUSE_SECONDS, self._give_up)
                return
            self._in_round = False
            raise KeyboardInterrupt
        if self.signal is not None and not self._gives_up:
            _say(f"{signal.Signals(number).name}, the second signal: the process ends at once; {_AS_LEFT}")
            _exit_now(128 + number)
        if self.signal is None:
            self.signal = signal.Signals(number)
            self._after(EXIT_SECONDS, self._end)
            if not self._in_round:
                raise KeyboardInterrupt
            self._after(self._grace_seconds, self._give_up)

    def _give_up(self) -> None:
        """Wake the main thread, which may wait for a worker, with a signal of our own."""
        if not self._in_round:
            return  # it has ended meanwhile; ray.shutdown may have put the default handler back
        self._gives_up = True
        signal.pthread_kill(threading.main_thread().ident or 0, self.signal or signal.SIGINT)

    def _end(self) -> None:
        """The bound on what follows a signal; later where a checkpoint is being written."""
        if self._in_save:
            self._after(max(0.0, SAVE_SECONDS - EXIT_SECONDS), lambda: self._end_after(SAVE_SECONDS))
        else:
            self._end_after(EXIT_SECONDS)

    def _end_after(self, seconds: float) -> None:
        """End the process, and say why."""
        name = signal.Signals(self.exit_code - 128).name
        what = "the checkpoint was not written" if self._in_save else "the run did not end"
        _say(f"{name}: {what} within {seconds:g} s, so the process ends here; {_AS_LEFT}")
        _exit_now(self.exit_code)

    def _after(self, seconds: float, action: object) -> None:
        """Do something later, in a thread that keeps nothing alive."""
        timer = threading.Timer(seconds, action)  # type: ignore[arg-type]
        timer.daemon = True
        timer.start()
        self._timers.append(timer)


class _Round:
    """The context manager of `finish_round`."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def __enter__(self) -> None:
        self._interrupts._in_round = True

    def __exit__(self, *error: object) -> None:
        self._interrupts._in_round = False


def _say(text: str) -> None:
    """One line on standard error, past its buffers: the main thread may be inside of them."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"rlgan: {text}\n".encode())


def _exit_now(code: int) -> None:
    """End this process and those it has started, a private Ray among them, without any clean-up."""
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    os._exit(code)


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and theirs (Linux; nothing elsewhere).

    Args:
        pid: of the process.

    Returns:
        Their numbers, children first.
    """
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found[1:]
