"""Condition nets of a run on the disk: RUN/conditions/NAME, in the form of a checkpoint: verified, never a pickle."""

import shutil
from dataclasses import asdict
from pathlib import Path

import yaml

from rlgan.checkpoint import Checkpoint, load_module, read_checkpoint, write_checkpoint
from rlgan.condition_nets import ConditionNet, ConditionNetConfig, build_condition_net
from rlgan.errors import CheckpointError, ConfigError
from rlgan.image_types import ImageSpace, LabelledImageSpace
from rlgan.plug_and_play import CAPTIONER, CLASSIFIER, ENCODER
from rlgan.seeding import torch_generator
from rlgan.settings import filled

OWN_NETS = (ENCODER, CLASSIFIER, CAPTIONER)
"""Names that a run's own nets have."""


def conditions_of(run: Path) -> Path:
    """Where the condition nets of a run are.

    Args:
        run: its directory, or the folder of one of its checkpoints.

    Returns:
        A directory, which need not exist.
    """
    is_checkpoint = (run / "manifest.json").exists()
    return (run.resolve().parent.parent if is_checkpoint else run) / "conditions"


def new_condition(run: Path, name: str) -> Path:
    """Where a new condition net is going to be.

    Args:
        run: its directory, or the folder of a checkpoint.
        name: of the net.

    Returns:
        A folder that does not exist.

    Raises:
        ConfigError: if the name is taken.
    """
    folder = conditions_of(run) / name
    if name in OWN_NETS or folder.exists():
        kind = "a net that every run has" if name in OWN_NETS else f"{folder} is there already"
        raise ConfigError(f"--name {name}: {kind}. Give another name{'' if name in OWN_NETS else ', or remove it'}.")
    return folder


def save_condition(folder: Path, trained: ConditionNet) -> None:
    """Write a condition net; it is there as a whole, or not at all.

    Args:
        folder: see `new_condition`.
        trained: what to write.

    Raises:
        CheckpointError: if the disk refuses.
    """
    state = {"space": asdict(trained.space), "label_names": list(trained.label_names), "accuracy": trained.accuracy}
    settings = yaml.safe_dump(trained.config.model_dump(mode="json"), sort_keys=False)
    temporary = folder.with_name(f".tmp-{folder.name}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        write_checkpoint(
            temporary, Checkpoint(trained.config.steps, {"net": trained.net.state_dict()}, state, settings)
        )
        temporary.rename(folder)
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error.strerror or error}).") from error


def load_condition(run: Path, name: str, space: ImageSpace) -> ConditionNet:
    """A condition net of a run, or of any other folder.

    Args:
        run: its directory, or the folder of one of its checkpoints.
        name: of a net in it, or else the path of a folder that holds one.
        space: of the images that it is to be shown.

    Returns:
        The net, in evaluation mode.

    Raises:
        ConfigError: if there is none, or it knows other images; CheckpointError if it is damaged.
    """
    known = conditions_of(run)
    folder = known / name if (known / name).is_dir() else Path(name)
    if not folder.is_dir():
        names = [ENCODER, CLASSIFIER, *sorted(path.name for path in known.glob("[!.]*"))]
        advice = f"`rlgan train condition {run} --name {name}` makes one"
        raise ConfigError(f"--condition-net {name}: there are {', '.join(names)}; {advice}.")
    trained = _read(folder)
    if trained.space.shape != space.shape:
        theirs, ours = ("x".join(map(str, one.shape)) for one in (trained.space, space))
        raise ConfigError(f"--condition-net {name}: it knows images of {theirs} numbers, and the run's have {ours}.")
    return trained


def _read(folder: Path) -> ConditionNet:
    """The net of a folder, once all of its files are verified."""
    checkpoint = read_checkpoint(folder)
    try:
        config = filled(ConditionNetConfig, yaml.safe_load(checkpoint.config_yaml), "config.yaml")
        space = LabelledImageSpace(**checkpoint.state["space"])
        names = tuple(str(name) for name in checkpoint.state["label_names"])
        accuracy, weights = checkpoint.state["accuracy"], checkpoint.tensors["net"]
    except (KeyError, TypeError, ValueError, RecursionError, yaml.YAMLError, ConfigError) as error:
        raise CheckpointError(f"{folder}: holds no condition net ({error!r:.80}).") from None
    if len(names) != space.num_labels:
        raise CheckpointError(f"{folder}: {len(names)} names for {space.num_labels} labels.")
    net = build_condition_net(config, space, torch_generator(0, "replaced by the weights"))
    load_module(net, weights, "net")
    return ConditionNet(config, space, names, net.eval().requires_grad_(False), accuracy)
