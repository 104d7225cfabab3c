"""The folders: one package, one parent for each name, and links that every tool can follow."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKED = ("envs", "policies", "launch")


@pytest.mark.parametrize("name", LINKED)
def test_top_level_folder_is_linked_into_the_package(name: str) -> None:
    link = ROOT / "rlgan" / name
    assert link.is_symlink() and os.readlink(link) == f"../{name}"  # noqa: PTH115
    assert (ROOT / name / "__init__.py").is_file() and not (ROOT / name).is_symlink()


@pytest.mark.parametrize("name", LINKED)
def test_each_name_has_one_parent(name: str) -> None:
    module = importlib.import_module(f"rlgan.{name}")
    assert module.__name__ == f"rlgan.{name}"
    assert name not in sys.modules, f"somebody imported {name} by its bare name: a second copy of every class"


def test_top_level_is_fixed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    allowed = {"rlgan", "envs", "policies", "launch", "tests", "benchmarks", "docs", "pyproject.toml", "README.md"}
    allowed |= {
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        ".ci",
        ".gitignore",
        ".rayignore",
        ".dockerignore",
    }
    assert {path.split("/")[0] for path in tracked} <= allowed


def test_the_core_imports_neither_ray_nor_gymnasium() -> None:
    code = (
        "import sys, rlgan.rollouts, rlgan.checkpoint, rlgan.data, rlgan.discriminators, rlgan.evaluation;"
        "assert not {'ray', 'gymnasium'} & set(sys.modules), 'core imported ray or gymnasium'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
