"""PPGN's hyper-parameters: of the nets, of their training, and of the chains that are run with them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rlgan.chain_requests import ChainConfig
from rlgan.models.code_nets import CodeNetsConfig
from rlgan.plug_and_play import PlugAndPlayModel, model_named

_MODEL_CONFIG = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NoiseConfig(BaseModel):
    """Noise of training; the paper's is not published with its text or code."""

    model_config = _MODEL_CONFIG

    code: float = Field(0.3, ge=0, description="Joint: sd on h, in standard deviations of h.")
    pooled: float = Field(0.1, ge=0, description="Joint: sd on h1, in standard deviations of h1.")
    image: float = Field(0.1, ge=0, description="Joint: sd on images, in brightness.")
    code_denoiser: float = Field(0.5, gt=0, description="Sd that the denoiser of codes takes away, in those of h.")
    image_denoiser: float = Field(0.25, gt=0, description="Sd that the denoiser of images takes away, brightness.")
    encoder: float = Field(
        0.3, ge=0, description="Largest sd on an image when classifiers learn; it makes their gradients smooth."
    )


class LossConfig(BaseModel):
    """What the generator's loss is made of; squared errors are sums over an image, a feature map or a code."""

    model_config = _MODEL_CONFIG

    image: float = Field(1.0, ge=0, description="Weight of the squared error of the image.")
    pooled: float = Field(0.02, ge=0, description="Weight of the squared error of h1.")
    code: float = Field(0.2, ge=0, description="Weight of the squared error of h (joint only).")
    adversarial: float = Field(0.01, ge=0, description="Weight of -log D.")


class PPGNHyperparameters(BaseModel):
    """Everything PPGN can be told, with the paper's or the released code's value beside rlgan's default."""

    model_config = _MODEL_CONFIG

    model: Literal["noiseless_joint", "joint", "ppgn_h", "dgn_am", "ppgn_x"] = Field(
        "noiseless_joint",
        description="Which of the five: a prior E(G(h)) with a generator trained without noise (the paper's best) or "
        "with it (joint), a denoiser of codes (ppgn_h), none (dgn_am), or a denoiser of images (ppgn_x).",
    )
    nets: CodeNetsConfig = CodeNetsConfig()
    noise: NoiseConfig = NoiseConfig()
    losses: LossConfig = LossConfig()
    encoder_rounds: int = Field(60, ge=1, description="Rounds in which the encoder learns to classify.")
    rounds: int = Field(60, ge=1, description="Rounds of generator and discriminator; none in ppgn_x.")
    denoiser_rounds: int = Field(160, ge=1, description="Rounds of the denoising autoencoder of ppgn_h and ppgn_x.")
    classifier_rounds: int = Field(
        30, ge=0, description="Rounds of a second classifier, which plugs into the finished model."
    )
    captioner_rounds: int = Field(
        0, ge=0, description="Rounds of a captioner, which plugs in too: labels are read as captions (default 0: none)."
    )
    steps_per_round: int = Field(25, ge=1, description="Steps of a round.")
    batch_size: int = Field(64, ge=1, description="Images of a step (DeePSiM, its ancestor: 64).")
    lr: float = Field(5e-4, gt=0, description="First Adam step size of generator and discriminator (DeePSiM: 2e-4).")
    classifier_lr: float = Field(1e-3, gt=0, description="First Adam step size of encoder and second classifier.")
    denoiser_lr: float = Field(2e-3, gt=0, description="First Adam step size of a denoiser.")
    beta1: float = Field(0.5, ge=0, lt=1, description="First decay rate of the Adams of generator and discriminator.")
    chain: ChainConfig = ChainConfig()

    @property
    def plug_and_play(self) -> PlugAndPlayModel:
        """The model."""
        return model_named(self.model)
