"""`rlgan doctor`: what it finds, that it shows no token, and its exit codes."""

import importlib.metadata
import socket

import pytest

from rlgan.launch import doctor


def test_all_is_well_here(rlgan, tmp_path):
    said = rlgan("doctor", "--run-root", tmp_path / "not" / "yet")
    lines = said.out.splitlines()
    assert said.code == 0 and not said.err, said.out
    assert [line[:2] for line in lines] == ["ok"] * 5
    assert f"torch {importlib.metadata.version('torch')}" in lines[0] and "cores" in lines[1] and "GB free" in lines[2]
    assert not (tmp_path / "not").exists()


def test_no_token_is_shown(rlgan, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "very-secret")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    said = rlgan("doctor", "--run-root", tmp_path)
    assert "very-secret" not in said.out + said.err and "RAY_AUTH_MODE token" in said.out


def test_a_folder_that_cannot_be_written_is_code_2(rlgan, tmp_path, monkeypatch):
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    said = rlgan("doctor", "--run-root", tmp_path)
    assert said.code == 2 and "cannot be written" in said.out and "!!  folder" in said.out


def test_no_memory_for_a_worker_is_code_6(rlgan, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "free_bytes_here", lambda: 1000)
    said = rlgan("doctor", "--run-root", tmp_path)
    assert said.code == 6 and "!!  memory" in said.out


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
