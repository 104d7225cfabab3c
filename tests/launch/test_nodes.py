"""`rlgan train` on a cluster of several nodes, on loopback: where workers land, what is refused, waiting for a node."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rlgan.checkpoint import latest_checkpoint

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
    from ray.cluster_utils import Cluster

    generate = [sys.executable, "-m", "ray.scripts.scripts", "get-auth-token", "--generate"]
    subprocess.run(generate, capture_output=True, check=True)
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0, "include_dashboard": False})
    for _ in range(2):
        nodes.add_node(num_cpus=2, num_gpus=1)
    yield nodes
    nodes.shutdown()


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
    one, other = (latest_checkpoint(tmp_path / name / "checkpoints") for name in ("nodes", "here"))
    assert one is not None and other is not None and one.step == other.step == 7
    for group, tensors in one.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other.tensors[group][name]), f"{group}/{name}"


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
    words = ("--num-env-runners", 2, "--num-cpus-per-env-runner", 4, "--wait", 120)
    process = rlgan_process(*TRAIN, *tiny_words, "--address", cluster.address, *words, "--run-dir", "grown")
    ray_log = Path(tmp_path, "grown", "ray.log")
    while not ray_log.exists() and process.poll() is None:
        pass
    node = cluster.add_node(num_cpus=8)
    out, err = process.communicate(timeout=300)
    cluster.remove_node(node)
    assert process.returncode == 0 and "done after step 7" in out, (out, err)
