"""Strict YAML for settings: plain values only, no tags, no anchors, no key twice, no key that does not exist."""

import difflib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from rlgan.errors import ConfigError

MAX_CONFIG_BYTES = 2**20
_MAX_DEPTH = 20


def read_settings(path: Path, model_class: type[BaseModel]) -> dict[str, Any]:
    """The values of a YAML file, each checked by itself; whether they fit together is for the whole to say.

    Args:
        path: the file.
        model_class: the model whose fields the keys name.

    Returns:
        Values by field name, nested like the model; only what the file has.

    Raises:
        ConfigError: if it cannot be read, or any of it is not a setting.
    """
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: expected at most {MAX_CONFIG_BYTES:,} bytes of settings. Is it the right file?")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}). Give a YAML file.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}). Give a readable YAML file.") from None
    return parse_settings(text, model_class, str(path))


def parse_settings(text: str, model_class: type[BaseModel], where: str) -> dict[str, Any]:
    """As `read_settings`, from text.

    Args:
        text: YAML.
        model_class: the model whose fields the keys name.
        where: how to name the text in a message.

    Returns:
        Values by field name, nested like the model.

    Raises:
        ConfigError: if any of it is not a setting.
    """
    try:
        _refuse_magic(text, where)
        content = yaml.load(text, Loader=_UniqueKeys)  # a SafeLoader
    except yaml.YAMLError as error:
        mark: Any = getattr(error, "problem_mark", None)
        place = f"{where}: line {mark.line + 1}" if mark is not None else where
        raise ConfigError(f"{place}: {getattr(error, 'problem', None) or 'not YAML'}.") from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise ConfigError(f"{where}: not plain YAML ({error!s:.100}).") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: expected settings as `name: value` lines; got {type(content).__name__}.")
    return _checked(content, model_class, where, "", model_class)


class _UniqueKeys(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping, as SafeLoader makes it, of keys that differ."""
        seen = set()
        for key_node, _ in node.value:
            key = (key_node.tag, str(key_node.value))
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _refuse_magic(text: str, where: str) -> None:
    """No tags, no anchors or aliases, no deep nesting: settings need none of them."""
    depth = 0
    event: Any
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{where}: line {line}: nested more than {_MAX_DEPTH} levels deep.")
        if getattr(event, "tag", None) is not None:
            raise ConfigError(f"{where}: line {line}: the tag {event.tag[:60]!r} is refused; write a plain value.")
        if getattr(event, "anchor", None) is not None:
            raise ConfigError(f"{where}: line {line}: anchors and aliases are refused; write the value out.")


def _checked(
    content: Mapping[Any, Any], model_class: type[BaseModel], where: str, prefix: str, root: type[BaseModel]
) -> dict[str, Any]:
    """The values of one section, converted to the types of its fields."""
    values: dict[str, Any] = {}
    for key, value in content.items():
        field = model_class.model_fields.get(key) if isinstance(key, str) else None
        name = f"{prefix}{key}"
        if field is None:
            hint = _suggestion(str(key), prefix, model_class, root)
            raise ConfigError(f"{where}: {name[:80]}: no such setting; {hint}.")
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if not isinstance(value, dict):
                raise ConfigError(f"{where}: {name}: expected a section of settings; got {value!r:.60}.")
            values[key] = _checked(value, annotation, where, f"{name}.", root)
        else:
            values[key] = _converted(value, field, f"{where}: {name}")
    return values


def _converted(value: Any, field: FieldInfo, place: str) -> Any:
    """One value in the type of its field and within its bounds."""
    if isinstance(value, bool) and field.annotation is not bool:
        raise ConfigError(f"{place}: expected another type than true or false; got {str(value).lower()}.")
    try:
        kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        converted: Any = TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = first["msg"]
        raise ConfigError(f"{place}: {message[:1].lower()}{message[1:]}; got {first['input']!r:.60}.") from None
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigError(f"{place}: expected a finite number; got {converted}.")
    return converted


def _suggestion(key: str, prefix: str, model_class: type[BaseModel], root: type[BaseModel]) -> str:
    """The setting perhaps meant: here, or of the same name in another section."""
    elsewhere = [path for path in _paths(root) if path.rpartition(".")[2] == key]
    close = [f"{prefix}{name}" for name in difflib.get_close_matches(key, model_class.model_fields, n=1)]
    if not close and not elsewhere:
        names = {path.rpartition(".")[2]: path for path in _paths(root)}
        elsewhere = [names[name] for name in difflib.get_close_matches(key, names, n=1)]
    found = elsewhere or close
    here = ", ".join(model_class.model_fields)
    return f"perhaps you meant {' or '.join(found)}" if found else f"the settings here are {here}"


def _paths(model_class: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted path of every setting and section."""
    for name, field in model_class.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _paths(field.annotation, f"{prefix}{name}.")
