"""The directory of one run: config.yaml, history, TensorBoard events, checkpoints, samples, report; one run at a time.

RUN/   config.yaml  history.jsonl  tensorboard/  checkpoints/  samples/  likelihood.safetensors (the generator before
       the adversarial rounds)  nonfinite-STEP.safetensors (the batch of a round with a NaN)  report.html  error.log
       run.lock
"""

import json
import logging
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import filelock
import safetensors.torch
from torch import Tensor

import rlgan
from rlgan.checkpoint import list_checkpoints
from rlgan.errors import ConfigError
from rlgan.launch.history import HISTORY_FILE
from rlgan.launch.pictures import Picture, write_png

_SAMPLES_NAME = re.compile(r"step-(\d+)\.(txt|png)")
_logger = logging.getLogger(__name__)


def fresh_path(system: str) -> Path:
    """A directory for a run that was given none.

    Args:
        system: such as "seqgan".

    Returns:
        runs/SYSTEM-DATE-TIME below the working directory; it does not exist yet.
    """
    name = f"{system}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = [Path("runs") / (name if number == 1 else f"{name}-{number}") for number in range(1, 1000)]
    return next(path for path in candidates if not path.exists())


def require_lasting(path: Path) -> None:
    """Refuse a run directory that an upload would take along, or that goes when the job of a cluster ends.

    Args:
        path: of the run directory, which need not exist.

    Raises:
        ConfigError: if it lies in the package, or where Ray unpacks what it was sent.
    """
    resolved = path.resolve()
    package = Path(rlgan.__file__).resolve().parent
    shipped = (package, *(link.resolve() for link in package.iterdir() if link.is_symlink()))
    if any(folder in (resolved, *resolved.parents) for folder in shipped):
        raise ConfigError(f"{path}: lies in the package, which is uploaded with every job. Give another --run-dir.")
    if "runtime_resources" in resolved.parts:
        raise ConfigError(
            f"{path}: lies where Ray unpacks the upload of a job, and goes with it. Give a --run-dir on storage that "
            "outlives the job."
        )


class RunDirectory:
    """The files of a run, locked while it is open.

    Example:
        `with RunDirectory(Path("runs/a"), may_hold_a_run=False) as directory: ...`

    Attributes:
        path: the directory.
        checkpoints: where its checkpoints are.
        tensorboard: where its event files are.
        error_log: where tracebacks go.
    """

    def __init__(self, path: Path, may_hold_a_run: bool) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.tensorboard = path / "tensorboard"
        self.error_log = path / "error.log"
        self._may_hold_a_run = may_hold_a_run
        self._lock = filelock.FileLock(path / "run.lock", timeout=0)
        self._has_warned = False

    def __enter__(self) -> "RunDirectory":
        """Create and lock it.

        Returns:
            This directory.

        Raises:
            ConfigError: if it cannot be written, is in use, or holds a run that is not to go on.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            holder = {"pid": os.getpid(), "host": socket.gethostname()}
            (self.path / "run.lock.json").write_text(json.dumps(holder))
        except filelock.Timeout:
            advice = "Wait for it, or give another --run-dir"
            raise ConfigError(f"{self.path}: in use by {self._holder()}. {advice}.") from None
        except OSError as error:
            self._lock.release()
            problem = error.strerror or error
            raise ConfigError(f"{self.path}: cannot be written ({problem}). Give another --run-dir.") from None
        if not self._may_hold_a_run and self.holds_a_run:
            self._release()
            raise ConfigError(f"{self.path}: holds a run already. Add --resume auto, or give another --run-dir.")
        return self

    def __exit__(self, *error: object) -> None:
        self._release()

    @property
    def holds_a_run(self) -> bool:
        """Whether a run has left a round or a checkpoint here."""
        return (self.path / HISTORY_FILE).exists() or bool(list_checkpoints(self.checkpoints))

    def write_config(self, text: str) -> None:
        """Write config.yaml, whole or not at all.

        Args:
            text: YAML.

        Raises:
            ConfigError: if the disk refuses.
        """
        temporary = self.path / ".config.yaml.tmp"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.path / "config.yaml")
        except OSError as error:
            problem = error.strerror or error
            raise ConfigError(f"{self.path}: cannot be written ({problem}). Give another --run-dir.") from None

    def write_samples(self, step: int, samples: Sequence[str]) -> None:
        """Write generated texts, one a line; a disk that refuses costs one warning.

        Args:
            step: rounds done.
            samples: the texts.
        """
        if not samples:
            return
        path = self.path / "samples" / f"step-{step:06d}.txt"
        try:
            path.parent.mkdir(exist_ok=True)
            lines = (sample.replace("\n", " ").replace("\r", " ") for sample in samples)
            path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except OSError as error:
            self._warn(path, error)

    def write_picture(self, step: int, picture_HWC: Picture) -> None:
        """Write a grid of generated images as PNG; a disk that refuses costs one warning.

        Args:
            step: rounds done.
            picture_HWC: [H, W, 3] uint8.
        """
        path = self.path / "samples" / f"step-{step:06d}.png"
        try:
            path.parent.mkdir(exist_ok=True)
            write_png(path, picture_HWC)
        except OSError as error:
            self._warn(path, error)

    def write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> Path | None:
        """Write NAME.safetensors; a disk that refuses costs one warning.

        Args:
            name: of the file, without its ending.
            tensors: by name.

        Returns:
            The file; None where the disk refused it.
        """
        path, temporary = self.path / f"{name}.safetensors", self.path / f".{name}.tmp"
        apart = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
        try:
            temporary.write_bytes(safetensors.torch.save(apart))
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            self._warn(path, error)
            return None
        return path

    def forget_samples_after(self, step: int) -> None:
        """Remove samples of rounds that are done again.

        Args:
            step: the last one that counts.
        """
        for path in (self.path / "samples").glob("step-*"):
            match = _SAMPLES_NAME.fullmatch(path.name)
            if match and int(match[1]) > step:
                path.unlink(missing_ok=True)

    def _warn(self, path: Path, error: OSError) -> None:
        """Say it the first time."""
        if not self._has_warned:
            self._has_warned = True
            _logger.warning("%s: cannot be written (%s); training goes on.", path, error.strerror or error)

    def _holder(self) -> str:
        """Who has the lock."""
        try:
            holder = json.loads((self.path / "run.lock.json").read_text())
            return f"process {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"

    def _release(self) -> None:
        """Let others in; the lock of a process that was killed is free by itself."""
        (self.path / "run.lock.json").unlink(missing_ok=True)
        self._lock.release()
