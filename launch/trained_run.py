"""A finished or unfinished run, opened from its directory without Ray: newest generator, likelihood model, data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import yaml
from safetensors import SafetensorError
from torch import Tensor

from rlgan.checkpoint import Checkpoint
from rlgan.data import CorpusConfig, load_source
from rlgan.errors import CheckpointError, DataError
from rlgan.launch.generator import checkpoint_at, rebuild_generator
from rlgan.models import RecurrentConfig, RecurrentGenerator
from rlgan.settings import filled
from rlgan.types import TokenSource, TokenSpace

LIKELIHOOD_FILE = "likelihood.safetensors"
_GENERATOR = "published_generator"


@dataclass(frozen=True)
class TrainedRun:
    """What there is to judge of a run.

    Example:
        `open_run(Path("runs/a")).generator` is what `rlgan eval runs/a` draws from.

    Attributes:
        path: the run directory.
        step: of the checkpoint.
        config: content of the checkpoint's config.yaml: system, seed, training, data.
        generator: of the newest checkpoint.
        likelihood: the generator at the end of likelihood training; None where the run kept none.
        source: the data it learned from.
    """

    path: Path
    step: int
    config: dict[str, Any]
    generator: RecurrentGenerator
    likelihood: RecurrentGenerator | None
    source: TokenSource


@dataclass
class SourceCache:
    """Data of several runs, each read or drawn once.

    Example:
        `sources = SourceCache()`, then `open_run(path, sources)` for every path.
    """

    _by_recipe: dict[str, TokenSource] = field(default_factory=dict)

    def load(self, corpus: CorpusConfig, tokenizer_json: str | None) -> TokenSource:
        """The data of a configuration.

        Args:
            corpus: what to read and how.
            tokenizer_json: the vocabulary of the checkpoint.

        Returns:
            The source; the same object for the same arguments.
        """
        key = json.dumps([corpus.model_dump(mode="json"), tokenizer_json])
        if key not in self._by_recipe:
            self._by_recipe[key] = load_source(corpus, tokenizer_json)
        return self._by_recipe[key]


def open_run(path: Path, sources: SourceCache | None = None) -> TrainedRun:
    """Read the newest verified checkpoint of a run, and the data it learned from.

    Args:
        path: the run directory, or one of its checkpoints.
        sources: where data of other runs is kept; None reads it anew.

    Returns:
        The run.

    Raises:
        CheckpointError: if there is no usable checkpoint in it, or something else than a generator of sequences.
    """
    checkpoint = checkpoint_at(path)
    config = config_of(checkpoint, path)
    source = data_of(checkpoint, path, sources)
    try:
        space = TokenSpace(**checkpoint.state["space"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: state.json of the checkpoint has no usable token space ({error!s}).") from error
    sizes = filled(RecurrentConfig, _section(_section(config, "training"), "generator"), f"{path}: training.generator")
    generator = rebuild_generator(space, sizes, checkpoint.tensors.get(_GENERATOR, {}))
    likelihood_path = path / LIKELIHOOD_FILE
    likelihood = None
    if likelihood_path.is_file():
        likelihood = rebuild_generator(space, sizes, read_tensors(likelihood_path), str(likelihood_path))
    return TrainedRun(path, checkpoint.step, config, generator, likelihood, source)


def data_of(checkpoint: Checkpoint, path: Path, sources: SourceCache | None = None) -> TokenSource:
    """The data that a checkpoint was made of.

    Args:
        checkpoint: verified.
        path: for messages.
        sources: where data of other runs is kept; None reads it anew.

    Returns:
        The source.

    Raises:
        DataError: if the data is not what the run learned from.
    """
    corpus = filled(CorpusConfig, _section(config_of(checkpoint, path), "data"), f"{path}: data")
    source = (sources or SourceCache()).load(corpus, checkpoint.tokenizer_json)
    if checkpoint.state.get("corpus", {}).get("fingerprint") != source.fingerprint():
        raise DataError(
            f"{path}: the data ({source.name}) is not what the run learned from: held-out sequences may have been "
            "trained on. Put the original data back."
        )
    return source


def config_of(checkpoint: Checkpoint, path: Path) -> dict[str, Any]:
    """The configuration of a checkpoint.

    Args:
        checkpoint: verified.
        path: for messages.

    Returns:
        Content of config.yaml: system, seed, training, data.

    Raises:
        CheckpointError: if it is none.
    """
    try:
        config = yaml.safe_load(checkpoint.config_yaml)
    except yaml.YAMLError as error:
        raise CheckpointError(f"{path}: config.yaml of the checkpoint is not YAML ({error!s:.100}).") from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: config.yaml of the checkpoint holds no settings.")
    return config


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of the configuration; empty, which means defaults, where it is not there."""
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Args:
        path: of the file.

    Returns:
        Tensors by name.

    Raises:
        CheckpointError: if it is none.
    """
    try:
        return dict(safetensors.torch.load(path.read_bytes()))
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: is not a safetensors file ({error}). Remove it to do without.") from error
