"""The wheel: it holds the linked folders as real packages, works from elsewhere, and Ray workers find its code.

And an install without a compiler, which has no native core.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAIN = (
    "import sys; from rlgan.launch.main import main; sys.exit(main(['train', 'seqgan', '--run-dir', 'run',"
    "'--num-env-runners', '2', '--vocab-size', '20', '--length', '6', '--oracle-sequences', '200', '--oracle-held-out',"
    "'50', '--likelihood.epochs', '1', '--discriminator-training.pretrain-steps', '1', '--rounds', '1',"
    "'--batch-size', '8', '--num-rollouts', '2']))"
)


@pytest.fixture(scope="module")
def unpacked_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of a wheel built from the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "content")
    return folder / "content"


def test_the_core_is_built_of_all_its_files() -> None:
    """What is missing here is missing in a source distribution, which then silently has no core."""
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 reads pyproject.toml")
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (core,) = settings["tool"]["setuptools"]["ext-modules"]
    for key, suffix in (("sources", "cpp"), ("depends", "hpp")):
        assert sorted(core[key]) == sorted(
            str(path.relative_to(ROOT)) for path in (ROOT / "rlgan/native").glob(f"*.{suffix}")
        )


@pytest.mark.slow
def test_the_wheel_holds_every_module_once(unpacked_wheel: Path) -> None:
    wanted = {
        path.relative_to(ROOT)
        for folder in ("rlgan", "rlgan/envs", "rlgan/policies", "rlgan/launch")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {path.relative_to(unpacked_wheel) for path in unpacked_wheel.rglob("*.py")} == wanted
    assert (unpacked_wheel / "rlgan/py.typed").is_file()
    assert {path.name.split("-")[0] for path in unpacked_wheel.iterdir()} == {"rlgan"}
    assert not any(path.is_symlink() for path in unpacked_wheel.rglob("*"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_trains_from_elsewhere_with_ray_workers(unpacked_wheel: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(unpacked_wheel)}
    code = f"import rlgan; assert rlgan.__file__.startswith({str(unpacked_wheel)!r}), rlgan.__file__; {TRAIN}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run/report.html").is_file()


@pytest.mark.slow
def test_an_install_without_a_compiler_has_no_native_core_and_works(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    left_out = shutil.ignore_patterns(".*", "build", "*.egg-info", "*.so", "__pycache__", "docs", "tests")
    shutil.copytree(ROOT, source, symlinks=True, ignore=left_out)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    installed = subprocess.run(
        [*command, "--target", str(target), str(source)],
        env=os.environ | {"CC": "/bin/false", "CXX": "/bin/false"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert installed.returncode == 0, installed.stderr
    assert not list(target.rglob("*.so"))
    code = (
        "import rlgan, torch; from rlgan.native import instruction_set; from rlgan.sampling import sample_linear;"
        "drawn = sample_linear(torch.zeros(1, 2), torch.ones(3, 2), torch.tensor([0.0, 99.0, 0.0]), torch.rand(1, 1));"
        "print(rlgan.__file__, instruction_set(), drawn.tolist())"
    )
    for setting, said in (("1", f"{target}/rlgan/__init__.py None [[1]]"), ("avx2", "the native core was not built")):
        environment = os.environ | {"PYTHONPATH": str(target), "RLGAN_NATIVE": setting}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert said in done.stdout + done.stderr
