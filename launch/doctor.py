"""`rlgan doctor`: what this machine offers a run, and what would stop one: versions, threads, folder, cluster."""

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field

from rlgan.errors import ClusterError, ConfigError, RlganError
from rlgan.launch.options import OptionStyle, parse_options
from rlgan.launch.ray_session import ray_for, require_listener
from rlgan.launch.room import WORKER_BYTES, cores_here, free_bytes_here
from rlgan.launch.run_config import WorkerConfig
from rlgan.native import instruction_set

STYLE = OptionStyle(
    "rlgan doctor",
    "Check what a run needs: versions, cores, memory, threads, a folder to write to, and with --address a Ray cluster. "
    "Ends with 0, or with the exit code that the run would end with.",
)
_PACKAGES = ("ray", "torch", "gymnasium", "numpy", "pydantic", "tensorboard", "safetensors", "tokenizers")
_LEAST_DISK_BYTES = 2**30


class DoctorOptions(BaseModel):
    """All options of `rlgan doctor`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    run_root: Path = Field(Path("runs"), description="Folder that run directories would be made in.")
    address: str | None = Field(
        None, min_length=1, description="HOST:PORT of a running Ray cluster, or auto for the one on this machine."
    )
    connect_timeout: float = Field(
        30.0, gt=0, le=3600, description="Seconds to wait for the cluster at --address to answer."
    )


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Example:
        `Finding("memory", "21.3 GB free: enough for 42 worker processes")`

    Attributes:
        name: what was looked at.
        text: what was found.
        problem: what a run would fail with; None if all is well.
    """

    name: str
    text: str
    problem: RlganError | None = None


def doctor(arguments: Sequence[str]) -> int:
    """Run `rlgan doctor`.

    Args:
        arguments: the words after it.

    Returns:
        0 if nothing would stop a run, else the exit code of the first thing that would.
    """
    options = parse_options(DoctorOptions, arguments, STYLE)
    first_code = 0
    for finding in examine(options):
        sign = "ok" if finding.problem is None else "!!"
        sys.stdout.write(f"{sign}  {finding.name:<9} {finding.text}\n")
        sys.stdout.flush()
        if finding.problem is not None:
            sys.stdout.write(f"              {finding.problem}\n")
            first_code = first_code or finding.problem.exit_code
    return first_code


def examine(options: DoctorOptions) -> Iterator[Finding]:
    """Look at everything, what is quick first.

    Args:
        options: where to look.

    Yields:
        Findings.
    """
    checks: list[Callable[[], Finding]] = [_versions, _cores, _memory, lambda: _folder(options.run_root), _token]
    for check in checks:
        yield check()
    if options.address is not None:
        yield _cluster(options.address, options.connect_timeout)


def _versions() -> Finding:
    """Python and the packages that matter."""
    found = [f"{name} {importlib.metadata.version(name)}" for name in ("rlgan", *_PACKAGES)]
    return Finding("versions", f"Python {platform.python_version()}, {', '.join(found)}")


def _cores() -> Finding:
    """Cores, threads and accelerators."""
    native = instruction_set()
    core = "not in use (no compiler at install time, or RLGAN_NATIVE=0)" if native is None else native
    gpus = f"{torch.cuda.device_count()} GPU" if torch.cuda.is_available() else "no GPU"
    asked = os.environ.get("OMP_NUM_THREADS", "not set")
    threads = f"torch uses {torch.get_num_threads()} threads (OMP_NUM_THREADS {asked})"
    return Finding("cores", f"{cores_here()} cores, {gpus}, {threads}, native core: {core}")


def _memory() -> Finding:
    """Free memory, in worker processes."""
    free = free_bytes_here()
    if free is None:
        return Finding("memory", "unknown on this system")
    count = free // WORKER_BYTES
    problem = None if count else ClusterError("a worker process needs 0.5 GB; end other programs, or add memory.")
    return Finding("memory", f"{free / 2**30:.1f} GB free: enough for {count} worker processes", problem)


def _folder(root: Path) -> Finding:
    """Whether run directories can be written, and how much."""
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"rlgan")
    except OSError as error:
        problem = ConfigError(f"{there}: cannot be written ({error.strerror or error}). Give another --run-root.")
        return Finding("folder", f"{root.absolute()}: no write access", problem)
    free = shutil.disk_usage(there).free
    low = None if free >= _LEAST_DISK_BYTES else ConfigError(f"{there}: less than 1 GB free. Give another --run-root.")
    return Finding("folder", f"{root.absolute()}: can be written, {free / 2**30:.1f} GB free", low)


def _token() -> Finding:
    """How Ray authenticates; the token itself is never shown."""
    mode = os.environ.get("RAY_AUTH_MODE", "not set (Ray 2.60 uses a token)")
    source = "in RAY_AUTH_TOKEN" if "RAY_AUTH_TOKEN" in os.environ else os.environ.get("RAY_AUTH_TOKEN_PATH")
    default = Path.home() / ".ray" / "auth_token"
    where = source or (str(default) if default.is_file() else "none yet; a private Ray makes one")
    return Finding("Ray", f"RAY_AUTH_MODE {mode}; token: {where}")


def _cluster(address: str, timeout_seconds: float) -> Finding:
    """Whether the cluster answers, and what it has."""
    import ray

    try:
        require_listener(address, timeout_seconds)
        with ray_for(WorkerConfig(address=address, connect_timeout=timeout_seconds), []):
            total, free = ray.cluster_resources(), ray.available_resources()
            nodes = sum(bool(node["Alive"]) for node in ray.nodes())
    except RlganError as error:
        return Finding("cluster", f"{address}: not usable", error)
    cpus, gpus = f"{free.get('CPU', 0):g} of {total.get('CPU', 0):g} CPUs", f"{total.get('GPU', 0):g} GPUs"
    return Finding("cluster", f"{address}: {nodes} nodes, {cpus} free, {gpus}")
