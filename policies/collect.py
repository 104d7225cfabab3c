"""Collect the shards of a round from the rollout runners, whatever happens to a runner.

A shard is a pure function of its number, so a lost one is simply asked for again, from whoever is alive.
"""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rlgan.errors import StaleRunnerError, WorkerError
from rlgan.policies.calls import Failure, guarded, raise_failure

T = TypeVar("T")
_logger = logging.getLogger(__name__)


def split_evenly(total: int, parts: int) -> list[int]:
    """Sizes of `parts` shards that differ by at most 1.

    Args:
        total: how much there is.
        parts: how many shards; fewer are made when there is less than one each.

    Returns:
        Sizes >= 1 that add up to `total`.
    """
    parts = min(parts, total)
    return [total // parts + (index < total % parts) for index in range(parts)]


def collect_shards(
    group: EnvRunnerGroup,
    call: Callable[[Any, int], T],
    num_shards: int,
    restore: Callable[[], None],
    timeout_seconds: float,
    attempts: int = 10,
    on_late: Callable[[], None] | None = None,
) -> list[T]:
    """Every shard once, in order.

    Args:
        group: the rollout runners; the local one works when there is no remote one.
        call: gets a runner and the number of the shard.
        num_shards: how many there are.
        restore: brings dead runners back and gives all the current weights; called between attempts.
        timeout_seconds: how long one shard may take.
        attempts: how often missing shards are asked for; a runner that takes too long counts as three.
        on_late: called for every runner that was ended because it took too long.

    Returns:
        The shards, in the order of their numbers.

    Raises:
        WorkerError: if shards are still missing after all attempts.
    """
    if group.num_remote_env_runners() == 0:
        return [call(group.local_env_runner, shard) for shard in range(num_shards)]
    done: dict[int, T] = {}
    spent = 0
    while spent < attempts:
        if spent:
            restore()
        spent += 1
        missing = [shard for shard in range(num_shards) if shard not in done]
        workers = group.healthy_env_runner_ids()
        for start in range(0, len(missing) if workers else 0, max(1, len(workers))):
            shards = missing[start : start + len(workers)]
            answers = group.foreach_env_runner(
                [_numbered(call, shard) for shard in shards],
                local_env_runner=False,
                remote_worker_ids=workers[: len(shards)],
                timeout_seconds=timeout_seconds,
            )
            for answer in answers:
                if not isinstance(answer, Failure):
                    done[answer[0]] = answer[1]
                elif not isinstance(answer.error, StaleRunnerError):
                    raise_failure(answer)
            if len(answers) < len(shards):  # the dead are no longer among the healthy, so that the others are late
                alive = set(group.healthy_env_runner_ids())
                asked = zip(workers, shards, strict=False)
                for late in [worker for worker, shard in asked if shard not in done and worker in alive]:
                    end_runner(group, late, timeout_seconds)
                    spent += 2
                    if on_late is not None:
                        on_late()
        if len(done) == num_shards:
            return [done[shard] for shard in range(num_shards)]
    raise WorkerError(
        f"{num_shards - len(done)} of {num_shards} rollout shards are missing after {attempts} attempts: runners die, "
        f"or take longer than rollout_timeout_seconds = {timeout_seconds:g}. The last checkpoint is intact."
    )


def end_runner(group: EnvRunnerGroup, number: int, timeout_seconds: float) -> None:
    """End a runner that took too long; Ray starts it again. RLlib alone would wait for it in every round.

    Args:
        group: the rollout runners.
        number: which one.
        timeout_seconds: how long it had.
    """
    _logger.warning("rollout runner %d took more than %g s and is started again", number, timeout_seconds)
    manager = group._worker_manager
    ray.kill(manager.actors()[number], no_restart=False)
    manager.set_actor_state(number, healthy=False)


def _numbered(call: Callable[[Any, int], T], shard: int) -> Callable[[Any], tuple[int, T] | Failure]:
    """The call for one shard, answering with its number."""
    return guarded(lambda runner: (shard, call(runner, shard)), f"a rollout runner (shard {shard})")
