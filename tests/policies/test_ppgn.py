"""PPGN as a whole: phases, what is frozen, losses, who sits out, resume, chains on workers."""

import time
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from rlgan.captions import CaptionWords
from rlgan.chain_requests import CaptionRequest, ChainRequest, LabelRequest, UnitRequest
from rlgan.condition_nets import ConditionNetConfig, train_condition_net
from rlgan.errors import CheckpointError, ConfigError, DataError, NonFiniteError, WorkerError
from rlgan.plug_and_play import MODELS
from rlgan.policies import PPGNConfig
from rlgan.policies.chain_workers import ChainWorkers, workers_config
from rlgan.step_rules import PlugAndPlayRule, ReleasedRule
from tests.policies.test_seqgan import assert_equal, differs, final, trained

pytestmark = pytest.mark.usefixtures("local_ray")

RULE = PlugAndPlayRule(0.1, 0.5, 0.1)


def tiny(model: str = "ppgn_h", **training: Any) -> PPGNConfig:
    """8x8 digits, two rounds of two steps of everything."""
    small = {
        "encoder_rounds": 2,
        "rounds": 2,
        "denoiser_rounds": 2,
        "classifier_rounds": 1,
        "steps_per_round": 2,
        "batch_size": 4,
        "nets": {
            "encoder": {"channels": 2, "code_size": 5},
            "generator_channels": 2,
            "discriminator_channels": 2,
            "denoiser_hidden": (4,),
            "denoiser_channels": 2,
            "classifier_hidden": (4,),
            "captioner": {"hidden_size": 4},
        },
    }
    config = PPGNConfig().data(max_images=60)
    config.training(model=model, **small)
    config.training(**training)
    return config


def request(num_steps: int = 4, seed: int = 3) -> ChainRequest:
    return ChainRequest(LabelRequest((1, 7)), RULE, num_steps, seed, record_at=(0, num_steps))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def learner_of(algorithm: Any) -> Any:
    return algorithm.learner_group._learner


@pytest.mark.parametrize("model", MODELS)
def test_phases_of_every_model_and_what_each_moves(model: str) -> None:
    """No phase moves a net of another; a captioner plugs into what is there."""
    algorithm = tiny(model, captioner_rounds=2).build_algo()
    expected = ["encoder"] * 2
    expected += ["generator"] * 2 if model != "ppgn_x" else []
    expected += ["denoiser"] * 2 if model in {"ppgn_h", "ppgn_x"} else []
    seen, moved = [], {"encoder": {"encoder"}, "generator": {"generator", "discriminator"}}
    for _ in range(algorithm.total_steps):
        before = learner_of(algorithm).weights()
        algorithm.train()
        after, phase = learner_of(algorithm).weights(), algorithm.report.phase
        changed = {
            net for net in before if any(not torch.equal(before[net][key], after[net][key]) for key in before[net])
        }
        assert changed == moved.get(phase, {phase}), phase
        published = algorithm.weights.nets
        assert all(same(published[net], after[net]) for net in published)
        seen.append(phase)
    assert seen == [*expected, "classifier", "captioner", "captioner"]
    record = algorithm.run_chains(request(), 3)
    assert record.image_TNCHW.shape == (2, 3, 1, 8, 8)
    algorithm.stop()


def test_generator_loss_is_the_weighted_sum_of_its_parts() -> None:
    """One step a round, so that the figures are those of the step; h counts only where there is noise."""
    losses = {"image": 2.0, "pooled": 3.0, "code": 5.0, "adversarial": 7.0}
    for model, weight_of_code in [("joint", 5.0), ("noiseless_joint", 0.0)]:
        algorithm = trained(tiny(model, losses=losses, steps_per_round=1), 3)
        now = algorithm.report.figures
        expected = (
            2.0 * now["gen/image_error"]
            + 3.0 * now["gen/pooled_error"]
            + weight_of_code * now["gen/code_error"]
            + 7.0 * now["gen/adversarial_loss"]
        )
        assert now["gen/loss"] == pytest.approx(expected, rel=1e-5)
        assert algorithm.loss_ratio == pytest.approx(now["disc/loss"] / now["gen/adversarial_loss"], rel=1e-5)
        algorithm.stop()


@pytest.mark.parametrize("part", ["image", "pooled", "code", "adversarial", None])
def test_every_part_of_the_loss_alone_moves_the_generator(part: str | None) -> None:
    """Also the errors of h1 and h, which reach G through the frozen encoder."""
    losses = {"image": 0.0, "pooled": 0.0, "code": 0.0, "adversarial": 0.0} | ({part: 1.0} if part else {})
    algorithm = trained(tiny("joint", losses=losses, steps_per_round=1), 2)
    learner = learner_of(algorithm)
    before = learner.weights()["generator"]
    norm = learner.generator_round(0, 2, None).figures["gen/grad_norm"]
    assert (norm > 1e-4) is (part is not None), norm
    assert same(before, learner.weights()["generator"]) is (part is None)
    algorithm.stop()


@pytest.mark.parametrize(("ratio", "resting"), [(0.05, "discriminator"), (20.0, "generator"), (1.0, None)])
def test_who_is_far_ahead_sits_out(ratio: float, resting: str | None) -> None:
    algorithm = trained(tiny("joint", steps_per_round=1), 2)
    learner = learner_of(algorithm)
    before = learner.weights()
    learner.generator_round(0, 2, ratio)
    after = learner.weights()
    still = {net for net in before if same(before[net], after[net])}
    assert still == {"encoder", "classifier"} | ({resting} if resting else set())
    algorithm.stop()


def test_noise_is_only_in_the_joint_model() -> None:
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for model, is_noisy in [("noiseless_joint", False), ("joint", True)]:
        algorithm = trained(tiny(model), 2)
        learner = learner_of(algorithm)
        _, code, given = learner._codes(images, torch.Generator().manual_seed(1))
        assert torch.equal(code, given) is not is_noisy
        assert torch.equal(code, learner.encoder.code(images).detach())
        algorithm.stop()


@pytest.mark.parametrize("place", ["image", "pooled", "code", None])
def test_each_noise_of_the_joint_model_reaches_the_code_alone(place: str | None) -> None:
    noise = {"image": 0.0, "pooled": 0.0, "code": 0.0} | ({place: 0.2} if place else {})
    algorithm = trained(tiny("joint", noise=noise), 2)
    learner, images = learner_of(algorithm), torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    pooled, code, given = learner._codes(images, torch.Generator().manual_seed(1))
    assert torch.equal(code, given) is (place is None)
    random = torch.Generator().manual_seed(1)
    image_noise, pooled_noise, code_noise = (torch.randn(x.shape, generator=random) for x in (images, pooled, code))
    encoder = learner.encoder
    expected = {
        None: code,
        "image": encoder.code(images + 0.2 * image_noise),
        "pooled": encoder.code_of(pooled + 0.2 * learner.pooled_sd * pooled_noise),
        "code": code + 0.2 * code_noise,
    }[place]
    assert torch.allclose(given, expected, atol=1e-5)
    algorithm.stop()


def test_a_learner_goes_back_to_the_phase_of_its_encoder() -> None:
    """In which the encoder learns again, though it was frozen; and its h1 has another unit afterwards."""
    middle, whole = final(tiny("joint"), 1), final(tiny("joint"))
    algorithm = trained(tiny("joint"))
    algorithm.restore_checkpoint(middle)
    for _ in range(algorithm.total_steps - 1):
        algorithm.train()
    assert_equal(algorithm.checkpoint(), whole)
    learner = learner_of(algorithm)
    unit, groups = learner.pooled_sd, learner.tensors()
    with torch.no_grad():
        groups["encoder"] = {name: 2.0 * tensor for name, tensor in groups["encoder"].items()}
    learner.load_tensors(groups)
    assert learner.pooled_sd > 1.5 * unit
    algorithm.stop()


def test_words_of_captions_come_to_the_device_of_a_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of all captions stays where it is: rows of it are chosen there, then sent."""
    algorithm = trained(tiny(captioner_rounds=1, steps_per_round=1), 7)
    learner, sent = learner_of(algorithm), []
    monkeypatch.setattr(learner, "shard", lambda rows: (sent.append(rows), type(learner).shard(learner, rows))[1])
    learner.captioner_round(0, 1)
    words = [rows for rows in sent if rows.ndim == 2]
    assert [list(rows.shape) for rows in words] == [[4, learner.caption_LT.shape[1]]]
    assert not [rows for rows in sent if rows.ndim == 1], "no labels are sent, to index what is elsewhere"
    algorithm.stop()


def test_a_finished_encoder_has_codes_of_unit_spread() -> None:
    algorithm = trained(tiny(), 2)
    encoder = algorithm.chain_net("encoder")
    code = encoder.code(algorithm.source.space.to_unit(algorithm.source.train_NCHW))
    assert torch.allclose(code.std(dim=0), torch.ones(5), atol=1e-3)
    algorithm.stop()


@pytest.mark.parametrize("model", ["joint", "ppgn_h", "ppgn_x"])
def test_same_seed_same_run_and_resume_is_bit_for_bit(model: str) -> None:
    whole = final(tiny(model))
    assert differs(final(tiny(model).debugging(seed=1)), whole, "learner_encoder")
    for rounds_before in (1, 3):
        middle = final(tiny(model), rounds_before)
        assert_equal(final(tiny(model), whole.step - rounds_before, middle), whole)


def test_all_learn_on_digits() -> None:
    """500 images, small steps: every loss falls, the encoder knows most digits, G's images come near the real ones."""
    config = tiny("ppgn_h", encoder_rounds=8, rounds=8, denoiser_rounds=24, classifier_rounds=8, steps_per_round=20,
                  batch_size=32, lr=2e-3, classifier_lr=5e-3, noise={"encoder": 0.0},
                  nets={"encoder": {"channels": 6, "code_size": 64}, "generator_channels": 6, "denoiser_hidden": (128,),
                        "classifier_hidden": (32,)})  # fmt: skip
    algorithm = config.data(max_images=500).build_algo()
    rows: dict[str, list[dict[str, float]]] = {}
    for _ in range(algorithm.total_steps):
        algorithm.train()
        rows.setdefault(algorithm.report.phase, []).append(algorithm.report.figures)
    assert rows["encoder"][-1]["encoder/accuracy"] > 0.7 > rows["encoder"][0]["encoder/accuracy"]
    assert rows["classifier"][-1]["classifier/accuracy"] > 0.7 > rows["classifier"][0]["classifier/accuracy"]
    assert rows["generator"][-1]["gen/image_error"] < 0.6 * rows["generator"][0]["gen/image_error"]
    assert rows["denoiser"][-1]["denoiser/loss"] < 0.6 * rows["denoiser"][0]["denoiser/loss"]
    without_prior_it_is_fooled_and_with_nothing_but_prior_it_ignores_the_class(algorithm)
    chains_to_a_unit_excite_it_and_no_other(algorithm)
    nets_that_are_trained_afterwards_steer_the_chains(algorithm)
    algorithm.stop()


def without_prior_it_is_fooled_and_with_nothing_but_prior_it_ignores_the_class(algorithm: Any) -> None:
    """Chains of the same start, nets and prior R(h) - h, which differ in eps1 alone.

    Without the prior the encoder is satisfied with images that a second classifier does not take for the class. With
    the released step, in which only ratios count, eps1 = 1000 eps2 leaves the class to the start: chance is 0.1.
    """
    wanted, nets = torch.arange(200) % 10, [algorithm.chain_net(name) for name in ("encoder", "classifier")]

    def accuracies(rule: PlugAndPlayRule | ReleasedRule) -> list[float]:
        asked = ChainRequest(LabelRequest(tuple(range(10))), rule, 40, 0, (40,))
        image = algorithm.run_chains(asked, 200).image_TNCHW[-1]
        return [float((net(image).argmax(dim=1) == wanted).float().mean()) for net in nets]

    without, with_prior = (accuracies(PlugAndPlayRule(eps1, 0.1, 0.0)) for eps1 in (0.0, 0.5))
    assert min(without[0], with_prior[0]) > 0.85, (without, with_prior)
    assert without[1] < with_prior[1] - 0.15 and with_prior[1] > 0.8, (without, with_prior)
    small, huge = (accuracies(ReleasedRule(eps1, 1.0, 0.0, step_size=0.2)) for eps1 in (1e-5, 1e3))
    assert small[0] > 0.9 and huge[0] < 0.25, (small, huge)


def chains_to_a_unit_excite_it_and_no_other(algorithm: Any) -> None:
    """Of three units of the code's layer and three of the second convolution, in standard deviations of the data.

    The same chains without a condition leave a unit about where the data has it, those to others excite it less.
    """
    source, net = algorithm.source, algorithm.chain_net("encoder")
    real_NCHW = source.space.to_unit(source.train_NCHW)
    rule = PlugAndPlayRule(0.2, 2.0, 0.2, quiet_from=36)
    units = [UnitRequest("hidden", number) for number in (0, 24, 48)]
    units += [UnitRequest("second", number, 2, 2) for number in (0, 4, 8)]

    def images(condition: UnitRequest | None) -> torch.Tensor:
        return algorithm.run_chains(ChainRequest(condition, rule, 40, 0, (40,)), 32).image_TNCHW[-1]

    made = [images(unit) for unit in units] + [images(None)]
    scores = torch.empty(len(units), len(made))
    for row, unit in enumerate(units):
        real_N, *made_N = (
            net.layer(unit.layer, image_NCHW)[:, unit.channel, unit.row, unit.column]
            for image_NCHW in (real_NCHW, *made)
        )
        scores[row] = torch.stack([(one.mean() - real_N.mean()) / real_N.std() for one in made_N])
    asked, free = scores.diagonal(), scores[:, -1]
    assert bool((asked > free + 0.8).all()) and float((asked - free).mean()) > 1.5, scores
    assert float(free.abs().max()) < 1.0 and float(asked.mean()) > 1.5, scores
    assert bool((scores.argmax(dim=1) == torch.arange(len(units))).all()), "each is excited most by its own chains"


def nets_that_are_trained_afterwards_steer_the_chains(algorithm: Any) -> None:
    """A classifier of labels that no net of the run knows, and a captioner, which the run was not asked for."""
    source, rule = algorithm.source, PlugAndPlayRule(0.2, 2.0, 0.2, quiet_from=36)

    def images(condition: LabelRequest | CaptionRequest) -> torch.Tensor:
        return algorithm.run_chains(ChainRequest(condition, rule, 40, 0, (40,)), 100).image_TNCHW[-1]

    ink_N = source.train_NCHW.float().mean(dim=(1, 2, 3))
    others = copy(source)
    others.label_names, others.held_out_label_N = ("light", "heavy"), None
    others.train_label_N = (ink_N > ink_N.median()).long()
    small = {"steps": 150, "batch_size": 32, "lr": 5e-3, "convolutional": {"channels": 6}}
    plugged = train_condition_net(others, ConditionNetConfig(**small))
    light, heavy = (float(images(LabelRequest((label,), plugged.net)).mean()) for label in (0, 1))
    assert heavy > light + 0.08, (light, heavy)
    words = CaptionWords(source.label_names)
    reader = train_condition_net(source, ConditionNetConfig(kind="captioner", **small | {"steps": 400}))
    captions = tuple(words.encode(name) for name in source.label_names)
    read_N = algorithm.chain_net("classifier")(images(CaptionRequest(captions, reader.net))).argmax(dim=1)
    assert float((read_N == torch.arange(100) % 10).float().mean()) > 0.6


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_discriminator_learners must be 0"):
        tiny().discriminator_learners(1).validate()
    with pytest.raises(ConfigError, match="among 3 learners"):
        tiny().learners(num_learners=3).validate()
    with pytest.raises(DataError, match="do not fill one batch of 64"):
        tiny(batch_size=64).build_algo()
    with pytest.raises(DataError, match="cannot be halved twice"):
        tiny().data(size=6).build_algo()
    checkpoint = final(tiny(), 1)
    other = tiny(nets={"generator_channels": 3}).build_algo()
    with pytest.raises(CheckpointError, match="generator_channels"):
        other.restore_checkpoint(checkpoint)
    with pytest.raises(WorkerError, match="weights version"):
        other.env_runner_group.local_env_runner.run(request(), [0], version=99)
    wild = ChainRequest(None, PlugAndPlayRule(1e30, 0.0, 0.0), 4, 0, (4,))
    with pytest.raises(NonFiniteError, match="smaller eps1"):
        other.run_chains(wild, 2)
    other.stop()


def test_images_without_labels_are_refused(tmp_path: Any) -> None:
    import numpy as np

    np.savez(tmp_path / "a.npz", images=np.zeros((50, 8, 8), np.uint8))
    with pytest.raises(DataError, match="needs images with at least 2 labels"):
        tiny().data(data=tmp_path / "a.npz").build_algo()


@pytest.fixture(scope="module")
def finished() -> Iterator[Any]:
    algorithm = trained(tiny("joint"))
    yield algorithm
    algorithm.stop()


@pytest.mark.slow
def test_chains_are_the_same_on_two_workers_and_when_one_is_killed(
    finished: Any, local_ray: None, tmp_path: Path
) -> None:
    """Slow: two Ray workers are started, and one of them again, which dies inside a shard."""
    from tests.policies.systems import kill_self, once_before  # which imports this module

    marker = tmp_path / "killed"
    alone = finished.run_chains(request(20), 40)
    config = workers_config(finished.config.hyperparameters.model_dump(), finished.config.space, 2)
    nets = {name: finished.weights.nets[name] for name in finished.config.chain_nets()}
    with ChainWorkers(config, nets) as workers:
        together = workers.run(request(20), 40)
        workers.group.foreach_env_runner(
            lambda runner: once_before(runner, "run", kill_self, marker) if runner.worker_index == 1 else None,
            local_env_runner=False,
        )
        after = workers.run(request(20), 40)
        assert marker.exists(), "killed when it was asked for a shard"
        pool, deadline = workers._runners, time.monotonic() + 60
        while pool.num_births < 3 and time.monotonic() < deadline:
            time.sleep(0.5)
            pool.restore()
        assert pool.num_births == 3 and workers.group.num_healthy_remote_env_runners() == 2
        again = workers.run(request(20), 40)
    for record in (together, after, again):
        for name, value in vars(alone).items():
            assert torch.equal(value, getattr(record, name)), name


@pytest.mark.slow
@pytest.mark.parametrize("model", ["joint", "ppgn_x"])
def test_two_learners_do_what_one_does(model: str) -> None:
    """Slow: two learner processes."""
    one, two = final(tiny(model)), final(tiny(model).learners(num_learners=2))
    for group in (name for name in one.tensors if name.startswith("learner_") and "optimizer" not in name):
        for name, tensor in one.tensors[group].items():
            assert torch.allclose(tensor, two.tensors[group][name], atol=5e-4), f"{group}/{name}"
