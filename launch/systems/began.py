"""BEGAN as the launcher sees it: its settings and recipes, and how its images are judged and shown."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from rlgan.data.image_config import ImageCorpusConfig
from rlgan.discriminators.autoencoder import AutoencoderDiscriminatorConfig
from rlgan.launch.image_judgement import ImageJudgement
from rlgan.launch.run_config import LogConfig, RunConfig
from rlgan.launch.system import Judgement, System
from rlgan.policies import BEGANConfig, BEGANHyperparameters


class BEGANRun(RunConfig):
    """Everything that determines a BEGAN run, but for where it is written.

    Example:
        `BEGANRun(training=BEGANHyperparameters(diversity=0.7), data=ImageCorpusConfig(data="faces", size=64))`
    """

    algorithm_class: ClassVar[type[BEGANConfig]] = BEGANConfig

    system: Literal["began"] = Field("began", description="Which system is trained.")
    training: BEGANHyperparameters = BEGANHyperparameters()
    data: ImageCorpusConfig = ImageCorpusConfig()


def quick() -> BEGANRun:
    """BEGAN with linear layers, started from an autoencoder, and a diversity that keeps most digits; see docs/began.md.

    Returns:
        The default of `rlgan train began`.
    """
    return BEGANRun(
        training=BEGANHyperparameters(
            discriminator=AutoencoderDiscriminatorConfig(net="mlp", code_size=32, latent="normal"),
            pretrain_rounds=150,
            warm_start=True,
            rounds=500,
            diversity=0.9,
            gain=0.1,
            discriminator_lr=1e-3,
        ),
        log=LogConfig(eval_every=250, eval_samples=2000),
    )


def paper() -> BEGANRun:
    """BEGAN as published: 128 channels, batches of 16, step size 1e-4, k from 0 by 0.001, gamma 0.5: days on a CPU.

    Returns:
        With the skip connections and vanishing residuals that the paper used for faces.
    """
    return BEGANRun(
        training=BEGANHyperparameters(
            discriminator=AutoencoderDiscriminatorConfig(
                channels=128, code_size=64, skip_connections=True, vanishing_residuals=True
            ),
            rounds=2000,
            steps_per_round=100,
        ),
        log=LogConfig(eval_every=50, eval_samples=5000),
    )


class BEGANSystem(System):
    """`rlgan train began`."""

    name = "began"
    description = (
        "Train BEGAN (arXiv:1703.10717): images from a generator that is held in balance with an autoencoder. Without "
        "--data it learns scikit-learn's digits. Options go over --config, which goes over --recipe."
    )
    run_class = BEGANRun
    recipes: ClassVar = {"quick": quick, "paper": paper}

    def __init__(self) -> None:
        self._images = ImageJudgement()

    def judge(self, algorithm: Any, run: RunConfig, seed: int) -> Judgement:
        """Figures of fresh images by a judge of their own.

        Args:
            algorithm: after a round.
            run: how many samples.
            seed: of the draw.

        Returns:
            Figures and pictures.
        """
        return self._images.judge(algorithm.generator(), algorithm.source, run.log.eval_samples, seed, run.seed)


SYSTEM = BEGANSystem()
