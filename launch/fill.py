"""`rlgan fill`: blanks of your own lines filled in by a trained MaskGAN and by its MaskMLE, without Ray."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rlgan.data.vocabulary import UNK
from rlgan.errors import ConfigError
from rlgan.launch.filler import Fill, Filler, load_filler, read_lines
from rlgan.launch.options import OptionStyle, parse_options

STYLE = OptionStyle(
    "rlgan fill",
    'Fill blanks: `rlgan fill RUN "the ____ sat"`. A blank is a word of two or more underscores, ____:3 is three of '
    "them; to a vocabulary of characters every underscore is one. Under each line stand the fills with the reward of "
    "every token, by MaskGAN and by the MaskMLE it started from.",
    positional="run",
)


class FillOptions(BaseModel):
    """All options of `rlgan fill`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    run: Path = Field(description="Run directory of MaskGAN, or one of its checkpoints.")
    text: str | None = Field(None, description="The line to fill; the word after the run means this too.")
    file: Path | None = Field(None, description="File of lines to fill, instead of one line.")
    num_samples: int = Field(3, ge=1, le=10_000, description="Fills of every line by each generator.")
    generator: Literal["both", "maskgan", "mask_mle"] = Field("both", description="Who fills.")
    temperature: float = Field(
        1.0, gt=0, le=1000, description="The logits are divided by this; below 1 is safer and less diverse."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the draws; both generators draw with the same numbers.")
    format: Literal["text", "jsonl"] = Field(
        "text", description="text: to read; jsonl: an object a fill with line, generator, text, tokens and rewards."
    )


def fill(arguments: Sequence[str]) -> int:
    """Run `rlgan fill`.

    Args:
        arguments: the words after it.

    Returns:
        0.

    Raises:
        ConfigError: if there is not exactly one of a line and a file.
    """
    words = list(arguments)
    if len(words) > 1 and not any(word.startswith("-") for word in words[:2]):
        words.insert(1, "--text")
    options = parse_options(FillOptions, words, STYLE)
    if (options.text is None) == (options.file is None):
        raise ConfigError('give a line, `rlgan fill RUN "the ____ sat"`, or a file of lines, --file lines.txt.')
    lines = [options.text] if options.text is not None else read_lines(options.file or Path())
    filler = load_filler(options.run)
    for line in lines:
        filler.read(line)  # a bad line is refused before anything is written
    if unknown := sorted({word for line in lines for word in filler.unknown(line)}):
        named = ", ".join(repr(word[:40]) for word in unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        sys.stderr.write(f"rlgan: warning: not in the vocabulary, read as {UNK}: {named}\n")
    for line in lines:
        for written in _lines(filler, line, options):
            sys.stdout.write(f"{written}\n")
    sys.stdout.flush()
    return 0


def _lines(filler: Filler, line: str, options: FillOptions) -> Iterator[str]:
    """What is written of one line."""
    names = list(filler.nets.generators) if options.generator == "both" else [options.generator]
    if options.format == "text":
        yield line
    for name in names:
        for one in filler.fill(name, line, options.num_samples, options.temperature, options.seed):
            yield _text(name, one) if options.format == "text" else _json(name, line, one, filler.step)


def _text(name: str, one: Fill) -> str:
    """A fill to read: the text, and its tokens with their rewards."""
    paid = "  ".join(f"{token} {reward:.2f}" for token, reward in zip(one.tokens, one.rewards, strict=True))
    return f"  {name:<8}  {' '.join(one.text.splitlines())}    [{paid}]"


def _json(name: str, line: str, one: Fill, step: int) -> str:
    """A fill as an object."""
    told = {"line": line, "generator": name, "text": one.text, "tokens": one.tokens, "rewards": one.rewards}
    return json.dumps({**told, "step": step}, ensure_ascii=False)
