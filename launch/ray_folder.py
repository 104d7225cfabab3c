"""The folder of a private Ray: its sockets and logs, gone with the run; what killed runs have left goes with the next.

/tmp/.rlgan-ray-XXXXXXXX/   rlgan-private-ray.lock (held while the run lasts)  session_...
"""

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

_PREFIX = ".rlgan-ray-"
_MARKER = "rlgan-private-ray.lock"
_OF_RAY = ("session_", "prom_metrics_service_discovery")
"""How names begin that Ray makes there. A folder with any other name in it is not removed."""


def parent_of_ray_folders() -> Path:
    """Where the folders go: the paths of Ray's sockets must stay below 108 bytes.

    Returns:
        The system's folder for temporary files, or /tmp where that has a long name.
    """
    folder = Path(tempfile.gettempdir())
    return folder if len(str(folder)) <= 20 else Path("/tmp")


@contextlib.contextmanager
def ray_folder(parent: Path) -> Iterator[Path]:
    """A folder for the files of a private Ray, removed afterwards; so are those that killed runs have left.

    Args:
        parent: where it is made.

    Yields:
        The folder.
    """
    for marker in parent.glob(f"{_PREFIX}*/{_MARKER}"):
        _remove_left(marker)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    # Locked under another name: one who looks for what was left must never find the marker before it is held.
    lock = filelock.FileLock(folder / f"{_MARKER}.new")
    with lock:
        Path(lock.lock_file).rename(folder / _MARKER)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_left(marker: Path) -> None:
    """Remove the folder of a marker if it is that of a private Ray of this user, and nobody holds it."""
    folder = marker.parent
    with contextlib.suppress(OSError, filelock.Timeout):
        about = folder.lstat()
        names = {path.name for path in folder.iterdir()} - {_MARKER}
        is_ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
        if not is_ours or not all(name.startswith(_OF_RAY) for name in names):
            return
        with filelock.FileLock(marker, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
            sys.stdout.write(f"rlgan: removed {folder}, which a run that was killed had left\n")
