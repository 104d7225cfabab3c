"""RUN/report.html: one file that shows what a run did, without the network, with its plots in RUN/plots as well."""

import base64
import html
import logging
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

import rlgan
from rlgan.evaluation import SweepPoint, comparable
from rlgan.launch.history import History, HistoryEntry
from rlgan.launch.plots import Cloud, Curve, PhaseSpan, axes_for, curves_png, quality_diversity_png
from rlgan.launch.report_notes import MEANINGS, reading_notes
from rlgan.launch.temperature_sweep import load_final_figures, load_sweep

_logger = logging.getLogger(__name__)
_MAX_SAMPLES = 20
NOWHERE = (math.nan, math.nan)
_TABLE_TAGS = {
    "gen/nll_oracle": "NLL oracle",
    "gen/nll_test": "NLL held out",
    "gen/entropy": "entropy",
    **{f"eval/bleu_{n}": f"BLEU-{n}" for n in (2, 3, 4, 5)},
    **{f"eval/self_bleu_{n}": f"Self-BLEU-{n}" for n in (2, 3, 4, 5)},
    **{f"eval/distinct_{n}": f"distinct-{n}" for n in (1, 2, 3)},
    "eval/masked_perplexity": "masked perplexity",
    "eval/lm_fill_perplexity": "perplexity of fills",
    "eval/lm_real_perplexity": "of real words",
    "eval/grammatical": "grammatical",
    "eval/true_log_likelihood": "true log-likelihood",
    "eval/divergence": "divergence from truth",
    "eval/distinct_sequences": "distinct sequences",
    "eval/copied_from_training": "copied",
    "eval/fid": "Frechet distance",
    "eval/fid_equal_count": "Frechet distance, equal numbers",
    "eval/judge_confidence": "judge confidence",
    "eval/class_balance": "class total variation",
    "eval/diversity": "diversity",
    "eval/nearest_train_distance": "nearest training image",
    "eval/condition_accuracy": "condition accuracy",
    "eval/condition_judged": "condition, judged",
    "eval/within_class_distance": "within-class distance",
}
_CEILING = {tag: tag.replace("eval/", "eval/real_") for tag in _TABLE_TAGS if tag.startswith("eval/")}
_CEILING["eval/fid_equal_count"] = _CEILING.pop("eval/fid")  # the distance of more images is smaller
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff }
body { max-width: 960px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #ddd }
.facts { color: #555 } img { max-width: 100%; height: auto } li { margin: .3em 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #e5e5e5; white-space: nowrap }
th:first-child, td:first-child { text-align: left } th { color: #555; font-weight: 600 }
pre { background: #f6f6f6; padding: .8em; font-size: 13px; white-space: pre-wrap; word-break: break-word }
.notes li:first-child { font-weight: 600 }
"""


def write_report(run_dir: Path) -> Path:
    """Write the report of a run from its files; a run that was cut short has one too.

    Args:
        run_dir: with history.jsonl, and config.yaml, temperature_sweep.json and samples where there are any.

    Returns:
        RUN/report.html.
    """
    history = History(run_dir).read()
    config_text = _text_of(run_dir / "config.yaml")
    config = _parsed_config(config_text)
    sweep = load_sweep(run_dir)
    final = load_final_figures(run_dir, max((entry.step for entry in history), default=0))
    plots = _plots(history, sweep, final)
    _save_plots(run_dir / "plots", plots)
    parts = [
        f"<h1>{_escaped(run_dir.resolve().name)}</h1>",
        f'<p class="facts">{_escaped(_facts(history, config))}</p>',
        "<h2>How to read this run</h2>",
        _list(reading_notes(history, config, sweep, final), "notes"),
        "<h2>Figures at the end of each phase</h2>",
        _milestones(history),
        *(f"<h2>{_escaped(title)}</h2>{_image(png, title)}" for title, png in plots.items()),
        *_samples(run_dir),
        "<h2>What the figures mean</h2>",
        _list([text for tag, text in MEANINGS.items() if any(tag in entry.figures for entry in history)]),
        "<h2>Configuration</h2>",
        f"<pre>{_escaped(config_text or '(no config.yaml)')}</pre>",
    ]
    path = run_dir / "report.html"
    title = f"rlgan: {_escaped(run_dir.resolve().name)}"
    page = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    page += f"<style>{_STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    temporary = path.with_suffix(".html.tmp")
    temporary.write_text(page, encoding="utf-8", errors="replace")
    temporary.replace(path)
    return path


def _plots(
    history: Sequence[HistoryEntry], sweep: Sequence[SweepPoint], final: Mapping[str, float] | None
) -> dict[str, bytes]:
    """The plots that there are numbers for, by title."""
    phases = _phases(history)
    evaluations = [entry for entry in history if entry.kind == "eval"]
    rounds = [entry for entry in history if entry.kind == "round"]
    plots: dict[str, bytes] = {}

    def add(title: str, curves: Sequence[Curve], y_label: str, y_range: tuple[float, float] | None = None) -> None:
        curves = [curve for curve in curves if any(math.isfinite(value) for value in curve.values)]
        if curves:
            plots[title] = curves_png(curves, phases, y_label, y_range)

    tags = {"gen/nll_oracle": "NLL oracle", "gen/nll_test": "NLL held out", "gen/entropy": "entropy of the policy"}
    add("Likelihood and entropy", [_curve(evaluations, tag, name) for tag, name in tags.items()], "nats per token")
    plane = _quality_diversity(evaluations, sweep, final)
    if plane is not None:
        plots["Quality and diversity"] = plane
    tags = {"eval/bleu_3": "BLEU-3", "eval/self_bleu_3": "Self-BLEU-3"}
    ceilings = [_curve(evaluations, _CEILING[tag], f"{name} of real data", "--") for tag, name in tags.items()]
    bleu = [_curve(evaluations, tag, name) for tag, name in tags.items()]
    has_bleu = any("eval/bleu_3" in entry.figures for entry in evaluations)
    add("BLEU and Self-BLEU" if has_bleu else "Self-BLEU", [*bleu, *ceilings], "fraction of 1")
    reward = _curve(rounds, "gen/reward_mean", "mean reward")
    spread = _curve(rounds, "gen/reward_std", "")
    if len(spread.values) == len(reward.values):
        reward = Curve("mean reward, and one standard deviation of a batch", reward.steps, reward.values, spread.values)
    add("Reward", [reward], "reward of a sequence")
    tags = {"disc/acc_real": "right on real", "disc/acc_fake": "right on generated"}
    add("Discriminator", [_curve(rounds, tag, name) for tag, name in tags.items()], "accuracy in training", (0, 1.02))
    return plots


def _quality_diversity(
    evaluations: Sequence[HistoryEntry], sweep: Sequence[SweepPoint], final: Mapping[str, float] | None
) -> bytes | None:
    """The way of the run in the plane and the sweep of the likelihood model, as far as they can be compared."""
    axes = axes_for(evaluations[-1].figures) if evaluations else None
    if axes is None:
        return None
    diversity, quality = axes
    last = final or evaluations[-1].figures

    def place(figures: Mapping[str, float]) -> tuple[float, float]:
        is_comparable = not diversity.needs_equal_numbers or comparable(figures, last)
        return (figures.get(diversity.tag, math.nan), figures.get(quality.tag, math.nan)) if is_comparable else NOWHERE

    by_phase: dict[str, list[tuple[float, float]]] = {}
    for entry in evaluations:
        by_phase.setdefault(entry.phase, []).append(place(entry.figures))
    if "adversarial" in by_phase and len(by_phase) > 1:
        before = [points for phase, points in by_phase.items() if phase != "adversarial"]
        by_phase["adversarial"].insert(0, before[-1][-1])
    clouds = [Cloud(f"{phase} rounds (large dot: last)", points, is_line=True) for phase, points in by_phase.items()]
    if final:
        clouds.append(Cloud("final generator, measured with the sweep", [place(final)]))
    notes = [f"{one.temperature:g}" for one in sweep]
    likelihood = Cloud("likelihood model by temperature", [place(one.figures) for one in sweep], notes=notes)
    return quality_diversity_png(clouds, [likelihood] if sweep else [], diversity, quality)


def _curve(entries: Sequence[HistoryEntry], tag: str, label: str, style: str = "-") -> Curve:
    """One figure over the steps that have it."""
    having = [entry for entry in entries if tag in entry.figures]
    return Curve(label, [entry.step for entry in having], [entry.figures[tag] for entry in having], style=style)


def _phases(history: Sequence[HistoryEntry]) -> list[PhaseSpan]:
    """The phases that the run went through."""
    steps: dict[str, list[int]] = {}
    for entry in history:
        steps.setdefault(entry.phase, []).append(entry.step)
    return [PhaseSpan(phase, min(there), max(there)) for phase, there in steps.items()]


def _facts(history: Sequence[HistoryEntry], config: Mapping[str, Any]) -> str:
    """One line: what, how long, with what."""
    data = config.get("data")
    source = _source_of(data) if isinstance(data, dict) else "unknown data"
    seconds = sum(entry.seconds for entry in history)
    last = max((entry.step for entry in history), default=0)
    parts = [
        str(config.get("system", "unknown system")),
        f"on {source}",
        f"seed {config.get('seed', 'unknown')}",
        f"{last} steps in {seconds / 60:.1f} minutes of rounds and evaluations",
        f"rlgan {rlgan.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
    ]
    return " · ".join(parts)


def _source_of(data: Mapping[str, Any]) -> str:
    """What a run learned from, by the section `data` of its configuration."""
    if data.get("data"):
        source = str(data["data"])
    elif "builtin" in data:
        source = f"the built-in {data['builtin']}"
    else:
        source = "scikit-learn's digits"
    return f"{data['scenes']} scenes of {source}" if data.get("scenes") else source


def _milestones(history: Sequence[HistoryEntry]) -> str:
    """A table: the last evaluation of each phase, and real data where it was measured."""
    last = {entry.phase: entry for entry in history if entry.kind == "eval"}
    if not last:
        return "<p>No evaluation was done.</p>"
    columns = {f"after {phase} (step {entry.step})": entry.figures for phase, entry in last.items()}
    newest = list(last.values())[-1].figures
    real = {tag: newest[ceiling] for tag, ceiling in _CEILING.items() if ceiling in newest}
    if real:
        columns["real data"] = real
    lines = ["<th></th>" + "".join(f"<th>{_escaped(title)}</th>" for title in columns)]
    for tag, name in _TABLE_TAGS.items():
        if any(tag in figures for figures in columns.values()):
            cells = "".join(f"<td>{_number(figures.get(tag))}</td>" for figures in columns.values())
            lines.append(f"<td>{name}</td>{cells}")
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _samples(run_dir: Path) -> list[str]:
    """The newest file of samples, drawn without choosing."""
    parts = []
    for path in sorted((run_dir / "samples").glob("*.png"))[-1:]:
        title = f"Samples ({path.stem}, not chosen)"
        parts += [f"<h2>{_escaped(title)}</h2>", _image(path.read_bytes(), title)]
    for path in sorted((run_dir / "samples").glob("*.txt"))[-1:]:
        lines = _text_of(path).split("\n")[:_MAX_SAMPLES]
        text = "\n".join(line for line in lines if line)
        parts += [f"<h2>Samples ({_escaped(path.stem)}, not chosen)</h2>", f"<pre>{_escaped(text)}</pre>"]
    return parts


def _save_plots(folder: Path, plots: Mapping[str, bytes]) -> None:
    """The plots as files too; a disk that refuses costs a warning."""
    try:
        folder.mkdir(exist_ok=True)
        for title, png in plots.items():
            (folder / f"{title.lower().replace(' ', '_')}.png").write_bytes(png)
    except OSError as error:
        _logger.warning("%s: plots cannot be written (%s); report.html has them.", folder, error.strerror or error)


def _parsed_config(text: str) -> dict[str, Any]:
    """The configuration as plain values; empty where it is none."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _text_of(path: Path) -> str:
    """The text of a file, empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _image(png: bytes, title: str) -> str:
    """A plot inside the page."""
    return f'<img alt="{_escaped(title)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _list(items: Sequence[str], kind: str = "") -> str:
    """Sentences one under the other."""
    return f'<ul class="{kind}">' + "".join(f"<li>{_escaped(item)}</li>" for item in items) + "</ul>"


def _number(value: float | None) -> str:
    """Four digits, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _escaped(text: str) -> str:
    """Text that HTML shows as it is, control characters as U+FFFD."""
    plain = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
    return html.escape(plain, quote=True)
