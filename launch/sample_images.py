"""`rlgan sample` for a run of BGAN or BEGAN: images as a grid, PNG files or .npz, interpolations; or texts. No Ray."""

# N images, C channels, H height, W width, T positions

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rlgan.checkpoint import Checkpoint, load_module
from rlgan.errors import CheckpointError, ConfigError
from rlgan.image_types import ImageSpace, to_bytes
from rlgan.launch.generator import checkpoint_at, vocabulary_of
from rlgan.launch.image_judgement import as_picture, interpolation
from rlgan.launch.options import OptionStyle, parse_options
from rlgan.launch.pictures import write_png
from rlgan.models.autoencoder import ImageGenerator
from rlgan.models.autoencoder_config import AutoencoderConfig
from rlgan.models.discrete_generator import (
    ContinuousImageGenerator,
    DiscreteGenerator,
    DiscreteGeneratorConfig,
    DiscreteSpace,
)
from rlgan.seeding import torch_generator
from rlgan.settings import filled, told
from rlgan.types import TokenSpace

_BATCH = 250
STYLE = OptionStyle("rlgan sample", "Generate images, or texts, with the newest checkpoint of a run.", positional="run")


class SampleImageOptions(BaseModel):
    """All options of `rlgan sample` for a run of BGAN or BEGAN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    run: Path = Field(description="Run directory, or one of its checkpoints.")
    num_samples: int = Field(80, ge=1, le=1_000_000, description="Images or texts to generate.")
    temperature: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="BGAN: the logits of pixels or characters are divided by this. It changes what is drawn of a "
        "latent code, not the code; 0 takes what is most likely.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the draw.")
    grid: Path | None = Field(None, description="PNG file for all images in rows on one sheet.")
    columns: int = Field(10, ge=2, le=1000, description="Images in a row of the sheet.")
    interpolate: int = Field(
        0, ge=0, le=1000, description="Instead: this many rows, each on the way from one latent code to another."
    )
    output: Path | None = Field(
        None, description="File ending in .npz for an array of bytes, or a folder for one PNG file an image."
    )


def sample(arguments: Sequence[str]) -> int:
    """Run `rlgan sample`.

    Args:
        arguments: the words after it.

    Returns:
        0.

    Raises:
        ConfigError: if there is nowhere to put the images, or it cannot be written to; or if nothing is drawn whose
            temperature could be told.
    """
    options = parse_options(SampleImageOptions, arguments, STYLE)
    checkpoint = checkpoint_at(options.run)
    generator = load_latent_generator(checkpoint, options.run)
    if isinstance(generator, DiscreteGenerator) and not isinstance(generator, ContinuousImageGenerator):
        generator = AtTemperature(generator, options.temperature)
    elif told(options, "temperature"):
        raise ConfigError("--temperature is for pixels and characters that are drawn; this run's images follow from z.")
    if not isinstance(generator.space, ImageSpace):
        return _write_texts(generator, checkpoint, options)
    if options.grid is None and options.output is None:
        raise ConfigError("where to? Give --grid FILE.png for a sheet, or --output FILE.npz or a folder.")
    images_NCHW = _images(generator, options)
    try:
        if options.grid is not None:
            write_png(options.grid, as_picture(images_NCHW, options.columns))
        if options.output is not None:
            _write_images(images_NCHW, options.output)
    except OSError as error:
        raise ConfigError(f"{error.filename or options.grid}: cannot be written ({error.strerror or error}).") from None
    return 0


@dataclass(frozen=True)
class AtTemperature:
    """A generator whose draws are warmer or colder than it was trained to draw.

    Example:
        `AtTemperature(generator, 0.0)` makes the most likely image of every code.

    Attributes:
        generator: of images or texts.
        temperature: divides its logits.
    """

    generator: DiscreteGenerator
    temperature: float

    @property
    def space(self) -> DiscreteSpace:
        """What it makes."""
        return self.generator.space

    @property
    def is_normal(self) -> bool:
        """Whether the codes are standard normal."""
        return self.generator.is_normal

    def draw_latent(self, num_codes: int, random: torch.Generator) -> Tensor:
        """Latent codes from their prior.

        Args:
            num_codes: N.
            random: where the random numbers come from.

        Returns:
            [N, Z] float.
        """
        return self.generator.draw_latent(num_codes, random)

    def images(self, latent_NZ: Tensor, random: torch.Generator) -> Tensor:
        """One image of every code.

        Args:
            latent_NZ: [N, Z] float.
            random: where the random numbers come from.

        Returns:
            [N, C, H, W] float in [0, 1].
        """
        return self.generator.images(latent_NZ, random, self.temperature)

    def texts(self, latent_NZ: Tensor, random: torch.Generator) -> Tensor:
        """One text of every code.

        Args:
            latent_NZ: [N, Z] float.
            random: where the random numbers come from.

        Returns:
            [N, T] int64 ids.
        """
        return self.generator.sample(latent_NZ, 1, random, self.temperature)[:, 0].long()


def load_latent_generator(checkpoint: Checkpoint, path: Path) -> Any:
    """The generator of a checkpoint of BGAN or BEGAN.

    Args:
        checkpoint: verified.
        path: for messages.

    Returns:
        A `DiscreteGenerator` or an `ImageGenerator`, in evaluation mode.

    Raises:
        CheckpointError: if it holds neither.
    """
    init = torch_generator(0, "replaced by the weights")
    try:
        space_values = checkpoint.state["space"]
        space = ImageSpace(**space_values) if "channels" in space_values else TokenSpace(**space_values)
        training = yaml.safe_load(checkpoint.config_yaml)["training"]
        weights = checkpoint.tensors["published_generator"]
        net: torch.nn.Module
        if checkpoint.state["system"] == "began" and isinstance(space, ImageSpace):
            sizes = {name: training["discriminator"][name] for name in AutoencoderConfig.model_fields}
            net = ImageGenerator(space, filled(AutoencoderConfig, sizes, "training.discriminator"), init)
        else:
            config = filled(DiscreteGeneratorConfig, training["generator"], "training.generator")
            if training["estimator"] == "continuous" and isinstance(space, ImageSpace):
                net = ContinuousImageGenerator(space, config, init)
            else:
                net = DiscreteGenerator(space, config, init)
    except (KeyError, TypeError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: holds no generator of images or texts ({error!r:.80}).") from None
    load_module(net, weights, "generator")
    return net.eval().requires_grad_(False)


def _images(generator: Any, options: SampleImageOptions) -> Tensor:
    """The images, batch by batch: the first do not depend on how many follow."""
    if options.interpolate:
        return interpolation(generator, options.interpolate, options.columns, options.seed)
    return _in_batches(options, generator.images, generator)


def _in_batches(
    options: SampleImageOptions, draw: Callable[[Tensor, torch.Generator], Tensor], generator: Any
) -> Tensor:
    """Draws of fresh codes, batch by batch."""
    batches = []
    for start in range(0, options.num_samples, _BATCH):
        random = torch_generator(options.seed, "sample", start)
        count = min(_BATCH, options.num_samples - start)
        batches.append(draw(generator.draw_latent(_BATCH, random), random)[:count])
    return torch.cat(batches)


def _write_images(images_NCHW: Tensor, output: Path) -> None:
    """An array of bytes [N, H, W, C], or a file for each image."""
    bytes_NHWC = to_bytes(images_NCHW).permute(0, 2, 3, 1).numpy()
    if output.suffix == ".npz":
        np.savez_compressed(output, images=bytes_NHWC)
        return
    output.mkdir(parents=True, exist_ok=True)
    for index, image_HWC in enumerate(bytes_NHWC):
        write_png(output / f"{index:06d}.png", np.broadcast_to(image_HWC, (*image_HWC.shape[:2], 3)).copy())


def _write_texts(generator: Any, checkpoint: Checkpoint, options: SampleImageOptions) -> int:
    """Texts, one a line, to standard output or a file."""
    if options.grid is not None or options.interpolate:
        raise ConfigError("--grid and --interpolate are for images; this run makes texts. Leave them out.")
    vocabulary = vocabulary_of(checkpoint, generator.space, options.run)
    tokens_NT = _in_batches(options, generator.texts, generator)
    text = "".join(" ".join(vocabulary.decode(tokens_T).splitlines()) + "\n" for tokens_T in tokens_NT)
    if options.output is None:
        sys.stdout.write(text)
        return 0
    try:
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {options.output}: cannot be written ({error.strerror or error}).") from None
    return 0
