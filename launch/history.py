"""RUN/history.jsonl: the figures of every round and every evaluation of a run, one JSON object a line, for the report.

{"step": 21, "phase": "adversarial", "kind": "round", "seconds": 2.31, "figures": {"gen/loss": -3.2, "disc/loss": null}}

A number that is NaN or infinite is written as null and read as NaN.
"""

import contextlib
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rlgan.errors import ConfigError

HISTORY_FILE = "history.jsonl"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HistoryEntry:
    """One line of the history.

    Example:
        `HistoryEntry(step=20, phase="likelihood", kind="eval", seconds=3.1, figures={"gen/nll_oracle": 9.21})`

    Attributes:
        step: rounds done in all phases together.
        phase: the phase of that round.
        kind: whether the figures are of a round or of an evaluation after it.
        seconds: wall time it took.
        figures: values by TensorBoard tag.
    """

    step: int
    phase: str
    kind: Literal["round", "eval"]
    seconds: float
    figures: dict[str, float]


class History:
    """The history of one run; a disk that refuses costs one warning, never the run.

    Attributes:
        path: the file.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / HISTORY_FILE
        self._has_warned = False

    def append(self, entry: HistoryEntry) -> None:
        """Add a line.

        Args:
            entry: what it says.
        """
        line = _line(entry)
        try:
            with self.path.open("a+b") as file:
                if file.tell():
                    file.seek(-1, 2)
                    if file.read(1) != b"\n":
                        line = b"\n" + line
                file.write(line)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                _logger.warning(
                    "%s: cannot be written (%s); the report will have gaps.", self.path, error.strerror or error
                )

    def read(self) -> list[HistoryEntry]:
        """All whole lines; what a killed writer left unfinished is passed over.

        Returns:
            The entries in the order they were written; none where there is no file.
        """
        if not self.path.is_file():
            return []
        parsed = (_parsed(line) for line in self.path.read_bytes().split(b"\n"))
        return [entry for entry in parsed if entry is not None]

    def truncate(self, step: int) -> None:
        """Forget what came after a step, as a run that is resumed from its checkpoint does.

        Args:
            step: the last one that is kept.

        Raises:
            ConfigError: if the disk refuses; the file is as it was.
        """
        if not self.path.exists():
            return
        temporary = self.path.with_suffix(".jsonl.tmp")
        try:
            temporary.write_bytes(b"".join(_line(entry) for entry in self.read() if entry.step <= step))
            temporary.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            problem = error.strerror or error
            raise ConfigError(
                f"{self.path}: cannot be written ({problem}). Make room there, or resume into another --run-dir."
            ) from None


def _line(entry: HistoryEntry) -> bytes:
    """An entry as a line of the file."""
    plain = {**asdict(entry), "figures": {tag: _finite(value) for tag, value in entry.figures.items()}}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _finite(value: float) -> float | None:
    """The number, or None where JSON has no way to write it."""
    return float(value) if math.isfinite(value) else None


def _parsed(line: bytes) -> HistoryEntry | None:
    """The entry of a line; None if it is torn or not one."""
    try:
        content: dict[str, Any] = json.loads(line)
        figures = {str(tag): math.nan if value is None else float(value) for tag, value in content["figures"].items()}
        kind = content["kind"]
        if kind not in {"round", "eval"}:
            return None
        return HistoryEntry(int(content["step"]), str(content["phase"]), kind, float(content["seconds"]), figures)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
