"""BGAN as a whole: estimators, data of every kind, repeatability, resume, workers."""

from pathlib import Path
from typing import Any

import pytest
import torch

from rlgan.errors import CheckpointError, ConfigError, DataError, NonFiniteError, WorkerError
from rlgan.policies import BGANConfig
from rlgan.policies.bgan_workers import DrawnBatch
from rlgan.seeding import torch_generator
from tests.policies.test_seqgan import assert_equal, assert_same_moments, differs, final, trained

pytestmark = pytest.mark.usefixtures("local_ray")


def tiny(**training: Any) -> BGANConfig:
    """8x8 digits in black and white, 4 codes of 4 draws."""
    small = {
        "rounds": 3,
        "batch_size": 4,
        "num_draws": 4,
        "generator": {"latent_size": 4, "hidden": (8,), "channels": 4, "blocks": 1},
        "discriminator": {"hidden": (8,), "channels": 4, "blocks": 1},
    }
    config = BGANConfig().data(max_images=60)
    config.training(**small)
    config.training(**training)
    return config


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A file of short words."""
    words = ["anna", "bert", "carl", "dora", "emil", "fritz", "gerda", "hans"]
    path = tmp_path / "names.txt"
    path.write_text("\n".join(f"{a}{b}" for a in words for b in words), encoding="utf-8")
    return path


def test_a_round_reports_its_figures() -> None:
    algorithm = tiny().build_algo()
    result = algorithm.train()
    figures, report = algorithm.report.figures, algorithm.report
    assert (report.phase, report.phase_round, report.phase_rounds) == ("adversarial", 1, 3)
    wanted = {"gen/loss", "gen/entropy", "gen/reward_mean", "disc/acc_real", "disc/logit_gap", "eval/bgan_ess"}
    assert wanted <= figures.keys() and result["eval"]["bgan_ess"] == figures["eval/bgan_ess"]
    assert 1 <= figures["eval/bgan_ess"] <= 4 and 0 < figures["gen/entropy"] < 0.7
    assert algorithm.report.histograms["gen/log_weight"].shape == (4, 4)
    algorithm.stop()


@pytest.mark.parametrize("net", ["mlp", "convolutions"])
@pytest.mark.parametrize("data", [{}, {"levels": 5}, {"levels": 4, "colour": "rgb"}], ids=["binary", "grey", "colour"])
def test_images_of_every_kind_train(net: str, data: dict[str, Any]) -> None:
    algorithm = trained(tiny(generator={"net": net}, discriminator={"net": net}, rounds=2).data(**data))
    sample = algorithm.generator().sample(torch.zeros(2, 4), 3, torch.Generator().manual_seed(0))
    assert sample.shape[:2] == (2, 3) and int(sample.max()) < algorithm.source.space.levels
    algorithm.stop()


def test_text_trains(names: Path) -> None:
    algorithm = trained(tiny(rounds=2).data(kind="text", data=names, max_images=None))
    tokens_NMT = algorithm.generator().sample(torch.zeros(1, 4), 2, torch.Generator().manual_seed(0))
    assert algorithm.source.decode(tokens_NMT[0, 0])
    algorithm.stop()


def test_a_mixture_learns_the_words_of_a_file_and_not_one_of_them(tmp_path: Path) -> None:
    """Linear layers and categorical codes: most of what it draws is in the file, and most of the file is drawn."""
    path = tmp_path / "animals.txt"
    path.write_text("ant\nbee\ncat\ncow\ndog\neel\nelk\nfox\ngnu\nhen\nowl\npig\nram\nrat\nsow\nyak\n")
    words = path.read_text().split()
    nets = {
        "generator": {"net": "mlp", "latent": "categorical", "latent_size": 64, "hidden": (32,)},
        "discriminator": {"net": "mlp", "hidden": (64,), "gradient_penalty": 0.01},
    }
    config = tiny(rounds=250, batch_size=12, num_draws=10, lr=0.01, discriminator_lr=0.005, **nets)
    algorithm = config.data(kind="text", data=path, max_images=None).build_algo()

    def known() -> list[str]:
        generator, random = algorithm.generator(), torch.Generator().manual_seed(0)
        tokens_NT = generator.sample(generator.draw_latent(200, random), 1, random)[:, 0]
        return [word for word in (algorithm.source.decode(row) for row in tokens_NT) if word in words]

    assert len(known()) < 10
    for _ in range(250):
        algorithm.train()
    assert len(known()) > 100 and len(set(known())) >= 8, known()
    algorithm.stop()


def distance_to_data(algorithm: Any) -> float:
    """Mean absolute difference between the mean image of the generator and that of the data."""
    real_CHW = algorithm.source.space.to_unit(algorithm.source.train_NCHW).mean(dim=0)
    latent_NZ = algorithm.generator().draw_latent(200, torch.Generator().manual_seed(0))
    return float((algorithm.generator().expected_images(latent_NZ).mean(dim=0) - real_CHW).abs().mean())


def approach(divergence: str, reward: Any = None) -> float:
    """The distance to the data after 80 rounds, as a share of that of the untrained generator."""
    nets = {
        "generator": {"latent_size": 8, "hidden": (32,)},
        "discriminator": {"hidden": (32,), "divergence": divergence},
    }
    algorithm = tiny(rounds=80, batch_size=16, num_draws=8, lr=0.01, discriminator_lr=0.005, **nets).build_algo()
    if reward is not None:
        algorithm.env_runner_group.local_env_runner.nets["discriminator"].reward = reward
    before = distance_to_data(algorithm)
    for _ in range(80):
        algorithm.train()
    after = distance_to_data(algorithm)
    algorithm.stop()
    return after / before


@pytest.mark.parametrize("divergence", ["kl", "reverse_kl", "pearson", "squared_hellinger", "jensen_shannon", "gan"])
def test_every_divergence_brings_the_draws_to_the_data(divergence: str) -> None:
    assert approach(divergence) < 0.5


def test_canary_a_generator_that_ignores_its_discriminator_does_not_come_near() -> None:
    random = torch.Generator().manual_seed(0)
    assert approach("gan", lambda sample_B: torch.randn(len(sample_B), generator=random)) > 0.8
    assert approach("gan", lambda sample_B: torch.zeros(len(sample_B))) == 1.0, "equal weights leave no gradient"


VARIANTS = [
    {"estimator": "importance", "control_variate": False},
    {"estimator": "single_partition"},
    {"estimator": "reinforce"},
    {"estimator": "reinforce", "baseline": "moving_average"},
    {"estimator": "reinforce", "baseline": "none"},
    {"estimator": "continuous"},
    {"d_steps": 2, "d_draws": 2},
    {"generator": {"latent": "categorical", "latent_size": 16, "hidden": (8,)}},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(map(str, v.values())))
def test_every_variant_trains_and_resumes_bit_for_bit(variant: dict[str, Any]) -> None:
    whole = final(tiny(**variant))
    assert differs(final(tiny(**variant), 0), whole, "learner_generator")
    assert differs(final(tiny()), whole, "learner_generator")
    assert_equal(final(tiny(**variant), 2, final(tiny(**variant), 1)), whole)


def test_same_seed_same_run_and_another_seed_another() -> None:
    assert_equal(final(tiny()), final(tiny()))
    assert differs(final(tiny()), final(tiny().debugging(seed=1)), "learner_generator")


def test_the_generator_comes_to_draw_what_has_weight() -> None:
    """A discriminator that counts white pixels, everything else as in a run: the images become white."""
    algorithm = trained(tiny(lr=0.02), 1)
    learner, runner = algorithm.learner_group._learner, algorithm.env_runner_group.local_env_runner
    runner.nets["discriminator"].reward = lambda x: x.flatten(1).float().sum(1)
    whiteness = []
    for step in range(100):
        batch = runner.draw(16, algorithm.weights.version, step, 0)
        whiteness.append(float(batch.sample_NM.float().mean()))
        learner.policy_step(batch, 0.0)
        algorithm.runners.publish({"generator": algorithm.policy_weights()["generator"]})
    assert whiteness[0] < 0.7 and whiteness[-1] > 0.9, (whiteness[0], whiteness[-1])
    algorithm.stop()


def test_the_discriminator_learns_to_tell_real_from_noise() -> None:
    algorithm = tiny(batch_size=32).build_algo()
    learner = algorithm.discriminator_group.learners._learner
    noise = torch.randint(0, 2, (32, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    for step in range(200):
        fit = learner.fit([noise], step)
    assert fit.figures["acc_real"] > 0.9 and fit.figures["acc_fake"] > 0.9 and fit.figures["logit_gap"] > 1
    algorithm.stop()


def test_a_batch_of_other_weights_is_refused() -> None:
    algorithm = tiny().build_algo()
    runner = algorithm.env_runner_group.local_env_runner
    with pytest.raises(WorkerError, match="needs 99"):
        runner.draw(4, 99, 0, 0)
    with pytest.raises(WorkerError, match="weights version 1"):
        DrawnBatch.join([runner.draw(4, algorithm.weights.version, 0, 0)], 1)
    runner.nets["discriminator"].reward = lambda x: torch.full((len(x),), torch.nan)
    with pytest.raises(NonFiniteError, match="NaN or infinite") as raised:
        runner.draw(4, algorithm.weights.version, 0, 0)
    assert raised.value.batch.keys() == {"latent_NZ", "sample_NM", "score_NM"}
    algorithm.stop()


def test_a_checkpoint_of_other_nets_is_refused() -> None:
    checkpoint = final(tiny(), 1)
    other = tiny(generator={"hidden": (9,)}).build_algo()
    with pytest.raises(CheckpointError, match="hidden"):
        other.restore_checkpoint(checkpoint)
    other.stop()


def test_settings_that_cannot_work_are_refused(names: Path) -> None:
    with pytest.raises(ConfigError, match="at least 2"):
        tiny(num_draws=1)
    tiny(num_draws=1, estimator="continuous")
    with pytest.raises(ConfigError, match="among 3 learners"):
        tiny().learners(num_learners=3).validate()
    tilted = {"objective": "tilted", "divergence": "pearson"}
    with pytest.raises(ConfigError, match="at most 1, got 2"):
        tiny(batch_size=4, discriminator=tilted).discriminator_learners(2).validate()
    with pytest.raises(ConfigError, match="gan is not"):
        tiny(discriminator={"objective": "tilted"})
    trained(tiny(discriminator=tilted)).stop()
    with pytest.raises(DataError, match="do not fill one batch of 500"):
        tiny(batch_size=500).build_algo()
    with pytest.raises(DataError, match="cannot make text"):
        tiny(estimator="continuous").data(kind="text", data=names, max_images=None).build_algo()
    for wrong in ({"kind": "text"}, {"length": 5}):
        with pytest.raises(ConfigError, match="kind text"):
            BGANConfig().data(**wrong)
    for ignored in ({"max_images": 10}, {"levels": 5}, {"size": 16}, {"colour": "rgb"}):
        with pytest.raises(ConfigError, match="of no effect with kind text"):
            BGANConfig().data(kind="text", data=names, **ignored)
    with pytest.raises(ConfigError, match="baseline: of no effect with estimator importance"):
        tiny(baseline="none")


def test_continuous_images_reach_the_discriminator_as_they_are() -> None:
    """Not at the nearest of two levels, which the generator's step never sees."""
    algorithm = trained(tiny(estimator="continuous"), 1)
    runner = algorithm.env_runner_group.local_env_runner
    fake_NCHW = runner.negatives(4, algorithm.weights.version, 1, 0, 0)
    random = torch_generator(algorithm.config.seed, "negatives", 1, 0, 0)
    assert torch.equal(fake_NCHW, runner.nets["generator"].image(runner.nets["generator"].draw_latent(4, random)))
    critic = runner.nets["discriminator"]
    assert torch.equal(critic(fake_NCHW), critic.score(fake_NCHW)) and ((fake_NCHW > 0) & (fake_NCHW < 1)).all()
    algorithm.stop()


@pytest.mark.slow
def test_continuous_images_come_closer_to_real_ones() -> None:
    big = {"latent_size": 16, "hidden": (128,)}
    algorithm = tiny(estimator="continuous", rounds=400, batch_size=32, generator=big, discriminator={"hidden": (64,)})
    algorithm = algorithm.build_algo()
    before = distance_to_data(algorithm)
    for _ in range(400):
        algorithm.train()
    assert distance_to_data(algorithm) < 0.4 * before
    algorithm.stop()


@pytest.mark.slow
def test_two_runners_do_what_the_driver_would_compute() -> None:
    algorithm = trained(tiny().env_runners(num_env_runners=2), 2)
    version, step = algorithm.weights.version, algorithm.step_count
    runner = (local := tiny().build_algo()).env_runner_group.local_env_runner
    runner.set_weights(algorithm.weights)
    shards = algorithm.runners.collect(lambda remote, i: remote.draw(2, version, step, i), 2)
    for shard, batch in enumerate(shards):
        mine = runner.draw(2, version, step, shard)
        assert torch.equal(mine.sample_NM, batch.sample_NM) and torch.allclose(mine.score_NM, batch.score_NM, atol=1e-6)
    assert not torch.equal(shards[0].latent_NZ, shards[1].latent_NZ)
    first = algorithm.checkpoint()
    algorithm.stop(), local.stop()
    assert_equal(final(tiny().env_runners(num_env_runners=2), 2), first)


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [
        {"control_variate": False},
        {"estimator": "single_partition", "control_variate": False},
        {"estimator": "continuous"},
    ],
    ids=str,
)
def test_two_learners_do_what_one_does(variant: dict[str, Any]) -> None:
    """Without the control variate, weights and moments of all rounds.

    With it a pixel that all draws agree on has gradient 0 but for rounding, which Adam's first steps blow up.
    """
    one, two = final(tiny(**variant)), final(by_two(variant))
    for group in ("learner_generator", "learner_discriminator"):
        for name, tensor in one.tensors[group].items():
            assert torch.allclose(tensor, two.tensors[group][name], atol=2e-5), f"{group}/{name}"
    assert_same_moments(one, two)


def by_two(variant: dict[str, Any]) -> BGANConfig:
    """The same run with two learners of each kind."""
    return tiny(**variant).learners(num_learners=2).discriminator_learners(2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "variant",
    [{}, {"estimator": "reinforce"}, {"estimator": "single_partition"}, {"d_steps": 2, "d_draws": 2}],
    ids=str,
)
def test_two_learners_have_the_gradients_of_one(variant: dict[str, Any]) -> None:
    """With the control variate and baselines that are used by default, in the first round."""
    assert_same_moments(final(tiny(**variant), 1), final(by_two(variant), 1))


def test_canary_moments_tell_a_loss_of_another_scale() -> None:
    """The weights alone do not: Adam takes it out."""
    algorithm, other = tiny().build_algo(), tiny().build_algo()
    learner = other.learner_group._learner
    descend = learner.descend
    learner.descend = lambda name, loss, *rest, **seen: descend(name, 2 * loss, *rest, **seen)
    for one in (algorithm, other):
        one.train()
    right, wrong = algorithm.checkpoint(), other.checkpoint()
    with pytest.raises(AssertionError, match="learner_optimizer_policy"):
        assert_same_moments(right, wrong)
    algorithm.stop(), other.stop()
