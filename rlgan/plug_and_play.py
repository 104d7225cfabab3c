"""The five models of Plug & Play Generative Networks: what each is made of, and the prior of its chains.

| model | state | prior of the chain | generator |
|---|---|---|---|
| PPGN-x | image | R(x) - x, a denoising autoencoder of images | none: the state is the image |
| DGN-AM | code h | -h times eps1, 0 in the paper | trained on images, h1 and D, without noise |
| PPGN-h | code h | R(h) - h, a denoising autoencoder of codes | as DGN-AM |
| Joint PPGN-h | code h | E(G(h)) - h | trained with noise on x, h1 and h, and on h too |
| Noiseless Joint PPGN-h | code h | E(G(h)) - h | as DGN-AM |
"""

# N chains, C channels, H height, W width, Z numbers of a code

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rlgan.chains import Prior
from rlgan.image_types import ImageSpace, LabelledImageSpace
from rlgan.models.captioner import Captioner
from rlgan.models.code_nets import (
    CodeDenoiser,
    CodeEncoder,
    CodeGenerator,
    CodeNetsConfig,
    DenseClassifier,
    ImageDenoiser,
)
from rlgan.priors import EncodedPrior, GaussianPrior, ReconstructionPrior

ENCODER, GENERATOR, DENOISER = "encoder", "generator", "denoiser"
CLASSIFIER, CAPTIONER = "classifier", "captioner"
Nets = Mapping[str, nn.Module]
BuildNet = Callable[[torch.Generator], nn.Module]


class PlugAndPlayModel:
    """What a model is made of, and how its chains move by default. Its subclasses are the five.

    Attributes:
        has_generator: whether the state is a code; otherwise it is the image.
        has_denoiser: whether a denoising autoencoder is trained apart.
        has_noise: whether the generator is trained with noise, and on the code.
        prior_net: which net the prior asks; None where it asks none.
        multipliers: eps1, eps2, eps3 that rlgan's results were made with.
    """

    has_generator: ClassVar[bool] = True
    has_denoiser: ClassVar[bool] = False
    has_noise: ClassVar[bool] = False
    prior_net: ClassVar[str | None] = None
    multipliers: ClassVar[tuple[float, float, float]]

    @property
    def needs(self) -> tuple[str, ...]:
        """The nets of every chain, whatever its condition."""
        generator = (GENERATOR,) if self.has_generator else ()
        return generator if self.prior_net is None else (*generator, self.prior_net)

    def prior(self, nets: Nets) -> Prior:
        """What pulls the chain to the data.

        Args:
            nets: trained.

        Raises:
            NotImplementedError: always; a model overrides it.
        """
        raise NotImplementedError

    def generate(self, nets: Nets) -> Callable[[Tensor], Tensor]:
        """State -> image.

        Args:
            nets: trained.

        Returns:
            The generator.
        """
        return nets[GENERATOR]

    def state_shape(self, space: ImageSpace, code_size: int) -> tuple[int, ...]:
        """Of one state.

        Args:
            space: of the images.
            code_size: Z.

        Returns:
            (Z,).
        """
        del space
        return (code_size,)


class NoiselessJoint(PlugAndPlayModel):
    """Noiseless Joint PPGN-h."""

    prior_net = ENCODER
    multipliers = (0.2, 0.5, 0.3)

    def prior(self, nets: Nets) -> Prior:
        """E(G(h)) - h."""
        encoder = nets[ENCODER]
        assert isinstance(encoder, CodeEncoder)
        return EncodedPrior(encoder.code)


class Joint(NoiselessJoint):
    """Joint PPGN-h."""

    has_noise = True
    multipliers = (0.5, 0.7, 0.3)


class DGNAM(PlugAndPlayModel):
    """DGN-AM: no prior on h but, where eps1 is not 0, the decay of its released code (0.01 a step)."""

    multipliers = (0.0, 0.1, 0.0)

    def prior(self, nets: Nets) -> Prior:
        """-h."""
        del nets
        return GaussianPrior()


class PPGNh(PlugAndPlayModel):
    """PPGN-h."""

    has_denoiser = True
    prior_net = DENOISER
    multipliers = (0.5, 0.4, 0.5)

    def prior(self, nets: Nets) -> Prior:
        """R(h) - h."""
        return ReconstructionPrior(nets[DENOISER])


class PPGNx(PlugAndPlayModel):
    """PPGN-x."""

    has_generator = False
    has_denoiser = True
    prior_net = DENOISER
    multipliers = (0.5, 0.1, 0.25)

    def prior(self, nets: Nets) -> Prior:
        """R(x) - x."""
        return ReconstructionPrior(nets[DENOISER])

    def generate(self, nets: Nets) -> Callable[[Tensor], Tensor]:
        """The state itself."""
        del nets
        return _same

    def state_shape(self, space: ImageSpace, code_size: int) -> tuple[int, ...]:
        """(C, H, W)."""
        del code_size
        return space.shape


def _same(state_N: Tensor) -> Tensor:
    """The image that a state is."""
    return state_N


MODELS: dict[str, type[PlugAndPlayModel]] = {
    "noiseless_joint": NoiselessJoint,
    "joint": Joint,
    "ppgn_h": PPGNh,
    "dgn_am": DGNAM,
    "ppgn_x": PPGNx,
}


def model_named(name: str) -> PlugAndPlayModel:
    """One of the five.

    Args:
        name: a key of `MODELS`.

    Returns:
        The model.
    """
    return MODELS[name]()


def planned_rounds(model: PlugAndPlayModel, training: Mapping[str, Any]) -> dict[str, int]:
    """How long each net learns; one after the other, so that the order counts.

    Args:
        model: one of the five.
        training: hyper-parameters by name.

    Returns:
        Rounds by net; the discriminator learns with the generator.
    """
    return {
        ENCODER: training["encoder_rounds"],
        GENERATOR: training["rounds"] if model.has_generator else 0,
        DENOISER: training["denoiser_rounds"] if model.has_denoiser else 0,
        CLASSIFIER: training["classifier_rounds"],
        CAPTIONER: training.get("captioner_rounds", 0),  # none in a run of before there were captions
    }


def rounds_done(planned: Mapping[str, int], step: int) -> dict[str, int]:
    """How long each net has learned.

    Args:
        planned: see `planned_rounds`.
        step: rounds of a run, of all nets together.

    Returns:
        Rounds by net.
    """
    done = {}
    for net, num_rounds in planned.items():
        done[net] = min(num_rounds, step)
        step -= done[net]
    return done


def nets_of(model: PlugAndPlayModel, config: CodeNetsConfig, space: LabelledImageSpace) -> dict[str, BuildNet]:
    """The nets that the chains of a model may need, as functions of a source of initial values.

    Args:
        model: one of the five.
        config: their sizes.
        space: of the images, with the number of labels.

    Returns:
        Encoder and second classifier; a captioner where labels are captions; generator and denoiser where the model
        has them.
    """
    code_size = config.encoder.code_size
    builds: dict[str, BuildNet] = {
        ENCODER: partial(CodeEncoder, space, space.num_labels, config.encoder),
        CLASSIFIER: partial(DenseClassifier, space, space.num_labels, config.classifier_hidden),
    }
    if space.num_words:
        builds[CAPTIONER] = partial(Captioner, space, space.num_words, config.captioner)
    if model.has_generator:
        builds[GENERATOR] = partial(CodeGenerator, space, code_size, config.generator_channels)
    if model.has_denoiser:
        builds[DENOISER] = (
            partial(CodeDenoiser, code_size, config.denoiser_hidden)
            if model.has_generator
            else partial(ImageDenoiser, space, config.denoiser_channels, code_size)
        )
    return builds
