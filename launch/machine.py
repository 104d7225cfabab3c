"""What this machine offers a run, or a cluster: the findings of `rlgan doctor`."""

import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path

import torch

from rlgan.errors import ClusterError, ConfigError, RlganError
from rlgan.launch.finding import Finding
from rlgan.launch.job_client import missing_packages
from rlgan.launch.ray_folder import parent_of_ray_folders
from rlgan.launch.ray_session import ray_for, require_listener
from rlgan.launch.room import WORKER_BYTES, cores_here, free_bytes_here
from rlgan.launch.run_config import WorkerConfig
from rlgan.native import instruction_set

_LEAST_DISK_BYTES = 2**30
_LEAST_SHARED_BYTES = 2**29
_LEAST_OPEN_FILES = 1024
_SHARED = Path("/dev/shm")
_FULLEST = 0.95
"""Where Ray refuses to put objects on a disk."""


def cores() -> Finding:
    """Cores, threads and accelerators.

    Returns:
        A problem where RLGAN_NATIVE asks for a core that cannot be had.
    """
    problem = None
    try:
        native = instruction_set() or "not in use (no compiler at install time, or RLGAN_NATIVE=0)"
    except ConfigError as error:
        native, problem = "cannot be had", error
    gpus = f"{torch.cuda.device_count()} GPU" if torch.cuda.is_available() else "no GPU"
    asked = os.environ.get("OMP_NUM_THREADS", "not set")
    threads = f"torch uses {torch.get_num_threads()} threads (OMP_NUM_THREADS {asked})"
    return Finding("cores", f"{cores_here()} cores, {gpus}, {threads}, native core: {native}", problem)


def memory() -> Finding:
    """Free memory, in worker processes.

    Returns:
        A problem where there is none for a single one.
    """
    free = free_bytes_here()
    if free is None:
        return Finding("memory", "unknown on this system")
    count = free // WORKER_BYTES
    problem = None if count else ClusterError("a worker process needs 0.5 GB; end other programs, or add memory.")
    return Finding("memory", f"{free / 2**30:.1f} GB free: enough for {count} worker processes", problem)


def run_root(root: Path) -> Finding:
    """Whether run directories can be written, and how much.

    Args:
        root: where they would be made.

    Returns:
        A problem where they cannot.
    """
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


def shared_files() -> Finding:
    """Where a private Ray keeps its files and objects, and how many files a process may open.

    Returns:
        Advice where any of it is scarce: Ray starts, and fails or slows down later.
    """
    folder = parent_of_ray_folders()
    disk = shutil.disk_usage(folder)
    texts, advice = [f"{folder}: {disk.free / 2**30:.1f} GB free"], []
    if disk.free < _LEAST_DISK_BYTES or disk.used > _FULLEST * disk.total:
        advice.append(f"make room in {folder}, or set TMPDIR: Ray needs 1 GB there, and a disk less than 95% full")
    if _SHARED.is_dir():
        free = shutil.disk_usage(_SHARED).free
        texts.append(f"{_SHARED}: {free / 2**30:.1f} GB free")
        if free < _LEAST_SHARED_BYTES:
            advice.append(
                f"give {_SHARED} 0.5 GB or more (docker run --shm-size=2g): Ray's objects go to disk otherwise"
            )
    limit = _open_files()
    if limit is not None:
        texts.append(f"{limit} open files a process")
        if limit < _LEAST_OPEN_FILES:
            advice.append("raise the limit of open files (ulimit -n 65536)")
    return Finding("Ray files", ", ".join(texts), advice="; ".join(advice) or None)


def _open_files() -> int | None:
    """How many files a process may have open; None where the system has no such limit."""
    if importlib.util.find_spec("resource") is None:
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def token() -> Finding:
    """How Ray authenticates; the token itself is never shown.

    Returns:
        Advice where other users of this machine may read the token.
    """
    mode = os.environ.get(
        "RAY_AUTH_MODE", "not set (a private Ray asks for a token all the same; --address sends none)"
    )
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named) if named else Path.home() / ".ray" / "auth_token"
    where, advice = "none yet; a private Ray makes one", None
    if os.environ.get("RAY_AUTH_TOKEN"):
        where = "in RAY_AUTH_TOKEN"
    elif file.is_file():
        where = str(file)
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            advice = f"other users may read {file}, and run code on every cluster that takes it: chmod 600 {file}"
    elif named:
        where, advice = (
            f"{file}, which is not there",
            "make it (`ray get-auth-token --generate`), or unset the variable",
        )
    return Finding("Ray token", f"RAY_AUTH_MODE {mode}; token: {where}", advice=advice)


def job_client() -> Finding:
    """Whether `rlgan submit` works from here.

    Returns:
        What is missing, in its text: a run goes without.
    """
    missing = missing_packages()
    text = f'needs {" and ".join(missing)}: pip install "rlgan[cluster]"' if missing else "rlgan submit can send jobs"
    return Finding("jobs", text)


def cluster(address: str, timeout_seconds: float) -> Finding:
    """Whether the cluster answers, and what it has.

    Args:
        address: HOST:PORT, or auto.
        timeout_seconds: how long to wait for it.

    Returns:
        A problem where it does not answer.
    """
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
