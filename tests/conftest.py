"""A home of its own, quiet Ray and one thread a process, for every test and every process that a test starts.

`ray.init` writes an access token into the home directory and turns on RAY_AUTH_MODE for the whole process: both must be
settled before Ray is imported.
"""

import logging
import os
import tempfile
from collections.abc import Iterator

import pytest

_HOME = tempfile.TemporaryDirectory(prefix="rlgan-tests-")
os.environ.update(
    HOME=_HOME.name,
    RAY_AUTH_MODE="token",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_DISABLE_IMPORT_WARNING="1",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    OMP_NUM_THREADS="1",
)
os.environ.pop("RAY_ADDRESS", None)


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
