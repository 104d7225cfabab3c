"""MaskGAN as a whole: stages, repeatability, resume, controls, baselines, and the copies of weights between nets."""

from typing import Any

import pytest
import torch

from rlgan.checkpoint import Checkpoint
from rlgan.errors import CheckpointError, ConfigError, NonFiniteError, WorkerError
from rlgan.policies import MaskGANConfig
from tests.policies.test_seqgan import assert_equal, differs, final, trained

pytestmark = pytest.mark.usefixtures("local_ray")
ALL = 6  # rounds of `tiny`: language model, two of MaskMLE, discriminator, two adversarial


def tiny(**training: Any) -> MaskGANConfig:
    """100 sentences of at most 8 words; six rounds in all."""
    small = {
        "rounds": 2,
        "batch_size": 8,
        "generator": {"size": 8},
        "discriminator": {"size": 8},
        "language_model": {"epochs": 1, "batch_size": 25},
        "mask_mle": {"epochs": 2, "batch_size": 25},
        "discriminator_training": {"pretrain_rounds": 1, "pretrain_steps": 2, "d_steps": 2, "batch_size": 6},
    }
    config = MaskGANConfig().data(length=8, grammar_sequences=100, grammar_held_out=20)
    config.training(**small)
    config.training(**training)
    return config


def test_stages_run_in_order_and_report_their_figures() -> None:
    algorithm = tiny().build_algo()
    seen = []
    for _ in range(ALL):
        algorithm.train()
        seen.append((algorithm.report.phase, algorithm.report.phase_round, sorted(algorithm.report.figures)))
    assert [stage[:2] for stage in seen] == [
        ("language_model", 1), ("mask_mle", 1), ("mask_mle", 2), ("discriminator", 1), ("adversarial", 1),
        ("adversarial", 2),
    ]  # fmt: skip
    assert {"gen/loss", "gen/blank_rate"} <= set(seen[1][2])
    assert {"disc/acc_real", "disc/acc_fake", "critic/value_loss"} <= set(seen[3][2])
    assert {"gen/entropy", "gen/reward_mean", "critic/explained_variance", "disc/loss"} <= set(seen[5][2])
    batch = algorithm.report.batch
    assert torch.equal(batch.tokens_BT[~batch.blank_BT], batch.real_BT[~batch.blank_BT])
    assert bool((batch.reward_BT[~batch.blank_BT] == 0).all()) and bool((batch.reward_BT <= 0).all())
    algorithm.stop()


def test_weights_go_from_the_language_model_into_the_generator_and_on_into_the_discriminator() -> None:
    algorithm = trained(tiny(), 1)
    nets = algorithm.weights.nets
    for part in ("encoder", "decoder"):
        assert torch.equal(nets["generator"][f"{part}.hidden_LGH"], nets["language_model"]["lstm.hidden_LGH"])
    assert torch.equal(nets["generator"]["embedding.weight"], nets["language_model"]["embedding.weight"])
    algorithm.train(), algorithm.train()
    nets = algorithm.weights.nets
    for name, tensor in nets["generator"].items():
        assert torch.equal(tensor, nets["mask_mle"][name])
        if name != "bias_V":
            assert torch.equal(tensor, nets["discriminator"][f"net.{name}"])
    algorithm.train(), algorithm.train()
    nets = algorithm.weights.nets
    assert not torch.equal(nets["generator"]["decoder.bias_LG"], nets["mask_mle"]["decoder.bias_LG"])
    assert not torch.equal(nets["generator"]["decoder.bias_LG"], nets["discriminator"]["net.decoder.bias_LG"])
    shared = (nets["generator"]["embedding.weight"], nets["discriminator"]["net.embedding.weight"])
    assert torch.equal(*shared), "one table, which only the generator trains"
    algorithm.stop()


@pytest.fixture(scope="module")
def stages(local_ray: None) -> list[Checkpoint]:
    """A checkpoint after every round of `tiny`."""
    algorithm = tiny().build_algo()
    checkpoints = []
    for _ in range(ALL):
        algorithm.train()
        checkpoints.append(algorithm.checkpoint())
    algorithm.stop()
    return checkpoints


def test_same_seed_same_run_and_another_seed_another(stages: list[Checkpoint]) -> None:
    assert_equal(final(tiny()), stages[-1])
    assert differs(final(tiny().debugging(seed=1), 1), stages[0], "learner_generator")


SLOW = pytest.mark.slow
STAGES = [
    pytest.param(1, id="language model", marks=SLOW), pytest.param(2, id="MaskMLE"),
    pytest.param(3, id="copied", marks=SLOW), pytest.param(4, id="discriminator", marks=SLOW),
    pytest.param(5, id="adversarial"),
]  # fmt: skip


@pytest.mark.parametrize("rounds_before", STAGES)
def test_resume_is_bit_for_bit(rounds_before: int, stages: list[Checkpoint]) -> None:
    assert_equal(final(tiny(), ALL - rounds_before, stages[rounds_before - 1]), stages[-1])


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["moving_average", "leave_one_out", "none"])
def test_other_baselines_learn_resume_and_leave_the_critic_alone(baseline: str) -> None:
    changes = {"baseline": baseline, "num_fills": 2}
    whole, middle = final(tiny(**changes)), final(tiny(**changes), ALL - 1)
    assert_equal(final(tiny(**changes), 1, middle), whole)
    assert differs(whole, middle, "learner_generator")
    assert torch.equal(
        whole.tensors["learner_discriminator"]["critic.feature.weight"],
        final(tiny(**changes), 1).tensors["learner_discriminator"]["critic.feature.weight"],
    )


@pytest.mark.parametrize("reward", [pytest.param("constant", marks=SLOW), "random"])
def test_controls_ignore_the_discriminator(reward: str) -> None:
    algorithm = trained(tiny(reward=reward))
    batch, after = algorithm.report.batch, algorithm.checkpoint()
    assert [phase.name for phase in algorithm.phases() if phase.num_rounds] == [
        "language_model", "mask_mle", "adversarial",
    ]  # fmt: skip
    start = final(tiny(reward=reward), 3)
    for name, tensor in start.tensors["learner_discriminator"].items():
        same = torch.equal(tensor, after.tensors["learner_discriminator"][name])
        assert same == (not name.startswith("critic.") and "embedding" not in name), name
    chosen = batch.reward_BT[batch.blank_BT]
    assert bool((chosen == 1).all()) if reward == "constant" else 0.1 < float(chosen.mean()) < 0.9
    algorithm.stop()


@pytest.mark.slow
def test_a_constant_reward_without_a_baseline_still_has_a_gradient() -> None:
    start, after = (final(tiny(reward="constant", baseline="none"), rounds) for rounds in (3, 4))
    assert differs(start, after, "learner_generator")


@pytest.mark.parametrize("kind", ["contiguous", "everything"])
def test_the_true_words_at_blanks_change_neither_fills_nor_rewards(kind: str) -> None:
    """The runner gets the whole real text; with everything blank no real word may matter at all."""
    algorithm = trained(tiny(blanks={"kind": kind}))
    batch, runner = algorithm.report.batch, algorithm.env_runner_group.local_env_runner
    assert bool(batch.blank_BT.all()) is (kind == "everything")
    other_BT = torch.where(batch.blank_BT, (batch.real_BT + 1) % algorithm.source.space.vocab_size, batch.real_BT)
    one, two = (
        runner.judged_fills(real_BT, batch.blank_BT, algorithm.weights.version, 0, 0)
        for real_BT in (batch.real_BT, other_BT)
    )
    assert not torch.equal(batch.real_BT, other_BT)
    assert torch.equal(one.tokens_BT, two.tokens_BT) and torch.equal(one.reward_BT, two.reward_BT)
    assert torch.equal(one.value_BT, two.value_BT)
    assert algorithm.report.figures["gen/blank_rate"] == (1.0 if kind == "everything" else 0.5)
    algorithm.stop()


def test_the_rate_goes_along_its_schedule_and_stays_at_its_end() -> None:
    algorithm = tiny(blanks={"rate": 0.2, "final_rate": 1.0}).build_algo()
    rates = []
    for _ in range(ALL):
        algorithm.train()
        rates.append(algorithm.report.figures.get("gen/blank_rate"))
    assert rates == [None, 0.2, 1.0, None, 1.0, 1.0]
    batch = algorithm.report.batch
    assert torch.equal(batch.blank_BT, batch.real_BT != algorithm.source.space.end_id)
    algorithm.stop()


@pytest.mark.slow
def test_likelihood_term_and_own_embedding(stages: list[Checkpoint]) -> None:
    assert differs(stages[-1], final(tiny(likelihood_weight=0.5)), "learner_generator")
    own = final(tiny(discriminator={"share_embedding": False, "start_from_generator": False}))
    table = own.tensors["learner_discriminator"]["net.embedding.weight"]
    assert not torch.equal(table, own.tensors["learner_generator"]["embedding.weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "leave_one_out"}, "num_fills of at least 2"),
        ({"discriminator": {"size": 16}}, "discriminator.size"),
        ({"generator": {"num_layers": 2}}, "discriminator.num_layers"),
        ({"blanks": {"rate": 0.0}}, "training.blanks.rate"),
        ({"discont": 0.9}, "perhaps you meant 'discount'"),
    ],
)
def test_wrong_hyperparameters_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny(**changes)


def test_a_checkpoint_of_another_architecture_is_refused(stages: list[Checkpoint]) -> None:
    checkpoint = stages[0]
    other = tiny(generator={"size": 16}, discriminator={"size": 16}).build_algo()
    with pytest.raises(CheckpointError, match=r"generator\.size"):
        other.restore_checkpoint(checkpoint)
    other.stop()


def test_a_batch_from_other_weights_or_with_nan_is_refused() -> None:
    algorithm = trained(tiny(), 4)
    runner, version = algorithm.env_runner_group.local_env_runner, algorithm.weights.version
    rows, blank = algorithm.source.train_NT[:4], torch.zeros(4, 8, dtype=torch.bool)
    with pytest.raises(WorkerError, match="weights version"):
        runner.judged_fills(rows, blank, version + 1, 0)
    with torch.no_grad():
        runner.nets["discriminator"].verdict.bias.fill_(torch.nan)
    with pytest.raises(NonFiniteError, match="reward") as raised:
        algorithm.train()
    assert bool(raised.value.batch["reward_BT"].isnan().any()) and "tokens_BT" in raised.value.batch
    algorithm.stop()


@pytest.mark.slow
def test_two_learners_do_what_one_does() -> None:
    def config() -> MaskGANConfig:
        return tiny(generator={"dropout": 0.0}, discriminator={"dropout": 0.0}, likelihood_weight=0.3)

    one, two = final(config()), final(config().learners(num_learners=2).discriminator_learners(2))
    for group in ("learner_generator", "learner_discriminator", "learner_language_model"):
        for name, tensor in one.tensors[group].items():
            assert torch.allclose(tensor, two.tensors[group][name], atol=5e-5), f"{group}/{name}"


@pytest.mark.slow
def test_two_runners_repeat_and_their_shards_are_what_the_driver_would_compute() -> None:
    def config() -> MaskGANConfig:
        return tiny().env_runners(num_env_runners=2)

    algorithm = trained(config(), 4)
    rows, version = algorithm.source.train_NT[:4], algorithm.weights.version
    blank = rows != algorithm.source.space.end_id
    shards = algorithm.runners.collect(lambda runner, i: runner.judged_fills(rows, blank, version, 9, i), 2)
    local = tiny().build_algo().env_runner_group.local_env_runner
    local.set_weights(algorithm.weights)
    for shard, batch in enumerate(shards):
        mine = local.judged_fills(rows, blank, version, 9, shard)
        assert torch.equal(mine.tokens_BT, batch.tokens_BT)
        assert torch.allclose(mine.reward_BT, batch.reward_BT, atol=1e-6)
    assert not torch.equal(shards[0].tokens_BT, shards[1].tokens_BT)
    first: Checkpoint = algorithm.checkpoint()
    algorithm.stop()
    assert_equal(final(config(), 4), first)
