"""`rlgan sample` for a run of MaskGAN: texts of blanks alone, filled in, with no real word seen. No Ray."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from rlgan.launch.fill_nets import load_fill_nets
from rlgan.launch.generator import checkpoint_at, vocabulary_of
from rlgan.launch.options import OptionStyle, parse_options
from rlgan.launch.sample import SampleOptions, Sampler, write_sequences

STYLE = OptionStyle(
    "rlgan sample",
    "Generate whole texts with the newest checkpoint of a MaskGAN run, one a line. `--blanks.kind everything` trains "
    "for this; other runs have learned to fill blanks in given words.",
    positional="run",
)


class SampleFillsOptions(SampleOptions):
    """All options of `rlgan sample` for a run of MaskGAN."""

    generator: Literal["maskgan", "mask_mle"] = Field("maskgan", description="Who writes.")


def sample(arguments: Sequence[str]) -> int:
    """Run `rlgan sample`.

    Args:
        arguments: the words after it.

    Returns:
        0.
    """
    options = parse_options(SampleFillsOptions, arguments, STYLE)
    checkpoint = checkpoint_at(options.run)
    nets = load_fill_nets(checkpoint, options.run)
    vocabulary = vocabulary_of(checkpoint, nets.space, options.run)

    def draw(uniform_NT: Tensor) -> Tensor:
        return nets.whole_texts(options.generator, uniform_NT, options.temperature)

    write_sequences(Sampler(draw, vocabulary.decode, nets.space, checkpoint.step), options)
    return 0
