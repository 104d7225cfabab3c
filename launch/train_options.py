"""What `rlgan train` is asked to do: a recipe, then the settings of a run that goes on, a file, and the options."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import create_model

from rlgan.errors import ConfigError
from rlgan.launch.config_file import parse_settings, read_settings
from rlgan.launch.generator import checkpoint_at
from rlgan.launch.options import OptionStyle, overlaid, parse_options, require_known_options, value_of
from rlgan.launch.run_config import Invocation, RunConfig, TrainOptions
from rlgan.launch.system import System


def options_class(system: System) -> type[TrainOptions]:
    """The options of a system.

    Args:
        system: whose settings `run` holds.

    Returns:
        A model whose leaves are the options.
    """
    return create_model("TrainOptions", __base__=TrainOptions, run=(system.run_class, system.run_class()))


def style(system: System) -> OptionStyle:
    """How the options of a system are named and explained.

    Args:
        system: what is trained.

    Returns:
        Settings of a run have flat names, deeper ones a prefix.
    """
    return OptionStyle(f"rlgan train {system.name}", system.description, flat_levels=2)


def read_train_options(system: System, arguments: Sequence[str], resumes_here: bool = True) -> TrainOptions:
    """The options, over all that they go over.

    Args:
        system: what is trained.
        arguments: the words after `rlgan train SYSTEM`.
        resumes_here: whether the run that goes on is on this machine; elsewhere its settings are not read.

    Returns:
        Validated options, with absolute paths of data.

    Raises:
        ConfigError: if any of it is wrong.
    """
    model_class = options_class(system)
    require_known_options(model_class, arguments, style(system))
    is_help = any(word in {"-h", "--help"} for word in arguments)
    recipe = system.recipes.get(value_of(arguments, "recipe") or "quick", system.recipes["quick"])
    values = recipe().model_dump()
    if not is_help:
        if resumes_here and value_of(arguments, "recipe") is None:
            values = overlaid(values, _settings_to_go_on_with(system, arguments))
        config = value_of(arguments, "config")
        if config is not None:
            values = overlaid(values, read_settings(Path(config), system.run_class))
    start = {"invocation": Invocation().model_dump(), "run": values}
    options = parse_options(model_class, arguments, style(system), start=start)
    if options.invocation.resume == "auto" and options.invocation.run_dir is None:
        raise ConfigError("--resume auto: which run? Give its --run-dir.")
    return options.model_copy(update={"run": _with_absolute_paths(options.run)})


def _settings_to_go_on_with(system: System, arguments: Sequence[str]) -> dict[str, Any]:
    """The settings of the run that goes on; none for a new one."""
    resume, run_dir = value_of(arguments, "resume"), value_of(arguments, "run-dir")
    if resume in {None, "never"}:
        return {}
    if resume == "auto":
        return _settings_of(system, Path(run_dir)) if run_dir is not None else {}
    path = Path(resume or "")
    return overlaid(
        _settings_of(system, path),
        parse_settings(checkpoint_at(path).config_yaml, system.run_class, f"{path}: config.yaml"),
    )


def _settings_of(system: System, run_dir: Path) -> dict[str, Any]:
    """The settings of a run directory; none where it has none, and none of a checkpoint's folder."""
    path = run_dir / "config.yaml"
    is_run = path.is_file() and not (run_dir / "manifest.json").exists()
    return read_settings(path, system.run_class) if is_run else {}


def _with_absolute_paths(run: RunConfig) -> RunConfig:
    """The run with paths that mean the same from every working directory."""
    paths = {name: value.absolute() for name, value in run.data if isinstance(value, Path)}
    return run.model_copy(update={"data": run.data.model_copy(update=paths)})
