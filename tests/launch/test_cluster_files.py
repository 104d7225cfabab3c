"""The files of launch/cluster/: checked as far as can be without the platforms they are for."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlgan.launch.catalogue import system_named
from rlgan.launch.train_options import read_train_options
from tests.tools import require_tool

tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads pyproject.toml")
ROOT = Path(__file__).parents[2]
FILES = ROOT / "launch" / "cluster"
pytestmark = pytest.mark.skipif(not FILES.is_dir(), reason="the package was installed alone")
RAY = "2.60.0"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FILES / name).read_text()))


def trained_by(command: str, **variables: str) -> Any:
    """The options that a command line of a file gives `rlgan train`; wrong ones raise."""
    for name, value in variables.items():
        command = command.replace(f'"${name}"', value)
    words = shlex.split(command)
    start = words.index("train")
    return read_train_options(system_named(words[start + 1]), words[start + 2 :])


def test_all_ask_for_the_ray_that_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pinned,) = [one for one in project["dependencies"] if one.startswith("ray[rllib]")]
    assert pinned == "ray[rllib]>=2.60,<2.61" and RAY.startswith("2.60.")
    assert f"rayproject/ray:{RAY}-py311" in (FILES / "Dockerfile").read_text()
    assert documents("aws.yaml")[0]["docker"]["image"] == f"rayproject/ray:{RAY}-py311"
    assert documents("rayjob.yaml")[1]["spec"]["rayClusterSpec"]["rayVersion"] == RAY
    version = project["version"]
    assert f"rlgan:{version}" in (FILES / "Dockerfile").read_text()
    assert (FILES / "rayjob.yaml").read_text().count(f"image: rlgan:{version}") == 2


def test_aws_installs_what_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (command,) = documents("aws.yaml")[0]["setup_commands"]
    asked = {one for one in shlex.split(command) if one not in {"pip", "install"}}
    wanted = {one.replace("ray[rllib]", "ray[default,rllib]") for one in project["dependencies"]}
    assert asked == wanted


def test_the_ray_job():
    volume, job = documents("rayjob.yaml")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert cluster["authOptions"] == {"mode": "token"}
    assert spec["backoffLimit"] > 0 and spec["shutdownAfterJobFinishes"] is True
    options = trained_by(spec["entrypoint"])
    assert options.invocation.resume == "auto" and options.run.workers.address == "auto"
    head = cluster["headGroupSpec"]["template"]["spec"]
    (mount,), (claimed,) = head["containers"][0]["volumeMounts"], head["volumes"]
    assert claimed["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
    assert mount["name"] == claimed["name"]
    assert head["securityContext"] == {"fsGroup": 100}, "the image's user, ray (1000:100), may write to the volume"
    assert Path(mount["mountPath"]) in options.invocation.run_dir.parents
    pods = [(cluster["headGroupSpec"], 1)] + [(group, group["replicas"]) for group in cluster["workerGroupSpecs"]]
    cpus = 0.0
    for pod, count in pods:
        limits = pod["template"]["spec"]["containers"][0]["resources"]
        assert limits["limits"] == limits["requests"], "Ray believes the limits"
        cpus += count * float(limits["limits"]["cpu"])
    assert cpus >= options.run.algorithm_config().required_cpus(), "the cluster holds the run that is asked of it"


@pytest.mark.parametrize("name", ["aws.yaml", "hosts.yaml"])
def test_ray_up(name):
    """Ray's own validator, the dashboard on loopback, and no port opened by us."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    (config,) = documents(name)
    validate_config(prepare_config(config))
    head = " ".join(config["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head and "--head" in head
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head, "without it no other node is started"
    started = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    starts = [command for command in started if "ray start" in command]
    assert len(starts) == 2 and all(command.startswith("RAY_AUTH_MODE=token ray start") for command in starts)
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}, "where Ray looks for it"
    assert "umask 077 && ray get-auth-token --generate > /dev/null" in (FILES / name).read_text()
    assert "security_group" not in str(config) and "0.0.0.0" not in str(config)
    with pytest.raises(Exception, match="unexpected_key"):
        validate_config(prepare_config(config | {"unexpected_key": 1}))


def test_the_slurm_script():
    path = FILES / "slurm.sh"
    text = path.read_text()
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    asked = subprocess.run(["bash", str(path), "seqgan"], capture_output=True, text=True, check=False)
    assert asked.returncode == 2 and "usage: sbatch slurm.sh" in asked.stderr
    command = re.search(r"rlgan train .*?&\n", text, re.DOTALL)
    assert command is not None
    line = command[0].removesuffix("&\n").replace('"$@"', "--rounds 3").replace("$head:$port", "10.0.0.1:6379")
    options = trained_by(line, system="seqgan", run_dir="/shared/runs/one")
    assert options.invocation.resume == "auto" and options.run.training.rounds == 3
    assert options.run.workers.address == "10.0.0.1:6379"
    assert "umask 077" in text and "get-auth-token --generate > /dev/null" in text, "the token is not printed"


def test_shellcheck():
    found = shutil.which("shellcheck")
    require_tool(found is not None, "shellcheck")
    assert found is not None
    done = subprocess.run([found, str(FILES / "slurm.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def stand_in_for_slurm(tmp_path, monkeypatch) -> Callable[[str], None]:
    """Puts a test's own `srun` on the path, beside a `scontrol` of two nodes and a `ray` that tells a secret."""

    def put(srun: str) -> None:
        (tmp_path / "bin").mkdir()
        scontrol = 'if [[ $1 == show ]]; then echo node7; echo node8; else echo "$@" >> requeued; fi'
        for name, body in {"scontrol": scontrol, "srun": srun, "ray": "echo secret-token"}.items():
            (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{body}\n")
            (tmp_path / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        for name, value in {"NODELIST": "node[7-8]", "ID": "20007", "NUM_NODES": "2"}.items():
            monkeypatch.setenv(f"SLURM_JOB_{name}", value)
        monkeypatch.setenv("SLURM_CPUS_ON_NODE", "16")

    return put


def test_the_slurm_script_starts_symmetric_run_as_ray_reads_it(stand_in_for_slurm, tmp_path, monkeypatch):
    """The whole script with stand-ins for SLURM and Ray: the words that arrive, and a requeue after SIGTERM only."""
    stand_in_for_slurm('printf "%s\\n" "$@" > words; env > environment; exit "$CODE"')
    run = tmp_path / "shared" / "a b"
    run.mkdir(parents=True)
    for code, is_requeued in ((0, False), (4, False), (143, True)):
        monkeypatch.setenv("CODE", str(code))
        command = ["bash", str(FILES / "slurm.sh"), "bgan", str(run), "--rounds", "3"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == (code or 6) and "secret-token" not in done.stdout + done.stderr
        assert (tmp_path / "requeued").exists() == is_requeued
        assert ("the run has not begun" in done.stderr) == (code == 0), (
            "Ray's command ends with 0 where it cannot start"
        )
    (run / "report.html").touch()
    monkeypatch.setenv("CODE", "0")
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    words = (tmp_path / "words").read_text().splitlines()
    before, after = words[: words.index("--")], words[words.index("--") + 1 :]
    assert before[1:7] == ["ray", "symmetric-run", "--address", "node7:20007", "--min-nodes", "2"]
    assert before[7:] == ["--num-cpus", "16"]
    assert after[:4] == ["rlgan", "train", "bgan", "--run-dir"] and after[4] == str(run)
    assert after[-2:] == ["--rounds", "3"] and "node7:20007" in after
    assert "RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300\n" in (tmp_path / "environment").read_text()
    _starts_on_every_node(before[7:])


def _starts_on_every_node(options: list[str]) -> None:
    """Ray gives the options between the address and `--` to `ray start` on the head and on all others."""
    from ray.scripts.scripts import start
    from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

    given = curate_and_validate_ray_start_args(["--address", "node7:20007", "--min-nodes", "2", *options])
    assert given == options
    for first in (["--head"], ["--address", "node7:20007", "--block"]):
        values = start.make_context("start", [*first, *given], resilient_parsing=False).params
        # `ray start` aborts where these are given without --head.
        assert [values[name] for name in ("port", "redis_shard_ports", "include_dashboard")] == [None] * 3


DRIVER = 'trap "echo checkpoint > saved; exit 143" TERM; echo up >> drivers; while true; do sleep 0.1; done'


@pytest.mark.parametrize("named", ["driver", "gone", "another", "nobody"])
def test_the_slurm_script_hands_the_signal_to_the_driver(named, stand_in_for_slurm, tmp_path):
    """The step is a stand-in whose driver, like rlgan, says in run.lock.json who it is and ends with 143 on SIGTERM.

    A driver that was killed has left the number of a process that is gone, or by now another one: then, as before the
    driver has said who it is, the step itself gets the signal.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    with subprocess.Popen(["sleep", "60"], env=environment) as another:
        pid = {"driver": "$!", "gone": str(2**22 + 1), "another": str(another.pid), "nobody": ""}[named]
        lock = f'echo "{{\\"pid\\": {pid}, \\"host\\": \\"x\\"}}" > run/run.lock.json' if pid else ":"
        step = f"{lock}; wait $!" if named == "driver" else f"{lock}; trap 'kill $!; wait $!; exit 143' TERM; wait $!"
        stand_in_for_slurm(f"bash -c '{DRIVER}' &\n{step}")
        (tmp_path / "run").mkdir()
        process = subprocess.Popen(["bash", str(FILES / "slurm.sh"), "bgan", "run"], cwd=tmp_path)
        for _ in range(200):
            if (tmp_path / "drivers").exists() and (not pid or (tmp_path / "run" / "run.lock.json").exists()):
                break
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143
        assert (tmp_path / "saved").exists() and "requeue 20007" in (tmp_path / "requeued").read_text()
        assert another.poll() is None, "a process that is none of the job's is left alone"
        another.kill()


POD = {
    "": {"spec"},
    "spec": {"containers", "volumes", "securityContext"},
    "spec.securityContext": {"fsGroup"},
    "spec.containers": {"name", "image", "resources", "volumeMounts"},
    "spec.containers.resources": {"limits", "requests"},
    "spec.containers.resources.limits": {"cpu", "memory"},
    "spec.containers.resources.requests": {"cpu", "memory"},
    "spec.containers.volumeMounts": {"name", "mountPath"},
    "spec.volumes": {"name", "persistentVolumeClaim"},
    "spec.volumes.persistentVolumeClaim": {"claimName"},
}
GROUPS = {"headGroupSpec": set(), "workerGroupSpecs": {"groupName", "replicas", "minReplicas", "maxReplicas"}}
ALLOWED = {  # KubeRay's v1 RayJob (1.5.1) and Kubernetes' pods, as far as this file uses them; others are mistakes
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {
        "entrypoint", "submissionMode", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
        "rayClusterSpec",
    },
    "spec.rayClusterSpec": {"rayVersion", "authOptions", *GROUPS},
    "spec.rayClusterSpec.authOptions": {"mode"},
    **{f"spec.rayClusterSpec.{group}": {"rayStartParams", "template", *more} for group, more in GROUPS.items()},
    **{
        f"spec.rayClusterSpec.{group}.template{place and '.'}{place}": allowed
        for group in GROUPS
        for place, allowed in POD.items()
    },
}  # fmt: skip


def unknown_keys(job: dict) -> list[str]:
    """Fields of a RayJob that KubeRay would drop in silence."""
    found = []
    for place, allowed in ALLOWED.items():
        found += [f"{place}.{name}" for one in _all_at(job, place) for name in one if name not in allowed]
    return found


def _all_at(job: dict, place: str) -> list[dict]:
    """The mappings at a dotted place, of every entry of a list on the way."""
    found = [job]
    for name in filter(None, place.split(".")):
        values = [one[name] for one in found if name in one]
        found = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return found


def test_every_field_of_the_ray_job_is_one_of_kuberays():
    _, job = documents("rayjob.yaml")
    assert unknown_keys(job) == []
    job["spec"]["submisionMode"] = job["spec"].pop("submissionMode")
    group = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    group["minReplica"] = 2
    group["template"]["spec"]["containers"][0]["resources"]["limit"] = {"cpu": "4"}
    place = "spec.rayClusterSpec.workerGroupSpecs"
    assert unknown_keys(job) == [
        "spec.submisionMode", f"{place}.minReplica", f"{place}.template.spec.containers.resources.limit"
    ]  # fmt: skip


def test_the_image_holds_the_package_alone():
    lines = (FILES / "Dockerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[2:-1]}
    assert copied == {"pyproject.toml", "README.md", "rlgan", "envs", "policies", "launch"}
    assert all((ROOT / name).exists() for name in copied)
    first_copy = next(index for index, line in enumerate(lines) if line.startswith("COPY"))
    as_ray = lines[lines.index("USER ray") : first_copy]
    (place,) = [line.split()[1] for line in as_ray if line.startswith("WORKDIR")]
    assert as_ray.index(f"RUN mkdir {place}") < as_ray.index(f"WORKDIR {place}"), "WORKDIR makes a folder of root's"
    doctor = next(line for line in lines if "rlgan doctor" in line)
    assert "RLGAN_NATIVE=portable" in doctor, "an image without the native core is not built in silence"
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert sent[1] == "*" and {line[1:] for line in sent if line.startswith("!")} == copied
    assert {"**/__pycache__", "**/*.so", "**/runs"} <= set(sent)


def test_an_upload_of_the_checkout_leaves_run_directories_out(tmp_path):
    """Ray's own reading of .rayignore, on a tree with what a checkout holds after some work."""
    from ray._private.runtime_env.packaging import get_excludes_from_ignore_files

    shutil.copy(ROOT / ".rayignore", tmp_path)
    sent = ["pyproject.toml", "launch/train.py", "docs/runs.md"]
    left_out = ["runs/one/checkpoints/step-000007/state.json", ".git/config", ".venv/bin/python", "build/lib/a.py"]
    left_out += ["dist/a.whl", "launch/__pycache__/train.cpython-311.pyc", "rlgan.egg-info/PKG-INFO", ".mypy_cache/a"]
    for name in (*sent, *left_out):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    excludes = get_excludes_from_ignore_files(tmp_path, include_gitignore=False)
    kept = [name for name in (*sent, *left_out) if not any(excluded(tmp_path / name) for excluded in excludes)]
    assert kept == sent
