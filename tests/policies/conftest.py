"""A SeqGAN small enough to train in a second."""

import time
from typing import Any

from rlgan.policies import SeqGAN, SeqGANConfig


def train_until_restarted(algorithm: SeqGAN, num_restarts: int, seconds: float = 120.0) -> dict[str, float]:
    """Rounds until the runners that died are back; the figures of the last."""
    started = time.monotonic()
    while algorithm.report.figures["rollout/worker_restarts"] < num_restarts and time.monotonic() - started < seconds:
        algorithm.train()
    return algorithm.report.figures


def tiny(**training: Any) -> SeqGANConfig:
    """V=20, T=6, 200 sequences; one likelihood epoch, one d-step, then adversarial rounds."""
    small = {
        "rounds": 3,
        "batch_size": 8,
        "num_rollouts": 2,
        "likelihood": {"epochs": 1},
        "generator": {"embedding_size": 8, "hidden_size": 8},
        "discriminator": {"windows": (1, 2, 3), "filters": (4, 4, 4), "embedding_size": 8},
        "discriminator_training": {
            "pretrain_steps": 1,
            "num_negatives": 40,
            "d_steps": 2,
            "epochs": 1,
            "batch_size": 16,
        },
    }
    config = SeqGANConfig().data(vocab_size=20, length=6, oracle_sequences=200, oracle_held_out=50)
    config.training(**small)
    config.training(**training)
    return config
