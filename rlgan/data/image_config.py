"""Which images to learn from: one model whose field names are the options of the command line."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rlgan.image_types import MAX_LEVELS


class ImageCorpusConfig(BaseModel):
    """What an image system learns from: files of the user's, or scikit-learn's handwritten digits.

    Example:
        `ImageCorpusConfig()` is 1,797 digits of 8 x 8 pixels. `ImageCorpusConfig(data="train-images-idx3-ubyte.gz")` is
        MNIST; its labels are found beside it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: Path | None = Field(
        None,
        description="IDX file (MNIST's format, gzipped or not), .npz file, or folder of PNG files, whose sub-folders "
        "are labels. None (default): the 1,797 digits of 8x8 pixels that come with scikit-learn.",
    )
    labels: Path | None = Field(
        None,
        description="IDX file of labels. None (default): the file whose name has labels-idx1 where data has "
        "images-idx3, if there is one.",
    )
    colour: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="Channels: as the files have them (auto), one (grey), or three (rgb)."
    )
    size: int | None = Field(
        None, ge=4, le=1024, description="Resize to a square of this many pixels a side. None (default): as it is."
    )
    levels: int = Field(
        MAX_LEVELS, ge=2, le=MAX_LEVELS, description="Values a pixel may take; 2 is black and white, cut at one half."
    )
    max_images: int | None = Field(
        None, ge=2, le=10_000_000, description="Use this many images, chosen by split_seed. None (default): all."
    )
    scenes: int | None = Field(
        None,
        ge=2,
        le=10_000_000,
        description="Compose this many scenes of two labelled images, such as 'a three left of a seven', twice as high "
        "and wide; their labels are these captions. None (default): the images themselves.",
    )
    held_out_fraction: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Fraction of the images that is never trained on and is the yardstick of evaluations (default 0.2: "
        "of MNIST's 10,000 test images 8,000 and 2,000).",
    )
    split_seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the split into training and held-out images (default 0)."
    )

    @model_validator(mode="after")
    def _labels_belong_to_idx(self) -> "ImageCorpusConfig":
        """Refuse an option that would have no effect."""
        if self.labels is not None and (self.data is None or self.data.suffix == ".npz" or self.data.is_dir()):
            raise ValueError("labels is for an IDX file; a .npz has an array of labels, a folder has sub-folders.")
        return self
