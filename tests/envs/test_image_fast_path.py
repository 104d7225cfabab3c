"""BGAN's batched draws and the image environments are the same thing, given the same random numbers."""

# N latent codes, M draws of each, D pixels times channels, K levels, B episodes = N M, C H W an image

from typing import Any

import numpy as np
import pytest
import torch

from rlgan.envs import ImageEnv, ImageVectorEnv
from rlgan.sampling import inverse_cdf_sample
from rlgan.seeding import torch_generator
from tests.policies.test_bgan import tiny

pytestmark = pytest.mark.usefixtures("local_ray")

N, M, STEP, SHARD = 3, 4, 7, 1
TOLERANCE = 1e-5  # nats: rows of other batch sizes are rounded differently
KINDS = pytest.mark.parametrize(
    "data", [{}, {"levels": 5}, {"levels": 4, "colour": "rgb"}], ids=["binary", "grey", "rgb"]
)


@pytest.fixture
def drawn(data: dict[str, Any]):
    """A runner far from uniform, and what it draws and scores."""
    algorithm = tiny().data(**data).build_algo()
    runner = algorithm.env_runner_group.local_env_runner
    with torch.no_grad():
        for net in runner.nets.values():
            list(net.parameters())[-2].mul_(4.0)  # the last weights: code and image matter
    yield runner, runner.draw(N, algorithm.weights.version, STEP, SHARD)
    algorithm.stop()


def uniforms(runner: Any) -> torch.Tensor:
    """[N, M, D] the random numbers of the draw, as they follow those of the codes."""
    random = torch_generator(runner.config.seed, "draw", STEP, SHARD)
    runner.nets["generator"].draw_latent(N, random)
    num_values = runner.nets["generator"].space.num_values
    if runner.nets["generator"].space.levels == 2:
        return torch.rand(N, M, num_values, generator=random)
    return torch.rand(N * num_values, M, generator=random).view(N, num_values, M).transpose(1, 2)


def act(generator: Any, code_Z: np.ndarray, uniform_D: torch.Tensor) -> np.ndarray:
    """[D] the policy's answer to one observation: every pixel by inversion of its own distribution."""
    with torch.no_grad():
        logits_D = generator.logits(torch.from_numpy(code_Z)[None])[0]
    if generator.space.levels == 2:
        return (uniform_D < torch.sigmoid(logits_D)).long().numpy()
    return inverse_cdf_sample(logits_D.view(len(uniform_D), -1), uniform_D[:, None])[:, 0].numpy()


def stepped(runner: Any, latent_NZ: torch.Tensor, uniform_NMD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[N, M, C, H, W] images and [N, M] returns of single episodes."""
    generator, seen = runner.nets["generator"], []

    def critic(image_1CHW: torch.Tensor) -> torch.Tensor:
        seen.append(image_1CHW[0])
        return runner.nets["discriminator"].reward(image_1CHW)

    env, returns = ImageEnv(generator.space, latent_NZ.shape[1], critic), []
    for latent_Z, uniform_MD in zip(latent_NZ, uniform_NMD, strict=True):
        for uniform_D in uniform_MD:
            code_Z, _ = env.reset(options={"latent": latent_Z.numpy()})
            _, reward, terminated, truncated, _ = env.step(act(generator, code_Z, uniform_D))
            assert terminated and not truncated, "the return is this one reward"
            returns.append(reward)
    return torch.stack(seen).view(N, M, *generator.space.shape), torch.tensor(returns).view(N, M)


@KINDS
def test_draws_and_scores_equal_stepping_single_episodes(drawn):
    runner, batch = drawn
    image_NMCHW, return_NM = stepped(runner, batch.latent_NZ, uniforms(runner))
    assert torch.equal(batch.sample_NM.long(), image_NMCHW)
    assert torch.allclose(batch.score_NM.double(), return_NM.double(), rtol=0, atol=TOLERANCE)
    assert batch.score_NM.std() > 1000 * TOLERANCE and batch.score_NM.unique().numel() == N * M, "scores must differ"


@KINDS
def test_draws_and_scores_equal_stepping_the_vector_environment(drawn):
    runner, batch = drawn
    space = batch.sample_NM.shape[2:]
    env = ImageVectorEnv(
        N * M, runner.nets["generator"].space, batch.latent_NZ.shape[1], runner.nets["discriminator"].reward
    )
    code_BZ, _ = env.reset(options={"latent": batch.latent_NZ.repeat_interleave(M, dim=0).numpy()})
    uniform_BD = uniforms(runner).flatten(0, 1)
    action_BD = np.stack([act(runner.nets["generator"], *row) for row in zip(code_BZ, uniform_BD, strict=True)])
    after_BZ, reward_B, terminated_B, _, _ = env.step(action_BD)
    assert torch.equal(batch.sample_NM.long(), torch.from_numpy(action_BD).view(N, M, *space))
    assert torch.allclose(batch.score_NM.flatten().double(), torch.from_numpy(reward_B), rtol=0, atol=TOLERANCE)
    assert terminated_B.all() and np.array_equal(after_BZ, code_BZ)


@KINDS
def test_canary_draws_of_another_code_or_in_another_order_do_not_pass(drawn):
    runner, batch = drawn
    uniform_NMD = uniforms(runner)
    mistakes = {
        "another code": (batch.latent_NZ.roll(1, dims=0), uniform_NMD),
        "another draw": (batch.latent_NZ, uniform_NMD.roll(1, dims=1)),
        "[N, D, M] seen as [N, M, D]": (batch.latent_NZ, uniform_NMD.transpose(1, 2).reshape(uniform_NMD.shape)),
    }
    for mistake, given in mistakes.items():
        image_NMCHW, return_NM = stepped(runner, *given)
        assert not torch.equal(batch.sample_NM.long(), image_NMCHW), mistake
        assert not torch.allclose(batch.score_NM.double(), return_NM.double(), rtol=0, atol=TOLERANCE), mistake
