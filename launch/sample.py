"""`rlgan sample`: sequences of a trained generator, as text or JSON lines, without Ray."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rlgan.errors import ConfigError
from rlgan.launch.generator import load_generator
from rlgan.launch.options import OptionStyle, parse_options
from rlgan.rollouts import sample_sequences
from rlgan.seeding import torch_generator
from rlgan.types import TokenSpace

_BATCH = 256
STYLE = OptionStyle(
    "rlgan sample", "Generate sequences with the newest checkpoint of a run, one a line.", positional="run"
)


class SampleOptions(BaseModel):
    """All options of `rlgan sample`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    run: Path = Field(description="Run directory, or one of its checkpoints.")
    num_samples: int = Field(10, ge=1, description="Sequences to generate.")
    temperature: float = Field(
        1.0, gt=0, le=1000, description="The logits are divided by this; below 1 is safer and less diverse."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the draw.")
    format: Literal["text", "jsonl"] = Field(
        "text", description="text: one sequence a line; jsonl: an object with text, tokens and step a line."
    )
    output: Path | None = Field(None, description="File to write instead of standard output.")


def sample(arguments: Sequence[str]) -> int:
    """Run `rlgan sample`.

    Args:
        arguments: the words after it.

    Returns:
        0.
    """
    options = parse_options(SampleOptions, arguments, STYLE)
    generator = load_generator(options.run)
    vocabulary = generator.vocabulary

    def draw(uniform_NT: Tensor) -> Tensor:
        return sample_sequences(generator.net, vocabulary.space, uniform_NT, options.temperature)

    write_sequences(Sampler(draw, vocabulary.decode, vocabulary.space, generator.step), options)
    return 0


@dataclass(frozen=True)
class Sampler:
    """What sequences come from, and how they are written.

    Attributes:
        draw: [N, T] float in [0, 1), which draw one token each -> [N, T] int64 ids.
        decode: [T] ids of one sequence -> text.
        space: of the ids.
        step: rounds of training.
    """

    draw: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], str]
    space: TokenSpace
    step: int


def write_sequences(sampler: Sampler, options: SampleOptions) -> None:
    """Sequences, one a line, to where the options say.

    Args:
        sampler: what draws them.
        options: how many, in what form, where to.

    Raises:
        ConfigError: if the output file cannot be written.
    """
    lines = _lines(sampler, options)
    if options.output is None:
        _write(lines, sys.stdout)
        return
    try:
        with options.output.open("w", encoding="utf-8") as file:
            _write(lines, file)
    except OSError as error:
        raise ConfigError(f"--output {options.output}: cannot be written ({error.strerror or error}).") from None


def _lines(sampler: Sampler, options: SampleOptions) -> Iterator[str]:
    """The output, batch by batch; the first n sequences do not depend on how many follow."""
    space = sampler.space
    for start in range(0, options.num_samples, _BATCH):
        random = torch_generator(options.seed, "sample", start)
        uniform_NT = torch.rand(_BATCH, space.length, generator=random)
        for tokens_T in sampler.draw(uniform_NT[: min(_BATCH, options.num_samples - start)]):
            text = sampler.decode(tokens_T)
            if options.format == "text":
                yield " ".join(text.splitlines())
            else:
                tokens = tokens_T[space.mask(tokens_T[None])[0]].tolist()
                yield json.dumps({"text": text, "tokens": tokens, "step": sampler.step}, ensure_ascii=False)


def _write(lines: Iterator[str], file: TextIO) -> None:
    """Every line as soon as it is there."""
    for line in lines:
        file.write(f"{line}\n")
    file.flush()
