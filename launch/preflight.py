"""What is refused before any actor starts: a checkpoint that belongs to another run, or to other data."""

from dataclasses import asdict
from typing import Any

import yaml

from rlgan.checkpoint import Checkpoint, require_match
from rlgan.errors import CheckpointError, DataError
from rlgan.launch.run_config import RunConfig
from rlgan.types import Source


def check_resume(checkpoint: Checkpoint, run: RunConfig) -> list[str]:
    """Refuse a checkpoint of another vocabulary, architecture or schedule of pre-training.

    Args:
        checkpoint: what is to be gone on from.
        run: the configuration now.

    Returns:
        One line for every other setting of training that has changed; those take effect.
    """
    now = {"training": run.training.model_dump(mode="json"), "data": run.data.model_dump(mode="json")}
    fixed = [f"training.{name}" for name in run.algorithm_class.settings_fixed_on_resume(run.training)]
    fixed += [f"data.{name}" for name in run.algorithm_class.fixed_data]
    must_match: dict[str, Any] = {"system": run.system}
    for path in sorted(fixed):
        _copy_setting(now, must_match, path.split("."))
    require_match(checkpoint, checkpoint.tokenizer_json, must_match)
    return _changes(yaml.safe_load(checkpoint.config_yaml)["training"], now["training"], "training")


def check_same_data(checkpoint: Checkpoint, source: Source, allow_change: bool) -> None:
    """Refuse data that is not what the checkpoint was made of.

    Args:
        checkpoint: what is to be gone on from.
        source: the data now, encoded with the checkpoint's vocabulary.
        allow_change: whether other sequences of the same vocabulary and length are welcome.

    Raises:
        DataError: if the sequences differ.
        CheckpointError: if the vocabulary or the length differ.
    """
    saved, space = checkpoint.state["space"], source.space
    for name, value in asdict(space).items():
        if saved.get(name) != value:
            raise CheckpointError(
                f"the checkpoint of step {checkpoint.step} has {name} {saved.get(name)}, the data now gives {value}. "
                "Resume with the data that made it, or start a new run."
            )
    before, now = checkpoint.state["corpus"]["fingerprint"], source.fingerprint()
    if before != now and not allow_change:
        raise DataError(
            f"{source.name}: not the data that the checkpoint of step {checkpoint.step} was made of (fingerprint "
            f"{before[:12]} then, {now[:12]} now). Give that data, or add --allow-data-change."
        )


def _copy_setting(source: dict[str, Any], target: dict[str, Any], path: list[str]) -> None:
    """One setting of nested ones, at the same place of others."""
    for name in path[:-1]:
        source, target = source[name], target.setdefault(name, {})
    target[path[-1]] = source[path[-1]]


def _changes(before: Any, now: Any, name: str) -> list[str]:
    """One line for every value that is not what it was."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [line for key in now for line in _changes(before.get(key), now[key], f"{name}.{key}")]
    return [] if before == now else [f"{name}: {before} in the checkpoint, {now} from here on"]
