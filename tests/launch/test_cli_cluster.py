"""Clusters that cannot be reached or are too small: exit code 6 within the time, one line with address and numbers."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest

from rlgan.errors import ClusterError
from rlgan.launch import ray_session
from rlgan.launch.run_config import WorkerConfig

TRAIN = ("train", "seqgan")


@pytest.fixture
def closed_port() -> int:
    """A loopback port where nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def silent_port():
    """A port that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


def test_a_refused_connection(closed_port, rlgan, tiny_words, tmp_path):
    started = time.monotonic()
    said = rlgan(*TRAIN, *tiny_words, "--address", f"127.0.0.1:{closed_port}", "--run-dir", tmp_path / "run")
    assert said.code == 6 and said.err.count("\n") == 1, said
    assert f"--address 127.0.0.1:{closed_port}: Connection refused" in said.err and "ray start --head" in said.err
    assert time.monotonic() - started < 10


def test_no_answer_to_a_connection(monkeypatch):
    def wait(address, timeout):
        assert timeout == 3.0
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", wait)
    with pytest.raises(ClusterError, match=r"--address 10.0.0.1:6379: no answer within 3 s"):
        ray_session.require_listener("10.0.0.1:6379", 3.0)


@pytest.mark.parametrize(
    "address", ["6379", "host", "host:", ":6379", "host:port", "host:0", "host:99999", "ray://h:10001"]
)
def test_no_address(address, rlgan, tmp_path):
    said = rlgan(*TRAIN, "--address", address, "--run-dir", tmp_path / "run")
    assert said.code == 6 and f"--address {address}: expected HOST:PORT of the head node" in said.err


@pytest.mark.slow
def test_a_listener_that_never_answers(silent_port, rlgan_process, tiny_words, tmp_path):
    started = time.monotonic()
    address = f"127.0.0.1:{silent_port}"
    process = rlgan_process(*TRAIN, *tiny_words, "--address", address, "--connect-timeout", "4", "--run-dir", "run")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 6, (out, err)
    assert err.count("\n") == 1 and f"rlgan: --address {address}: " in err
    assert time.monotonic() - started < 60


@pytest.mark.slow
def test_no_cluster_on_this_machine(rlgan_process, tiny_words, tmp_path):
    process = rlgan_process(*TRAIN, *tiny_words, "--address", "auto", "--run-dir", "run")
    out, err = process.communicate(timeout=100)
    assert process.returncode == 6 and err.count("\n") == 1 and "rlgan: --address auto: " in err, (out, err)


def test_more_workers_than_the_machine_bears(rlgan, tiny_words, tmp_path):
    said = rlgan(*TRAIN, *tiny_words, "--num-env-runners", "2000", "--num-learners", "3", "--run-dir", tmp_path / "r")
    num_cores = len(os.sched_getaffinity(0))
    assert said.code == 6 and said.err.count("\n") == 1
    assert f"asks for 2003 worker processes; this machine has {num_cores} CPUs" in said.err


def test_workers_and_memory():
    ray_session.require_local_resources(8, num_cores=2, free_bytes=8 * ray_session.WORKER_BYTES)
    with pytest.raises(ClusterError, match=r"8 worker processes of about 0\.5 GiB each; this machine has 3\.9 GiB"):
        ray_session.require_local_resources(8, num_cores=2, free_bytes=8 * ray_session.WORKER_BYTES - 1)
    with pytest.raises(ClusterError, match="9 worker processes; this machine has 2 CPUs, enough for 8"):
        ray_session.require_local_resources(9, num_cores=2, free_bytes=2**50)
    ray_session.require_local_resources(0, num_cores=1, free_bytes=1)


@pytest.fixture
def growing_cluster(monkeypatch):
    """A stand-in for Ray in a cluster that gains 2 CPUs every time it is asked."""
    cpus = iter(range(2, 100, 2))
    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **options: None,
        shutdown=lambda: None,
        cluster_resources=lambda: {"CPU": float(next(cpus))},
        get_runtime_context=lambda: SimpleNamespace(gcs_address="h:1"),
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr(ray_session, "require_listener", lambda address, seconds: None)


def test_a_cluster_that_is_too_small(growing_cluster):
    message = r"--address h:1: the run asks for 5 CPUs, the cluster has 2 \(waited 0 s\)"
    with pytest.raises(ClusterError, match=message), ray_session.ray_for(WorkerConfig(address="h:1"), 5):
        pytest.fail("nothing runs")


def test_waiting_for_a_cluster_to_grow(growing_cluster, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    with ray_session.ray_for(WorkerConfig(address="h:1", wait=60), 5):
        ran = True
    assert ran


def test_waiting_is_bounded(growing_cluster):
    started = time.monotonic()
    message = r"asks for 500 CPUs, the cluster has \d+ \(waited 0.3 s\)"
    with pytest.raises(ClusterError, match=message), ray_session.ray_for(WorkerConfig(address="h:1", wait=0.3), 500):
        pytest.fail("nothing runs")
    assert 0.3 <= time.monotonic() - started < 5


def test_a_cluster_with_tokens_says_how_to_get_one(growing_cluster, monkeypatch):
    import ray

    def refuse(**options):
        raise RuntimeError("Authentication failed: invalid token\nsecret-token-value")

    monkeypatch.setattr(ray, "init", refuse)
    with (
        pytest.raises(ClusterError, match="ray get-auth-token") as error,
        ray_session.ray_for(WorkerConfig(address="h:1"), 0),
    ):
        pytest.fail("nothing runs")
    assert "secret-token-value" not in str(error.value)


def test_the_connection_is_given_up_in_time(growing_cluster, monkeypatch, capfd):
    import ray

    ended = threading.Event()
    codes = []
    monkeypatch.setattr(os, "_exit", lambda code: (codes.append(code), ended.set()))
    monkeypatch.setattr(ray, "init", lambda **options: ended.wait(10))
    with ray_session.ray_for(WorkerConfig(address="h:1", connect_timeout=0.2), 0):
        pass
    assert (
        codes == [6]
        and "--address h:1: something listens there, but no Ray answered within 0.2 s" in capfd.readouterr().err
    )


def test_a_program_that_is_connected_stays_so(monkeypatch):
    fake = SimpleNamespace(is_initialized=lambda: True, shutdown=lambda: pytest.fail("not ours to stop"))
    monkeypatch.setitem(sys.modules, "ray", fake)
    with ray_session.ray_for(WorkerConfig(), 3):
        pass


def test_what_a_killed_run_has_left_is_removed(tmp_path):
    for name in ("rlgan-left", "rlgan-alive", "rlgan-other", "mine"):
        (tmp_path / name / "session").mkdir(parents=True)
    for name in ("rlgan-left", "rlgan-alive", "mine"):
        (tmp_path / name / "run.lock").touch()
    with filelock.FileLock(tmp_path / "rlgan-alive" / "run.lock"), ray_session.ray_folder(tmp_path) as folder:
        assert folder.parent == tmp_path and folder.is_dir()
        (folder / "session").mkdir()
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"rlgan-alive", "rlgan-other", "mine", folder.name}
    assert not folder.exists()


def test_noise_of_ray_goes_into_a_file(tmp_path, capfd):
    with ray_session.noise_into(tmp_path / "ray.log"):
        os.write(2, b"from C++\n")
        sys.stderr.write("from Python\n")
    os.write(2, b"afterwards\n")
    assert (tmp_path / "ray.log").read_text() == "from C++\n"
    assert capfd.readouterr().err == "from Python\nafterwards\n"


HEAD = """
import logging, sys, ray
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def head():
    """Address of a cluster of two CPUs that asks for a token."""
    with subprocess.Popen(
        [sys.executable, "-c", HEAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.slow
def test_a_run_on_a_cluster_leaves_the_cluster_alive(head, rlgan_process, tiny_words, tmp_path):
    for name in ("one", "two"):
        process = rlgan_process(
            *TRAIN, *tiny_words, "--address", head, "--num-env-runners", "1", "--num-learners", "1", "--run-dir", name
        )
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, ""), (out, err)
        assert "done after step 7" in out


@pytest.mark.slow
def test_a_cluster_without_the_cpus(head, rlgan_process, tiny_words):
    process = rlgan_process(*TRAIN, *tiny_words, "--address", head, "--num-env-runners", "3", "--run-dir", "small")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 6 and err.count("\n") == 1
    assert f"--address {head}: the run asks for 3 CPUs, the cluster has 2" in err


@pytest.mark.slow
def test_a_cluster_whose_token_is_not_known(head, rlgan_process, tiny_words, monkeypatch, tmp_path):
    token = (Path.home() / ".ray" / "auth_token").read_text().strip()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    process = rlgan_process(*TRAIN, *tiny_words, "--address", head, "--connect-timeout", "20", "--run-dir", "r")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 6 and err.count("\n") == 1 and "ray get-auth-token" in err
    assert token and token not in out + err + (tmp_path / "r" / "ray.log").read_text()
