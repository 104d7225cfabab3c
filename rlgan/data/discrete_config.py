"""What BGAN learns from: images with few levels, or lines of characters: one model of options."""

from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor

from rlgan.data.config import CorpusConfig
from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_source import load_image_source
from rlgan.data.sources import load_source
from rlgan.image_types import MAX_LEVELS
from rlgan.settings import told
from rlgan.types import Source


class DiscreteCorpusConfig(ImageCorpusConfig):
    """Images, or text of which every character is a token.

    Example:
        `DiscreteCorpusConfig()` is scikit-learn's digits in black and white, `DiscreteCorpusConfig(levels=5)` in greys.
        `DiscreteCorpusConfig(kind="text", data="names.txt", length=16)` is lines of at most 16 characters.
    """

    kind: Literal["images", "text"] = Field(
        "images", description="What a sample is: an image, or a line of characters of the text file data."
    )
    levels: int = Field(
        2,
        ge=2,
        le=MAX_LEVELS,
        description="Values a pixel may take (default 2: black and white, cut at one half; released: 2 or 16).",
    )
    length: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Characters of a line of text; None (default): as rlgan train seqgan.",
    )
    max_vocab: int | None = Field(
        None, ge=1, le=100_000, description="Keep this many of the most frequent characters; None (default): all."
    )

    @model_validator(mode="after")
    def _text_needs_a_file(self) -> "DiscreteCorpusConfig":
        """Refuse options that would have no effect."""
        if self.kind == "text" and self.data is None:
            raise ValueError("kind text needs a data file")
        if self.kind == "text":
            ignored = told(self, "labels", "colour", "size", "levels", "max_images", "scenes")
            if ignored:
                raise ValueError(f"{', '.join(ignored)}: of no effect with kind text")
        if self.kind == "images" and (self.length is not None or self.max_vocab is not None):
            raise ValueError("length and max_vocab are for kind text")
        return self

    def text_corpus(self) -> CorpusConfig:
        """The same as a corpus of characters.

        Returns:
            Settings for lines of text.
        """
        return CorpusConfig(
            data=self.data,
            tokens="char",
            length=self.length,
            max_vocab=self.max_vocab,
            held_out_fraction=self.held_out_fraction,
            split_seed=self.split_seed,
        )


def load_discrete_source(config: DiscreteCorpusConfig, tokenizer_json: str | None = None) -> Source:
    """Read and check images or text.

    Args:
        config: what to read and how.
        tokenizer_json: the vocabulary of a checkpoint, for text.

    Returns:
        An `ImageSource` or a `TokenSource`.
    """
    if config.kind == "text":
        return load_source(config.text_corpus(), tokenizer_json)
    return load_image_source(config)


def training_samples(source: Source) -> Tensor:
    """What a discriminator sees as real.

    Args:
        source: images or sequences.

    Returns:
        [N, C, H, W] levels or [N, T] ids.
    """
    samples: Tensor = source.train_NT if hasattr(source, "train_NT") else source.train_NCHW  # type: ignore[attr-defined]
    return samples
