"""`rlgan submit`: a run as a job of a Ray cluster (Ray Jobs).

check the run's options -> build the wheel -> upload -> start the job -> follow its log -> end with its exit code
"""

import contextlib
import importlib.util
import shlex
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from rlgan.errors import ClusterError, ConfigError, first_line
from rlgan.launch.catalogue import SYSTEMS, system_named
from rlgan.launch.options import OptionStyle, parse_options, value_of
from rlgan.launch.ray_session import quiet_ray, require_listener
from rlgan.launch.run_directory import require_lasting
from rlgan.launch.train_options import read_train_options
from rlgan.launch.wheel import build_wheel, without_dependencies

T = TypeVar("T")

STYLE = OptionStyle(
    "rlgan submit",
    "Run `rlgan train ...` as a job of a Ray cluster: `rlgan submit [OPTIONS] train SYSTEM [OPTIONS OF TRAIN]`. Builds "
    "the wheel of this checkout, uploads it, follows the log and ends with the exit code of the job. Paths in the "
    "options of train are paths on the cluster, but for --config, which is sent along.",
)
_POLL_SECONDS = 1.0
_STOP_SECONDS = "30"
"""How long `ray job stop` waits for the last checkpoint before it kills; Ray's own 3 s may be less than a round."""
_CONFIG_NAME = "config.yaml"


class SubmitOptions(BaseModel):
    """All options of `rlgan submit` before the word train."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dashboard: str = Field(
        "http://127.0.0.1:8265", description="URL of the dashboard of the head node, which takes jobs."
    )
    connect_timeout: float = Field(
        30.0, gt=0, le=3600, description="Seconds to wait for an answer of the cluster; for an upload ten times."
    )
    wheel: Path | None = Field(None, description="Built wheel of rlgan to send; None builds that of this checkout.")
    follow: bool = Field(True, description="Whether to show the log and wait for the end of the job.")


def submit(arguments: Sequence[str]) -> int:
    """Run `rlgan submit`.

    Args:
        arguments: the words after it.

    Returns:
        The exit code of the job; 0 with --no-follow; 130 after Ctrl-C, which leaves the job alone.
    """
    split = arguments.index("train") if "train" in arguments else len(arguments)
    options = parse_options(SubmitOptions, arguments[:split], STYLE)
    command, config = job_command(arguments[split:])
    _require_client()
    require_listener(_host_and_port(options.dashboard), options.connect_timeout)
    quiet_ray()
    with tempfile.TemporaryDirectory(prefix="rlgan-submit-") as temporary:
        environment = _runtime_environment(options.wheel, config, Path(temporary))
        cluster = _Cluster(options.dashboard, options.connect_timeout)
        job = cluster.start(command, environment)
    _say(f"job {job} runs: {command}")
    if not options.follow:
        _say(f"its log: `ray job logs {job} --address {options.dashboard} --follow`")
        return 0
    try:
        return cluster.follow(job)
    except KeyboardInterrupt:
        _say(f"job {job} goes on; `ray job stop {job} --address {options.dashboard}` ends it")
        return 130


def job_command(words: Sequence[str]) -> tuple[str, Path | None]:
    """What the job runs.

    Args:
        words: "train", the system, and the options of train.

    Returns:
        A line of the shell, and the configuration file that must be sent along.

    Raises:
        ConfigError: if the options are wrong, or the run directory would be lost with the job.
    """
    if len(words) < 2 or words[1] not in SYSTEMS:
        raise ConfigError(f"what is submitted? Expected `rlgan submit train {'|'.join(SYSTEMS)} ...`.")
    options = read_train_options(system_named(words[1]), words[2:])
    run_dir = options.invocation.run_dir
    if run_dir is None or not run_dir.is_absolute():
        raise ConfigError(
            f"--run-dir {run_dir or '(not given)'}: a job needs an absolute path on storage of the cluster that "
            "outlives it, such as a persistent volume."
        )
    require_lasting(run_dir)
    sent = _with_sent_config(list(words))
    address = [] if value_of(words, "address") else ["--address", "auto"]
    return shlex.join(["python", "-m", "rlgan.launch", *sent, *address]), options.invocation.config


def _with_sent_config(words: list[str]) -> list[str]:
    """The words, with the configuration file where the job finds it."""
    for index, word in enumerate(words):
        if word == "--config":
            words[index + 1] = _CONFIG_NAME
        elif word.startswith("--config="):
            words[index] = f"--config={_CONFIG_NAME}"
    return words


def _runtime_environment(wheel: Path | None, config: Path | None, folder: Path) -> dict[str, Any]:
    """What Ray ships: the wheel, and the configuration file as the working directory."""
    for name in ("built", "shipped", "work"):
        (folder / name).mkdir()
    if wheel is None:
        _say("building the wheel")
    shipped = without_dependencies(wheel or build_wheel(folder / "built"), folder / "shipped")
    environment: dict[str, Any] = {
        "py_modules": [str(shipped)],
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": _STOP_SECONDS},
    }
    size = shipped.stat().st_size
    if config is not None:
        shutil.copy(config, folder / "work" / _CONFIG_NAME)
        environment["working_dir"] = str(folder / "work")
        size += config.stat().st_size
    _say(f"upload: {size / 1e6:.2f} MB ({shipped.name}{' and the configuration' if config else ''})")
    return environment


class _Cluster:
    """The jobs of a cluster; every question to it is bounded in time."""

    def __init__(self, dashboard: str, timeout_seconds: float) -> None:
        self._dashboard, self._timeout = dashboard, timeout_seconds
        with contextlib.redirect_stdout(sys.stderr):  # here: a thread that is given up would never put it back
            self._client = self._within(timeout_seconds, lambda: _client(dashboard))

    def start(self, command: str, environment: dict[str, Any]) -> str:
        """Upload and start a job; returns its name."""
        return self._within(10 * self._timeout, lambda: self._submitted(command, environment))

    def _submitted(self, command: str, environment: dict[str, Any]) -> str:
        """The same, again and again while a head that has just started cannot take a job yet."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return str(self._client.submit_job(entrypoint=command, runtime_env=environment))
            except RuntimeError as error:
                if "try again later" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_SECONDS)

    def follow(self, job: str) -> int:
        """Show the log until the job has ended; returns its exit code."""
        shown = 0
        while True:
            info = self._within(self._timeout, lambda: self._client.get_job_info(job))
            log = self._within(self._timeout, lambda: self._client.get_job_logs(job))
            sys.stdout.write(log[shown:])
            sys.stdout.flush()
            shown = len(log)
            if info.status.is_terminal():
                return self._exit_code(job, info)
            time.sleep(_POLL_SECONDS)

    def _exit_code(self, job: str, info: Any) -> int:
        """That of the job; a job that has none was ended from outside, or never began."""
        status = str(getattr(info.status, "value", info.status))
        if status == "SUCCEEDED":
            return 0
        if info.driver_exit_code:
            _say(f"job {job} ended with exit code {info.driver_exit_code}")
            return int(info.driver_exit_code)
        message = " ".join(str(info.message or "").split())
        raise ClusterError(f"job {job} is {status}: {message:.300}")

    def _within(self, seconds: float, call: Callable[[], T]) -> T:
        """The answer to a question; Ray's client has no bound of its own."""
        answers: list[T] = []
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                answers.append(call())
            except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
                errors.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(seconds)
        if errors:
            said = first_line(errors[0])
            hint = "If the cluster asks for a token, set RAY_AUTH_MODE=token and fetch it with `ray get-auth-token`."
            raise ClusterError(f"--dashboard {self._dashboard}: {said:.200}. {hint}") from errors[0]
        if not answers:
            raise ClusterError(f"--dashboard {self._dashboard}: no answer within {seconds:g} s. Is it the dashboard?")
        return answers[0]


def _require_client() -> None:
    """Refuse to go on without the packages of Ray's client for jobs, which `ray[rllib]` does not bring."""
    missing = [name for name in ("aiohttp", "requests") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f'rlgan submit needs {" and ".join(missing)} of ray[default]: pip install "rlgan[cluster]", here and on '
            "the head node."
        )


def _client(dashboard: str) -> Any:
    """Ray's client for jobs."""
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(dashboard)


def _host_and_port(dashboard: str) -> str:
    """HOST:PORT of a URL."""
    problem = ConfigError(f"--dashboard {dashboard}: expected the URL of the dashboard, such as http://10.0.0.5:8265.")
    parts = urlsplit(dashboard)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise problem from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise problem
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}"


def _say(text: str) -> None:
    """One line of our own among those of the job."""
    sys.stdout.write(f"rlgan: {text}\n")
    sys.stdout.flush()
