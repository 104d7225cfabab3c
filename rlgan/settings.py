"""Fill a pydantic model from a user's values, with one clear line where a value is wrong."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from rlgan.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def filled(model_class: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """The model with these values and defaults for the rest.

    Args:
        model_class: what to fill.
        values: by field name; nested mappings fill nested models.
        where: how to name the place in a message, such as "training" or a file.

    Returns:
        A validated model.

    Raises:
        ConfigError: naming the first wrong value, what was expected, and the field perhaps meant.
    """
    try:
        return model_class.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_explain(model_class, error, where)) from None


def changed(model: Model, changes: Mapping[str, Any], where: str) -> Model:
    """A copy with some fields changed, validated as a whole.

    Args:
        model: the values to start from.
        changes: new values by field name; a mapping for a nested model changes only the fields it names.
        where: how to name the place in a message.

    Returns:
        A new model.
    """
    merged = dict(model)
    for name, value in changes.items():
        nested = merged.get(name)
        if isinstance(nested, BaseModel) and isinstance(value, Mapping):
            merged[name] = changed(nested, value, f"{where}.{name}")
        else:
            merged[name] = value
    return filled(type(model), merged, where)


def told(model: BaseModel, *names: str) -> list[str]:
    """Which fields say something else than their default, for refusing those that would have no effect.

    Args:
        model: the values.
        *names: the fields to look at.

    Returns:
        Some of the names, in their order.
    """
    fields = type(model).model_fields
    return [name for name in names if getattr(model, name) != fields[name].default]


def _explain(model_class: type[BaseModel], error: ValidationError, where: str) -> str:
    """One line for the first error."""
    first = error.errors(include_url=False)[0]
    path = ".".join([where, *(str(part) for part in first["loc"])])
    if first["type"] == "extra_forbidden":
        known = _fields_at(model_class, first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"perhaps you meant {close[0]!r}" if close else f"the options are {', '.join(sorted(known))}"
        return f"{path}: no such option; {hint}."
    message = first["msg"].removeprefix("Value error, ")
    return f"{path}: {message[0].lower()}{message[1:]}; got {first['input']!r}."


def _fields_at(model_class: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The field names of the nested model at a path."""
    for part in path:
        annotation = model_class.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model_class = annotation
    return list(model_class.model_fields)
