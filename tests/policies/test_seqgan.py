"""SeqGAN as a whole: phases, repeatability, controls, the delayed roll-out policy, checkpoints."""

import copy
from typing import Any

import pytest
import torch

from rlgan.checkpoint import Checkpoint
from rlgan.errors import CheckpointError, ConfigError, DataError, NonFiniteError, WorkerError
from rlgan.policies import SeqGAN, SeqGANConfig
from tests.policies.conftest import tiny

pytestmark = pytest.mark.usefixtures("local_ray")


def trained(config: SeqGANConfig, rounds: int | None = None, start: Checkpoint | None = None) -> SeqGAN:
    """The algorithm after some rounds (all of them by default); the caller stops it."""
    algorithm = config.build_algo()
    if start is not None:
        algorithm.restore_checkpoint(start)
    for _ in range(algorithm.total_steps if rounds is None else rounds):
        algorithm.train()
    return algorithm


def final(config: SeqGANConfig, rounds: int | None = None, start: Checkpoint | None = None) -> Checkpoint:
    algorithm = trained(config, rounds, start)
    checkpoint = algorithm.checkpoint()
    algorithm.stop()
    return checkpoint


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    assert one.tensors.keys() == other.tensors.keys() and one.state == other.state
    for group, tensors in one.tensors.items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, other.tensors[group][name]), f"{group}/{name} differs"


def differs(one: Checkpoint, other: Checkpoint, group: str) -> bool:
    return any(not torch.equal(t, other.tensors[group][n]) for n, t in one.tensors[group].items())


def assert_same_moments(one: Checkpoint, other: Checkpoint, share: float = 1e-4) -> None:
    """Adam's first moments agree within a share of the largest of their optimiser.

    They are as large as the gradients were, while Adam's first steps on the weights are as long as the step size
    whatever the gradients were: a loss of half or twice the scale shows here only.
    """
    groups = [name for name in one.tensors if name.startswith("learner_optimizer_")]
    assert groups
    for group in groups:
        moments = {name: tensor for name, tensor in one.tensors[group].items() if name.endswith("exp_avg")}
        largest = max(float(tensor.abs().max()) for tensor in moments.values())
        assert largest > 0
        for name, tensor in moments.items():
            gap = float((tensor - other.tensors[group][name]).abs().max())
            assert gap <= share * largest, f"{group}/{name}: {gap} apart, the largest is {largest}"


def test_phases_run_in_order_and_report_their_figures() -> None:
    algorithm = tiny().build_algo()
    seen: list[tuple[int, str, int, int]] = []
    for _ in range(5):
        result = algorithm.train()
        report = algorithm.report
        seen.append((report.step, report.phase, report.phase_round, report.phase_rounds))
    assert seen == [
        (1, "likelihood", 1, 1), (2, "discriminator", 1, 1),
        (3, "adversarial", 1, 3), (4, "adversarial", 2, 3), (5, "adversarial", 3, 3),
    ]  # fmt: skip
    assert result["gen"]["reward_mean"] == algorithm.report.figures["gen/reward_mean"]
    assert {"gen/loss", "gen/entropy", "disc/acc_real", "disc/acc_fake", "rollout/weights_lag"} <= report.figures.keys()
    assert report.batch is not None and report.batch.tokens_BT.shape == (8, 6)
    assert report.batch.weights_version == algorithm.weights.version - 2  # G and D went out since
    algorithm.stop()


def test_same_seed_same_run_and_another_seed_another() -> None:
    assert_equal(final(tiny()), final(tiny()))
    assert differs(final(tiny()), final(tiny().debugging(seed=1)), "learner_generator")


@pytest.mark.parametrize("rounds_before", [1, 2, 3, 4], ids=["likelihood", "discriminator", "adversarial", "late"])
def test_resume_is_bit_for_bit(rounds_before: int) -> None:
    config = {"likelihood": {"epochs": 2}, "discriminator_training": {"pretrain_steps": 2}, "rounds": 2}
    whole = final(tiny(**config))
    middle = final(tiny(**config), rounds_before)
    assert_equal(final(tiny(**config), whole.step - rounds_before, middle), whole)


@pytest.mark.parametrize("reward", ["constant", "random"])
def test_controls_ignore_the_discriminator(reward: str) -> None:
    algorithm = trained(tiny(reward=reward, advantage="none", standardise=False))
    before, after = tiny().build_algo(), algorithm.checkpoint()
    assert [phase.name for phase in algorithm.phases() if phase.num_rounds] == ["likelihood", "adversarial"]
    assert not differs(before.checkpoint(), after, "learner_discriminator")
    batch = algorithm.report.batch
    assert batch is not None
    if reward == "constant":
        assert bool((batch.action_value_BT == 1).all())
        assert algorithm.report.figures["gen/frac_reward_zero_std"] == 1.0
    else:
        assert 0.3 < float(batch.action_value_BT.mean()) < 0.7 and float(batch.action_value_BT.std()) > 0.2
    before.stop(), algorithm.stop()


def test_a_constant_reward_teaches_nothing_once_there_is_a_baseline() -> None:
    config = tiny(reward="constant", advantage="batch_mean")
    algorithm = trained(config, 1)
    pretrained = algorithm.checkpoint()
    for _ in range(3):
        algorithm.train()
    assert not differs(pretrained, algorithm.checkpoint(), "learner_generator")
    algorithm.stop()


def test_rollout_policy_is_the_generator_by_default_and_lags_when_delayed() -> None:
    default, delayed = final(tiny()), final(tiny(rollout_delay=0.8))
    for name, theta in default.tensors["published_generator"].items():
        assert torch.equal(theta, default.tensors["published_rollout_policy"][name])
    weight = "output.weight"
    assert not torch.equal(
        delayed.tensors["published_generator"][weight], delayed.tensors["published_rollout_policy"][weight]
    )
    embedding = "embedding.weight"
    assert torch.equal(
        delayed.tensors["published_generator"][embedding], delayed.tensors["published_rollout_policy"][embedding]
    )
    assert differs(default, delayed, "published_generator"), "a delayed roll-out policy must change what is learned"


def test_entropy_is_held_at_its_target() -> None:
    regularisation = {"entropy_ratio": 0.5, "entropy_weight": 5.0}
    algorithm = trained(tiny(reward="random", regularisation=regularisation, rounds=80, likelihood={"epochs": 2}))
    assert algorithm.initial_entropy is not None
    assert abs(algorithm.report.figures["gen/entropy"] / algorithm.initial_entropy - 0.5) < 0.1
    algorithm.stop()


def test_likelihood_term_keeps_the_language_while_the_reward_says_nothing() -> None:
    def held_out_nll(**training: Any) -> float:
        algorithm = trained(tiny(reward="random", advantage="none", rounds=60, likelihood={"epochs": 4}, **training))
        with torch.no_grad():
            nll = -float(algorithm.generator().log_prob(algorithm.source.held_out_NT).mean())
        algorithm.stop()
        return nll

    assert held_out_nll(regularisation={"likelihood_weight": 1.0}) < held_out_nll() - 0.1


def test_g_steps_retrain_the_discriminator_only_every_so_often() -> None:
    algorithm = tiny(rounds=4, discriminator_training={"g_steps": 2}).build_algo()
    retrained = []
    for _ in range(6):
        algorithm.train()
        if algorithm.report.phase == "adversarial":
            retrained.append("disc/loss" in algorithm.report.figures)
    assert retrained == [False, True, False, True]
    algorithm.stop()


def test_windows_longer_than_the_text_are_dropped_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    tiny(discriminator={"windows": (1, 9), "filters": (4, 4)}).build_algo().stop()
    assert [r.message for r in caplog.records if r.name == "rlgan.policies.seqgan"] == [
        "windows [9] are longer than the 6 tokens: dropped"
    ]


def test_too_little_data_is_refused_before_any_actor() -> None:
    with pytest.raises(DataError, match="do not fill one batch"):
        tiny(likelihood={"batch_size": 500}).build_algo()


def test_overlap_needs_a_learner_of_its_own() -> None:
    with pytest.raises(ConfigError, match="overlap"):
        tiny(discriminator_training={"overlap": True}).build_algo()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_rolouts": 3}, "perhaps you meant 'num_rollouts'"),
        ({"lr": float("nan")}, "training.lr"),
        ({"batch_size": -1}, "training.batch_size"),
        ({"likelihood": {"epoch": 3}}, "training.likelihood.epoch: no such option; perhaps you meant 'epochs'"),
        ({"advantage": "gae"}, "training.advantage"),
    ],
)
def test_wrong_hyperparameters_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SeqGANConfig().training(**changes)


def test_a_batch_from_other_weights_is_refused() -> None:
    algorithm = trained(tiny(), 1)
    runner = algorithm.env_runner_group.local_env_runner
    with pytest.raises(WorkerError, match="weights version"):
        runner.rollout(4, algorithm.weights.version + 1, 0, 0)
    algorithm.stop()


def test_non_finite_loss_stops_the_run_and_changes_nothing() -> None:
    algorithm = trained(tiny(), 3)
    before = algorithm.checkpoint()
    learner = algorithm.learner_group._learner
    batch = algorithm.report.batch
    assert batch is not None
    with pytest.raises(NonFiniteError, match="policy"):
        learner.policy_step(batch.tokens_BT, batch.action_value_BT * torch.nan, 0, None)
    assert not differs(before, algorithm.checkpoint(), "learner_generator")
    with torch.no_grad():
        algorithm.env_runner_group.local_env_runner.nets["discriminator"].net.output.bias.fill_(torch.nan)
    with pytest.raises(NonFiniteError, match="reward") as raised:
        algorithm.train()
    assert bool(raised.value.batch["reward_RBT"].isnan().any()) and "tokens_BT" in raised.value.batch
    again = copy.copy(raised.value)
    assert str(again) == str(raised.value) and again.batch.keys() == raised.value.batch.keys(), "what Ray packs"
    algorithm.stop()


def test_a_checkpoint_of_another_vocabulary_is_refused() -> None:
    checkpoint = final(tiny(), 1)
    other = tiny().data(vocab_size=30).build_algo()
    with pytest.raises(CheckpointError, match=r"'vocab_size': 20.*'vocab_size': 30"):
        other.restore_checkpoint(checkpoint)
    other.stop()


def test_a_checkpoint_of_another_architecture_is_refused() -> None:
    checkpoint = final(tiny(), 1)
    other = tiny().generator(hidden_size=16).build_algo()
    with pytest.raises(CheckpointError, match="hidden_size"):
        other.restore_checkpoint(checkpoint)
    other.stop()


def test_learning_from_q_raises_the_probability_of_what_pays() -> None:
    """Q = 1 for token 7 and 0 otherwise, everything else as in a run: the generator comes to say 7."""
    algorithm = trained(tiny(), 1)
    learner, runner = algorithm.learner_group._learner, algorithm.env_runner_group.local_env_runner
    runner.token_rewards = lambda tokens_BT, random: (tokens_BT == 7).float()[None]
    first = None
    for step in range(60):
        batch = runner.rollout(32, algorithm.weights.version, step, 0)
        first = float((batch.tokens_BT == 7).float().mean()) if first is None else first
        learner.policy_step(batch.tokens_BT, batch.action_value_BT, step, None)
        algorithm._publish_generator()
    last = float((batch.tokens_BT == 7).float().mean())
    assert first < 0.2 and last > 0.9, (first, last)
    algorithm.stop()
