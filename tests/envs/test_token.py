import subprocess
import sys
import warnings

import cloudpickle
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from rlgan.envs import TokenEnv
from rlgan.errors import ConfigError, NonFiniteError
from rlgan.types import TokenSpace


def play(env, actions):
    """All that `step` returned, for each action."""
    return [env.step(action) for action in actions]


@pytest.mark.parametrize("end_id", [None, 2])
@pytest.mark.parametrize("length", [1, 4])
def test_check_env_has_nothing_to_say(length, end_id, decimal_reward):
    env = gymnasium.make("rlgan/Token-v0", vocab_size=5, length=length, end_id=end_id, reward_fn=decimal_reward)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


def test_the_passive_checker_has_nothing_to_say_about_a_whole_episode(decimal_reward):
    env = gymnasium.make("rlgan/Token-v0", vocab_size=5, length=3, reward_fn=decimal_reward)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env.reset(seed=1)
        assert play(env, [4, 0, 1])[-1][1] == 401.0


def test_fixed_length_episode_by_hand(fixed_space, decimal_reward):
    env = TokenEnv(fixed_space, decimal_reward)
    observation, info = env.reset()
    assert observation["tokens"].tolist() == [-1, -1, -1, -1]
    assert observation["position"] == 0
    assert info == {}
    steps = play(env, [5, 0, 6, 1])
    assert [step[0]["tokens"].tolist() for step in steps] == [
        [5, -1, -1, -1],
        [5, 0, -1, -1],
        [5, 0, 6, -1],
        [5, 0, 6, 1],
    ]
    assert [int(step[0]["position"]) for step in steps] == [1, 2, 3, 4]
    assert [step[1] for step in steps] == [0.0, 0.0, 0.0, 5061.0]
    assert [step[2] for step in steps] == [False, False, False, True]
    assert not any(step[3] for step in steps)
    assert [batch.tolist() for batch in decimal_reward.batches_BT] == [[[5, 0, 6, 1]]], "scored once, at the end"


def test_end_token_ends_the_episode_and_fills_the_rest(padded_space, decimal_reward):
    env = TokenEnv(padded_space, decimal_reward)
    env.reset()
    steps = play(env, [5, 2])
    assert [step[1:4] for step in steps] == [(0.0, False, False), (5222.0, True, False)]
    assert steps[1][0]["tokens"].tolist() == [5, 2, 2, 2]
    assert steps[1][0]["position"] == 2


def test_without_the_end_token_a_padded_episode_ends_after_all_positions(padded_space, decimal_reward):
    env = TokenEnv(padded_space, decimal_reward)
    env.reset()
    assert [step[1:3] for step in play(env, [5, 0, 0, 6])] == [(0.0, False)] * 3 + [(5006.0, True)]


def test_without_an_end_id_no_token_ends_the_episode(fixed_space, decimal_reward):
    env = TokenEnv(fixed_space, decimal_reward)
    env.reset()
    assert [step[2] for step in play(env, [2, 2, 2, 2])] == [False, False, False, True]


@pytest.mark.parametrize("prefix", [[5, 0], (5, 0), np.array([5, 0], dtype=np.int32), torch.tensor([5, 0])])
def test_reset_starts_after_a_prefix(prefix, fixed_space, decimal_reward):
    env = TokenEnv(fixed_space, decimal_reward)
    observation, _ = env.reset(options={"prefix": prefix})
    assert observation["tokens"].tolist() == [5, 0, -1, -1]
    assert observation["position"] == 2
    assert [step[1:3] for step in play(env, [4, 4])] == [(0.0, False), (5044.0, True)]


def test_reset_forgets_the_last_episode_and_its_prefix(padded_space, decimal_reward):
    env = TokenEnv(padded_space, decimal_reward)
    env.reset(options={"prefix": [5, 5, 5]})
    assert env.step(2)[1] == 5552.0
    for options in (None, {}, {"prefix": None}, {"prefix": []}):
        observation, _ = env.reset(options=options)
        assert observation["tokens"].tolist() == [-1] * 4
        assert env.step(6)[1] == 0.0
        assert env.step(2)[1] == 6222.0


def test_observations_are_copies(fixed_space, decimal_reward):
    env = TokenEnv(fixed_space, decimal_reward)
    first, _ = env.reset()
    second = env.step(1)[0]
    second["tokens"][:] = 6
    env.step(0)
    assert first["tokens"].tolist() == [-1] * 4
    assert env.step(0)[0]["tokens"].tolist() == [1, 0, 0, -1]


def test_observation_can_be_flattened(fixed_space, decimal_reward):
    env = TokenEnv(fixed_space, decimal_reward)
    env.reset()
    flat = gymnasium.spaces.flatten(env.observation_space, env.step(5)[0])
    assert flat.tolist() == [0, 1, 0, 0, 0, 5, -1, -1, -1], "position 1 of 0..4, then the tokens"


def test_reward_fn_can_be_replaced_by_a_retrained_one(fixed_space, decimal_reward, constant_reward):
    env = gymnasium.make("rlgan/Token-v0", vocab_size=7, length=4, reward_fn=decimal_reward)
    env.unwrapped.reward_fn = constant_reward
    env.reset()
    assert play(env, [1, 1, 1, 1])[-1][1] == 1.0


def test_reward_carries_no_gradient_and_no_graph(fixed_space):
    weight = torch.nn.Parameter(torch.tensor(3.0))

    def reward_fn(tokens_BT):
        assert not torch.is_grad_enabled()
        return weight * tokens_BT.float().mean(dim=1)

    env = TokenEnv(fixed_space, reward_fn)
    env.reset()
    assert play(env, [1, 2, 3, 2])[-1][1] == 6.0
    assert weight.grad is None


def test_a_reward_fn_that_writes_on_its_input_does_not_change_the_episode(fixed_space):
    env = TokenEnv(fixed_space, lambda tokens_BT: tokens_BT.zero_().double().sum(dim=1))
    env.reset()
    assert play(env, [1, 2, 3, 4])[-1][0]["tokens"].tolist() == [1, 2, 3, 4]


def test_a_pickled_environment_plays_the_same(padded_space, decimal_reward):
    env = gymnasium.make("rlgan/Token-v0", vocab_size=7, length=4, end_id=2, reward_fn=lambda t: t.double().mean(1))
    env.reset(options={"prefix": [6]})
    copy = cloudpickle.loads(cloudpickle.dumps(env))
    assert copy.step(2)[1] == env.step(2)[1] == 3.0


def test_the_id_with_its_module_works_where_nothing_was_imported():
    program = (
        "import gymnasium\n"
        "kwargs = dict(vocab_size=5, length=2, reward_fn=lambda t: t.double().sum(1))\n"
        "env = gymnasium.make('rlgan.envs:rlgan/Token-v0', **kwargs)\n"
        "env.reset(); env.step(4); assert env.step(3)[1] == 7.0\n"
        "envs = gymnasium.make_vec('rlgan.envs:rlgan/Token-v0', num_envs=2, **kwargs)\n"
        "envs.reset(); envs.step([4, 1]); assert envs.step([3, 1])[1].tolist() == [7.0, 2.0]\n"
        "import sys; assert 'ray' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", program], check=True, timeout=120)


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        ([[1, 2]], "flat list of integer ids"),
        ([0.5], "flat list of integer ids"),
        ([True], "flat list of integer ids"),
        ("ab", "flat list of integer ids"),
        ([1, 1, 1, 1], "at least one of the 4 positions to the policy; got 4 ids"),
        ([-1], r"in \[0, 7\); got -1"),
        ([7], r"in \[0, 7\); got 7"),
        ([5, 2], "must not hold the end token 2"),
    ],
)
def test_a_wrong_prefix_is_refused(prefix, message, padded_space, decimal_reward):
    with pytest.raises(ValueError, match=message):
        TokenEnv(padded_space, decimal_reward).reset(options={"prefix": prefix})


def test_a_misspelt_option_is_refused(fixed_space, decimal_reward):
    with pytest.raises(ValueError, match=r'knows the option "prefix" only; got \[\'prefixes\'\]'):
        TokenEnv(fixed_space, decimal_reward).reset(options={"prefixes": [1]})


@pytest.mark.parametrize("action", [-1, 7, 1.0, "1", None])
def test_an_action_that_is_no_id_is_refused(action, fixed_space, decimal_reward):
    env = TokenEnv(fixed_space, decimal_reward)
    env.reset()
    with pytest.raises(ValueError, match=r"integer id in \[0, 7\); got"):
        env.step(action)


def test_stepping_without_an_episode_is_refused(padded_space, decimal_reward):
    env = TokenEnv(padded_space, decimal_reward)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(1)
    env.reset()
    env.step(2)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(1)


@pytest.mark.parametrize("reward_fn", [None, "discriminator"])
def test_an_environment_without_a_reward_is_refused(reward_fn):
    with pytest.raises(ConfigError, match="needs reward_fn"):
        gymnasium.make("rlgan/Token-v0", vocab_size=5, length=3, reward_fn=reward_fn)


def test_a_wrong_token_space_is_refused(constant_reward):
    with pytest.raises(ValueError, match="end_id"):
        gymnasium.make("rlgan/Token-v0", vocab_size=5, length=3, end_id=5, reward_fn=constant_reward)


@pytest.mark.parametrize(
    ("reward", "got"),
    [
        (torch.ones(1, 1), r"float32 \[1, 1\]"),
        (torch.ones(2), r"float32 \[2\]"),
        (torch.tensor(1.0), r"float32 \[\]"),
        (torch.ones(1, dtype=torch.int64), r"int64 \[1\]"),
        (1.0, "1.0"),
    ],
)
def test_a_reward_of_the_wrong_form_is_refused(reward, got):
    env = TokenEnv(TokenSpace(5, 1), lambda tokens_BT: reward)
    env.reset()
    with pytest.raises(ValueError, match=rf"\[B\] float tensor, here \[1\]; got .*{got}"):
        env.step(0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_reward_that_is_not_finite_stops_the_run(value):
    env = TokenEnv(TokenSpace(5, 2), lambda tokens_BT: torch.full((1,), value))
    env.reset()
    env.step(4)
    with pytest.raises(NonFiniteError, match=rf"gave {value} for tokens \[4, 3\]"):
        env.step(3)
