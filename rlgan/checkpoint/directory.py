"""A directory of checkpoints that always holds a whole one, wherever the writer is killed.

step-000120/            a checkpoint (see folder.py)
step-000120.replaced/   the earlier version of the same step, until the new one is in place
.tmp-*                  unfinished or thrown away; removed by the next writer, which holds .lock
LATEST                  the newest name, for people; rlgan never reads it
"""

import logging
import re
import shutil
from pathlib import Path

import filelock

from rlgan.checkpoint.folder import Checkpoint, read_checkpoint, sync_folder, write_checkpoint, write_file
from rlgan.errors import CheckpointError

_STEP_NAME = re.compile(r"step-(\d{6,18})(\.replaced)?")
_LOCK_SECONDS = 60.0
_logger = logging.getLogger(__name__)


def save_checkpoint(directory: Path, checkpoint: Checkpoint, keep: int = 2) -> Path:
    """Adds a checkpoint to a directory, then removes old ones; a kill at any moment leaves a whole one.

    A checkpoint of the same step is replaced. The newest `keep` verified ones stay, and always the one just written.

    Args:
        directory: where the step folders lie; created if need be.
        checkpoint: what to save.
        keep: how many verified checkpoints to keep, at least 2.

    Returns:
        The folder of the new checkpoint.

    Raises:
        ValueError: if `keep` is below 2.
        CheckpointError: if the disk refuses or another process keeps writing; earlier checkpoints are as they were.
    """
    if keep < 2:
        raise ValueError(f"keep must be at least 2, so that a damaged checkpoint has a substitute; got {keep}.")
    folder = directory / f"step-{checkpoint.step:06d}"
    temporary = directory / f".tmp-{folder.name}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(directory / ".lock", timeout=_LOCK_SECONDS):
            _clean(directory)
            try:
                write_checkpoint(temporary, checkpoint)
                _put_in_place(temporary, folder)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            _keep_newest(directory, folder, keep)
    except filelock.Timeout as error:
        wait = f"another process has been writing here for {_LOCK_SECONDS:.0f} s"
        raise CheckpointError(f"{directory}: {wait}. Give every run its own directory.") from error
    except OSError as error:
        problem = error.strerror or str(error)
        raise CheckpointError(
            f"{folder}: cannot save the checkpoint ({problem}). Is the directory writable?"
        ) from error
    return folder


def latest_checkpoint(directory: Path) -> Checkpoint | None:
    """The newest checkpoint that can be verified; every one that is passed over is logged as a warning.

    Args:
        directory: where `save_checkpoint` wrote.

    Returns:
        The checkpoint, or None where there has never been one.

    Raises:
        CheckpointError: if there are checkpoints but none is usable; going on from nothing would hide the loss.
    """
    folders = list_checkpoints(directory)
    for folder in folders:
        try:
            return read_checkpoint(folder)
        except CheckpointError as error:
            _logger.warning("passing over a checkpoint: %s", error)
            last_error = error
    if folders:
        raise CheckpointError(f"{directory}: none of {len(folders)} checkpoints is usable; the oldest: {last_error}")
    return None


def list_checkpoints(directory: Path) -> list[Path]:
    """The checkpoint folders of a directory, newest step first, not verified.

    Args:
        directory: where `save_checkpoint` wrote; it need not exist.

    Returns:
        Paths; of one step, the newer version comes first.
    """
    if not directory.is_dir():
        return []
    matches = ((_STEP_NAME.fullmatch(path.name), path) for path in directory.iterdir())
    keyed = [(int(match[1]), match[2] is None, path) for match, path in matches if match]
    return [path for _, _, path in sorted(keyed, reverse=True)]


def _clean(directory: Path) -> None:
    """Finishes what a killed writer left: removes unfinished folders, settles replaced ones."""
    for path in directory.glob(".tmp-*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for old in directory.glob("step-*.replaced"):
        new = old.with_suffix("")
        if new.exists() and _is_verified(new):
            _throw_away(old)
            continue
        if new.exists():
            _throw_away(new)
        old.rename(new)


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Renames a finished folder to its name; an earlier one of that name counts until the new one is there."""
    old = folder.with_name(f"{folder.name}.replaced")
    if folder.exists() or folder.is_symlink():
        folder.rename(old)
    temporary.rename(folder)
    sync_folder(folder.parent)
    if old.exists() or old.is_symlink():
        _throw_away(old)


def _keep_newest(directory: Path, newest: Path, keep: int) -> None:
    """Points LATEST at the new checkpoint and removes what is older than the newest `keep` verified ones."""
    try:
        temporary = directory / ".tmp-LATEST"
        write_file(temporary, f"{newest.name}\n".encode())
        temporary.replace(directory / "LATEST")
        kept = [newest]
        for folder in list_checkpoints(directory):
            if folder == newest:
                continue
            if len(kept) >= keep:
                _throw_away(folder)
            elif _is_verified(folder):
                kept.append(folder)
        sync_folder(directory)
    except OSError as error:
        _logger.warning("%s: the checkpoint is saved, but tidying up failed (%s).", newest, error)


def _is_verified(folder: Path) -> bool:
    """Whether a checkpoint could be resumed from."""
    try:
        read_checkpoint(folder)
    except CheckpointError:
        return False
    return True


def _throw_away(path: Path) -> None:
    """Removes a checkpoint so that no half of it is ever found under its name."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    doomed = path.with_name(f".tmp-old-{path.name}")
    path.rename(doomed)
    shutil.rmtree(doomed)
