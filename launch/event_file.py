"""A TensorBoard event file written from the caller's thread, one append a round.

TensorBoard's own writer appends every number from a thread of its own: a disk that refuses shows there as a traceback,
and a directory that is deleted is noticed too late. Here the caller gets the OSError.
"""

import os
import socket
import time
from io import BytesIO
from itertools import count
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

_numbers = count()


class EventFile:
    """A new event file in a directory.

    Attributes:
        path: the file.
    """

    def __init__(self, directory: Path, purge_step: int | None = None) -> None:
        """Make the file; an OSError says that it cannot be made.

        Args:
            directory: created if its parent exists.
            purge_step: TensorBoard hides what earlier files of the directory say of this step and later ones.
        """
        directory.mkdir(exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers):06d}"
        self.path = directory / name
        self._pending = BytesIO()
        self._records = RecordWriter(self._pending)
        self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if purge_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._add(Event(wall_time=time.time(), step=purge_step, session_log=start))
        self.path.touch(exist_ok=False)
        self.flush()

    def add(self, summary: Summary, step: int) -> None:
        """Keep a summary until the next flush.

        Args:
            summary: what `torch.utils.tensorboard.summary` makes.
            step: its step.
        """
        self._add(Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Append what was added since the last flush; an OSError says that it is lost."""
        data = self._pending.getvalue()
        self._pending.seek(0)
        self._pending.truncate()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)  # never makes a file without a header
        with os.fdopen(descriptor, "ab") as file:
            file.write(data)

    def _add(self, event: Event) -> None:
        """Keep an event until the next flush."""
        self._records.write(event.SerializeToString())
