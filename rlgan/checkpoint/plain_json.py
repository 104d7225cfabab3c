"""JSON from an untrusted file: bounded in size, depth and types, so that reading it is quick and harmless."""

import json
import math
from pathlib import Path
from typing import Any

from rlgan.errors import CheckpointError

StateDict = dict[str, Any]  # a JSON object
MAX_JSON_BYTES = 4 * 2**20
MAX_JSON_VALUES = 100_000
MAX_JSON_DEPTH = 32


def parse_json(path: Path, data: bytes) -> StateDict:
    """A JSON object within the limits."""
    try:
        value = json.loads(decode_text(path, data), object_pairs_hook=_unique, parse_constant=_refuse_constant)
        check_json(value)
    except (ValueError, RecursionError) as error:
        raise refusal(path, f"is not the JSON rlgan writes ({error})") from error
    return dict(value)


def check_json(value: object) -> None:
    """ValueError unless this is a JSON object within the limits of depth and size."""
    if not isinstance(value, dict):
        raise ValueError(f"expected a dict at the top; got {type(value).__name__}")
    pending: list[tuple[object, int]] = [(value, 1)]
    num_values = 0
    while pending:
        item, depth = pending.pop()
        num_values += 1
        if depth > MAX_JSON_DEPTH or num_values > MAX_JSON_VALUES:
            raise ValueError(f"at most {MAX_JSON_DEPTH} levels and {MAX_JSON_VALUES} values; put arrays into tensors")
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                raise ValueError("keys must be str")
            pending += [(child, depth + 1) for child in item.values()]
        elif isinstance(item, list):
            pending += [(child, depth + 1) for child in item]
        elif not isinstance(item, str | int | float | None) or (isinstance(item, float) and not math.isfinite(item)):
            raise ValueError(f"expected dict, list, str, int, finite float, bool or None; got {item!r:.80}")


def decode_text(path: Path, data: bytes) -> str:
    """UTF-8 text."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise refusal(path, f"is not UTF-8 ({error.reason} at byte {error.start})") from error


def refusal(path: Path, problem: str) -> CheckpointError:
    """What is wrong with which file, and what to do."""
    return CheckpointError(f"{path}: {problem}. Resume from another checkpoint, or copy this one again.")


def _unique(pairs: list[tuple[str, Any]]) -> StateDict:
    """The pairs of a JSON object, none of them twice."""
    if len(value := dict(pairs)) != len(pairs):
        raise ValueError("a key is given twice")
    return value


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are not JSON."""
    raise ValueError(f"{name} is not JSON")
