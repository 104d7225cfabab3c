"""What a test needs that not every machine has."""

import os

import pytest


def require_tool(is_here: bool, name: str) -> None:
    """Skips the test where something is missing; with RLGAN_REQUIRE_TOOLS=1, as in .ci/run, the test fails.

    Args:
        is_here: whether it is there.
        name: what it is.
    """
    if is_here:
        return
    if os.environ.get("RLGAN_REQUIRE_TOOLS") == "1":
        pytest.fail(f"{name} is not here, and RLGAN_REQUIRE_TOOLS=1 asks for it")
    pytest.skip(f"{name} is not here")
