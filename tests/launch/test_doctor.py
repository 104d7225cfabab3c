"""`rlgan doctor`: what it finds, that it shows no token, and its exit codes."""

import importlib.metadata
import importlib.util
import socket
from types import SimpleNamespace

import pytest

from rlgan.launch import doctor, machine
from rlgan.launch import main as main_module
from rlgan.native import library


def test_all_is_well_here(rlgan, tmp_path):
    said = rlgan("doctor", "--run-root", tmp_path / "not" / "yet")
    lines = said.out.splitlines()
    assert said.code == 0 and not said.err, said.out
    names = ["versions", "cores", "memory", "folder", "Ray files", "Ray token", "jobs"]
    assert [line[4:13].strip() for line in lines if line[0] != " "] == names
    assert all(line[:2] in {"ok", "??", "  "} for line in lines), "advice at most"
    assert f"torch {importlib.metadata.version('torch')}" in lines[0] and "cores" in lines[1] and "GB free" in lines[2]
    assert not (tmp_path / "not").exists()


def test_no_token_is_shown(rlgan, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "very-secret")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    said = rlgan("doctor", "--run-root", tmp_path)
    assert "very-secret" not in said.out + said.err and "RAY_AUTH_MODE token" in said.out


def test_without_a_mode_only_a_private_ray_has_tokens(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert "a private Ray asks for a token all the same; --address sends none" in machine.token().text


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604])
def test_a_token_that_others_may_read(mode, monkeypatch, tmp_path):
    file = tmp_path / "token"
    file.write_text("very-secret")
    file.chmod(mode)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    finding = machine.token()
    assert str(file) in finding.text and finding.problem is None and "very-secret" not in finding.lines()
    assert finding.lines()[:2] == ("ok" if mode == 0o600 else "??")
    assert (finding.advice is None) == (mode == 0o600) and (mode == 0o600 or f"chmod 600 {file}" in finding.lines())
    file.unlink()
    assert "which is not there" in machine.token().text and machine.token().advice


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"ray": "2.59.0"}, "ray<2.61,>=2.60 (2.59.0 here)"),
        ({"ray": "2.61.0"}, "ray<2.61,>=2.60 (2.61.0 here)"),
        ({"torch": "2.9.1+cpu"}, "torch<2.14,>=2.10 (2.9.1+cpu here)"),
        ({"torch": "2.13.0+cpu"}, None),
        ({"sacrebleu": None}, "sacrebleu>=2.4 (missing here)"),
    ],
)
def test_versions_are_compared_with_what_rlgan_asks_for(versions, said, rlgan, tmp_path, monkeypatch):
    real = importlib.metadata.version

    def version(name: str) -> str:
        found = versions.get(name, "")
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found or real(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    shown = rlgan("doctor", "--run-root", tmp_path)
    assert shown.code == (2 if said else 0) and shown.err == "", shown
    assert ("!!  versions" in shown.out) == bool(said) and (said or "") in shown.out.replace("ray[rllib]", "ray")
    assert ("memory" in shown.out) == (None not in versions.values()), "the rest is looked at with what may be missing"


def test_a_package_that_is_missing_is_named_by_every_command(rlgan, monkeypatch, tmp_path):
    def missing(words):
        raise ModuleNotFoundError("No module named 'tyro'", name="tyro")

    monkeypatch.setattr(main_module, "_command", lambda name: missing)
    said = rlgan("doctor")
    assert said.code == 2 and said.err == (
        "rlgan: the package tyro is not here; `pip install rlgan` brings what it asks for.\n"
    )


def test_a_folder_that_cannot_be_written_is_code_2(rlgan, tmp_path, monkeypatch):
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    said = rlgan("doctor", "--run-root", tmp_path)
    assert said.code == 2 and "cannot be written" in said.out and "!!  folder" in said.out


def test_no_memory_for_a_worker_is_code_6(rlgan, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "free_bytes_here", lambda: 1000)
    said = rlgan("doctor", "--run-root", tmp_path)
    assert said.code == 6 and "!!  memory" in said.out


def test_an_instruction_set_that_cannot_be_had_is_code_2(rlgan, tmp_path, monkeypatch):
    """So that the image is not built without the native core."""
    monkeypatch.setattr(library, "_built", lambda: None)
    library._chosen.cache_clear()
    monkeypatch.setenv("RLGAN_NATIVE", "portable")
    said = rlgan("doctor", "--run-root", tmp_path)
    library._chosen.cache_clear()
    assert said.code == 2 and "!!  cores" in said.out and "RLGAN_NATIVE=portable: the native core was not" in said.out


def test_what_is_scarce_for_ray_is_said_and_stops_nothing(rlgan, tmp_path, monkeypatch):
    low = SimpleNamespace(total=2**34, used=2**34 - 2**28, free=2**28)
    monkeypatch.setattr(machine, "_open_files", lambda: 256)
    assert "256 open files" in machine.shared_files().text
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: low)
    finding = machine.shared_files()
    assert finding.problem is None and finding.lines().startswith("??  Ray files")
    for advice in ("make room in", "--shm-size=2g", "ulimit -n 65536"):
        assert advice in str(finding.advice)


@pytest.mark.parametrize("missing", [(), ("aiohttp",)])
def test_whether_jobs_can_be_sent(missing, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None if name in missing else real(name))
    text = machine.job_client().text
    assert ('needs aiohttp: pip install "rlgan[cluster]"' in text) == bool(missing)


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:{free}"])
def test_a_cluster_that_does_not_answer_is_code_6(rlgan, tmp_path, address):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can answer there
        said = rlgan(
            "doctor", "--run-root", tmp_path, "--address", address.format(free=held.getsockname()[1]),
            "--connect-timeout", "2",
        )  # fmt: skip
    assert said.code == 6 and "!!  cluster" in said.out and "--address" in said.out


def test_a_wrong_option_is_code_2(rlgan):
    said = rlgan("doctor", "--adress", "auto")
    assert said.code == 2 and "--address" in said.err
