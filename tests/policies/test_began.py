"""BEGAN as a whole: the balance, both gradients, step sizes, resume, learners."""

from typing import Any

import numpy as np
import pytest
import torch

from rlgan.errors import CheckpointError, ConfigError, DataError
from rlgan.policies import BEGANConfig
from rlgan.policies.began_workers import Equilibrium
from tests.policies.test_seqgan import assert_equal, assert_same_moments, differs, final, trained

pytestmark = pytest.mark.usefixtures("local_ray")


def tiny(**training: Any) -> BEGANConfig:
    """8x8 digits, three rounds of two steps."""
    small = {"rounds": 3, "steps_per_round": 2, "batch_size": 4, "discriminator": {"channels": 2, "code_size": 3}}
    config = BEGANConfig().data(max_images=60)
    config.training(**small)
    config.training(**training)
    return config


def learner_of(algorithm: Any) -> Any:
    return algorithm.learner_group._learner


def test_a_round_reports_its_figures() -> None:
    algorithm = tiny().build_algo()
    result = algorithm.train()
    figures = algorithm.report.figures
    wanted = {"gen/loss", "gen/lr", "disc/loss", "disc/real_error", "eval/began_M", "eval/began_k", "eval/began_ratio"}
    assert wanted <= figures.keys() and result["eval"]["began_M"] == figures["eval/began_M"]
    assert figures["eval/began_ratio"] == figures["gen/loss"] / figures["disc/real_error"]
    assert algorithm.equilibrium.step == 2 and type(algorithm.equilibrium.balance) is float
    algorithm.stop()


def test_balance_follows_its_equation_by_hand() -> None:
    """One step a round, so that the reported errors are those of the step."""
    algorithm = tiny(steps_per_round=1, gain=2.0, diversity=0.7, initial_balance=0.3, rounds=5).build_algo()
    balance = 0.3
    for _ in range(5):
        algorithm.train()
        now = algorithm.equilibrium
        balance = min(1.0, max(0.0, balance + 2.0 * (0.7 * now.real_error - now.fake_error)))
        assert now.balance == balance
        assert now.measure == now.real_error + abs(0.7 * now.real_error - now.fake_error)
    algorithm.stop()


def test_the_loss_of_a_round_takes_every_step_with_its_own_balance() -> None:
    """Five rounds of one step are one round of five: the same images and codes, and the mean of the losses."""
    moving = {"gain": 0.2, "diversity": 0.7, "initial_balance": 0.3, "rounds": 5}
    single = tiny(steps_per_round=1, **moving).build_algo()
    losses, balances = [], []
    for _ in range(5):
        single.train()
        losses.append(single.report.figures["disc/loss"])
        balances.append(single.report.figures["eval/began_k"])
    whole = trained(tiny(steps_per_round=5, **moving), 1)
    figures = whole.report.figures
    assert figures["eval/began_k"] == balances[-1] and len(set(balances)) > 1, "k must move for this to say anything"
    assert figures["disc/loss"] == pytest.approx(np.mean(losses), abs=1e-7)
    with_first = figures["disc/real_error"] - 0.3 * figures["gen/loss"]
    assert abs(figures["disc/loss"] - with_first) > 1e-4, "the k that the round began with makes another number"
    single.stop(), whole.stop()


@pytest.mark.parametrize("power", [1, 2])
def test_without_balance_the_discriminator_learns_as_an_autoencoder(power: int) -> None:
    """k = 0 and no gain: D's weights after the steps are those of plain steps on the same real images."""
    config = tiny(gain=0.0, discriminator={"power": power})
    algorithm = config.build_algo()
    learner = learner_of(algorithm)
    plain = algorithm.config.build_discriminator(torch.Generator().manual_seed(0))
    plain.load_state_dict(learner.nets["discriminator"].state_dict())
    optimizer = torch.optim.Adam(plain.parameters(), 1e-4, (0.5, 0.999))
    for step in range(2):
        optimizer.zero_grad()
        plain(learner._real_images("real images", step)).mean().backward()
        optimizer.step()
    algorithm.train()
    for mine, other in zip(plain.parameters(), learner.nets["discriminator"].parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)
    algorithm.stop()


def test_each_step_moves_its_own_net_only() -> None:
    algorithm = tiny().build_algo()
    learner = learner_of(algorithm)
    before = learner.weights()
    real_descend, seen = learner.descend, []

    def descend(name: str, loss: torch.Tensor, *rest: Any, **seen_batch: Any) -> float:
        norm = real_descend(name, loss, *rest, **seen_batch)
        grads = {net: any(p.grad is not None for p in learner.nets[net].parameters()) for net in learner.nets}
        seen.append((name, grads))
        return norm

    learner.descend = descend
    learner.adversarial_round(Equilibrium(step=0, balance=0.5), 1.0)
    assert [name for name, _ in seen] == ["generator", "discriminator"] * 2
    assert seen[0][1] == {"generator": True, "discriminator": False}, "L_G's pass must leave no gradient in D"
    after = learner.weights()
    assert all(differ(before[net], after[net]) for net in before)
    assert all(p.requires_grad for p in learner.nets["discriminator"].parameters())
    algorithm.stop()


def differ(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(one[name], other[name]) for name in one)


def test_both_sides_learn_and_the_ratio_comes_near_gamma() -> None:
    """500 steps on digits: L(x) falls, k stays in [0, 1], and L(G)/L(x) ends within 0.05 of gamma."""
    training = {"rounds": 25, "steps_per_round": 20, "batch_size": 8, "lr": 1e-3, "discriminator_lr": 1e-3, "gain": 0.3}
    algorithm = tiny(**training, diversity=0.6, discriminator={"channels": 4, "code_size": 8}).build_algo()
    rows = []
    for _ in range(25):
        algorithm.train()
        rows.append(algorithm.report.figures)
    ratios = [row["eval/began_ratio"] for row in rows]
    assert rows[-1]["disc/real_error"] < 0.6 * rows[0]["disc/real_error"]
    assert all(0 <= row["eval/began_k"] <= 1 for row in rows)
    assert abs(np.mean(ratios[-8:]) - 0.6) < 0.05, ratios
    algorithm.stop()


def test_step_sizes_are_halved_when_the_measure_stalls() -> None:
    algorithm = tiny(patience=2, smallest_lr_scale=0.25).build_algo()
    for measure, scale in [
        (1.0, 1.0),
        (0.9, 1.0),
        (0.95, 1.0),
        (0.9, 0.5),
        (0.8, 0.5),
        (1, 0.5),
        (1, 0.25),
        (1, 0.25),
        (1, 0.25),
    ]:
        algorithm._follow_measure(measure)
        assert algorithm.lr_scale == scale
    algorithm.train()
    groups = [optimizer.param_groups[0]["lr"] for optimizer in learner_of(algorithm).optimizers.values()]
    assert groups == [1e-4 / 4] * 2 and algorithm.report.figures["gen/lr"] == 1e-4 / 4
    algorithm.stop()


def test_warm_start_gives_the_generator_the_decoder_and_the_moments_of_codes() -> None:
    rates = {"lr": 1e-3, "discriminator_lr": 1e-3}
    algorithm = trained(tiny(pretrain_rounds=2, warm_start=True, **rates, discriminator={"latent": "normal"}), 2)
    nets = learner_of(algorithm).nets
    generator, decoder = nets["generator"], nets["discriminator"].net.decoder
    for name, tensor in decoder.state_dict().items():
        assert torch.equal(tensor, generator.decoder.state_dict()[name]) is not name.startswith("dense")
    images = 2 * algorithm.source.space.to_unit(algorithm.source.train_NCHW) - 1
    code_NZ = nets["discriminator"].net.encoder(images).detach()
    latent_NZ = generator.draw_latent(200_000, torch.Generator().manual_seed(0))
    first_of_codes, first_of_latent = decoder.dense(code_NZ).detach(), generator.decoder.dense(latent_NZ).detach()
    assert torch.allclose(first_of_codes.mean(0), first_of_latent.mean(0), atol=0.02)
    assert torch.allclose(torch.cov(first_of_codes.T), torch.cov(first_of_latent.T), atol=0.02)
    assert algorithm.report.phase == "autoencoder"
    algorithm.stop()


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"pretrain_rounds": 2, "warm_start": True},
        {"pretrain_rounds": 1, "warm_start": True, "discriminator": {"net": "mlp", "hidden": (5, 4), "code_size": 3}},
        {"discriminator": {"skip_connections": True, "vanishing_residuals": True, "carry_steps": 3}},
    ],
    ids=["plain", "warm", "linear", "skips"],
)
def test_same_seed_same_run_and_resume_is_bit_for_bit(variant: dict[str, Any]) -> None:
    whole = final(tiny(**variant))
    assert_equal(final(tiny(**variant)), whole)
    assert differs(final(tiny(**variant).debugging(seed=1)), whole, "learner_generator")
    assert_equal(final(tiny(**variant), whole.step - 1, final(tiny(**variant), 1)), whole)


def test_images_are_those_of_the_residuals_as_they_are_now() -> None:
    sizes = {"vanishing_residuals": True, "carry_steps": 8}
    algorithm = trained(tiny(discriminator=sizes), 2)  # of two steps each; the last one was step 3 of 8
    learner, generator = learner_of(algorithm), algorithm.generator()
    assert float(generator.carry) == float(learner.nets["generator"].carry) == 1 - 3 / 8
    latent = generator.draw_latent(2, torch.Generator().manual_seed(0))
    expected = (learner.nets["generator"](latent).detach() + 1) / 2
    assert torch.allclose(generator.images(latent), expected.clamp(0, 1), atol=1e-6)
    hyperparameters = algorithm.config.hyperparameters
    assert [hyperparameters.carry_at(step) for step in (0, 2, 8, 100)] == [1.0, 0.75, 0.0, 0.0]
    algorithm.stop()
    with pytest.raises(ConfigError, match="must be 0 with vanishing_residuals"):
        tiny(pretrain_rounds=1, discriminator=sizes).validate()


def test_colour_images_and_other_sizes_train() -> None:
    algorithm = trained(tiny(rounds=1).data(colour="rgb", size=16))
    generator = algorithm.generator()
    images = generator.images(generator.draw_latent(3, torch.Generator().manual_seed(0)))
    assert images.shape == (3, 3, 16, 16) and 0 <= float(images.min()) <= float(images.max()) <= 1
    algorithm.stop()


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to roll out"):
        tiny().env_runners(num_env_runners=1).validate()
    with pytest.raises(ConfigError, match="nothing to roll out"):
        tiny().discriminator_learners(1).validate()
    with pytest.raises(ConfigError, match="among 3 learners"):
        tiny().learners(num_learners=3).validate()
    with pytest.raises(ConfigError, match="needs pretrain_rounds"):
        tiny(warm_start=True).validate()
    with pytest.raises(DataError, match="do not fill one batch of 64"):
        tiny(batch_size=64).build_algo()
    with pytest.raises(DataError, match="cannot be halved"):
        tiny().data(size=7).build_algo()
    checkpoint = final(tiny(), 1)
    other = tiny(discriminator={"channels": 3}).build_algo()
    with pytest.raises(CheckpointError, match="channels"):
        other.restore_checkpoint(checkpoint)
    other.stop()


@pytest.mark.slow
@pytest.mark.parametrize("variant", [{}, {"pretrain_rounds": 1, "warm_start": True}], ids=["plain", "warm"])
def test_two_learners_do_what_one_does(variant: dict[str, Any]) -> None:
    variant = {"gain": 0.5, **variant}
    one, two = final(tiny(**variant)), final(tiny(**variant).learners(num_learners=2))
    for group in ("learner_generator", "learner_discriminator"):
        for name, tensor in one.tensors[group].items():
            assert torch.allclose(tensor, two.tensors[group][name], atol=2e-5), f"{group}/{name}"
    assert_same_moments(one, two)
    mine, theirs = one.state["equilibrium"], two.state["equilibrium"]
    assert mine["step"] == theirs["step"] and abs(mine["balance"] - theirs["balance"]) < 1e-5
