"""`rlgan doctor`: what this machine offers a run, and what would stop one: versions, threads, folder, cluster.

What only Python and the packages of a command line are needed for comes first: other packages may be what is missing.
"""

import importlib.metadata
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from rlgan.errors import ConfigError
from rlgan.launch.finding import Finding
from rlgan.launch.options import OptionStyle, parse_options

STYLE = OptionStyle(
    "rlgan doctor",
    "Check what a run needs: versions, cores, memory, threads, a folder to write to, and with --address a Ray cluster. "
    "Ends with 0, or with the exit code that the run would end with.",
)
_SHOWN = ("ray", "torch", "gymnasium", "numpy", "pydantic", "tensorboard", "safetensors", "tokenizers")


class DoctorOptions(BaseModel):
    """All options of `rlgan doctor`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    run_root: Path = Field(Path("runs"), description="Folder that run directories would be made in.")
    address: str | None = Field(
        None, min_length=1, description="HOST:PORT of a running Ray cluster, or auto for the one on this machine."
    )
    connect_timeout: float = Field(
        30.0, gt=0, le=3600, description="Seconds to wait for the cluster at --address to answer."
    )


def doctor(arguments: Sequence[str]) -> int:
    """Run `rlgan doctor`.

    Args:
        arguments: the words after it.

    Returns:
        0 if nothing would stop a run, else the exit code of the first thing that would.
    """
    options = parse_options(DoctorOptions, arguments, STYLE)
    first_code = 0
    for finding in examine(options):
        sys.stdout.write(finding.lines())
        sys.stdout.flush()
        if finding.problem is not None:
            first_code = first_code or finding.problem.exit_code
    return first_code


def examine(options: DoctorOptions) -> Iterator[Finding]:
    """Look at everything, what is quick first.

    Args:
        options: where to look.

    Yields:
        Findings; the versions alone where a package is missing that the rest is looked at with.
    """
    wrong = _wrong_packages()
    yield _versions(wrong)
    if None in wrong.values():
        return
    from rlgan.launch import machine

    yield machine.cores()
    yield machine.memory()
    yield machine.run_root(options.run_root)
    yield machine.shared_files()
    yield machine.token()
    yield machine.job_client()
    if options.address is not None:
        yield machine.cluster(options.address, options.connect_timeout)


def _wrong_packages() -> dict[str, str | None]:
    """What rlgan asks for and has not got: "ray>=2.60,<2.61" to the version that is here; None where there is none."""
    from packaging.requirements import Requirement

    wrong: dict[str, str | None] = {}
    for text in importlib.metadata.requires("rlgan") or ():
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        found = _version(wanted.name)
        if found is None or not wanted.specifier.contains(found, prereleases=True):
            wrong[f"{wanted.name}{wanted.specifier}"] = found
    return wrong


def _versions(wrong: dict[str, str | None]) -> Finding:
    """Python and the packages that matter."""
    found = ", ".join(f"{name} {_version(name) or 'missing'}" for name in ("rlgan", *_SHOWN))
    told = ", ".join(f"{wanted} ({here or 'missing'} here)" for wanted, here in wrong.items())
    problem = ConfigError(f"rlgan asks for {told}. `pip install rlgan` brings what it asks for.") if wrong else None
    return Finding("versions", f"Python {platform.python_version()}, {found}", problem)


def _version(name: str) -> str | None:
    """Of an installed package; None where it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
