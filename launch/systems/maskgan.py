"""MaskGAN as the launcher sees it: its settings and recipes, how a generator of fills is judged, and what is shown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from rlgan.data import CorpusConfig
from rlgan.discriminators.infilling import InfillingDiscriminatorConfig
from rlgan.evaluation import SWEEP_TEMPERATURES
from rlgan.infilling_evaluation import evaluate_infilling
from rlgan.launch.evaluate_fills import Judged, measure_fills
from rlgan.launch.fill_tables import fill_tables
from rlgan.launch.run_config import LogConfig, RunConfig
from rlgan.launch.system import Judgement, Shown, System
from rlgan.models.seq2seq import Seq2SeqConfig
from rlgan.policies import MaskGANConfig, MaskGANHyperparameters
from rlgan.policies.infilling_discriminator import InfillingTrainingConfig
from rlgan.policies.infilling_likelihood import LANGUAGE_MODEL, MASK_MLE
from rlgan.policies.likelihood import LikelihoodConfig

_SAMPLES_KEPT = 100


class MaskGANRun(RunConfig):
    """Everything that determines a MaskGAN run, but for where it is written.

    Example:
        `MaskGANRun(training=MaskGANHyperparameters(rounds=40), data=CorpusConfig(data="lines.txt", tokens="word"))`
    """

    algorithm_class: ClassVar[type[MaskGANConfig]] = MaskGANConfig

    system: Literal["maskgan"] = Field("maskgan", description="Which system is trained.")
    training: MaskGANHyperparameters = MaskGANHyperparameters()
    data: CorpusConfig = CorpusConfig(builtin="grammar")


def quick() -> MaskGANRun:
    """MaskGAN on the built-in grammar within minutes on two cores; docs/maskgan.md says what it reaches.

    Returns:
        The default of `rlgan train maskgan`.
    """
    return MaskGANRun(log=LogConfig(eval_every=50, eval_samples=1000, checkpoint_every=100))


def paper() -> MaskGANRun:
    """MaskGAN at the sizes and step sizes of its authors for Penn Treebank (tensorflow/models): a GPU's work.

    Not as released: 3 steps of the discriminator a round (the paper's; released: 2), dropout of 0.5 in all nets, one
    kind of blanks throughout (released: random ones for MaskMLE), and no decay of step sizes.

    Returns:
        Two layers of 650, shared embeddings, half of every text blank in one block, discount 0.89, summed losses.
    """
    return MaskGANRun(
        training=MaskGANHyperparameters(
            generator=Seq2SeqConfig(size=650, num_layers=2, init_limit=0.04),
            discriminator=InfillingDiscriminatorConfig(size=650, num_layers=2, init_limit=0.04, dropout=0.5),
            language_model=LikelihoodConfig(epochs=20, batch_size=128, lr=1e-3),
            mask_mle=LikelihoodConfig(epochs=20, batch_size=20, lr=7.5e-4),
            discriminator_training=InfillingTrainingConfig(lr=5e-4, critic_lr=5.2e-7, critic_steps=1),
            rounds=100_000,
            lr=3.9e-5,
            reduction="sum",
            discount=0.89,
        ),
        data=CorpusConfig(builtin="grammar"),
        log=LogConfig(eval_every=1000, eval_samples=10_000, checkpoint_every=1000),
    )


class MaskGANSystem(System):
    """`rlgan train maskgan`."""

    name = "maskgan"
    description = (
        "Train MaskGAN (arXiv:1801.07736): a generator that fills blanks in text, paid for each word by a "
        "discriminator that reads the text around it. Without --data it learns the built-in grammar, whose true "
        "conditional probabilities are known. Options go over --config, which goes over --recipe."
    )
    run_class = MaskGANRun
    recipes: ClassVar = {"quick": quick, "paper": paper}
    next_command: ClassVar[str] = 'rlgan fill {run} "____:3"'

    def judge(self, algorithm: Any, run: RunConfig, seed: int) -> Judgement:
        """Perplexities, diversity and, on the grammar, the truth about fills of held-out texts.

        Args:
            algorithm: after a round.
            run: how many texts.
            seed: of blanks and fills.

        Returns:
            The figures of `rlgan.infilling_evaluation`, and filled-in texts.
        """
        training, source = run.training, algorithm.source
        found = evaluate_infilling(
            algorithm.generator(),
            algorithm.language_model(),
            source,
            training.blanks,
            run.log.eval_samples,
            seed,
            rate=training.blanks.last_rate,
        )
        return Judgement(found.figures, [source.decode(tokens_T) for tokens_T in found.filled_NT[:_SAMPLES_KEPT]])

    def show(self, report: Any, source: Any) -> Shown:
        """Fills of a generator step beside the real text, with the reward of every token.

        Args:
            report: of the round.
            source: turns tokens into text.

        Returns:
            A table, after adversarial rounds.
        """
        if report.batch is None:
            return Shown()
        return Shown(texts={"samples/fills": fill_tables(report.batch, source)})

    def conclude(self, algorithm: Any, run: RunConfig, path: Path) -> None:
        """The generator by one protocol with what MaskMLE reaches by its temperature alone.

        Args:
            algorithm: after the last round.
            run: how many texts; 0 leaves it out.
            path: the run directory.
        """
        if run.log.sweep_samples > 0:
            generators = {"maskgan": algorithm.generator(), "mask_mle": algorithm.generator(MASK_MLE)}
            nets = (generators, algorithm.language_model(), algorithm.source)
            judged = Judged(*nets, run.training.blanks, algorithm.step_count)
            measure_fills(judged, run.log.sweep_samples, 0, SWEEP_TEMPERATURES).write(path)

    def keep(self, phase: str, algorithm: Any) -> Mapping[str, dict[str, Tensor]]:
        """The language model, and the generator of MaskMLE, which later comparisons start from.

        Args:
            phase: that has ended.
            algorithm: after its last round.

        Returns:
            Weights after the phases that make them.
        """
        made = {"language_model": LANGUAGE_MODEL, "mask_mle": MASK_MLE}
        return {phase: algorithm.weights.nets[made[phase]]} if phase in made else {}


SYSTEM = MaskGANSystem()
