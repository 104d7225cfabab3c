"""What chains of a PPGN run are asked to show: options of `rlgan sample`, checked and made into requests."""

# C channels, H height, W width

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rlgan.captions import CaptionWords
from rlgan.chain_requests import CaptionRequest, ConditionRequest, ContextRequest, LabelRequest, UnitRequest
from rlgan.data.image_files import read_png
from rlgan.errors import ConfigError
from rlgan.image_types import ImageSpace
from rlgan.launch.chain_model import ChainModel
from rlgan.models.code_nets import CodeEncoder
from rlgan.objectives.plug_and_play import label_log_probability, label_logit, released_label_log_probability
from rlgan.plug_and_play import CAPTIONER, ENCODER
from rlgan.settings import told

_GRADIENTS = {"true": label_log_probability, "released": released_label_log_probability, "logit": label_logit}
_HOLES: dict[str, Callable[[int, int], tuple[int, int, int, int]]] = {
    "center": lambda height, width: (height // 4, width // 4, height - height // 4, width - width // 4),
    "left": lambda height, width: (0, 0, height, width // 2),
    "right": lambda height, width: (0, width // 2, height, width),
    "top": lambda height, width: (0, 0, height // 2, width),
    "bottom": lambda height, width: (height // 2, 0, height, width),
}
"""First row, first column, and the row and column after the last."""


class ConditionOptions(BaseModel):
    """The options that say what chains are to show."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    label: str | None = Field(None, description="Label that all chains are to show; None: all labels in turn.")
    unit: str | None = Field(
        None,
        description="Instead: a unit of the encoder that they are to excite, LAYER:CHANNEL:ROW:COLUMN with a layer "
        "first or second, or hidden:NUMBER.",
    )
    condition_net: Literal["encoder", "classifier"] = Field(
        "encoder", description="Which net knows labels: the encoder, or the classifier that was trained after all."
    )
    gradient: Literal["true", "released", "logit"] = Field(
        "true", description="Of log p(label | image): all of it, as released (the label's own logit), or the raw logit."
    )
    caption: str | None = Field(
        None,
        min_length=1,
        description="Instead: a caption that all chains are to show (a run with --captioner-rounds).",
    )
    inpaint: Path | None = Field(
        None, description="PNG file whose hole is to be filled; it is scaled to the images of the run."
    )
    mask: str = Field(
        "center",
        min_length=1,
        description="The hole: center, left, right, top, bottom, ROW,COLUMN,ROW,COLUMN (its first pixel, and the one "
        "after its last), or a PNG file that is white there.",
    )
    context_sd: float = Field(
        0.5, gt=0, description="How far known pixels may be off, in units of brightness; less holds them closer."
    )


def condition_of(options: ConditionOptions, model: ChainModel) -> ConditionRequest:
    """The condition that the options ask for.

    Args:
        options: a label, a unit, a caption, a picture, or none of them.
        model: of the run.

    Returns:
        How a worker builds it.

    Raises:
        ConfigError: if there is no such label, unit, caption or hole; DataError if a picture cannot be read.
    """
    rivals = {"--class": options.label, "--inpaint": options.inpaint}
    for name in ("mask", "context_sd"):
        if options.inpaint is None and told(options, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} says how a picture is filled; give it with --inpaint FILE.png."
            )
    for word, value in (("--unit", options.unit), ("--caption", options.caption)):
        given = [rival for rival, other in rivals.items() if other is not None]
        if value is not None and given:
            raise ConfigError(f"{given[0]} and {word} exclude each other; give one of them.")
        rivals[word] = value
    others = {word: value for word, value in rivals.items() if word != "--class" and value is not None}
    for name in ("gradient", "condition_net"):
        if others and options.label is None and told(options, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} is of labels, and {next(iter(others))} without --class asks for none; "
                "leave it out."
            )
    if options.unit is not None:
        return _unit(options.unit, model)
    if options.caption is not None:
        return _caption(options.caption, model)
    names = model.label_names
    if options.label is not None and options.label not in names:
        raise ConfigError(f"--class {options.label}: the run has the labels {', '.join(names)}.")
    labels = range(len(names)) if options.label is None else (names.index(options.label),)
    label = LabelRequest(tuple(labels), options.condition_net, _GRADIENTS[options.gradient])
    if options.inpaint is None:
        return label
    known_CHW, is_known_HW = picture_as(options.inpaint, model.space), ~hole_of(options.mask, model.space)
    return ContextRequest(known_CHW, is_known_HW, options.context_sd, None if options.label is None else label)


def _caption(caption: str, model: ChainModel) -> CaptionRequest:
    """The words of a caption, if the run has a captioner that knows them."""
    if CAPTIONER not in model.nets:
        raise ConfigError("--caption: the run has no captioner. Train it with --captioner-rounds 60.")
    try:
        return CaptionRequest((CaptionWords(model.label_names).encode(caption),))
    except ValueError as error:
        raise ConfigError(f"--caption {caption!r}: {error}") from None


def _unit(word: str, model: ChainModel) -> UnitRequest:
    """LAYER:CHANNEL:ROW:COLUMN, checked against the encoder."""
    layer, *numbers = word.split(":")
    encoder = model.nets[ENCODER]
    assert isinstance(encoder, CodeEncoder)
    wanted = {"first": 3, "second": 3, "hidden": 1}
    if len(numbers) != wanted.get(layer) or not all(map(str.isdecimal, numbers)):
        raise ConfigError(f"--unit {word}: write first:CHANNEL:ROW:COLUMN, second:CHANNEL:ROW:COLUMN or hidden:NUMBER.")
    place = [int(number) for number in numbers] + [0] * (3 - len(numbers))
    sizes = encoder.layer(layer, torch.zeros(1, *model.space.shape)).shape[1:]
    if any(value >= size for value, size in zip(place, sizes, strict=True)):
        raise ConfigError(f"--unit {word}: layer {layer} has {sizes[0]} channels of {sizes[1]}x{sizes[2]} units.")
    return UnitRequest(layer, *place)


def picture_as(path: Path, space: ImageSpace) -> Tensor:
    """A picture of a file in the size and colours of a run.

    Args:
        path: PNG file; what is larger or smaller is scaled.
        space: of the run's images.

    Returns:
        [C, H, W] in [0, 1].

    Raises:
        ConfigError: if its sides have another ratio; DataError if it cannot be read.
    """
    bytes_HWC = np.atleast_3d(read_png(path, "grey" if space.channels == 1 else "colour"))
    height, width = bytes_HWC.shape[:2]
    if height * space.width != width * space.height:
        raise ConfigError(
            f"{path}: {height}x{width} pixels cannot be scaled to the run's {space.height}x{space.width}."
        )
    picture_CHW = torch.from_numpy(bytes_HWC.copy()).permute(2, 0, 1).float() / 255
    return torch.nn.functional.interpolate(picture_CHW[None], (space.height, space.width), mode="area")[0]


def hole_of(word: str, space: ImageSpace) -> Tensor:
    """The pixels that are to be filled.

    Args:
        word: see `ConditionOptions.mask`.
        space: of the run's images.

    Returns:
        [H, W] bool.

    Raises:
        ConfigError: if there is no such hole, or it is nothing or everything; DataError if a file cannot be read.
    """
    height, width = space.height, space.width
    if word in _HOLES:
        box = _HOLES[word](height, width)
    elif word.lower().endswith(".png"):
        return _partial(picture_as(Path(word), ImageSpace(1, height, width, 256)).squeeze(0) > 0.5, word)
    else:
        parts = word.split(",")
        if len(parts) != 4 or not all(part.isdecimal() for part in parts):
            raise ConfigError(f"--mask {word}: write {', '.join(_HOLES)}, ROW,COLUMN,ROW,COLUMN, or a PNG file.")
        box = tuple(int(part) for part in parts)  # type: ignore[assignment]
        if box[2] > height or box[3] > width:
            raise ConfigError(f"--mask {word}: the run's images have {height}x{width} pixels.")
    is_hole_HW = torch.zeros(height, width, dtype=torch.bool)
    is_hole_HW[box[0] : box[2], box[1] : box[3]] = True
    return _partial(is_hole_HW, word)


def _partial(is_hole_HW: Tensor, word: str) -> Tensor:
    """The same hole, refused where nothing is left to fill or to know."""
    if bool(is_hole_HW.all()) or not bool(is_hole_HW.any()):
        raise ConfigError(f"--mask {word}: some pixels must be in the hole, and some not.")
    return is_hole_HW
