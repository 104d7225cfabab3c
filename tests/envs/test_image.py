"""The one-step image environments: gymnasium's checks, episodes by hand, errors, vector equals single."""

import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from rlgan.envs import ImageEnv, ImageVectorEnv
from rlgan.errors import ConfigError, NonFiniteError
from rlgan.image_types import ImageSpace

SPACE = ImageSpace(1, 2, 3, levels=4)


def positional(images_BCHW: torch.Tensor) -> torch.Tensor:
    """Reads the pixels as digits, so that a wrong order or row shows."""
    assert images_BCHW.dtype == torch.int64
    flat = images_BCHW.flatten(1)
    return (flat * 10 ** torch.arange(flat.shape[1] - 1, -1, -1)).sum(1).double()


@pytest.mark.parametrize(
    ("env_id", "options"),
    [("rlgan/BinaryImage-v0", {}), ("rlgan/CategoricalImage-v0", {"levels": 5, "channels": 3})],
)
def test_check_env_has_nothing_to_say(env_id, options):
    env = gymnasium.make(env_id, height=3, width=2, latent_size=4, reward_fn=positional, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_binary_has_two_levels_and_no_option_to_change_it():
    env = gymnasium.make("rlgan/BinaryImage-v0", height=3, width=2, reward_fn=positional)
    assert env.action_space.nvec.tolist() == [2] * 6
    with pytest.raises(TypeError, match="levels"):
        gymnasium.make("rlgan/BinaryImage-v0", height=3, width=2, levels=3, reward_fn=positional)


def test_episode_by_hand():
    env = ImageEnv(SPACE, 3, positional)
    code, info = env.reset(options={"latent": [0.5, -1.0, 2.0]})
    assert code.tolist() == [0.5, -1.0, 2.0] and info == {}
    after, reward, terminated, truncated, info = env.step(np.array([3, 0, 1, 2, 2, 0]))
    assert after.tolist() == code.tolist()
    assert (reward, terminated, truncated, info) == (301220.0, True, False, {})
    with pytest.raises(gymnasium.error.ResetNeeded, match="is over"):
        env.step(np.zeros(6, dtype=np.int64))


def test_pixels_reach_the_critic_channel_by_channel_and_row_by_row():
    seen = []
    env = ImageEnv(ImageSpace(3, 2, 2, levels=16), 1, lambda x: (seen.append(x), torch.zeros(len(x)))[1])
    env.reset(seed=0)
    env.step(np.arange(12))
    assert seen[0].tolist() == [[[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]]


def test_latent_codes_are_standard_normal_and_repeat_with_the_seed():
    env = ImageEnv(SPACE, 1000, positional)
    first, again = env.reset(seed=3)[0], env.reset(seed=3)[0]
    assert np.array_equal(first, again) and not np.array_equal(env.reset()[0], first)
    assert abs(first.mean()) < 0.1 and abs(first.std() - 1) < 0.1 and first.dtype == np.float32


@pytest.mark.parametrize("action", [np.zeros(5, int), np.full(6, 4), np.full(6, -1), np.zeros(6), [[0] * 6]])
def test_a_wrong_action_is_refused(action):
    env = ImageEnv(SPACE, 2, positional)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="levels"):
        env.step(action)


def test_wrong_options_are_refused():
    env = ImageEnv(SPACE, 2, positional)
    with pytest.raises(ValueError, match="knows the option"):
        env.reset(options={"z": [0, 0]})
    for latent, got in (([0.0], r"\[1\]"), ([0.0, np.nan], r"nan at \[1\]"), ([-9.5, 0.0], r"-9.5 at \[0\]")):
        with pytest.raises(ValueError, match=rf"at most 8 in size; got {got}\.$"):
            env.reset(options={"latent": latent})
    with pytest.raises(ValueError, match=r"got 20 at \[1, 0\]"):
        ImageVectorEnv(2, SPACE, 2, positional).reset(options={"latent": [[0.0, 1.0], [20.0, 0.0]]})
    with pytest.raises(ValueError, match="latent_size"):
        ImageEnv(SPACE, 0, positional)
    with pytest.raises(ValueError, match="num_envs"):
        ImageVectorEnv(0, SPACE, 2, positional)


@pytest.mark.parametrize("env_id", ["rlgan/BinaryImage-v0", "rlgan/CategoricalImage-v0"])
def test_there_is_no_default_reward(env_id):
    options = {"levels": 3} if "Categorical" in env_id else {}
    with pytest.raises(ConfigError, match="needs reward_fn"):
        gymnasium.make(env_id, height=2, width=2, **options)


def test_a_bad_critic_is_named():
    env = ImageEnv(SPACE, 2, lambda x: torch.zeros(len(x), 1))
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must return a"):
        env.step(np.zeros(6, int))
    env = ImageEnv(SPACE, 2, lambda x: torch.full((len(x),), torch.nan))
    env.reset(seed=0)
    with pytest.raises(NonFiniteError, match="nan for 1 of 1"):
        env.step(np.zeros(6, int))


def test_vector_equals_single_and_scores_once():
    calls = []
    vector = gymnasium.make_vec(
        "rlgan/CategoricalImage-v0", num_envs=3, height=2, width=3, levels=4, latent_size=2,
        reward_fn=lambda x: (calls.append(len(x)), positional(x))[1],
    )  # fmt: skip
    codes_BZ, _ = vector.reset(seed=5)
    actions_BD = np.random.default_rng(0).integers(0, 4, (3, 6))
    after_BZ, reward_B, terminated_B, truncated_B, _ = vector.step(actions_BD)
    for row in range(3):
        env = ImageEnv(SPACE, 2, positional)
        env.reset(options={"latent": codes_BZ[row]})
        after, reward, terminated, truncated, _ = env.step(actions_BD[row])
        assert np.array_equal(after, after_BZ[row]) and reward == reward_B[row]
        assert (terminated, truncated) == (terminated_B[row], truncated_B[row]) == (True, False)
    assert calls == [3]
    fresh_BZ, reward_B, terminated_B, _, _ = vector.step(np.full((3, 6), 99))
    assert not np.array_equal(fresh_BZ, codes_BZ) and not reward_B.any() and not terminated_B.any()
    assert vector.step(actions_BD)[2].all()


def test_vector_errors():
    vector = ImageVectorEnv(2, SPACE, 2, positional)
    with pytest.raises(gymnasium.error.ResetNeeded):
        vector.step(np.zeros((2, 6), int))
    vector.reset(options={"latent": [[1.0, 2.0], [3.0, 4.0]]})
    with pytest.raises(ValueError, match=r"\[2, 6\] integer levels"):
        vector.step(np.zeros((1, 6), int))


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("env_id", ["rlgan/BinaryImage-v0", "rlgan/CategoricalImage-v0"])
def test_stock_ppo_learns_to_draw_what_pays(env_id):
    """A critic that counts the pixels at their highest level: PPO must draw brighter images than chance."""
    from ray.rllib.algorithms.ppo import PPOConfig

    levels = 2 if "Binary" in env_id else 4
    env_config = {
        "height": 4,
        "width": 4,
        "latent_size": 2,
        "reward_fn": lambda x: (x == levels - 1).flatten(1).float().sum(1),
    }
    env_config |= {} if levels == 2 else {"levels": levels}
    config = (
        PPOConfig()
        .environment(f"rlgan.envs:{env_id}", env_config=env_config)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=16, gym_env_vectorize_mode="vector_entry_point")
        .training(train_batch_size_per_learner=512, minibatch_size=128, num_epochs=8, lr=1e-2, gamma=1.0)
        .debugging(seed=0)
    )
    algorithm = config.build_algo()
    returns = [algorithm.train()["env_runners"]["episode_return_mean"] for _ in range(8)]
    algorithm.stop()
    assert returns[-1] > 16 / levels + 3, returns
