"""A Ray cluster of several nodes on this machine, which asks for a token."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def make_token() -> None:
    """Write an access token, which only `ray.init` makes by itself."""
    generate = [sys.executable, "-m", "ray.scripts.scripts", "get-auth-token", "--generate"]
    subprocess.run(generate, capture_output=True, check=True)


@contextmanager
def cluster_of_nodes(num_cpus: int) -> Iterator[Any]:
    """A `ray.cluster_utils.Cluster` with a head; the block adds the nodes, and the cluster ends with it.

    Args:
        num_cpus: of the head, logical ones.
    """
    from ray.cluster_utils import Cluster

    make_token()
    head = {"num_cpus": num_cpus, "num_gpus": 0, "include_dashboard": False, "gcs_server_port": 0}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        cluster.shutdown()
