"""A home of its own, quiet Ray and one thread a process, for every test and every process that a test starts.

`ray.init` writes an access token into the home directory and turns on RAY_AUTH_MODE for the whole process: both must be
settled before Ray is imported.
"""

import logging
import os
import tempfile
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.fault_report"]
_HOME = tempfile.TemporaryDirectory(prefix="rlgan-tests-")
os.environ.update(
    HOME=_HOME.name,
    RAY_AUTH_MODE="token",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_DISABLE_IMPORT_WARNING="1",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    RAY_worker_niceness="0",  # Ray's 15 starves the workers of one test beside the drivers of others
    OMP_NUM_THREADS="1",
)
os.environ.pop("RAY_ADDRESS", None)


@pytest.fixture(params=["torch", "native"])
def both_paths(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test on torch alone, then on the native core where it was built: `usefixtures("both_paths")`."""
    monkeypatch.setenv("RLGAN_NATIVE", "1" if request.param == "native" else "0")
    if request.param == "native":
        from tests.native_core import require_core

        require_core()
    return str(request.param)


@pytest.fixture(params=["torch", "portable", "avx2", "avx512"])
def every_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test on torch alone, then on every instruction set of the native core that this machine has."""
    from tests.native_core import use_path

    return use_path(request.param, monkeypatch)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """A private Ray with four logical CPUs for the tests of a module; one that is there already serves as well."""
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(
        address="local",
        num_cpus=4,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=100_000_000,
    )
    yield
    ray.shutdown()
