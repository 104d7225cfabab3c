"""The systems as the fault tests see them: small ones, and what their workers do in a round."""

from functools import cache

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
