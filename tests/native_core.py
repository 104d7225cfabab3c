"""Tests with the native core: on one path or instruction set, and what happens where the core was not built."""

import os

import pytest

from rlgan.errors import ConfigError
from rlgan.native import instruction_set, native_library


def require_core() -> None:
    """Skips the test where the core was not built; with RLGAN_REQUIRE_NATIVE=1, as in .ci/run, the test fails."""
    if native_library() is not None:
        return
    if os.environ.get("RLGAN_REQUIRE_NATIVE") == "1":
        pytest.fail("the native core was not built, and RLGAN_REQUIRE_NATIVE=1 asks for it")
    pytest.skip("the native core was not built")


def use_path(path: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Puts a test on torch or on one instruction set; skips it where the machine has none such."""
    if path == "torch":
        monkeypatch.setenv("RLGAN_NATIVE", "0")
        return path
    monkeypatch.setenv("RLGAN_NATIVE", "1")
    require_core()
    monkeypatch.setenv("RLGAN_NATIVE", path)
    try:
        native_library()
    except ConfigError:
        pytest.skip(f"this machine has no {path}")
    assert instruction_set() == path
    return path
