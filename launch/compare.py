"""`rlgan eval --compare`: several seeds of several kinds of run in one table and one quality-diversity plot."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from rlgan.errors import ConfigError
from rlgan.evaluation import SweepPoint, evaluate_generator, evaluate_sequences, mle_temperature_sweep
from rlgan.launch.comparison import Comparison, RunResult
from rlgan.launch.comparison_files import write_comparison
from rlgan.launch.history import History
from rlgan.launch.plots import DIVERSITY_AXES, QUALITY_AXES, Axis, axes_for
from rlgan.launch.run_labels import differences, is_control, labels_of
from rlgan.launch.trained_run import SourceCache, TrainedRun, open_run
from rlgan.models import RecurrentGenerator
from rlgan.seeding import torch_generator


@dataclass(frozen=True)
class Protocol:
    """How every run is judged.

    Example:
        `Protocol(num_samples=2000, seed=0, temperatures=(0.7, 0.8, 0.9, 1.0), diversity="auto", quality="auto")`

    Attributes:
        num_samples: sequences drawn from every generator.
        seed: of the draws.
        temperatures: of the sweeps of the likelihood models.
        diversity: a name in `DIVERSITY_AXES`, or "auto".
        quality: a name in `QUALITY_AXES`, or "auto".
    """

    num_samples: int
    seed: int
    temperatures: tuple[float, ...]
    diversity: str
    quality: str


def compare_runs(paths: Sequence[Path], output: Path, protocol: Protocol, console: Console) -> Comparison:
    """Judge runs, and write comparison.md, comparison.json and comparison.png.

    Args:
        paths: run directories.
        output: where the files go.
        protocol: how every run is judged.
        console: where progress and the table show.

    Returns:
        What was written.

    Raises:
        ConfigError: if a run is given twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise ConfigError("--compare: a run is given twice. Give every run once.")
    sources = SourceCache()
    runs = [open_run(path, sources) for path in paths]
    _require_one_corpus(runs)
    configs = [run.config for run in runs]
    labels = labels_of(configs)
    sweeps: dict[str, tuple[SweepPoint, ...]] = {}
    results = []
    for run, label in zip(runs, labels, strict=True):
        _say(console, f"{run.path}: {label}, seed {run.config.get('seed', 0)}, step {run.step}")
        results.append(_judged(run, label, _sweep_of(run, protocol, sweeps), protocol))
    diversity, quality = _plane(protocol, [result.figures for result in results])
    comparison = Comparison(
        results=tuple(results),
        real=_real_figures(runs[0], protocol),
        diversity=diversity,
        quality=quality,
        settings=differences(configs, labels),
        num_samples=protocol.num_samples,
        seed=protocol.seed,
        data=runs[0].source.name,
    )
    write_comparison(comparison, output, console)
    return comparison


def _sweep_of(run: TrainedRun, protocol: Protocol, known: dict[str, tuple[SweepPoint, ...]]) -> tuple[SweepPoint, ...]:
    """The sweep of the likelihood model of a run; runs that started from the same weights share one."""
    if run.likelihood is None:
        return ()
    key = _weights_hash(run.likelihood)
    if key not in known:
        temperatures = sorted({*protocol.temperatures, 1.0})
        known[key] = tuple(
            mle_temperature_sweep(run.likelihood, run.source, temperatures, protocol.num_samples, protocol.seed)
        )
    return known[key]


def _judged(run: TrainedRun, label: str, sweep: tuple[SweepPoint, ...], protocol: Protocol) -> RunResult:
    """The figures of one run."""
    evaluations = [entry for entry in History(run.path).read() if entry.kind == "eval"]
    first = next((number for number, entry in enumerate(evaluations) if entry.phase == "adversarial"), len(evaluations))
    return RunResult(
        path=run.path,
        label=label,
        seed=int(run.config.get("seed", 0)),
        step=run.step,
        is_control=is_control(run.config),
        figures=evaluate_generator(run.generator, run.source, protocol.num_samples, protocol.seed).figures,
        likelihood=next((point.figures for point in sweep if point.temperature == 1.0), {}),
        sweep=sweep,
        trajectory=tuple(entry.figures for entry in evaluations[max(0, first - 1) :]),
    )


def _real_figures(run: TrainedRun, protocol: Protocol) -> dict[str, float]:
    """Figures of real training sequences under the same protocol."""
    train_NT = run.source.train_NT
    order = torch.randperm(len(train_NT), generator=torch_generator(protocol.seed, "real data"))
    figures = evaluate_sequences(train_NT[order[: protocol.num_samples]], run.source).figures
    return {tag: value for tag, value in figures.items() if tag != "eval/copied_from_training"}


def _require_one_corpus(runs: Sequence[TrainedRun]) -> None:
    """Figures of different data cannot be compared."""
    names = {run.source.fingerprint(): f"{run.path} ({run.source.name})" for run in runs}
    if len(names) > 1:
        raise ConfigError(f"--compare: the runs learned from different data: {', '.join(names.values())}.")


def _plane(protocol: Protocol, rows: Sequence[Mapping[str, float]]) -> tuple[Axis, Axis]:
    """The axes that were asked for, if they were measured."""
    automatic = axes_for(rows[0])
    if automatic is None:
        raise ConfigError("--compare: the data has neither an oracle nor held-out sequences to judge quality by.")
    diversity = automatic[0] if protocol.diversity == "auto" else DIVERSITY_AXES[protocol.diversity]
    quality = automatic[1] if protocol.quality == "auto" else QUALITY_AXES[protocol.quality]
    for axis, option in ((diversity, "diversity"), (quality, "quality")):
        if any(axis.tag not in row for row in rows):
            raise ConfigError(f"--{option}: {axis.label} was not measured on this data. Leave it at auto.")
    return diversity, quality


def _weights_hash(net: RecurrentGenerator) -> str:
    """What two equal likelihood models have in common."""
    digest = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _say(console: Console, text: str) -> None:
    """One plain line."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)
