import warnings

import cloudpickle
import gymnasium
import numpy as np
import pytest
import torch

from rlgan.envs import TokenVectorEnv
from rlgan.errors import ConfigError, NonFiniteError


def assert_same(one, other):
    """Two results of step or reset, with the types they must have."""
    assert one[0].keys() == other[0].keys()
    for name in one[0]:
        assert one[0][name].dtype == other[0][name].dtype
        np.testing.assert_array_equal(one[0][name], other[0][name])
    for array, expected in zip(one[1:-1], other[1:-1], strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
    assert one[-1] == other[-1] == {}


@pytest.mark.parametrize("end_id", [None, 2])
@pytest.mark.parametrize("prefix", [None, [5], [5, 0, 6]])
def test_equals_single_environments_step_for_step(end_id, prefix, decimal_reward):
    kwargs = {"num_envs": 5, "vocab_size": 7, "length": 4, "end_id": end_id, "reward_fn": decimal_reward}
    fast = gymnasium.make_vec("rlgan/Token-v0", **kwargs)
    slow = gymnasium.make_vec("rlgan/Token-v0", vectorization_mode="sync", **kwargs)
    assert isinstance(fast, TokenVectorEnv)
    assert isinstance(slow, gymnasium.vector.SyncVectorEnv)
    assert fast.metadata["autoreset_mode"] is slow.metadata["autoreset_mode"]
    for space in ("observation_space", "single_observation_space", "action_space", "single_action_space"):
        assert getattr(fast, space) == getattr(slow, space)
    rng = np.random.default_rng(0)
    options = None if prefix is None else {"prefix": prefix}
    assert_same(fast.reset(seed=3, options=options), slow.reset(seed=3, options=options))
    num_ends = 0
    for _ in range(60):
        actions_B = rng.integers(0, 7, size=5)
        result = fast.step(actions_B)
        assert_same(result, slow.step(actions_B))
        assert result[0] in fast.observation_space
        num_ends += int(result[2].sum())
    assert num_ends > 50, "many episodes must have ended for this to say anything"


def test_a_prefix_for_each_row(padded_space, decimal_reward):
    env = TokenVectorEnv(3, padded_space, decimal_reward)
    observation, _ = env.reset(options={"prefix": [[5, 0, 6], [], np.array([4])]})
    assert observation["tokens"].tolist() == [[5, 0, 6, -1], [-1, -1, -1, -1], [4, -1, -1, -1]]
    assert observation["position"].tolist() == [3, 0, 1]
    _, reward_B, terminated_B, _, _ = env.step(np.array([1, 6, 2]))
    assert reward_B.tolist() == [5061.0, 0.0, 4222.0]
    assert terminated_B.tolist() == [True, False, True]
    observation, reward_B, terminated_B, _, _ = env.step(np.array([3, 2, 3]))
    assert observation["tokens"].tolist() == [[-1] * 4, [6, 2, 2, 2], [-1] * 4], "rows 0 and 2 begin anew from nothing"
    assert reward_B.tolist() == [0.0, 6222.0, 0.0]
    assert terminated_B.tolist() == [False, True, False]


@pytest.mark.parametrize("prefix", [np.array([[5, 0], [4, 1]]), torch.tensor([[5, 0], [4, 1]]), ((5, 0), (4, 1))])
def test_a_prefix_for_each_row_as_an_array(prefix, fixed_space, decimal_reward):
    env = TokenVectorEnv(2, fixed_space, decimal_reward)
    env.reset(options={"prefix": prefix})
    env.step(np.array([0, 0]))
    assert env.step(np.array([6, 6]))[1].tolist() == [5006.0, 4106.0]


def test_rows_with_an_empty_prefix_first(fixed_space, decimal_reward):
    env = TokenVectorEnv(2, fixed_space, decimal_reward)
    observation, _ = env.reset(options={"prefix": [[], [4]]})
    assert observation["position"].tolist() == [0, 1]


def test_rows_that_end_together_are_scored_in_one_call(fixed_space, decimal_reward):
    env = TokenVectorEnv(8, fixed_space, decimal_reward)
    env.reset()
    for _ in range(4):
        env.step(np.full(8, 1))
    assert [tuple(batch.shape) for batch in decimal_reward.batches_BT] == [(8, 4)]


def test_actions_of_rows_that_begin_anew_are_not_looked_at(padded_space, decimal_reward):
    env = TokenVectorEnv(2, padded_space, decimal_reward)
    env.reset()
    env.step(np.array([2, 6]))
    observation = env.step(np.array([-1, 6]))[0]
    assert observation["tokens"].tolist() == [[-1] * 4, [6, 6, -1, -1]]


def test_observations_and_flags_are_copies(fixed_space, decimal_reward):
    env = TokenVectorEnv(1, fixed_space, decimal_reward)
    observation, _ = env.reset(options={"prefix": [1, 1]})
    observation["tokens"][:] = 6
    observation["position"][:] = 0
    observation, _, _, _, _ = env.step(np.array([0]))
    _, _, terminated_B, _, _ = env.step(np.array([4]))
    assert observation["tokens"].tolist() == [[1, 1, 0, -1]]
    assert decimal_reward.batches_BT[0].tolist() == [[1, 1, 0, 4]]
    terminated_B[:] = False
    assert env.step(np.array([5]))[0]["tokens"].tolist() == [[-1] * 4], "a row that ended is reset"


def test_reset_right_after_an_end_begins_at_once(padded_space, decimal_reward):
    env = TokenVectorEnv(2, padded_space, decimal_reward)
    env.reset()
    env.step(np.array([2, 6]))
    env.reset()
    assert env.step(np.array([5, 4]))[0]["tokens"].tolist() == [[5, -1, -1, -1], [4, -1, -1, -1]]


def test_reset_takes_a_seed(fixed_space, decimal_reward):
    env = TokenVectorEnv(2, fixed_space, decimal_reward)
    env.reset(seed=5)
    assert env.np_random_seed == 5


def test_make_vec_has_no_warning_and_the_environment_pickles(decimal_reward):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make_vec(
            "rlgan/Token-v0", num_envs=2, vocab_size=7, length=2, reward_fn=lambda t: t.double().mean(1)
        )
    env.reset(options={"prefix": [6]})
    copy = cloudpickle.loads(cloudpickle.dumps(env))
    assert copy.step(np.array([2, 4]))[1].tolist() == env.step(np.array([2, 4]))[1].tolist() == [4.0, 5.0]


@pytest.mark.parametrize("count", [1, 3])
def test_a_wrong_number_of_prefixes_is_refused(count, fixed_space, decimal_reward):
    with pytest.raises(ValueError, match=f"one list of ids, or 2 of them; got {count}"):
        TokenVectorEnv(2, fixed_space, decimal_reward).reset(options={"prefix": [[1]] * count})


@pytest.mark.parametrize("prefix", [[2], [[1], [1, 2]], [[1], 1], 5, [[1, 1, 1, 1], []]])
def test_a_wrong_prefix_in_any_row_is_refused(prefix, padded_space, decimal_reward):
    with pytest.raises(ValueError, match="prefix must"):
        TokenVectorEnv(2, padded_space, decimal_reward).reset(options={"prefix": prefix})


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([1], r"\[2\] integer ids; got int64 \[1\]"),
        ([1.0, 1.0], "got float64"),
        ([1, 7], r"in \[0, 7\); got \[7\] in rows \[1\]"),
        ([-1, 1], r"in \[0, 7\); got \[-1\] in rows \[0\]"),
    ],
)
def test_actions_that_are_no_ids_are_refused(actions, message, fixed_space, decimal_reward):
    env = TokenVectorEnv(2, fixed_space, decimal_reward)
    env.reset()
    with pytest.raises(ValueError, match=message):
        env.step(actions)


def test_stepping_before_reset_is_refused(fixed_space, decimal_reward):
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        TokenVectorEnv(2, fixed_space, decimal_reward).step([1, 1])


def test_no_environment_at_all_is_refused(fixed_space, decimal_reward):
    with pytest.raises(ValueError, match="num_envs must be at least 1; got 0"):
        TokenVectorEnv(0, fixed_space, decimal_reward)


def test_a_vector_without_a_reward_is_refused():
    with pytest.raises(ConfigError, match="needs reward_fn"):
        gymnasium.make_vec("rlgan/Token-v0", num_envs=2, vocab_size=5, length=3)


def test_a_reward_that_is_not_finite_names_its_sequence(fixed_space):
    env = TokenVectorEnv(3, fixed_space, lambda t: torch.where(t[:, 0] == 5, torch.nan, 1.0))
    env.reset(options={"prefix": [[1, 1, 1], [5, 1, 1], [1, 1]]})
    with pytest.raises(NonFiniteError, match=r"\[5, 1, 1, 6\] \(1 of 2 rewards"):
        env.step(np.array([6, 6, 6]))
