"""Versioned weights: written once to the object store, set on every runner before anything is sampled."""

from dataclasses import dataclass
from typing import Any

import ray
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from torch import Tensor

from rlgan.policies.calls import Failure, guarded, raise_failure

StateDict = dict[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """The nets that runners need, as of one version.

    Example:
        `Weights(version=12, nets={"generator": {...}, "rollout_policy": {...}, "discriminator": {...}})`

    Attributes:
        version: grows by one with every broadcast; a batch carries the version that made it.
        nets: state dicts on the CPU, by the name of the net.
    """

    version: int
    nets: dict[str, StateDict]


Birth = tuple[int, int]
"""Process number and time of birth of a runner."""


def broadcast(group: EnvRunnerGroup, weights: Weights, timeout_seconds: float) -> set[Birth]:
    """Set the weights on every runner, and wait until each has them.

    Args:
        group: the rollout runners.
        weights: what to set.
        timeout_seconds: how long to wait for all.

    Returns:
        Who took them; none where the driver rolls out itself. A runner that did not is found out when it is asked for a
        shard: it is dead, late, or has other weights.
    """
    if group.num_remote_env_runners() == 0:
        group.local_env_runner.set_weights(weights)
        return set()
    reference = ray.put(weights)

    def set_weights(runner: Any) -> Birth:
        runner.set_weights(ray.get(reference))
        birth: Birth = runner.birth
        return birth

    answers = group.foreach_env_runner(
        guarded(set_weights, "a rollout runner"), local_env_runner=False, timeout_seconds=timeout_seconds
    )
    for answer in answers:
        if isinstance(answer, Failure):
            raise_failure(answer)
    return set(answers)
