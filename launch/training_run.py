"""The rounds of one run: train, record, measure, save, until the last round or an interrupt."""

import contextlib
import time
from typing import Any

from torch import Tensor

from rlgan.checkpoint import Checkpoint, save_checkpoint
from rlgan.errors import CheckpointError, NonFiniteError, RlganError, WorkerError
from rlgan.launch.history import History, HistoryEntry
from rlgan.launch.interrupts import Interrupts
from rlgan.launch.progress import Progress
from rlgan.launch.report import write_report
from rlgan.launch.run_config import RunConfig
from rlgan.launch.run_directory import RunDirectory
from rlgan.launch.system import Shown, System
from rlgan.launch.tensorboard import TensorBoardLog
from rlgan.seeding import derive_seed

MAX_FAILED_SAVES = 3
SAMPLES_SHOWN = 20
GRID = "samples/grid"
_NON_FINITE = "health/nonfinite_total"
SHOW_EVERY = 10
"""Rounds between two looks at what a round made."""
SNAPSHOT_SECONDS = 0.5
"""Rounds longer than this leave a checkpoint in memory, for an interrupt in the middle of the next."""


class TrainingRun:
    """One run from the step the algorithm is at.

    Attributes:
        algorithm: an AdversarialAlgorithm, built and perhaps restored.
        saved_step: step of the newest checkpoint on the disk; -1 before the first.
    """

    def __init__(
        self,
        system: System,
        algorithm: Any,
        run: RunConfig,
        directory: RunDirectory,
        log: TensorBoardLog,
        progress: Progress,
        interrupts: Interrupts,
    ) -> None:
        self.algorithm = algorithm
        self.saved_step = algorithm.step_count or -1
        self._system, self._run, self._directory, self._log = system, run, directory, log
        self._progress, self._interrupts = progress, interrupts
        self._history = History(directory.path)
        self._total_steps: int = algorithm.total_steps
        self._saved_at = time.monotonic()
        self._failed_saves = self._num_skipped = 0
        self._health: dict[str, float] = {}
        self._figures: dict[str, float] = {}
        self._snapshot: Checkpoint | None = None
        self._is_whole = True

    def run(self) -> int:
        """All rounds that are left, then the report.

        Returns:
            0, or 128 and the number of the signal that ended it.
        """
        with contextlib.suppress(KeyboardInterrupt):
            while self.algorithm.step_count < self._total_steps and self._interrupts.signal is None:
                with self._interrupts.finish_round():
                    self._round()
            if self._interrupts.signal is None:
                self._finish()
                return 0
        return self._stop()

    def _round(self) -> None:
        """One round and what is due after it."""
        self._is_whole = False
        judged_before = self.algorithm.weights.nets[self.algorithm.judged_net]
        before = self.algorithm.checkpoint() if self._num_skipped < self._run.log.skip_nonfinite else None
        try:
            self.algorithm.train()
        except NonFiniteError as error:
            self._leave_out(before, self._with_dump(error))
            return
        except WorkerError:
            with contextlib.suppress(CheckpointError):
                self._save_if_new(self._last_whole())
            raise
        self._is_whole = True
        report = self.algorithm.report
        report.figures |= self._health | {_NON_FINITE: float(self._num_skipped)}
        self._health = {}
        self._history.append(HistoryEntry(report.step, report.phase, "round", report.seconds, report.figures))
        self._log.round(report, self._shown(report))
        self._progress.round(report)
        self._snapshot = self.algorithm.checkpoint() if report.seconds > SNAPSHOT_SECONDS else None
        log, is_last = self._run.log, report.step == self._total_steps
        ends_phase = report.phase_round == report.phase_rounds
        judged = self.algorithm.weights.nets[self.algorithm.judged_net]
        is_new = judged is not judged_before  # not after a round of D alone
        if is_new and (ends_phase or is_last or (log.eval_every and report.step % log.eval_every == 0)):
            self._evaluate()
        is_late = time.monotonic() - self._saved_at > 60 * log.checkpoint_minutes
        is_due = log.checkpoint_every and report.step % log.checkpoint_every == 0
        if ends_phase or is_last or is_late or is_due:
            self._save(self._snapshot or self.algorithm.checkpoint())
        if ends_phase:
            for name, tensors in self._system.keep(report.phase, self.algorithm).items():
                self._directory.write_tensors(name, tensors)

    def _with_dump(self, error: NonFiniteError) -> NonFiniteError:
        """The same error, which names the file that the batch of its round is in, where there is a batch."""
        batch = self.algorithm.report.batch
        tensors = {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)} if batch else {}
        tensors |= error.batch
        if not tensors:
            return error
        path = self._directory.write_tensors(f"nonfinite-{self.algorithm.step_count + 1:06d}", tensors)
        return error if path is None else NonFiniteError(f"{error} The batch of that round: {path}")

    def _leave_out(self, before: Checkpoint | None, error: NonFiniteError) -> None:
        """Go on after a round with a NaN as if it had changed nothing, with the random numbers of the next one."""
        step = self.algorithm.step_count + 1
        self._log.evaluation(step, {_NON_FINITE: self._num_skipped + 1.0}, [])
        if before is None:
            raise error
        phase, index = self.algorithm.current_phase()
        if index + 1 == phase.num_rounds:
            raise error
        self._num_skipped += 1
        self.algorithm.leave_out_round(before)
        self._is_whole = True
        self._progress.message(
            f"rlgan: warning: round {step} is left out ({self._num_skipped} of {self._run.log.skip_nonfinite}): {error}"
        )

    def _shown(self, report: Any) -> Shown:
        """What there is to see of a round: every few rounds, and at both ends of a phase."""
        is_due = report.phase_round % SHOW_EVERY in {0, 1} or report.phase_round == report.phase_rounds
        return self._system.show(report, self.algorithm.source) if is_due else Shown()

    def _evaluate(self) -> None:
        """Measure what has been trained, with random numbers of the step."""
        started = time.monotonic()
        report = self.algorithm.report
        seed = derive_seed(self._run.seed, "evaluation", report.step)
        judgement = self._system.judge(self.algorithm, self._run, seed)
        self._figures = judgement.figures
        seconds = time.monotonic() - started
        self._history.append(HistoryEntry(report.step, report.phase, "eval", seconds, self._figures))
        samples = judgement.samples[:SAMPLES_SHOWN]
        self._log.evaluation(report.step, self._figures, samples, judgement.shown)
        self._progress.evaluation(report.step, self._figures, samples)
        self._directory.write_samples(report.step, judgement.samples)
        if GRID in judgement.shown.images:
            self._directory.write_picture(report.step, judgement.shown.images[GRID])

    def _save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; a disk that refuses costs a warning, and the run when it refuses again and again."""
        started = self._saved_at = time.monotonic()
        try:
            with self._interrupts.finish_save():
                save_checkpoint(self._directory.checkpoints, checkpoint, keep=self._run.log.keep_checkpoints)
        except CheckpointError as error:
            self._failed_saves += 1
            if self._failed_saves >= MAX_FAILED_SAVES:
                raise
            self._progress.message(f"rlgan: warning: {error} ({self._failed_saves} of {MAX_FAILED_SAVES} tries)")
            return
        self._failed_saves, self.saved_step = 0, checkpoint.step
        self._health = {
            "health/checkpoint_seconds": time.monotonic() - started,
            "health/last_checkpoint_step": float(checkpoint.step),
        }

    def _last_whole(self) -> Checkpoint | None:
        """In the middle of a round: the state before it, where it is in memory."""
        return self._snapshot or self.algorithm.last_whole

    def _save_if_new(self, checkpoint: Checkpoint | None) -> None:
        """Save what is not on the disk yet."""
        if checkpoint is not None and checkpoint.step > max(self.saved_step, 0):
            self._save(checkpoint)

    def _stop(self) -> int:
        """Save what is whole, and say how to go on."""
        self._save_if_new(self.algorithm.checkpoint() if self._is_whole else self._last_whole())
        self._log.close()
        signal, path = self._interrupts.signal, self._directory.path
        place = f"the checkpoint of step {self.saved_step} is in" if self.saved_step > 0 else "no round was whole in"
        self._progress.message(
            f"rlgan: {signal.name if signal else 'interrupt'}: {place} {path}; go on with "
            f"`rlgan train {self._run.system} --run-dir {path} --resume auto`"
        )
        return self._interrupts.exit_code

    def _finish(self) -> None:
        """The last records, and the report."""
        self._log.hyperparameters(self._run.model_dump(mode="json"), self._figures)
        self._log.close()
        path = self._directory.path
        try:
            self._system.conclude(self.algorithm, self._run, path)
        except (OSError, RlganError) as error:
            self._progress.message(f"rlgan: warning: the report lacks the last measurements ({error})")
        try:
            report = write_report(path)
        except OSError as error:
            self._progress.message(f"rlgan: warning: the report cannot be written ({error.strerror or error})")
        else:
            self._progress.message(f"rlgan: report {report}")
        following = self._system.next_command.format(run=path)
        self._progress.message(f"rlgan: done after step {self.algorithm.step_count}; try `{following}`")
