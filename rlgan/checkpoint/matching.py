"""Whether a checkpoint belongs to this run: the same vocabulary and the same architecture."""

import hashlib
from collections.abc import Mapping
from typing import Any

import yaml

from rlgan.checkpoint.folder import Checkpoint
from rlgan.errors import CheckpointError

_MAX_NAMED = 5


def require_match(checkpoint: Checkpoint, tokenizer_json: str | None, config: Mapping[str, Any]) -> None:
    """Refuses a checkpoint of another vocabulary or architecture, naming both values of everything that differs.

    Example:
        `require_match(checkpoint, source.tokenizer_json(), {"generator": {"hidden": 32}, "vocab_size": 5000})`

    Args:
        checkpoint: what is to be resumed.
        tokenizer_json: the vocabulary of this run; None for bare integers.
        config: the part of this run's configuration that must be equal in the checkpoint's config.yaml, nested alike.
            Keys of config.yaml that are not in it may differ.

    Raises:
        CheckpointError: if the vocabulary or any of these values differs.
    """
    differences = []
    saved, wanted = _short_hash(checkpoint.tokenizer_json), _short_hash(tokenizer_json)
    if saved != wanted:
        differences.append(f"tokenizer: {saved} in the checkpoint, {wanted} in this run")
    try:
        saved_config = yaml.safe_load(checkpoint.config_yaml)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CheckpointError(f"step {checkpoint.step}: config.yaml is not plain YAML ({error!s:.200}).") from error
    differences += _differences(saved_config, config, "")
    if differences:
        more = f" and {len(differences) - _MAX_NAMED} more" if len(differences) > _MAX_NAMED else ""
        listed = "; ".join(differences[:_MAX_NAMED])
        advice = "Resume with the configuration and data that made it, or start a new run directory."
        raise CheckpointError(
            f"the checkpoint of step {checkpoint.step} belongs to another run: {listed}{more}. {advice}"
        )


def _short_hash(text: str | None) -> str:
    """What identifies a vocabulary in a message."""
    return "none" if text is None else f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _differences(saved: object, wanted: object, path: str) -> list[str]:
    """One line for every leaf of `wanted` that has another value in `saved`."""
    if isinstance(wanted, Mapping):
        if not isinstance(saved, dict):
            return [f"{path or 'config'}: {saved!r:.60} in the checkpoint, a section in this run"]
        prefix = f"{path}." if path else ""
        return [
            line
            for key, value in wanted.items()
            for line in (
                _differences(saved[key], value, f"{prefix}{key}")
                if key in saved
                else [f"{prefix}{key}: absent in the checkpoint, {value!r:.60} in this run"]
            )
        ]
    plain = list(wanted) if isinstance(wanted, tuple) else wanted
    if saved == plain and isinstance(saved, bool) == isinstance(plain, bool):
        return []
    return [f"{path}: {saved!r:.60} in the checkpoint, {plain!r:.60} in this run"]
