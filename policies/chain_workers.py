"""Chains of a finished run on Ray workers: rollout runners without the algorithm around them.

driver                       rollout runners
  | replace (blocks) --------->| set_weights
  | collect (blocks) --------->| shards of 16 chains; a lost one is asked for again
"""

from collections.abc import Mapping
from typing import Any

from ray.rllib.env.env_runner_group import EnvRunnerGroup

from rlgan.chain_requests import ChainRequest, shards_of
from rlgan.chains import ChainRecord
from rlgan.image_types import LabelledImageSpace
from rlgan.policies.algorithm import ensure_ray
from rlgan.policies.broadcast import StateDict, Weights
from rlgan.policies.ppgn import PPGNConfig
from rlgan.policies.ppgn_settings import PPGNHyperparameters
from rlgan.policies.resources import require_room
from rlgan.policies.runner_pool import RunnerPool, start_bounded
from rlgan.settings import filled


def workers_config(training: Mapping[str, Any], space: LabelledImageSpace, num_env_runners: int) -> PPGNConfig:
    """The configuration of the runners of a finished run.

    Args:
        training: its hyper-parameters, as its config.yaml has them.
        space: of its images.
        num_env_runners: how many processes.

    Returns:
        A configuration that needs no data.
    """
    config = PPGNConfig()
    config.hyperparameters = filled(PPGNHyperparameters, training, "training")
    config.data_space = space
    config.observation_space, config.action_space = config.gym_spaces()
    config.env_runners(num_env_runners=num_env_runners)
    return config


class ChainWorkers:
    """Runners that hold the nets of a run; `with ChainWorkers(config, nets) as workers`.

    Attributes:
        group: the runners.
    """

    def __init__(self, config: PPGNConfig, nets: dict[str, StateDict]) -> None:
        ensure_ray(config.required_cpus())
        config.validate()
        config.freeze()
        require_room("the command", config.worker_bundles(), config.replacement_timeout_seconds)
        with start_bounded(lambda: getattr(self, "group", None)):
            self.group = EnvRunnerGroup(config=config, local_env_runner=config.num_env_runners == 0)
        self._runners = RunnerPool(self.group, config.rollout_timeout_seconds, config.replacement_timeout_seconds)
        self._runners.replace(Weights(version=0, nets=nets))

    def __enter__(self) -> "ChainWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        self.group.stop()

    def run(self, request: ChainRequest, num_chains: int) -> ChainRecord:
        """Chains on the workers.

        Args:
            request: what is asked.
            num_chains: how many.

        Returns:
            The record of all, which does not depend on the number of workers.
        """
        shards, version = shards_of(num_chains), self._runners.weights.version
        return ChainRecord.join(
            self._runners.collect(lambda runner, i: runner.run(request, shards[i], version), len(shards))
        )
