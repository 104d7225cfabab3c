import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rlgan.envs import OneHotLastToken, OneHotLastTokenVector, TokenEnv, TokenVectorEnv


def test_shows_the_start_token_then_every_token_by_hand(fixed_space, decimal_reward):
    env = OneHotLastToken(TokenEnv(fixed_space, decimal_reward))
    first, _ = env.reset()
    assert first.dtype == np.float32
    assert first.tolist() == [0, 0, 0, 1, 0, 0, 0], "start_id is 3"
    assert env.step(5)[0].tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert env.step(0)[0].tolist() == [1, 0, 0, 0, 0, 0, 0]


def test_shows_the_end_token_and_the_last_token_of_a_prefix(padded_space, decimal_reward):
    env = OneHotLastToken(TokenEnv(padded_space, decimal_reward))
    assert env.reset(options={"prefix": [6, 4]})[0].argmax() == 4
    observation, reward, terminated, _, _ = env.step(2)
    assert (observation.argmax(), reward, terminated) == (2, 6422.0, True)


def test_check_env_has_nothing_to_say_but_that_it_is_wrapped(decimal_reward):
    env = gymnasium.make("rlgan/Token-v0", vocab_size=5, length=3, reward_fn=decimal_reward)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")
        check_env(OneHotLastToken(env.unwrapped))


@pytest.mark.parametrize("end_id", [None, 2])
def test_vector_wrapper_equals_the_single_one(end_id, decimal_reward):
    kwargs = {"num_envs": 4, "vocab_size": 7, "length": 3, "start_id": 1, "end_id": end_id, "reward_fn": decimal_reward}
    fast = OneHotLastTokenVector(gymnasium.make_vec("rlgan/Token-v0", **kwargs))
    slow = gymnasium.make_vec("rlgan/Token-v0", vectorization_mode="sync", wrappers=[OneHotLastToken], **kwargs)
    assert fast.observation_space == slow.observation_space
    assert fast.single_observation_space == slow.single_observation_space
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(fast.reset()[0], slow.reset()[0])
    for _ in range(30):
        actions_B = rng.integers(0, 7, size=4)
        for array, expected in zip(fast.step(actions_B)[:4], slow.step(actions_B)[:4], strict=True):
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)


def test_other_environments_are_refused():
    with pytest.raises(ValueError, match="token environment only; got"):
        OneHotLastToken(gymnasium.make("CartPole-v1"))
    with pytest.raises(ValueError, match="token environment only; got"):
        OneHotLastTokenVector(gymnasium.make_vec("CartPole-v1"))


def test_can_be_rebuilt_from_its_spec(decimal_reward):
    env = OneHotLastToken(gymnasium.make("rlgan/Token-v0", vocab_size=5, length=3, reward_fn=decimal_reward))
    assert isinstance(gymnasium.make(env.spec), OneHotLastToken)


def test_the_vector_wrapper_leaves_the_reward_reachable(fixed_space, decimal_reward, constant_reward):
    env = OneHotLastTokenVector(TokenVectorEnv(2, fixed_space, decimal_reward))
    env.unwrapped.reward_fn = constant_reward
    env.reset(options={"prefix": [1, 1, 1]})
    assert env.step(np.array([1, 1]))[1].tolist() == [1.0, 1.0]
