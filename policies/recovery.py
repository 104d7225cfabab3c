"""Learners that die or hang are made again, and the round is done again.

A round is a function of the state before it: weights, seed and step. So the state of the last whole round is
kept in memory while learners are processes of their own, and losing one costs the time of a round, not a figure.

round -> LostLearnerError -> end what is left of the learners -> new groups -> data and state of the last round -> round
"""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import ray
from ray.rllib.core.learner.learner_group import LearnerGroup

from rlgan.checkpoint import Checkpoint
from rlgan.errors import LostLearnerError, WorkerError, first_line
from rlgan.policies.checkpoints import take_checkpoint
from rlgan.policies.discriminator import DiscriminatorGroup

if TYPE_CHECKING:
    from rlgan.policies.algorithm import AdversarialAlgorithm

T = TypeVar("T")

_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 1.0, 30.0
_logger = logging.getLogger(__name__)


class LearnerRecovery:
    """Does rounds until they succeed, within a number of new starts.

    Attributes:
        num_restarts: how often the learners were made again, since the start.
        state: of the last whole round; None where nothing is kept. Whoever changes the algorithm between two rounds
            sets it to None.
    """

    def __init__(self, algorithm: "AdversarialAlgorithm") -> None:
        self._algorithm = algorithm
        self.num_restarts = 0
        self.state: Checkpoint | None = None

    def run(self, work: Callable[[], T]) -> T:
        """Do a round.

        Args:
            work: the round, which counts itself in `step_count`; it may be called again.

        Returns:
            What the round gave.
        """
        if self.state is None or self.state.step != self._algorithm.step_count:
            self._keep()
        while True:
            try:
                result = work()
                self._keep()
                return result
            except LostLearnerError as error:
                self._recover(error)

    def _keep(self) -> None:
        """Keep the state between two rounds, where a learner can be lost."""
        groups = self._algorithm.learner_groups().values()
        self.state = take_checkpoint(self._algorithm) if any(group.is_remote for group in groups) else None

    def _recover(self, error: LostLearnerError) -> None:
        """New learners with the state of the last whole round; waits longer after every failure."""
        delay = _FIRST_DELAY_SECONDS
        while True:
            self.num_restarts += 1
            if self.num_restarts > self._algorithm.config.max_learner_restarts:
                raise WorkerError(
                    f"{error} That is one more than max_learner_restarts = "
                    f"{self._algorithm.config.max_learner_restarts}. The last checkpoint is intact."
                ) from error
            _logger.warning(
                "%s The learners start again, and with them round %d.", error, self._algorithm.step_count + 1
            )
            try:
                self._rebuild()
                return
            except (LostLearnerError, ray.exceptions.RayError, RuntimeError) as again:
                error = LostLearnerError(f"the learners did not start again: {first_line(again)}.")
                time.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY_SECONDS)

    def _rebuild(self) -> None:
        """End the learner processes that are left, start new ones, and give them data and state."""
        algorithm, state = self._algorithm, self.state
        assert state is not None
        config = algorithm.config
        if algorithm.learner_group.is_remote:
            _end(algorithm.learner_group)
            spec = config.get_multi_rl_module_spec()
            algorithm.learner_group = config.build_learner_group(rl_module_spec=spec)
        if config.discriminator_learner_class is not None and algorithm.discriminator_group.learners.is_remote:
            _end(algorithm.discriminator_group.learners)
            algorithm.discriminator_group = DiscriminatorGroup(config)
        algorithm.send_data()
        algorithm.restore_checkpoint(state)
        self.state = state


def _end(group: LearnerGroup) -> None:
    """Kill the processes of a group, some of which are dead, and give their resources back."""
    for actor in group._workers:
        with contextlib.suppress(Exception):
            ray.kill(actor)
    with contextlib.suppress(Exception):
        group._backend_executor.shutdown(graceful_termination=False)
    group._is_shut_down = True
