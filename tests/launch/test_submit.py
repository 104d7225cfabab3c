"""`rlgan submit`: what it refuses, what it sends, whose exit code it ends with; once on a real cluster with tokens."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import rlgan as rlgan_package
from rlgan.errors import ConfigError
from rlgan.launch import submit as module
from rlgan.launch.interrupts import EXIT_SECONDS
from rlgan.launch.submit import job_command
from rlgan.launch.wheel import build_wheel, without_dependencies
from tests.clusters import make_token
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
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == "aiohttp" else name)
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

    def submit_job(self, **sent: object) -> str:
        self.sent = sent
        self.files = {Path(str(p)).name: Path(str(p)).exists() for p in sent["runtime_env"]["py_modules"]}
        return "job-1"

    def get_job_info(self, job: str) -> SimpleNamespace:
        status, code, message = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        kind = SimpleNamespace(value=status, is_terminal=lambda: status in {"SUCCEEDED", "FAILED", "STOPPED"})
        return SimpleNamespace(status=kind, driver_exit_code=code, message=message)

    def get_job_logs(self, job: str) -> str:
        return self.log[: 9 if len(self.states) > 1 else None]


@pytest.fixture
def submitted(rlgan, wheel, monkeypatch):
    """`rlgan submit` to a cluster that is not there."""

    def call(cluster: FakeCluster, *words: object):
        monkeypatch.setattr(module, "require_listener", lambda address, seconds: None)
        monkeypatch.setattr(module, "_client", lambda dashboard: cluster)
        monkeypatch.setattr(module, "_POLL_SECONDS", 0.0)
        return rlgan("submit", "--wheel", wheel, *words, "train", "seqgan", *RUN)

    return call


@pytest.mark.parametrize(("status", "code", "expected"), [("SUCCEEDED", 0, 0), ("FAILED", 4, 4), ("FAILED", 143, 143)])
def test_it_ends_as_the_job_ends(submitted, status, code, expected):
    cluster = FakeCluster(("PENDING", None, ""), ("RUNNING", None, ""), (status, code, ""))
    said = submitted(cluster)
    assert said.code == expected and said.out.count("line one") == said.out.count("line two") == 1, said
    assert "upload: 0.00 MB (rlgan-9-py3-none-any.whl)" in said.out
    assert cluster.files == {"rlgan-9-py3-none-any.whl": True} and "working_dir" not in cluster.sent["runtime_env"]
    assert float(cluster.sent["runtime_env"]["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) > EXIT_SECONDS


def test_a_job_that_never_began_is_code_6(submitted):
    said = submitted(FakeCluster(("FAILED", None, "the runtime environment\ncould not be set up")))
    assert said.code == 6 and "job job-1 is FAILED: the runtime environment could not be set up" in said.err


def test_no_follow(submitted):
    said = submitted(FakeCluster(("RUNNING", None, "")), "--no-follow")
    assert said.code == 0 and "ray job logs job-1" in said.out


def test_ctrl_c_leaves_the_job_alone(submitted, monkeypatch):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", interrupt)
    said = submitted(FakeCluster(("RUNNING", None, "")))
    assert said.code == 130 and "job job-1 goes on; `ray job stop job-1" in said.out


def test_a_cluster_that_stops_answering_is_bounded(submitted):
    cluster = FakeCluster(("RUNNING", None, ""))
    cluster.get_job_info = lambda job: module.threading.Event().wait(30)
    said = submitted(cluster, "--connect-timeout", "0.2")
    assert said.code == 6 and "no answer within 0.2 s" in said.err


def test_what_the_cluster_says_may_hold_no_second_line(submitted):
    def refuse(**_: object) -> str:
        raise RuntimeError("authentication failed\nAuthorization: Bearer very-secret")

    cluster = FakeCluster(("RUNNING", None, ""))
    cluster.submit_job = refuse
    said = submitted(cluster)
    assert said.code == 6 and "ray get-auth-token" in said.err and "very-secret" not in said.out + said.err


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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_cluster(dashboard, rlgan_process, tiny_words, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    (tmp_path / "settings.yaml").write_text("seed: 5\n")
    wheel = build_wheel(tmp_path)
    assert wheel.stat().st_size < 5e6
    with zipfile.ZipFile(wheel) as file:
        assert {name.split("/")[0].split("-")[0] for name in file.namelist()} == {"rlgan"}
    to = ("submit", "--dashboard", dashboard, "--connect-timeout", "150", "--wheel", wheel, "train", "seqgan")
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


def test_an_address_that_is_no_dashboard(rlgan, wheel, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "very-secret")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(4)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        said = rlgan("submit", "--wheel", wheel, "--dashboard", url, "--connect-timeout", "3", "train", "seqgan", *RUN)
    assert said.code == 6 and f"--dashboard {url}: no answer within 3 s" in said.err
    assert "very-secret" not in said.out + said.err
