"""SeqGAN as the launcher sees it: its settings and recipes, how a generator of sequences is judged, and what is shown.

Of the recipes, `quick` ends within minutes on two cores and `paper` has the settings that were published.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from rlgan.data import CorpusConfig
from rlgan.data.oracle_source import load_oracle
from rlgan.discriminators import TextCNNDiscriminatorConfig
from rlgan.errors import DataError
from rlgan.evaluation import evaluate_generator
from rlgan.launch.evaluate import measure_run, sweep_run
from rlgan.launch.generator import rebuild_generator
from rlgan.launch.run_config import LogConfig, RunConfig
from rlgan.launch.system import Judgement, Shown, System
from rlgan.launch.token_tables import reward_tables
from rlgan.launch.trained_run import LIKELIHOOD_FILE, TrainedRun, read_tensors
from rlgan.policies import SeqGANConfig, SeqGANHyperparameters
from rlgan.policies.discriminator import DiscriminatorTrainingConfig
from rlgan.policies.likelihood import LikelihoodConfig
from rlgan.policies.regularisation import RegularisationConfig

_SAMPLES_KEPT = 100


class SeqGANRun(RunConfig):
    """Everything that determines a SeqGAN run, but for where it is written.

    Example:
        `SeqGANRun(training=SeqGANHyperparameters(rounds=40), data=CorpusConfig(data="poems.txt"))`
    """

    algorithm_class: ClassVar[type[SeqGANConfig]] = SeqGANConfig

    system: Literal["seqgan"] = Field("seqgan", description="Which system is trained.")
    training: SeqGANHyperparameters = SeqGANHyperparameters()
    data: CorpusConfig = CorpusConfig()


def quick() -> SeqGANRun:
    """SeqGAN on the built-in oracle within ten minutes on two cores (docs/results.md has the time it took).

    A small discriminator that generalises, paid by its logit, and a policy gradient with a baseline, a likelihood term
    and an entropy target; docs/results.md says what each of them does.

    Returns:
        The default of `rlgan train seqgan`.
    """
    return SeqGANRun(
        training=SeqGANHyperparameters(
            likelihood=LikelihoodConfig(epochs=10),
            discriminator=TextCNNDiscriminatorConfig(
                embedding_size=32,
                windows=(1, 2, 3),
                filters=(64, 64, 64),
                pooling="mean",
                highway=False,
                dropout=0.3,
                l2_output=0.0,
                reward_map="log_odds",
            ),
            discriminator_training=DiscriminatorTrainingConfig(
                pretrain_steps=120, num_negatives=320, d_steps=1, epochs=1, batch_size=128, lr=1e-3
            ),
            regularisation=RegularisationConfig(likelihood_weight=0.5, entropy_weight=0.5, entropy_ratio=0.9),
            rounds=200,
            batch_size=128,
            num_rollouts=2,
            lr=3e-3,
            advantage="batch_mean",
        ),
        data=CorpusConfig(),
        log=LogConfig(eval_every=20, eval_samples=1000),
    )


def paper() -> SeqGANRun:
    """SeqGAN as its authors released it (LantaoYu/SeqGAN, e2b52fb): hours on a CPU.

    Returns:
        120 epochs of likelihood, 50 d-steps, 200 rounds with g=1, d=5, k=3, 16 rollouts and no baseline.
    """
    return SeqGANRun(
        training=SeqGANHyperparameters(
            likelihood=LikelihoodConfig(epochs=120, batch_size=64, lr=0.01, max_grad_norm=5.0),
            discriminator_training=DiscriminatorTrainingConfig(
                pretrain_steps=50, g_steps=1, d_steps=5, epochs=3, num_negatives=None, batch_size=64, lr=1e-4
            ),
            rounds=200,
            batch_size=64,
            num_rollouts=16,
            lr=0.01,
            max_grad_norm=5.0,
            advantage="none",
            standardise=False,
            reduction="sum",
            rollout_delay=0.0,
        ),
        data=CorpusConfig(),
        log=LogConfig(eval_every=5, eval_samples=10_000),
    )


class SeqGANSystem(System):
    """`rlgan train seqgan`."""

    name = "seqgan"
    description = (
        "Train SeqGAN (arXiv:1609.05473): a generator of token sequences against a text CNN. Without --data it learns "
        "the built-in oracle. Options go over --config, which goes over --recipe."
    )
    run_class = SeqGANRun
    recipes: ClassVar = {"quick": quick, "paper": paper}

    def check_before_data(self, run: RunConfig, smallest: int) -> bool:
        """The oracle's sequences cannot be wrong, only too few, and they take seconds to draw.

        Args:
            run: the settings.
            smallest: training sequences needed at least.

        Returns:
            Whether the run learns from the oracle.

        Raises:
            DataError: if the oracle is to draw too few.
        """
        if run.data.data is not None or run.data.builtin != "oracle":
            return False
        load_oracle(run.data)
        if run.data.oracle_sequences < smallest:
            raise DataError(
                f"--oracle-sequences: {run.data.oracle_sequences} sequences do not fill one batch of {smallest}. "
                "Ask for more, or for a smaller batch."
            )
        return True

    def judge(self, algorithm: Any, run: RunConfig, seed: int) -> Judgement:
        """Likelihoods, entropy, BLEU and diversity of fresh sequences.

        Args:
            algorithm: after a round.
            run: how many sequences.
            seed: of the draw.

        Returns:
            The figures of `rlgan.evaluation`, and texts.
        """
        source = algorithm.source
        evaluation = evaluate_generator(algorithm.generator(), source, run.log.eval_samples, seed)
        samples = [source.decode(tokens_T) for tokens_T in evaluation.samples_NT[:_SAMPLES_KEPT]]
        return Judgement(evaluation.figures, samples)

    def show(self, report: Any, source: Any) -> Shown:
        """Sequences of a generator step, with Q of every token.

        Args:
            report: of the round.
            source: turns tokens into text.

        Returns:
            A table, after adversarial rounds.
        """
        if report.batch is None:
            return Shown()
        return Shown(texts={"samples/reward_per_token": reward_tables(report.batch, source)})

    def conclude(self, algorithm: Any, run: RunConfig, path: Path) -> None:
        """The generator by one protocol with what the likelihood model reaches by its temperature alone.

        Args:
            algorithm: after the last round.
            run: how many sequences; 0 leaves it out.
            path: the run directory.
        """
        num_samples, likelihood_path = run.log.sweep_samples, path / LIKELIHOOD_FILE
        if num_samples == 0 or not likelihood_path.is_file():
            return
        space, sizes = algorithm.source.space, run.training.generator
        likelihood = rebuild_generator(space, sizes, read_tensors(likelihood_path), str(likelihood_path))
        trained = TrainedRun(path, algorithm.step_count, {}, algorithm.generator(), likelihood, algorithm.source)
        measure_run(trained, num_samples, seed=0)
        sweep_run(trained, num_samples, seed=0)

    def keep(self, phase: str, algorithm: Any) -> Mapping[str, dict[str, Tensor]]:
        """The likelihood model, which `rlgan eval` compares with.

        Args:
            phase: that has ended.
            algorithm: after its last round.

        Returns:
            The generator, after the likelihood phase.
        """
        return {"likelihood": algorithm.weights.nets["generator"]} if phase == "likelihood" else {}


SYSTEM = SeqGANSystem()
