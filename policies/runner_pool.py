"""The rollout runners as one pool: all have the same weights, and a batch comes in whole whatever happens to a runner.

A shard is a pure function of its number, so a lost one is simply asked for again, from whoever is alive.

driver                        rollout runners
  | publish (blocks) ---------->| set_weights
  | collect (blocks) ---------->| shards <----   until all are there: dead, late and stale runners are seen to between
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ray
from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rlgan.errors import StaleRunnerError, WorkerError
from rlgan.policies.broadcast import Birth, StateDict, Weights, broadcast
from rlgan.policies.calls import Failure, guarded, raise_failure
from rlgan.policies.resources import START_SECONDS

T = TypeVar("T")
_logger = logging.getLogger(__name__)
_PAUSE_SECONDS = 0.5
_PROBE_SECONDS = 1.0
"""How long a round waits for a runner that is gone while others are there; without any, RLlib's 30 s."""
_MAX_STALE = 5
"""How many times in a row a runner may have other weights than it was sent: once when Ray has just restarted it."""
_MAX_LATE = 3
"""How many runners may take too long in one collection."""
_LAST_WORDS_SECONDS = 30.0


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


@dataclass
class _Collection:
    """How far a collection is: the shards that came, and what the runners did instead."""

    num_shards: int
    done: dict[int, Any] = field(default_factory=dict)
    num_late: int = 0
    num_stale: int = 0
    seconds_in_vain: float = 0.0

    @property
    def missing(self) -> list[int]:
        return [shard for shard in range(self.num_shards) if shard not in self.done]


class RunnerPool:
    """The runners of a group, or the local one where the driver rolls out itself.

    Attributes:
        group: the rollout runners.
        weights: what they have.
        num_timeouts: runners that were ended because they took too long.

    `patience_seconds` is how long a collection goes on while no shard comes in. Ray starts a runner again in seconds
    where there is room for it.
    """

    def __init__(self, group: EnvRunnerGroup, timeout_seconds: float, patience_seconds: float) -> None:
        self.group = group
        self.weights = Weights(version=-1, nets={})
        self.num_timeouts = 0
        self._timeout_seconds, self._patience_seconds = timeout_seconds, patience_seconds
        self._births: set[Birth] = set()

    @property
    def num_births(self) -> int:
        """Processes that have ever taken weights."""
        return len(self._births)

    def publish(self, nets: Mapping[str, StateDict]) -> None:
        """Send weights to all runners under a new version, and wait until they have them.

        Args:
            nets: the nets that changed; the others stay as they were, and are not sent again.
        """
        self.weights = Weights(self.weights.version + 1, {**self.weights.nets, **nets})
        self._send(Weights(self.weights.version, dict(nets)))

    def replace(self, weights: Weights) -> None:
        """Send weights to all runners in place of all that they had.

        Args:
            weights: with their version.
        """
        self.weights = weights
        self._send(weights)

    def restore(self) -> list[int]:
        """Bring dead runners back and give them the weights (RLlib would leave them with their first ones).

        Returns:
            The numbers of those that came back.
        """
        is_urgent = self.group.num_healthy_remote_env_runners() == 0
        restored: list[int] = self.group.probe_unhealthy_env_runners(None if is_urgent else _PROBE_SECONDS)
        if restored:
            _logger.warning("rollout runners %s died and were restarted", restored)
            self._send(self.weights)
        return restored

    def collect(self, call: Callable[[Any, int], T], num_shards: int) -> list[T]:
        """Every shard once.

        Args:
            call: gets a runner and the number of the shard.
            num_shards: how many there are.

        Returns:
            The shards, in the order of their numbers.

        A WorkerError ends it if no shard came in for a while, if too many runners took too long, or if one has other
        weights again and again.
        """
        if self.group.num_remote_env_runners() == 0:
            return [call(self.group.local_env_runner, shard) for shard in range(num_shards)]
        collection = _Collection(num_shards)
        self._ask_once(call, collection)
        while collection.missing:
            started = time.monotonic()
            time.sleep(_PAUSE_SECONDS)
            self._refresh()
            collection.seconds_in_vain += time.monotonic() - started
            self._ask_once(call, collection)
        return [collection.done[shard] for shard in range(num_shards)]

    def _send(self, weights: Weights) -> None:
        """Set weights on every runner that answers, and note who they are."""
        self._births |= broadcast(self.group, weights, self._timeout_seconds)

    def _refresh(self) -> None:
        """Bring dead runners back, and give all the weights: Ray may have restarted one that RLlib never missed."""
        if not self.restore() and self.group.num_healthy_remote_env_runners():
            self._send(self.weights)

    def _ask_once(self, call: Callable[[Any, int], T], collection: _Collection) -> None:
        """Ask for the missing shards, see to those who did not give theirs, and give up where that is hopeless."""
        came, late, stale = self._answers(call, collection.missing)
        collection.done |= came
        if not collection.missing:
            return
        for number in late:
            self._end(number)
        collection.num_late += len(late)
        collection.num_stale = collection.num_stale + 1 if stale is not None else 0
        if stale is not None and collection.num_stale >= _MAX_STALE:
            raise_failure(stale)
        if came:
            collection.seconds_in_vain = 0.0
        if collection.num_late > _MAX_LATE or collection.seconds_in_vain > self._patience_seconds:
            raise WorkerError(
                f"{len(collection.missing)} of {collection.num_shards} rollout shards are missing: runners die or take "
                f"longer than rollout_timeout_seconds = {self._timeout_seconds:g} ({collection.num_late} did). The "
                f"last checkpoint is intact.{_said(self.group)}"
            )

    def _answers(
        self, call: Callable[[Any, int], T], missing: list[int]
    ) -> tuple[dict[int, T], list[int], Failure | None]:
        """What those who seem alive give of the missing shards; who of them took too long; who had other weights."""
        came: dict[int, T] = {}
        late: list[int] = []
        stale: Failure | None = None
        workers = self.group.healthy_env_runner_ids()
        for start in range(0, len(missing) if workers else 0, max(1, len(workers))):
            shards = missing[start : start + len(workers)]
            asked = [(worker, shard) for worker, shard in zip(workers, shards, strict=False) if worker not in late]
            answers = self.group.foreach_env_runner(
                [_numbered(call, shard) for _, shard in asked],
                local_env_runner=False,
                remote_worker_ids=[worker for worker, _ in asked],
                timeout_seconds=self._timeout_seconds,
            )
            for answer in answers:
                if not isinstance(answer, Failure):
                    came[answer[0]] = answer[1]
                elif isinstance(answer.error, StaleRunnerError):
                    stale = answer
                else:
                    raise_failure(answer)
            if len(answers) < len(asked):  # the dead are no longer among the healthy: of the others, some are late
                alive = set(self.group.healthy_env_runner_ids())
                silent = [worker for worker, shard in asked if shard not in came and worker in alive]
                late += silent if stale is None else []  # a stale one has answered: the next attempt tells them apart
        return came, late, stale

    def _end(self, number: int) -> None:
        """End a runner that took too long; Ray starts it again. RLlib alone would wait for it in every round."""
        _logger.warning("rollout runner %d took more than %g s and is started again", number, self._timeout_seconds)
        self.num_timeouts += 1
        manager = self.group._worker_manager
        ray.kill(manager.actors()[number], no_restart=False)
        manager.set_actor_state(number, healthy=False)


def _numbered(call: Callable[[Any, int], T], shard: int) -> Callable[[Any], tuple[int, T] | Failure]:
    """The call for one shard, answering with its number."""
    return guarded(lambda runner: (shard, call(runner, shard)), f"a rollout runner (shard {shard})")


def last_words(group: EnvRunnerGroup) -> str:
    """What a runner says that died for good, such as in its constructor.

    Args:
        group: of runners.

    Returns:
        Its traceback or the cause of its death; nothing where none is dead.
    """
    pings = [actor.ping.remote() for actor in group._worker_manager.actors().values()]
    for ping in ray.wait(pings, num_returns=len(pings), timeout=_LAST_WORDS_SECONDS)[0] if pings else ():
        try:
            ray.get(ping)
        except ray.exceptions.ActorDiedError as death:
            return str(death)
        except ray.exceptions.RayError:  # it is being started again
            continue
    return ""


@contextmanager
def start_bounded(group_of: Callable[[], EnvRunnerGroup | None]) -> Iterator[None]:
    """While RLlib sets itself up: end runners of which the first does not start, for which it would wait for ever.

    Afterwards the others are waited for, within the same time.

    Args:
        group_of: the runners, once there are any.

    Yields:
        Nothing.
    """

    def give_up() -> None:
        group = group_of()
        actors = list(group._worker_manager.actors().values()) if group is not None else []
        if actors and not ray.wait([actors[0].ping.remote()], timeout=_PROBE_SECONDS)[0]:
            for actor in actors:
                ray.kill(actor)

    bound = threading.Timer(START_SECONDS, give_up)
    bound.daemon = True
    bound.start()
    try:
        yield
        group = group_of()
        if group is not None:
            group._worker_manager.foreach_actor(lambda runner: runner.assert_healthy(), timeout_seconds=START_SECONDS)
    finally:
        bound.cancel()


def _said(group: EnvRunnerGroup) -> str:
    """The end of a message: what the dead have said."""
    said = last_words(group)
    return f" One of them said:\n{said}" if said else ""
