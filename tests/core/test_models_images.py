"""Image and text nets of BGAN and BEGAN: distributions against torch's, shapes of every size."""

# N latent codes, M draws, D values, K categories

import pytest
import torch

from rlgan.discriminators.autoencoder import AutoencoderDiscriminator, AutoencoderDiscriminatorConfig
from rlgan.discriminators.boundary import BoundaryDiscriminator, BoundaryDiscriminatorConfig
from rlgan.image_types import ImageSpace
from rlgan.models.autoencoder import Autoencoder, Decoder, ImageGenerator
from rlgan.models.autoencoder_config import AutoencoderConfig, halvings_of
from rlgan.models.discrete_generator import DiscreteGenerator, DiscreteGeneratorConfig
from rlgan.models.factorised import FactorisedBernoulli, FactorisedCategorical, factorised
from rlgan.types import TokenSpace

BINARY, GREY, COLOUR = ImageSpace(1, 8, 8, 2), ImageSpace(1, 12, 8, 5), ImageSpace(3, 8, 8, 4)
TEXT = TokenSpace(vocab_size=7, length=10)
SPACES = pytest.mark.parametrize("space", [BINARY, GREY, COLOUR, TEXT], ids=["binary", "grey", "colour", "text"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_bernoulli_agrees_with_torch() -> None:
    logits_ND = 2 * torch.randn(3, 5, generator=seeded())
    distribution = torch.distributions.Bernoulli(logits=logits_ND)
    sample_NMD = FactorisedBernoulli().draw(logits_ND, 4000, seeded(1))
    assert sample_NMD.shape == (3, 4000, 5) and sample_NMD.dtype == torch.uint8
    assert torch.allclose(sample_NMD.float().mean(1), distribution.probs, atol=0.04)
    expected_NM = torch.stack([distribution.log_prob(x.float()).sum(1) for x in sample_NMD.transpose(0, 1)], dim=1)
    assert torch.allclose(FactorisedBernoulli().log_prob(logits_ND, sample_NMD), expected_NM, atol=1e-5)
    assert torch.allclose(FactorisedBernoulli().entropy(logits_ND), distribution.entropy().sum(1), atol=1e-5)
    assert torch.allclose(FactorisedBernoulli().expectation(logits_ND), distribution.mean, atol=1e-6)


def test_categorical_agrees_with_torch() -> None:
    logits_NDK = 2 * torch.randn(3, 5, 4, generator=seeded())
    distribution = torch.distributions.Categorical(logits=logits_NDK)
    likelihood = FactorisedCategorical(4)
    sample_NMD = likelihood.draw(logits_NDK.flatten(1), 4000, seeded(1))
    assert sample_NMD.shape == (3, 4000, 5)
    shares_NDK = torch.nn.functional.one_hot(sample_NMD.long(), 4).float().mean(1)
    assert torch.allclose(shares_NDK, distribution.probs, atol=0.04)
    expected_NM = torch.stack([distribution.log_prob(x).sum(1) for x in sample_NMD.transpose(0, 1)], dim=1)
    assert torch.allclose(likelihood.log_prob(logits_NDK.flatten(1), sample_NMD), expected_NM, atol=1e-5)
    assert torch.allclose(likelihood.entropy(logits_NDK.flatten(1)), distribution.entropy().sum(1), atol=1e-5)
    expected_ND = (distribution.probs * torch.arange(4)).sum(2)
    assert torch.allclose(likelihood.expectation(logits_NDK.flatten(1)), expected_ND, atol=1e-6)


def test_extreme_logits_are_finite_and_forbidden_categories_are_never_drawn() -> None:
    logits_ND = torch.tensor([[1e4, -1e4]])
    sample_NMD = FactorisedBernoulli().draw(logits_ND, 10, seeded())
    assert sample_NMD.float().mean(1).tolist() == [[1.0, 0.0]]
    assert FactorisedBernoulli().log_prob(logits_ND, sample_NMD).abs().max() == 0
    sample_NMD = FactorisedCategorical(3).draw(torch.tensor([[0.0, -1e4, 0.0]]), 500, seeded())
    assert set(sample_NMD.unique().tolist()) == {0, 2}


def test_a_categorical_code_is_one_of_so_many_and_as_long_as_a_normal_one() -> None:
    config = DiscreteGeneratorConfig(latent="categorical", latent_size=5, net="mlp", hidden=(8,))
    generator = DiscreteGenerator(TEXT, config, seeded())
    latent_NZ = generator.draw_latent(1000, seeded(1))
    assert latent_NZ.shape == (1000, 5) and torch.allclose(latent_NZ.square().sum(1), torch.full((1000,), 5.0))
    share_Z = (latent_NZ != 0).float().mean(0)
    assert bool(((latent_NZ != 0).sum(1) == 1).all()) and torch.allclose(share_Z, torch.full((5,), 0.2), atol=0.05)
    coldest = generator.sample(latent_NZ, 1, seeded(2), temperature=0.0)
    assert len(coldest.flatten(1).unique(dim=0)) == 5, "a table of as many texts as there are codes"


@pytest.mark.parametrize(("space", "layers"), [(BINARY, "mlp"), (TEXT, "convolutions")], ids=["images", "text"])
def test_nets_are_those_that_were_asked_for(space, layers: str) -> None:
    kinds = {"mlp": torch.nn.Linear, "convolutions": (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.ConvTranspose2d)}
    for net, wanted in (("auto", layers), ("mlp", "mlp"), ("convolutions", "convolutions")):
        generator = DiscreteGenerator(space, DiscreteGeneratorConfig(net=net), seeded())
        discriminator = BoundaryDiscriminator(space, BoundaryDiscriminatorConfig(net=net), seeded())
        for one in (generator, discriminator):
            has_convolutions = any(isinstance(layer, kinds["convolutions"]) for layer in one.modules())
            assert has_convolutions is (wanted == "convolutions")


def test_temperature_divides_the_logits_and_zero_takes_the_most_likely() -> None:
    latent_NZ, sizes = torch.randn(3, 6, generator=seeded()), {"latent_size": 6, "channels": 4, "blocks": 1}
    for space in (BINARY, GREY, TEXT):
        generator = DiscreteGenerator(space, DiscreteGeneratorConfig(**sizes), seeded())
        logits_ND = 3 * generator.logits(latent_NZ).detach()
        generator.logits = lambda _, logits_ND=logits_ND: logits_ND  # type: ignore[method-assign]
        num_logits = generator.likelihood.num_logits
        logits_NDK = logits_ND.view(3, -1, num_logits) if num_logits > 1 else logits_ND[..., None] * torch.arange(2)
        for temperature in (0.25, 1.0, 4.0):
            sample_NMD = generator.sample(latent_NZ, 3000, seeded(1), temperature).flatten(2)
            share_NDK = torch.nn.functional.one_hot(sample_NMD.long(), logits_NDK.shape[2]).float().mean(1)
            assert torch.allclose(share_NDK, (logits_NDK / temperature).softmax(2), atol=0.05)
        coldest_NMD = generator.sample(latent_NZ, 4, seeded(1), 0.0).flatten(2)
        assert torch.equal(coldest_NMD, logits_NDK.argmax(2)[:, None].expand(-1, 4, -1).to(coldest_NMD.dtype))
        assert coldest_NMD.dtype == generator.sample(latent_NZ, 4, seeded(1)).dtype
        assert torch.equal(generator.sample(latent_NZ, 4, seeded(1), 1e-5).flatten(2), coldest_NMD)


def test_factorised_chooses_and_refuses() -> None:
    assert isinstance(factorised(2), FactorisedBernoulli) and factorised(5).num_logits == 5
    with pytest.raises(ValueError, match="at least two"):
        factorised(1)


def test_the_start_of_a_text_is_never_drawn_but_an_ordinary_first_id_is() -> None:
    config = DiscreteGeneratorConfig(latent_size=6, channels=4, blocks=1)
    for end_id, is_drawn in ((1, False), (None, True)):
        space = TokenSpace(vocab_size=7, length=10, start_id=0, end_id=end_id)
        generator = DiscreteGenerator(space, config, seeded())
        latent_NZ = generator.draw_latent(3, seeded(1))
        sample_NM = generator.sample(latent_NZ, 200, seeded(2))
        assert bool((sample_NM == 0).any()) is is_drawn
        assert bool((generator.sample(latent_NZ, 200, seeded(2), 1000.0) == 0).any()) is is_drawn
        log_prob_NM, entropy_N = generator.log_prob_and_entropy(latent_NZ, sample_NM)
        probability_K = generator.logits(latent_NZ).view(3, 10, 7).softmax(2)[0, 0]
        assert (float(probability_K[0].detach()) > 0) is is_drawn
        (log_prob_NM.sum() + entropy_N.sum()).backward()
        assert all(bool(torch.isfinite(p.grad).all()) for p in generator.parameters() if p.grad is not None)
        assert bool(torch.isfinite(log_prob_NM).all() & torch.isfinite(entropy_N).all())


@SPACES
@pytest.mark.parametrize("net", ["mlp", "convolutions"])
def test_generator_and_discriminator_of_every_space(space, net: str) -> None:
    config = DiscreteGeneratorConfig(net=net, latent_size=6, hidden=(8,), channels=4, blocks=1)
    generator = DiscreteGenerator(space, config, seeded())
    latent_NZ = generator.draw_latent(3, seeded(1))
    sample = generator.sample(latent_NZ, 4, seeded(2))
    shape = space.shape if isinstance(space, ImageSpace) else (space.length,)
    assert sample.shape == (3, 4, *shape)
    assert int(sample.max()) < (space.levels if isinstance(space, ImageSpace) else space.vocab_size)
    log_prob_NM, entropy_N = generator.log_prob_and_entropy(latent_NZ, sample)
    assert log_prob_NM.shape == (3, 4) and entropy_N.shape == (3,) and bool((log_prob_NM < 0).all())
    discriminator = BoundaryDiscriminator(
        space, BoundaryDiscriminatorConfig(net=net, hidden=(8,), channels=4, blocks=1), seeded()
    )
    real_B = discriminator.embed(sample[:, 0])
    loss, score_real_B, _ = discriminator.loss(real_B, discriminator.embed(sample[:, 1]))
    loss.backward()
    assert score_real_B.shape == (3,) and all(p.grad is not None for p in discriminator.parameters())
    assert torch.equal(discriminator.reward(sample[:, 0]), discriminator(sample[:, 0]).detach())
    again = DiscreteGenerator(space, config, seeded())
    assert all(torch.equal(a, b) for a, b in zip(generator.parameters(), again.parameters(), strict=True))


def test_a_code_has_one_probability_whatever_else_is_in_the_batch() -> None:
    for net in ("mlp", "convolutions"):
        generator = DiscreteGenerator(BINARY, DiscreteGeneratorConfig(net=net, channels=4), seeded())
        latent_NZ = generator.draw_latent(5, seeded(1))
        assert torch.allclose(generator.logits(latent_NZ)[2:3], generator.logits(latent_NZ[2:3]), atol=1e-6)


def test_categorical_convolutions_keep_the_logits_of_a_pixel_together() -> None:
    """Pixel (c, y, x) of the drawn image must come from the K logits that the net made for that channel and place."""
    space = ImageSpace(3, 4, 4, levels=5)
    generator = DiscreteGenerator(space, DiscreteGeneratorConfig(net="convolutions", channels=4), seeded())
    latent_NZ = generator.draw_latent(2, seeded(1))
    raw_NCKHW = generator.net(latent_NZ).view(2, 3, 5, 4, 4)
    logits_NCHWK = generator.logits(latent_NZ).view(2, 3, 4, 4, 5)
    assert torch.equal(logits_NCHWK, raw_NCKHW.permute(0, 1, 3, 4, 2))


@pytest.mark.parametrize(
    ("divergence", "penalty", "is_tilted"),
    [
        ("gan", 0.1, False), ("jensen_shannon", 0.1, False), ("squared_hellinger", 1.0, False),
        ("reverse_kl", 1.0, False), ("kl", 1.0, True), ("pearson", 10.0, True),
    ],
)  # fmt: skip
def test_a_divergence_by_name_comes_with_what_makes_it_train(divergence: str, penalty: float, is_tilted: bool) -> None:
    config = BoundaryDiscriminatorConfig(divergence=divergence)
    assert (config.penalty, config.is_tilted) == (penalty, is_tilted)
    told = BoundaryDiscriminatorConfig(divergence=divergence, gradient_penalty=0.0, objective="bound")
    assert (told.penalty, told.is_tilted) == (0.0, False)


def test_gradient_penalty_of_a_linear_score_is_its_squared_weight() -> None:
    discriminator = BoundaryDiscriminator(BINARY, BoundaryDiscriminatorConfig(gradient_penalty=2.0), seeded())
    discriminator.net = torch.nn.Linear(64, 1)
    discriminator.score = lambda x: discriminator.net(x.flatten(1)).squeeze(1)  # type: ignore[method-assign]
    images = torch.rand(4, 1, 8, 8, generator=seeded())
    with_penalty = discriminator.loss(images, images)[0]
    discriminator.gradient_penalty = 0.0
    without = discriminator.loss(images, images)[0]
    expected = 2.0 * discriminator.net.weight.square().sum()
    assert torch.allclose(with_penalty - without, expected, rtol=1e-5)


def test_odd_sizes_need_the_mlp() -> None:
    with pytest.raises(ValueError, match="Use net mlp"):
        DiscreteGenerator(ImageSpace(1, 7, 8, 2), DiscreteGeneratorConfig(net="convolutions"), seeded())
    DiscreteGenerator(ImageSpace(1, 7, 5, 2), DiscreteGeneratorConfig(), seeded())


@pytest.mark.parametrize("skips", [False, True], ids=["plain", "skips"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (1, 14, 10), (3, 16, 24)])
def test_autoencoder_of_every_size(shape: tuple[int, int, int], skips: bool) -> None:
    space = ImageSpace(*shape)
    config = AutoencoderConfig(channels=4, code_size=5, skip_connections=skips)
    net = Autoencoder(space, config, seeded())
    image = torch.rand(2, *shape, generator=seeded(1))
    assert net(image).shape == image.shape
    assert Decoder(space, config, seeded())(torch.zeros(2, 5)).shape == image.shape


def test_linear_autoencoder_by_hand_and_of_every_size() -> None:
    space, config = ImageSpace(3, 7, 5), AutoencoderConfig(net="mlp", hidden=(6, 4), code_size=2)
    net, image = Autoencoder(space, config, seeded()), torch.rand(2, 3, 7, 5, generator=seeded(1))
    encoder, decoder = net.encoder.net, net.decoder
    assert [layer.out_features for layer in encoder if isinstance(layer, torch.nn.Linear)] == [6, 4, 2]
    hidden = (decoder.dense(encoder(image.flatten(1)))).clamp(min=0.0)
    layers = [layer for layer in decoder.net if isinstance(layer, torch.nn.Linear)]
    by_hand = layers[1](layers[0](hidden).clamp(min=0.0))
    assert torch.allclose(net(image).flatten(1), by_hand, atol=1e-6) and net(image).shape == image.shape
    generator = ImageGenerator(space, config, seeded())
    assert torch.equal(generator(torch.ones(1, 2)), generator.decoder(torch.ones(1, 2)))


@pytest.mark.parametrize("option", ["skip_connections", "vanishing_residuals"])
def test_linear_layers_refuse_what_they_have_no_use_for(option: str) -> None:
    with pytest.raises(ValueError, match="need net convolutions"):
        AutoencoderConfig(net="mlp", **{option: True})


def test_halvings_go_down_to_eight() -> None:
    expected = {(28, 28): 2, (32, 32): 2, (64, 64): 3, (128, 128): 4, (8, 8): 1, (14, 14): 1, (48, 24): 2}
    assert {size: halvings_of(ImageSpace(1, *size), AutoencoderConfig()) for size in expected} == expected
    assert halvings_of(ImageSpace(1, 64, 64), AutoencoderConfig(halvings=5)) == 5
    for size, halvings in ((7, None), (28, 3)):
        with pytest.raises(ValueError, match="cannot be halved"):
            halvings_of(ImageSpace(1, size, size), AutoencoderConfig(halvings=halvings))


def test_full_carry_makes_the_pairs_identities() -> None:
    config = AutoencoderConfig(channels=4, code_size=5)
    net = Decoder(ImageSpace(1, 8, 8), config, seeded())
    code = torch.randn(2, 5, generator=seeded(1))
    hidden = net.dense(code).unflatten(1, net.base)
    doubled = hidden.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.allclose(net(code, carry=1.0), net.output(doubled), atol=1e-6)
    assert not torch.allclose(net(code, carry=0.0), net.output(doubled), atol=1e-3)


def test_a_convolution_that_keeps_the_width_is_an_identity_also_beside_skip_connections() -> None:
    config = AutoencoderConfig(channels=4, code_size=5, skip_connections=True)
    net = Decoder(ImageSpace(1, 8, 8), config, seeded())
    first = net.dense(torch.randn(2, 5, generator=seeded(1))).unflatten(1, net.base)
    doubled = first.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    narrowed = torch.nn.functional.elu(net.pairs[1].first(torch.cat([doubled, doubled], dim=1)))
    code = torch.randn(2, 5, generator=seeded(1))
    assert torch.allclose(net(code, carry=1.0), net.output(narrowed), atol=1e-6)


def test_images_are_drawn_by_the_net_that_is_trained() -> None:
    space, config = ImageSpace(1, 8, 8), AutoencoderConfig(channels=4, code_size=5, vanishing_residuals=True)
    generator = ImageGenerator(space, config, seeded())
    latent = generator.draw_latent(3, seeded(1))
    images = []
    for carry in (1.0, 0.69, 0.0):
        generator.carry.fill_(carry)
        images.append(generator.images(latent))
        assert torch.allclose(images[-1], ((generator.decoder(latent, carry) + 1) / 2).clamp(0, 1), atol=1e-6)
    assert not torch.allclose(images[1], images[2], atol=1e-2)
    assert "carry" in generator.state_dict()
    assert "carry" not in ImageGenerator(space, AutoencoderConfig(channels=4, code_size=5), seeded()).state_dict()


def test_the_generators_pass_leaves_no_gradient_in_the_discriminator_when_it_is_frozen() -> None:
    space = ImageSpace(1, 8, 8)
    config = AutoencoderDiscriminatorConfig(channels=4, code_size=5)
    generator, discriminator = Decoder(space, config, seeded()), AutoencoderDiscriminator(space, config, seeded(1))
    discriminator.requires_grad_(False)
    discriminator(generator(torch.randn(2, 5, generator=seeded(2)))).mean().backward()
    assert all(p.grad is None for p in discriminator.parameters())
    assert all(p.grad is not None for p in generator.parameters())
