"""`rlgan train`: from the options to a finished run directory.

options -> lock -> checkpoint -> data -> Ray -> algorithm -> rounds ... -> report        (whatever fails, fails early)
"""

import logging
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from rlgan.checkpoint import Checkpoint, latest_checkpoint
from rlgan.errors import ClusterError, RlganError, first_line
from rlgan.launch import preflight
from rlgan.launch.generator import checkpoint_at
from rlgan.launch.history import History
from rlgan.launch.interrupts import Interrupts
from rlgan.launch.progress import Progress
from rlgan.launch.ray_session import noise_into, quiet_ray, ray_for
from rlgan.launch.room import require_driver_gpu
from rlgan.launch.run_config import Invocation, RunConfig
from rlgan.launch.run_directory import RunDirectory, fresh_path, require_lasting
from rlgan.launch.system import System
from rlgan.launch.tensorboard import TensorBoardLog
from rlgan.launch.train_options import read_train_options
from rlgan.launch.training_run import TrainingRun
from rlgan.types import Source

# How an option is called where the algorithm's config is meant.
_OPTIONS = {
    "rollout_timeout_seconds": "--rollout-timeout",
    "learner_timeout_seconds": "--learner-timeout",
    "max_learner_restarts": "--max-learner-restarts",
}


class CrashError(RlganError):
    """An exception nobody expected; its traceback is in the run directory."""


def train(system: System, arguments: Sequence[str], console: Console | None = None) -> int:
    """Run `rlgan train SYSTEM`.

    Args:
        system: what is trained.
        arguments: the words after it.
        console: where progress shows; None: standard output.

    Returns:
        The exit code: 0, or 130 or 143 after an interrupt.
    """
    console = console or Console()
    quiet_ray()
    options = read_train_options(system, arguments)
    call, run = options.invocation, options.run
    run.algorithm_config().validate()
    require_driver_gpu(run)
    path = call.run_dir or fresh_path(run.system)
    require_lasting(path)
    directory = RunDirectory(path, may_hold_a_run=call.resume == "auto")
    with Interrupts() as interrupts, directory, _logged(directory), _warnings_on(console):
        try:
            return _Launch(system, run, call, directory, interrupts, console).train()
        except KeyboardInterrupt:
            _say(console, f"stopped; {path} is as the last checkpoint left it")
            return interrupts.exit_code


@dataclass(frozen=True)
class _Launch:
    """One call of `rlgan train`, while its run directory is locked."""

    system: System
    run: RunConfig
    call: Invocation
    directory: RunDirectory
    interrupts: Interrupts
    console: Console

    def train(self) -> int:
        """Everything from the checkpoint to the last round; returns the exit code."""
        checkpoint = _checkpoint_for(self.call, self.directory)
        changes = [] if checkpoint is None else preflight.check_resume(checkpoint, self.run)
        config = self.run.algorithm_config(None if checkpoint is None else checkpoint.tokenizer_json)
        with ThreadPoolExecutor(1) as pool:
            loading = self._load(config, pool)
            _say(self.console, f"run directory {self.directory.path}; starting Ray")
            with noise_into(self.directory.path / "ray.log"), ray_for(self.run.workers, config.worker_bundles()):
                self.interrupts.install()  # ray.init has replaced the handler of SIGTERM
                source = loading.result()
                if checkpoint is not None:
                    preflight.check_same_data(checkpoint, source, self.call.allow_data_change)
                algorithm = config.build_on(source)
                try:
                    if checkpoint is not None:
                        algorithm.restore_checkpoint(checkpoint)
                    for change in changes:
                        _say(self.console, f"changed since the checkpoint: {change}")
                    return self._rounds(algorithm)
                finally:
                    algorithm.stop()

    def _load(self, config: Any, pool: ThreadPoolExecutor) -> "Future[Source]":
        """The data: read before Ray starts where it can be wrong, and made while Ray starts where it cannot."""
        can_wait = self.system.check_before_data(self.run, config.smallest_corpus())
        loading = pool.submit(config.load_source)
        if not can_wait:
            loading.result()
        return loading

    def _rounds(self, algorithm: Any) -> int:
        """All rounds that are left; returns the exit code."""
        step = algorithm.step_count
        _forget_after(self.directory, step)
        self.directory.write_config(self.run.to_yaml())
        log = TensorBoardLog(self.directory.tensorboard, purge_step=step + 1 if step else None)
        log.configuration(self.run.to_yaml(), step)
        if step:
            _say(self.console, f"going on after step {step}")
        with Progress(algorithm.total_steps, console=self.console) as progress:
            training = TrainingRun(self.system, algorithm, self.run, self.directory, log, progress, self.interrupts)
            return training.run()


def _checkpoint_for(call: Invocation, directory: RunDirectory) -> Checkpoint | None:
    """What to go on from, if anything."""
    if call.resume == "never":
        return None
    if call.resume == "auto":
        return latest_checkpoint(directory.checkpoints)
    return checkpoint_at(Path(call.resume))


def _forget_after(directory: RunDirectory, step: int) -> None:
    """Remove the records of rounds that are done again."""
    History(directory.path).truncate(step)
    directory.forget_samples_after(step)


def _say(console: Console, text: str) -> None:
    """One plain line."""
    console.print(f"rlgan: {text}", markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _logged(directory: RunDirectory) -> Iterator[None]:
    """Tracebacks of what nobody expected, or of a worker, go to a file; the user sees one line and its name."""
    try:
        yield
    except RlganError as error:
        message = _with_options(str(error))
        if "\n" in message:
            directory.error_log.write_text(traceback.format_exc(), encoding="utf-8")
            cause = message.strip().splitlines()[-1].strip()
            message = f"{_with_options(first_line(error)).rstrip(':')}: {cause}. See {directory.error_log}."
        if message != str(error):
            raise type(error)(message) from error
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            raise ClusterError(f"{first_line(error):.200}. Ask for smaller nets, batches or fewer rollouts.") from error
        directory.error_log.write_text(traceback.format_exc(), encoding="utf-8")
        raise CrashError(
            f"unexpected {type(error).__name__}: {first_line(error):.200}; the traceback is in {directory.error_log}."
        ) from error


def _with_options(message: str) -> str:
    """What a worker's error says, with the names of options for those of attributes of the algorithm's config."""
    for name, option in _OPTIONS.items():
        message = message.replace(name, option)
    return message


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was asked for that the machine does not have."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error)


class _ToConsole(logging.Handler):
    """Shows rlgan's warnings as lines among the progress."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Show one."""
        _say(self._console, f"warning: {record.getMessage()}")


@contextmanager
def _warnings_on(console: Console) -> Iterator[None]:
    """Send the warnings of all rlgan modules to the console, for a while."""
    logger, handler = logging.getLogger("rlgan"), _ToConsole(console)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated
