"""The command line as a test calls it: in this process, or in one of its own."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rlgan.launch.main import main
from tests.launch.tiny_runs import TINY_RUNS


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture
def rlgan(capsys) -> Callable[..., Said]:
    """`rlgan WORDS...` in this process."""

    def call(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return call


@pytest.fixture
def no_ray(monkeypatch) -> None:
    """Training fails with another exit code than any test expects if it comes as far as Ray."""
    from rlgan.launch import train

    def fail(*_: object) -> None:
        raise AssertionError("Ray was about to start")

    monkeypatch.setattr(train, "ray_for", fail)


@pytest.fixture(scope="session")
def tiny_words() -> list[str]:
    """Options of a run of SeqGAN of 7 rounds: 2 of likelihood, 2 of the discriminator, 3 adversarial."""
    return TINY_RUNS["seqgan"]


@pytest.fixture
def rlgan_process(tmp_path) -> Callable[..., "subprocess.Popen[str]"]:
    """Starts `rlgan WORDS...` as a process in a session of its own, as a terminal or a job manager does."""

    def start(*words: object, prelude: str = "") -> "subprocess.Popen[str]":
        code = f"{prelude}\nimport sys; from rlgan.launch.main import main; sys.exit(main())"
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            start_new_session=True,
        )

    return start


@pytest.fixture
def poems(tmp_path) -> Path:
    """100 distinct lines of 4 words."""
    path = tmp_path / "poems.txt"
    path.write_text("".join(f"w{i % 7} w{i % 11} w{i % 13} end\n" for i in range(100)))
    return path
