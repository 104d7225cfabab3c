"""Collect the shards of a round from the rollout runners, whatever happens to a runner.

A shard is a pure function of its number, so a lost one is simply asked for again, from whoever is alive.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rlgan.errors import StaleRunnerError, WorkerError
from rlgan.policies.calls import Failure, guarded, raise_failure

T = TypeVar("T")
_logger = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5
_PATIENCE_SECONDS = 180.0
"""How long a collection waits for runners while no shard comes in: Ray starts one again in seconds, if it can."""
_MAX_STALE = 5
"""How many times in a row a runner may have other weights than it was sent: once when Ray has just restarted it."""
_MAX_LATE = 3
"""How many runners may take too long in one collection."""


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
    on_late: Callable[[], None] | None = None,
) -> list[T]:
    """Every shard once, in order.

    Args:
        group: the rollout runners; the local one works when there is no remote one.
        call: gets a runner and the number of the shard.
        num_shards: how many there are.
        restore: brings dead runners back and gives all the current weights; called between attempts.
        timeout_seconds: how long one shard may take.
        on_late: called for every runner that was ended because it took too long.

    Returns:
        The shards, in the order of their numbers.

    Raises:
        WorkerError: if no shard came in for a while, or too many runners took too long; StaleRunnerError if one has
            other weights again and again.
    """
    if group.num_remote_env_runners() == 0:
        return [call(group.local_env_runner, shard) for shard in range(num_shards)]
    done: dict[int, T] = {}
    num_late, num_stale, waited = 0, 0, 0.0
    while True:
        missing = [shard for shard in range(num_shards) if shard not in done]
        came, late, stale = _ask_once(group, call, missing, timeout_seconds)
        done |= came
        if len(done) == num_shards:
            return [done[shard] for shard in range(num_shards)]
        for number in late:
            end_runner(group, number, timeout_seconds)
            if on_late is not None:
                on_late()
        num_stale = num_stale + 1 if stale is not None else 0
        if stale is not None and num_stale >= _MAX_STALE:
            raise_failure(stale)
        num_late, waited = num_late + len(late), 0.0 if came else waited
        if num_late > _MAX_LATE or waited > _PATIENCE_SECONDS:
            raise WorkerError(
                f"{num_shards - len(done)} of {num_shards} rollout shards are missing: runners die or take longer than "
                f"rollout_timeout_seconds = {timeout_seconds:g} ({num_late} did). The last checkpoint is intact."
            )
        started = time.monotonic()
        time.sleep(_PAUSE_SECONDS)
        restore()
        waited += time.monotonic() - started


def _ask_once(
    group: EnvRunnerGroup, call: Callable[[Any, int], T], missing: list[int], timeout_seconds: float
) -> tuple[dict[int, T], list[int], Failure | None]:
    """What the runners that seem alive give of the missing shards; who of them took too long; who had other weights."""
    came: dict[int, T] = {}
    late: list[int] = []
    stale: Failure | None = None
    workers = group.healthy_env_runner_ids()
    for start in range(0, len(missing) if workers else 0, max(1, len(workers))):
        shards = missing[start : start + len(workers)]
        asked = [(worker, shard) for worker, shard in zip(workers, shards, strict=False) if worker not in late]
        answers = group.foreach_env_runner(
            [_numbered(call, shard) for _, shard in asked],
            local_env_runner=False,
            remote_worker_ids=[worker for worker, _ in asked],
            timeout_seconds=timeout_seconds,
        )
        for answer in answers:
            if not isinstance(answer, Failure):
                came[answer[0]] = answer[1]
            elif isinstance(answer.error, StaleRunnerError):
                stale = answer
            else:
                raise_failure(answer)
        if len(answers) < len(asked):  # the dead are no longer among the healthy: of the others, some are late
            alive = set(group.healthy_env_runner_ids())
            silent = [worker for worker, shard in asked if shard not in came and worker in alive]
            late += silent if stale is None else []  # a stale one has answered: the next attempt tells them apart
    return came, late, stale


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
