"""The sizes of BEGAN's nets, and what images they suit."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rlgan.image_types import ImageSpace


class AutoencoderConfig(BaseModel):
    """Sizes of BEGAN's encoder, decoder and generator."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    net: Literal["convolutions", "mlp"] = Field(
        "convolutions",
        description="The paper's convolutions, or linear layers with rectifiers: a fifteenth of the time for 28x28.",
    )
    channels: int = Field(16, ge=1, le=1024, description="n, channels of the convolutions (paper: 64 or 128).")
    hidden: tuple[int, ...] = Field(
        (256, 256), min_length=1, description="Hidden widths of the encoder of net mlp; the decoder mirrors it."
    )
    code_size: int = Field(64, ge=1, le=10_000, description="N_h = N_z, numbers in the code and in z (paper: 64).")
    latent: Literal["uniform", "normal"] = Field(
        "uniform", description="Distribution of z: uniform in [-1, 1] (paper), or standard normal."
    )
    halvings: int | None = Field(
        None,
        ge=1,
        le=8,
        description="Halvings in the encoder. None (default): until a side is 8 (paper) or no longer even.",
    )
    skip_connections: bool = Field(
        False, description="Feed the first layer of the decoder to every resolution (paper: an option, used for faces)."
    )
    vanishing_residuals: bool = Field(
        False,
        description="Start every convolution that keeps the width as an identity that fades over carry_steps (paper: "
        "an option).",
    )
    carry_steps: int = Field(16_000, ge=1, description="Steps until the identities are gone (paper: 16,000).")

    @model_validator(mode="after")
    def _options_have_an_effect(self) -> "AutoencoderConfig":
        """Linear layers have neither."""
        if self.net == "mlp" and (self.skip_connections or self.vanishing_residuals):
            raise ValueError("skip_connections and vanishing_residuals need net convolutions")
        return self


def halvings_of(space: ImageSpace, config: AutoencoderConfig) -> int:
    """How often the image is halved.

    Args:
        space: whose height and width must be divisible.
        config: the number asked for, or None.

    Returns:
        At least 1.

    Raises:
        ValueError: if a side is not a multiple of 2 to that power.
    """
    num_halvings = config.halvings
    if num_halvings is None:
        num_halvings, sides = 0, (space.height, space.width)
        while all(side % 2 == 0 for side in sides) and (min(sides) > 8 or num_halvings == 0):
            num_halvings, sides = num_halvings + 1, (sides[0] // 2, sides[1] // 2)
    if num_halvings < 1 or space.height % 2**num_halvings or space.width % 2**num_halvings:
        raise ValueError(
            f"images of {space.height}x{space.width} cannot be halved {max(1, num_halvings)} times; both sides must be "
            "multiples of a power of two. Resize them with --size."
        )
    return num_halvings
