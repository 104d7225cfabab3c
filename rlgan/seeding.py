"""Every random number is a function of (seed, purpose, round, worker), so that a resumed run repeats exactly."""

import zlib

import numpy as np
import torch


def derive_seed(seed: int, purpose: str, *indices: int) -> int:
    """A 63-bit seed that depends on every argument and on nothing else.

    Args:
        seed: the seed of the run, >= 0.
        purpose: what the numbers are for, such as "rollout"; two purposes never share numbers.
        *indices: round, worker, epoch and so on, each >= 0.

    Returns:
        An integer in [0, 2**63).
    """
    entropy = [seed, zlib.crc32(purpose.encode()), *indices]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))


def torch_generator(seed: int, purpose: str, *indices: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator seeded by `derive_seed`.

    Args:
        seed: the seed of the run, >= 0.
        purpose: what the numbers are for.
        *indices: round, worker, epoch and so on.
        device: where the numbers are drawn.

    Returns:
        A fresh generator.
    """
    generator = torch.Generator(device=device)
    generator.manual_seed(derive_seed(seed, purpose, *indices))
    return generator
