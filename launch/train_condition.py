"""`rlgan train condition`: a net that steers the chains of a finished PPGN run, whose generator is left as it is."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from rlgan.condition_nets import ConditionNet, ConditionNetConfig, train_condition_net
from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_source import load_image_source
from rlgan.errors import DataError
from rlgan.image_types import ImageSource
from rlgan.launch.chain_model import ChainModel, load_chain_model
from rlgan.launch.condition_files import new_condition, save_condition
from rlgan.launch.options import OptionStyle, parse_options, value_of

STYLE = OptionStyle(
    "rlgan train condition",
    "Train a classifier or a captioner that steers the chains of a finished PPGN run, whose own nets stay as they are. "
    "It learns the labels of the run's images; with --data those of others, which are scaled to the run's size. Then "
    "`rlgan sample RUN --condition-net NAME` asks it.",
    flat_levels=1,
    positional="run",
)
DEFAULT_NAME = "plugged"


class TrainConditionOptions(BaseModel):
    """All options of `rlgan train condition`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    run: Path = Field(description="Run directory, or one of its checkpoints.")
    name: str = Field(
        DEFAULT_NAME,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$",
        description="What `rlgan sample --condition-net` is to call it; it is written to RUN/conditions/NAME.",
    )
    net: ConditionNetConfig = ConditionNetConfig()
    data: ImageCorpusConfig = ImageCorpusConfig()


def train_condition(arguments: Sequence[str]) -> int:
    """Run `rlgan train condition`.

    Args:
        arguments: the words after it.

    Returns:
        0.
    """
    model = _model_among(arguments)
    options = parse_options(TrainConditionOptions, arguments, STYLE, _values_to_start_with(arguments, model))
    if model is None or model.path != options.run:
        model = load_chain_model(options.run)
    folder = new_condition(options.run, options.name)
    source = load_image_source(options.data)
    _require_size(source, model)

    def report(step: int, loss: float) -> None:
        sys.stdout.write(f"step {step:,} of {options.net.steps:,}: loss {loss:.3f} nats\n")
        sys.stdout.flush()

    trained = train_condition_net(source, options.net, report)
    save_condition(folder, trained)
    sys.stdout.write(_summary(trained, folder, options))
    return 0


def _model_among(arguments: Sequence[str]) -> ChainModel | None:
    """The run that the words name, as far as can be told before the options are read; None with --help."""
    words = [Path(word) for word in arguments if not word.startswith("-")]
    run = next((path for path in words if (path / "checkpoints").is_dir() or (path / "manifest.json").is_file()), None)
    return None if run is None or {"-h", "--help"} & set(arguments) else load_chain_model(run)


def _values_to_start_with(arguments: Sequence[str], model: ChainModel | None) -> dict[str, Any]:
    """The defaults, with the run's own images; with --data others, of the run's size and colours."""
    values = {"name": DEFAULT_NAME, "net": ConditionNetConfig().model_dump(), "data": ImageCorpusConfig().model_dump()}
    if model is None:
        return values
    values["data"] = model.data.model_dump()
    if value_of(arguments, "data") is not None:
        size = model.space.height if model.space.height == model.space.width else None
        values["data"] = ImageCorpusConfig(colour=model.data.colour, levels=model.data.levels, size=size).model_dump()
    return values


def _require_size(source: ImageSource, model: ChainModel) -> None:
    """Refuse images that the run's chains never have."""
    if source.space.shape != model.space.shape:
        theirs, ours = ("x".join(map(str, space.shape)) for space in (source.space, model.space))
        raise DataError(
            f"{source.name}: images of {theirs} numbers, and the run's have {ours}. See --size, --colour, --scenes."
        )


def _summary(trained: ConditionNet, folder: Path, options: TrainConditionOptions) -> str:
    """What has been made, and the command that uses it."""
    names = trained.label_names
    label = names[-1] if " " not in names[-1] else f'"{names[-1]}"'
    known = "" if trained.accuracy is None else f"; finds the label of {trained.accuracy:.3f} of the held-out images"
    word = "--caption" if trained.is_captioner else "--class"
    return (
        f"{folder}: {options.net.kind}, {len(names)} labels{known}\n"
        f"try: rlgan sample {options.run} --condition-net {options.name} {word} {label} --strip chains.png\n"
    )
