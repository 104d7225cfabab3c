"""The jobs of a Ray cluster, asked for within bounds of time: Ray's own client has none."""

import contextlib
import importlib.util
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from rlgan.errors import ClusterError, first_line
from rlgan.launch.job_log import JobLog

T = TypeVar("T")

_POLL_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
"""How long a job that runs may give no answer: a night has minutes without a network."""
_STOPPED_EXIT_CODE = 143
"""Of a job that was stopped: Ray sends it SIGTERM and then forgets how it ended."""
_TOKEN_HINT = "If the cluster asks for a token, set RAY_AUTH_MODE=token and fetch it with `ray get-auth-token`."
_NO_AGENT_HINT = (
    "A head that has just started needs a longer --connect-timeout; where another Ray runs beside it, the port of its "
    "agent may be taken: add --dashboard-agent-listen-port=0 to its `ray start`."
)


class JobClient:
    """The jobs of a cluster; every question to it is bounded in time.

    Example:
        `jobs = JobClient("http://127.0.0.1:8265", 30.0); jobs.start("a", "python x.py", {}); jobs.follow("a")`
    """

    def __init__(self, dashboard: str, timeout_seconds: float) -> None:
        self._dashboard, self._timeout = dashboard, timeout_seconds
        with contextlib.redirect_stdout(sys.stderr):  # here: a thread that is given up would never put it back
            self._client = self._within(timeout_seconds, lambda: client_of_ray(dashboard))

    def start(self, job: str, command: str, environment: dict[str, Any]) -> None:
        """Upload and start a job.

        Args:
            job: its name, which no other job of the cluster has.
            command: a line of the shell.
            environment: Ray's runtime environment.
        """
        self._within(10 * self._timeout, lambda: self._submit(job, command, environment))

    def follow(self, job: str) -> int:
        """Show the log until the job has ended.

        Args:
            job: its name.

        Returns:
            Its exit code.

        A ClusterError ends it if the job has none, or if nobody answers for a while.
        """
        log, answered, num_missed = JobLog(self._client, job), time.monotonic(), 0
        try:
            while True:
                _show(log.new_text())
                try:
                    info = self._within(self._timeout, lambda: self._client.get_job_info(job))
                    if info.status.is_terminal():
                        whole = self._within(self._timeout, lambda: self._client.get_job_logs(job))
                        _show(whole[log.num_shown :])
                        return self._exit_code(job, info)
                    answered, num_missed = time.monotonic(), 0
                except _NoAnswerError as error:
                    num_missed += 1
                    self._bear(job, error, num_missed, time.monotonic() - answered)
                time.sleep(_POLL_SECONDS)
        finally:
            log.close()

    def _bear(self, job: str, error: "_NoAnswerError", num_missed: int, seconds: float) -> None:
        """Go on without an answer, for a while: say it the first time, and give up in the end."""
        if seconds > PATIENCE_SECONDS:
            raise ClusterError(
                f"{error} No answer for {seconds:.0f} s. Job {job} goes on if its cluster does: "
                f"{self.how_to_follow(job)}"
            ) from error
        if num_missed == 1:
            say(f"no answer about job {job}; asking again for {PATIENCE_SECONDS:g} s ({error})")

    def how_to_follow(self, job: str) -> str:
        """The command that shows what a job does.

        Args:
            job: its name.

        Returns:
            In backquotes.
        """
        return f"`ray job logs {job} --address {self._dashboard} --follow`"

    def _submit(self, job: str, command: str, environment: dict[str, Any]) -> None:
        """Start a job, again and again while a head that has just started cannot take one yet."""
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                self._client.submit_job(entrypoint=command, runtime_env=environment, submission_id=job)
                return
            except RuntimeError as error:
                if "try again later" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_SECONDS)

    def _exit_code(self, job: str, info: Any) -> int:
        """That of the job; one that has none was ended from outside, or never began."""
        status = str(getattr(info.status, "value", info.status))
        if status == "SUCCEEDED":
            return 0
        if status == "STOPPED":
            say(f"job {job} was stopped; the same command with --resume auto goes on from its newest checkpoint")
            return _STOPPED_EXIT_CODE
        if info.driver_exit_code:
            code = int(info.driver_exit_code)
            code = 128 - code if code < 0 else code  # of a process that a signal has ended
            say(f"job {job} ended with exit code {code}")
            return code
        message = " ".join(str(info.message or "").split())
        raise ClusterError(f"job {job} is {status}: {message:.300}")

    def _within(self, seconds: float, call: Callable[[], T]) -> T:
        """The answer to a question."""
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
            hint = _NO_AGENT_HINT if "No available agent" in said else _TOKEN_HINT
            raise _NoAnswerError(f"--dashboard {self._dashboard}: {said:.200}. {hint}") from errors[0]
        if not answers:
            raise _NoAnswerError(f"--dashboard {self._dashboard}: no answer within {seconds:g} s. Is it the dashboard?")
        return answers[0]


class _NoAnswerError(ClusterError):
    """A question that was not answered, or not as asked."""


def missing_packages() -> list[str]:
    """What Ray's client for jobs needs and `ray[rllib]` does not bring.

    Returns:
        Names of packages that are not here.
    """
    return [name for name in ("aiohttp", "requests") if importlib.util.find_spec(name) is None]


def client_of_ray(dashboard: str) -> Any:
    """Ray's client for jobs.

    Args:
        dashboard: URL.

    Returns:
        A JobSubmissionClient.
    """
    from ray.job_submission import JobSubmissionClient

    return JobSubmissionClient(dashboard)


def say(text: str) -> None:
    """Show one line of our own among those of the job.

    Args:
        text: without its end.
    """
    _show(f"rlgan: {text}\n")


def _show(text: str) -> None:
    """Show what the job says."""
    sys.stdout.write(text)
    sys.stdout.flush()
