"""`rlgan train` on a cluster of several nodes, on loopback: where workers land, what is refused, waiting for a node."""

import subprocess
import sys
import time
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


WORKERS = ("--num-env-runners", 2, "--num-learners", 1, "--num-discriminator-learners", 1)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, tiny_words: list[str]) -> Path:
    """The run directory of `WORKERS` on this machine alone."""
    folder = tmp_path_factory.mktemp("here")
    words = [str(word) for word in (*TRAIN, *tiny_words, *WORKERS, "--run-dir", "run")]
    run = subprocess.run(
        [sys.executable, "-m", "rlgan.launch", *words], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, (run.stdout, run.stderr)
    return folder / "run"


def assert_same_end(*runs: Path) -> None:
    one, other = (latest_checkpoint(run / "checkpoints") for run in runs)
    assert one is not None and other is not None and one.step == other.step == 7
    assert_equal(one, other)


def test_a_run_on_three_nodes_is_the_run_of_one_machine(cluster, here, rlgan_process, tiny_words, tmp_path):
    shares = ("--num-cpus-per-env-runner", 0.5, "--num-gpus-per-env-runner", 1, "--num-cpus-per-learner", 0.75)
    process = rlgan_process(
        *TRAIN, *tiny_words, "--address", cluster.address, *WORKERS, *shares, "--run-dir", "nodes", prelude=SHOW
    )
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, ""), (out, err)
    assert "done after step 7" in out
    seen = [line.split(" ", 2) for line in out.splitlines() if line.startswith(("runner ", "learner "))]
    held = sorted((kind, text) for kind, _, text in seen)
    assert held == [("learner", "[('CPU', 0.75)]")] * 2 + [("runner", "[('CPU', 0.5), ('GPU', 1.0)]")] * 2
    assert len({node for kind, node, _ in seen if kind == "runner"}) == 2, "each GPU is on a node of its own"
    assert_same_end(tmp_path / "nodes", here)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--num-env-runners", 6), "asks for 6 CPUs, the cluster has 5 CPUs and 2 GPUs, of which"),
        (("--num-env-runners", 2, "--num-gpus-per-env-runner", 2), "asks for 2 CPUs and 4 GPUs, the cluster has 5"),
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


PAUSED = """
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
"""Before the second adversarial round, the sixth of all."""
PINNED = ("--num-gpus-per-env-runner", 1, "--num-cpus-per-learner", 3)
"""Runners live on the nodes with a GPU, learners only where three CPUs are left for each."""


def test_the_node_with_the_learners_is_lost(cluster, here, rlgan_process, tiny_words, tmp_path):
    """In the middle of the run; they go on on one that comes some seconds later."""
    first = cluster.add_node(num_cpus=6)
    process = rlgan_process(
        *TRAIN, *tiny_words, "--address", cluster.address, *WORKERS, *PINNED, "--run-dir", "lost-node",
        prelude=SHOW + PAUSED,
    )  # fmt: skip
    wait_for("paused", process)
    cluster.remove_node(first, allow_graceful=False)
    (tmp_path / "lost").touch()
    second = cluster.add_node(num_cpus=6)
    out, err = process.communicate(timeout=300)
    cluster.remove_node(second)
    assert process.returncode == 0 and "done after step 7" in out, (out, err)
    seen = [line.split(" ", 2)[:2] for line in out.splitlines() if line.startswith(("runner ", "learner "))]
    assert [node for kind, node in seen if kind == "learner"] == [second.node_id] * 2, seen
    assert len({node for kind, node in seen if kind == "runner"} - {first.node_id, second.node_id}) == 2, seen
    assert [entry for entry in History(tmp_path / "lost-node").read() if entry.kind == "round"][-1].figures[
        "health/learner_restarts"
    ] >= 1
    assert_same_end(tmp_path / "lost-node", here)


def test_the_node_with_the_learners_is_lost_and_none_comes(cluster, here, rlgan_process, tiny_words, tmp_path):
    """Exit code 7 when the time for it is over, and another day the run goes on after its last whole round."""
    impatient = "from rlgan.launch import run_config; run_config.PATIENCE_SECONDS = 8.0\n"
    words = (*TRAIN, *tiny_words, "--address", cluster.address, *WORKERS, *PINNED, "--run-dir", "run")
    node = cluster.add_node(num_cpus=6)
    process = rlgan_process(*words, prelude=impatient + PAUSED)
    wait_for("paused", process)
    cluster.remove_node(node, allow_graceful=False)
    (tmp_path / "lost").touch()
    lost = time.monotonic()
    out, err = process.communicate(timeout=200)
    assert process.returncode == 7 and time.monotonic() - lost < 90, (process.returncode, out[-2000:], err)
    assert err.count("\n") == 1 and "no room within 8 s: a group of learners asks for 3 CPUs, the cluster has" in err
    assert "The last checkpoint is intact: go on with --resume auto" in err
    assert "waiting up to 8 s for room" in out
    assert latest_checkpoint(tmp_path / "run" / "checkpoints").step == 5, (
        "the last of the pre-training is that of step 4"
    )
    node = cluster.add_node(num_cpus=6)
    process = rlgan_process(*words, "--resume", "auto")
    out, err = process.communicate(timeout=300)
    cluster.remove_node(node)
    assert process.returncode == 0 and "going on after step 5" in out, (out, err)
    assert_same_end(tmp_path / "run", here)
