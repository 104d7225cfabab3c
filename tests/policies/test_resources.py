"""Room for workers: who has it reserved keeps it, who does not is refused in time, and a trial of Tune has its own."""

import re
import time

import pytest
import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from rlgan.errors import ClusterError
from rlgan.policies.resources import has_room, require_room, reserve

pytestmark = pytest.mark.usefixtures("local_ray")
CPU = {"CPU": 1.0}


def test_a_reservation_is_kept_until_it_is_given_back() -> None:
    """Of four CPUs."""
    room = reserve("a test", [CPU] * 3, 30.0)
    assert has_room([CPU], 30.0) and not has_room([CPU] * 2, 0.5)
    started = time.monotonic()
    refused = re.escape("no room within 1 s: a test asks for 2 CPUs, the cluster has 4 CPUs, of which 1 CPUs are free")
    with pytest.raises(ClusterError, match=refused):
        require_room("a test", [CPU] * 2, 1.0)
    assert time.monotonic() - started < 10
    remove_placement_group(room)
    require_room("a test", [CPU] * 4, 30.0)
    assert has_room([CPU] * 4, 30.0), "that one was given back at once"


def test_nothing_needs_no_room() -> None:
    assert reserve("a test", [], 0.0) is None and reserve("a test", [{}, {}], 0.0) is None


def test_a_trial_of_tune_has_its_room_already() -> None:
    """A trial that asked for it a second time would wait for ever in a cluster that its own reservation fills."""
    trial = placement_group([CPU] * 4)

    @ray.remote(num_cpus=1)
    def in_a_trial() -> bool:
        return reserve("a test", [CPU] * 3, 5.0) is None

    where = PlacementGroupSchedulingStrategy(trial, placement_group_capture_child_tasks=True)
    try:
        assert ray.get(in_a_trial.options(scheduling_strategy=where).remote(), timeout=60)
    finally:
        remove_placement_group(trial)
