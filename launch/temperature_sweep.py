"""What `rlgan eval RUN` leaves for the report, both by one protocol: evaluation.json and temperature_sweep.json.

The sweep is what the likelihood model that the run started from reaches by its temperature alone.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from rlgan.evaluation import SweepPoint

SWEEP_FILE = "temperature_sweep.json"
EVALUATION_FILE = "evaluation.json"


def save_sweep(run_dir: Path, points: Sequence[SweepPoint], num_samples: int, seed: int) -> Path:
    """Write a sweep beside the run's other files.

    Args:
        run_dir: of the run.
        points: of `rlgan.evaluation.mle_temperature_sweep`.
        num_samples: sequences at each temperature.
        seed: of the draws.

    Returns:
        The file.
    """
    path = run_dir / SWEEP_FILE
    rows = [
        {
            "temperature": point.temperature,
            "figures": {tag: value if math.isfinite(value) else None for tag, value in point.figures.items()},
        }
        for point in points
    ]
    content = {"num_samples": num_samples, "seed": seed, "points": rows}
    path.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    return path


def load_sweep(run_dir: Path) -> list[SweepPoint]:
    """Read a sweep.

    Args:
        run_dir: of the run.

    Returns:
        Its points by rising temperature; none where there is no file, or one that was not written whole.
    """
    try:
        content = json.loads((run_dir / SWEEP_FILE).read_text(encoding="utf-8"))
        points = [
            SweepPoint(float(row["temperature"]), {str(k): _number(v) for k, v in row["figures"].items()})
            for row in content["points"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return sorted(points, key=lambda point: point.temperature)


def load_final_figures(run_dir: Path, step: int) -> dict[str, float] | None:
    """What `rlgan eval RUN` found last.

    Args:
        run_dir: of the run.
        step: the last one of the run.

    Returns:
        Figures by tag; None where there are none of that step.
    """
    try:
        figures = json.loads((run_dir / EVALUATION_FILE).read_text(encoding="utf-8"))["figures"]
        found = {str(tag): _number(value) for tag, value in figures.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found.pop("step", None) == step else None


def _number(value: float | None) -> float:
    """NaN for what JSON could not hold."""
    return math.nan if value is None else float(value)
