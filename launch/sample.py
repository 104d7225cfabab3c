"""`rlgan sample`: sequences of a trained generator, as text or JSON lines, without Ray."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TextIO

import torch
from pydantic import BaseModel, ConfigDict, Field

from rlgan.errors import ConfigError
from rlgan.launch.generator import TrainedGenerator, load_generator
from rlgan.launch.options import OptionStyle, parse_options
from rlgan.rollouts import sample_sequences
from rlgan.seeding import torch_generator

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

    Raises:
        ConfigError: if the output file cannot be written.
    """
    options = parse_options(SampleOptions, arguments, STYLE)
    generator = load_generator(options.run)
    lines = _lines(generator, options)
    if options.output is None:
        _write(lines, sys.stdout)
        return 0
    try:
        with options.output.open("w", encoding="utf-8") as file:
            _write(lines, file)
    except OSError as error:
        raise ConfigError(f"--output {options.output}: cannot be written ({error.strerror or error}).") from None
    return 0


def _lines(generator: TrainedGenerator, options: SampleOptions) -> Iterator[str]:
    """The output, batch by batch; the first n sequences do not depend on how many follow."""
    space = generator.vocabulary.space
    for start in range(0, options.num_samples, _BATCH):
        random = torch_generator(options.seed, "sample", start)
        uniform_NT = torch.rand(_BATCH, space.length, generator=random)
        count = min(_BATCH, options.num_samples - start)
        for tokens_T in sample_sequences(generator.net, space, uniform_NT[:count], options.temperature):
            text = generator.vocabulary.decode(tokens_T)
            if options.format == "text":
                yield " ".join(text.splitlines())
            else:
                tokens = tokens_T[space.mask(tokens_T[None])[0]].tolist()
                yield json.dumps({"text": text, "tokens": tokens, "step": generator.step}, ensure_ascii=False)


def _write(lines: Iterator[str], file: TextIO) -> None:
    """Every line as soon as it is there."""
    for line in lines:
        file.write(f"{line}\n")
    file.flush()
