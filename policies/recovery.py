"""Learners that die or hang are made again, and the round is done again.

A round is a function of the state before it: weights, seed and step. So the state of the last whole round is
kept in memory while learners are processes of their own, and losing one costs the time of a round, not a figure.

round -> LostLearnerError -> end what is left of the learners -> new groups -> data and state of the last round -> round
"""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import ray

from rlgan.checkpoint import Checkpoint
from rlgan.errors import ClusterError, LostLearnerError, WorkerError
from rlgan.policies.checkpoints import put_checkpoint, take_checkpoint
from rlgan.policies.discriminator import DiscriminatorGroup

if TYPE_CHECKING:
    from rlgan.policies.algorithm import AdversarialAlgorithm

T = TypeVar("T")

_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 1.0, 30.0
_ROUNDS_THAT_MAKE_UP = 10
"""So many whole rounds in a row make up for one new start of the learners: nights are long, and nodes come and go."""
_logger = logging.getLogger(__name__)


class LearnerRecovery:
    """Does things with learners until they succeed, within a number of new starts.

    Attributes:
        num_restarts: how often the learners were made again, since the start.
        state: of the last whole round; None where nothing is kept, since no learner is a process of its own.
    """

    def __init__(self, algorithm: "AdversarialAlgorithm") -> None:
        self._algorithm = algorithm
        self.num_restarts = 0
        self.state: Checkpoint | None = None
        self._num_unforgiven = self._num_whole_rounds = 0

    def begin(self, work: Callable[[], None]) -> None:
        """Make the state that the first round begins with.

        Args:
            work: on learners as they are made; it may be called again.
        """
        self._persist(work, None)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Args:
            checkpoint: of this or another process.
        """
        self._persist(lambda: put_checkpoint(self._algorithm, checkpoint), checkpoint)

    def run(self, work: Callable[[], T]) -> T:
        """Do a round.

        Args:
            work: the round, which counts itself in `step_count`; it may be called again.

        Returns:
            What the round gave.
        """
        result = self._persist(work, self.state)
        self._num_whole_rounds += 1
        if self._num_whole_rounds >= _ROUNDS_THAT_MAKE_UP:
            self._num_whole_rounds, self._num_unforgiven = 0, max(0, self._num_unforgiven - 1)
        return result

    def _persist(self, work: Callable[[], T], start: Checkpoint | None) -> T:
        """Do something from a state on, as often as learners are lost in it, and keep what comes of it."""
        while True:
            try:
                result = work()
                self._keep()
                return result
            except LostLearnerError as error:
                self._recover(error, start)

    def _keep(self) -> None:
        """Keep the state between two rounds, where a learner can be lost."""
        groups = self._algorithm.learner_groups().values()
        self.state = take_checkpoint(self._algorithm) if any(group.is_remote for group in groups) else None

    def _recover(self, error: LostLearnerError, start: Checkpoint | None) -> None:
        """New learners with a state; waits longer after every failure."""
        delay, said = _FIRST_DELAY_SECONDS, ""
        while True:
            self._count(error, said)
            _logger.warning(
                "%s The learners start again, and with them round %d.", error, self._algorithm.step_count + 1
            )
            try:
                self._rebuild(start)
                return
            except ClusterError as no_room:
                raise WorkerError(
                    f"{error} It cannot start again: {no_room} The last checkpoint is intact: go on with --resume auto "
                    "where there is room, or give nodes more time to come with --wait."
                ) from no_room
            except (LostLearnerError, ray.exceptions.RayError, RuntimeError) as again:
                cause = str(again).strip().splitlines()[-1].strip(" .")
                error = LostLearnerError(f"the learners did not start again: {cause}.")
                said = f" One of them said:\n{again}" if "\n" in str(again) else ""
                time.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY_SECONDS)

    def _count(self, error: LostLearnerError, said: str) -> None:
        """One more start, if that is not one too many."""
        limit = self._algorithm.config.max_learner_restarts
        self._num_whole_rounds = 0
        self._num_unforgiven += 1
        if self._num_unforgiven > limit:
            raise WorkerError(
                f"{error} That is one more than max_learner_restarts = {limit}. The last checkpoint is intact.{said}"
            ) from error
        self.num_restarts += 1

    def _rebuild(self, start: Checkpoint | None) -> None:
        """End the learner processes that are left, start new ones, and give them data and state."""
        algorithm, config = self._algorithm, self._algorithm.config
        remote = {name: group for name, group in algorithm.learner_groups().items() if group.is_remote}
        for group in remote.values():  # all of them first: the room of one may be another's
            group.end()
        if "policy" in remote:
            algorithm.learner_group = config.build_learner_group(rl_module_spec=config.get_multi_rl_module_spec())
        if "discriminator" in remote:
            algorithm.discriminator_group = DiscriminatorGroup(config)
        if start is not None:  # else what comes now sends the data
            algorithm.send_data()
            put_checkpoint(algorithm, start)
