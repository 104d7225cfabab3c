"""Chains as they are asked for: values and nets that cross processes, and what a worker makes of them."""

# N chains, C channels, H height, W width

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from rlgan.chains import Chain, ChainRecord, Prior, StepRule, start_states
from rlgan.conditions import CaptionCondition, ContextCondition, LabelCondition, LogProbability, UnitCondition
from rlgan.objectives.plug_and_play import label_log_probability, stitched
from rlgan.plug_and_play import CAPTIONER, ENCODER, Nets, PlugAndPlayModel
from rlgan.step_rules import PlugAndPlayRule, ReleasedRule
from rlgan.types import Condition


class ChainConfig(BaseModel):
    """How a chain moves. The three multipliers may be left to the model (None)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    eps1: float | None = Field(None, ge=0, description="Multiplier of the prior. None: what suits the model.")
    eps2: float | None = Field(None, ge=0, description="Multiplier of the condition's gradient. None: the same.")
    eps3: float | None = Field(None, ge=0, description="Sd of the noise of a step. None: the same.")
    steps: int = Field(100, ge=1, le=1_000_000, description="Steps of a chain (released: 200).")
    quiet_steps: int = Field(
        4, ge=0, le=1_000_000, description="Of these, the last ones without noise, so that the image comes to rest."
    )
    rule: Literal["equation", "released"] = Field(
        "equation",
        description="The paper's step, or the released one: divided by the mean size of all three terms, and kept in "
        "[0, 30], which suits a rectified code.",
    )
    released_step_size: float = Field(
        0.2, gt=0, description="Mean change of a number in a released step (released: 1, for codes that reach 30)."
    )

    @model_validator(mode="after")
    def _has_as_many_steps(self) -> "ChainConfig":
        """Refuse more steps without noise than there are steps; the released rule has none."""
        if self.rule == "equation" and self.quiet_steps > self.steps:
            raise ValueError(f"quiet_steps is {self.quiet_steps}, and the chain has only {self.steps} steps: lower it.")
        return self

    def rule_for(self, model: PlugAndPlayModel) -> PlugAndPlayRule | ReleasedRule:
        """The step.

        Args:
            model: whose multipliers stand in for those that are None.

        Returns:
            A rule.
        """
        given = (self.eps1, self.eps2, self.eps3)
        eps1, eps2, eps3 = (
            own if value is None else value for value, own in zip(given, model.multipliers, strict=True)
        )
        if self.rule == "released":
            return ReleasedRule(eps1, eps2, eps3, self.released_step_size)
        return PlugAndPlayRule(eps1, eps2, eps3, quiet_from=self.steps - self.quiet_steps)


NetOrName = str | nn.Module
"""A net of the run by its name, or any other, in evaluation mode, which goes to the workers with the request."""


class ConditionRequest(Protocol):
    """How a condition is asked for across processes: values and nets, made into a `Condition` where the chains are."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The nets that it asks."""
        ...

    def build(self, nets: Nets, chain_numbers: Sequence[int]) -> Condition:
        """The condition of these chains."""
        ...


@dataclass(frozen=True)
class LabelRequest:
    """Chain n shows label number n of a list, which is begun again at its end.

    Example:
        `LabelRequest((7,))`: sevens; `LabelRequest(tuple(range(10)), classifier="classifier")`: all, by the other net;
        `LabelRequest((1,), classifier=net.eval())`: label 1 of any torch module, [N, C, H, W] images -> [N, L] logits

    Attributes:
        labels: indices.
        classifier: which net judges: "encoder", "classifier" (the one that was trained afterwards), or one of your own.
        log_probability_of: the form of the gradient.
    """

    labels: tuple[int, ...]
    classifier: NetOrName = ENCODER
    log_probability_of: LogProbability = label_log_probability

    @property
    def needs(self) -> tuple[str, ...]:
        """The classifier."""
        return _names(self.classifier)

    def build(self, nets: Nets, chain_numbers: Sequence[int]) -> Condition:
        """See `LabelCondition`."""
        label_N = torch.tensor([self.labels[number % len(self.labels)] for number in chain_numbers])
        return LabelCondition(_net(self.classifier, nets), label_N, self.log_probability_of)


@dataclass(frozen=True)
class UnitRequest:
    """Every chain shows what excites one hidden unit of the encoder, or of another net.

    Example:
        `UnitRequest("second", channel=12, row=3, column=3)`

    Attributes:
        layer: see `ImageClassifier.layer`.
        channel: of the layer.
        row: of the layer's units.
        column: of the layer's units.
        net: "encoder", or any module with a method `layer(name, images)`.
    """

    layer: str
    channel: int
    row: int = 0
    column: int = 0
    net: NetOrName = ENCODER

    @property
    def needs(self) -> tuple[str, ...]:
        """The net of the unit."""
        return _names(self.net)

    def build(self, nets: Nets, chain_numbers: Sequence[int]) -> Condition:
        """See `UnitCondition`."""
        layer: Any = _net(self.net, nets).layer
        channel_N = torch.full((len(chain_numbers),), self.channel)
        return UnitCondition(partial(layer, self.layer), channel_N, self.row, self.column)


@dataclass(frozen=True)
class CaptionRequest:
    """Chain n shows caption number n of a list, which is begun again at its end.

    Example:
        `CaptionRequest((words.encode("a three left of a seven"),))`

    Attributes:
        captions: word numbers, see `CaptionWords`; all of one length.
        captioner: "captioner" (the run's), or another one.
    """

    captions: tuple[tuple[int, ...], ...]
    captioner: NetOrName = CAPTIONER

    @property
    def needs(self) -> tuple[str, ...]:
        """The captioner."""
        return _names(self.captioner)

    def build(self, nets: Nets, chain_numbers: Sequence[int]) -> Condition:
        """See `CaptionCondition`."""
        word_NT = torch.tensor([self.captions[number % len(self.captions)] for number in chain_numbers])
        return CaptionCondition(_net(self.captioner, nets), word_NT)


@dataclass(frozen=True)
class ContextRequest:
    """Every chain fills the hole of one picture.

    Example:
        `ContextRequest(image_CHW, is_known_HW, context_sd=0.5, label=LabelRequest((7,)))`

    Attributes:
        known_CHW: [C, H, W] in [0, 1].
        is_known_HW: [H, W] bool.
        context_sd: see `context_log_likelihood`.
        label: that the filled picture is to show; None for none.
    """

    known_CHW: Tensor
    is_known_HW: Tensor
    context_sd: float
    label: LabelRequest | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The classifier of the label, if there is one."""
        return () if self.label is None else self.label.needs

    def build(self, nets: Nets, chain_numbers: Sequence[int]) -> Condition:
        """See `ContextCondition`."""
        inner = None if self.label is None else self.label.build(nets, chain_numbers)
        return ContextCondition(self.known_CHW, self.is_known_HW, self.context_sd, inner)

    def filled(self, image_NCHW: Tensor) -> Tensor:
        """The picture with its hole filled by images of chains; see `stitched`."""
        return stitched(image_NCHW, self.known_CHW, self.is_known_HW)

    def with_grey_hole(self) -> Tensor:
        """[C, H, W]: what is given, with middle grey where nothing is known."""
        return torch.where(self.is_known_HW, self.known_CHW, 0.5)


def _names(net: NetOrName) -> tuple[str, ...]:
    """The net of the run that is asked, if it is one of the run."""
    return (net,) if isinstance(net, str) else ()


def _net(net: NetOrName, nets: Nets) -> nn.Module:
    """The net; one in training mode is refused: with its dropout no chain could be repeated."""
    if isinstance(net, str):
        return nets[net]
    if net.training:
        raise ValueError(f"{type(net).__name__} is in training mode: give it as net.eval(), so that chains repeat.")
    return net


@dataclass(frozen=True)
class ChainRequest:
    """Chains to be run, as a worker is told; it is sent with every shard, so that a net in it should be a small one.

    Example:
        `ChainRequest(LabelRequest((7,)), PlugAndPlayRule(0.1, 0.05, 0.1), num_steps=100, seed=0, record_at=(0, 100))`

    Attributes:
        condition: None for none.
        rule: how they move.
        num_steps: how many steps.
        seed: of all chains.
        record_at: steps whose images are kept.
        prior: instead of the model's; None for that.
    """

    condition: ConditionRequest | None
    rule: StepRule
    num_steps: int
    seed: int
    record_at: tuple[int, ...]
    prior: Prior | None = None


CHAINS_PER_SHARD = 16
"""Chains that advance in one batch, always: rounding depends on its size, and a normalised step magnifies that."""


def shards_of(num_chains: int) -> list[range]:
    """The numbers of the chains of every shard.

    Args:
        num_chains: in all.

    Returns:
        16 at a time; the last may have fewer.
    """
    return [range(start, min(start + CHAINS_PER_SHARD, num_chains)) for start in range(0, num_chains, CHAINS_PER_SHARD)]


def run_chains(
    model: PlugAndPlayModel,
    nets: Nets,
    state_shape: Sequence[int],
    request: ChainRequest,
    chain_numbers: Sequence[int],
) -> ChainRecord:
    """A shard of the chains of a request; chain n is the same bit for bit, whoever runs it and whatever their number.

    A shard of fewer than 16 is filled with the chains that come next, whose record is thrown away.

    Args:
        model: one of the five.
        nets: trained, in evaluation mode, without gradients of their own.
        state_shape: of one state.
        request: what is asked.
        chain_numbers: which chains, one of `shards_of`.

    Returns:
        Their record.
    """
    next_number = max(chain_numbers) + 1
    numbers = [*chain_numbers, *range(next_number, next_number + CHAINS_PER_SHARD - len(chain_numbers))]
    condition = None if request.condition is None else request.condition.build(nets, numbers)
    prior = model.prior(nets) if request.prior is None else request.prior
    chain = Chain(model.generate(nets), prior, condition, request.rule)
    start_N = start_states(state_shape, numbers, request.seed)
    return chain.run(start_N, numbers, request.num_steps, request.seed, request.record_at).first(len(chain_numbers))
