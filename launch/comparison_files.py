"""The files and the table of a comparison."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlgan.errors import ConfigError
from rlgan.launch.comparison import FIGURE_NAMES, GAIN, MLE_HELD_OUT_THERE, MLE_THERE, REAL, Cell, Comparison, Rows
from rlgan.launch.plots import Cloud, quality_diversity_png
from rlgan.metrics.quality_diversity import Summary, summarise

_ON_TERMINAL = ("gen/nll_oracle", "gen/nll_test", "gen/entropy", "eval/distinct_2")
_LONGEST_SETTING = 30


def write_comparison(comparison: Comparison, output: Path, console: Console) -> None:
    """Write comparison.md, comparison.json and comparison.png, and show the table.

    Args:
        comparison: what to write.
        output: the directory, created if need be.
        console: where the table shows.

    Raises:
        ConfigError: if the directory cannot be written.
    """
    contents = {
        "comparison.png": comparison_png(comparison),
        "comparison.md": comparison_markdown(comparison).encode(),
        "comparison.json": json.dumps(comparison_json(comparison), indent=1, allow_nan=False).encode(),
    }
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (output / name).write_bytes(content)
    except OSError as error:
        raise ConfigError(f"--output {output}: cannot be written ({error.strerror or error}).") from None
    _show(comparison, console)
    written = ", ".join(str(output / name) for name in contents)
    console.print(f"written: {written}", markup=False, highlight=False, soft_wrap=True)


def comparison_png(comparison: Comparison) -> bytes:
    """All runs in one plane, over the sweeps.

    Args:
        comparison: the runs.

    Returns:
        A PNG file.
    """
    clouds: dict[str, list[tuple[float, float]]] = {}
    trails: dict[str, list[list[tuple[float, float]]]] = {}
    sweeps: dict[tuple[tuple[float, float], ...], Cloud] = {}
    for result in comparison.results:
        clouds.setdefault(result.label, []).append(_place(comparison, result.figures))
        way = [figures for figures in result.trajectory if comparison.is_comparable(figures, result.figures)]
        trails.setdefault(result.label, []).append([_place(comparison, figures) for figures in way])
        points = tuple(_place(comparison, point.figures) for point in result.sweep)
        if points:
            notes = [f"{point.temperature:g}" for point in result.sweep]
            sweeps[points] = Cloud("likelihood model by temperature", points, notes=notes)
    if comparison.is_comparable(comparison.real, comparison.results[0].figures):
        clouds[REAL] = [_place(comparison, comparison.real)]
    note = f"one point a seed, thin lines its way there · {comparison.num_samples} sequences each · {comparison.data}"
    groups = [Cloud(label, points, trails=trails.get(label, [])) for label, points in clouds.items()]
    return quality_diversity_png(groups, list(sweeps.values()), comparison.diversity, comparison.quality, note)


def _place(comparison: Comparison, figures: Mapping[str, float]) -> tuple[float, float]:
    """Where a model is in the plane."""
    return figures.get(comparison.diversity.tag, math.nan), figures.get(comparison.quality.tag, math.nan)


def comparison_markdown(comparison: Comparison) -> str:
    """The whole comparison as a page.

    Args:
        comparison: the runs.

    Returns:
        Markdown.
    """
    where = comparison.diversity.label.split(" (")[0]
    rows, controls = comparison.group_rows(), comparison.control_rows()
    columns = _columns(comparison, rows, FIGURE_NAMES)
    lines = [
        f"# Comparison on {comparison.data}",
        "",
        f"{comparison.num_samples} sequences from every generator, drawn with seed {comparison.seed}. Mean ± standard "
        "deviation over seeds; NLL and entropy in nats per token.",
        "",
        *_markdown_table(["", "seeds", *columns.values()], [_cells(name, row, columns) for name, row in rows.items()]),
        "",
        f"“MLE at equal {where}” is what the likelihood model of the same seed reaches by its temperature alone at the "
        "diversity of the run, by linear interpolation in its sweep. Nothing is extrapolated.",
    ]
    lines += _refusals(comparison)
    if controls:
        names = sorted({name for row in controls.values() for name in row})
        body = [[label, *(_text(row.get(name, [])) for name in names)] for label, row in controls.items()]
        lines += ["", f"## Better than a control at equal {where} by", "", *_markdown_table(["", *names], body), ""]
        lines += ["A control is read from the evaluations along its adversarial rounds, for runs of the same seed."]
    if comparison.settings:
        labels = list(next(iter(comparison.settings.values())))
        body = [[name, *(_short(values[label]) for label in labels)] for name, values in comparison.settings.items()]
        lines += ["", "## Settings that differ", "", *_markdown_table(["", *labels], body)]
    runs = [f"- {run.label}, seed {run.seed}: {run.path}, step {run.step}" for run in comparison.results]
    return "\n".join([*lines, "", "## Runs", "", *runs, "", "![quality and diversity](comparison.png)", ""])


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The whole comparison as JSON values.

    Args:
        comparison: the runs.

    Returns:
        Mean, sd, n and the figure of each seed, by group and column; a text in the place of a figure says why there is
        none.
    """
    runs = [
        {
            "path": str(run.path),
            "label": run.label,
            "seed": run.seed,
            "step": run.step,
            "sweep": [{"temperature": point.temperature, **_plain(point.figures)} for point in run.sweep],
        }
        for run in comparison.results
    ]
    return {
        "data": comparison.data,
        "num_samples": comparison.num_samples,
        "seed": comparison.seed,
        "diversity": comparison.diversity.tag,
        "quality": comparison.quality.tag,
        "groups": _summarised(comparison.group_rows()),
        "gain_over_controls": _summarised(comparison.control_rows()),
        "settings": comparison.settings,
        "runs": runs,
    }


def _show(comparison: Comparison, console: Console) -> None:
    """The table, with fewer columns."""
    rows = comparison.group_rows()
    wanted = dict.fromkeys([*_ON_TERMINAL, comparison.quality.tag, comparison.diversity.tag])
    columns = _columns(comparison, rows, {tag: FIGURE_NAMES[tag] for tag in wanted})
    table = Table("", "seeds", *columns.values(), box=None, padding=(0, 1))
    for label, row in rows.items():
        table.add_row(*(Text(cell) for cell in _cells(label, row, columns)))
    console.print(table)
    controls = comparison.control_rows()
    if controls:
        names = sorted({name for row in controls.values() for name in row})
        table = Table("better at equal diversity by, than", *names, box=None, padding=(0, 1))
        for label, row in controls.items():
            table.add_row(Text(label), *(Text(_text(row.get(name, []))) for name in names))
        console.print(table)


def _columns(comparison: Comparison, rows: Rows, figures: dict[str, str]) -> dict[str, str]:
    """Columns that hold something, with their headings."""
    where = comparison.diversity.label.split(" (")[0].split(" of ")[0]
    derived = {
        MLE_THERE: f"MLE at equal {where}: {FIGURE_NAMES[comparison.quality.tag]}",
        GAIN: "better than that by",
        MLE_HELD_OUT_THERE: f"MLE at equal {where}: NLL held out",
    }
    return {
        name: title for name, title in {**figures, **derived}.items() if any(row.get(name) for row in rows.values())
    }


def _cells(label: str, row: dict[str, list[Cell]], columns: dict[str, str]) -> list[str]:
    """One line of a table."""
    seeds = max((len(values) for values in row.values()), default=0)
    return [label, "" if label == REAL else str(seeds), *(_text(row.get(name, [])) for name in columns)]


def _refusals(comparison: Comparison) -> list[str]:
    """The runs that could not be compared, and why."""
    refused = []
    for run in comparison.results:
        there = comparison.gain_over([point.figures for point in run.sweep], run)
        if isinstance(there, str):
            refused.append(f"- {run.path}: {there}")
    if not refused:
        return []
    return [
        "",
        "Runs without that comparison (wider --temperatures may help; no likelihood.safetensors cannot):",
        *refused,
    ]


def _short(value: str) -> str:
    """A setting that fits a cell."""
    return value if len(value) <= _LONGEST_SETTING else f"{value[:_LONGEST_SETTING]}…"


def _text(values: Sequence[Cell]) -> str:
    """Mean and standard deviation, and how many seeds have none."""
    summary, num_refused = _summary(values), sum(isinstance(value, str) for value in values)
    if summary is None:
        return "none: outside" if num_refused else "–"
    spread = "" if summary.sd is None else f" ± {summary.sd:.2g}"
    note = f" ({summary.n} of {summary.n + num_refused} seeds)" if num_refused else ""
    return f"{summary.mean:.4g}{spread}{note}"


def _summary(values: Sequence[Cell]) -> Summary | None:
    """The summary of what is a finite number."""
    numbers = [value for value in values if not isinstance(value, str) and math.isfinite(value)]
    return summarise(numbers) if numbers else None


def _summarised(rows: Rows) -> dict[str, Any]:
    """Rows as JSON values."""
    content: dict[str, Any] = {}
    for label, row in rows.items():
        for name, values in row.items():
            summary = _summary(values)
            mean, sd, count = (None, None, 0) if summary is None else (summary.mean, summary.sd, summary.n)
            by_seed = [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]
            content.setdefault(label, {})[name] = {"mean": mean, "sd": sd, "n": count, "by_seed": by_seed}
    return content


def _plain(figures: dict[str, float]) -> dict[str, float | None]:
    """What JSON can hold."""
    return {tag: value if math.isfinite(value) else None for tag, value in figures.items()}


def _markdown_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    rows = [head, ["---"] * len(head), *body]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
