"""BGAN's hyper-parameters: of the nets, of the estimator and of both optimisers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rlgan.discriminators.boundary import BoundaryDiscriminatorConfig
from rlgan.models.discrete_generator import DiscreteGeneratorConfig
from rlgan.settings import told


class BGANHyperparameters(BaseModel):
    """Everything BGAN can be told, with the paper's or the released code's value beside rlgan's default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    generator: DiscreteGeneratorConfig = DiscreteGeneratorConfig()
    discriminator: BoundaryDiscriminatorConfig = BoundaryDiscriminatorConfig()
    rounds: int = Field(2000, ge=1, description="Rounds, one generator step each (released: 100 epochs).")
    batch_size: int = Field(
        64, ge=1, le=100_000, description="N, latent codes and real samples of a step (released: 64)."
    )
    num_draws: int = Field(
        20, ge=1, le=10_000, description="M, draws of each latent code (released: 20); continuous has 1."
    )
    estimator: Literal["importance", "single_partition", "reinforce", "continuous"] = Field(
        "importance",
        description="Generator loss: weights normalised over the draws of a code (Algorithm 1), or over all (Theorem "
        "1), the policy gradient of log w (Definition 2.4), or the continuous form, which needs D's gradient.",
    )
    control_variate: bool = Field(
        True,
        description="Take the mean from the weights of importance and single_partition: the same expectation, less "
        "noise (paper: no).",
    )
    baseline: Literal["none", "moving_average", "leave_one_out"] = Field(
        "leave_one_out",
        description="What reinforce takes from log w: nothing, a moving average of log beta (released), or the mean of "
        "the other draws of the same code.",
    )
    lr: float = Field(2e-3, gt=0, description="Adam step size of the generator (released: 1e-4, or 1e-3 for text).")
    discriminator_lr: float = Field(1e-3, gt=0, description="Adam step size of the discriminator (released: the same).")
    beta1: float = Field(0.5, ge=0, lt=1, description="First decay rate of both Adams (released: 0.5).")
    max_grad_norm: float = Field(50.0, gt=0, description="Clip of the generator's gradient norm (released: none).")
    discriminator_max_grad_norm: float = Field(
        5.0, gt=0, description="Clip of the discriminator's gradient norm (released: none)."
    )
    d_steps: int = Field(1, ge=1, le=1000, description="Discriminator steps a round (released: 1).")
    d_draws: int = Field(
        1, ge=1, le=1000, description="Draws of each latent code in a discriminator step (released: all M)."
    )

    @model_validator(mode="after")
    def _options_have_an_effect(self) -> "BGANHyperparameters":
        """Only reinforce has a baseline; a comparison needs two draws."""
        needs_two = {"importance": True, "reinforce": self.baseline == "leave_one_out"}
        if self.estimator != "reinforce" and told(self, "baseline"):
            raise ValueError(f"baseline: of no effect with estimator {self.estimator}")
        if self.num_draws < 2 and needs_two.get(self.estimator, False):
            raise ValueError("num_draws must be at least 2, so that the draws of a code can be compared")
        return self
