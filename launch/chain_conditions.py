"""What chains of a PPGN run are asked to show: options of `rlgan sample`, checked and made into requests."""

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from rlgan.captions import CaptionWords
from rlgan.chain_requests import CaptionRequest, ConditionRequest, ContextRequest, LabelRequest, UnitRequest
from rlgan.condition_nets import ConditionNet
from rlgan.errors import ConfigError
from rlgan.launch.chain_model import ChainModel
from rlgan.launch.condition_files import load_condition
from rlgan.launch.holes import hole_of, picture_as
from rlgan.objectives.plug_and_play import label_log_probability, label_logit, released_label_log_probability
from rlgan.plug_and_play import CAPTIONER, CLASSIFIER, ENCODER
from rlgan.settings import told

_GRADIENTS = {"true": label_log_probability, "released": released_label_log_probability, "logit": label_logit}


class ConditionOptions(BaseModel):
    """The options that say what chains are to show."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    label: str | None = Field(None, description="Label that all chains are to show; None: all labels in turn.")
    unit: str | None = Field(
        None,
        description="Instead: a unit of the net that they are to excite, LAYER:CHANNEL:ROW:COLUMN with a layer first "
        "or second, or hidden:NUMBER.",
    )
    condition_net: str = Field(
        ENCODER,
        min_length=1,
        description="Which net knows what is asked for: encoder, classifier (the run's, trained after all), or one of "
        "`rlgan train condition`, by its name or folder.",
    )
    gradient: Literal["true", "released", "logit"] = Field(
        "true", description="Of log p(label | image): all of it, as released (the label's own logit), or the raw logit."
    )
    caption: str | None = Field(
        None,
        min_length=1,
        description="Instead: a caption that all chains are to show (a run with --captioner-rounds, or a captioner as "
        "--condition-net).",
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
        ConfigError: if there is no such label, unit, caption, hole or net; DataError if a picture cannot be read.
    """
    _require_one_condition(options)
    name = options.condition_net
    plugged = None if name in (ENCODER, CLASSIFIER) else load_condition(model.path, name, model.space)
    if options.unit is not None:
        return _unit(options.unit, name, plugged, model)
    if options.caption is not None or (plugged is not None and plugged.is_captioner):
        return _captions(options, plugged, model)
    names = model.label_names if plugged is None else plugged.label_names
    if options.label is not None and options.label not in names:
        whose = "the run" if plugged is None else f"--condition-net {name}"
        raise ConfigError(f"--class {options.label}: {whose} has the labels {', '.join(names)}.")
    labels = range(len(names)) if options.label is None else (names.index(options.label),)
    label = LabelRequest(tuple(labels), name if plugged is None else plugged.net, _GRADIENTS[options.gradient])
    if options.inpaint is None:
        return label
    known_CHW, is_known_HW = picture_as(options.inpaint, model.space), ~hole_of(options.mask, model.space)
    return ContextRequest(known_CHW, is_known_HW, options.context_sd, None if options.label is None else label)


def _require_one_condition(options: ConditionOptions) -> None:
    """Refuse options that contradict each other, and those that nothing would come of."""
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
    without_a_net = ("gradient", "condition_net") if options.inpaint is not None else ("gradient",)
    for name in without_a_net:
        if others and options.label is None and told(options, name):
            raise ConfigError(
                f"--{name.replace('_', '-')} is of labels, and {next(iter(others))} without --class asks for none; "
                "leave it out."
            )


def _captions(options: ConditionOptions, plugged: ConditionNet | None, model: ChainModel) -> CaptionRequest:
    """The words of a caption, or of all in turn, if there is a captioner that knows them."""
    if plugged is not None and not (plugged.is_captioner and options.label is None and options.inpaint is None):
        word = "--caption" if options.caption is not None else "--class" if options.label is not None else "--inpaint"
        kind = "a captioner: give --caption alone" if plugged.is_captioner else "a classifier: give --class"
        raise ConfigError(f"{word}: --condition-net {options.condition_net} is {kind}.")
    if plugged is None and options.condition_net != ENCODER:
        raise ConfigError(
            f"--caption: --condition-net {options.condition_net} is a classifier: give a captioner, or none."
        )
    if plugged is None and CAPTIONER not in model.nets:
        raise ConfigError(
            f"--caption: the run has no captioner. `rlgan train condition {model.path} --name words --kind captioner` "
            "trains one for it; then give --condition-net words."
        )
    if told(options, "gradient"):
        raise ConfigError("--gradient is of labels, and a captioner has none; leave it out.")
    words = CaptionWords(model.label_names if plugged is None else plugged.label_names)
    wanted = words.captions if options.caption is None else (options.caption,)
    net = CAPTIONER if plugged is None else plugged.net
    try:
        return CaptionRequest(tuple(words.encode(caption) for caption in wanted), net)
    except ValueError as error:
        raise ConfigError(f"--caption {options.caption!r}: {error}") from None


def _unit(word: str, name: str, plugged: ConditionNet | None, model: ChainModel) -> UnitRequest:
    """LAYER:CHANNEL:ROW:COLUMN, checked against the net."""
    layer, *numbers = word.split(":")
    net: Any = model.nets[name] if plugged is None else plugged.net
    if not hasattr(net, "layer"):
        raise ConfigError(f"--unit: {name} has no layers of units; take the encoder, or a convolutional classifier.")
    wanted = {"first": 3, "second": 3, "hidden": 1}
    if len(numbers) != wanted.get(layer) or not all(map(str.isdecimal, numbers)):
        raise ConfigError(f"--unit {word}: write first:CHANNEL:ROW:COLUMN, second:CHANNEL:ROW:COLUMN or hidden:NUMBER.")
    channel, row, column = [int(number) for number in numbers] + [0] * (3 - len(numbers))
    sizes = net.layer(layer, torch.zeros(1, *model.space.shape)).shape[1:]
    if any(value >= size for value, size in zip((channel, row, column), sizes, strict=True)):
        raise ConfigError(f"--unit {word}: layer {layer} has {sizes[0]} channels of {sizes[1]}x{sizes[2]} units.")
    return UnitRequest(layer, channel, row, column, name if plugged is None else plugged.net)
