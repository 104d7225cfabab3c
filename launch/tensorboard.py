"""What a run shows in TensorBoard; docs/tensorboard.md lists every tag."""

# B sequences, T positions

import logging
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.tensorboard import summary

import rlgan
from rlgan.launch.event_file import EventFile
from rlgan.launch.system import Shown
from rlgan.launch.token_tables import as_markdown, escaped

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

    from rlgan.policies.rounds import RoundReport

NOTHING = Shown()
HParam = bool | int | float | str | None
_HISTOGRAM_BINS = 40
_logger = logging.getLogger(__name__)


class TensorBoardLog:
    """Writes rounds and evaluations into one directory; a disk that refuses costs one warning and the figures in hand.

    Example:
        `log = TensorBoardLog(Path("runs/a/tensorboard"), purge_step=None)`, then `.round(algorithm.report, source)`.

    Attributes:
        directory: where the event files are.
    """

    def __init__(self, directory: Path, purge_step: int | None) -> None:
        """Open an event file.

        Args:
            directory: what `tensorboard --logdir` shows; created if its parent exists.
            purge_step: on resume the first step that is done again (the checkpoint's plus 1); None for a new run.
        """
        self.directory = directory
        self._purge_step = purge_step
        self._file: EventFile | None = None
        self._has_warned = False
        self._last_step = 0
        self._tags: set[str] = set()
        self._tags_of_step: set[str] = set()
        self._open()

    def round(self, report: "RoundReport", shown: Shown = NOTHING) -> None:
        """Write what a round did.

        Args:
            report: of the algorithm.
            shown: texts and pictures of it.
        """
        summaries = self._scalars(report.step, report.figures)
        for tag, values in report.histograms.items():
            finite = values.detach().double().flatten().cpu()
            finite = finite[finite.isfinite()]
            if len(finite):
                summaries.append(summary.histogram(tag, finite.numpy().astype(np.float64), bins=_HISTOGRAM_BINS))
        self._write(report.step, summaries + _media(shown))

    def evaluation(
        self, step: int, figures: Mapping[str, float], samples: Sequence[str], shown: Shown = NOTHING
    ) -> None:
        """Write what an evaluation found. A tag that the round of the same step has written is not written again.

        Args:
            step: the step of the last round.
            figures: values by tag.
            samples: generated texts, drawn without choosing.
            shown: other texts, and pictures.
        """
        fresh = {tag: value for tag, value in figures.items() if tag not in self._tags_written(step)}
        summaries = self._scalars(step, fresh)
        if samples:
            lines = "\n".join(f"1. {escaped(sample)}" for sample in samples)
            summaries.append(summary.text("samples/generated", lines))
        self._write(step, summaries + _media(shown))

    def configuration(self, config_yaml: str, step: int = 0) -> None:
        """Write the configuration and the versions, once.

        Args:
            config_yaml: the text of config.yaml.
            step: the step the run starts from.
        """
        versions = {"rlgan": rlgan.__version__, "torch": torch.__version__, "python": platform.python_version()}
        self._write(
            step,
            [
                summary.text("run/config", as_markdown(config_yaml)),
                summary.text("run/versions", "\n".join(f"- {name} {escaped(v)}" for name, v in versions.items())),
            ],
        )

    def hyperparameters(self, values: Mapping[str, object], figures: Mapping[str, float]) -> None:
        """Write the row of this run in the HPARAMS tab; once, at the end.

        Args:
            values: settings by name; nested mappings become dotted names.
            figures: what the run is judged by, by TensorBoard tag.
        """
        metrics = {tag: value for tag, value in figures.items() if math.isfinite(value)}
        summaries = list(summary.hparams(_flat(values), metrics))
        missing = {tag: value for tag, value in metrics.items() if tag not in self._tags}
        self._write(self._last_step, summaries + self._scalars(self._last_step, missing))

    def close(self) -> None:
        """Write no more; everything written so far is on the disk already."""
        self._file = None

    def _tags_written(self, step: int) -> set[str]:
        """The tags that this step has already."""
        return self._tags_of_step if step == self._last_step else set()

    def _scalars(self, step: int, figures: Mapping[str, float]) -> "list[Summary]":
        """Summaries of plain numbers; remembers their tags."""
        if step != self._last_step:
            self._last_step, self._tags_of_step = step, set()
        self._tags |= figures.keys()
        self._tags_of_step |= figures.keys()
        return [summary.scalar(tag, value) for tag, value in figures.items()]

    def _open(self) -> None:
        """Make an event file, or warn."""
        try:
            self._file = EventFile(self.directory, self._purge_step)
            self._purge_step = None
        except OSError as error:
            self._fail(error)

    def _write(self, step: int, summaries: "Sequence[Summary]") -> None:
        """Append summaries; where that fails, the next round tries a new file."""
        if self._file is None:
            self._open()
        if self._file is None:
            return
        try:
            for one in summaries:
                self._file.add(one, step)
            self._file.flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        """Warn the first time."""
        self._file = None
        if not self._has_warned:
            self._has_warned = True
            reason = error.strerror or error
            _logger.warning("%s: TensorBoard events cannot be written (%s); training goes on.", self.directory, reason)


def _media(shown: Shown) -> "list[Summary]":
    """Summaries of texts and pictures."""
    texts = [summary.text(tag, text) for tag, text in shown.texts.items()]
    return texts + [summary.image(tag, picture, dataformats="HWC") for tag, picture in shown.images.items()]


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, HParam]:
    """Settings with dotted names and values that TensorBoard can show."""
    flat: dict[str, HParam] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
