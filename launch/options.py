"""Command-line options of a pydantic model: tyro reads and explains them, the model checks them as a whole.

The first levels of the model have flat names (`--rounds`), deeper ones a prefix (`--generator.hidden-size`). Every
mistake is a ConfigError of one line. The values that the options go over may be incomplete or contradict each other:
only the result is checked, so that a file can leave to an option what belongs to it.
"""

import contextlib
import dataclasses
import difflib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import tyro
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from rlgan.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

MAX_INTEGER = 10**9
_NO_OPTION = frozenset({"system"})
_ALIASES = {"num_samples": ["-n"]}
_RENAMED = {"reward": "reward-ablation", "label": "class"}


class ContradictionError(ConfigError):
    """Options that are right each by itself and wrong together, over the values that they go over."""


@dataclass(frozen=True)
class OptionStyle:
    """How a command names its options.

    Example:
        `OptionStyle("rlgan sample", "Generate sequences.", positional="run")`

    Attributes:
        command: the words before the options, for the help.
        description: first lines of the help.
        flat_levels: how many levels of sections have no prefix.
        positional: a field that is given without dashes.
    """

    command: str
    description: str
    flat_levels: int = 0
    positional: str | None = None


def parse_options(
    model_class: type[Model], arguments: Sequence[str], style: OptionStyle, start: Mapping[str, Any] | None = None
) -> Model:
    """The model that the options ask for.

    Args:
        model_class: what to fill.
        arguments: the words after the command.
        style: how the options are named.
        start: values that the options go over, nested like the model; None: the defaults of the model.

    Returns:
        A validated model.

    Raises:
        ConfigError: one line: which option, what was expected, what was perhaps meant.
        SystemExit: after `--help` has been printed.
    """
    require_known_options(model_class, arguments, style)
    start = model_class.model_construct().model_dump() if start is None else start
    mirror = _mirror(model_class, style)
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            default = _fill_mirror(mirror, start)
            given = tyro.cli(
                mirror, args=list(arguments), default=default, prog=style.command, description=style.description
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise ConfigError(f"{_first_paragraph(box.getvalue())} See {style.command} --help.") from None
    return _validated(model_class, overlaid(start, dataclasses.asdict(given)), style)


def overlaid(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with others over them.

    Args:
        under: the values to start from.
        over: replaces the leaves that it names.

    Returns:
        A new dict.
    """
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[name] = overlaid(below, value) if both else value  # type: ignore[arg-type]
    return merged


def require_known_options(model_class: type[BaseModel], arguments: Sequence[str], style: OptionStyle) -> None:
    """Refuse an option that does not exist.

    Args:
        model_class: whose options there are.
        arguments: the words after the command.
        style: how the options are named.

    Raises:
        ConfigError: naming the option, and the one perhaps meant.
    """
    options = {flag.removeprefix("--"): field for flag, field in _flags(model_class, style).items()}
    truths = [name.rpartition(".") for name, field in options.items() if field.annotation is bool]
    denied = {f"{section}{dot}no-{name}" for section, dot, name in truths}
    known = options.keys() | denied | {"help"}
    short = {"-h", *(alias for names in _ALIASES.values() for alias in names)}
    for word in arguments:
        if re.fullmatch(r"-[A-Za-z]", word) and word not in short:
            raise ConfigError(f"{word}: no such option. See {style.command} --help.")
        if not word.startswith("--"):
            continue
        name = word[2:].partition("=")[0].replace("_", "-")
        if name not in known:
            raise ConfigError(f"--{name}: no such option; {_suggestion(name, options)}.")


def value_of(arguments: Sequence[str], name: str) -> str | None:
    """What an option was given, before all options are read.

    Args:
        arguments: the words after the command.
        name: without dashes.

    Returns:
        Its last value; None if it is not there.
    """
    value = None
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        flag, equals, _ = word.replace("_", "-", 2).partition("=") if word.startswith("--") else ("", "", "")
        if flag == f"--{name}":
            value = word.partition("=")[2] if equals else following
    return value


def _suggestion(name: str, known: Mapping[str, Any]) -> str:
    """What was perhaps meant."""
    last = name.rpartition(".")[2]
    ends: dict[str, list[str]] = {}
    for option in known:
        ends.setdefault(option.rpartition(".")[2], []).append(option)
    found = (
        ends.get(last)
        or [option for option in known if option.startswith(f"{name}-")]
        or difflib.get_close_matches(name, known, n=1)
        or [ends[end][0] for end in difflib.get_close_matches(last, ends, n=1)]
    )
    return f"perhaps you meant {' or '.join(f'--{option}' for option in found)}" if found else "see --help"


def _is_model(annotation: Any) -> bool:
    """Whether a field is a section."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _fields(model_class: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Fields that have an option or are sections."""
    return ((name, field) for name, field in model_class.model_fields.items() if name not in _NO_OPTION)


def _leaves(
    model_class: type[BaseModel], style: OptionStyle, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str, FieldInfo]]:
    """(path in the model, option, field) of every value."""
    for name, field in _fields(model_class):
        annotation: Any = field.annotation
        if _is_model(annotation):
            yield from _leaves(annotation, style, (*path, name))
        elif len(path) == 0 and name == style.positional:
            yield (name,), name.upper(), field
        else:
            words = [*path[style.flat_levels :], _RENAMED.get(name, name)]
            yield (*path, name), "--" + ".".join(words).replace("_", "-"), field


def _flags(model_class: type[BaseModel], style: OptionStyle) -> dict[str, FieldInfo]:
    """Fields by option."""
    return {flag: field for _, flag, field in _leaves(model_class, style)}


def _mirror(model_class: type[BaseModel], style: OptionStyle, depth: int = 0) -> type[Any]:
    """The model as a dataclass without checks, with names and help for tyro."""
    fields: list[tuple[str, Any]] = []
    for name, field in _fields(model_class):
        annotation: Any = field.annotation
        if _is_model(annotation):
            nested = _mirror(annotation, style, depth + 1)
            fields.append((name, Annotated[nested, tyro.conf.arg(name="")] if depth < style.flat_levels else nested))
            continue
        is_positional = depth == 0 and name == style.positional
        about = tyro.conf.arg(
            help=field.description,
            name=_RENAMED.get(name),
            aliases=_ALIASES.get(name) if depth == 0 else None,
            metavar=name.upper() if is_positional else None,
        )
        kind: Any = Annotated[annotation, about]
        fields.append((name, Annotated[kind, tyro.conf.Positional] if is_positional else kind))
    return dataclasses.make_dataclass(f"{model_class.__name__}Options", fields)


def _fill_mirror(mirror: type[Any], values: Mapping[str, Any]) -> Any:
    """An instance of a mirror; what is not given must be given by an option."""
    content = {}
    for field in dataclasses.fields(mirror):
        value = values.get(field.name, tyro.MISSING)
        kind: Any = getattr(field.type, "__origin__", field.type)
        content[field.name] = _fill_mirror(kind, value) if dataclasses.is_dataclass(kind) else value  # type: ignore[arg-type]
    return mirror(**content)


def _validated(model_class: type[Model], values: Mapping[str, Any], style: OptionStyle) -> Model:
    """The model, or one line about the first wrong value."""
    options = {path: flag for path, flag, _ in _leaves(model_class, style)}
    for path, flag in options.items():
        value: Any = values
        for name in path:
            value = value[name]
        largest = max((one for one in _numbers(value)), default=0)
        if largest > MAX_INTEGER and "seed" not in path[-1]:
            raise ConfigError(f"{flag}: expected at most {MAX_INTEGER:,}; got {largest:,}.")
    try:
        return model_class.model_validate(values)
    except ValidationError as error:
        by_themselves = [one for one in error.errors(include_url=False) if one["type"] != "value_error"]
        mistake = ConfigError if by_themselves else ContradictionError  # pydantic's name for what a validator says
        raise mistake(one_line(error, options)) from None


def _numbers(value: Any) -> list[int]:
    """The whole numbers of a value or tuple of values."""
    values = value if isinstance(value, tuple | list) else [value]
    return [one for one in values if isinstance(one, int)]


def one_line(error: ValidationError, options: Mapping[tuple[str, ...], str]) -> str:
    """The first mistake that pydantic found.

    Args:
        error: what it raised.
        options: option by path in the model.

    Returns:
        The option, what was expected, what came.
    """
    first = error.errors(include_url=False)[0]
    path = tuple(str(part) for part in first["loc"])
    flag = next((options[path[:end]] for end in range(len(path), 0, -1) if path[:end] in options), "")
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    if not flag:
        return f"{message}."
    got = "" if first["type"] == "value_error" else f"; got {first['input']!r:.80}"
    return f"{flag}: {message[:1].lower()}{message[1:]}{got}."


def _first_paragraph(box: str) -> str:
    """What tyro says first in its box, on one line; where there is no UTF-8 the box has no frame but a title."""
    lines = [line.strip("│ \t") for line in box.splitlines()]
    is_rule = [len(line) > 4 and set(line) <= {"─", "-"} for line in lines]
    rules = [index for index, rule in enumerate(is_rule) if rule] or [len(lines)]
    start = 0 if "╭" in box else rules.pop(0) + 1
    said = [line for line in lines[start : rules[0] if rules else None] if line and line[0] not in "╭╰"]
    return " ".join(said).rstrip(".") + "."
