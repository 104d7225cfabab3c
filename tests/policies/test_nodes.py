"""Nodes of a cluster that are lost, on several Ray nodes of this machine: what was there starts elsewhere."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rlgan.errors import ClusterError, WorkerError
from tests.clusters import cluster_of_nodes
from tests.policies.systems import ALL_SYSTEMS, ROLLOUTS, pids_of, tiny_run, undisturbed
from tests.policies.test_seqgan import assert_equal, trained

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

    if ray.is_initialized():
        ray.shutdown()
    for name, value in FAST_HEALTH.items():
        monkeypatch.setenv(name, value)
    with cluster_of_nodes(num_cpus=0) as nodes:
        ray.init(address=nodes.address, log_to_driver=False)
        yield nodes
        ray.shutdown()


@pytest.mark.parametrize("name", ROLLOUTS)
def test_a_node_with_a_runner_is_lost_and_another_comes(name: str, cluster) -> None:  # type: ignore[no-untyped-def]
    first = cluster.add_node(num_cpus=1)
    cluster.add_node(num_cpus=1)
    expected = undisturbed(name, 2)
    algorithm = trained(tiny_run(name, 2), expected.step - 2)
    cluster.remove_node(first, allow_graceful=False)
    while algorithm.step_count < algorithm.total_steps:
        algorithm.train()
    assert_equal(algorithm.checkpoint(), expected)
    assert algorithm.report.figures["rollout/workers_healthy"] == 1
    cluster.add_node(num_cpus=1)
    started = time.monotonic()
    while algorithm.report.figures["rollout/workers_healthy"] < 2 and time.monotonic() - started < 120:
        algorithm.train()
    assert algorithm.report.figures["rollout/workers_healthy"] == 2
    algorithm.stop()


@pytest.mark.parametrize("name", ALL_SYSTEMS)
def test_the_node_with_the_learners_is_lost(name: str, cluster) -> None:  # type: ignore[no-untyped-def]
    """Those of the generator, and of the discriminator where it has its own; another node comes some seconds later."""
    expected = undisturbed(name)
    config = tiny_run(name).learners(num_learners=1)
    node = cluster.add_node(num_cpus=2)
    algorithm = trained(config.discriminator_learners(1) if name in ROLLOUTS else config, expected.step - 1)
    before = {group: pids_of(learners) for group, learners in algorithm.learner_groups().items()}
    assert len(before) == (2 if name in ROLLOUTS else 1)
    cluster.remove_node(node, allow_graceful=False)
    is_over_at = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pids in before.values() for pid in pids):
        assert time.monotonic() < is_over_at, "the workers of a node end with it"
        time.sleep(0.1)

    def finish() -> None:
        while algorithm.step_count < algorithm.total_steps:
            algorithm.train()

    with ThreadPoolExecutor(1) as pool:  # Ray starts nodes in the main thread only
        training = pool.submit(finish)
        time.sleep(3.0)
        cluster.add_node(num_cpus=2)
        training.result()
    for group, learners in algorithm.learner_groups().items():
        assert not set(pids_of(learners)) & set(before[group])
    assert algorithm.report.figures["health/learner_restarts"] >= 1
    assert_equal(algorithm.checkpoint(), expected)
    algorithm.stop()


def test_the_node_with_the_learners_is_lost_and_none_comes(cluster) -> None:  # type: ignore[no-untyped-def]
    config = tiny_run("seqgan").learners(num_learners=1).discriminator_learners(1).time_limits(replacement_seconds=4.0)
    with pytest.raises(
        ClusterError, match=r"within 4 s: the run asks for 2 CPUs, the cluster has 0 CPUs, .* on 1 nodes"
    ):
        config.build_algo()
    node = cluster.add_node(num_cpus=2)
    algorithm = trained(config, 2)
    before = algorithm.checkpoint()
    cluster.remove_node(node, allow_graceful=False)
    started = time.monotonic()
    with pytest.raises(
        WorkerError, match=r"died .* no room within 4 s: .* asks for 1 CPUs, the cluster has 0 .* intact"
    ):
        algorithm.train()
    assert time.monotonic() - started < 60
    assert_equal(algorithm.checkpoint(), before)
    algorithm.stop()
