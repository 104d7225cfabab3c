"""MaskGAN, its controls and its baselines over several seeds: one table; and the variance of its gradient by baseline.

    python benchmarks/maskgan_results.py --output runs/grammar --seeds 0 1 2
    python benchmarks/maskgan_results.py --output runs/ptb --seeds 0 --variants default --data ptb.train.txt ...

Every run is one `rlgan train maskgan` command, which is printed; equal seeds share everything up to the discriminator's
training bit for bit. Options that this script does not know go to all of them. Runs that are complete are kept. All are
judged here by one protocol: the same held-out texts, blanks and random numbers. A row "MaskMLE at the entropy of"
is read between the temperatures of MaskMLE's sweep, and missing where it would be outside.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import torch
import yaml
from measuring import machine, table
from torch import Tensor
from training_runs import train_all

from rlgan.baselines import Baseline, CriticBaseline, LeaveOneOutBaseline, MovingAverageBaseline, NoBaseline
from rlgan.blanks import draw_blanks
from rlgan.checkpoint import Checkpoint, read_checkpoint
from rlgan.evaluation import SweepPoint, figures_at_entropy
from rlgan.gradient_variance import GradientVariance, baseline_variances
from rlgan.infilling_evaluation import evaluate_infilling, infilling_temperature_sweep
from rlgan.launch.fill_nets import FillNets, load_fill_nets
from rlgan.launch.generator import checkpoint_at
from rlgan.launch.trained_run import data_of
from rlgan.metrics.quality_diversity import ExtrapolationError
from rlgan.seeding import torch_generator
from rlgan.types import TokenSource

VARIANTS = {
    "default": [],
    "constant": ["--reward-ablation", "constant"],
    "random": ["--reward-ablation", "random"],
    "constant-no-baseline": ["--reward-ablation", "constant", "--baseline", "none"],
    "random-no-baseline": ["--reward-ablation", "random", "--baseline", "none"],
    "moving-average": ["--baseline", "moving_average"],
    "no-baseline": ["--baseline", "none"],
    "4-fills": ["--baseline", "leave_one_out", "--num-fills", "4", "--batch-size", "32"],
}
TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
COLUMNS = {
    "eval/grammatical": "grammatical", "eval/true_log_likelihood": "true log-lik.", "gen/entropy": "entropy",
    "eval/divergence": "divergence", "eval/masked_perplexity": "masked ppl", "eval/lm_fill_perplexity": "fills ppl",
    "eval/lm_fill_text_perplexity": "texts ppl", "eval/distinct_2": "unique 2", "eval/distinct_3": "unique 3",
    "eval/distinct_4": "unique 4", "eval/bleu_3": "BLEU-3", "eval/self_bleu_3": "Self-BLEU-3",
}  # fmt: skip
REAL = {
    "eval/masked_perplexity": "eval/lm_real_perplexity", "eval/lm_fill_perplexity": "eval/lm_real_perplexity",
    "eval/lm_fill_text_perplexity": "eval/lm_real_text_perplexity",
    **{tag: tag.replace("eval/", "eval/real_") for tag in COLUMNS if "distinct" in tag or "bleu" in tag},
}  # fmt: skip
NUM_FILLS = 4
Batch: TypeAlias = tuple[Tensor, Tensor, Tensor]


def result_rows(runs: dict[tuple[str, int], Path], seeds: Sequence[int], num_samples: int) -> Iterator[list[str]]:
    """Name, seed and figures: of the real texts, MaskMLE by temperature, and every run."""
    for seed in seeds:
        sweep: list[SweepPoint] = []
        for (variant, run_seed), path in runs.items():
            if run_seed != seed:
                continue
            checkpoint = checkpoint_at(path)
            nets, source = load_fill_nets(checkpoint, path), data_of(checkpoint, path)
            judged = (nets.language_model, source, nets.blanks)
            rest = (num_samples, 0, nets.blanks.last_rate)
            if not sweep:
                sweep = infilling_temperature_sweep(nets.generators["mask_mle"], *judged, TEMPERATURES, *rest)
                plain = next(point.figures for point in sweep if point.temperature == 1.0)
                yield _row("real words", seed, {tag: plain[real] for tag, real in REAL.items()})
                for point in sweep:
                    yield _row(f"MaskMLE, temperature {point.temperature:g}", seed, point.figures)
            figures = evaluate_infilling(nets.generators["maskgan"], *judged, *rest).figures
            yield _row(f"**{variant}**", seed, figures)
            name = f"MaskMLE at the entropy of {variant}"
            try:
                yield _row(name, seed, figures_at_entropy(sweep, figures["gen/entropy"]))
            except ExtrapolationError:
                yield [f"{name}: outside its sweep", str(seed), *[""] * len(COLUMNS)]


def _row(name: str, seed: int, figures: dict[str, float]) -> list[str]:
    """One line of the table."""
    return [name, str(seed), *(f"{figures[tag]:.4g}" if tag in figures else "" for tag in COLUMNS)]


def texts(nets: FillNets, source: TokenSource, num_batches: int, copies: int, seed: int) -> Iterator[Batch]:
    """Batches of 128 rows: training texts, each `copies` times, their blanks, and random numbers for the fills."""
    random = torch_generator(seed, "gradient variance")
    for _ in range(num_batches):
        real_BT = source.train_NT[torch.randint(len(source.train_NT), (128 // copies,), generator=random)]
        blank_BT = draw_blanks(nets.blanks, real_BT, nets.space, nets.blanks.last_rate, random)
        uniform_BT = torch.rand((128, nets.space.length), generator=random)
        yield real_BT.repeat_interleave(copies, 0), blank_BT.repeat_interleave(copies, 0), uniform_BT


def variances(nets: FillNets, source: TokenSource, discount: float, num_batches: int) -> dict[str, GradientVariance]:
    """By baseline. Those of one fill a text share their fills; those of several have as many rows in all."""
    average = MovingAverageBaseline(nets.space.length, 0.9)
    judged = (nets.generators["maskgan"].requires_grad_(True), nets.discriminator)
    baseline_variances(*judged, texts(nets, source, 30, 1, seed=1), {"warm-up": average}, discount)
    one: dict[str, Baseline] = {"none": NoBaseline(), "moving average": average, "critic": CriticBaseline()}
    several: dict[str, Baseline] = {f"none, {NUM_FILLS} fills a text": NoBaseline()}
    several[f"mean of the other fills, {NUM_FILLS} a text"] = LeaveOneOutBaseline(NUM_FILLS)
    found = baseline_variances(*judged, texts(nets, source, num_batches, 1, seed=0), one, discount)
    return found | baseline_variances(*judged, texts(nets, source, num_batches, NUM_FILLS, seed=0), several, discount)


def variance_rows(path: Path, seed: int, num_batches: int) -> Iterator[list[str]]:
    """At every checkpoint of the adversarial rounds that was kept, and at their beginning."""
    for folder in sorted((path / "checkpoints").glob("step-*")):
        checkpoint: Checkpoint = read_checkpoint(folder)
        training = yaml.safe_load(checkpoint.config_yaml)["training"]
        before = training["discriminator_training"]["pretrain_rounds"]
        before += training["language_model"]["epochs"] + training["mask_mle"]["epochs"]
        if checkpoint.step < before:
            continue
        nets, source = load_fill_nets(checkpoint, path), data_of(checkpoint, path)
        found = variances(nets, source, training["discount"], num_batches)
        for name, one in found.items():
            factor = found["none"].variance / one.variance
            cells = [f"{one.variance:.3g}", f"{factor:.2f}", f"{one.signal:.2g}", f"{one.explained_variance:.3f}"]
            yield [str(seed), str(checkpoint.step - before), name, *cells]


def main() -> None:
    """Train what is missing, then print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--rounds", type=int, default=150, help="adversarial rounds")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, each with its share of the cores")
    parser.add_argument("--num-samples", type=int, default=2000, help="texts that every generator is judged by")
    parser.add_argument("--num-batches", type=int, default=100, help="gradients of a variance; 0: no variances")
    arguments, extra = parser.parse_known_args()
    kept = "--eval-every 50 --sweep-samples 0 --keep-checkpoints 20"
    common = [f"--rounds={arguments.rounds}", *kept.split(), *extra]
    variants = {name: [*VARIANTS[name], *common] for name in arguments.variants}
    runs = train_all("maskgan", arguments.output, arguments.seeds, variants, arguments.jobs)
    print(f"\n{machine()}; {arguments.num_samples} texts\n")
    table(["run", "seed", *COLUMNS.values()], result_rows(runs, arguments.seeds, arguments.num_samples))
    if arguments.num_batches and "default" in arguments.variants:
        print(f"Policy gradient of 128 fills, {arguments.num_batches} batches each; rounds of the default runs:\n")
        head = ["seed", "round", "baseline", "variance", "none's / this", "signal", "explained variance"]
        paths = [(runs["default", seed], seed) for seed in arguments.seeds]
        rows = [row for path, seed in paths for row in variance_rows(path, seed, arguments.num_batches)]
        table(head, rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
