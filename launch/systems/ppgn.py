"""PPGN as the launcher sees it: its settings and recipes, and how its chains are judged and shown."""

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field

from rlgan.chain_requests import ChainConfig, ChainRequest, LabelRequest
from rlgan.data.image_config import ImageCorpusConfig
from rlgan.image_evaluation import ImageEvaluator
from rlgan.launch.chain_pictures import recorded_steps, strip
from rlgan.launch.image_judgement import GRID_COLUMNS, GRID_ROWS, as_picture
from rlgan.launch.run_config import LogConfig, RunConfig
from rlgan.launch.system import Judgement, Shown, System
from rlgan.metrics.images import within_label_distance
from rlgan.models.code_nets import CodeEncoderConfig, CodeNetsConfig
from rlgan.plug_and_play import ENCODER
from rlgan.policies import PPGNConfig, PPGNHyperparameters

_STRIP_IMAGES = 10


class PPGNRun(RunConfig):
    """Everything that determines a PPGN run, but for where it is written.

    Example:
        `PPGNRun(training=PPGNHyperparameters(model="ppgn_h"), data=ImageCorpusConfig(data="train-images-idx3-ubyte"))`
    """

    algorithm_class: ClassVar[type[PPGNConfig]] = PPGNConfig

    system: Literal["ppgn"] = Field("ppgn", description="Which system is trained.")
    training: PPGNHyperparameters = PPGNHyperparameters()
    data: ImageCorpusConfig = ImageCorpusConfig()


def quick() -> PPGNRun:
    """PPGN-h with small nets: minutes on digits; docs/ppgn.md says what it reaches.

    Returns:
        The default of `rlgan train ppgn`.
    """
    return PPGNRun(training=PPGNHyperparameters(model="ppgn_h"), log=LogConfig(eval_every=0, eval_samples=200))


def paper() -> PPGNRun:
    """Noiseless Joint PPGN-h with a rectified code of 4096 numbers: near the paper in what is published, not a copy.

    As published: the size and rectifier of the code, the widths of the denoiser of codes, batches of 64 and step size
    2e-4 (DeePSiM), 200 steps a chain, the released rule and multipliers. G's hidden
    linear layer has the published width, 4096, once instead of three times, and the rest of it is like DCGAN's. The
    encoder is a classifier of the run's images, not CaffeNet; loss weights and rounds are rlgan's. The released
    multipliers were made for codes that reach 30; these are in units of their standard deviation, so that a step of
    mean size 1 is not comparable.

    Returns:
        The recipe.
    """
    sizes = CodeNetsConfig(
        encoder=CodeEncoderConfig(channels=96, code_size=4096, rectified=True),
        generator_channels=256,
        discriminator_channels=64,
        denoiser_hidden=(2048, 1024, 500, 1024, 2048),
    )
    chain = ChainConfig(
        eps1=1e-5, eps2=1.0, eps3=1e-17, steps=200, quiet_steps=0, rule="released", released_step_size=1.0
    )
    training = PPGNHyperparameters(
        model="noiseless_joint", nets=sizes, lr=2e-4, steps_per_round=100, encoder_rounds=500, rounds=10_000,
        denoiser_rounds=1000, chain=chain,
    )  # fmt: skip
    return PPGNRun(training=training, log=LogConfig(eval_every=500, eval_samples=500))


class PPGNSystem(System):
    """`rlgan train ppgn`."""

    name = "ppgn"
    description = (
        "Train PPGN (arXiv:1612.00005): a generator from the codes of a classifier, whose chains any classifier "
        "steers. Without --data it learns scikit-learn's digits. Options go over --config, which goes over --recipe."
    )
    run_class = PPGNRun
    recipes: ClassVar = {"quick": quick, "paper": paper}
    next_command = "rlgan sample {run} --class 7 --chains 16 --strip chains.png"

    def __init__(self) -> None:
        self._evaluator: ImageEvaluator | None = None

    def judge(self, algorithm: Any, run: RunConfig, seed: int) -> Judgement:
        """Chains of every label in turn, judged by the condition net and by a judge of their own.

        Args:
            algorithm: after a round.
            run: how many chains.
            seed: of the chains.

        Returns:
            Figures, the last images, and the way of the first chains.
        """
        source, config = algorithm.source, run.training
        if self._evaluator is None or self._evaluator.source is not source:
            self._evaluator = ImageEvaluator.of(source, run.seed)
        num_chains, labels = run.log.eval_samples, tuple(range(len(source.label_names)))
        request = ChainRequest(
            LabelRequest(labels),
            config.chain.rule_for(config.plug_and_play),
            config.chain.steps,
            seed,
            recorded_steps(config.chain.steps, _STRIP_IMAGES),
        )
        record = algorithm.run_chains(request, num_chains)
        images_NCHW = record.image_TNCHW[-1].clamp(0.0, 1.0)
        wanted_N = torch.arange(num_chains) % len(labels)
        chosen_N = algorithm.chain_net(ENCODER)(images_NCHW).argmax(dim=1)
        figures = self._evaluator.figures(images_NCHW)
        figures["eval/condition_accuracy"] = float((chosen_N == wanted_N).float().mean())
        if self._evaluator.judge is not None:
            agrees_N = self._evaluator.judge.labels(images_NCHW) == wanted_N
            figures["eval/condition_judged"] = float(agrees_N.float().mean())
        if num_chains >= 2 * len(labels):
            figures["eval/within_class_distance"] = within_label_distance(images_NCHW, wanted_N)
        if source.held_out_label_N is not None and len(source.held_out_label_N) >= 2 * len(labels):
            held_out = source.space.to_unit(source.held_out_NCHW)
            figures["eval/real_within_class_distance"] = within_label_distance(held_out, source.held_out_label_N)
        figures["eval/num_images"] = float(num_chains)
        pictures = {
            "samples/grid": as_picture(images_NCHW[: GRID_ROWS * GRID_COLUMNS]),
            "samples/chains": strip(record.image_TNCHW[:, : len(labels)]),
        }
        return Judgement(figures, shown=Shown(images=pictures))


SYSTEM = PPGNSystem()
