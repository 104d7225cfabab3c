"""Calls to groups of workers: an exception inside a worker comes back as data and is raised on the driver.

RLlib turns an exception in a remote runner into a sleep, an exit and a silent restart, and one in the only remote
learner into an empty result for ever. Here neither can happen: the worker never raises, and no answer is an error.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ray.rllib.core.learner.learner_group import LearnerGroup

from rlgan.errors import LostLearnerError, RlganError, WorkerError

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """What a worker returns instead of raising.

    Example:
        `Failure(error=NonFiniteError("loss is nan"), trace="Traceback ...", worker="learner 0")`

    Attributes:
        error: the exception, when it is one of rlgan's; None otherwise.
        trace: the formatted traceback.
        worker: who failed.
    """

    error: RlganError | None
    trace: str
    worker: str


def guarded(call: Callable[[Any], T], worker: str) -> Callable[[Any], T | Failure]:
    """The same call, returning a `Failure` where it would raise.

    Args:
        call: what a worker is asked to do; gets the worker.
        worker: how to name it in a message.

    Returns:
        A function of the worker that never raises an Exception.
    """

    def safe(target: Any) -> T | Failure:
        try:
            return call(target)
        except RlganError as error:
            return Failure(error, traceback.format_exc(), worker)
        except Exception:  # noqa: BLE001 - the driver raises it again, with this traceback
            return Failure(None, traceback.format_exc(), worker)

    return safe


def raise_failure(failure: Failure) -> None:
    """Raise on the driver what happened in a worker.

    Args:
        failure: what the worker returned.

    Raises:
        WorkerError: with the worker's traceback, where its exception was none of rlgan's; those are raised as they are.
    """
    if failure.error is not None:
        raise failure.error
    raise WorkerError(f"{failure.worker} failed; its traceback:\n{failure.trace}")


def on_learners(group: LearnerGroup, call: Callable[[Any], T], name: str) -> list[T]:
    """Run a call on every learner of a group and wait for all.

    Args:
        group: a local or remote learner group.
        call: gets the learner.
        name: how to name the group in a message.

    Returns:
        One result a learner, in rank order.

    Raises:
        LostLearnerError: if a learner died, now or earlier, or took longer than the configuration allows; the failures
            of others are then only what follows from it.
    """
    limit = group.config.learner_timeout_seconds
    answers = list(group.foreach_learner(guarded(call, f"the {name} learner"), timeout_seconds=limit))
    num_answers, num_learners = sum(answer.ok for answer in answers), max(1, len(group))
    if num_answers < num_learners:
        raise LostLearnerError(
            f"a {name} learner died or took longer than learner_timeout_seconds = {limit:g} ({num_answers} of "
            f"{num_learners} answered)."
        )
    results = [answer.get() for answer in answers]
    for result in results:
        if isinstance(result, Failure):
            raise_failure(result)
    return results


def from_first_learner(group: LearnerGroup, call: Callable[[Any], T], name: str) -> T:
    """What the first learner of a group answers: all hold the same, so the others send nothing.

    Args:
        group: a local or remote learner group.
        call: gets the learner.
        name: how to name the group in a message.

    Returns:
        The answer of rank 0.
    """
    answers: list[Any] = on_learners(group, lambda learner: call(learner) if learner.rank == 0 else None, name)
    answer: T = answers[0]
    return answer


def add_parts(parts: list[dict[str, float]]) -> dict[str, float]:
    """Figures of the whole batch from every learner's part of them.

    Args:
        parts: the same names from every learner.

    Returns:
        Their sums.
    """
    return {name: sum(part[name] for part in parts) for name in parts[0]}
