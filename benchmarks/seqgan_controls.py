"""SeqGAN's default, its paper form and all controls, over several seeds, in one table and plot.

    python benchmarks/seqgan_controls.py --output runs/controls --seeds 0 1 2 --jobs 2

Every run is one `rlgan train seqgan` command, which is printed; equal seeds share their likelihood pre-training bit for
bit. Runs that are complete are kept, so that the script can be stopped and started again.
"""

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PAPER_FORM = [
    "--advantage", "none", "--no-standardise", "--reduction", "sum", "--discriminator.reward-map", "probability",
    "--regularisation.likelihood-weight", "0", "--regularisation.entropy-ratio", "None", "--lr", "0.01",
]  # fmt: skip

SCHEDULES = {  # discriminator steps a round: default 5
    "1-d-step": ["--discriminator-training.num-negatives", "64"],
    "5-d-steps-every-4-rounds": ["--discriminator-training.g-steps", "4"],
    "15-d-steps": ["--discriminator-training.epochs", "3"],
    "20-d-steps": ["--discriminator-training.num-negatives", "1280"],
    "80-d-steps": ["--discriminator-training.num-negatives", "5120"],
}

VARIANTS = {
    "default": [],
    "default-constant": ["--reward-ablation", "constant"],
    "paper": PAPER_FORM,
    "paper-constant": [*PAPER_FORM, "--reward-ablation", "constant"],
    "paper-random": [*PAPER_FORM, "--reward-ablation", "random"],
    **SCHEDULES,
}


def train(rlgan: str, directory: Path, seed: int, options: list[str]) -> int:
    """One run, unless it is there already; its output goes to a file beside it."""
    if (directory / "report.html").is_file():
        return 0
    command = [rlgan, "train", "seqgan", "--run-dir", str(directory), "--seed", str(seed), "--resume", "auto", *options]
    print(" ".join(command), flush=True)
    with directory.with_suffix(".log").open("a", encoding="utf-8") as log:
        return subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False).returncode


def main() -> int:
    """Train what is missing, then compare all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=[v for v in VARIANTS if v not in SCHEDULES])
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, each with its share of the cores")
    arguments, extra = parser.parse_known_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // arguments.jobs)))
    arguments.output.mkdir(parents=True, exist_ok=True)
    rlgan = str(Path(sys.executable).parent / "rlgan")
    runs = [
        (f"{variant}-{seed}", seed, VARIANTS[variant]) for seed in arguments.seeds for variant in arguments.variants
    ]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        codes = pool.map(lambda run: train(rlgan, arguments.output / run[0], run[1], [*run[2], *extra]), runs)
        failed = [name for (name, _, _), code in zip(runs, codes, strict=True) if code]
    if failed:
        print(f"failed: {', '.join(failed)}; see the .log files in {arguments.output}")
        return 1
    directories = [str(arguments.output / name) for name, _, _ in runs]
    compare = [rlgan, "eval", "--compare", *directories, "--output", str(arguments.output / "comparison")]
    return subprocess.run(compare, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
