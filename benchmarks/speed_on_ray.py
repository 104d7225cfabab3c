"""What Ray costs and gives a SeqGAN round: runners 0, 1 and 2, the share that is not computation, and memory.

    python benchmarks/speed_on_ray.py                       all sections, about fifteen minutes
    python benchmarks/speed_on_ray.py --sections memory     one of: runners ray memory

At the paper's setting as benchmarks/speed.py, one thread a process, on a private Ray. The rounds of `ray` retrain the
discriminator on 640 negatives in one pass, 20 steps; the paper's schedule has 4,680 steps a round, beside which the
share of Ray would vanish.
"""

import argparse
import os
import resource
import statistics
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import perf_counter

import ray
import torch
from measuring import machine, table, timed
from speed import Setting, Work

from rlgan.policies import SeqGAN, SeqGANConfig
from rlgan.policies.token_runner import draw_negatives, rollout_batch


def built(num_env_runners: int, **data: int) -> SeqGAN:
    """SeqGAN at the paper's sizes on a small oracle corpus, without pre-training; one thread a process."""
    config = SeqGANConfig().data(**{"oracle_sequences": 1000, "oracle_held_out": 64} | data)
    config.training(
        batch_size=64,
        num_rollouts=16,
        likelihood={"epochs": 0},
        discriminator_training={"pretrain_steps": 0, "d_steps": 1, "epochs": 1, "num_negatives": 640},
    )
    return config.env_runners(num_env_runners=num_env_runners).build_algo()


def plain_worker(pipe: Connection, batch_size: int) -> None:
    """A process without Ray that rolls a batch out whenever it is told to."""
    torch.set_num_threads(1)
    work = Work(Setting(batch_size=batch_size))
    while pipe.recv():
        work.tokens_BT = work.draw(batch_size)
        work.completed_PRBT = work.complete()
        work.score()
        pipe.send(None)


def plain_processes(stack: ExitStack, count: int) -> Callable[[], object]:
    """A call that lets `count` processes without Ray do a batch of 64, each its part; they end with the stack."""
    context, pipes = get_context("spawn"), []
    for _ in range(count):
        mine, theirs = context.Pipe()
        context.Process(target=plain_worker, args=(theirs, 64 // count), daemon=True).start()
        stack.callback(mine.send, False)
        pipes.append(mine)

    def together() -> None:
        for pipe in pipes:
            pipe.send(True)
        for pipe in pipes:
            pipe.recv()

    return together


def runners_section(repeats: int) -> None:
    """Rollouts of one batch by the driver, one runner and two; and by processes without Ray, for the machine's part."""
    torch.set_num_threads(1)
    algorithms = {count: built(count) for count in (0, 1, 2)}
    with ExitStack() as stack:
        calls: dict[str, Callable[[], object]] = {
            f"{count} runner{'s' * (count != 1)}": lambda algorithm=algorithm: rollout_batch(algorithm, 64)
            for count, algorithm in algorithms.items()
        }
        calls |= {f"{count} without Ray": plain_processes(stack, count) for count in (1, 2)}
        rounds = [{name: timed(call) for name, call in calls.items()} for _ in range(repeats + 1)][1:]
    completions = Setting().num_evaluations - Setting().batch_size
    rows = []
    for name in calls:
        one = "1 without Ray" if name.endswith("Ray") else "1 runner"
        value = statistics.median(row[name] for row in rounds)
        fastest = min(row[name] for row in rounds)
        ratios = sorted(row[one] / row[name] for row in rounds)
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        of_fastest = min(row[one] for row in rounds) / fastest
        rows.append(
            [name, f"{value:.2f}", f"{completions / value:,.0f}", spread, f"{fastest:.2f}", f"{of_fastest:.2f}"]
        )
    ratio = "speed over one of its kind"
    table(["processes of 1 thread", "seconds a batch", "completions/s", ratio, "the fastest batch", ratio], rows)
    for algorithm in algorithms.values():
        algorithm.stop()


def count_seconds(worker: object, *methods: str) -> None:
    """Make a worker add up the seconds that it spends in its own methods."""
    worker.benchmark_seconds = 0.0  # type: ignore[attr-defined]
    for name in methods:
        original = getattr(worker, name)

        def counting(*args: object, original: Callable[..., object] = original, **kwargs: object) -> object:
            started = perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                worker.benchmark_seconds += perf_counter() - started  # type: ignore[attr-defined]

        setattr(worker, name, counting)


def ray_section(repeats: int) -> None:
    """What of a round is spent outside rollouts, policy step and discriminator steps: Ray, RLlib and the shell."""
    torch.set_num_threads(1)
    rows = []
    for count in (0, 1, 2):
        algorithm = built(count)
        group = algorithm.env_runner_group
        is_local = count == 0
        group.foreach_env_runner(
            lambda runner: count_seconds(runner, "rollout", "negatives"), local_env_runner=is_local
        )
        policy, critic = algorithm.learner_group, algorithm.discriminator_group.learners
        policy.foreach_learner(lambda learner: count_seconds(learner, "policy_step"))
        critic.foreach_learner(lambda learner: count_seconds(learner, "fit"))

        def spent(group: object = group, is_local: bool = is_local, learners: tuple[object, ...] = (policy, critic)):
            runners = group.foreach_env_runner(lambda r: r.benchmark_seconds, local_env_runner=is_local)
            return [*runners, *(next(iter(g.foreach_learner(lambda x: x.benchmark_seconds))).get() for g in learners)]

        algorithm.train()
        before, measured = spent(), []
        for _ in range(repeats):
            wall = timed(algorithm.train)
            now = spent()
            *runners, step, fit = (b - a for a, b in zip(before, now, strict=True))
            measured.append([wall, max(runners), step, fit])  # the slowest runner of this very round
            before = now
        wall, rollouts, step, fit = (statistics.median(column) for column in zip(*measured, strict=True))
        rest = statistics.median(row[0] - sum(row[1:]) for row in measured)
        figures = [f"{value:.3f}" for value in (wall, rollouts, step, fit, rest)]
        rows.append([str(count), *figures, f"{100 * rest / wall:.1f}%"])
        algorithm.stop()
    table(["runners", "round, s", "rollouts and negatives", "policy step", "D steps", "the rest", "share"], rows)


def peak_megabytes(algorithm: SeqGAN, path: str) -> tuple[float, float]:
    """Peak memory of the only runner after one batch of 64 and 10,000 negatives, and the seconds of that batch."""
    setting = "1" if path == "native" else "0"
    algorithm.env_runner_group.foreach_env_runner(
        lambda _: os.environ.update(RLGAN_NATIVE=setting), local_env_runner=False
    )
    seconds = timed(lambda: rollout_batch(algorithm, 64))
    draw_negatives(algorithm, 10_000, d_steps=1)
    (kilobytes,) = algorithm.env_runner_group.foreach_env_runner(
        lambda _: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, local_env_runner=False
    )
    algorithm.stop()
    return kilobytes / 1024, seconds


def memory_section(_: int) -> None:
    """Peak memory of a runner process, imports and all."""
    rows = []
    for name, data in (
        ("V=5,000, T=20, R=16, B=64", {}),
        ("V=30,000, T=60, R=16, B=64", {"vocab_size": 30_000, "length": 60}),
    ):
        for path in ("native", "torch"):
            megabytes, seconds = peak_megabytes(built(1, **data), path)
            rows.append([name, path, f"{megabytes:.0f}", f"{seconds:.1f}"])
    table(["setting", "path", "peak memory of a runner, MB", "seconds a batch"], rows)


SECTIONS = {"runners": runners_section, "ray": ray_section, "memory": memory_section}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--repeats", type=int, default=7, help="measured repeats, after one that warms up")
    options = parser.parse_args()
    print(machine(), "\n")
    ray.init(address="local", num_cpus=8, include_dashboard=False, log_to_driver=False)
    for name in options.sections:
        print(f"### {name}\n", flush=True)
        SECTIONS[name](options.repeats)


if __name__ == "__main__":
    main()
