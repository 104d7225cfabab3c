"""The wheel that `rlgan submit` ships: built from the checkout this package runs from, without its dependencies."""

import base64
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import rlgan
from rlgan.errors import ConfigError

_SOURCES = ("pyproject.toml", "README.md", "rlgan", "envs", "policies", "launch")
_BUILD_SECONDS = 600.0


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the checkout that is running.

    Only the package is copied for it: no run directory, data or checkpoint can get into an upload.

    Args:
        folder: where the wheel is put.

    Returns:
        The wheel.

    Raises:
        ConfigError: if rlgan was not installed from a checkout, or the build fails.
    """
    root = Path(rlgan.__file__).parents[1]
    if not all((root / name).exists() for name in _SOURCES):
        raise ConfigError(f"{root} is no checkout of rlgan: no wheel can be built. Give a built one by --wheel.")
    with tempfile.TemporaryDirectory(prefix="rlgan-wheel-") as temporary:
        copy = Path(temporary)
        for name in _SOURCES:
            _copy(root / name, copy / name)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy)]
        try:
            built = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise ConfigError(f"building the wheel took more than {_BUILD_SECONDS:g} s. Give one by --wheel.") from None
    if built.returncode:
        last = (built.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ConfigError(f"the wheel could not be built ({last:.200}). Give a built one by --wheel.")
    return next(folder.glob("rlgan-*.whl"))


def without_dependencies(wheel: Path, folder: Path) -> Path:
    """A wheel that asks for nothing else.

    Ray installs a shipped wheel with its dependencies into a folder of the job, which would be a second torch and a
    second Ray for every job; the nodes have them already.

    Args:
        wheel: a wheel of rlgan.
        folder: where the new one is put; another folder than that of `wheel`.

    Returns:
        The new wheel, of the same name.

    Raises:
        ConfigError: if the file is no wheel of rlgan.
    """
    shipped = folder / wheel.name
    try:
        with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(shipped, "w", zipfile.ZIP_DEFLATED) as new:
            metadata = next(name for name in old.namelist() if name.endswith(".dist-info/METADATA"))
            record = metadata.replace("METADATA", "RECORD")
            if not metadata.startswith("rlgan-"):
                raise ConfigError(f"{wheel}: a wheel of {metadata.partition('-')[0]}, not of rlgan.")
            text = old.read(metadata).decode()
            kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("Requires-Dist:"))
            for item in old.infolist():
                content = old.read(item)
                if item.filename == metadata:
                    content = kept.encode()
                elif item.filename == record:
                    content = _with_hash(content.decode(), metadata, kept.encode()).encode()
                new.writestr(item, content)
    except (OSError, zipfile.BadZipFile, StopIteration, KeyError, UnicodeDecodeError) as error:
        raise ConfigError(f"{wheel}: no wheel that can be read ({type(error).__name__}).") from None
    return shipped


def _copy(source: Path, target: Path) -> None:
    """A file, a link or a folder of the package, without what a build or a test leaves there."""
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyc"))
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _with_hash(record: str, name: str, content: bytes) -> str:
    """The RECORD of a wheel in which one file has changed."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    lines = record.splitlines(keepends=True)
    return "".join(
        f"{name},sha256={digest},{len(content)}\n" if line.startswith(f"{name},") else line for line in lines
    )
