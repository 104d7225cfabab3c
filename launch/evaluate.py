"""`rlgan eval`: measure a run, a file of sequences, or several runs against each other; without Ray."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlgan.data import CorpusConfig, Oracle
from rlgan.data.corpus import read_integer_sequences
from rlgan.data.oracle_source import load_oracle
from rlgan.errors import ConfigError
from rlgan.evaluation import SWEEP_TEMPERATURES, evaluate_generator, mle_temperature_sweep
from rlgan.launch.compare import Protocol, compare_runs
from rlgan.launch.options import OptionStyle, parse_options
from rlgan.launch.report import write_report
from rlgan.launch.temperature_sweep import EVALUATION_FILE, save_sweep
from rlgan.launch.trained_run import LIKELIHOOD_FILE, TrainedRun, open_run

STYLE = OptionStyle(
    "rlgan eval",
    "Measure the newest checkpoint of RUN, the sequences of a file (--sequences), or several runs (--compare).",
    positional="run",
)


class EvaluateOptions(BaseModel):
    """All options of `rlgan eval`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    run: Path | None = Field(None, description="Run directory, whose newest checkpoint is measured.")
    sequences: Path | None = Field(
        None, description="File of integer sequences, one a line, that the oracle scores instead of a run."
    )
    compare: tuple[Path, ...] = Field(
        (), description="Run directories, several seeds of each kind of run, for one table and one plot."
    )
    num_samples: int = Field(2000, ge=2, le=1_000_000, description="Sequences drawn from every generator (2000).")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the draws.")
    sweep: bool = Field(
        False,
        description="With RUN: measure the likelihood model it started from at several temperatures too, and write "
        "RUN/report.html anew with them.",
    )
    temperatures: tuple[float, ...] = Field(
        SWEEP_TEMPERATURES,
        min_length=2,
        description="With --sweep and --compare: what the likelihood model's logits are divided by.",
    )
    diversity: Literal["auto", "entropy", "self-bleu-2", "self-bleu-3", "self-bleu-4", "self-bleu-5"] = Field(
        "auto", description="With --compare: at equal what; auto: entropy with an oracle, self-bleu-3 for text."
    )
    quality: Literal["auto", "nll-oracle", "bleu-2", "bleu-3", "bleu-4", "bleu-5"] = Field(
        "auto", description="With --compare: what is compared; auto: nll-oracle with an oracle, bleu-3 for text."
    )
    output: Path = Field(Path("comparison"), description="With --compare: directory of the table and the plot.")
    oracle_file: Path | None = Field(
        None, description="With --sequences: safetensors file of the oracle; None draws it from --oracle-seed."
    )
    oracle_seed: int = Field(
        CorpusConfig.model_fields["oracle_seed"].default,
        ge=0,
        lt=2**63,
        description="With --sequences: seed of the oracle's parameters (default: that of `rlgan train`).",
    )
    vocab_size: int | None = Field(
        None, ge=2, le=1_000_000, description="With --sequences: number of ids; None: 5000, or what the file has."
    )

    @model_validator(mode="after")
    def _one_thing_at_a_time(self) -> "EvaluateOptions":
        """Refuse no task, and several."""
        tasks = [self.run is not None, self.sequences is not None, bool(self.compare)]
        if sum(tasks) != 1:
            raise ValueError("expected one of RUN, --sequences FILE and --compare RUN RUN ...")
        if min(self.temperatures) <= 0:
            raise ValueError(f"--temperatures must be positive; got {min(self.temperatures)}")
        if self.oracle_file is not None and self.sequences is None:
            raise ValueError("--oracle-file is for --sequences: a run knows its own oracle")
        return self


def evaluate(arguments: Sequence[str], console: Console | None = None) -> int:
    """Run `rlgan eval`.

    Args:
        arguments: the words after it.
        console: where the results show; None: standard output.

    Returns:
        0.
    """
    options = parse_options(EvaluateOptions, arguments, STYLE)
    console = console or Console()
    if options.sequences is not None:
        result = score_file(options)
        _show(console, f"{options.sequences}", result)
    elif options.run is not None:
        result = evaluate_run(options.run, options)
        _show(console, f"{options.run}", result)
    else:
        protocol = Protocol(options.num_samples, options.seed, options.temperatures, options.diversity, options.quality)
        compare_runs(options.compare, options.output, protocol, console)
    return 0


def score_file(options: EvaluateOptions) -> dict[str, float]:
    """NLL of the sequences of a file under an oracle.

    Args:
        options: which file, which oracle.

    Returns:
        Mean and standard error (nats per token), standard deviation of the sequences' means, and counts.
    """
    assert options.sequences is not None
    config = CorpusConfig(oracle_file=options.oracle_file, vocab_size=options.vocab_size)
    oracle = load_oracle(config) or Oracle.draw(options.oracle_seed, options.vocab_size or 5000)
    tokens_NT = read_integer_sequences(options.sequences, vocab_size=oracle.vocab_size)
    mean_N = oracle.nll(tokens_NT).double().mean(dim=1).tolist()
    spread = statistics.stdev(mean_N) if len(mean_N) > 1 else math.nan
    return {
        "gen/nll_oracle": statistics.fmean(mean_N),
        "standard_error": spread / math.sqrt(len(mean_N)),
        "sd_of_sequences": spread,
        "num_sequences": float(len(mean_N)),
        "tokens_per_sequence": float(tokens_NT.shape[1]),
    }


def evaluate_run(path: Path, options: EvaluateOptions) -> dict[str, float]:
    """The figures of a run's newest checkpoint; written to RUN/evaluation.json too.

    Args:
        path: the run directory.
        options: how many samples, which seed, whether with a sweep.

    Returns:
        Values by TensorBoard tag, and the step of the checkpoint.

    Raises:
        ConfigError: if the report cannot be written.
    """
    run = open_run(path)
    result = measure_run(run, options.num_samples, options.seed)
    if options.sweep:
        sweep_run(run, options.num_samples, options.seed, options.temperatures)
        try:
            write_report(path)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror or error}).") from None
    return result


def measure_run(run: TrainedRun, num_samples: int, seed: int) -> dict[str, float]:
    """Measure a run's generator, and leave the figures in RUN/evaluation.json.

    Args:
        run: opened.
        num_samples: sequences to draw.
        seed: of the draw.

    Returns:
        Values by TensorBoard tag, and the step.
    """
    figures = evaluate_generator(run.generator, run.source, num_samples, seed).figures
    result = {"step": float(run.step), **figures}
    content = {"num_samples": num_samples, "seed": seed, "figures": _plain(result)}
    _write_text(run.path / EVALUATION_FILE, json.dumps(content, indent=1, allow_nan=False))
    return result


def sweep_run(run: TrainedRun, num_samples: int, seed: int, temperatures: Sequence[float] = SWEEP_TEMPERATURES) -> None:
    """Measure a run's likelihood model at several temperatures, and leave the sweep for its report.

    Args:
        run: opened.
        num_samples: sequences at each temperature.
        seed: of the draws.
        temperatures: what the logits are divided by.

    Raises:
        ConfigError: if the run kept no likelihood model, or its directory cannot be written.
    """
    if run.likelihood is None:
        raise ConfigError(f"--sweep: {run.path / LIKELIHOOD_FILE} is missing; the run kept no likelihood model.")
    points = mle_temperature_sweep(run.likelihood, run.source, temperatures, num_samples, seed)
    try:
        save_sweep(run.path, points, num_samples, seed)
    except OSError as error:
        raise ConfigError(f"{run.path}: cannot be written ({error.strerror or error}).") from None


def _show(console: Console, title: str, result: Mapping[str, float]) -> None:
    """A table for people, then one line of JSON for programs."""
    table = Table(title=Text(title), title_justify="left", show_header=False, box=None)
    for name, value in result.items():
        table.add_row(Text(name), f"{value:,.0f}" if value.is_integer() and abs(value) > 1 else f"{value:.4f}")
    console.print(table)
    line = json.dumps(_plain(result), allow_nan=False)
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    """What JSON can hold."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _write_text(path: Path, text: str) -> None:
    """A small file, or one line why not."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error}).") from None
