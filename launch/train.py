"""`rlgan train`: from the options to a finished run directory.

options -> lock -> checkpoint -> data -> Ray -> algorithm -> rounds ... -> report        (whatever fails, fails early)
"""

import logging
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from rlgan.checkpoint import Checkpoint, latest_checkpoint
from rlgan.errors import ClusterError, RlganError
from rlgan.launch import preflight
from rlgan.launch.cluster import noise_into, quiet_ray, ray_for
from rlgan.launch.generator import checkpoint_at
from rlgan.launch.history import History
from rlgan.launch.interrupts import Interrupts
from rlgan.launch.progress import Progress
from rlgan.launch.run_config import Invocation, RunConfig
from rlgan.launch.run_directory import RunDirectory, fresh_path
from rlgan.launch.tensorboard import TensorBoardLog
from rlgan.launch.train_options import read_train_options
from rlgan.launch.training_run import TrainingRun


class CrashError(RlganError):
    """An exception nobody expected; its traceback is in the run directory."""


def train(arguments: Sequence[str], console: Console | None = None) -> int:
    """Run `rlgan train seqgan`.

    Args:
        arguments: the words after it.
        console: where progress shows; None: standard output.

    Returns:
        The exit code: 0, or 130 or 143 after an interrupt.
    """
    console = console or Console()
    quiet_ray()
    options = read_train_options(arguments)
    call, run = options.invocation, options.run
    run.algorithm_config().validate()
    path = call.run_dir or fresh_path(run.system)
    directory = RunDirectory(path, may_hold_a_run=call.resume == "auto")
    with Interrupts() as interrupts, directory, _logged(directory), _warnings_on(console):
        try:
            return _train(run, call, directory, interrupts, console)
        except KeyboardInterrupt:
            _say(console, f"stopped; {path} is as the last checkpoint left it")
            return interrupts.exit_code


def _train(run: RunConfig, call: Invocation, directory: RunDirectory, interrupts: Interrupts, console: Console) -> int:
    """All that happens while the run directory is locked."""
    checkpoint = _checkpoint_for(call, directory)
    tokenizer_json = None if checkpoint is None else checkpoint.tokenizer_json
    changes = [] if checkpoint is None else preflight.check_resume(checkpoint, run)
    config = run.algorithm_config(tokenizer_json)
    source = preflight.check_data(run, config.smallest_corpus(), tokenizer_json)
    if checkpoint is not None and source is not None:
        preflight.check_same_data(checkpoint, source, call.allow_data_change)
    _say(console, f"run directory {directory.path}; starting Ray")
    with noise_into(directory.path / "ray.log"), ray_for(run.workers, config.required_cpus()):
        interrupts.install()  # ray.init has replaced the handler of SIGTERM
        algorithm = config.build_algo()
        try:
            if checkpoint is not None:
                if source is None:
                    preflight.check_same_data(checkpoint, algorithm.source, call.allow_data_change)
                algorithm.restore_checkpoint(checkpoint)
            for change in changes:
                _say(console, f"changed since the checkpoint: {change}")
            step = algorithm.step_count
            _forget_after(directory, step)
            directory.write_config(run.to_yaml())
            log = TensorBoardLog(directory.tensorboard, purge_step=step + 1 if step else None)
            log.configuration(run.to_yaml(), step)
            if step:
                _say(console, f"going on after step {step}")
            with Progress(algorithm.total_steps, console=console) as progress:
                training = TrainingRun(algorithm, run, directory, log, progress, interrupts)
                return training.run()
        finally:
            algorithm.stop()


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
        if "\n" in str(error):
            directory.error_log.write_text(traceback.format_exc(), encoding="utf-8")
            first_line = str(error).splitlines()[0]
            raise type(error)(f"{first_line} See {directory.error_log}.") from error
        raise
    except Exception as error:
        if _is_out_of_memory(error):
            raise ClusterError(f"{_first_line(error)}. Ask for smaller nets, batches or fewer rollouts.") from error
        directory.error_log.write_text(traceback.format_exc(), encoding="utf-8")
        raise CrashError(
            f"unexpected {type(error).__name__}: {_first_line(error)}; the traceback is in {directory.error_log}."
        ) from error


def _first_line(error: BaseException) -> str:
    """The beginning of what an exception says."""
    return (str(error).strip().splitlines() or [""])[0][:200].rstrip(".")


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
