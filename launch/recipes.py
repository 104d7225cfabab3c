"""Runs to start from: `quick` ends within minutes on two cores, `paper` has the settings that were published."""

from collections.abc import Callable

from rlgan.data import CorpusConfig
from rlgan.discriminators import TextCNNDiscriminatorConfig
from rlgan.launch.run_config import LogConfig, RunConfig
from rlgan.policies import SeqGANHyperparameters
from rlgan.policies.discriminator import DiscriminatorTrainingConfig
from rlgan.policies.likelihood import LikelihoodConfig
from rlgan.policies.regularisation import RegularisationConfig


def seqgan_quick() -> RunConfig:
    """SeqGAN on the built-in oracle, short: meant for ten minutes on two cores, which has yet to be measured.

    A small discriminator that generalises, paid by its logit, and a policy gradient with a baseline, a likelihood term
    and an entropy target; docs/results.md says what each of them does.

    Returns:
        The default of `rlgan train seqgan`.
    """
    return RunConfig(
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


def seqgan_paper() -> RunConfig:
    """SeqGAN as its authors released it (LantaoYu/SeqGAN, e2b52fb): hours on a CPU.

    Returns:
        120 epochs of likelihood, 50 d-steps, 200 rounds with g=1, d=5, k=3, 16 rollouts and no baseline.
    """
    return RunConfig(
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


SEQGAN: dict[str, Callable[[], RunConfig]] = {"quick": seqgan_quick, "paper": seqgan_paper}
