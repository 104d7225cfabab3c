"""`rlgan train` on a cluster of several nodes, on loopback: where workers land, what is refused, waiting for a node."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlgan.checkpoint import latest_checkpoint
from rlgan.launch.history import History
from tests.clusters import cluster_of_nodes
from tests.launch.processes import wait_for
from tests.policies.test_seqgan import assert_equal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]  # a real cluster: head and nodes start in 15 seconds
TRAIN = ("train", "seqgan")
# Shows on which node each worker was, and what it held.
SHOW = """
import ray
from rlgan.policies.algorithm import AdversarialAlgorithm as Algorithm
cleanup = Algorithm.cleanup
def show(worker):
    context = ray.get_runtime_context()
    return context.get_node_id(), sorted(context.get_assigned_resources().items())
def shown(self):
    for node, held in self.env_runner_group.foreach_env_runner(show, local_env_runner=False):
        print("runner", node, held, flush=True)
    for group in self.learner_groups().values():
        for answer in group.foreach_learner(show):
            print("learner", *answer.get(), flush=True)
    cleanup(self)
Algorithm.cleanup = shown
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head of one CPU, and two nodes of two CPUs and a logical GPU each; it asks for a token."""
    with cluster_of_nodes(num_cpus=1) as nodes:
        for _ in range(2):
            nodes.add_node(num_cpus=2, num_gpus=1)
        yield nodes


def assert_same_end(*runs: Path) -> None:
    one, other = (latest_checkpoint(run / "checkpoints") for run in runs)
    assert one is not None and other is not None and one.step == other.step == 7
    assert_equal(one, other)


def test_a_run_on_three_nodes_is_the_run_of_one_machine(cluster, rlgan_process, tiny_words, tmp_path):
    workers = ("--num-env-runners", 2, "--num-learners", 1, "--num-discriminator-learners", 1)
    shares = ("--num-cpus-per-env-runner", 0.5, "--num-gpus-per-env-runner", 1, "--num-cpus-per-learner", 0.75)
    process = rlgan_process(
        *TRAIN, *tiny_words, "--address", cluster.address, *workers, *shares, "--run-dir", "nodes", prelude=SHOW
    )
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, ""), (out, err)
    assert "done after step 7" in out
    seen = [line.split(" ", 2) for line in out.splitlines() if line.startswith(("runner ", "learner "))]
    held = sorted((kind, text) for kind, _, text in seen)
    assert held == [("learner", "[('CPU', 0.75)]")] * 2 + [("runner", "[('CPU', 0.5), ('GPU', 1.0)]")] * 2
    assert len({node for kind, node, _ in seen if kind == "runner"}) == 2, "each GPU is on a node of its own"
    process = rlgan_process(*TRAIN, *tiny_words, *workers, "--run-dir", "here")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err)
    assert_same_end(tmp_path / "nodes", tmp_path / "here")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--num-env-runners", 6), "asks for 6 CPUs, the cluster has 5 CPUs and 2 GPUs, of which"),
        (("--num-env-runners", 2, "--num-gpus-per-env-runner", 1.5), "asks for 2 CPUs and 3 GPUs, the cluster has 5"),
        (
            ("--num-env-runners", 1, "--num-cpus-per-env-runner", 3, "--connect-timeout", 8),
            "the largest process asks for 3 CPUs, the largest node has 2 CPUs and 1 GPUs (waited 8 s)",
        ),
    ],
    ids=["CPUs", "GPUs", "no node is large enough"],
)
def test_what_the_nodes_cannot_hold(words, message, cluster, rlgan_process, tiny_words):
    process = rlgan_process(*TRAIN, *tiny_words, "--address", cluster.address, *words, "--run-dir", "none")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 6 and err.count("\n") == 1 and message in err, err


def test_waiting_for_a_node(cluster, rlgan_process, tiny_words, tmp_path):
    """The node comes when the run has asked Ray for room and there is none: without --wait it would not have asked."""
    asking = """
from rlgan.policies import resources
real = resources.has_room
def told(bundles, seconds):
    print("asking for", bundles, "within", seconds, flush=True)
    return real(bundles, seconds)
resources.has_room = told
"""
    words = ("--num-env-runners", 2, "--num-cpus-per-env-runner", 4, "--address", cluster.address)
    process = rlgan_process(*TRAIN, *tiny_words, *words, "--wait", 120, "--run-dir", "grown", prelude=asking)
    wait_for("asking for [{'CPU': 4.0}, {'CPU': 4.0}] within 120", process)
    node = cluster.add_node(num_cpus=8)
    out, err = process.communicate(timeout=300)
    cluster.remove_node(node)
    assert process.returncode == 0 and "done after step 7" in out, (out, err)


def test_the_node_with_the_learners_is_lost(cluster, rlgan_process, tiny_words, tmp_path):
    """Runners live on the nodes with a GPU, learners only where three CPUs are left for each: on a node that is lost
    in the middle of the run, then on one that has come."""
    waiting = """
import time
from pathlib import Path
from rlgan.policies.seqgan import SeqGAN
real = SeqGAN._adversarial_round
def paused(self, index):
    if index == 1:
        print("paused", flush=True)
        while not Path("lost").exists():
            time.sleep(0.1)
    return real(self, index)
SeqGAN._adversarial_round = paused
"""
    workers = ("--num-env-runners", 2, "--num-learners", 1, "--num-discriminator-learners", 1)
    shares = ("--num-gpus-per-env-runner", 1, "--num-cpus-per-learner", 3)
    first = cluster.add_node(num_cpus=6)
    process = rlgan_process(
        *TRAIN, *tiny_words, "--address", cluster.address, *workers, *shares, "--run-dir", "lost-node",
        prelude=SHOW + waiting,
    )  # fmt: skip
    wait_for("paused", process)
    second = cluster.add_node(num_cpus=6)
    cluster.remove_node(first, allow_graceful=False)
    (tmp_path / "lost").touch()
    out, err = process.communicate(timeout=300)
    cluster.remove_node(second)
    assert process.returncode == 0 and "done after step 7" in out, (out, err)
    seen = [line.split(" ", 2)[:2] for line in out.splitlines() if line.startswith(("runner ", "learner "))]
    assert [node for kind, node in seen if kind == "learner"] == [second.node_id] * 2, seen
    assert len({node for kind, node in seen if kind == "runner"} - {first.node_id, second.node_id}) == 2, seen
    assert [entry for entry in History(tmp_path / "lost-node").read() if entry.kind == "round"][-1].figures[
        "health/learner_restarts"
    ] >= 1
    process = rlgan_process(*TRAIN, *tiny_words, *workers, "--run-dir", "undisturbed")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err)
    assert_same_end(tmp_path / "lost-node", tmp_path / "undisturbed")
