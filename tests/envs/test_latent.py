"""`rlgan/Latent-v0`: gymnasium's checks, rewards by hand, equal to the chain, vector equals single, errors."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from torch import Tensor

from rlgan.chains import Chain, draw_block, start_states
from rlgan.conditions import LabelCondition
from rlgan.envs import LatentEnv, LatentVectorEnv
from rlgan.envs.latent_episode import LARGEST_MOVE
from rlgan.errors import ConfigError, NonFiniteError
from rlgan.priors import GaussianPrior, ReconstructionPrior
from rlgan.step_rules import PlugAndPlayRule

RULE = PlugAndPlayRule(0.3, 0.2, 0.1)


def picture(state_NZ: Tensor) -> Tensor:
    return state_NZ[:, None, None, :].tanh()


def logits(image_NCHW: Tensor) -> Tensor:
    return image_NCHW.flatten(1) @ torch.tensor([[1.0, -1.0], [0.5, 2.0]])


def chain_of(labels: list[int], prior: Any = None) -> Chain:
    prior = prior or ReconstructionPrior(lambda state_NZ: 0.8 * state_NZ)
    return Chain(picture, prior, LabelCondition(logits, torch.tensor(labels)), RULE)


def log_condition(state: list[float], label: int) -> float:
    return float(logits(picture(torch.tensor([state]))).log_softmax(dim=1)[0, label])


def test_check_env_has_nothing_to_say() -> None:
    env = gymnasium.make("rlgan/Latent-v0", state_shape=(2,), chain=chain_of([1]), num_steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_an_episode_by_hand() -> None:
    """R(h) = 0.8 h at noise 0.5: score -0.8 h, so log p(h) = -0.4 |h|^2; from (1, 0) to (0.5, 0.5) it gains 0.2."""
    env = LatentEnv(chain_of([1]), (2,), num_steps=2, prior_noise_sd=0.5)
    state, info = env.reset(options={"state": [1.0, 0.0]})
    assert state.tolist() == [1.0, 0.0] and info["log_condition"] == pytest.approx(log_condition([1.0, 0.0], 1))
    state, reward, terminated, truncated, info = env.step(np.array([-0.5, 0.5], dtype=np.float32) / 4)
    gain = log_condition([0.5, 0.5], 1) - log_condition([1.0, 0.0], 1)
    assert state.tolist() == [0.5, 0.5] and not terminated and not truncated
    assert reward == pytest.approx(gain + 0.2, abs=1e-6)
    *_, truncated, info = env.step(np.zeros(2, dtype=np.float32))
    assert truncated and info["log_condition"] == pytest.approx(log_condition([0.5, 0.5], 1))
    with pytest.raises(gymnasium.error.ResetNeeded, match="is over"):
        env.step(np.zeros(2, dtype=np.float32))


def test_a_density_that_is_known_pays_its_exact_gain() -> None:
    env = LatentEnv(Chain(picture, GaussianPrior(), None, RULE), (2,))
    env.reset(options={"state": [2.0, 0.0]})
    assert env.step(np.array([-1.0, 3.0], dtype=np.float32) / 4)[1] == pytest.approx(-0.5 * (1 + 9 - 4))


def test_a_circle_may_pay_where_a_denoiser_stands_for_a_density() -> None:
    """R(h) - h = (-y, x) turns: around a square of side 2 it is 8, twice its area; no density pays for a circle."""
    turning = ReconstructionPrior(lambda state_NZ: state_NZ + torch.stack([-state_NZ[:, 1], state_NZ[:, 0]], dim=1))
    for prior, paid in ((turning, 8.0), (GaussianPrior(), 0.0)):
        env = LatentEnv(chain_of([1], prior), (2,))
        env.reset(options={"state": [1.0, -1.0]})
        moves = np.array([[0, 2], [-2, 0], [0, -2], [2, 0]], dtype=np.float32) / 4
        assert sum(env.step(move)[1] for move in moves) == pytest.approx(paid, abs=1e-5)


def test_a_policy_that_moves_as_the_rule_makes_the_same_chains() -> None:
    labels, seed, steps = [0, 1, 1], 7, 20
    chain = chain_of(labels)
    start = start_states([2], range(3), seed)
    record = chain.run(start, range(3), steps, seed, [steps])
    env = gymnasium.make_vec("rlgan/Latent-v0", num_envs=3, state_shape=(2,), chain=chain, num_steps=steps).unwrapped
    env.reset(options={"state": start.numpy()})
    noise, _ = draw_block(start, range(3), seed, 0)
    rewards = np.zeros(3)
    first = env.episodes.place
    for step in range(steps):
        place = env.episodes.place
        move = RULE.propose(place, noise[step], step) - place.state_N
        state, reward, _, truncated, info = env.step(move.numpy() / LARGEST_MOVE)
        rewards += reward
    assert truncated.all()
    assert torch.allclose(torch.from_numpy(state), record.state_N, atol=1e-6)
    assert info["log_condition"] == pytest.approx(record.log_condition_TN[-1].numpy(), abs=1e-6)
    # R(h) = 0.8 h: score -0.2 h, log p(h) = -0.1 |h|^2, and the gains of an episode add up
    density = -0.1 * (record.state_N.square().sum(dim=1) - start.square().sum(dim=1))
    gained = (record.log_condition_TN[-1] - first.log_condition_N + density).numpy()
    assert rewards == pytest.approx(gained, abs=1e-5)


def test_vector_equals_single() -> None:
    labels, moves = [1, 0], np.random.default_rng(0).uniform(-1, 1, (2, 2, 2)).astype(np.float32)
    vector = LatentVectorEnv(2, chain_of(labels), (2,), num_steps=2)
    states, _ = vector.reset(seed=3)
    singles = [LatentEnv(chain_of([label]), (2,), num_steps=2) for label in labels]
    for env, state in zip(singles, states, strict=True):
        env.reset(options={"state": state})
    for move in moves:
        state_B, reward_B, _, truncated_B, info = vector.step(move)
        for row, env in enumerate(singles):
            state, reward, _, truncated, one = env.step(move[row])
            assert state == pytest.approx(state_B[row]) and reward == pytest.approx(reward_B[row], abs=1e-6)
            assert truncated == truncated_B[row] and one["log_condition"] == pytest.approx(info["log_condition"][row])
    state_B, reward_B, _, truncated_B, _ = vector.step(moves[0])
    assert reward_B.tolist() == [0, 0] and not truncated_B.any() and not np.allclose(state_B, states)


@pytest.mark.parametrize(
    ("state", "message"), [([1.0], "numbers of at most 100"), ([[1.0, 2.0]], "numbers of"), ([0.0, 101.0], "at most")]
)
def test_wrong_states_are_refused(state: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatentEnv(chain_of([1]), (2,)).reset(options={"state": state})


@pytest.mark.parametrize(
    "move", [np.zeros(3, np.float32), np.zeros(2, np.int64), np.array([0.0, 1.1]), np.array([0.0, np.nan])]
)
def test_wrong_moves_are_refused(move: Any) -> None:
    env = LatentEnv(chain_of([1]), (2,))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions must be"):
        env.step(move)


def test_other_mistakes() -> None:
    with pytest.raises(ConfigError, match="needs a rlgan"):
        gymnasium.make("rlgan/Latent-v0", state_shape=(2,))
    for wrong in ({"num_steps": 0}, {"prior_noise_sd": 0.0}, {"state_shape": (0,)}):
        with pytest.raises(ValueError, match="must be positive"):
            LatentEnv(**{"chain": chain_of([1]), "state_shape": (2,), **wrong})
    env = LatentEnv(chain_of([1]), (2,))
    with pytest.raises(gymnasium.error.ResetNeeded, match="has not begun"):
        env.step(np.zeros(2, dtype=np.float32))
    with pytest.raises(ValueError, match='"state" only'):
        env.reset(options={"latent": [0.0, 0.0]})
    broken = LatentEnv(chain_of([1], ReconstructionPrior(lambda state: state * torch.nan)), (2,))
    broken.reset(seed=0)
    with pytest.raises(NonFiniteError, match="NaN"):
        broken.step(np.ones(2, dtype=np.float32))
