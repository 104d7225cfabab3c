"""Modules and optimisers as flat dictionaries of tensors and back, exactly, without pickle."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rlgan.errors import CheckpointError

_MAX_NAMED = 5


def load_module(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Loads all tensors of a module, or changes nothing.

    Args:
        module: what receives them; its `state_dict()` is what was saved.
        tensors: name -> tensor.
        name: what the module is called in a message.

    Raises:
        CheckpointError: if a name, shape or type differs.
    """
    own = module.state_dict()
    differences = [
        f"{key}: {_describe(tensors.get(key))} in the checkpoint, {_describe(own.get(key))} here"
        for key in sorted(own.keys() | tensors.keys())
        if _describe(tensors.get(key)) != _describe(own.get(key))
    ]
    if differences:
        raise CheckpointError(_misfit(name, differences))
    module.load_state_dict(tensors, strict=True)


def tensors_of_optimizer(optimizer: Optimizer) -> dict[str, Tensor]:
    """All that an optimiser remembers (Adam, AdamW, SGD and others whose state is tensors).

    Example:
        Adam after a step on one weight gives `state.0.step`, `state.0.exp_avg`, `state.0.exp_avg_sq`, `group.0.lr`,
        `group.0.betas`, ..., and `group.0.params`, the numbers of the weights in the group.

    Args:
        optimizer: what is to be saved.

    Returns:
        Name -> tensor. Numbers of a group become float64, int64 or bool; what is None there is left out.

    Raises:
        ValueError: if the state of a weight is neither tensor nor None.
    """
    state_dict = optimizer.state_dict()
    flat: dict[str, Tensor] = {}
    for index, state in state_dict["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                flat[f"state.{index}.{key}"] = value
            elif value is not None:
                kind = f"{type(optimizer).__name__} keeps {key!r} as {type(value).__name__}"
                raise ValueError(f"{kind}; only optimisers whose state is tensors (Adam, AdamW, SGD) can be saved.")
    for number, group in enumerate(state_dict["param_groups"]):
        for key, value in group.items():
            if value is not None and key != "param_names":
                flat[f"group.{number}.{key}"] = value if isinstance(value, Tensor) else _number_tensor(value)
    return flat


def load_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor], name: str = "optimizer") -> None:
    """Puts back what `tensors_of_optimizer` gave, or changes nothing.

    Args:
        optimizer: one built over the same weights, in the same order and groups.
        tensors: name -> tensor.
        name: what the optimiser is called in a message.

    Raises:
        CheckpointError: if the groups, the weights in them or the shapes differ, or a number is not finite.
    """
    state_dict = optimizer.state_dict()
    states: dict[int, dict[str, Tensor]] = {}
    numbers: list[dict[str, Tensor]] = [{} for _ in state_dict["param_groups"]]
    for key, tensor in tensors.items():
        kind, _, rest = key.partition(".")
        index, _, field = rest.partition(".")
        if kind not in {"state", "group"} or not index.isdecimal() or not field:
            raise CheckpointError(f"{name}: {key!r} is no entry of an optimiser. Was the file written by rlgan?")
        if kind == "state":
            states.setdefault(int(index), {})[field] = tensor
        elif int(index) < len(numbers):
            numbers[int(index)][field] = tensor
        else:
            raise CheckpointError(f"{name}: group {index} in the checkpoint; here are only {len(numbers)} groups.")
    if differences := _optimizer_differences(optimizer, states, numbers):
        raise CheckpointError(_misfit(name, differences))
    for group, saved in zip(state_dict["param_groups"], numbers, strict=True):
        group.update({field: _number(tensor, group.get(field)) for field, tensor in saved.items() if field != "params"})
    optimizer.load_state_dict({"state": states, "param_groups": state_dict["param_groups"]})


def _optimizer_differences(
    optimizer: Optimizer, states: dict[int, dict[str, Tensor]], numbers: list[dict[str, Tensor]]
) -> list[str]:
    """One line for everything in which a saved optimiser does not fit this one."""
    differences = []
    for number, (group, saved) in enumerate(zip(optimizer.state_dict()["param_groups"], numbers, strict=True)):
        saved_params = saved["params"].tolist() if "params" in saved else None
        if saved_params != group["params"]:
            there = "none" if saved_params is None else _describe(saved["params"])
            differences.append(
                f"group {number}: weights {there} in the checkpoint, {len(group['params'])} weights here"
            )
        for field, tensor in saved.items():
            if tensor.ndim > 1 or not bool(torch.isfinite(tensor).all()):
                differences.append(f"group {number}: {field} is {tensor.tolist()!r:.60}, not finite numbers")
    shapes = dict(enumerate(weight.shape for group in optimizer.param_groups for weight in group["params"]))
    for index, state in states.items():
        if index not in shapes:
            differences.append(f"weight {index} in the checkpoint; here are only {len(shapes)} weights")
            continue
        for field, tensor in state.items():
            if tensor.ndim and tensor.shape != shapes[index]:
                here = f"the weight here is {list(shapes[index])}"
                differences.append(f"weight {index}: {field} is {list(tensor.shape)} in the checkpoint, {here}")
    return differences


def _number_tensor(value: Any) -> Tensor:
    """A number, a bool, or a list or tuple of numbers; floats stay exact."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    if any(isinstance(entry, float) for entry in values):
        tensor = torch.tensor([float(entry) for entry in values], dtype=torch.float64)
    else:
        is_bool = bool(values) and all(isinstance(entry, bool) for entry in values)
        tensor = torch.tensor(values, dtype=torch.bool if is_bool else torch.int64)
    return tensor if isinstance(value, list | tuple) else tensor[0]


def _number(tensor: Tensor, current: Any) -> Any:
    """The inverse of `_number_tensor`; a tensor where the optimiser holds one (a capturable learning rate)."""
    if isinstance(current, Tensor):
        return tensor.to(current)
    values = tensor.tolist()
    return tuple(values) if isinstance(values, list) else values


def _describe(tensor: Tensor | None) -> str:
    """Shape and type of a tensor in a message."""
    return "absent" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _misfit(name: str, differences: list[str]) -> str:
    """The message that names the first differences."""
    more = f" and {len(differences) - _MAX_NAMED} more" if len(differences) > _MAX_NAMED else ""
    advice = "Build it with the configuration of the checkpoint."
    return f"{name} does not fit the checkpoint: {'; '.join(differences[:_MAX_NAMED])}{more}. {advice}"
