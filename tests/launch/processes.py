"""Processes that a test has started: what is below them, and what they say; a cluster's head among them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_HEAD = """
import logging, sys, ray
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def cluster_head(patience_seconds: int = 60) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The process and the address of a cluster of two CPUs that asks for a token; it ends with the block.

    Args:
        patience_seconds: after which a node ends that does not hear from the head; Ray's own is 60.
    """
    words = [sys.executable, "-c", _HEAD]
    pipe = subprocess.PIPE
    env = {**os.environ, "RAY_gcs_rpc_server_reconnect_timeout_s": str(patience_seconds)}
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        assert process.stdout is not None and process.stdin is not None
        yield process, process.stdout.readline().strip()
        process.stdin.close()


def descendants(pid: int) -> set[tuple[int, str]]:
    """(pid, start time) of all processes below one, zombies left out."""
    children: dict[int, list[tuple[int, str]]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append((int(path.parent.name), fields[19]))
    found: set[tuple[int, str]] = set()
    pending = [pid]
    while pending:
        below = children.get(pending.pop(), [])
        found |= set(below)
        pending += [child for child, _ in below]
    return found


def alive(process: tuple[int, str]) -> bool:
    """Whether that very process still runs."""
    try:
        fields = Path(f"/proc/{process[0]}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return fields[0] not in "ZX" and fields[19] == process[1]


def command_of(pid: int) -> str:
    """The command line of a process; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def children_named(pid: int, name: str) -> list[int]:
    """Live descendants of a process whose title holds a name."""
    return [child for child, _ in descendants(pid) if name in command_of(child)]


def wait_for(line_start: str, process) -> list[str]:
    """Read the output up to a line; returns what was read."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.lstrip().startswith(line_start) or line_start in line:
            return lines
    pytest.fail(f"ended with {process.wait()} before {line_start!r}: {process.stderr.read()}")
