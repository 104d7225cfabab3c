"""A run's generator outside the algorithm: rebuilt from weights, in this process, without Ray."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from rlgan.checkpoint import Checkpoint, latest_checkpoint, load_module, read_checkpoint
from rlgan.data.text import TextSource
from rlgan.data.vocabulary import Vocabulary
from rlgan.errors import CheckpointError
from rlgan.models import RecurrentConfig, RecurrentGenerator
from rlgan.seeding import torch_generator
from rlgan.settings import filled
from rlgan.types import TokenSpace


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator and the vocabulary it speaks.

    Example:
        `load_generator(Path("runs/a"))` after 320 rounds has `step=320`.

    Attributes:
        net: the generator, in evaluation mode.
        vocabulary: a source without sequences, which knows the token space and turns ids into text.
        step: rounds it was trained for.
    """

    net: RecurrentGenerator
    vocabulary: TextSource
    step: int


def rebuild_generator(
    space: TokenSpace, config: RecurrentConfig, weights: Mapping[str, Tensor], name: str = "generator"
) -> RecurrentGenerator:
    """A generator with these weights.

    Args:
        space: what it generates.
        config: its sizes.
        weights: its state dict.
        name: how to name it in a message.

    Returns:
        The net, in evaluation mode, which needs no gradients.
    """
    net = RecurrentGenerator(space, config, torch_generator(0, "replaced by the weights"))
    load_module(net, dict(weights), name)
    return net.eval().requires_grad_(False)


def load_generator(path: Path) -> TrainedGenerator:
    """The generator of a run.

    Args:
        path: a run directory, whose newest checkpoint that can be verified counts, or a checkpoint's folder.

    Returns:
        The generator as the rollout runners had it.

    Raises:
        CheckpointError: if there is no checkpoint, or it is damaged or of something else.
    """
    checkpoint = checkpoint_at(path)
    try:
        space = TokenSpace(**checkpoint.state["space"])
        settings: Any = yaml.safe_load(checkpoint.config_yaml)["training"]["generator"]
        weights = checkpoint.tensors["published_generator"]
    except (KeyError, TypeError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: holds no generator of sequences ({error!r:.80}). Is it a SeqGAN run?") from None
    return TrainedGenerator(
        net=rebuild_generator(space, filled(RecurrentConfig, settings, "training.generator"), weights),
        vocabulary=vocabulary_of(checkpoint, space, path),
        step=checkpoint.step,
    )


def vocabulary_of(checkpoint: Checkpoint, space: TokenSpace, path: Path) -> TextSource:
    """What turns the ids of a run into text.

    Args:
        checkpoint: of it.
        space: of its tokens.
        path: for messages.

    Returns:
        A source without sequences.

    Raises:
        CheckpointError: if the checkpoint's vocabulary is not of that space.
    """
    vocabulary = None if checkpoint.tokenizer_json is None else Vocabulary.from_json(checkpoint.tokenizer_json)
    if vocabulary is not None and vocabulary.size != space.vocab_size:
        raise CheckpointError(f"{path}: {vocabulary.size} tokens in tokenizer.json, {space.vocab_size} in state.json.")
    nothing_NT = torch.zeros(0, space.length, dtype=torch.int64)
    return TextSource(space, nothing_NT, nothing_NT, path.name, vocabulary)


def checkpoint_at(path: Path) -> Checkpoint:
    """The checkpoint that a path means.

    Args:
        path: a checkpoint's folder, or a run directory, whose newest one that can be verified counts.

    Returns:
        The checkpoint, verified.

    Raises:
        CheckpointError: if there is none, or it is damaged.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such directory. Give a run directory or a checkpoint in it.")
    if (path / "manifest.json").exists():
        return read_checkpoint(path)
    checkpoint = latest_checkpoint(path / "checkpoints")
    if checkpoint is None:
        raise CheckpointError(f"{path}: no checkpoint in it yet. Give the directory of a run that has saved one.")
    return checkpoint
