"""Nodes of a cluster that are lost, on several Ray nodes of this machine: what was there starts elsewhere."""

import os
import time
from collections.abc import Iterator

import pytest

from tests.policies.conftest import tiny
from tests.policies.test_seqgan import assert_equal, final, trained

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FAST_HEALTH = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A cluster whose head has no CPU for workers; nodes are added by the test."""
    import ray
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        ray.shutdown()
    for name, value in FAST_HEALTH.items():
        monkeypatch.setenv(name, value)
    one = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    ray.init(address=one.address, log_to_driver=False)
    yield one
    ray.shutdown()
    one.shutdown()


def test_a_node_with_a_runner_is_lost_and_another_comes(cluster) -> None:  # type: ignore[no-untyped-def]
    first = cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    undisturbed = final(tiny(rounds=4).env_runners(num_env_runners=2))
    algorithm = trained(tiny(rounds=4).env_runners(num_env_runners=2), 3)
    cluster.remove_node(first, allow_graceful=False)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert_equal(algorithm.checkpoint(), undisturbed)
    assert algorithm.report.figures["rollout/workers_healthy"] == 1
    cluster.add_node(num_cpus=1)
    started = time.monotonic()
    while algorithm.report.figures["rollout/workers_healthy"] < 2 and time.monotonic() - started < 120:
        algorithm.train()
    assert algorithm.report.figures["rollout/workers_healthy"] == 2
    algorithm.stop()


def test_the_node_with_the_learners_is_lost(cluster) -> None:  # type: ignore[no-untyped-def]
    node = cluster.add_node(num_cpus=2)
    undisturbed = final(tiny(rounds=3))
    algorithm = trained(tiny(rounds=3).learners(num_learners=1).discriminator_learners(1), 3)
    before = algorithm.learner_group.foreach_learner(lambda _: os.getpid())
    cluster.add_node(num_cpus=2)
    cluster.remove_node(node, allow_graceful=False)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    after = algorithm.learner_group.foreach_learner(lambda _: os.getpid())
    assert [one.get() for one in before] != [one.get() for one in after]
    assert algorithm.report.figures["health/learner_restarts"] >= 1
    assert_equal(algorithm.checkpoint(), undisturbed)
    algorithm.stop()
