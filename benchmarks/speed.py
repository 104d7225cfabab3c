"""How long the parts of SeqGAN take: rlgan on its native core and on torch alone, against a naive reference.

    python benchmarks/speed.py                       both sections, about ten minutes
    python benchmarks/speed.py --sections growth     one of: step growth

Everything is at the setting of the SeqGAN paper (V=5000, T=20, B=64, R=16, LSTM 32, discriminator of 1,720 filters with
a highway of two maps) with fresh weights. Every repeat times all parts on the native core, then on torch, then of the
naive reference; figures are medians over the repeats, and ratios those of the medians. The naive reference does one
rollout of 16, and 1,000 samples of 10,000: it repeats itself exactly, and its seconds are multiplied. For Ray see
benchmarks/speed_on_ray.py.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

import naive
import torch
from measuring import machine, table, timed
from torch import Tensor

from rlgan.discriminators import TextCNNDiscriminator, TextCNNDiscriminatorConfig
from rlgan.models import RecurrentConfig, RecurrentGenerator
from rlgan.models.text_cnn import distinct_rows
from rlgan.objectives.action_values import mc_action_value, prefix_value_advantage, standardise
from rlgan.objectives.likelihood import negative_log_likelihood
from rlgan.objectives.policy_gradient import policy_gradient_loss
from rlgan.rollouts import MonteCarloRollouts, sample_sequences
from rlgan.seeding import torch_generator
from rlgan.types import TokenSpace

LANTAOYU_TO_NAIVE = {1: 17.7 / 53.0, 2: 12.6 / 50.8}
"""Generator step of LantaoYu/SeqGAN over that of the faster torch peer on this kind of machine (measured apart)."""


@dataclass(frozen=True)
class Setting:
    """Sizes of a generator step; the defaults are the paper's."""

    vocab_size: int = 5000
    length: int = 20
    batch_size: int = 64
    num_rollouts: int = 16
    hidden_size: int = 32

    @property
    def num_rollout_tokens(self) -> int:
        return self.num_rollouts * self.batch_size * self.length * (self.length - 1) // 2

    @property
    def num_evaluations(self) -> int:
        return self.batch_size * (self.num_rollouts * (self.length - 1) + 1)


class Work:
    """The nets of a setting, and every part of the work by every way of doing it."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.space = TokenSpace(vocab_size=setting.vocab_size, length=setting.length)
        init, self.random = torch_generator(0, "speed nets"), torch_generator(0, "speed draws")
        sizes = RecurrentConfig(embedding_size=setting.hidden_size, hidden_size=setting.hidden_size)
        self.generator = RecurrentGenerator(self.space, sizes, init)
        self.discriminator = TextCNNDiscriminator(self.space, TextCNNDiscriminatorConfig(), init).eval()
        self.rollouts = MonteCarloRollouts(self.space, setting.num_rollouts)
        self.tokens_BT = self.draw(setting.batch_size)
        self.completed_PRBT = self.complete()
        self.optimisers = {
            name: (torch.optim.Adam(net.parameters(), lr=1e-4), torch.optim.Adam(net.parameters(), lr=1e-4, fused=True))
            for name, net in (("generator", self.generator), ("discriminator", self.discriminator))
        }

    def draw(self, count: int) -> Tensor:
        uniform_BT = torch.rand(count, self.setting.length, generator=self.random)
        return sample_sequences(self.generator, self.space, uniform_BT)

    def complete(self) -> Tensor:
        uniform_PRBT = self.rollouts.draw_uniforms(self.setting.batch_size, self.random)
        return self.rollouts.complete(self.generator, self.tokens_BT, uniform_PRBT)

    def score(self) -> Tensor:
        return self.rollouts.score(self.discriminator, self.tokens_BT, self.completed_PRBT)

    def descend(self, name: str, loss: Tensor, fused: bool) -> None:
        optimiser = self.optimisers[name][fused]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def policy_gradient(self, action_value_BT: Tensor, log_prob_BT: Tensor, fused: bool) -> None:
        mask_BT = self.space.mask(self.tokens_BT)
        advantage_BT = standardise(prefix_value_advantage(action_value_BT, mask_BT), mask_BT)
        self.descend("generator", policy_gradient_loss(log_prob_BT, advantage_BT, mask_BT), fused)

    def generator_step(self) -> None:
        self.tokens_BT = self.draw(self.setting.batch_size)
        self.completed_PRBT = self.complete()
        action_value_BT = mc_action_value(self.score())
        self.policy_gradient(action_value_BT, self.generator.log_prob(self.tokens_BT), fused=True)

    def likelihood_step(self, log_prob: Callable[[Tensor], Tensor], fused: bool) -> None:
        loss = negative_log_likelihood(log_prob(self.tokens_BT), self.space.mask(self.tokens_BT))
        self.descend("generator", loss, fused)

    def discriminator_step(self, logits: Callable[[Tensor], Tensor], fused: bool) -> None:
        self.discriminator.train()
        logit_real_B, logit_fake_B = logits(self.tokens_BT).chunk(2)
        self.descend("discriminator", self.discriminator.loss(logit_real_B, logit_fake_B), fused)
        self.discriminator.eval()

    def naive_logits(self, tokens_BT: Tensor) -> Tensor:
        return naive.logits(self.discriminator, tokens_BT)

    def naive_log_prob(self, tokens_BT: Tensor) -> Tensor:
        return naive.log_prob(self.generator, tokens_BT)

    def naive_policy_step(self) -> None:
        self.policy_gradient(torch.rand(self.tokens_BT.shape), self.naive_log_prob(self.tokens_BT), fused=False)


def on_path(path: str, call: Callable[[], object]) -> float:
    """Seconds with the native core ("native") or without it ("torch")."""
    os.environ["RLGAN_NATIVE"] = "1" if path == "native" else "0"
    return timed(call)


def sgemm_peak(rows: int, inner: int, columns: int) -> float:
    """GFLOP/s of torch's matrix product at a shape; the best of five."""
    left, right = torch.rand(rows, inner), torch.rand(inner, columns)
    return 2e-9 * rows * inner * columns / min(timed(lambda: left @ right) for _ in range(5))


def floor_gflop(setting: Setting, num_features: int) -> tuple[float, float]:
    """GFLOP of projection and LSTM of rollouts, and of two highway maps of all evaluations, each multiplied whole.

    The native core shares what completions of a prefix have in common (`differing_share`), and does fewer.
    """
    per_token = 2 * setting.hidden_size * (setting.vocab_size + 8 * setting.hidden_size)
    return 1e-9 * setting.num_rollout_tokens * per_token, 1e-9 * setting.num_evaluations * 4 * num_features**2


PARTS = (
    "rollouts",
    "discriminator scoring",
    "generator step",
    "likelihood step",
    "discriminator step",
    "10,000 samples",
)


def naive_seconds(work: Work) -> dict[str, float]:
    """One rollout of R, and a tenth of the samples, multiplied."""
    setting = work.setting
    completed = naive.complete(work.generator, work.tokens_BT, 1, work.random)
    rollouts = setting.num_rollouts * timed(lambda: naive.complete(work.generator, work.tokens_BT, 1, work.random))
    scoring = setting.num_rollouts * timed(lambda: naive.score(work.discriminator, completed))
    return {
        "rollouts": rollouts,
        "discriminator scoring": scoring,
        "generator step": rollouts + scoring + timed(work.naive_policy_step),
        "likelihood step": timed(lambda: work.likelihood_step(work.naive_log_prob, fused=False)),
        "discriminator step": timed(lambda: work.discriminator_step(work.naive_logits, fused=False)),
        "10,000 samples": 10 * timed(lambda: naive.sample(work.generator, 1000, setting.length, work.random)),
    }


def rlgan_seconds(work: Work, path: str) -> dict[str, float]:
    calls: dict[str, Callable[[], object]] = {
        "rollouts": work.complete,
        "discriminator scoring": work.score,
        "generator step": work.generator_step,
        "likelihood step": lambda: work.likelihood_step(work.generator.log_prob, fused=True),
        "discriminator step": lambda: work.discriminator_step(work.discriminator, fused=True),
        "10,000 samples": lambda: work.draw(10_000),
    }
    return {name: on_path(path, call) for name, call in calls.items()}


def differing_share(work: Work) -> float:
    """The share of features of completions beyond the smallest of the rollouts of their prefix; eight sequences."""
    completed_PRBT = work.completed_PRBT[:, :, :8]
    with torch.no_grad():
        features_NF = work.discriminator.net.features(completed_PRBT.reshape(-1, work.setting.length))
    features_PRBF = features_NF.view(*completed_PRBT.shape[:3], -1)
    return float((features_PRBF != features_PRBF.amin(dim=1, keepdim=True)).double().mean())


def report_exactness(work: Work) -> None:
    """D by each way against conv2d in double precision and in single, relative; how much the core evaluates."""
    exact = Work(work.setting)
    exact.discriminator.double()
    completed_PRBT = work.completed_PRBT[:, :2]
    by_way = {"float64": naive.score(exact.discriminator, completed_PRBT)}
    by_way["float32"] = naive.score(work.discriminator, completed_PRBT).double()
    for path in ("torch", "native"):
        on_path(path, lambda path=path: by_way.update({path: work.score().permute(2, 0, 1)[:-1, :2].double()}))
    rows = []
    for name, d_PRB in by_way.items():
        errors = [float((d_PRB / by_way[reference] - 1).abs().max()) for reference in ("float64", "float32")]
        rows.append([name.replace("float", "naive, float"), *(f"{error:.1e}" for error in errors)])
    table(["largest relative difference of D", "to naive, float64", "to naive, float32"], rows)
    rows_NT = torch.cat([work.completed_PRBT.reshape(-1, work.setting.length), work.tokens_BT])
    distinct = len(distinct_rows(rows_NT, num_sequences=len(work.tokens_BT))[0])
    print(f"rows of a sequence that differ, each evaluated once: {distinct:,} of {len(rows_NT):,}")
    print(f"features of a completion that its prefix does not share: {differing_share(work):.1%}\n")


def step_section(repeats: int) -> None:
    """Every part by every way, at 1 and 2 threads, and the share of the floor."""
    work, seconds = Work(Setting()), {}
    report_exactness(work)
    peaks: dict[int, list[float]] = {1: [], 2: []}
    for repeat in range(repeats + 1):
        for threads in (1, 2):
            torch.set_num_threads(threads)
            peaks[threads].append(sgemm_peak(2048, 1720, 1720))
            measured = {path: rlgan_seconds(work, path) for path in ("native", "torch")} | {
                "naive": naive_seconds(work)
            }
            for path, parts in measured.items():
                for part, value in parts.items():
                    if repeat > 0:  # the first warms up
                        seconds.setdefault((threads, part, path), []).append(value)
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    for threads in (1, 2):
        print(f"**{threads} thread{'s' * (threads > 1)}**, seconds, medians of {repeats}\n")
        rows = [[medians[threads, part, path] for path in ("naive", "torch", "native")] for part in PARTS]
        table(
            ["part", "naive", "torch path", "native core", "naive / torch path", "naive / native core"],
            [
                [part, *(f"{value:.3g}" for value in row), f"{row[0] / row[1]:.1f}", f"{row[0] / row[2]:.1f}"]
                for part, row in zip(PARTS, rows, strict=True)
            ],
        )
        report_floor(work, threads, peaks[threads][1:], seconds[threads, "generator step", "native"])
        ratio = medians[threads, "generator step", "naive"] / medians[threads, "generator step", "native"]
        print(f"LantaoYu/SeqGAN over rlgan, by the ratio measured apart: {ratio * LANTAOYU_TO_NAIVE[threads]:.1f}\n")


def report_floor(work: Work, threads: int, peaks: list[float], steps: list[float]) -> None:
    """The share of the floor: of the median and the fastest step by the highest peak, of each by its repeat's."""
    rollouts, highways = floor_gflop(work.setting, work.discriminator.net.output.in_features)
    gflop, highest = rollouts + highways, max(peaks)

    def share(peak: float, step: float) -> float:
        return 100 * gflop / peak / step

    shares = sorted(map(share, peaks, steps))
    print(
        f"torch's sgemm peak {highest:.1f} GFLOP/s; {rollouts:.1f} + {highways:.1f} GFLOP make a floor of "
        f"{gflop / highest:.2f} s; floor / step = {share(highest, statistics.median(steps)):.0f}% ({threads} "
        f"thread{'s' * (threads > 1)}), of the fastest step ({min(steps):.2f} s) {share(highest, min(steps)):.0f}%; "
        f"by the peak of the same repeat {statistics.median(shares):.0f}% ({shares[0]:.0f}% to {shares[-1]:.0f}%)"
    )
    done = rollouts + highways * (differing_share(work) + 1 / work.setting.num_rollouts)
    print(
        f"the core does about {done:.0f} of these {gflop:.0f} GFLOP: by them alone it is at "
        f"{share(highest, statistics.median(steps)) * done / gflop:.0f}%\n"
    )


def growth_section(repeats: int) -> None:
    """All parts on the native core as one size at a time changes, at one thread."""
    torch.set_num_threads(1)
    base = Setting()
    changes: list[dict[str, int]] = [{}]
    changes += [{"vocab_size": value} for value in (1000, 20_000)]
    changes += [{"length": value} for value in (10, 40)]
    changes += [{"num_rollouts": value} for value in (4, 32)]
    changes += [{"batch_size": value} for value in (16, 128)]
    changes += [{"hidden_size": value} for value in (64, 128)]
    works = [Work(replace(base, **change)) for change in changes]
    repeated = [[rlgan_seconds(work, "native") for work in works] for _ in range(repeats + 1)][1:]
    medians = [
        {part: statistics.median(one[part] for one in column) for part in PARTS}
        for column in zip(*repeated, strict=True)
    ]
    rows = [["seconds at the paper's setting", "", "", *(f"{medians[0][part]:.3g}" for part in PARTS)]]
    for change, work, parts in zip(changes[1:], works[1:], medians[1:], strict=True):
        name = ", ".join(f"{key} {size}" for key, size in change.items())
        sizes = [f"{work.setting.num_rollout_tokens:,}", f"{work.setting.num_evaluations:,}"]
        rows.append([f"{name}, times that", *sizes, *(f"{parts[part] / medians[0][part]:.2f}" for part in PARTS)])
    table(["changed", "rollout tokens", "evaluations", *PARTS], rows)


SECTIONS = {
    "step": step_section,
    "growth": growth_section,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--repeats", type=int, default=5, help="measured repeats, after one that warms up")
    options = parser.parse_args()
    print(machine(), "\n")
    for name in options.sections:
        print(f"### {name}\n", flush=True)
        SECTIONS[name](options.repeats)


if __name__ == "__main__":
    main()
