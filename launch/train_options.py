"""What `rlgan train` is asked to do: a recipe, then the settings of a run that goes on, a file, and the options."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlgan.data import CorpusConfig
from rlgan.errors import ConfigError
from rlgan.launch import recipes
from rlgan.launch.config_file import parse_settings, read_settings
from rlgan.launch.generator import checkpoint_at
from rlgan.launch.options import OptionStyle, overlaid, parse_options, require_known_options, value_of
from rlgan.launch.run_config import RunConfig, TrainOptions

STYLE = OptionStyle(
    "rlgan train seqgan",
    "Train SeqGAN (arXiv:1609.05473): a generator of token sequences against a text CNN. Without --data it learns the "
    "built-in oracle. Options go over --config, which goes over --recipe.",
    flat_levels=2,
)


def read_train_options(arguments: Sequence[str]) -> TrainOptions:
    """The options, over all that they go over.

    Args:
        arguments: the words after `rlgan train seqgan`.

    Returns:
        Validated options, with absolute paths of data.

    Raises:
        ConfigError: if any of it is wrong.
    """
    require_known_options(TrainOptions, arguments, STYLE)
    is_help = any(word in {"-h", "--help"} for word in arguments)
    recipe = recipes.SEQGAN.get(value_of(arguments, "recipe") or "quick", recipes.seqgan_quick)
    values = recipe().model_dump()
    if not is_help:
        if value_of(arguments, "recipe") is None:
            values = overlaid(values, _settings_to_go_on_with(arguments))
        config = value_of(arguments, "config")
        if config is not None:
            values = overlaid(values, read_settings(Path(config), RunConfig))
    invocation = TrainOptions().invocation.model_dump()
    options = parse_options(TrainOptions, arguments, STYLE, start={"invocation": invocation, "run": values})
    if options.invocation.resume == "auto" and options.invocation.run_dir is None:
        raise ConfigError("--resume auto: which run? Give its --run-dir.")
    return options.model_copy(update={"run": _with_absolute_paths(options.run)})


def _settings_to_go_on_with(arguments: Sequence[str]) -> dict[str, Any]:
    """The settings of the run that goes on; none for a new one."""
    resume, run_dir = value_of(arguments, "resume"), value_of(arguments, "run-dir")
    if resume in {None, "never"}:
        return {}
    if resume == "auto":
        return _settings_of(Path(run_dir)) if run_dir is not None else {}
    path = Path(resume or "")
    return overlaid(
        _settings_of(path), parse_settings(checkpoint_at(path).config_yaml, RunConfig, f"{path}: config.yaml")
    )


def _settings_of(run_dir: Path) -> dict[str, Any]:
    """The settings of a run directory; none where it has none, and none of a checkpoint's folder."""
    path = run_dir / "config.yaml"
    is_run = path.is_file() and not (run_dir / "manifest.json").exists()
    return read_settings(path, RunConfig) if is_run else {}


def _with_absolute_paths(run: RunConfig) -> RunConfig:
    """The run with paths that mean the same from every working directory."""
    data: CorpusConfig = run.data
    paths = {name: value.absolute() for name in ("data", "oracle_file") if (value := getattr(data, name)) is not None}
    return run.model_copy(update={"data": data.model_copy(update=paths)})
