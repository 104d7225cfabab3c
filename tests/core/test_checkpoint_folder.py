"""One checkpoint folder: exact round trip, and refusal of all that is damaged or malicious (RELIABILITY R17 to R19)."""

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from rlgan.checkpoint import Checkpoint, latest_checkpoint, read_checkpoint, save_checkpoint, write_checkpoint
from rlgan.errors import CheckpointError

FILES = [
    "manifest.json",
    "config.yaml",
    "state.json",
    "tokenizer.json",
    "generator.safetensors",
    "optimizer.safetensors",
]


def make_checkpoint(step: int = 1) -> Checkpoint:
    tensors = {
        "generator": {"weight": torch.arange(6.0).view(2, 3) + step, "bias": torch.zeros(0, 4)},
        "optimizer": {"state.0.step": torch.tensor(float(step))},
    }
    state = {"round": step, "phase": "adversarial", "rate": 0.1, "best": None, "done": False, "rng": [1, 2**63]}
    return Checkpoint(step, tensors, state, "generator:\n  hidden: 32\n", '{"vocab": ["山", "水"]}')


def reseal(folder: Path, change=None) -> None:
    """Makes the manifest agree with the files, as an attacker would; `change` edits it before it is sealed."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name in manifest["files"]:
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest["config_sha256"] = manifest["files"]["config.yaml"]["sha256"]
    if "tokenizer.json" in manifest["files"]:
        manifest["tokenizer_sha256"] = manifest["files"]["tokenizer.json"]["sha256"]
    if change:
        change(manifest)
    del manifest["manifest_sha256"]
    manifest["manifest_sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "it", make_checkpoint())
    return tmp_path / "it"


def test_round_trip_is_exact(folder: Path) -> None:
    written, read = make_checkpoint(), read_checkpoint(folder)
    assert (read.step, read.state, read.config_yaml, read.tokenizer_json) == (
        written.step,
        written.state,
        written.config_yaml,
        written.tokenizer_json,
    )
    assert {group: set(named) for group, named in read.tensors.items()} == {
        "generator": {"weight", "bias"},
        "optimizer": {"state.0.step"},
    }
    for group, named in written.tensors.items():
        for name, tensor in named.items():
            assert torch.equal(read.tensors[group][name], tensor) and read.tensors[group][name].dtype == tensor.dtype
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool])
def test_every_type_of_tensor_survives(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.tensor([0, 1, 3, 255]).to(dtype)
    write_checkpoint(tmp_path / "it", Checkpoint(0, {"g": {"x": tensor}}, {}, ""))
    read = read_checkpoint(tmp_path / "it").tensors["g"]["x"]
    assert read.dtype == dtype and torch.equal(read, tensor)


def test_tied_and_transposed_weights_survive(tmp_path: Path) -> None:
    weight = torch.arange(6.0).view(2, 3).requires_grad_()
    tensors = {
        "net": {"embedding": weight, "output": weight, "transposed": weight.t(), "wide": weight[:1].expand(4, 3)}
    }
    write_checkpoint(tmp_path / "it", Checkpoint(0, tensors, {}, ""))
    read = read_checkpoint(tmp_path / "it").tensors["net"]
    assert torch.equal(read["embedding"], weight) and torch.equal(read["output"], weight)
    assert read["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]] and read["wide"].shape == (4, 3)


def test_no_tokenizer_and_no_tensors(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "it", Checkpoint(7, {"empty": {}}, {}, ""))
    assert read_checkpoint(tmp_path / "it") == Checkpoint(7, {"empty": {}}, {}, "", None)


def test_files_are_readable_by_others(folder: Path) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert all((path.stat().st_mode & 0o777) == (0o666 & ~mask) for path in folder.iterdir())


def test_folder_in_use_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="needs an empty folder"):
        write_checkpoint(folder, make_checkpoint())
    assert read_checkpoint(folder).step == 1


def test_files_of_ray_tune_can_be_ignored(folder: Path) -> None:
    (folder / ".metadata.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"\.metadata\.json: is not in the manifest"):
        read_checkpoint(folder)
    assert read_checkpoint(folder, ignore={".metadata.json"}).step == 1


@pytest.mark.parametrize(
    ("state", "group", "step", "message"),
    [
        ({"a": (1, 2)}, "g", 1, "expected dict, list"),
        ({"a": float("nan")}, "g", 1, "finite float"),
        ({1: 2}, "g", 1, "keys must be str"),
        ({"a": [0] * 100_001}, "g", 1, "put arrays into tensors"),
        ({"a": "x" * 5_000_000}, "g", 1, "may hold"),
        ({}, "../g", 1, "is named with letters"),
        ({}, ".tmp", 1, "is named with letters"),
        ({}, "g", -1, "step must be >= 0"),
    ],
)
def test_content_without_a_plain_form_is_refused(tmp_path: Path, state, group: str, step: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_checkpoint(tmp_path / "it", Checkpoint(step, {group: {"x": torch.ones(1)}}, state, ""))
    assert list(tmp_path.iterdir()) == []


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


DAMAGES = {
    "truncated": _truncate,
    "empty": lambda path: path.write_bytes(b""),
    "flipped": _flip,
    "missing": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_named_and_the_previous_one_used(tmp_path: Path, caplog, name: str, damage: str) -> None:
    save_checkpoint(tmp_path, make_checkpoint(1))
    newest = save_checkpoint(tmp_path, make_checkpoint(2))
    DAMAGES[damage](newest / name)
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        read_checkpoint(newest)
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.step == 1 and found.state["round"] == 1
    assert name in caplog.text and "step-000002" in caplog.text


def test_extra_file_is_named(folder: Path) -> None:
    (folder / "more.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"more\.safetensors: is not in the manifest"):
        read_checkpoint(folder)


def test_no_flipped_bit_of_the_manifest_goes_unnoticed(folder: Path) -> None:
    path = folder / "manifest.json"
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read_checkpoint(folder)


class Payload:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("name", [*FILES, "state.pkl", "generator.pt", "class_and_ctor_args.pkl"])
@pytest.mark.parametrize("by_torch", [False, True])
def test_pickles_are_never_run(folder: Path, tmp_path: Path, name: str, by_torch: bool) -> None:
    marker = tmp_path / "marker"
    if by_torch:
        torch.save(Payload(marker), folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps(Payload(marker)))
    if name in FILES and name != "manifest.json":
        reseal(folder)
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        read_checkpoint(folder)
    assert not marker.exists()
    with (folder / name).open("rb") as file:  # the payload is a live one
        torch.load(file, weights_only=False) if by_torch else pickle.load(file)
    assert marker.exists()


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/passwd", "a/b.safetensors", "..", "run.py", ".safetensors"]
)
def test_names_that_leave_the_folder_are_refused(folder: Path, name: str) -> None:
    (folder.parent / "outside.safetensors").write_bytes(b"")
    reseal(folder, lambda manifest: manifest["files"].update({name: {"sha256": "0" * 64, "bytes": 0}}))
    with pytest.raises(CheckpointError, match=r"manifest\.json: lists .* which is no name"):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", FILES)
def test_links_are_refused(folder: Path, tmp_path: Path, name: str) -> None:
    shutil.move(folder / name, tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(CheckpointError, match="links are refused"):
        read_checkpoint(folder)


def test_linked_folder_and_pipe_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(CheckpointError, match="link: is not a folder"):
        read_checkpoint(tmp_path / "link")
    (folder / "state.json").unlink()
    os.mkfifo(folder / "state.json")
    with pytest.raises(CheckpointError, match=r"state\.json: is not a regular file"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[0" + ",0" * 999_999 + "]", "is not the JSON"),
        ('{"a": [0' + ",0" * 999_999 + "]}", "100000 values"),
        ('{"a": "' + "x" * 5_000_000 + '"}', "more than the 4194304 allowed"),
        ('{"a": ' + "[" * 40 + "]" * 40 + "}", "32 levels"),
        ('{"a": ' + "[" * 900_000, "is not the JSON"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1e999}', "finite float"),
        ('{"a": 1, "a": 2}', "given twice"),
        ('{"a": ' + "9" * 5000 + "}", "is not the JSON"),
        ("[1]", "expected a dict"),
        ("", "is not the JSON"),
    ],
)
def test_hostile_json_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "state.json").write_text(text)
    reseal(folder)
    with pytest.raises(CheckpointError, match=r"state\.json: .*" + message):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(step="1"), "'step' of type int"),
        (lambda m: m.update(step=True), "'step' of type int"),
        (lambda m: m.pop("versions"), "'versions' of type dict"),
        (lambda m: m["files"].update({"state.json": 3}), "sha256 and a number of bytes for 'state.json'"),
        (lambda m: m["files"]["state.json"].update(bytes=-1), r"the manifest says -1"),
        (lambda m: m["files"].pop("state.json"), "does not list 'state.json'"),
        (lambda m: m.update(tokenizer_sha256=None), r"contradicts itself about tokenizer\.json"),
        (lambda m: m.update(config_sha256="0" * 64), r"contradicts itself about config\.yaml"),
    ],
)
def test_manifest_of_wrong_types_is_refused(folder: Path, change, message: str) -> None:
    reseal(folder, change)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_schema_is_named_with_both_versions(folder: Path, version) -> None:
    reseal(folder, lambda manifest: manifest.update(schema_version=version, versions={"rlgan": "9.8"}))
    with pytest.raises(CheckpointError, match=rf"schema version {version!r} .*9\.8.* reads schema 1"):
        read_checkpoint(folder)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere: is not a folder"):
        read_checkpoint(tmp_path / "nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_named(folder: Path) -> None:
    (folder / "state.json").chmod(0)
    with pytest.raises(CheckpointError, match=r"state\.json: cannot be read"):
        read_checkpoint(folder)
