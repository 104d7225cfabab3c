"""The rollout runner: an RLlib EnvRunner whose `collect` returns a batch of arrays instead of episodes.

What it computes is a plain function of (weights, seed, number of sequences): it keeps no random state, so a restarted
runner, another runner, or the driver itself gives the same batch for the same shard.
"""

import os
import time
from typing import Any

import gymnasium
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.checkpoints import Checkpointable

from rlgan.errors import StaleRunnerError
from rlgan.policies.broadcast import Weights


class BatchRunner(EnvRunner, Checkpointable):  # type: ignore[misc]
    """A runner that holds nets and samples batches. A paper's runner says which nets, and what a batch is.

    Attributes:
        nets: modules by name, in evaluation mode.
        weights_version: version of their weights; -1 before the first broadcast.
        birth: which process this is, and since when; a restarted runner has another one.
    """

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        super().__init__(config=_unseeded(config), **kwargs)
        self.config = config
        torch.set_deterministic_debug_mode("error")
        self.device = torch.device("cuda" if config.num_gpus_per_env_runner and torch.cuda.is_available() else "cpu")
        self.nets: dict[str, torch.nn.Module] = {
            name: net.to(self.device).eval() for name, net in self.build_nets().items()
        }
        self.weights_version = -1
        self.birth = (os.getpid(), time.time_ns())

    def build_nets(self) -> dict[str, torch.nn.Module]:
        """The nets this runner needs, with any weights: the first broadcast replaces them.

        Raises:
            NotImplementedError: always; a paper's runner overrides it.
        """
        raise NotImplementedError

    def set_weights(self, weights: Weights) -> int:
        """Take new weights.

        Args:
            weights: the nets that changed, or all of them; those that this runner does not have are passed over.

        Returns:
            The version now in use.
        """
        for name in self.nets.keys() & weights.nets.keys():
            self.nets[name].load_state_dict(weights.nets[name])
        self.weights_version = weights.version
        return self.weights_version

    def require_version(self, version: int) -> None:
        """Refuse to sample with other weights than the driver means.

        Args:
            version: the version the driver has sent out last.

        Raises:
            StaleRunnerError: if this runner has another one.
        """
        if self.weights_version != version:
            raise StaleRunnerError(
                f"a rollout runner has weights version {self.weights_version}, the round needs {version}."
            )

    # What RLlib asks of every runner.
    def sample(self, **kwargs: Any) -> Any:
        """Not used: rlgan calls the methods of the paper's runner.

        Args:
            **kwargs: ignored.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("rlgan's runners are asked for batches by name, such as collect().")

    def get_spaces(self) -> dict[str, tuple[gymnasium.Space[Any], gymnasium.Space[Any]]]:
        """Observation and action space, as RLlib wants them.

        Returns:
            The same pair for the environment and for the default module.
        """
        spaces = (self.config.observation_space, self.config.action_space)
        return {INPUT_ENV_SPACES: spaces, DEFAULT_MODULE_ID: spaces}

    def assert_healthy(self) -> None:
        """Nothing can be half-built: the constructor either ended or raised."""

    def get_metrics(self) -> dict[str, Any]:
        """No metrics of its own: a batch carries its own figures.

        Returns:
            An empty dict.
        """
        return {}

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """No state: weights come by broadcast and random numbers from the seed of the call.

        Args:
            *args: ignored.
            **kwargs: ignored.

        Returns:
            An empty dict.
        """
        return {}

    def set_state(self, state: Any) -> None:
        """Nothing to set.

        Args:
            state: ignored.
        """

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[()], dict[str, Any]]:
        """What RLlib would rebuild it from.

        Returns:
            No positional arguments, and the config.
        """
        return (), {"config": self.config}


def _unseeded(config: Any) -> Any:
    """The config for RLlib's constructor, which given a seed makes torch import its compiler: 100 MB a runner.

    `torch.set_deterministic_debug_mode` does the same without it, and rlgan's random numbers come from the seed of a
    call, never from a global one.

    Args:
        config: of the run.

    Returns:
        A copy without a seed.
    """
    return config.copy(copy_frozen=False).debugging(seed=None)
