"""What the worker processes of a run ask Ray for, and whether a cluster has room for them."""

import logging
from collections.abc import Iterable, Mapping, Sequence

import ray
from ray.util.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    placement_group,
    remove_placement_group,
)

from rlgan.errors import ClusterError

_logger = logging.getLogger(__name__)
START_SECONDS = 600.0
"""How long a worker process that has room may take to start, imports and nets included."""
_SOON_SECONDS = 5.0
"""A wait for room that is longer than this is said."""

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


def shortage(who: str, bundles: Sequence[Mapping[str, float]]) -> str:
    """What some processes ask for beside what there is.

    Args:
        who: they are.
        bundles: what each process asks for.

    Returns:
        A clause with the numbers.
    """
    there = nodes()
    return (
        f"{who} asks for {in_words(total(bundles))}, the cluster has {in_words(total(there))}, of which "
        f"{in_words(free())} are free, on {len(there)} nodes; the largest process asks for "
        f"{in_words(_largest(bundles))}, the largest node has {in_words(_largest(there))}"
    )


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
        return _is_ready(group, wait_seconds)
    finally:
        remove_placement_group(group)


def reserve(who: str, bundles: Sequence[Mapping[str, float]], wait_seconds: float) -> PlacementGroup | None:
    """Room for workers that nobody else can take any more; whoever gets it gives it back.

    RLlib would start workers without it all the same, and wait for them for ever.

    Args:
        who: they are.
        bundles: what each process asks for.
        wait_seconds: how long to wait for room.

    Returns:
        The reservation; None where none is needed: for nothing, or in a trial of Tune, whose workers are reserved
        already, and again by Ray when a node of theirs is lost.
    """
    asked = [dict(one) for one in bundles if one]
    if not asked:
        return None
    trial = get_current_placement_group()
    if trial is not None:
        _await(trial, who, asked, wait_seconds)
        return None
    group = placement_group(asked, strategy="PACK")
    try:
        _await(group, who, asked, wait_seconds)
    except BaseException:
        remove_placement_group(group)
        raise
    return group


def require_room(who: str, bundles: Sequence[Mapping[str, float]], wait_seconds: float) -> None:
    """Refuse workers that there is no room for, with the numbers.

    Args:
        who: they are.
        bundles: what each process asks for.
        wait_seconds: how long to wait for room.
    """
    group = reserve(who, bundles, wait_seconds)
    if group is not None:
        remove_placement_group(group)


def _await(group: PlacementGroup, who: str, bundles: Sequence[Mapping[str, float]], wait_seconds: float) -> None:
    """Wait until a reservation is made; a ClusterError ends that, and a warning comes before a long wait."""
    if _is_ready(group, min(_SOON_SECONDS, wait_seconds)):
        return
    _logger.warning("waiting up to %g s for room: %s", wait_seconds, shortage(who, bundles))
    if not _is_ready(group, wait_seconds - _SOON_SECONDS):
        raise ClusterError(
            f"no room within {wait_seconds:g} s: {shortage(who, bundles)}. Ask for fewer or smaller workers, or add "
            "nodes."
        )


def _is_ready(group: PlacementGroup, wait_seconds: float) -> bool:
    """Whether a reservation is made in time; unlike Ray's own wait for one, a signal ends this."""
    ready, _ = ray.wait([group.ready()], timeout=max(0.0, wait_seconds))
    return bool(ready) and bool(group.wait(30))


def _largest(bundles: Sequence[Mapping[str, float]]) -> Bundle:
    """The most of each kind that one of them has."""
    return {name: max((bundle.get(name, 0.0) for bundle in bundles), default=0.0) for name in ("CPU", "GPU")}
