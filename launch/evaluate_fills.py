"""`rlgan eval` for a run of MaskGAN: its fills beside those of the MaskMLE it started from; without Ray."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlgan.blanks import BlankConfig
from rlgan.errors import ConfigError
from rlgan.evaluation import SWEEP_TEMPERATURES, SweepPoint, figures_at_entropy
from rlgan.infilling_evaluation import evaluate_infilling, infilling_temperature_sweep
from rlgan.launch.fill_nets import load_fill_nets
from rlgan.launch.generator import checkpoint_at
from rlgan.launch.options import OptionStyle, parse_options
from rlgan.launch.report import write_report
from rlgan.launch.temperature_sweep import EVALUATION_FILE, save_sweep
from rlgan.launch.trained_run import data_of
from rlgan.metrics.quality_diversity import ExtrapolationError
from rlgan.models.infilling import InfillingGenerator, LanguageModel
from rlgan.types import TokenSource

STYLE = OptionStyle(
    "rlgan eval",
    "Measure the newest checkpoint of a MaskGAN run, and MaskMLE beside it: fills of held-out texts.",
    positional="run",
)


class EvaluateFillsOptions(BaseModel):
    """All options of `rlgan eval` for a run of MaskGAN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    run: Path = Field(description="Run directory, whose newest checkpoint is measured.")
    num_samples: int = Field(2000, ge=2, le=1_000_000, description="Texts to fill (2000); held-out ones come again.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of blanks and fills.")
    blanks: Literal["run", "everything"] = Field(
        "run", description="What is hidden: as the run learned it, or everything (unconditional generation)."
    )
    sweep: bool = Field(
        False, description="Measure MaskMLE at several temperatures too, and write RUN/report.html anew with them."
    )
    temperatures: tuple[float, ...] = Field(
        SWEEP_TEMPERATURES, min_length=2, description="With --sweep: what the logits of MaskMLE are divided by."
    )


def evaluate(arguments: Sequence[str], console: Console | None = None) -> int:
    """Run `rlgan eval`.

    Args:
        arguments: the words after it.
        console: where the results show; None: standard output.

    Returns:
        0.

    Raises:
        ConfigError: if a temperature is not positive, or the run directory cannot be written.
    """
    options = parse_options(EvaluateFillsOptions, arguments, STYLE)
    if min(options.temperatures) <= 0:
        raise ConfigError(f"--temperatures must be positive; got {min(options.temperatures)}.")
    checkpoint = checkpoint_at(options.run)
    nets = load_fill_nets(checkpoint, options.run)
    blanks = nets.blanks if options.blanks == "run" else BlankConfig(kind="everything")
    judged = Judged(nets.generators, nets.language_model, data_of(checkpoint, options.run), blanks, checkpoint.step)
    found = measure_fills(judged, options.num_samples, options.seed, options.temperatures if options.sweep else ())
    _show(console or Console(), options.run, checkpoint.step, found.columns)
    if options.blanks == "run":
        try:
            found.write(options.run)
            if options.sweep:
                write_report(options.run)
        except OSError as error:
            raise ConfigError(f"{options.run}: cannot be written ({error.strerror or error}).") from None
    return 0


@dataclass(frozen=True)
class Judged:
    """What there is to judge of a run.

    Attributes:
        generators: "maskgan" and "mask_mle".
        language_model: of the first stage.
        source: the data it learned from.
        blanks: which words are hidden.
        step: rounds it was trained for.
    """

    generators: Mapping[str, InfillingGenerator]
    language_model: LanguageModel
    source: TokenSource
    blanks: BlankConfig
    step: int


@dataclass(frozen=True)
class FillFigures:
    """The figures of a run's fills.

    Attributes:
        columns: "maskgan", "mask_mle" and, with a sweep, "mask_mle_at_equal_entropy" -> values by TensorBoard tag.
        sweep: MaskMLE by temperature.
        step: of the run.
        num_samples: texts that were filled.
        seed: of blanks and fills.
    """

    columns: Mapping[str, Mapping[str, float]]
    sweep: Sequence[SweepPoint]
    step: int
    num_samples: int
    seed: int

    def write(self, path: Path) -> None:
        """Leave evaluation.json and the sweep for the report; an OSError says that they cannot be written.

        Args:
            path: the run directory.
        """
        figures = {"step": float(self.step), **self.columns["maskgan"]}
        rest = {name: row for name, row in self.columns.items() if name != "maskgan"}
        content = {"num_samples": self.num_samples, "seed": self.seed, "figures": figures, **rest}
        text = json.dumps(_plain(content), indent=1, allow_nan=False)
        (path / EVALUATION_FILE).write_text(text, encoding="utf-8")
        if self.sweep:
            save_sweep(path, self.sweep, self.num_samples, self.seed)


def measure_fills(judged: Judged, num_samples: int, seed: int, temperatures: Sequence[float] = ()) -> FillFigures:
    """Measure both generators on the same blanks, and MaskMLE by temperature.

    Args:
        judged: of a run.
        num_samples: texts to fill.
        seed: of blanks and fills.
        temperatures: of the sweep; none: no sweep.

    Returns:
        The figures.
    """
    common = (judged.language_model, judged.source, judged.blanks)
    rest = (num_samples, seed, judged.blanks.last_rate)
    columns = {name: evaluate_infilling(net, *common, *rest).figures for name, net in judged.generators.items()}
    sweep: list[SweepPoint] = []
    if temperatures:
        sweep = infilling_temperature_sweep(judged.generators["mask_mle"], *common, temperatures, *rest)
        columns["mask_mle_at_equal_entropy"] = _at_equal_entropy(sweep, columns["maskgan"])
    return FillFigures(columns, sweep, judged.step, num_samples, seed)


def _at_equal_entropy(sweep: Sequence[SweepPoint], figures: Mapping[str, float]) -> dict[str, float]:
    """MaskMLE's figures at the entropy of MaskGAN; none where that is outside the sweep."""
    try:
        return figures_at_entropy(sweep, figures["gen/entropy"])
    except ExtrapolationError:
        return {}


def _show(console: Console, path: Path, step: int, columns: Mapping[str, Mapping[str, float]]) -> None:
    """A table for people, then one line of JSON for programs."""
    table = Table("", *(name.replace("_", " ") for name in columns), title_justify="left", box=None, padding=(0, 1))
    table.title = Text(f"{path}, step {step}")
    for tag in columns["maskgan"]:
        table.add_row(Text(tag), *(f"{row[tag]:,.4f}" if tag in row else "outside" for row in columns.values()))
    console.print(table)
    line = json.dumps({"step": step, **_plain(columns)}, allow_nan=False)
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold: null for what is no finite number."""
    return {
        name: _plain(value) if isinstance(value, Mapping) else value if math.isfinite(value) else None
        for name, value in content.items()
    }
