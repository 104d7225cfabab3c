"""The systems there are, by the word after `rlgan train`; each is imported only when the command line names it.

`rlgan sample` and `rlgan eval` work without Ray, so what they do for a system is a module of its own.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from rlgan.errors import ConfigError

if TYPE_CHECKING:
    from rlgan.launch.system import System

Command = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Entry:
    """One system.

    Example:
        `Entry("Train SeqGAN.", sample="rlgan.launch.sample", evaluate="rlgan.launch.evaluate")`

    Attributes:
        about: one line for `rlgan --help`.
        sample: module whose function `sample` is `rlgan sample`; None where there is nothing to sample.
        evaluate: module whose function `evaluate` is `rlgan eval`; None where a run is measured only while it trains.
    """

    about: str
    sample: str | None = None
    evaluate: str | None = None


SYSTEMS = {
    "seqgan": Entry(
        "Train SeqGAN on text, integer sequences or the built-in oracle.",
        sample="rlgan.launch.sample",
        evaluate="rlgan.launch.evaluate",
    ),
    "maskgan": Entry(
        "Train MaskGAN, which fills blanks in text, on lines of text or a built-in grammar.",
        sample="rlgan.launch.sample_fills",
        evaluate="rlgan.launch.evaluate_fills",
    ),
    "bgan": Entry("Train BGAN on images with few levels, or on short texts.", sample="rlgan.launch.sample_images"),
    "began": Entry("Train BEGAN on grey or colour images.", sample="rlgan.launch.sample_images"),
    "ppgn": Entry(
        "Train PPGN on labelled images, for chains that a classifier steers.", sample="rlgan.launch.sample_chains"
    ),
}


def system_named(name: str) -> "System":
    """A system, imported only now.

    Args:
        name: a key of `SYSTEMS`.

    Returns:
        The object `SYSTEM` of launch/systems/NAME.py.
    """
    system: System = importlib.import_module(f"rlgan.launch.systems.{name}").SYSTEM
    return system


def command_for(command: str, arguments: Sequence[str]) -> Command:
    """What `rlgan sample` or `rlgan eval` does for the run it is given.

    Args:
        command: "sample" or "evaluate".
        arguments: the words after it.

    Returns:
        The function of the system's module.

    Raises:
        ConfigError: if the system has none.
    """
    name = name_of_run(arguments)
    module = getattr(SYSTEMS[name], command)
    if module is None:
        raise ConfigError(f"a run of {name} cannot be given to this command; its report.html says what there is.")
    function: Command = getattr(importlib.import_module(module), command)
    return function


def name_of_run(arguments: Sequence[str]) -> str:
    """The system of the run that a command is given.

    Args:
        arguments: the words after the command; the first that is a directory with a config.yaml counts.

    Returns:
        The name in that file; "seqgan" where there is none: its commands say what is missing.
    """
    for word in arguments:
        path = Path(word) / "config.yaml"
        if not word.startswith("-") and path.is_file():
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8", errors="replace"))
            except (OSError, yaml.YAMLError, RecursionError):
                continue
            name = content.get("system") if isinstance(content, dict) else None
            if name in SYSTEMS:
                return str(name)
    return "seqgan"
