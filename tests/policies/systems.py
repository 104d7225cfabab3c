"""The systems as the fault tests see them: small ones, and what their workers do in a round."""

import os
import signal
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from rlgan.checkpoint import Checkpoint
from rlgan.policies.config import AdversarialConfig
from tests.policies import test_began, test_bgan, test_maskgan, test_ppgn
from tests.policies.conftest import tiny
from tests.policies.test_seqgan import final

_TINY = {
    "seqgan": tiny,
    "maskgan": test_maskgan.tiny,
    "bgan": test_bgan.tiny,
    "began": test_began.tiny,
    "ppgn": test_ppgn.tiny,
}
ALL_SYSTEMS = tuple(_TINY)
ROLLOUTS = {"seqgan": "rollout", "maskgan": "judged_fills", "bgan": "draw"}
"""What a runner does for a generator step. BEGAN and PPGN train without runners."""


def tiny_run(name: str, num_env_runners: int = 0) -> AdversarialConfig:
    """A run of a few seconds.

    Args:
        name: of the system.
        num_env_runners: processes that roll out.

    Returns:
        Its configuration; the last two rounds are adversarial ones where the system has them.
    """
    config: AdversarialConfig = _TINY[name]().env_runners(num_env_runners=num_env_runners)
    return config


@cache
def undisturbed(name: str, num_env_runners: int = 0) -> Checkpoint:
    """Where such a run ends if nothing happens to it.

    Args:
        name: of the system.
        num_env_runners: processes that roll out.

    Returns:
        The last checkpoint.
    """
    return final(tiny_run(name, num_env_runners))


def pids_of(group: object) -> list[int]:
    """Process numbers of the learners of a group.

    Args:
        group: the learners.
    """
    return [answer.get() for answer in group.foreach_learner(lambda _: os.getpid())]  # type: ignore[attr-defined]


def kill_self() -> None:
    """End this process as the kernel does when memory is gone."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    """Do nothing for hours."""
    time.sleep(10_000.0)


def once_before(worker: object, method: str, act: Callable[[], object], marker: Path) -> None:
    """Let a worker do something before its next call of a method, once, whatever becomes of it.

    Args:
        worker: a runner or a learner, in its own process.
        method: of the worker.
        act: what it does.
        marker: a file that says that it has been done, also to the process that comes after.
    """
    original = getattr(worker, method)

    def changed(*arguments: object, **named: object) -> object:
        if not marker.exists():
            marker.touch()
            act()
        return original(*arguments, **named)

    setattr(worker, method, changed)
