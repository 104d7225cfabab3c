"""Names for runs that are compared: what they are, and how they differ."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_PAPER_FORM = {
    "advantage": "none",
    "standardise": "false",
    "discriminator.reward_map": "probability",
    "regularisation.likelihood_weight": "0",
    "regularisation.entropy_ratio": "null",
}
_OF_THE_DISCRIMINATOR = ("discriminator.", "discriminator_training.", "num_rollouts", "rollout_delay")
_LONGEST_DETAILS = 40


def labels_of(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A label for every run; runs with the same label differ in their seed only.

    Args:
        configs: content of their config.yaml.

    Returns:
        Such as "seqgan", "seqgan, paper form", "constant reward"; "seqgan (lr=0.001)" beside "seqgan (lr=0.01)"; and
        "seqgan (settings 1)" beside "seqgan (settings 2)" where more differs than a label can say.
    """
    settings = [_settings(config) for config in configs]
    names = [_name(config, flat) for config, flat in zip(configs, settings, strict=True)]
    labels = []
    for name, flat in zip(names, settings, strict=True):
        siblings = [other for other_name, other in zip(names, settings, strict=True) if other_name == name]
        distinct = [one for number, one in enumerate(siblings) if one not in siblings[:number]]
        keys = varying(siblings)
        said = [", ".join(f"{key}={one.get(key, '?')}" for key in keys) for one in distinct]
        number = distinct.index(flat)
        details = said[number] if max(map(len, said)) <= _LONGEST_DETAILS else f"settings {number + 1}"
        labels.append(f"{name} ({details})" if details else name)
    return labels


def differences(configs: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> dict[str, dict[str, str]]:
    """The settings in which the groups differ; those that a group does not have or need are "–".

    Args:
        configs: content of the runs' config.yaml.
        labels: of the same runs.

    Returns:
        Setting -> label -> value.
    """
    by_label = {label: _settings(config) for label, config in zip(labels, configs, strict=True)}
    names = sorted({name for flat in by_label.values() for name in flat})
    keys = [name for name in names if len({flat[name] for flat in by_label.values() if name in flat}) > 1]
    return {key: {label: flat.get(key, "–") for label, flat in by_label.items()} for key in keys}


def is_control(config: Mapping[str, Any]) -> bool:
    """Whether the reward of a run ignores the discriminator.

    Args:
        config: content of its config.yaml.

    Returns:
        True for the constant and the random reward.
    """
    return _reward(config) != "discriminator"


def varying(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Names whose values are not all equal.

    Args:
        settings: values by name.

    Returns:
        The names, sorted.
    """
    names = sorted({name for flat in settings for name in flat})
    return [name for name in names if len({flat.get(name) for flat in settings}) > 1]


def _settings(config: Mapping[str, Any]) -> dict[str, str]:
    """The settings that can make a difference; a control never asks the discriminator."""
    flat = _flat(config.get("training", {}))
    if is_control(config):
        return {name: value for name, value in flat.items() if not name.startswith(_OF_THE_DISCRIMINATOR)}
    return flat


def _name(config: Mapping[str, Any], flat: Mapping[str, str]) -> str:
    """What a run is, before details."""
    reward = _reward(config)
    if reward != "discriminator":
        return f"{reward} reward"
    system = str(config.get("system", "run"))
    is_paper_form = all(flat.get(name, value) in {value, f"{value}.0"} for name, value in _PAPER_FORM.items())
    return f"{system}, paper form" if is_paper_form else system


def _reward(config: Mapping[str, Any]) -> str:
    """Where the reward comes from."""
    training = config.get("training")
    return str(training.get("reward", "discriminator")) if isinstance(training, Mapping) else "discriminator"


def _flat(section: object, prefix: str = "") -> dict[str, str]:
    """Settings with dotted names and their values as JSON, words without quotes."""
    if not isinstance(section, Mapping):
        return {}
    flat: dict[str, str] = {}
    for name, value in section.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat
