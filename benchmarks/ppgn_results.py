"""The five models of PPGN on MNIST's 10,000 test images: one table, one judge, and a sheet of images for every row.

    python benchmarks/ppgn_results.py --data t10k-images-idx3-ubyte.gz --output runs/ppgn --seeds 0 1 2

6,000 images are trained on. The judge is of another architecture and never sees one of them: it learns from 4,000
held-out images, shifted by up to two pixels, and is tested on the 6,000. Models whose nets are the same share them:
the generator of PPGN-h, DGN-AM and Noiseless Joint is trained once a seed, and so is the encoder of all. A row has as
many chains of every class (--chains, 200 in all unless told otherwise; another number is another line); "long" is
three times the training of generator and denoiser. The chains of a run have the run's seed, or another one
(--chain-seed, another line too), for judging a setting on other random numbers than it was chosen on. Trained nets
and rows that are in OUTPUT are not made again, so that the work may be done in pieces (--seconds); every row is a line
of OUTPUT/results.jsonl.
"""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rlgan.captions import CaptionWords
from rlgan.chain_requests import ChainRequest, LabelRequest
from rlgan.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from rlgan.launch.chain_model import load_chain_model
from rlgan.launch.chain_pictures import recorded_steps, strip
from rlgan.launch.image_judgement import as_picture
from rlgan.launch.pictures import write_png
from rlgan.metrics.frechet import FeatureMoments
from rlgan.metrics.images import nearest_distances, within_label_distance
from rlgan.objectives.plug_and_play import label_log_probability, label_logit, released_label_log_probability
from rlgan.plug_and_play import ENCODER, model_named, planned_rounds
from rlgan.policies import PPGNConfig
from rlgan.policies.ppgn_workers import PPGNLearner
from rlgan.seeding import torch_generator
from rlgan.settings import changed

NUM_LABELS = 10
HELD_OUT = 0.4
TRAINED: dict[str, dict[str, Any]] = {
    "ppgn_h": {},
    "long": {"model": "ppgn_h", "rounds": 180, "denoiser_rounds": 480},
    "joint": {},
    "ppgn_x": {},
    "rectified": {"model": "noiseless_joint", "nets": {"encoder": {"rectified": True}}},
}


@dataclass(frozen=True)
class Row:
    """What is sampled: the nets of a trained run, a model, and how its chains move."""

    run: str
    model: str
    chain: dict[str, Any] = field(default_factory=dict)
    classifier: str = "encoder"
    gradient: Any = label_log_probability


RELEASED_EPS = {"eps1": 1e-5, "eps2": 1.0, "eps3": 1e-17}
RELEASED_STEP = {"rule": "released", "quiet_steps": 0, "steps": 100}
ROWS = {
    "PPGN-x": Row("ppgn_x", "ppgn_x"),
    "DGN-AM": Row("ppgn_h", "dgn_am"),
    "PPGN-h": Row("ppgn_h", "ppgn_h"),
    "PPGN-h, long": Row("long", "ppgn_h"),
    "PPGN-h, long, 6 quiet steps": Row("long", "ppgn_h", {"quiet_steps": 6, "steps": 102}),
    "PPGN-h, long, eps2 0.5": Row("long", "ppgn_h", {"eps2": 0.5}),
    "PPGN-h, long, eps2 0.5, 6 quiet steps": Row("long", "ppgn_h", {"eps2": 0.5, "quiet_steps": 6, "steps": 102}),
    "Joint PPGN-h": Row("joint", "joint"),
    "Noiseless Joint PPGN-h": Row("ppgn_h", "noiseless_joint"),
    "PPGN-h, second classifier": Row("ppgn_h", "ppgn_h", classifier="classifier"),
    "PPGN-h, released gradient": Row("ppgn_h", "ppgn_h", gradient=released_label_log_probability),
    "PPGN-h, raw logit": Row("ppgn_h", "ppgn_h", gradient=label_logit),
    "PPGN-h, eps1 0": Row("ppgn_h", "ppgn_h", {"eps1": 0.0}),
    "PPGN-h, eps2 0.05": Row("ppgn_h", "ppgn_h", {"eps2": 0.05}),
    "PPGN-h, eps2 0.005": Row("ppgn_h", "ppgn_h", {"eps2": 0.005}),
    "PPGN-h, eps2 0": Row("ppgn_h", "ppgn_h", {"eps2": 0.0}),
    "Noiseless Joint, rectified h": Row("rectified", "noiseless_joint"),
    "Noiseless Joint, rectified h, released step": Row("rectified", "noiseless_joint", RELEASED_STEP | RELEASED_EPS),
    "Noiseless Joint, rectified h, released step alone": Row("rectified", "noiseless_joint", RELEASED_STEP),
    "Noiseless Joint, rectified h, released eps alone": Row("rectified", "noiseless_joint", RELEASED_EPS),
}


class JudgeNet(nn.Module):
    """Two strided 5x5 convolutions: not the encoder's architecture."""

    def __init__(
        self, init: torch.Generator, shape: tuple[int, ...] = (1, 28, 28), num_labels: int = NUM_LABELS
    ) -> None:
        super().__init__()
        torch.manual_seed(init.initial_seed())
        channels, height, width = shape
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 12, 5, 2, 2), nn.LeakyReLU(0.1), nn.Conv2d(12, 24, 5, 2, 2), nn.LeakyReLU(0.1),
            nn.Flatten(), nn.Linear(24 * -(-height // 4) * -(-width // 4), 64), nn.ReLU(),
        )  # fmt: skip
        self.output = nn.Linear(64, num_labels)

    def forward(self, image_NCHW: Tensor) -> Tensor:
        logits_NL: Tensor = self.output(self.layers(image_NCHW))
        return logits_NL


def shifted(image_NCHW: Tensor, random: torch.Generator, most: int = 2) -> Tensor:
    """Every image moved by up to two pixels, black coming in."""
    padded, (height, width) = F.pad(image_NCHW, (most,) * 4), image_NCHW.shape[2:]
    moves = torch.randint(0, 2 * most + 1, (len(image_NCHW), 2), generator=random).tolist()
    return torch.stack([one[:, y : y + height, x : x + width] for one, (y, x) in zip(padded, moves, strict=True)])


def trained_judge(images: Tensor, labels: Tensor, path: Path, num_steps: int = 2500) -> JudgeNet:
    """The judge, from a file or fitted to images that no generator has seen."""
    random = torch_generator(0, "ppgn results judge")
    net = JudgeNet(random)
    if path.exists():
        net.load_state_dict(load_file(path))
        return net.eval().requires_grad_(False)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        rows = torch.randint(len(images), (64,), generator=random)
        F.cross_entropy(net(shifted(images[rows], random)), labels[rows]).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    save_file(net.state_dict(), path)
    return net.eval().requires_grad_(False)


def train(name: str, seed: int, corpus: dict[str, Any], source: Any, folder: Path, seconds: float) -> bool:
    """Train a run from its newest checkpoint until it is done, or this process has used so many CPU-seconds.

    The rounds are those of `rlgan train ppgn`, done by a learner without Ray around it.
    """
    done, checkpoints = folder / "done.json", folder / "checkpoints"
    if done.exists():
        return True
    changes: dict[str, Any] = {"model": name, **TRAINED[name]}
    config = PPGNConfig().data(**corpus).training(**changes).debugging(seed=seed)
    config.data_space = source.space
    config.observation_space, config.action_space = config.gym_spaces()
    learner = PPGNLearner(config=config, module_spec=config.get_multi_rl_module_spec())
    learner.build()
    captions_LT = CaptionWords(source.label_names).table()
    learner.set_real_data(source.train_NCHW, source.train_label_N, captions_LT)
    newest = latest_checkpoint(checkpoints) if checkpoints.exists() else None
    twin = folder.parent / f"ppgn_h-{seed}"
    progress = Progress(learner, config.hyperparameters)
    if newest is not None:
        learner.load_tensors({key.removeprefix("learner_"): group for key, group in newest.tensors.items()})
        progress.step, progress.ratio = newest.step, newest.state["loss_ratio"]
    elif (twin / "done.json").exists():  # with the same seed the first phase would end with these very weights
        learner.encoder.net.load_state_dict(load_chain_model(twin).nets[ENCODER].net.state_dict())
        learner.standardise()
        progress.step = config.hyperparameters.encoder_rounds
    while not progress.is_done and time.process_time() < seconds:
        progress.round(name, seed)
    save_checkpoint(checkpoints, progress.checkpoint(config), keep=2)
    (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")  # so that `rlgan sample` knows it for a run
    if progress.is_done:
        done.write_text(json.dumps(progress.figures))
    return progress.is_done


class Progress:
    """Where the phases of a learner are."""

    def __init__(self, learner: PPGNLearner, settings: Any) -> None:
        self.learner, self.settings, self.step = learner, settings, 0
        self.ratio: float | None = None
        self.figures: dict[str, dict[str, float]] = {}
        counts = planned_rounds(settings.plug_and_play, dict(settings))
        self.rounds = [(phase, index, count) for phase, count in counts.items() for index in range(count)]

    @property
    def is_done(self) -> bool:
        return self.step == len(self.rounds)

    def round(self, name: str, seed: int) -> None:
        """The next round."""
        phase, index, count = self.rounds[self.step]
        if phase == "generator":
            done = self.learner.generator_round(index, count, self.ratio)
            self.ratio, figures = done.loss_ratio, done.figures
        elif phase == "denoiser":
            figures = self.learner.denoiser_round(index, count)
        else:
            figures = self.learner.classifier_round(phase, index, count)
        if phase == "encoder" and index + 1 == count:
            self.learner.standardise()
        if index + 1 == count:
            self.figures[phase] = figures
            print(f"{name} {seed}: {phase} {figures}", flush=True)
        self.step += 1

    def checkpoint(self, config: PPGNConfig) -> Checkpoint:
        """As the algorithm writes it."""
        tensors = self.learner.tensors()
        published = {f"published_{name}": tensors[name] for name in config.chain_nets()}
        state = {"system": "ppgn", "space": asdict(config.space), "loss_ratio": self.ratio,
                 "label_names": [str(label) for label in range(NUM_LABELS)]}  # fmt: skip
        groups = {f"learner_{name}": group for name, group in tensors.items()} | published
        return Checkpoint(self.step, groups, state, config.to_yaml(), None)


class Bench:
    """The judge and the real images, and what they say of a set of chains."""

    def __init__(self, source: Any, judge: JudgeNet) -> None:
        self.judge, space = judge, source.space
        self.train_NCHW, self.train_label_N = space.to_unit(source.train_NCHW), source.train_label_N
        self.held_out_NCHW, self.held_out_label_N = space.to_unit(source.held_out_NCHW), source.held_out_label_N
        self.real = FeatureMoments.of(self._features(self.train_NCHW))

    @torch.no_grad()
    def _features(self, image_NCHW: Tensor) -> Tensor:
        return torch.cat([self.judge.layers(rows) for rows in image_NCHW.split(500)])

    @torch.no_grad()
    def figures(self, image_NCHW: Tensor, wanted_N: Tensor, condition: nn.Module | None) -> dict[str, float]:
        """All columns of a row."""
        features_NF = self._features(image_NCHW)
        judged_N = self.judge.output(features_NF).argmax(dim=1)
        figures = {
            "judge": float((judged_N == wanted_N).float().mean()),
            "within": within_label_distance(image_NCHW, wanted_N),
            "nearest": float(nearest_distances(image_NCHW, self.train_NCHW).mean()),
            "frechet": FeatureMoments.of(features_NF).frechet_distance(self.real),
        }
        if condition is not None:
            figures["condition"] = float((condition(image_NCHW).argmax(dim=1) == wanted_N).float().mean())
        return figures

    def held_out_figures(self) -> dict[str, float]:
        """Of 20 held-out images of every class, seen by the judge: its Frechet distance and distances only."""
        rows = torch.cat([(self.held_out_label_N == label).nonzero()[:20, 0] for label in range(NUM_LABELS)])
        return self.figures(self.held_out_NCHW[rows], self.held_out_label_N[rows], None)

    def training_figures(self) -> dict[str, float]:
        """Of the training images, which the judge has not seen: its accuracy."""
        return self.figures(self.train_NCHW, self.train_label_N, None)


def run_row(
    name: str, seed: int, chain_seed: int, num_chains: int, folder: Path, bench: Bench, output: Path
) -> dict[str, Any]:
    """Chains of a row, measured and shown."""
    row = ROWS[name]
    trained = load_chain_model(folder)
    model = model_named(row.model)
    chain = changed(trained.chain, row.chain, "chain")
    request = ChainRequest(
        LabelRequest(tuple(range(NUM_LABELS)), row.classifier, row.gradient),
        chain.rule_for(model), chain.steps, chain_seed, recorded_steps(chain.steps, 12),
    )  # fmt: skip
    started = time.process_time()
    record = replace(trained, model=model).run(request, num_chains)
    seconds = time.process_time() - started
    images_TNCHW = record.image_TNCHW.clamp(0.0, 1.0)
    file = f"{name.lower().replace(',', '').replace(' ', '-')}-{seed}{'' if chain_seed == seed else f'-{chain_seed}'}"
    write_png(output / f"{file}.png", as_picture(images_TNCHW[-1][:100]))
    write_png(output / f"{file}-strip.png", strip(images_TNCHW[:, :10]))
    wanted_N = torch.arange(num_chains) % NUM_LABELS
    figures = bench.figures(images_TNCHW[-1], wanted_N, trained.nets[row.classifier])
    rule = {key: value for key, value in vars(request.rule).items() if value is not None}
    return {"row": name, "seed": seed, "chain_seed": chain_seed, "num_chains": num_chains, "rule": rule,
            "cpu_seconds": round(seconds, 1), "figures": figures}  # fmt: skip


def key_of(result: dict[str, Any]) -> tuple[str, int, int, int]:
    """What a line of results.jsonl is of: row, seed, number of chains and their seed; the first had neither written."""
    return result["row"], result["seed"], result.get("num_chains", 200), result.get("chain_seed", result["seed"])


def table(results: list[dict[str, Any]]) -> str:
    """All rows as Markdown."""
    columns = {"condition": "condition acc.", "judge": "judge acc.", "within": "within-class distance",
               "nearest": "nearest training image", "frechet": "Frechet"}  # fmt: skip
    lines = [f"| row | seed | eps1, eps2, eps3 | {' | '.join(columns.values())} |", "|---" * (3 + len(columns)) + "|"]
    for one in results:
        cells = [f"{one['figures'][tag]:.3g}" if tag in one["figures"] else "" for tag in columns]
        eps = ", ".join(f"{one['rule'][name]:.3g}" for name in ("eps1", "eps2", "eps3")) if one["rule"] else ""
        _, seed, num_chains, chain_seed = key_of(one)
        row = one["row"] if num_chains == 200 else f"{one['row']}, {num_chains:,} chains"
        row += "" if chain_seed == seed else f" of seed {chain_seed}"
        lines.append(f"| {row} | {one['seed']} | {eps} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, sample what is missing, then print all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--chains", type=int, default=200, help="of a row")
    parser.add_argument("--chain-seed", type=int, help="of the chains of every run; the run's own by default")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many CPU-seconds; run again")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    output = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    corpus = {"data": arguments.data.resolve(), "held_out_fraction": HELD_OUT}
    source = PPGNConfig().data(**corpus).load_source()
    unseen = source.space.to_unit(source.held_out_NCHW), source.held_out_label_N
    bench = Bench(source, trained_judge(*unseen, output / "judge.safetensors"))
    reference = [
        {"row": "training images (judge: not seen)", "seed": 0, "rule": {}, "figures": bench.training_figures()},
        {"row": "200 held-out images", "seed": 0, "rule": {}, "figures": bench.held_out_figures()},
    ]
    print(table(reference), flush=True)
    path = output / "results.jsonl"
    results = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for seed in arguments.seeds:
        for name in arguments.rows:
            chain_seed = seed if arguments.chain_seed is None else arguments.chain_seed
            if any(key_of(one) == (name, seed, arguments.chains, chain_seed) for one in results):
                continue
            folder = output / f"{ROWS[name].run}-{seed}"
            is_done = train(ROWS[name].run, seed, corpus, source, folder, arguments.seconds)
            if not is_done or time.process_time() > arguments.seconds:
                print(f"stopped at {name}, seed {seed}; run it again to go on")
                return
            results.append(run_row(name, seed, chain_seed, arguments.chains, folder, bench, output))
            with path.open("a") as file:
                file.write(json.dumps(results[-1]) + "\n")
            print(table(results[-1:]), flush=True)
    order = list(ROWS)
    print(table([*reference, *sorted(results, key=lambda one: (order.index(one["row"]), *key_of(one)[1:]))]))


if __name__ == "__main__":
    main()
