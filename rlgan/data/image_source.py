"""Images made ready for training: read, resized, quantised, split; scikit-learn's digits by default."""

# N images, C channels, H height, W width

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_files import RawImages, read_images
from rlgan.data.scenes import compose_scenes, scene_names
from rlgan.errors import DataError
from rlgan.image_types import ImageSpace
from rlgan.seeding import derive_seed


class ImageFileSource:
    """Training and held-out images of one place; it meets `rlgan.image_types.ImageSource`.

    Attributes:
        space: what an image is.
        train_NCHW: [N, C, H, W] uint8 levels.
        held_out_NCHW: the images that are never trained on.
        train_label_N: [N] int64 indices into `label_names`, or None.
        held_out_label_N: the same of the held-out images.
        label_names: in order; empty where there are no labels.
        name: for messages.
    """

    def __init__(
        self,
        space: ImageSpace,
        images: tuple[Tensor, Tensor],
        labels: tuple[Tensor, Tensor] | None,
        label_names: tuple[str, ...],
        name: str,
    ) -> None:
        self.space = space
        self.train_NCHW, self.held_out_NCHW = (space.check(part) for part in images)
        self.train_label_N: Tensor | None = labels[0] if labels else None
        self.held_out_label_N: Tensor | None = labels[1] if labels else None
        self.label_names = label_names
        self.name = name

    def fingerprint(self) -> str:
        """A hash of every image and label.

        Returns:
            64 hexadecimal digits.
        """
        digest = hashlib.sha256(f"{self.space} {self.label_names}".encode())
        for part in (self.train_NCHW, self.held_out_NCHW, self.train_label_N, self.held_out_label_N):
            if part is not None:
                digest.update(f"{list(part.shape)}".encode() + part.contiguous().numpy().data)
        return digest.hexdigest()

    def tokenizer_json(self) -> str | None:
        """Images have no vocabulary.

        Returns:
            None.
        """
        return None


def load_image_source(config: ImageCorpusConfig) -> ImageFileSource:
    """Read, check and split the images.

    Args:
        config: what to read and how.

    Returns:
        The training and held-out images.

    Raises:
        DataError: if the images cannot be read, or are fewer than two.
    """
    raw = _digits(config) if config.data is None else read_images(config.data, config.labels, config.colour)
    num_images = len(raw.image_NCHW)
    if num_images < 2:
        raise DataError(f"{config.data}: {num_images} image; training needs at least 2.")
    order_N = np.random.default_rng(derive_seed(config.split_seed, "image split")).permutation(num_images)
    order_N = order_N[: config.max_images]
    num_held_out = round(config.held_out_fraction * len(order_N))
    unit_NCHW = torch.from_numpy(raw.image_NCHW[order_N]).float() / 255
    if config.size is not None and unit_NCHW.shape[2:] != (config.size, config.size):
        unit_NCHW = F.interpolate(unit_NCHW, size=(config.size, config.size), mode="bilinear", antialias=True)
    _, channels, height, width = unit_NCHW.shape
    space = ImageSpace(channels, height, width, config.levels)
    levels_NCHW = space.quantise(unit_NCHW)
    labels = None
    if raw.label_N is not None:
        label_N = torch.from_numpy(raw.label_N[order_N])
        labels = label_N[num_held_out:], label_N[:num_held_out]
    images = levels_NCHW[num_held_out:], levels_NCHW[:num_held_out]
    name = config.data.name if config.data else "digits"
    source = ImageFileSource(space, images, labels, raw.label_names, name)
    return source if config.scenes is None else _scenes(source, config.scenes, config)


def _scenes(source: ImageFileSource, num_scenes: int, config: ImageCorpusConfig) -> ImageFileSource:
    """Scenes of training images to train on, and of held-out images to hold out."""
    if source.train_label_N is None or source.held_out_label_N is None:
        raise DataError(f"{source.name}: scenes need labelled images. Give --labels, or a folder each.")
    num_held_out = round(config.held_out_fraction * num_scenes)
    parts = []
    for purpose, images_NCHW, label_N, count in (
        ("train", source.train_NCHW, source.train_label_N, num_scenes - num_held_out),
        ("held out", source.held_out_NCHW, source.held_out_label_N, num_held_out),
    ):
        random = np.random.default_rng(derive_seed(config.split_seed, f"scenes {purpose}"))
        parts.append(compose_scenes(images_NCHW, label_N, len(source.label_names), count, random))
    space = ImageSpace(source.space.channels, 2 * source.space.height, 2 * source.space.width, config.levels)
    images, labels = zip(*parts, strict=True)
    return ImageFileSource(space, images, labels, scene_names(source.label_names), f"scenes of {source.name}")


def _digits(config: ImageCorpusConfig) -> RawImages:
    """scikit-learn's digits: 17 grey levels, spread over bytes."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    image_NHW = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    image_NCHW = np.repeat(image_NHW[:, None], 3 if config.colour == "rgb" else 1, axis=1)
    return RawImages(image_NCHW, bunch.target.astype(np.int64), tuple(str(name) for name in bunch.target_names))
