"""Images and labels of IDX files, .npz files and folders of PNG files, as bytes. Nothing that is read can run code."""

# N images, C channels, H height, W width

import gzip
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image

from rlgan.errors import DataError

Bytes = npt.NDArray[np.uint8]
MAX_BYTES = 2**33
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class RawImages:
    """All images of one place.

    Example:
        MNIST's test images: `image_NCHW` of shape (10000, 1, 28, 28), `label_names` "0" to "9".

    Attributes:
        image_NCHW: [N, C, H, W] bytes, 0 black to 255.
        label_N: [N] indices into `label_names`; None where there are none.
        label_names: in order.
    """

    image_NCHW: Bytes
    label_N: npt.NDArray[np.int64] | None
    label_names: tuple[str, ...]


def read_images(path: Path, labels: Path | None, colour: str) -> RawImages:
    """Images of a file or folder.

    Args:
        path: IDX file, .npz file, or folder of PNG files.
        labels: IDX file of labels; None looks for it beside an IDX file.
        colour: auto, grey or rgb.

    Returns:
        Images and labels.

    Raises:
        DataError: if the path is not what it should be.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder.")
    if path.is_dir():
        raw = read_png_folder(path, colour)
    elif path.suffix.lower() == ".npz":
        raw = read_npz(path)
    else:
        raw = read_idx_pair(path, labels or _labels_beside(path))
    return RawImages(_in_colour(raw.image_NCHW, colour), raw.label_N, raw.label_names)


def read_idx(path: Path) -> Bytes:
    """An array of an IDX file: two zero bytes, type 8 (bytes), number of axes, big-endian sizes, then the bytes.

    Args:
        path: the file, gzipped or not.

    Returns:
        The array.

    Raises:
        DataError: if it is not such a file, or too short or long.
    """
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == _GZIP
        with gzip.open(path, "rb") if is_gzip else path.open("rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:3] != b"\x00\x00\x08" or not 1 <= start[3] <= 4:
                raise DataError(f"{path}: is not an IDX file of bytes (it begins with {start.hex(' ')}).")
            shape = struct.unpack(f">{start[3]}I", file.read(4 * start[3]))
            size = int(np.prod(shape, dtype=np.float64))
            if size > MAX_BYTES:
                raise DataError(f"{path}: says it has {size:,} bytes; at most {MAX_BYTES:,} are read.")
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{path}: cannot be read as an IDX file ({error}).") from None
    if len(content) != size:
        raise DataError(f"{path}: {'more' if len(content) > size else 'fewer'} bytes than its sizes {shape} ask for.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_idx_pair(path: Path, labels: Path | None) -> RawImages:
    """Images of one IDX file, labels of another.

    Args:
        path: images, [N, H, W] or [N, H, W, C].
        labels: [N]; None for no labels.

    Returns:
        Images and labels.

    Raises:
        DataError: if there are not as many labels as images.
    """
    image_NCHW = _channels_first(read_idx(path), str(path))
    if labels is None:
        return RawImages(image_NCHW, None, ())
    label_N = read_idx(labels)
    if label_N.shape != image_NCHW.shape[:1]:
        raise DataError(f"{labels}: {list(label_N.shape)} labels for the {len(image_NCHW)} images of {path}.")
    return RawImages(image_NCHW, *_named(label_N))


def read_npz(path: Path) -> RawImages:
    """Arrays of a .npz file: one of images, and perhaps one of labels.

    Images are the only array of three or four axes, labels the only array of one axis. Bytes are taken as they are,
    floats must be in [0, 1].

    Args:
        path: the file; pickled objects in it are refused.

    Returns:
        Images and labels.

    Raises:
        DataError: if the file or an array cannot be used.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Any] = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read as .npz without pickles ({str(error).splitlines()[0][:100]})."
        ) from None
    except Exception as error:  # noqa: BLE001 - zipfile.BadZipFile and whatever a damaged archive makes numpy raise
        raise DataError(f"{path}: is not a .npz file ({error}).") from None
    images = [name for name, array in arrays.items() if array.ndim in {3, 4}]
    labels = [name for name, array in arrays.items() if array.ndim == 1]
    if len(images) != 1 or len(labels) > 1:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise DataError(
            f"{path}: needs one array of images, [N, H, W] or [N, H, W, C], and at most one of labels, [N]; it holds "
            f"{shapes or 'nothing'}."
        )
    image_NCHW = _channels_first(_as_bytes(arrays[images[0]], str(path)), str(path))
    if not labels:
        return RawImages(image_NCHW, None, ())
    label_N = arrays[labels[0]]
    if len(label_N) != len(image_NCHW) or label_N.dtype.kind not in "iuU":
        raise DataError(f"{path}: {labels[0]} must be {len(image_NCHW)} integers or names; got {len(label_N)} "
                        f"{label_N.dtype}.")  # fmt: skip
    return RawImages(image_NCHW, *_named(label_N))


def read_png_folder(path: Path, colour: str) -> RawImages:
    """Every PNG of a folder, or of its sub-folders, whose names are then the labels.

    Args:
        path: the folder.
        colour: grey makes one channel, rgb three, auto one where every file is grey.

    Returns:
        Images in the order of their names, and labels.

    Raises:
        DataError: if there is no PNG, one cannot be read, or sizes differ.
    """
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".png" and file.is_file())
    if not files:
        raise DataError(f"{path}: no .png file in it or in its sub-folders.")
    images = [read_png(file, colour) for file in files]
    if any(image.ndim == 3 for image in images):  # of 16 bits a grey picture stays grey, whatever colour is asked for
        images = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images]
    sizes = {image.shape[:2] for image in images}
    if len(sizes) > 1:
        odd = next(file for file, image in zip(files, images, strict=True) if image.shape[:2] != images[0].shape[:2])
        raise DataError(f"{odd}: its size differs from that of {files[0]}; all images must have one size.")
    image_NCHW = _channels_first(np.stack(images), str(path))
    folders = [file.relative_to(path).parent.as_posix() for file in files]
    return (
        RawImages(image_NCHW, *_named(np.array(folders))) if len(set(folders)) > 1 else RawImages(image_NCHW, None, ())
    )


def read_png(path: Path, colour: str) -> Bytes:
    """One picture of a file, on black where it is transparent.

    Args:
        path: of the file.
        colour: "grey", "rgb", or "auto".

    Returns:
        [H, W] or [H, W, 3] bytes; of a grey picture of 16 bits always [H, W].

    Raises:
        DataError: if it is no PNG.
    """
    try:
        with PIL.Image.open(path, formats=["PNG"]) as image:
            is_grey = colour == "grey" or (colour == "auto" and image.mode in {"1", "L", "LA", "I;16", "I"})
            if image.mode in {"I;16", "I"}:
                return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
                image_rgba = image.convert("RGBA")
                black = PIL.Image.new("RGBA", image_rgba.size, (0, 0, 0, 255))
                return np.asarray(PIL.Image.alpha_composite(black, image_rgba).convert("L" if is_grey else "RGB"))
            return np.asarray(image.convert("L" if is_grey else "RGB"))
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a PNG ({error}).") from None


def _labels_beside(path: Path) -> Path | None:
    """MNIST's labels: the same name with labels-idx1 for images-idx3."""
    name = path.name.replace("images-idx3", "labels-idx1").replace("images.idx3", "labels.idx1")
    beside = path.with_name(name)
    return beside if name != path.name and beside.is_file() else None


def _as_bytes(image: Any, where: str) -> Bytes:
    """Bytes from bytes, or from floats in [0, 1]."""
    if image.dtype == np.uint8:
        return np.asarray(image)
    if image.dtype.kind == "f" and image.size and (image >= 0).all() and (image <= 1).all():
        return np.asarray(np.round(image * 255), np.uint8)
    raise DataError(f"{where}: images must be uint8, or floats in [0, 1]; got {image.dtype}.")


def _channels_first(image: Bytes, where: str) -> Bytes:
    """[N, C, H, W] from [N, H, W], [N, H, W, C] or [N, C, H, W]."""
    if image.ndim == 3:
        image = image[:, None]
    elif image.ndim == 4 and image.shape[3] in {1, 3}:
        image = image.transpose(0, 3, 1, 2)
    if image.ndim != 4 or image.shape[1] not in {1, 3} or not image.size:
        raise DataError(f"{where}: images must be [N, H, W] or [N, H, W, 1 or 3]; got {list(image.shape)}.")
    return np.ascontiguousarray(image)


def _in_colour(image_NCHW: Bytes, colour: str) -> Bytes:
    """The asked number of channels; grey is the luminance that PNG readers use."""
    channels = image_NCHW.shape[1]
    if colour == "rgb" and channels == 1:
        return np.repeat(image_NCHW, 3, axis=1)
    if colour == "grey" and channels == 3:
        luminance = np.tensordot(np.array([0.299, 0.587, 0.114]), image_NCHW.astype(np.float64), axes=(0, 1))
        return np.round(luminance).astype(np.uint8)[:, None]
    return image_NCHW


def _named(label_N: Sequence[Any] | npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels as indices into their sorted names."""
    names, index_N = np.unique(np.asarray(label_N), return_inverse=True)
    return index_N.astype(np.int64), tuple(str(name) for name in names)
