"""`rlgan data inspect FILE`: what is in a data file, and what training would make of it."""

import sys
from collections.abc import Sequence

from rlgan.data import CorpusConfig
from rlgan.data.inspect import inspect_corpus, render_report
from rlgan.errors import ConfigError
from rlgan.launch.options import OptionStyle, parse_options

STYLE = OptionStyle(
    "rlgan data inspect",
    "Count the lines, tokens and lengths of a file, and what training would drop of it and why.",
    positional="data",
)


def inspect_data(arguments: Sequence[str]) -> int:
    """Run `rlgan data inspect`.

    Args:
        arguments: the words after it.

    Returns:
        0.

    Raises:
        ConfigError: if no file is given.
    """
    config = parse_options(CorpusConfig, arguments, STYLE)
    if config.data is None:
        raise ConfigError("which file? Give it after `rlgan data inspect`.")
    sys.stdout.write("".join(f"{line}\n" for line in render_report(inspect_corpus(config))))
    sys.stdout.flush()
    return 0
