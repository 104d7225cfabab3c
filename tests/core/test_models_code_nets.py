"""PPGN's nets: codes and their unit, layers, what each of the five models is made of, requests of chains."""

import pytest
import torch

from rlgan.chain_requests import ChainConfig, ChainRequest, LabelRequest, UnitRequest, run_chains, shards_of
from rlgan.chains import ChainRecord, StepRule, start_states
from rlgan.image_types import ImageSpace, LabelledImageSpace
from rlgan.models.code_nets import CodeEncoder, CodeEncoderConfig, CodeNetsConfig
from rlgan.plug_and_play import MODELS, model_named, nets_of
from rlgan.priors import EncodedPrior, GaussianPrior, ReconstructionPrior
from rlgan.step_rules import PlugAndPlayRule, ReleasedRule

SPACE = LabelledImageSpace(1, 8, 8, num_labels=3)
SIZES = CodeNetsConfig(
    encoder=CodeEncoderConfig(channels=2, code_size=5), generator_channels=2, denoiser_hidden=(4,), denoiser_channels=2
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 40) -> torch.Tensor:
    return torch.rand(count, 1, 8, 8, generator=seeded(1))


def nets_for(name: str) -> dict[str, torch.nn.Module]:
    return {
        net: build(seeded()).requires_grad_(False) for net, build in nets_of(model_named(name), SIZES, SPACE).items()
    }


@pytest.mark.parametrize("rectified", [False, True])
def test_codes_have_unit_spread_and_give_the_labels(rectified: bool) -> None:
    config = CodeEncoderConfig(channels=2, code_size=5, rectified=rectified)
    encoder = CodeEncoder(SPACE, 3, config, seeded()).requires_grad_(False)
    encoder.standardise(images())
    code = encoder.code(images())
    alive = code.std(dim=0) > 0
    assert bool(alive.any()) and torch.allclose(code.std(dim=0)[alive], torch.ones(5)[alive], atol=1e-4)
    if rectified:
        assert float(code.min()) == 0.0 and encoder.mean_Z.tolist() == [0.0] * 5
    else:
        assert torch.allclose(code.mean(dim=0), torch.zeros(5), atol=1e-4)
    hidden = torch.relu(code * encoder.sd_Z + encoder.mean_Z)
    assert torch.allclose(encoder.net.output(hidden), encoder(images()), atol=1e-5), "h is what the labels come from"
    assert torch.equal(encoder.code(images()), encoder.code_of(encoder.pooled(images())))


def test_layers_lead_to_the_labels() -> None:
    encoder = CodeEncoder(SPACE, 3, CodeEncoderConfig(channels=2, code_size=5), seeded())
    first, second = (encoder.layer(name, images()) for name in ("first", "second"))
    assert first.shape == (40, 2, 8, 8) and second.shape == (40, 4, 4, 4)
    pooled = torch.nn.functional.max_pool2d(torch.relu(second), 2)
    assert torch.allclose(pooled, encoder.pooled(images()))
    assert torch.allclose(
        encoder.net.output(torch.relu(encoder.layer("hidden", images())[:, :, 0, 0])), encoder(images())
    )
    with pytest.raises(ValueError, match="first, second and hidden"):
        encoder.layer("third", images())


@pytest.mark.parametrize(
    ("name", "nets", "prior", "shape"),
    [
        ("noiseless_joint", {"generator"}, EncodedPrior, (5,)),
        ("joint", {"generator"}, EncodedPrior, (5,)),
        ("ppgn_h", {"generator", "denoiser"}, ReconstructionPrior, (5,)),
        ("dgn_am", {"generator"}, GaussianPrior, (5,)),
        ("ppgn_x", {"denoiser"}, ReconstructionPrior, (1, 8, 8)),
    ],
)
def test_the_five_models(name: str, nets: set[str], prior: type, shape: tuple[int, ...]) -> None:
    built, model = nets_for(name), model_named(name)
    assert built.keys() == {"encoder", "classifier"} | nets
    assert isinstance(model.prior(built), prior)
    assert model.state_shape(SPACE, 5) == shape
    made = model.generate(built)(torch.zeros(2, *shape))
    assert made.shape == (2, 1, 8, 8)
    assert {model for model in MODELS if model_named(model).has_noise} == {"joint"}


def test_the_prior_of_a_joint_model_is_encoder_after_generator() -> None:
    nets, model = nets_for("joint"), model_named("joint")
    state = torch.randn(3, 5, generator=seeded(2))
    image = nets["generator"](state)
    direction = model.prior(nets).direction(state, image)
    assert torch.allclose(direction, nets["encoder"].code(image) - state)


@pytest.mark.parametrize("rule", [PlugAndPlayRule(0.1, 1.0, 0.1), ReleasedRule(1e-5, 1.0, 1e-17, step_size=1.0)])
def test_a_chain_is_the_same_bit_for_bit_whatever_their_number(rule: StepRule) -> None:
    """Also where the last shard is not full, and with the released step, which magnifies any rounding."""
    nets, model = nets_for("noiseless_joint"), model_named("noiseless_joint")
    request = ChainRequest(LabelRequest((2, 0)), rule, 40, seed=4, record_at=(0, 40))

    def record(num_chains: int) -> ChainRecord:
        return ChainRecord.join([run_chains(model, nets, (5,), request, numbers) for numbers in shards_of(num_chains)])

    most = record(40)
    for num_chains in (1, 3, 16, 17, 20):
        for name, value in vars(record(num_chains)).items():
            assert torch.equal(value, getattr(most.first(num_chains), name)), (num_chains, name)
    assert len(record(20).state_N) == 20


def test_requests_build_the_condition_of_their_chains() -> None:
    """Label 2 for even chains and 0 for odd ones; the second classifier says something else."""
    nets = nets_for("joint")
    log_p = nets["encoder"](images(2)).log_softmax(dim=1)
    made = LabelRequest((2, 0)).build(nets, [4, 7]).log_probability(images(2))
    assert torch.allclose(made, torch.stack([log_p[0, 2], log_p[1, 0]]))
    other = LabelRequest((2, 0), classifier="classifier").build(nets, [4, 7]).log_probability(images(2))
    log_q = nets["classifier"](images(2)).log_softmax(dim=1)
    assert torch.allclose(other, torch.stack([log_q[0, 2], log_q[1, 0]]))
    unit = UnitRequest("second", channel=1, row=2, column=3).build(nets, [0, 1]).log_probability(images(2))
    assert torch.allclose(unit, nets["encoder"].layer("second", images(2))[:, :, 2, 3].log_softmax(dim=1)[:, 1])


def test_requests_take_a_net_that_no_run_has() -> None:
    """Any module; one in training mode, whose dropout would differ from call to call, is refused."""
    nets = nets_for("joint")
    own = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(64, 4))
    asked = LabelRequest((3,), classifier=own)
    assert asked.needs == () and LabelRequest((1,), "classifier").needs == ("classifier",)
    with pytest.raises(ValueError, match=r"Sequential is in training mode: give it as net.eval\(\)"):
        asked.build(nets, [0])
    own.eval()
    made = asked.build(nets, [0, 1]).log_probability(images(2))
    assert torch.allclose(made, own(images(2)).log_softmax(dim=1)[:, 3])
    other = CodeEncoder(SPACE, 3, SIZES.encoder, seeded(9)).eval()
    unit = UnitRequest("first", channel=1, row=2, column=3, net=other)
    assert unit.needs == () and UnitRequest("first", 1, 2, 3).needs == ("encoder",)
    expected = other.layer("first", images(2))[:, :, 2, 3].log_softmax(dim=1)[:, 1]
    assert torch.allclose(unit.build(nets, [0, 1]).log_probability(images(2)), expected)


def test_a_request_may_have_a_prior_of_its_own() -> None:
    """With eps1 = 1 and nothing else a step ends where the prior points: at 0 for -h, at E(G(h)) for the model's."""
    nets, model, rule = nets_for("joint"), model_named("joint"), PlugAndPlayRule(1.0, 0.0, 0.0)
    start = start_states((5,), range(16), 2)
    ends = [
        run_chains(model, nets, (5,), ChainRequest(None, rule, 1, 2, (1,), prior), range(16)).state_N
        for prior in (None, GaussianPrior())
    ]
    assert torch.allclose(ends[0], nets["encoder"].code(nets["generator"](start)), atol=1e-6)
    assert torch.equal(ends[1], torch.zeros(16, 5))


def test_chain_config_takes_what_is_not_given_from_the_model() -> None:
    model = model_named("ppgn_h")
    rule = ChainConfig(eps2=0.7, steps=50, quiet_steps=5).rule_for(model)
    assert rule == PlugAndPlayRule(model.multipliers[0], 0.7, model.multipliers[2], quiet_from=45)
    released = ChainConfig(eps1=1.0, eps2=2.0, eps3=3.0, rule="released", released_step_size=0.5).rule_for(model)
    assert released == ReleasedRule(1.0, 2.0, 3.0, 0.5)


def test_a_chain_has_as_many_steps_as_quiet_ones() -> None:
    with pytest.raises(ValueError, match="quiet_steps is 4, and the chain has only 2 steps"):
        ChainConfig(steps=2)
    assert ChainConfig(steps=4).rule_for(model_named("ppgn_h")).quiet_from == 0
    assert ChainConfig(steps=2, rule="released").steps == 2, "which has no quiet steps"


def test_a_condition_needs_two_labels() -> None:
    with pytest.raises(ValueError, match="at least 2 labels"):
        LabelledImageSpace(1, 8, 8, num_labels=1)
    assert isinstance(SPACE, ImageSpace)
