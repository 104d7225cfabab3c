"""One checkpoint folder: safetensors and JSON, verified before use, which cannot run code.

step-000120/    config.yaml, state.json, tokenizer.json (optional), <group>.safetensors, manifest.json (written last)
"""

import hashlib
import json
import os
import platform
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

import rlgan
from rlgan.checkpoint.plain_json import MAX_JSON_BYTES, StateDict, check_json, decode_text, parse_json, refusal
from rlgan.errors import CheckpointError

SCHEMA_VERSION = 1
MAX_TOKENIZER_BYTES = 64 * 2**20

_MANIFEST = "manifest.json"
_TEXT_FILES = {"config.yaml": MAX_JSON_BYTES, "state.json": MAX_JSON_BYTES, "tokenizer.json": MAX_TOKENIZER_BYTES}
_GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MANIFEST_TYPES: dict[str, tuple[type, ...]] = {
    "schema_version": (int,),
    "versions": (dict,),
    "step": (int,),
    "config_sha256": (str,),
    "tokenizer_sha256": (str, type(None)),
    "files": (dict,),
    "manifest_sha256": (str,),
}


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on, in plain tensors and plain JSON.

    Example:
        `Checkpoint(step=120, tensors={"generator": net.state_dict()}, state={"round": 120, "phase": "adversarial"},
        config_yaml="seed: 1", tokenizer_json=None)`

    Attributes:
        step: what the folder is named after, >= 0.
        tensors: group -> name -> tensor; every group becomes `<group>.safetensors`.
        state: JSON values only (dict with str keys, list, str, int, finite float, bool, None): counters, phase, seeds.
        config_yaml: the whole configuration as the text of config.yaml.
        tokenizer_json: the vocabulary as the text of tokenizer.json; None for bare integers.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: StateDict
    config_yaml: str
    tokenizer_json: str | None = None


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes one checkpoint into an empty folder, which is created if need be; the manifest goes last.

    Args:
        folder: where the files go.
        checkpoint: what they hold.

    Raises:
        CheckpointError: if the folder is not empty, or the disk refuses; the files already written are removed.
    """
    contents = _encode(checkpoint)
    contents[_MANIFEST] = _manifest_bytes(checkpoint.step, contents)
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise CheckpointError(f"{folder}: a checkpoint needs an empty folder. Give a new one, or remove its files.")
        for name, data in contents.items():
            if name == _MANIFEST:
                sync_folder(folder)
            written.append(folder / name)
            write_file(folder / name, data)
        sync_folder(folder)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        problem = error.strerror or str(error)
        raise CheckpointError(
            f"{folder}: cannot write the checkpoint ({problem}). Free space or choose another disk."
        ) from error


def read_checkpoint(folder: Path, ignore: Collection[str] = ()) -> Checkpoint:
    """One checkpoint, after every file has been compared with the manifest. Nothing in it is ever executed.

    Args:
        folder: what `write_checkpoint` or `save_checkpoint` made.
        ignore: names of further files that may lie there (those that Ray Tune adds); they are not opened.

    Returns:
        The checkpoint, with all tensors on the CPU.

    Raises:
        CheckpointError: if anything is missing, extra, damaged, too large, a link, or of another schema.
    """
    try:
        return _read(folder, frozenset(ignore))
    except OSError as error:
        problem = f"{error.filename or folder}: cannot be read ({error.strerror or error})"
        raise CheckpointError(f"{problem}. Is the path right, and may you read it?") from error


def _encode(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files of a checkpoint; a ValueError where its content has no plain form."""
    if checkpoint.step < 0:
        raise ValueError(f"step must be >= 0; got {checkpoint.step}.")
    check_json(checkpoint.state)
    contents = {
        "config.yaml": checkpoint.config_yaml.encode(),
        "state.json": json.dumps(checkpoint.state, indent=1, allow_nan=False).encode(),
    }
    if checkpoint.tokenizer_json is not None:
        contents["tokenizer.json"] = checkpoint.tokenizer_json.encode()
    for name, data in contents.items():
        if len(data) > _TEXT_FILES[name]:
            raise ValueError(f"{name} may hold {_TEXT_FILES[name]} bytes; got {len(data)}. Put arrays into tensors.")
    for group, named in checkpoint.tensors.items():
        if not _GROUP_NAME.fullmatch(group):
            raise ValueError(f"a group of tensors is named with letters, digits, '_', '-' and '.'; got {group!r}.")
        # safetensors refuses shared and non-contiguous memory (tied weights, views), hence the copies.
        plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in named.items()}
        contents[f"{group}.safetensors"] = safetensors.torch.save(plain)
    return contents


def _manifest_bytes(step: int, contents: dict[str, bytes]) -> bytes:
    """The manifest of these files, sealed with a hash of itself."""
    files = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in contents.items()}
    manifest: StateDict = {
        "schema_version": SCHEMA_VERSION,
        "versions": {"rlgan": rlgan.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "step": step,
        "config_sha256": files["config.yaml"]["sha256"],
        "tokenizer_sha256": files["tokenizer.json"]["sha256"] if "tokenizer.json" in files else None,
        "files": files,
    }
    return json.dumps({**manifest, "manifest_sha256": _seal(manifest)}, indent=1).encode()


def _seal(manifest: StateDict) -> str:
    """sha256 of the manifest without its own hash."""
    rest = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _read(folder: Path, ignore: frozenset[str]) -> Checkpoint:
    """As `read_checkpoint`, without the care for OSError."""
    if folder.is_symlink() or not folder.is_dir():
        raise refusal(folder, "is not a folder (links are refused)")
    present = {path.name for path in folder.iterdir()} - ignore
    if _MANIFEST not in present:
        raise refusal(folder / _MANIFEST, "is missing")
    manifest = _read_manifest(folder / _MANIFEST)
    for name in sorted(present ^ {*manifest["files"], _MANIFEST}):
        raise refusal(folder / name, "is not in the manifest" if name in present else "is missing")
    contents = {name: _read_listed(folder / name, entry) for name, entry in manifest["files"].items()}
    for name, key in (("config.yaml", "config_sha256"), ("tokenizer.json", "tokenizer_sha256")):
        if manifest["files"].get(name, {}).get("sha256") != manifest[key]:
            raise refusal(folder / _MANIFEST, f"contradicts itself about {name}")
    state = parse_json(folder / "state.json", contents["state.json"])
    tensors = {
        name.removesuffix(".safetensors"): _parse_tensors(folder / name, data)
        for name, data in contents.items()
        if name.endswith(".safetensors")
    }
    texts = {
        name: decode_text(folder / name, contents[name])
        for name in ("config.yaml", "tokenizer.json")
        if name in contents
    }
    return Checkpoint(manifest["step"], tensors, state, texts["config.yaml"], texts.get("tokenizer.json"))


def _read_manifest(path: Path) -> StateDict:
    """The manifest, once its schema, its own hash, its types and all names in it are right."""
    manifest = parse_json(path, _read_file(path, MAX_JSON_BYTES))
    if manifest.get("schema_version") != SCHEMA_VERSION:
        found, made_by = manifest.get("schema_version"), manifest.get("versions")
        known = f"this rlgan {rlgan.__version__} reads schema {SCHEMA_VERSION}"
        raise CheckpointError(
            f"{path}: schema version {found!r} (written by {made_by}); {known}. Use that rlgan to load it."
        )
    if manifest.get("manifest_sha256") != _seal(manifest):
        raise refusal(path, "does not match its own manifest_sha256")
    for key, kinds in _MANIFEST_TYPES.items():
        if key not in manifest or type(manifest[key]) not in kinds:
            raise refusal(path, f"needs {key!r} of type {' or '.join(kind.__name__ for kind in kinds)}")
    for name, entry in manifest["files"].items():
        group = name.removesuffix(".safetensors")
        if name not in _TEXT_FILES and (group == name or not _GROUP_NAME.fullmatch(group)):
            raise refusal(path, f"lists {name!r}, which is no name of a checkpoint file")
        is_entry = isinstance(entry, dict) and entry.keys() == {"sha256", "bytes"} and type(entry["bytes"]) is int
        if not (is_entry and isinstance(entry["sha256"], str) and _SHA256.fullmatch(entry["sha256"])):
            raise refusal(path, f"needs a sha256 and a number of bytes for {name!r}")
    for name in ("config.yaml", "state.json"):
        if name not in manifest["files"]:
            raise refusal(path, f"does not list {name!r}")
    return manifest


def _read_listed(path: Path, entry: dict[str, Any]) -> bytes:
    """A file as the manifest describes it."""
    data = _read_file(path, _TEXT_FILES.get(path.name))
    if len(data) != entry["bytes"]:
        raise refusal(path, f"has {len(data)} bytes, the manifest says {entry['bytes']}")
    if (found := hashlib.sha256(data).hexdigest()) != entry["sha256"]:
        raise refusal(path, f"is damaged: its sha256 is {found[:12]}..., the manifest says {entry['sha256'][:12]}...")
    return data


def _read_file(path: Path, max_bytes: int | None) -> bytes:
    """A regular file of bounded size."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise refusal(path, "is not a regular file (links are refused)")
    if max_bytes is not None and status.st_size > max_bytes:
        raise refusal(path, f"has {status.st_size} bytes, more than the {max_bytes} allowed")
    return path.read_bytes()


def _parse_tensors(path: Path, data: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file."""
    try:
        return dict(safetensors.torch.load(data))
    except (SafetensorError, ValueError, KeyError, RuntimeError, AssertionError) as error:
        raise refusal(path, f"is not a safetensors file ({error})") from error


def write_file(path: Path, data: bytes) -> None:
    """A new file that is on the disk when this returns."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
