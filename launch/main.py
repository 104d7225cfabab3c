"""The command `rlgan`: imports no more than a subcommand needs, and turns every failure into one line and a code."""

import difflib
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from functools import partial

from rlgan.errors import ConfigError, RlganError
from rlgan.launch.catalogue import SYSTEMS, command_for, system_named

COMMANDS = {
    **{f"train {name}": entry.about for name, entry in SYSTEMS.items()},
    "train condition": "Train a net that steers the chains of a finished PPGN run.",
    "sample": "Generate sequences or images with a trained generator.",
    "fill": "Fill blanks in lines of text with a trained MaskGAN.",
    "eval": "Measure runs and files of sequences, and compare runs.",
    "submit": "Run `rlgan train ...` as a job of a Ray cluster, and follow it.",
    "doctor": "Check what a run needs: versions, cores, memory, a folder, a cluster.",
    "data inspect": "Count what is in a data file, and what training would make of it.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after `rlgan`; None: those of this process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except RlganError as error:
        if "--debug" in words:
            traceback.print_exc()
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what reads us has seen enough
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence
        if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("rlgan"):
            return _fail(f"the package {error.name} is not here; `pip install rlgan` brings what it asks for.", 2)
        with tempfile.NamedTemporaryFile("w", prefix="rlgan-error-", suffix=".log", delete=False) as file:
            file.write(traceback.format_exc())
        return _fail(f"unexpected {type(error).__name__}: {error}. The traceback is in {file.name}.", 1)


def _fail(message: str, exit_code: int) -> int:
    """One line on standard error."""
    sys.stderr.write(f"rlgan: {' '.join(message.split())}\n")
    return exit_code


def _run(words: Sequence[str]) -> int:
    """The subcommand that the first words name."""
    if not words or words[0] in {"-h", "--help"}:
        sys.stdout.write(_help())
        return 0
    if words[0] == "--version":
        import rlgan

        sys.stdout.write(f"rlgan {rlgan.__version__}\n")
        return 0
    name = next((name for name in COMMANDS if list(words[: name.count(" ") + 1]) == name.split()), None)
    if name is None:
        asked = " ".join(words[:2] if words[0] in {"train", "data"} else words[:1])
        close = difflib.get_close_matches(asked, COMMANDS, n=1, cutoff=0.4)
        hint = f"perhaps you meant `rlgan {close[0]}`" if close else f"there are {', '.join(COMMANDS)}"
        raise ConfigError(f"`rlgan {asked}`: no such command; {hint}.")
    try:
        return _command(name)(words[name.count(" ") + 1 :])
    except SystemExit as stop:  # after --help
        return int(stop.code or 0)


def _command(name: str) -> Callable[[Sequence[str]], int]:
    """The function of a subcommand, imported only now."""
    if name == "train condition":
        from rlgan.launch.train_condition import train_condition

        return train_condition
    if name.startswith("train "):
        from rlgan.launch.train import train

        return partial(train, system_named(name.removeprefix("train ")))
    if name in {"sample", "eval"}:
        command = "sample" if name == "sample" else "evaluate"
        return lambda arguments: command_for(command, arguments)(arguments)
    if name == "doctor":
        from rlgan.launch.doctor import doctor

        return doctor
    if name == "submit":
        from rlgan.launch.submit import submit

        return submit
    if name == "fill":
        from rlgan.launch.fill import fill

        return fill
    from rlgan.launch.inspect_data import inspect_data

    return inspect_data


def _help() -> str:
    """The list of subcommands."""
    width = max(map(len, COMMANDS))
    rows = "".join(f"  {name:<{width}}  {text}\n" for name, text in COMMANDS.items())
    return (
        "rlgan: train generators of discrete things against a learned critic, on Ray.\n\n"
        f"usage: rlgan COMMAND [OPTIONS]\n\n{rows}\n`rlgan COMMAND --help` lists the options of a command.\n"
    )
