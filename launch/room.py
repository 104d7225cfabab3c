"""Whether a machine or a cluster has room for the workers of a run: refused with numbers before any of them starts."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from rlgan.errors import ClusterError
from rlgan.launch.run_config import RunConfig, WorkerConfig

WORKERS_PER_CORE = 4
WORKER_BYTES = 500 * 2**20
"""Resident memory of a rollout or learner process (490 MB measured, facts/ray.md)."""
_ADVICE = "Ask for fewer --num-env-runners and learners, or give the --address of a larger cluster."


def require_local_room(
    bundles: Sequence[Mapping[str, float]],
    num_cores: int | None = None,
    free_bytes: int | None = None,
    num_gpus: int | None = None,
) -> None:
    """Refuse more worker processes than this machine can bear.

    Args:
        bundles: what each process asks for; CPUs are shared, so that only their number counts, and GPUs are not.
        num_cores: of this machine; None: ask it.
        free_bytes: its free memory; None: ask it.
        num_gpus: its GPUs; None: ask it.

    Raises:
        ClusterError: with the numbers.
    """
    num_cores = num_cores or cores_here()
    free_bytes = free_bytes or free_bytes_here()
    asked = f"the run asks for {len(bundles)} worker processes"
    if len(bundles) > WORKERS_PER_CORE * num_cores:
        raise ClusterError(
            f"{asked}; this machine has {num_cores} CPUs, enough for {WORKERS_PER_CORE * num_cores}. {_ADVICE}"
        )
    if free_bytes is not None and len(bundles) * WORKER_BYTES > free_bytes:
        raise ClusterError(
            f"{asked} of about {WORKER_BYTES / 2**30:.1f} GiB each; this machine has {free_bytes / 2**30:.1f} GiB of "
            f"free memory. {_ADVICE}"
        )
    gpus = [bundle["GPU"] for bundle in bundles if bundle.get("GPU")]
    num_gpus = gpus_here() if num_gpus is None else num_gpus
    if sum(gpus) > num_gpus:
        raise ClusterError(f"the run asks for {sum(gpus):g} GPUs; this machine has {num_gpus}. {_ADVICE}")
    if not _gpus_hold(gpus, num_gpus):
        shares = ", ".join(f"{gpus.count(share)} of {share:g}" for share in sorted(set(gpus)))
        raise ClusterError(
            f"the run asks for shares of GPUs ({shares}); this machine has {num_gpus}, and no share can be spread over "
            f"two. {_ADVICE}"
        )


def require_driver_gpu(run: RunConfig, num_gpus: int | None = None) -> None:
    """Refuse learners on a GPU in a driver process that sees none.

    Args:
        run: whose learners.
        num_gpus: that this process sees; None: ask it.

    Raises:
        ClusterError: with what to do.
    """
    workers, has_discriminator = run.workers, run.algorithm_class.discriminator_learner_class is not None
    in_driver = workers.num_learners == 0 or (has_discriminator and workers.num_discriminator_learners == 0)
    if in_driver and workers.num_gpus_per_learner and not (gpus_here() if num_gpus is None else num_gpus):
        options = "--num-learners 1 --num-discriminator-learners 1" if has_discriminator else "--num-learners 1"
        raise ClusterError(
            f"--num-gpus-per-learner {workers.num_gpus_per_learner:g}: learners in the driver process would use its "
            f"GPU, and it sees none. Give {options}, or no GPU."
        )


def require_room(workers: WorkerConfig, bundles: Sequence[Mapping[str, float]]) -> None:
    """Refuse what the cluster that this program is connected to cannot hold within the time.

    Args:
        workers: of the run; `wait` is for a cluster that grows, `connect_timeout` for one that is busy.
        bundles: what each process asks for.

    Raises:
        ClusterError: with the numbers.
    """
    from rlgan.policies import resources

    asked = resources.total(bundles)
    if not any(asked.values()):
        return
    has = resources.total(resources.nodes())
    is_large_enough = all(asked[name] <= has[name] for name in asked)
    seconds = max(workers.wait, workers.connect_timeout) if is_large_enough else workers.wait
    if (is_large_enough or seconds > 0) and resources.has_room(bundles, seconds):
        return
    numbers = resources.shortage("the run", bundles)
    raise ClusterError(
        f"--address {workers.address}: {numbers} (waited {seconds:g} s). Ask for fewer or smaller workers, add nodes, "
        "or raise --wait."
    )


def cores_here() -> int:
    """CPUs that this process may use.

    Returns:
        At least 1.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_here() -> int:
    """GPUs that this process may use.

    Returns:
        0 without CUDA.
    """
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def free_bytes_here() -> int | None:
    """Memory that new processes could have.

    Returns:
        Bytes on Linux; None elsewhere.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _gpus_hold(shares: Sequence[float], num_gpus: int) -> bool:
    """Whether Ray finds a GPU for every share: it gives one out after the other, each where the least is left."""
    left = [1.0] * num_gpus
    for share in shares:
        num_parts = max(1, round(share))
        part = min(share, 1.0)
        enough = sorted((amount, gpu) for gpu, amount in enumerate(left) if amount >= part)[:num_parts]
        if len(enough) < num_parts:
            return False
        for amount, gpu in enough:
            left[gpu] = round(amount - part, 4)  # Ray counts in ten-thousandths
    return True
