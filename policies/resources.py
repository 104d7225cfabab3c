"""What the worker processes of a run ask Ray for, and whether a cluster has room for them."""

from collections.abc import Iterable, Mapping, Sequence

import ray
from ray.util.placement_group import placement_group, remove_placement_group

Bundle = dict[str, float]
"""What one process asks for, or one node has: {"CPU": 1.0, "GPU": 0.5}."""


def bundle(cpus: float, gpus: float) -> Bundle:
    """What one process asks for.

    Args:
        cpus: logical CPUs.
        gpus: GPUs; fractions share one.

    Returns:
        The amounts that are not 0.
    """
    return {name: float(amount) for name, amount in (("CPU", cpus), ("GPU", gpus)) if amount}


def total(bundles: Iterable[Mapping[str, float]]) -> Bundle:
    """What some processes ask for together.

    Args:
        bundles: of each.

    Returns:
        CPU and GPU, also where they are 0.
    """
    bundles = list(bundles)
    return {name: round(sum(one.get(name, 0.0) for one in bundles), 4) for name in ("CPU", "GPU")}


def in_words(amounts: Mapping[str, float]) -> str:
    """Amounts as a message says them.

    Args:
        amounts: of CPUs and GPUs.

    Returns:
        Such as "3 CPUs" or "3 CPUs and 0.5 GPUs".
    """
    gpus = amounts.get("GPU", 0.0)
    return f"{amounts.get('CPU', 0.0):g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")


def nodes() -> list[Bundle]:
    """What each node of the cluster has, in use or not.

    Returns:
        One for every node that is alive.
    """
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def free() -> Bundle:
    """What no process of the cluster holds.

    Returns:
        CPUs and GPUs of all nodes together.
    """
    return total([ray.available_resources()])


def has_room(bundles: Sequence[Mapping[str, float]], wait_seconds: float) -> bool:
    """Whether the cluster can hold all of some processes at the same time.

    Ray itself is asked, by a reservation that is given back at once: it counts what other runs use and what fits on
    which node, and an autoscaler starts nodes for it.

    Args:
        bundles: what each process asks for.
        wait_seconds: how long to wait for it.

    Returns:
        Whether there was room.
    """
    group = placement_group([dict(one) for one in bundles if one], strategy="PACK")
    try:
        return bool(group.wait(wait_seconds))
    finally:
        remove_placement_group(group)
