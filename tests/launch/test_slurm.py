"""launch/cluster/slurm.sh with Ray itself on two nodes: namespaces of this machine, each with its own network,
processes and /tmp/ray. Stand-ins: SLURM's two commands.

    node 1: slurm.sh -> srun -> ray symmetric-run (head) -> rlgan train          node 2: ray symmetric-run (worker)
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlgan.checkpoint import latest_checkpoint
from rlgan.launch.history import History
from tests.launch.tiny_runs import TINY_RUNS

SCRIPT = Path(__file__).parents[2] / "launch" / "cluster" / "slurm.sh"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not SCRIPT.is_file(), reason="the package was installed alone"),
]
ADDRESSES = ("10.213.7.1", "10.213.7.2")
STAND_INS = {
    "scontrol": f'if [[ $1 == show ]]; then printf "%s\\n" {" ".join(ADDRESSES)}; else echo "$@" >> requeued; fi',
    # The same command on every node of the job, with the environment of the script.
    "srun": 'shift; { declare -px; printf "%q " "$@"; } > step.new; mv step.new step; "$@"',
    "ray": f'exec {sys.executable} -m ray.scripts.scripts "$@"',
    "rlgan": f'exec {sys.executable} -m rlgan.launch "$@"',
}


class Node:
    """A machine, as far as Ray can tell."""

    def __init__(self) -> None:
        Path("/tmp/ray").mkdir(exist_ok=True)
        apart = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        # bash, not sleep: the first process of a machine sees to those whose parents have ended.
        start = "mount -t tmpfs tmpfs /tmp/ray && ip link set lo up && echo up && while true; do sleep 1; done"
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [*apart, "bash", "-c", start], stdout=pipe, stderr=subprocess.STDOUT, text=True
        )
        said = self._process.stdout.readline()
        if said != "up\n":
            self.end()
            pytest.skip(f"this machine has no namespaces for us: {said.strip()}")
        (self.pid,) = children(self._process.pid)

    def configure(self, words: str) -> None:
        """Its network."""
        subprocess.run(["nsenter", "--target", str(self.pid), "--net", "ip", *words.split()], check=True)

    def bash(self, folder: Path, *words: str, **options: Any) -> "subprocess.Popen[bytes]":
        """A script or a command on it, in a folder."""
        enter = ["nsenter", "--target", str(self.pid), "--net", "--mount", "--pid"]
        there = ["bash", "-c", 'cd "$0" && exec bash "$@"', str(folder), *words]  # entering leads to the root
        return subprocess.Popen([*enter, *there], stderr=subprocess.STDOUT, **options)

    def end(self) -> None:
        """All of its processes, and it."""
        self._process.kill()
        self._process.wait(20)


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def nodes() -> Iterator[list[Node]]:
    """Two, with a wire between them."""
    if os.geteuid() or any(shutil.which(name) is None for name in ("unshare", "nsenter", "ip")):
        pytest.skip("namespaces need root, util-linux and iproute2")
    both: list[Node] = []
    try:
        both += [Node(), Node()]
        wire = f"ip link add wire netns {both[0].pid} type veth peer name wire netns {both[1].pid}"
        made = subprocess.run(wire.split(), stderr=subprocess.PIPE, text=True, check=False)
        if made.returncode:
            pytest.skip(f"this machine has no wire for namespaces: {made.stderr.strip()}")
        for node, own, other in zip(both, ADDRESSES, reversed(ADDRESSES), strict=True):
            for words in (f"addr add {own}/24 dev wire", "link set wire up", f"route add default via {other}"):
                node.configure(words)
        yield both
    finally:
        for node in both:
            node.end()


def test_a_job_on_two_nodes_that_is_stopped_before_its_time_is_up(nodes, tmp_path):
    """Each runner needs all of a node; SIGTERM goes to the script alone, as from SLURM."""
    (tmp_path / "bin").mkdir()
    for name, body in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    slurm = {"JOB_NODELIST": "n[1-2]", "JOB_ID": "20007", "JOB_NUM_NODES": "2", "CPUS_ON_NODE": "1"}
    environment = os.environ | {f"SLURM_{name}": value for name, value in slurm.items()}
    environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run = tmp_path / "run"
    words = [*TINY_RUNS["seqgan"], "--rounds", "100000", "--checkpoint-every", "0", "--num-env-runners", "2"]
    other = "until [[ -e step ]]; do sleep 0.1; done; source ./step"
    with (
        (tmp_path / "script.log").open("w") as log,
        (tmp_path / "other.log").open("w") as other_log,
        nodes[1].bash(tmp_path, "-c", other, stdout=other_log) as worker,
        nodes[0].bash(tmp_path, str(SCRIPT), "seqgan", str(run), *words, env=environment, stdout=log) as script,
    ):
        try:
            deadline = time.monotonic() + 240
            while max((entry.step for entry in History(run).read()), default=0) < 10:
                assert script.poll() is None and time.monotonic() < deadline, (tmp_path / "script.log").read_text()
                time.sleep(0.5)
            signalled = time.monotonic()
            os.kill(children(script.pid)[0], signal.SIGTERM)
            code = script.wait(110)
            worker.wait(110)
            seconds = time.monotonic() - signalled
        finally:
            for node in nodes:
                node.end()
    said = (tmp_path / "script.log").read_text()
    assert code == 143 and "rlgan: SIGTERM: the checkpoint of step" in said, said
    assert seconds < 110, "SLURM gives two minutes, and queues nothing again after them"
    assert (tmp_path / "requeued").read_text() == "requeue 20007\n"
    assert "On worker node. Connecting to Ray cluster" in (tmp_path / "other.log").read_text()
    last = [entry for entry in History(run).read() if entry.kind == "round"][-1]
    assert last.figures["rollout/workers_healthy"] == 2.0
    assert latest_checkpoint(run / "checkpoints").step == last.step
