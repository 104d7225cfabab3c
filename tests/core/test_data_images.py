"""Images from IDX, .npz and PNG files: what is read, how it is split, and what is refused."""

import gzip
import struct

import numpy as np
import PIL.Image
import pytest
import torch

from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_source import load_image_source
from rlgan.errors import DataError
from rlgan.image_types import ImageSpace
from rlgan.settings import filled


def idx(array: np.ndarray) -> bytes:
    return b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 4, 6), dtype=np.uint8)


def pixels(source) -> set[bytes]:
    return {image.numpy().tobytes() for image in torch.cat([source.train_NCHW, source.held_out_NCHW])}


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_idx_with_the_labels_beside_it(tmp_path, images, compress):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(compress(idx(images)))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(compress(idx(np.arange(10, dtype=np.uint8) % 3)))
    source = load_image_source(ImageCorpusConfig(data=path))
    assert source.space == ImageSpace(1, 4, 6) and source.label_names == ("0", "1", "2")
    assert source.train_NCHW.shape == (8, 1, 4, 6) and source.held_out_NCHW.shape == (2, 1, 4, 6)
    assert source.train_NCHW.dtype == torch.uint8 and pixels(source) == {image.tobytes() for image in images}
    rows = {image.tobytes(): index % 3 for index, image in enumerate(images)}
    assert [rows[image.numpy().tobytes()] for image in source.train_NCHW] == source.train_label_N.tolist()
    assert [rows[image.numpy().tobytes()] for image in source.held_out_NCHW] == source.held_out_label_N.tolist()


def test_the_split_depends_on_its_seed_only(tmp_path, images):
    path = tmp_path / "a"
    path.write_bytes(idx(images))
    one, same, other = (load_image_source(ImageCorpusConfig(data=path, split_seed=seed)) for seed in (0, 0, 1))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert one.train_label_N is None and one.label_names == ()


def test_npz_bytes_and_floats(tmp_path, images):
    np.savez(tmp_path / "bytes.npz", images=images, labels=np.array(list("abcdeabcde")))
    np.savez(tmp_path / "floats.npz", x=images[..., None].repeat(3, axis=3) / 255)
    source = load_image_source(ImageCorpusConfig(data=tmp_path / "bytes.npz"))
    assert pixels(source) == {image.tobytes() for image in images} and source.label_names == tuple("abcde")
    colour = load_image_source(ImageCorpusConfig(data=tmp_path / "floats.npz"))
    assert colour.space == ImageSpace(3, 4, 6)
    assert torch.equal(colour.train_NCHW[:, :1].expand(-1, 3, -1, -1), colour.train_NCHW)
    assert torch.equal(colour.train_NCHW[:, :1], source.train_NCHW)


def test_png_folders_are_labels(tmp_path, images):
    for index, image in enumerate(images):
        folder = tmp_path / ("cats" if index % 2 else "dogs")
        folder.mkdir(exist_ok=True)
        PIL.Image.fromarray(image).save(folder / f"{index}.png")
    source = load_image_source(ImageCorpusConfig(data=tmp_path))
    assert source.label_names == ("cats", "dogs") and pixels(source) == {image.tobytes() for image in images}


def test_png_colour_and_transparency(tmp_path):
    red = np.zeros((4, 4, 4), np.uint8)
    red[..., 0], red[..., 3] = 255, 255
    red[0, 0, 3] = 0
    for name in ("a.png", "b.png"):
        PIL.Image.fromarray(red).save(tmp_path / name)
    image = load_image_source(ImageCorpusConfig(data=tmp_path, held_out_fraction=0)).train_NCHW[0]
    assert image[:, 1, 1].tolist() == [255, 0, 0] and image[:, 0, 0].tolist() == [0, 0, 0]
    grey = load_image_source(ImageCorpusConfig(data=tmp_path, colour="grey", held_out_fraction=0)).train_NCHW[0]
    assert grey[:, 1, 1].tolist() == [76]


@pytest.mark.parametrize(("colour", "channels"), [("auto", 3), ("rgb", 3), ("grey", 1)])
def test_grey_of_16_bits_and_colour_in_one_folder(tmp_path, colour, channels):
    PIL.Image.fromarray(np.full((4, 4), 0x8123, np.uint16)).save(tmp_path / "deep.png")
    PIL.Image.fromarray(np.full((4, 4, 3), (10, 20, 30), np.uint8)).save(tmp_path / "red.png")
    source = load_image_source(ImageCorpusConfig(data=tmp_path, colour=colour, held_out_fraction=0))
    assert source.train_NCHW.shape == (2, channels, 4, 4)
    seen = {tuple(image[:, 0, 0].tolist()) for image in source.train_NCHW}
    assert seen == {(0x81,) * channels, (10, 20, 30) if channels == 3 else (18,)}


def test_digits_are_built_in():
    source = load_image_source(ImageCorpusConfig())
    assert source.space == ImageSpace(1, 8, 8) and len(source.train_NCHW) == 1438 and len(source.held_out_NCHW) == 359
    assert source.label_names == tuple("0123456789") and source.name == "digits"
    rgb = load_image_source(ImageCorpusConfig(colour="rgb", size=16))
    assert rgb.space == ImageSpace(3, 16, 16)


def test_levels_by_hand():
    unit = torch.tensor([0.0, 0.49, 0.5, 1.0])
    assert ImageSpace(1, 1, 4, 2).quantise(unit).tolist() == [0, 0, 1, 1]
    assert ImageSpace(1, 1, 4, 5).quantise(unit).tolist() == [0, 2, 2, 4]
    assert ImageSpace(1, 1, 4, 5).to_unit(torch.tensor([0, 2, 4])).tolist() == [0.0, 0.5, 1.0]
    source = load_image_source(ImageCorpusConfig(levels=2, max_images=100))
    assert len(source.train_NCHW) == 80 and set(source.train_NCHW.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello world", "is not an IDX file"),
        (b"\x00\x00\x08\x03" + struct.pack(">3I", 2, 2, 2) + b"123", "fewer bytes"),
        (b"\x00\x00\x08\x03" + struct.pack(">3I", 1, 1, 2) + b"123", "more bytes"),
        (b"\x00\x00\x08\x03" + struct.pack(">3I", 2**31, 2**31, 2**31), "at most"),
        (b"\x00\x00\x08\x03\x00", "cannot be read"),
        (b"\x1f\x8b\x08 not gzip", "cannot be read"),
        (b"\x00\x00\x0d\x03" + struct.pack(">3I", 2, 2, 2), "is not an IDX file of bytes"),
        (idx(np.zeros((1, 2, 2), np.uint8)), "at least 2"),
        (idx(np.zeros((3, 2, 2, 2), np.uint8)), "1 or 3"),
        (b"", "is not an IDX file"),
    ],
)
def test_a_bad_idx_file_is_one_line(tmp_path, content, message):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_image_source(ImageCorpusConfig(data=tmp_path / "a"))
    assert "\n" not in str(caught.value)


def test_labels_must_fit(tmp_path, images):
    (tmp_path / "a").write_bytes(idx(images))
    (tmp_path / "l").write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match="labels for the 10 images"):
        load_image_source(ImageCorpusConfig(data=tmp_path / "a", labels=tmp_path / "l"))
    np.savez(tmp_path / "b.npz", x=images, y=np.zeros(3, int))
    with pytest.raises(DataError, match="must be 10 integers"):
        load_image_source(ImageCorpusConfig(data=tmp_path / "b.npz"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 2, 2)) + 2.0}, "floats in"),
        ({"x": np.zeros((3, 2, 2), np.uint8), "y": np.zeros((3, 2, 2), np.uint8)}, "needs one array"),
        ({"x": np.zeros((3, 2))}, "needs one array"),
        ({"x": np.array([[[{}]]])}, "without pickles"),
    ],
)
def test_a_bad_npz_is_one_line(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_image_source(ImageCorpusConfig(data=tmp_path / "a.npz"))


def test_what_is_no_archive_or_png_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"a\.npz"):
        load_image_source(ImageCorpusConfig(data=tmp_path / "a.npz"))
    with pytest.raises(DataError, match="no such file"):
        load_image_source(ImageCorpusConfig(data=tmp_path / "missing"))
    folder = tmp_path / "pngs"
    folder.mkdir()
    with pytest.raises(DataError, match=r"no \.png file"):
        load_image_source(ImageCorpusConfig(data=folder))
    (folder / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read as a PNG"):
        load_image_source(ImageCorpusConfig(data=folder))


def test_png_sizes_must_agree(tmp_path):
    for index in (4, 5):
        PIL.Image.fromarray(np.zeros((index, 4), np.uint8)).save(tmp_path / f"{index}.png")
    with pytest.raises(DataError, match="its size differs"):
        load_image_source(ImageCorpusConfig(data=tmp_path))


def test_an_option_without_effect_is_refused():
    with pytest.raises(Exception, match="labels is for an IDX file"):
        filled(ImageCorpusConfig, {"labels": "a"}, "data")


def test_image_space_refuses_what_is_no_image():
    for arguments in ((2, 4, 4), (1, 0, 4)):
        with pytest.raises(ValueError, match="1 or 3 channels"):
            ImageSpace(*arguments)
    for levels in (1, 257):
        with pytest.raises(ValueError, match="levels must be"):
            ImageSpace(1, 2, 2, levels)
    space = ImageSpace(1, 2, 2, 4)
    for bad, message in (
        (torch.zeros(1, 1, 2, 3, dtype=torch.uint8), "must be"),
        (torch.zeros(1, 1, 2, 2), "integer levels"),
        (torch.full((1, 1, 2, 2), 4), r"in \[0, 4\)"),
    ):
        with pytest.raises(ValueError, match=message):
            space.check(bad)
