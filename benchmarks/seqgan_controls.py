"""SeqGAN's default, its paper form and all controls, over several seeds, in one table and plot.

    python benchmarks/seqgan_controls.py --output runs/controls --seeds 0 1 2 --jobs 2

Every run is one `rlgan train seqgan` command, which is printed; equal seeds share their likelihood pre-training bit for
bit. Runs that are complete are kept, so that the script can be stopped and started again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from training_runs import RLGAN, train_all

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
    "320-d-steps": ["--discriminator-training.num-negatives", "20480"],
}

VARIANTS = {
    "default": [],
    "default-constant": ["--reward-ablation", "constant"],
    "paper": PAPER_FORM,
    "paper-constant": [*PAPER_FORM, "--reward-ablation", "constant"],
    "paper-random": [*PAPER_FORM, "--reward-ablation", "random"],
    **SCHEDULES,
}


def main() -> int:
    """Train what is missing, then compare all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=[v for v in VARIANTS if v not in SCHEDULES])
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, each with its share of the cores")
    arguments, extra = parser.parse_known_args()
    variants = {name: [*VARIANTS[name], *extra] for name in arguments.variants}
    directories = map(str, train_all("seqgan", arguments.output, arguments.seeds, variants, arguments.jobs).values())
    compare = [RLGAN, "eval", "--compare", *directories, "--output", str(arguments.output / "comparison")]
    return subprocess.run(compare, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
