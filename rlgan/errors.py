"""The failures a user meets: each says what, where and what to do on one line, and has the exit code of the command."""

from collections.abc import Mapping
from typing import Any


class RlganError(Exception):
    """A failure with a one-line message for the user; the command line ends with its `exit_code`."""

    exit_code = 1


class ConfigError(RlganError):
    """A wrong option, a wrong value, or options that contradict each other."""

    exit_code = 2


class DataError(RlganError):
    """A data file that cannot be read, or that does not hold what training needs."""

    exit_code = 3


class NonFiniteError(RlganError):
    """A reward, loss, gradient or weight became NaN or infinite.

    Attributes:
        batch: tensors it was computed of, by name, as far as they were at hand where it was raised.
    """

    exit_code = 4

    def __init__(self, message: str = "", batch: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.batch = dict(batch or {})


class CheckpointError(RlganError):
    """A checkpoint that is damaged, malicious, or made by another vocabulary or architecture."""

    exit_code = 5


class ClusterError(RlganError):
    """A Ray cluster that cannot be reached or cannot hold the run."""

    exit_code = 6


class WorkerError(RlganError):
    """More worker failures than the run may bear."""

    exit_code = 7


class LostLearnerError(WorkerError):
    """A learner process died."""


class StaleRunnerError(WorkerError):
    """A rollout runner has other weights than the round needs, as one that was restarted a moment ago."""


def first_line(error: BaseException) -> str:
    """What an exception says, short enough to be quoted inside a message of one line.

    Args:
        error: of any kind, such as one of Ray's, whose message holds a whole traceback.

    Returns:
        The first line without its full stop; the name of its class where it says nothing.
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
