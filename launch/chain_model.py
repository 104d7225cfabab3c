"""The nets of a PPGN run, opened from its directory without Ray, and chains run with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from rlgan.chain_requests import ChainConfig, ChainRequest, run_chains, shards_of
from rlgan.chains import ChainRecord
from rlgan.checkpoint import load_module
from rlgan.data.image_config import ImageCorpusConfig
from rlgan.errors import CheckpointError, ConfigError, NonFiniteError
from rlgan.image_types import LabelledImageSpace
from rlgan.launch.generator import checkpoint_at
from rlgan.models.code_nets import CodeNetsConfig
from rlgan.plug_and_play import (
    CAPTIONER,
    CLASSIFIER,
    GENERATOR,
    PlugAndPlayModel,
    model_named,
    nets_of,
    planned_rounds,
    rounds_done,
)
from rlgan.seeding import torch_generator
from rlgan.settings import filled


@dataclass(frozen=True)
class ChainModel:
    """What a run has made.

    Example:
        `load_chain_model(Path("runs/a")).run(request, num_chains=64)`

    Attributes:
        model: one of the five.
        nets: by name, in evaluation mode.
        sizes: of the nets.
        space: of the images.
        label_names: in order.
        chain: how the run's own chains move.
        training: the run's hyper-parameters, as its config.yaml has them.
        data: what it has learned from.
        path: where it was opened.
        done: rounds that each net has learned for.
    """

    model: PlugAndPlayModel
    nets: dict[str, nn.Module]
    sizes: CodeNetsConfig
    space: LabelledImageSpace
    label_names: list[str]
    chain: ChainConfig
    training: dict[str, Any]
    data: ImageCorpusConfig
    path: Path
    done: dict[str, int]

    def require_trained(self, request: ChainRequest) -> None:
        """Refuse chains that would be led by the random weights of a net that has not learned yet.

        Args:
            request: what is asked.

        Raises:
            ConfigError: naming the net, and what to do.
        """
        condition = () if request.condition is None else request.condition.needs
        chain = [net for net in self.model.needs if request.prior is None or net == GENERATOR]
        for net in (*chain, *condition):
            if self.done[net]:
                continue
            planned = planned_rounds(self.model, self.training)
            if planned[net]:
                advice = f"Its {planned[net]} rounds come later: finish the run, or take a later checkpoint."
            elif net == CLASSIFIER and not planned[CAPTIONER]:
                advice = "The run has --classifier-rounds 0: go on with `rlgan train ppgn --resume` and more of them."
            else:
                advice = f"The run has --{net}-rounds 0: train another run with more."
            raise ConfigError(f"{self.path}: these chains need the {net}, which has not learned yet. {advice}")

    def run(self, request: ChainRequest, num_chains: int) -> ChainRecord:
        """Chains in this process.

        Args:
            request: what is asked.
            num_chains: how many.

        Returns:
            The record of all.

        Raises:
            NonFiniteError: if a chain has left the finite numbers.
        """
        self.require_trained(request)
        shape = self.model.state_shape(self.space, self.sizes.encoder.code_size)
        shards = [run_chains(self.model, self.nets, shape, request, numbers) for numbers in shards_of(num_chains)]
        record = ChainRecord.join(shards)
        if not bool(record.state_N.isfinite().all()):
            raise NonFiniteError("a chain has left the finite numbers. Give it a smaller --eps1, --eps2 or --eps3.")
        return record


def load_chain_model(path: Path) -> ChainModel:
    """The nets of a PPGN run.

    Args:
        path: a run directory, whose newest checkpoint that can be verified counts, or a checkpoint's folder.

    Returns:
        The model.

    Raises:
        CheckpointError: if there is no checkpoint, or it is damaged or of something else.
    """
    checkpoint = checkpoint_at(path)
    try:
        space = LabelledImageSpace(**checkpoint.state["space"])
        names = [str(name) for name in checkpoint.state["label_names"]]
        settings = yaml.safe_load(checkpoint.config_yaml)
        training, data = settings["training"], filled(ImageCorpusConfig, settings["data"], "data")
        model = model_named(training["model"])
        sizes = filled(CodeNetsConfig, training["nets"], "training.nets")
        chain = filled(ChainConfig, training["chain"], "training.chain")
        builds = nets_of(model, sizes, space)
        weights = {name: checkpoint.tensors[f"published_{name}"] for name in builds}
        done = rounds_done(planned_rounds(model, training), checkpoint.step)
    except (KeyError, TypeError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: holds no chain of images ({error!r:.80}). Is it a PPGN run?") from None
    nets = {}
    for name, build in builds.items():
        nets[name] = build(torch_generator(0, "replaced by the weights")).eval().requires_grad_(False)
        load_module(nets[name], dict(weights[name]), name)
    return ChainModel(model, nets, sizes, space, names, chain, training, data, path, done)
