"""The nets of a MaskGAN run outside the algorithm: rebuilt from the weights that its runners had, without Ray."""

# N texts, T positions

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from rlgan.blanks import BlankConfig
from rlgan.checkpoint import Checkpoint, load_module
from rlgan.discriminators.infilling import InfillingDiscriminator, InfillingDiscriminatorConfig
from rlgan.errors import CheckpointError
from rlgan.fills import fill_blanks
from rlgan.models.infilling import InfillingGenerator, LanguageModel
from rlgan.models.seq2seq import Seq2SeqConfig
from rlgan.seeding import torch_generator
from rlgan.settings import filled
from rlgan.types import TokenSpace

PUBLISHED = {"maskgan": "generator", "mask_mle": "mask_mle"}
"""The generators by the name that people use -> by the name of their weights."""


@dataclass(frozen=True)
class FillNets:
    """The nets of a run, in evaluation mode.

    Attributes:
        generators: "maskgan" and "mask_mle".
        language_model: of the first stage.
        discriminator: pays for fills.
        space: of all of them.
        blanks: as the run drew them.
    """

    generators: dict[str, InfillingGenerator]
    language_model: LanguageModel
    discriminator: InfillingDiscriminator
    space: TokenSpace
    blanks: BlankConfig

    def whole_texts(self, name: str, uniform_NT: Tensor, temperature: float = 1.0) -> Tensor:
        """Texts of blanks alone, filled in: unconditional generation, which sees no word and no length.

        Args:
            name: of the generator.
            uniform_NT: [N, T] float in [0, 1): entry [n, t] draws token t of text n.
            temperature: divides the logits.

        Returns:
            [N, T] int64 ids.
        """
        nothing_NT = torch.zeros(uniform_NT.shape, dtype=torch.int64)
        everything_NT = torch.ones(uniform_NT.shape, dtype=torch.bool)
        return fill_blanks(self.generators[name], nothing_NT, everything_NT, uniform_NT, temperature)


def load_fill_nets(checkpoint: Checkpoint, path: Path) -> FillNets:
    """The nets of a checkpoint.

    Args:
        checkpoint: verified.
        path: for messages.

    Returns:
        The nets as the rollout runners had them.

    Raises:
        CheckpointError: if it is of something else, or damaged.
    """
    try:
        space = TokenSpace(**checkpoint.state["space"])
        training: Any = yaml.safe_load(checkpoint.config_yaml)["training"]
        sizes = filled(Seq2SeqConfig, training["generator"], "training.generator")
        judge = filled(InfillingDiscriminatorConfig, training["discriminator"], "training.discriminator")
        blanks = filled(BlankConfig, training["blanks"], "training.blanks")
        names = (*PUBLISHED.values(), "language_model", "discriminator")
        weights = {name: checkpoint.tensors[f"published_{name}"] for name in names}
    except (KeyError, TypeError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: holds nothing that fills blanks ({error!r:.80}): no MaskGAN run?") from None
    init = torch_generator(0, "replaced by the weights")
    generators = {name: InfillingGenerator(space, sizes, init) for name in PUBLISHED}
    nets = FillNets(
        generators, LanguageModel(space, sizes, init), InfillingDiscriminator(space, judge, init), space, blanks
    )
    for name, net in generators.items():
        _load(net, weights[PUBLISHED[name]], name)
    _load(nets.language_model, weights["language_model"], "language model")
    _load(nets.discriminator, weights["discriminator"], "discriminator")
    return nets


def _load(net: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    """Give a net its weights, for use alone."""
    load_module(net, dict(weights), name)
    net.eval().requires_grad_(False)
