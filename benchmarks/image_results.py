"""BGAN and BEGAN on MNIST's 10,000 test images at equal CPU-seconds of training, one judge for all: a table and grids.

    python benchmarks/image_results.py --data t10k-images-idx3-ubyte.gz --output runs/images --rows gan --seeds 0 1 2

8,000 images are trained on and 2,000 held out (split seed 0). A row is a variant and a seed; its time is what
`time.process_time` says of the rounds alone, with one thread, so that it hardly depends on what else the machine does.
Every row is a line of OUTPUT/results.jsonl and a grid OUTPUT/ROW-SEED.png of the first 80 samples, not chosen; rows
that are there are not run again. Samples of BGAN are draws, not probabilities, and are judged against binarised images.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import ray
import torch

from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_source import load_image_source
from rlgan.image_evaluation import ImageEvaluator
from rlgan.judge import Judge, train_judge
from rlgan.launch.image_judgement import as_picture
from rlgan.launch.pictures import write_png
from rlgan.launch.systems import began, bgan
from rlgan.metrics.frechet import FeatureMoments
from rlgan.seeding import torch_generator

NUM_SAMPLES = 2000
BGAN_ROWS: dict[str, dict[str, Any]] = {
    "gan": {},
    "reinforce": {"estimator": "reinforce"},
    "paper-form": {"control_variate": False, "discriminator": {"gradient_penalty": 0.0}},
    "no-control-variate": {"control_variate": False},
    "single-partition": {"estimator": "single_partition"},
    "reinforce-moving-average": {"estimator": "reinforce", "baseline": "moving_average"},
    **{
        name.replace("_", "-"): {"discriminator": {"divergence": name}}
        for name in ("reverse_kl", "squared_hellinger", "jensen_shannon")
    },
    **{f"{name}-tilted": {"discriminator": {"divergence": name}} for name in ("kl", "pearson")},
    **{
        name: {"discriminator": {"divergence": name, "gradient_penalty": 1.0, "objective": "bound"}}
        for name in ("kl", "pearson")
    },
}
BEGAN_ROWS: dict[str, dict[str, Any]] = {
    "began": {},
    **{f"began-gamma-{gamma}": {"diversity": gamma} for gamma in (0.3, 0.5, 0.7)},
}


def judged(judge: Judge, source: Any, seed: int) -> ImageEvaluator:
    """The same judge for another form of the same images: its moments are of these training images."""
    unit_NCHW = source.space.to_unit(source.train_NCHW)
    with torch.no_grad():
        features_NF = torch.cat([judge.net.features(rows) for rows in unit_NCHW.split(500)])
    moved = Judge(judge.net, judge.accuracy, FeatureMoments.of(features_NF), judge.real_share_L)
    unmeasured = ImageEvaluator(source, moved, {})
    return ImageEvaluator(source, moved, unmeasured.sample_figures(source.space.to_unit(source.held_out_NCHW)))


def references(evaluator: ImageEvaluator, random: torch.Generator) -> dict[str, dict[str, float]]:
    """Figures of held-out images, of pixels drawn from the mean image, and of noise."""
    source = evaluator.source
    mean_1CHW = source.space.to_unit(source.train_NCHW).mean(dim=0, keepdim=True)
    uniform = torch.rand((NUM_SAMPLES, *source.space.shape), generator=random)
    noise = (uniform < 0.5).float() if source.space.levels == 2 else uniform
    mean_image = (uniform < mean_1CHW).float() if source.space.levels == 2 else mean_1CHW.expand_as(uniform)
    samples = {"pixels of the mean image": mean_image, "noise": noise}
    return {"held-out images": evaluator.reference} | {
        name: evaluator.sample_figures(images) for name, images in samples.items()
    }


def last_figures(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every figure of the last round over the rounds that have it: those of another phase do not."""
    means = {}
    for tag, last in rows[-1].items():
        if math.isfinite(last):
            values = [row[tag] for row in rows if tag in row]
            means[tag] = sum(values) / len(values)
    return means


def train_for(config: Any, seconds: float) -> tuple[Any, dict[str, float], float]:
    """The algorithm after so many CPU-seconds of rounds, the mean figures of its last rounds, and the seconds."""
    algorithm, spent, rows = config.build_algo(), 0.0, []
    while spent < seconds:
        started = time.process_time()
        algorithm.train()
        spent += time.process_time() - started
        rows = [*rows[-99:], algorithm.report.figures]
    return algorithm, last_figures(rows), spent


def run_row(
    name: str, seed: int, seconds: float, data: Path, evaluator: ImageEvaluator, output: Path, temperatures: list[float]
) -> dict[str, Any]:
    """Train a row, measure it, write its grid."""
    run = began.quick() if name in BEGAN_ROWS else bgan.quick()
    config = run.algorithm_config().training(rounds=10**6, **{**BGAN_ROWS, **BEGAN_ROWS}[name])
    config = config.data(data=data).debugging(seed=seed)
    algorithm, last, spent = train_for(config, seconds)
    generator = algorithm.generator()
    figures = measured(generator, evaluator, seed, output / f"{name}-{seed}.png")
    colder = {
        temperature: measured(
            generator,
            evaluator,
            seed,
            output / f"{name}-{seed}-temperature-{temperature:g}.png",
            temperature=temperature,
        )
        for temperature in (temperatures if name in BGAN_ROWS else ())
    }
    kept = ("eval/bgan_ess", "eval/began_ratio", "eval/began_k", "eval/began_M", "disc/logit_gap", "gen/entropy")
    figures |= {tag: last[tag] for tag in kept if tag in last}
    algorithm.stop()
    return {
        "row": name,
        "seed": seed,
        "cpu_seconds": round(spent, 1),
        "rounds": algorithm.step_count,
        "figures": figures,
        "temperatures": colder,
    }


def measured(generator: Any, evaluator: ImageEvaluator, seed: int, grid: Path, **how: float) -> dict[str, float]:
    """Figures of samples, whose first 80 are written as a grid; the codes are the same whatever the temperature."""
    random = torch_generator(seed, "image results")
    images_NCHW = generator.images(generator.draw_latent(NUM_SAMPLES, random), random, **how)
    write_png(grid, as_picture(images_NCHW[:80]))
    return evaluator.figures(images_NCHW)


def table(results: list[dict[str, Any]]) -> str:
    """All rows as Markdown."""
    columns = {
        "eval/fid": "Frechet", "eval/judge_confidence": "judge conf.", "eval/class_balance": "class TV",
        "eval/diversity": "diversity", "eval/nearest_train_distance": "NN", "eval/bgan_ess": "ESS",
        "eval/began_ratio": "L(G)/L(x)", "eval/began_k": "k",
    }  # fmt: skip
    lines = [f"| row | seed | CPU-s | rounds | {' | '.join(columns.values())} |", "|---" * (4 + len(columns)) + "|"]
    for one in results:
        colder = {f"{one['row']}, temperature {key}": value for key, value in one.get("temperatures", {}).items()}
        for row, figures in {one["row"]: one["figures"], **colder}.items():
            cells = [f"{figures[tag]:.3g}" if tag in figures else "" for tag in columns]
            lines.append(f"| {row} | {one['seed']} | {one['cpu_seconds']} | {one['rounds']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, then print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="*", choices=[*BGAN_ROWS, *BEGAN_ROWS], default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--bgan-seconds", type=float, default=60.0)
    parser.add_argument("--began-seconds", type=float, default=100.0)
    parser.add_argument("--temperatures", type=float, nargs="*", default=[], help="judge BGAN at these too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.output.mkdir(parents=True, exist_ok=True)
    grey, binary = (load_image_source(ImageCorpusConfig(data=arguments.data, levels=levels)) for levels in (256, 2))
    judge = train_judge(grey, seed=0)
    evaluators = {"began": judged(judge, grey, 0), "bgan": judged(judge, binary, 0)}
    print(f"judge accuracy on held-out images: {judge.accuracy:.4f}")
    for system, evaluator in evaluators.items():
        for name, figures in references(evaluator, torch_generator(0, "references")).items():
            print(f"{system}: {name}: " + ", ".join(f"{tag} {value:.4g}" for tag, value in figures.items()))
    path = arguments.output / "results.jsonl"
    results = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    for seed in arguments.seeds:
        for name in arguments.rows:
            if any((one["row"], one["seed"]) == (name, seed) for one in results):
                continue
            system = "began" if name in BEGAN_ROWS else "bgan"
            seconds = arguments.began_seconds if system == "began" else arguments.bgan_seconds
            given = (arguments.data, evaluators[system], arguments.output, arguments.temperatures)
            results.append(run_row(name, seed, seconds, *given))
            with path.open("a") as file:
                file.write(json.dumps(results[-1]) + "\n")
            print(table(results[-1:]), flush=True)
    print(table(sorted(results, key=lambda one: (one["row"], one["seed"]))))
    ray.shutdown()


if __name__ == "__main__":
    main()
