"""Clusters that cannot be reached or are too small: exit code 6 within the time, one line with address and numbers."""

import importlib.metadata
import os
import platform
import socket
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rlgan.errors import ClusterError
from rlgan.launch import ray_session, room
from rlgan.launch.catalogue import system_named
from rlgan.launch.run_config import WorkerConfig
from rlgan.policies import SeqGAN, SeqGANConfig, resources
from tests.launch.processes import cluster_head

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


ONE_CPU = {"CPU": 1.0}


def test_workers_and_memory():
    room.require_local_room([ONE_CPU] * 8, num_cores=2, free_bytes=8 * room.WORKER_BYTES)
    with pytest.raises(ClusterError, match=r"8 worker processes of about 0\.5 GiB each; this machine has 3\.9 GiB"):
        room.require_local_room([ONE_CPU] * 8, num_cores=2, free_bytes=8 * room.WORKER_BYTES - 1)
    with pytest.raises(ClusterError, match="9 worker processes; this machine has 2 CPUs, enough for 8"):
        room.require_local_room([{"CPU": 0.1}] * 9, num_cores=2, free_bytes=2**50)
    room.require_local_room([], num_cores=1, free_bytes=1)


def test_gpus_of_this_machine():
    quarters = [{"CPU": 1.0, "GPU": 0.25}] * 5
    room.require_local_room(quarters, num_cores=8, num_gpus=2)
    with pytest.raises(ClusterError, match=r"asks for 1\.25 GPUs; this machine has 1"):
        room.require_local_room(quarters, num_cores=8, num_gpus=1)


@pytest.mark.parametrize(
    ("shares", "num_gpus", "fits"),
    [
        ([0.6] * 3, 2, False), ([0.6] * 2, 2, True), ([0.6, 0.6, 0.4, 0.4], 2, True), ([0.5, 1.0, 0.5], 2, True),
        ([0.6, 0.6, 0.6, 1.0], 3, False), ([2.0, 0.25], 3, True), ([0.1] * 10, 1, True), ([0.3] * 3 + [1.0], 2, True),
        ([], 0, True),
    ],
)  # fmt: skip
def test_a_share_of_a_gpu_is_on_one_gpu(shares, num_gpus, fits):
    """Their sum is never more than there is."""
    bundles = [{"CPU": 1.0, "GPU": share} for share in shares]
    if fits:
        room.require_local_room(bundles, num_cores=8, num_gpus=num_gpus)
        return
    with pytest.raises(ClusterError, match=f"this machine has {num_gpus}, and no share can be spread over two"):
        room.require_local_room(bundles, num_cores=8, num_gpus=num_gpus)


def test_a_learner_on_the_gpu_of_a_driver_that_has_none(rlgan, no_ray, tmp_path):
    if room.gpus_here():
        pytest.skip("this machine has a GPU")
    for system, options in (("seqgan", ["--num-learners", "1"]), ("began", [])):
        said = rlgan("train", system, "--num-gpus-per-learner", "0.5", *options, "--run-dir", tmp_path / "run")
        assert said.code == 6 and said.err.count("\n") == 1 and not (tmp_path / "run").exists(), said
        assert "--num-gpus-per-learner 0.5" in said.err
        assert ("--num-discriminator-learners 1" in said.err) == (system == "seqgan")
    run = system_named("began").run_class(workers=WorkerConfig(num_learners=1, num_gpus_per_learner=1))
    room.require_driver_gpu(run, num_gpus=0)
    run = system_named("seqgan").run_class(workers=WorkerConfig(num_gpus_per_learner=1))
    room.require_driver_gpu(run, num_gpus=1)


@pytest.fixture
def no_ray_at_all(monkeypatch):
    """A stand-in for Ray that connects to anything."""
    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **options: None,
        shutdown=lambda: None,
        get_runtime_context=lambda: SimpleNamespace(gcs_address="h:1"),
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr(ray_session, "require_listener", lambda *_: None)


@pytest.fixture
def small_cluster(no_ray_at_all, monkeypatch):
    """A cluster of two nodes of 2 CPUs with half a GPU free, which has room for nothing; what it was asked is kept."""
    asked = []
    monkeypatch.setattr(resources, "nodes", lambda: [{"CPU": 2.0}, {"CPU": 2.0, "GPU": 1.0}])
    monkeypatch.setattr(resources, "free", lambda: {"CPU": 3.0, "GPU": 0.5})
    monkeypatch.setattr(resources, "has_room", lambda bundles, seconds: asked.append((bundles, seconds)))
    return asked


@pytest.mark.parametrize(
    ("bundles", "wait", "waited", "asked"),
    [
        ([ONE_CPU] * 5, 0.0, None, "asks for 5 CPUs"),
        ([ONE_CPU] * 5, 60.0, 60.0, "asks for 5 CPUs"),
        ([{"CPU": 1.0, "GPU": 1.0}] * 2, 0.0, None, "asks for 2 CPUs and 2 GPUs"),
        ([{"CPU": 3.0}], 0.0, 7.0, "asks for 3 CPUs"),
        ([{"CPU": 3.0}], 60.0, 60.0, "asks for 3 CPUs"),
    ],
)
def test_a_cluster_that_is_too_small_or_busy(small_cluster, bundles, wait, waited, asked):
    workers = WorkerConfig(address="h:1", wait=wait, connect_timeout=7.0)
    with pytest.raises(ClusterError) as error, ray_session.ray_for(workers, bundles):
        pytest.fail("nothing runs")
    assert f"--address h:1: the run {asked}, the cluster has 4 CPUs and 1 GPUs, of which 3 CPUs" in str(error.value)
    assert f"the largest node has 2 CPUs and 1 GPUs (waited {waited or wait:g} s)" in str(error.value)
    assert small_cluster == ([] if waited is None else [(bundles, waited)])


def test_a_cluster_with_room(small_cluster, monkeypatch):
    monkeypatch.setattr(resources, "has_room", lambda bundles, seconds: True)
    ran = []
    with ray_session.ray_for(WorkerConfig(address="h:1"), [ONE_CPU] * 4):
        ran.append("fits")
    with ray_session.ray_for(WorkerConfig(address="h:1", wait=60), [ONE_CPU] * 5):
        ran.append("fits once it has grown")
    assert len(ran) == 2


def test_what_the_workers_of_a_run_ask_for():
    workers = WorkerConfig(
        num_env_runners=2, num_cpus_per_env_runner=0.5, num_gpus_per_env_runner=0.25,
        num_learners=1, num_discriminator_learners=1, num_cpus_per_learner=3, num_gpus_per_learner=1,
    )  # fmt: skip
    runner, learner = {"CPU": 0.5, "GPU": 0.25}, {"CPU": 3.0, "GPU": 1.0}
    config = system_named("seqgan").run_class(workers=workers).algorithm_config()
    assert config.worker_bundles() == [runner, runner, learner, learner] and config.required_cpus() == 7.0
    began = system_named("began").run_class(workers=workers).algorithm_config()
    assert began.worker_bundles() == [runner, runner, learner], "its learners hold both nets"
    assert SeqGANConfig().worker_bundles() == [] and SeqGANConfig().learners(num_learners=1).required_cpus() == 1.0
    assert SeqGANConfig().learners(num_learners=1, num_gpus_per_learner=1).worker_bundles() == [{"GPU": 1.0}]
    # Under Tune a trial reserves the same, and a CPU for the process of the algorithm.
    config.data(vocab_size=20, length=6)
    reserved = SeqGAN.default_resource_request(config).bundles
    assert reserved == [{"CPU": 1.0}, runner, runner, learner, learner]


@pytest.mark.parametrize(("wait", "patience"), [(0.0, 180.0), (600.0, 600.0)])
def test_lost_workers_are_waited_for(wait, patience):
    """`--wait` is how long nodes take to come: an autoscaler takes as long for one that was lost."""
    run = system_named("seqgan").run_class(workers=WorkerConfig(wait=wait))
    assert run.algorithm_config().replacement_timeout_seconds == patience


def test_a_cluster_with_tokens_says_how_to_get_one(no_ray_at_all, monkeypatch):
    import ray

    def refuse(**options):
        raise RuntimeError("Authentication failed: invalid token\nsecret-token-value")

    monkeypatch.setattr(ray, "init", refuse)
    with (
        pytest.raises(ClusterError, match="ray get-auth-token") as error,
        ray_session.ray_for(WorkerConfig(address="h:1"), []),
    ):
        pytest.fail("nothing runs")
    assert "secret-token-value" not in str(error.value)


def test_a_cluster_of_other_versions_names_them(no_ray_at_all, monkeypatch):
    """Ray says so on seven lines, of which the first has no version."""
    import ray
    from ray._private.utils import check_version_info

    def refuse(**options):
        check_version_info({"ray_version": "2.59.1", "python_version": "3.12.4"}, "node 10.0.0.7")

    monkeypatch.setattr(ray, "init", refuse, raising=False)
    with pytest.raises(ClusterError) as error, ray_session.ray_for(WorkerConfig(address="h:1"), []):
        pytest.fail("nothing runs")
    here = f"this process Ray {importlib.metadata.version('ray')} on Python {platform.python_version()}"
    assert f"--address h:1: the cluster runs Ray 2.59.1 on Python 3.12.4, {here}. Both" in str(error.value)
    assert "token" not in str(error.value)


def test_a_private_ray_that_does_not_start(no_ray_at_all, monkeypatch):
    """Ray raises the class Exception itself when its processes do not come up in time."""
    import ray

    def time_out(**options):
        raise Exception("The current node timed out during startup. This could happen because ...")

    monkeypatch.setattr(ray, "init", time_out)
    with (
        pytest.raises(ClusterError, match="did not start on this machine: The current node timed out"),
        ray_session.ray_for(WorkerConfig(), []),
    ):
        pytest.fail("nothing runs")


def test_the_connection_is_given_up_in_time(no_ray_at_all, monkeypatch, capfd):
    import ray

    ended = threading.Event()
    codes = []
    monkeypatch.setattr(os, "_exit", lambda code: (codes.append(code), ended.set()))
    monkeypatch.setattr(ray, "init", lambda **options: ended.wait(10))
    with ray_session.ray_for(WorkerConfig(address="h:1", connect_timeout=0.2), []):
        pass
    assert (
        codes == [6]
        and "--address h:1: something listens there, but no Ray answered within 0.2 s" in capfd.readouterr().err
    )


def test_a_program_that_is_connected_stays_so(monkeypatch):
    fake = SimpleNamespace(is_initialized=lambda: True, shutdown=lambda: pytest.fail("not ours to stop"))
    monkeypatch.setitem(sys.modules, "ray", fake)
    with ray_session.ray_for(WorkerConfig(), []):
        pass


def test_noise_of_ray_goes_into_a_file(tmp_path, capfd):
    with ray_session.noise_into(tmp_path / "ray.log"):
        os.write(2, b"from C++\n")
        sys.stderr.write("from Python\n")
    os.write(2, b"afterwards\n")
    assert (tmp_path / "ray.log").read_text() == "from C++\n"
    assert capfd.readouterr().err == "from Python\nafterwards\n"


@pytest.fixture(scope="module")
def head():
    """Address of a cluster of two CPUs that asks for a token."""
    with cluster_head() as (_, address):
        yield address


# Complains when code of rlgan itself, and not of Ray, opens a port; the last line shows that it would.
NO_PORTS = """
import os, rlgan, socket, sys
HERE = os.path.dirname(rlgan.__file__) + os.sep
def watch(event, arguments):
    if event == "socket.bind" and sys._getframe(1).f_code.co_filename.startswith(HERE):
        sys.stdout.write(f"rlgan binds {arguments}")
sys.addaudithook(watch)
exec(compile("socket.socket().bind((\\'127.0.0.1\\', 0))", HERE + "planted.py", "exec"))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_on_a_cluster_leaves_the_cluster_alive(head, rlgan_process, tiny_words, tmp_path):
    token = (Path.home() / ".ray" / "auth_token").read_text().strip()
    for name in ("one", "two"):
        workers = ("--num-env-runners", "1", "--num-learners", "1")
        process = rlgan_process(*TRAIN, *tiny_words, "--address", head, *workers, "--run-dir", name, prelude=NO_PORTS)
        out, err = process.communicate(timeout=250)
        assert (process.returncode, err) == (0, ""), (out, err)
        assert "done after step 7" in out and token and token not in out
        assert out.count("rlgan binds") == out.count("rlgan binds (<socket") == 1, "the planted one, and no other"
        for path in (tmp_path / name).rglob("*"):
            assert path.is_dir() or token.encode() not in path.read_bytes(), f"{path} holds the token"


@pytest.mark.slow
def test_a_cluster_without_the_cpus(head, rlgan_process, tiny_words):
    process = rlgan_process(*TRAIN, *tiny_words, "--address", head, "--num-env-runners", "3", "--run-dir", "small")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 6 and err.count("\n") == 1
    assert f"--address {head}: the run asks for 3 CPUs, the cluster has 2" in err


@pytest.mark.slow
@pytest.mark.parametrize("known", ["none", "another"])
def test_a_cluster_whose_token_is_not_known(known, head, rlgan_process, tiny_words, monkeypatch, tmp_path):
    token = (Path.home() / ".ray" / "auth_token").read_text().strip()
    (tmp_path / "home" / ".ray").mkdir(parents=True)
    if known == "another":
        (tmp_path / "home" / ".ray" / "auth_token").write_text("0" * len(token))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    process = rlgan_process(*TRAIN, *tiny_words, "--address", head, "--connect-timeout", "20", "--run-dir", "r")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 6 and err.count("\n") == 1 and "ray get-auth-token" in err
    assert token and token not in out + err + (tmp_path / "r" / "ray.log").read_text()


@pytest.mark.slow
def test_doctor_of_a_cluster_that_answers(head, rlgan_process):
    token = (Path.home() / ".ray" / "auth_token").read_text().strip()
    process = rlgan_process("doctor", "--address", head)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)
    assert "1 nodes" in out and "2 of 2 CPUs free" in out and token not in out + err
