"""`rlgan submit`: a run as a job of a Ray cluster (Ray Jobs).

check the run's options -> build the wheel -> upload -> start the job -> follow its log -> end with its exit code
"""

import contextlib
import secrets
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from rlgan.errors import ConfigError
from rlgan.launch.catalogue import SYSTEMS, system_named
from rlgan.launch.interrupts import SAVE_SECONDS
from rlgan.launch.job_client import JobClient, missing_packages, say
from rlgan.launch.options import ContradictionError, OptionStyle, parse_options, value_of
from rlgan.launch.ray_session import quiet_ray, require_listener
from rlgan.launch.run_directory import require_lasting
from rlgan.launch.train_options import read_train_options
from rlgan.launch.wheel import build_wheel, without_dependencies

STYLE = OptionStyle(
    "rlgan submit",
    "Run `rlgan train ...` as a job of a Ray cluster: `rlgan submit [OPTIONS] train SYSTEM [OPTIONS OF TRAIN]`. Builds "
    "the wheel of this checkout, uploads it, follows the log and ends with the exit code of the job. Paths in the "
    "options of train are paths on the cluster, but for --config, which is sent along.",
)
_STOP_SECONDS = str(int(SAVE_SECONDS) + 10)
"""How long `ray job stop` waits for the last checkpoint before it kills; Ray's own 3 s may be less than a round."""
_CONFIG_NAME = "config.yaml"
_HINT = (
    "Is it the dashboard of the head node, or a tunnel to it that is open (`ray dashboard CLUSTER.yaml`, `kubectl "
    "port-forward`, `ssh -L 8265:127.0.0.1:8265 HEAD`)?"
)


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
        The exit code of the job, 143 if it was stopped; 0 with --no-follow; 130 after Ctrl-C, which leaves it alone.
    """
    split = arguments.index("train") if "train" in arguments else len(arguments)
    options = parse_options(SubmitOptions, arguments[:split], STYLE)
    command, config = job_command(arguments[split:])
    _require_client()
    require_listener(_host_and_port(options.dashboard), options.connect_timeout, "--dashboard", _HINT)
    quiet_ray()
    job = f"rlgan-{arguments[split + 1]}-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory(prefix="rlgan-submit-") as temporary:
        environment = _runtime_environment(options.wheel, config, Path(temporary))
        cluster = JobClient(options.dashboard, options.connect_timeout)
        try:
            cluster.start(job, command, environment)
        except KeyboardInterrupt:
            say(f"interrupted while job {job} was sent; whether it runs: {cluster.how_to_follow(job)}")
            return 130
    say(f"job {job} runs: {command}")
    if not options.follow:
        say(f"its log: {cluster.how_to_follow(job)}")
        return 0
    try:
        return cluster.follow(job)
    except KeyboardInterrupt:
        say(f"job {job} goes on; `ray job stop {job} --address {options.dashboard}` ends it")
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
    goes_on = value_of(words, "resume") not in {None, "never"}
    # The settings of a run that goes on are on the cluster, and may make right what contradicts itself without them.
    with contextlib.suppress(*[ContradictionError] if goes_on else []):
        read_train_options(system_named(words[1]), words[2:], resumes_here=False)
    given, config = value_of(words, "run-dir"), value_of(words, "config")
    run_dir = None if given is None else Path(given)
    if run_dir is None or not run_dir.is_absolute():
        raise ConfigError(
            f"--run-dir {run_dir or '(not given)'}: a job needs an absolute path on storage of the cluster that "
            "outlives it, such as a persistent volume."
        )
    require_lasting(run_dir)
    sent = _with_sent_config(list(words))
    address = [] if value_of(words, "address") else ["--address", "auto"]
    command = shlex.join(["python", "-m", "rlgan.launch", *sent, *address])
    return command, None if config is None else Path(config)


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
        say("building the wheel")
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
    say(f"upload: {size / 1e6:.2f} MB ({shipped.name}{' and the configuration' if config else ''})")
    return environment


def _require_client() -> None:
    """Refuse to go on without the packages of Ray's client for jobs."""
    missing = missing_packages()
    if missing:
        raise ConfigError(
            f'rlgan submit needs {" and ".join(missing)} of ray[default]: pip install "rlgan[cluster]", here and on '
            "the head node."
        )


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
