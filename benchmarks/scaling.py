"""What a SeqGAN round costs the driver, in bytes and milliseconds, and how many rollout runners it can feed.

    python benchmarks/scaling.py                          runners 0, 1, 2; light actors; a table for 8, 64, 512 runners
    python benchmarks/scaling.py --measured 1964 645      the same without rounds: ms of rollouts and learning

Bytes are counted; times of rounds are the least of some repeats. `actors` are processes without nets, which answer
at once with as many bytes as a runner would; what they cost the driver is the CPU time of its process, which other work
on the machine hardly changes.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any

import numpy as np
import ray
import torch
from measuring import machine, table
from speed_on_ray import built

from rlgan.policies import SeqGAN
from rlgan.policies.calls import guarded
from rlgan.policies.token_runner import rollout_batch

COUNTS = (8, 64, 512)
RUNNERS_PER_NODE = 8
NETWORK_BYTES_PER_S = 1.25e9
"""10 Gbit/s, the network of the machines in launch/cluster/aws.yaml."""


@dataclass
class Found:
    """What the sections have measured, for `paper`."""

    rollout_seconds: float = 0.0
    update_seconds: float = 0.0
    weight_bytes: float = 0.0
    batch_bytes: float = 0.0
    milliseconds: dict[int, float] = field(default_factory=dict)


@contextmanager
def clocks(target: Any, spent: dict[str, float], *methods: str) -> Iterator[None]:
    """Add the seconds in some methods of an object to `spent`."""

    def timed(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                spent[name] = spent.get(name, 0.0) + perf_counter() - started

        return call

    for name in methods:
        setattr(target, name, timed(name, getattr(target, name)))
    yield
    for name in methods:
        delattr(target, name)


def num_bytes(value: Any) -> int:
    """Bytes as Ray would send them."""
    return len(ray.cloudpickle.dumps(value, protocol=5))


def timed_round(algorithm: SeqGAN) -> list[float]:
    """Seconds of a round, and of its collections, broadcasts, learning and the rest of the driver's work."""
    spent: dict[str, float] = {}
    mine, critic = ("collect", "publish", "update_policy"), ("start", "finish")
    with clocks(algorithm, spent, *mine), clocks(algorithm.discriminator_group, spent, *critic):
        started = perf_counter()
        algorithm.train()
        wall = perf_counter() - started
    learning = spent["update_policy"] + spent["start"] + spent["finish"]
    return [wall, spent["collect"], spent["publish"], learning, wall - sum(spent.values())]


def rounds_section(repeats: int, found: Found) -> None:
    """A round with 0, 1 and 2 runners: weights out, batches in, learning, and what the driver does beside."""
    rows = []
    for count in (0, 1, 2):
        algorithm = built(count)
        timed_round(algorithm)
        measured = [timed_round(algorithm) for _ in range(repeats)]
        least = [min(column) for column in zip(*measured, strict=True)]
        found.weight_bytes, found.batch_bytes = num_bytes(algorithm.weights.nets), num_bytes(algorithm.report.batch)
        sizes = f"{found.weight_bytes / 1e6:.2f}", f"{found.batch_bytes / 1e3:.0f}"
        rows.append([str(count), *(f"{seconds * 1e3:.1f}" for seconds in least), *sizes])
        if count == 0:
            found.rollout_seconds, found.update_seconds = least[1], least[3]
        algorithm.stop()
    head = ["round, ms", "collect (2)", "publish (2)", "learning", "driver's rest", "weights, MB", "batch, kB"]
    table(["runners", *head], rows)


@ray.remote(num_cpus=0)
class Light:
    """A worker without nets: takes weights, and answers with bytes."""

    def apply(self, call: Callable[[Any], Any]) -> Any:
        return call(self)


def one_round(actors: list[Any], weights: Any, answer_bytes: int) -> float:
    """CPU seconds of the driver in two broadcasts and two collections, as a round of SeqGAN makes them."""
    started = process_time()
    for _ in range(2):
        reference = ray.put(weights)
        # A reference in a closure, as `rlgan.policies.broadcast` sends it: nothing is copied into the call.
        call = guarded(lambda _, reference=reference: len(ray.get(reference)), "a light actor")
        ray.get([actor.apply.remote(call) for actor in actors])
    for _ in range(2):
        calls = [
            guarded(lambda _, i=i: (i, np.zeros(answer_bytes // len(actors), np.uint8)), f"a light actor (shard {i})")
            for i in range(len(actors))
        ]
        ray.get([actor.apply.remote(call) for actor, call in zip(actors, calls, strict=True)])
    return process_time() - started


def actors_section(repeats: int, found: Found) -> None:
    """What N workers cost the driver when they compute nothing."""
    weights = {"net": np.zeros(int(found.weight_bytes) // 2, np.uint8)}  # half of the nets a broadcast
    rows = []
    for count in (1, 4, 16):
        actors = [Light.remote() for _ in range(count)]
        one_round(actors, weights, int(found.batch_bytes))
        seconds = [one_round(actors, weights, int(found.batch_bytes)) for _ in range(5 * repeats)]
        found.milliseconds[count] = statistics.median(seconds) * 1e3
        rows.append([str(count), f"{min(seconds) * 1e3:.1f}", f"{statistics.median(seconds) * 1e3:.1f}"])
        for actor in actors:
            ray.kill(actor)
    table(["light actors", "2 broadcasts and 2 collections, ms of the driver's CPU (least)", "(median)"], rows)


def paper_section(found: Found) -> None:
    """On paper: a + b N milliseconds of the driver, the rollouts divided by N, the learning not divided."""
    counts, costs = zip(*sorted(found.milliseconds.items()), strict=True)
    each, fixed = np.polyfit(counts, costs, 1)
    print(f"driver: {fixed:.1f} ms a round and {each:.2f} ms for each worker (least squares over {counts})\n")
    rollout, learning = found.rollout_seconds * 1e3, found.update_seconds * 1e3
    rows = []
    for count in COUNTS:
        nodes = -(-count // RUNNERS_PER_NODE)
        sent = found.weight_bytes * nodes
        network = sent / NETWORK_BYTES_PER_S * 1e3
        driver = fixed + each * count
        overlapped = max(learning, rollout / count) + driver + network
        row = [f"{rollout / count:.1f}", f"{driver:.1f}", f"{sent / 1e6:.0f}", f"{network:.0f}", f"{learning:.0f}"]
        total = rollout / count + driver + network + learning
        rows.append([str(count), str(nodes), *row, f"{total:.0f}", f"{overlapped:.0f}"])
    head = ["rollouts, ms", "driver's calls, ms", "weights sent, MB", "on 10 Gbit/s, ms", "learning, ms", "round, ms"]
    table(["runners", "nodes", *head, "with overlap, ms"], rows)
    print(f"rollouts cost less than the calls for them from {(rollout / each) ** 0.5:.0f} runners on\n")


def sizes(found: Found) -> None:
    """Bytes of the nets and of a batch, without a round."""
    algorithm = built(0)
    found.weight_bytes = num_bytes(algorithm.weights.nets)
    found.batch_bytes = num_bytes(rollout_batch(algorithm, 64))
    algorithm.stop()
    print(f"nets {found.weight_bytes / 1e6:.2f} MB, batch {found.batch_bytes / 1e3:.0f} kB\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="measured repeats, after one that warms up")
    parser.add_argument(
        "--measured", type=float, nargs=2, help="milliseconds of all rollouts of a round, and of learning"
    )
    options = parser.parse_args()
    print(machine(), "\n")
    torch.set_num_threads(1)
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    found = Found()
    if options.measured:
        found.rollout_seconds, found.update_seconds = (value / 1e3 for value in options.measured)
        sizes(found)
    else:
        rounds_section(options.repeats, found)
    actors_section(options.repeats, found)
    paper_section(found)


if __name__ == "__main__":
    main()
