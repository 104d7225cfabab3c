"""What benchmarks of many `rlgan train` runs share: each run is one command, and one that is complete is kept."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RLGAN = str(Path(sys.executable).parent / "rlgan")


def train(system: str, directory: Path, seed: int, options: Sequence[str]) -> int:
    """One run, unless it is there already; its output goes to a file beside it."""
    if (directory / "report.html").is_file():
        return 0
    command = [RLGAN, "train", system, "--run-dir", str(directory), "--seed", str(seed), "--resume", "auto", *options]
    print(" ".join(command), flush=True)
    with directory.with_suffix(".log").open("a", encoding="utf-8") as log:
        return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode


def train_all(
    system: str, output: Path, seeds: Sequence[int], variants: Mapping[str, Sequence[str]], jobs: int
) -> dict[tuple[str, int], Path]:
    """Every variant with every seed, `jobs` at the same time; stops the script if one fails.

    Each has its share of the cores, unless OMP_NUM_THREADS says how many.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    output.mkdir(parents=True, exist_ok=True)
    runs = {(variant, seed): output / f"{variant}-{seed}" for seed in seeds for variant in variants}
    with ThreadPoolExecutor(jobs) as pool:
        codes = pool.map(lambda run: train(system, runs[run], run[1], variants[run[0]]), runs)
        failed = [path.name for path, code in zip(runs.values(), codes, strict=True) if code]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; see the .log files in {output}")
    return runs
