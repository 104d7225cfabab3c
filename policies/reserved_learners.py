"""A group of learners that starts within bounds of time, and leaves nothing behind where it does not start."""

import contextlib
import threading
from collections.abc import Mapping
from typing import Any

import ray
from ray.rllib.core.learner.learner_group import LearnerGroup
from ray.util.placement_group import PlacementGroup, remove_placement_group

from rlgan.errors import LostLearnerError
from rlgan.policies import resources


class ReservedLearnerGroup(LearnerGroup):  # type: ignore[misc]
    """RLlib's, on room that is reserved for it; RLlib alone would wait for ever for room, and for a learner to start.

    A ClusterError says that there is no room, with the numbers, a LostLearnerError that a learner died while it started
    or took too long. The room is given back when the group is shut down.
    """

    def __init__(self, config: Any, module_spec: Any, bundle: Mapping[str, float]) -> None:
        self._is_shut_down = True  # there is nothing to shut down yet, should there be no room
        bundles = [bundle] * config.num_learners
        room = resources.reserve("a group of learners", bundles, config.replacement_timeout_seconds)
        bound = threading.Timer(resources.START_SECONDS, _give_back, [room])  # whoever is in it ends, and RLlib says so
        bound.daemon = True
        bound.start()
        try:
            super().__init__(config=config, module_spec=module_spec, placement_group=room)
        except BaseException as error:
            self.end()
            _give_back(room)
            if isinstance(error, ray.exceptions.RayError):
                raise LostLearnerError(f"the learners did not start; one of them said:\n{error}") from error
            raise
        finally:
            bound.cancel()

    def end(self) -> None:
        """Kill the processes, some of which may be dead, and give their room back."""
        for actor in self._workers or ():
            with contextlib.suppress(Exception):
                ray.kill(actor)
        with contextlib.suppress(Exception):
            self._backend_executor.shutdown(graceful_termination=False)
        self._is_shut_down = True


def _give_back(room: PlacementGroup | None) -> None:
    """Free a reservation, and end who is in it."""
    if room is not None:
        remove_placement_group(room)
