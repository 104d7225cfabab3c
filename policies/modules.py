"""The RLModule around any rlgan net: RLlib's learners build it from a spec, and nothing else of it is used."""

from collections.abc import Callable
from typing import Any

import torch
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from torch import nn

from rlgan.seeding import torch_generator

BuildNet = Callable[[torch.Generator], nn.Module]


class NetModule(TorchRLModule):  # type: ignore[misc]
    """An RLModule that holds one net as `net`."""

    def setup(self) -> None:
        """Build the net, with initial weights drawn from the seed of the run and the name of the net."""
        config = self.model_config
        self.net: nn.Module = config["build"](torch_generator(config["seed"], f"{config['name']} init"))

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """What RLlib calls for inference; rlgan's runners and learners call the net itself."""
        return {"out": self.net(batch["obs"])}


def net_spec(config: Any, name: str, build: BuildNet) -> RLModuleSpec:
    """How RLlib is told to build a net.

    Args:
        config: the algorithm's config: seed and spaces.
        name: name of the net, which its initial weights depend on.
        build: makes the net from a generator of initial values; it must be picklable.

    Returns:
        The spec.
    """
    return RLModuleSpec(
        module_class=NetModule,
        observation_space=config.observation_space,
        action_space=config.action_space,
        model_config={"build": build, "seed": config.seed, "name": name},
    )
