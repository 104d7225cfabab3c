"""`rlgan submit`: what it refuses, what it sends, whose exit code it ends with; once on a real cluster with tokens."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import rlgan as rlgan_package
from rlgan.checkpoint import latest_checkpoint
from rlgan.errors import ConfigError
from rlgan.launch import job_client, job_log
from rlgan.launch import submit as module
from rlgan.launch.history import History
from rlgan.launch.interrupts import SAVE_SECONDS
from rlgan.launch.submit import job_command
from rlgan.launch.wheel import build_wheel, without_dependencies
from tests.clusters import make_token
from tests.launch.processes import wait_for
from tests.tools import require_tool

RUN = ("--run-dir", "/mnt/runs/one")
PACKAGE = Path(rlgan_package.__file__).parent


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "what is submitted"),
        (["train"], "what is submitted"),
        (["train", "seqgun", *RUN], "what is submitted"),
        (["--dashbord", "http://h:1", "train", "seqgan", *RUN], "--dashbord: no such option; perhaps you meant"),
        (["train", "seqgan", *RUN, "--rouns", "3"], "--rouns: no such option; perhaps you meant --rounds"),
        (["train", "seqgan"], "--run-dir (not given): a job needs an absolute path"),
        (["train", "seqgan", "--run-dir", "runs/one"], "--run-dir runs/one: a job needs an absolute path"),
        (["train", "seqgan", "--run-dir", str(PACKAGE / "runs")], "lies in the package, which is uploaded"),
        (["train", "seqgan", "--run-dir", str(PACKAGE.parent / "launch" / "runs" / "a")], "lies in the package"),
        (["--dashboard", "localhost:8265", "train", "seqgan", *RUN], "--dashboard localhost:8265: expected the URL"),
        (["--dashboard", "http://h:99999", "train", "seqgan", *RUN], "--dashboard http://h:99999: expected the URL"),
    ],
)
def test_mistakes_are_code_2_before_anything_is_built(words, message, rlgan, monkeypatch):
    monkeypatch.setattr(module, "build_wheel", lambda *_: pytest.fail("nothing is built"))
    said = rlgan("submit", *words)
    assert said.code == 2 and message in said.err and said.err.count("\n") == 1, said


def test_without_the_client_of_ray(rlgan, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "aiohttp" else name)
    said = rlgan("submit", "train", "seqgan", *RUN)
    assert said.code == 2 and said.err.count("\n") == 1, said
    assert 'rlgan submit needs aiohttp of ray[default]: pip install "rlgan[cluster]"' in said.err


def test_the_command_of_the_job(tmp_path):
    config = tmp_path / "my settings.yaml"
    config.write_text("seed: 3\n")
    command, sent = job_command(["train", "bgan", *RUN, "--config", str(config), "--rounds", "3"])
    assert sent == config
    assert command == (
        "python -m rlgan.launch train bgan --run-dir /mnt/runs/one --config config.yaml --rounds 3 --address auto"
    )
    command, sent = job_command(["train", "seqgan", *RUN, f"--config={config}", "--address", "10.0.0.5:6379"])
    assert sent == config and command.endswith("--config=config.yaml --address 10.0.0.5:6379")
    assert job_command(["train", "seqgan", "--run-dir", "/mnt/a b; rm -rf x"])[0].count("'/mnt/a b; rm -rf x'") == 1


@pytest.mark.parametrize("resume", ["/on/the/cluster/runs/one", "auto"])
def test_what_is_resumed_is_not_read_here(resume, tmp_path, monkeypatch):
    """It is on the cluster: a path that is not here is no mistake, and a file that is here by chance means nothing."""
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("no: settings\n")
    words = ["train", "seqgan", "--run-dir", str(run), "--resume", resume]
    assert job_command(words)[0].startswith(f"python -m rlgan.launch train seqgan --run-dir {run} --resume {resume}")
    # A column is of a table, which only the run's own settings name.
    assert "--column text" in job_command([*words, "--column", "text"])[0]
    for wrong, message in (("--rounds=-1", "--rounds: "), ("--rouns=1", "--rouns: no such option")):
        with pytest.raises(ConfigError, match=message):
            job_command([*words, wrong])
    with pytest.raises(ConfigError, match="column"):
        job_command([*words[:4], "--column", "text"])


@pytest.fixture
def wheel(tmp_path) -> Path:
    """A file with what matters of a wheel."""
    path = tmp_path / "rlgan-9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("rlgan/__init__.py", "")
        file.writestr("rlgan-9.dist-info/METADATA", "Name: rlgan\nRequires-Dist: torch\nVersion: 9\n\nRequires-Dist\n")
        file.writestr("rlgan-9.dist-info/RECORD", "rlgan/__init__.py,,\nrlgan-9.dist-info/METADATA,sha256=old,1\n")
    return path


def test_a_shipped_wheel_asks_for_nothing_else(wheel, tmp_path):
    (tmp_path / "out").mkdir()
    with zipfile.ZipFile(without_dependencies(wheel, tmp_path / "out")) as shipped:
        assert shipped.read("rlgan-9.dist-info/METADATA") == b"Name: rlgan\nVersion: 9\n\nRequires-Dist\n"
        first, second = shipped.read("rlgan-9.dist-info/RECORD").decode().splitlines()
    assert first == "rlgan/__init__.py,," and second.endswith(",38") and "old" not in second


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_no_wheel(content, tmp_path):
    path = tmp_path / "rlgan-9-py3-none-any.whl"
    path.write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="no wheel that can be read"):
        without_dependencies(path, tmp_path / "out")


class FakeCluster:
    """Answers as Ray's client for jobs does."""

    def __init__(self, *states: tuple[str, int | None, str], log: str = "line one\nline two\n") -> None:
        self.states, self.log, self.sent = list(states), log, {}
        self.num_connections = self.num_whole_logs = 0

    def submit_job(self, **sent: object) -> None:
        self.sent = sent
        self.files = {Path(str(p)).name: Path(str(p)).exists() for p in sent["runtime_env"]["py_modules"]}

    @property
    def job(self) -> str:
        return str(self.sent["submission_id"])

    def get_job_info(self, job: str) -> SimpleNamespace:
        assert job == self.job
        status, code, message = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        kind = SimpleNamespace(value=status, is_terminal=lambda: status in {"SUCCEEDED", "FAILED", "STOPPED"})
        return SimpleNamespace(status=kind, driver_exit_code=code, message=message)

    def get_job_logs(self, job: str) -> str:
        self.num_whole_logs += 1
        return self.log

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        self.num_connections += 1
        yield self.log[:9]
        raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")


@pytest.fixture
def submitted(rlgan, wheel, monkeypatch):
    """`rlgan submit` to a cluster that is not there."""

    def call(cluster: FakeCluster, *words: object):
        monkeypatch.setattr(module, "require_listener", lambda *_: None)
        monkeypatch.setattr(job_client, "client_of_ray", lambda dashboard: cluster)
        monkeypatch.setattr(job_client, "_POLL_SECONDS", 0.02)
        return rlgan("submit", "--wheel", wheel, *words, "train", "seqgan", *RUN)

    return call


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [("SUCCEEDED", 0, 0), ("FAILED", 4, 4), ("FAILED", 143, 143), ("FAILED", -9, 137), ("STOPPED", None, 143)],
)
def test_it_ends_as_the_job_ends(submitted, status, code, expected):
    cluster = FakeCluster(("PENDING", None, ""), *[("RUNNING", None, "")] * 9, (status, code, ""))
    said = submitted(cluster)
    assert said.code == expected and said.out.count("line one") == said.out.count("line two") == 1, said
    assert "upload: 0.00 MB (rlgan-9-py3-none-any.whl)" in said.out
    assert cluster.files == {"rlgan-9-py3-none-any.whl": True} and "working_dir" not in cluster.sent["runtime_env"]
    assert float(cluster.sent["runtime_env"]["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) > SAVE_SECONDS
    assert (f"job {cluster.job} was stopped; the same command with --resume auto" in said.out) == (status == "STOPPED")
    assert re.fullmatch(r"rlgan-seqgan-[0-9a-f]{12}", cluster.job)


def test_the_log_is_fetched_as_it_grows_and_no_part_of_it_is_shown_twice(monkeypatch):
    """Ray sends it from its beginning on every connection, of which a night has many."""
    monkeypatch.setattr(job_log, "_RETRY_SECONDS", 0.01)
    lines = [f"round {number}\n" for number in range(30)]

    class Tailed(FakeCluster):
        async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
            self.num_connections += 1
            for line in lines[: 8 * self.num_connections]:
                yield line
            if self.num_connections % 2:
                raise RuntimeError("lost")

    cluster, text = Tailed(("RUNNING", None, "")), ""
    log = job_log.JobLog(cluster, "job")
    deadline = time.monotonic() + 10
    while text != "".join(lines) and time.monotonic() < deadline:
        text += log.new_text()
        time.sleep(0.01)
    log.close()
    assert text == "".join(lines) and log.num_shown == len(text) and cluster.num_connections >= 4
    assert cluster.num_whole_logs == 0


def test_a_job_that_never_began_is_code_6(submitted):
    cluster = FakeCluster(("FAILED", None, "the runtime environment\ncould not be set up"))
    said = submitted(cluster)
    assert said.code == 6 and f"job {cluster.job} is FAILED: the runtime environment could not be set up" in said.err


def test_no_follow(submitted):
    cluster = FakeCluster(("RUNNING", None, ""))
    said = submitted(cluster, "--no-follow")
    assert said.code == 0 and f"ray job logs {cluster.job}" in said.out


def test_ctrl_c_leaves_the_job_alone(submitted, monkeypatch):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job_client.time, "sleep", interrupt)
    cluster = FakeCluster(("RUNNING", None, ""))
    said = submitted(cluster)
    assert said.code == 130 and f"job {cluster.job} goes on; `ray job stop {cluster.job}" in said.out


def test_ctrl_c_during_the_upload_says_how_to_see_whether_it_began(submitted, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job_client.JobClient, "start", interrupt)
    said = submitted(FakeCluster(("RUNNING", None, "")))
    assert said.code == 130
    assert re.search(r"interrupted while job (rlgan-seqgan-\w+) was sent; whether it runs: `ray job logs \1", said.out)


def test_a_cluster_that_misses_some_answers_is_borne(submitted):
    class Missing(FakeCluster):
        num_missed = 0

        def get_job_info(self, job: str) -> SimpleNamespace:
            if len(self.states) == 2 and self.num_missed < 5:
                self.num_missed += 1
                raise ConnectionError("Failed to connect to Ray")
            return super().get_job_info(job)

    said = submitted(Missing(("RUNNING", None, ""), ("RUNNING", None, ""), ("SUCCEEDED", 0, "")))
    assert said.code == 0 and said.out.count("rlgan: no answer about job") == 1, said
    assert "asking again for 300 s" in said.out


def test_a_cluster_that_stops_answering_is_bounded(submitted, monkeypatch):
    monkeypatch.setattr(job_client, "PATIENCE_SECONDS", 0.5)
    cluster, started = FakeCluster(("RUNNING", None, "")), time.monotonic()
    cluster.get_job_info = lambda job: threading.Event().wait(30)
    said = submitted(cluster, "--connect-timeout", "0.2")
    assert said.code == 6 and "no answer within 0.2 s" in said.err and said.err.count("\n") == 1
    assert f"Job {cluster.job} goes on if its cluster does: `ray job logs {cluster.job} --address http" in said.err
    assert 0.5 < time.monotonic() - started < 10


def test_a_closed_port_of_the_dashboard(rlgan, wheel):
    said = rlgan("submit", "--wheel", wheel, "--dashboard", f"http://127.0.0.1:{free_port()}", "train", "seqgan", *RUN)
    assert said.code == 6 and said.err.count("\n") == 1 and "Connection refused" in said.err, said
    assert "--dashboard 127.0.0.1:" in said.err and "ray dashboard CLUSTER.yaml" in said.err
    assert "--address" not in said.err and "6379" not in said.err


def test_what_the_cluster_says_may_hold_no_second_line(submitted):
    def refuse(**_: object) -> str:
        raise RuntimeError("authentication failed\nAuthorization: Bearer very-secret")

    cluster = FakeCluster(("RUNNING", None, ""))
    cluster.submit_job = refuse
    said = submitted(cluster)
    assert said.code == 6 and "ray get-auth-token" in said.err and "very-secret" not in said.out + said.err


def test_a_head_whose_agent_found_its_port_taken(submitted):
    def refuse(**_: object) -> str:
        raise RuntimeError("status code 500: No available agent to submit job, please try again later.")

    cluster = FakeCluster(("RUNNING", None, ""))
    cluster.submit_job = refuse
    said = submitted(cluster, "--connect-timeout", "0.5")
    assert said.code == 6 and "--dashboard-agent-listen-port=0" in said.err and said.err.count("\n") == 1, said
    assert "please try again later. A head" in said.err and "token" not in said.err


def free_port() -> int:
    """A loopback port where nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def dashboard():
    """URL of a cluster of three CPUs, started by `ray start` on loopback, that takes jobs and asks for a token."""
    require_tool(importlib.util.find_spec("aiohttp_cors") is not None, "aiohttp_cors, of ray[default],")
    folder = str(Path(sys.executable).parent)  # Ray's agents call python and pip by name
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "RAY_AUTH_MODE": "token"}
    port, temporary = free_port(), tempfile.mkdtemp(prefix="rj-", dir="/tmp")
    head = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    where = ["--node-ip-address=127.0.0.1", f"--port={free_port()}", f"--dashboard-port={port}"]
    # Fixed by default; while a connection of any other Ray here has that number, no job is ever taken.
    where += ["--dashboard-agent-listen-port=0", f"--ray-client-server-port={free_port()}"]
    make_token()
    with (
        Path(temporary, "head.log").open("w") as log,
        subprocess.Popen(
            [*head, *where, "--num-cpus=3", f"--temp-dir={temporary}"],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            cwd=temporary,
            env=environment,
        ) as process,
    ):
        for _ in range(600):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.wait(60)
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def built_wheel(tmp_path_factory) -> Path:
    """That of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_cluster(dashboard, built_wheel, rlgan_process, tiny_words, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    (tmp_path / "settings.yaml").write_text("seed: 5\n")
    assert built_wheel.stat().st_size < 5e6
    with zipfile.ZipFile(built_wheel) as file:
        assert {name.split("/")[0].split("-")[0] for name in file.namelist()} == {"rlgan"}
    to = ("submit", "--dashboard", dashboard, "--connect-timeout", "150", "--wheel", built_wheel, "train", "seqgan")
    process = rlgan_process(
        *to, *tiny_words, "--run-dir", tmp_path / "run", "--num-env-runners", "1", "--config", "settings.yaml"
    )
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, (out, err)
    assert "rlgan: done after step 7" in out and "upload: " in out
    assert "seed: 5" in (tmp_path / "run" / "config.yaml").read_text()
    process = rlgan_process(*to, "--run-dir", tmp_path / "none", "--data", "/no/such/file.txt")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 3 and "/no/such/file.txt" in out, (out, err)
    token = (Path.home() / ".ray" / "auth_token").read_text().strip()
    assert token and token not in out + err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_stop(dashboard, built_wheel, rlgan_process, tiny_words, tmp_path, monkeypatch):
    """`ray job stop`, after which Ray does not know how the driver ended: with a checkpoint of the round in hand."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    run = tmp_path / "run"
    words = [*tiny_words, "--rounds", "100000", "--checkpoint-every", "0", "--run-dir", run]
    to = ("submit", "--dashboard", dashboard, "--connect-timeout", "150", "--wheel", built_wheel)
    process = rlgan_process(*to, "train", "seqgan", *words)
    (line,) = [line for line in wait_for(" runs: python", process) if " runs: python" in line]
    job = line.split()[2]
    deadline = time.monotonic() + 200
    while max((entry.step for entry in History(run).read()), default=0) < 20 and time.monotonic() < deadline:
        time.sleep(0.2)
    stop = [sys.executable, "-m", "ray.scripts.scripts", "job", "stop", job, "--address", dashboard]
    stopped = subprocess.run(stop, capture_output=True, text=True, check=False, timeout=200)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 143, (out, err, stopped.stdout, stopped.stderr)
    assert f"job {job} was stopped; the same command with --resume auto" in out
    saved = re.search(r"rlgan: SIGTERM: the checkpoint of step (\d+) is in", out)
    assert saved is not None and int(saved[1]) >= 20 and latest_checkpoint(run / "checkpoints").step == int(saved[1])


def test_an_address_that_is_no_dashboard(rlgan, wheel, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "very-secret")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(4)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        said = rlgan("submit", "--wheel", wheel, "--dashboard", url, "--connect-timeout", "3", "train", "seqgan", *RUN)
    assert said.code == 6 and f"--dashboard {url}: no answer within 3 s" in said.err
    assert "very-secret" not in said.out + said.err
