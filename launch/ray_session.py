"""Ray for one run: a private one on this machine or a cluster at an address, within bounds of time, without noise."""

import contextlib
import ipaddress
import logging
import math
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rlgan.errors import ClusterError, first_line
from rlgan.launch.ray_folder import parent_of_ray_folders, ray_folder
from rlgan.launch.room import cores_here, require_local_room, require_room
from rlgan.launch.run_config import WorkerConfig

_WATCH_SECONDS = 5.0
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

_HEAD_HINT = "Is the head node up, and is this its port (`ray start --head --port=6379`)?"


@contextlib.contextmanager
def noise_into(path: Path) -> Iterator[None]:
    """Send what Ray's C++ writes to file descriptor 2 into a file; Python's sys.stderr goes where it went.

    Args:
        path: the file, which is appended to.

    Yields:
        Nothing.
    """
    saved, python_stderr = os.dup(2), sys.stderr
    try:
        with path.open("ab") as file, os.fdopen(saved, "w", buffering=1, closefd=False) as stderr:
            os.dup2(file.fileno(), 2)
            if python_stderr is sys.__stderr__:
                sys.stderr = stderr
            try:
                yield
            finally:
                sys.stderr = python_stderr
                os.dup2(saved, 2)
    finally:
        os.close(saved)


def quiet_ray() -> None:
    """Keep Ray's and RLlib's notices off the terminal; what the user has set in the environment stays."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    for logger in ("ray", "ray.rllib", "ray.tune", "ray.train"):
        logging.getLogger(logger).setLevel(logging.ERROR)


@contextlib.contextmanager
def ray_for(workers: WorkerConfig, bundles: Sequence[Mapping[str, float]]) -> Iterator[None]:
    """Ray while a run lasts. Only what was started here is stopped; a program that is connected already stays so.

    Args:
        workers: where, and how long to wait.
        bundles: what each worker process of the run asks for, such as {"CPU": 1.0, "GPU": 0.5}.

    Yields:
        Nothing; Ray is initialised.
    """
    import ray

    quiet_ray()
    if ray.is_initialized():
        yield
        return
    if workers.address is None:
        require_local_room(bundles)
        with ray_folder(parent_of_ray_folders()) as folder:
            try:
                _start_private_ray(math.ceil(sum(bundle.get("CPU", 0.0) for bundle in bundles)), folder)
                yield
            finally:
                ray.shutdown()
        return
    require_listener(workers.address, workers.connect_timeout)
    try:
        _connect(workers.address, workers.connect_timeout)
        require_room(workers, bundles)
        with _head_watched(workers.address):
            yield
    finally:
        ray.shutdown()


def require_listener(address: str, timeout_seconds: float, option: str = "--address", hint: str = _HEAD_HINT) -> None:
    """Refuse an address where nothing answers, before Ray waits for it.

    Args:
        address: "auto" or HOST:PORT.
        timeout_seconds: how long to wait for the TCP connection.
        option: what gave the address.
        hint: what may be wrong.

    Raises:
        ClusterError: if it is no address, or nothing listens there.
    """
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit() and 0 < int(port) < 65536) or "/" in address:
        raise ClusterError(f"{option} {address}: expected HOST:PORT of the head node, such as 10.0.0.5:6379, or auto.")
    try:
        socket.create_connection((_bare(host), int(port)), timeout=timeout_seconds).close()
    except OSError as error:
        problem = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise ClusterError(f"{option} {address}: {problem} within {timeout_seconds:g} s. {hint}") from None


def _bare(host: str) -> str:
    """The host without the brackets of an IPv6 address."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host.strip("[]")))
    return host


def _start_private_ray(num_cpus: int, folder: Path) -> None:
    """A Ray of this process alone, with a CPU for every worker so that none waits for ever."""
    import ray

    before = os.umask(0o077)  # Ray writes its access token into the home directory
    # Ray's own processes inherit the mask: a SIGTERM to the whole process group must leave them to end after us.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        ray.init(
            address="local",
            num_cpus=max(cores_here(), num_cpus),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )
    except Exception as error:  # Ray raises this very class where the machine is too busy to start it in time
        raise ClusterError(
            f"Ray did not start on this machine: {first_line(error)}. If the machine is overloaded, try again."
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.umask(before)


def _connect(address: str, timeout_seconds: float) -> None:
    """Join a cluster. Ray may wait for ever in C++, so that the only sure bound is the end of this process."""
    import ray

    def give_up() -> None:
        sys.stderr.write(
            f"rlgan: --address {address}: something listens there, but no Ray answered within {timeout_seconds:g} s. "
            "Is it the port of the head node, of this Ray version, and is the token here the cluster's (`ray "
            "get-auth-token` there)?\n"
        )
        sys.stderr.flush()
        os._exit(ClusterError.exit_code)

    timer = threading.Timer(timeout_seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        token = "If that cluster asks for a token, set RAY_AUTH_MODE=token and fetch it with `ray get-auth-token`."
        said = _about_versions(str(error)) or f"{first_line(error):.150}. {token}"
        raise ClusterError(f"--address {address}: {said}") from error
    finally:
        timer.cancel()


def _about_versions(message: str) -> str | None:
    """Ray's seven lines about a cluster of other versions on one; None for any other message."""
    versions = re.findall(r"^ *(?:Ray|Python): (\S+)$", message, re.MULTILINE)
    if "Version mismatch" not in message or len(versions) != 4:
        return None
    return (
        f"the cluster runs Ray {versions[0]} on Python {versions[1]}, this process Ray {versions[2]} on Python "
        f"{versions[3]}. Both must be the same: install one of them again."
    )


@contextlib.contextmanager
def _head_watched(address: str) -> Iterator[None]:
    """End this process soon after the head of the cluster: Ray itself would wait a minute, then abort."""
    import ray

    is_over = threading.Event()

    def give_up() -> None:
        if is_over.is_set():
            return
        sys.stderr.write(
            f"rlgan: --address {address}: the head of the cluster does not answer any more. The last checkpoint is "
            "intact: go on with --resume auto on a cluster that lives.\n"
        )
        sys.stderr.flush()
        os._exit(ClusterError.exit_code)

    gcs = ray.get_runtime_context().gcs_address
    threading.Thread(target=watch_head, args=(gcs, is_over, give_up), daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


def watch_head(gcs: str, is_over: threading.Event, give_up: Callable[[], None], misses: int = 5) -> None:
    """Ask the head again and again whether it listens.

    Args:
        gcs: its HOST:PORT.
        is_over: set when nobody needs the head any more.
        give_up: called once, when it has not answered several times in a row.
        misses: how many times.
    """
    missed = 0
    while missed < misses:
        if is_over.wait(_WATCH_SECONDS):
            return
        try:
            require_listener(gcs, _WATCH_SECONDS)
            missed = 0
        except ClusterError:
            missed += 1
    give_up()
