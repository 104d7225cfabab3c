"""BGAN as the launcher sees it: its settings and recipes, and how its images or texts are judged and shown."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from rlgan.data.discrete_config import DiscreteCorpusConfig
from rlgan.discriminators.boundary import BoundaryDiscriminatorConfig
from rlgan.evaluation import evaluate_sequences
from rlgan.launch.image_judgement import ImageJudgement
from rlgan.launch.run_config import LogConfig, RunConfig
from rlgan.launch.system import Judgement, System
from rlgan.models.discrete_generator import DiscreteGeneratorConfig
from rlgan.policies import BGANConfig, BGANHyperparameters
from rlgan.seeding import torch_generator

_SAMPLES_KEPT = 100


class BGANRun(RunConfig):
    """Everything that determines a BGAN run, but for where it is written.

    Example:
        `BGANRun(training=BGANHyperparameters(rounds=400), data=DiscreteCorpusConfig(levels=5))`
    """

    algorithm_class: ClassVar[type[BGANConfig]] = BGANConfig

    system: Literal["bgan"] = Field("bgan", description="Which system is trained.")
    training: BGANHyperparameters = BGANHyperparameters()
    data: DiscreteCorpusConfig = DiscreteCorpusConfig()


def quick() -> BGANRun:
    """BGAN with small linear nets; docs/bgan.md says what it reaches on digits in a minute.

    Returns:
        The default of `rlgan train bgan`.
    """
    return BGANRun(log=LogConfig(eval_every=500, eval_samples=2000, checkpoint_every=500))


def paper() -> BGANRun:
    """BGAN on MNIST as its authors released it (rdevon/BGAN, main_discrete.py), but for batch normalisation: hours.

    Returns:
        Convolutions of 64 channels, 20 draws, uniform z, no penalty, no control variate, 100 epochs of 60,000 images.
    """
    return BGANRun(
        training=BGANHyperparameters(
            generator=DiscreteGeneratorConfig(net="convolutions", channels=64, latent="uniform"),
            discriminator=BoundaryDiscriminatorConfig(net="convolutions", channels=64, gradient_penalty=0.0),
            rounds=93_800,
            batch_size=64,
            num_draws=20,
            d_draws=20,
            control_variate=False,
            lr=1e-4,
            discriminator_lr=1e-4,
            max_grad_norm=1e9,
            discriminator_max_grad_norm=1e9,
        ),
        log=LogConfig(eval_every=2000, eval_samples=5000, checkpoint_every=1000),
    )


class BGANSystem(System):
    """`rlgan train bgan`."""

    name = "bgan"
    description = (
        "Train BGAN (arXiv:1702.08431): images with few levels, or short texts, drawn in one step and weighted by a "
        "discriminator. Without --data it learns scikit-learn's digits. Options go over --config, which goes over "
        "--recipe."
    )
    run_class = BGANRun
    recipes: ClassVar = {"quick": quick, "paper": paper}

    def __init__(self) -> None:
        self._images = ImageJudgement()

    def judge(self, algorithm: Any, run: RunConfig, seed: int) -> Judgement:
        """Figures of fresh draws: images by a judge of their own, texts by BLEU and diversity.

        Args:
            algorithm: after a round.
            run: how many samples.
            seed: of the draw.

        Returns:
            Figures, with texts or pictures.
        """
        generator, source = algorithm.generator(), algorithm.source
        if run.data.kind == "images":
            return self._images.judge(generator, source, run.log.eval_samples, seed, run.seed)
        random = torch_generator(seed, "text evaluation")
        latent_NZ = generator.draw_latent(run.log.eval_samples, random)
        tokens_NT = generator.sample(latent_NZ, 1, random)[:, 0].long()
        texts = [source.decode(tokens_T) for tokens_T in tokens_NT[:_SAMPLES_KEPT]]
        return Judgement(evaluate_sequences(tokens_NT, source).figures, texts)


SYSTEM = BGANSystem()
