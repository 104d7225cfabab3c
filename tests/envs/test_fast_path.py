"""The batched rollouts of the runners and the environment are the same thing, given the same random numbers."""

# B sequences, T positions, V vocabulary, R rollouts, P = T-1 prefixes (lengths 1..T-1), N rows

import pytest
import torch

from rlgan.discriminators.text_cnn import TextCNNDiscriminator, TextCNNDiscriminatorConfig
from rlgan.envs import TokenEnv, TokenVectorEnv
from rlgan.models.recurrent import RecurrentConfig, RecurrentGenerator
from rlgan.objectives.action_values import mc_action_value
from rlgan.rollouts import MonteCarloRollouts, RolloutLimits, sample_sequences
from rlgan.sampling import inverse_cdf_sample
from rlgan.types import TokenSpace

pytestmark = pytest.mark.usefixtures("both_paths")

B, R = 4, 3
TOLERANCE = 1e-6
FIXED = TokenSpace(vocab_size=6, length=5, start_id=3)
PADDED = TokenSpace(vocab_size=6, length=5, start_id=1, end_id=2)
SPACES = pytest.mark.parametrize("space", [FIXED, PADDED], ids=["fixed", "padded"])


def make_policy(space):
    """A generator far from uniform, so that its state and its start token matter."""
    config = RecurrentConfig(embedding_size=8, hidden_size=8, init_std=1.0)
    return RecurrentGenerator(space, config, torch.Generator().manual_seed(1)).eval()


def make_critic(space):
    """A text CNN whose rewards differ from sequence to sequence."""
    config = TextCNNDiscriminatorConfig(embedding_size=8, windows=(1, 2, 3), filters=(8, 8, 8))
    return TextCNNDiscriminator(space, config, torch.Generator().manual_seed(2)).reward


def draw(space, num_sequences=B, num_rollouts=R, limits=None):
    """Everything the fast path makes: sequences, completions, rewards, and the random numbers it used."""
    rollouts = MonteCarloRollouts(space, num_rollouts, limits)
    generator = torch.Generator().manual_seed(3)
    uniform_BT = torch.rand(num_sequences, space.length, generator=generator)
    uniform_PRBT = rollouts.draw_uniforms(num_sequences, generator)
    policy = make_policy(space)
    tokens_BT = sample_sequences(policy, space, uniform_BT)
    completed_PRBT = rollouts.complete(policy, tokens_BT, uniform_PRBT)
    reward_RBT = rollouts.score(make_critic(space), tokens_BT, completed_PRBT)
    return uniform_BT, uniform_PRBT, tokens_BT, completed_PRBT, reward_RBT


def step_one(env, policy, prefix_P, uniform_T):
    """One episode of `TokenEnv` after a prefix, token t drawn with uniform_T[t]: its tokens and its return."""
    observation, _ = env.reset(options={"prefix": prefix_P})
    state = policy.initial_state(1)
    for token in prefix_P:
        state = policy.advance(token.view(1), state)
    total_reward, terminated = 0.0, False
    with torch.no_grad():
        while not terminated:
            uniform_11 = uniform_T[observation["position"]].view(1, 1)
            token_11 = inverse_cdf_sample(policy.state_logits(state), uniform_11)
            observation, reward, terminated, _, _ = env.step(token_11.item())
            total_reward += reward
            state = policy.advance(token_11.view(1), state)
    return torch.from_numpy(observation["tokens"]), total_reward


def step_many(space, policy, critic, prefix_NP, uniform_NT):
    """One episode of every row of `TokenVectorEnv` after prefixes of one length: [N, T] tokens and [N] returns."""
    num_rows, num_prefix = prefix_NP.shape
    env = TokenVectorEnv(num_rows, space, critic)
    env.reset(options={"prefix": prefix_NP} if num_prefix else None)
    state = policy.initial_state(num_rows)
    for token_N in prefix_NP.unbind(dim=1):
        state = policy.advance(token_N, state)
    tokens_NT = torch.full((num_rows, space.length), -1)
    return_N = torch.zeros(num_rows, dtype=torch.float64)
    is_running_N = torch.ones(num_rows, dtype=torch.bool)
    for position in range(num_prefix, space.length):
        with torch.no_grad():
            token_N1 = inverse_cdf_sample(policy.state_logits(state), uniform_NT[:, position : position + 1])
            state = policy.advance(token_N1.squeeze(1), state)
        observation, reward_N, terminated_N, _, _ = env.step(token_N1.squeeze(1).numpy())
        return_N += torch.from_numpy(reward_N) * is_running_N
        ends_N = torch.from_numpy(terminated_N) & is_running_N
        tokens_NT[ends_N] = torch.from_numpy(observation["tokens"])[ends_N]
        is_running_N &= ~ends_N
    assert not is_running_N.any()
    return tokens_NT, return_N


def step_every_prefix(space, tokens_BT, uniform_PRBT):
    """What `complete` and `score` do, by single environments: [P, R, B, T] tokens and [R, B, T] returns.

    A sequence that has ended has no open prefix: nothing is left to draw, its value is its own reward.
    """
    policy, critic = make_policy(space), make_critic(space)
    env = TokenEnv(space, critic)
    num_prefixes, num_rollouts, batch, length = uniform_PRBT.shape
    completed_PRBT = torch.full((num_prefixes, num_rollouts, batch, length), -1)
    return_RBT = critic(tokens_BT).double()[None, :, None].repeat(num_rollouts, 1, length)
    for b in range(batch):
        for num_kept in range(1, length):
            prefix_P = tokens_BT[b, :num_kept]
            for r in range(num_rollouts):
                if space.end_id is not None and (prefix_P == space.end_id).any():
                    completed_PRBT[num_kept - 1, r, b] = tokens_BT[b]
                    continue
                uniform_T = uniform_PRBT[num_kept - 1, r, b]
                completed_T, total_reward = step_one(env, policy, prefix_P, uniform_T)
                completed_PRBT[num_kept - 1, r, b] = completed_T
                return_RBT[r, b, num_kept - 1] = total_reward
    return completed_PRBT, return_RBT


def is_same(reward, stepped):
    """Equal but for the rounding of other batch sizes."""
    return reward.shape == stepped.shape and torch.allclose(reward.double(), stepped.double(), rtol=0, atol=TOLERANCE)


def test_the_critic_tells_sequences_apart():
    """Else the equalities below would say nothing about order."""
    *_, reward_RBT = draw(FIXED)
    assert reward_RBT.flatten().unique().numel() > 20
    assert reward_RBT.std() > 1000 * TOLERANCE


@SPACES
def test_sequences_equal_stepping_from_nothing(space):
    uniform_BT, _, tokens_BT, _, reward_RBT = draw(space, num_sequences=16)
    policy, critic = make_policy(space), make_critic(space)
    env = TokenEnv(space, critic)
    episodes = [step_one(env, policy, tokens_BT[0, :0], uniform_T) for uniform_T in uniform_BT]
    assert torch.equal(tokens_BT, torch.stack([tokens_T for tokens_T, _ in episodes]))
    return_B = torch.tensor([total_reward for _, total_reward in episodes])
    assert is_same(reward_RBT[0, :, -1], return_B)
    vector_tokens_BT, vector_return_B = step_many(space, policy, critic, tokens_BT[:, :0], uniform_BT)
    assert torch.equal(tokens_BT, vector_tokens_BT)
    assert is_same(return_B, vector_return_B)
    if space.end_id is not None:
        assert (~space.mask(tokens_BT)).any(), "an episode must have ended early for this to say anything"


@SPACES
@pytest.mark.parametrize("limits", [None, RolloutLimits(logits=13, scored_rows=7)], ids=["whole", "chunks"])
def test_completions_rewards_and_q_equal_stepping_from_every_prefix(space, limits):
    _, uniform_PRBT, tokens_BT, completed_PRBT, reward_RBT = draw(space, limits=limits)
    stepped_PRBT, return_RBT = step_every_prefix(space, tokens_BT, uniform_PRBT)
    assert torch.equal(completed_PRBT, stepped_PRBT)
    assert is_same(reward_RBT, return_RBT)
    assert is_same(mc_action_value(reward_RBT), return_RBT.sum(dim=0) / R)


@pytest.mark.parametrize("end_id", [None, 2])
@pytest.mark.parametrize("vocab_size", [6, 300])
def test_completions_equal_stepping_the_vector_environment(vocab_size, end_id):
    space = TokenSpace(vocab_size, length=7, start_id=1, end_id=end_id)
    _, uniform_PRBT, tokens_BT, completed_PRBT, reward_RBT = draw(space, num_sequences=8, num_rollouts=4)
    policy, critic = make_policy(space), make_critic(space)
    for num_kept in range(1, space.length):
        uniform_RBT, completed_RBT = uniform_PRBT[num_kept - 1], completed_PRBT[num_kept - 1]
        is_open_B = torch.ones(8, dtype=torch.bool)
        if end_id is not None:
            is_open_B = (tokens_BT[:, :num_kept] != end_id).all(dim=1)
        prefix_NP = tokens_BT[is_open_B, :num_kept].repeat(4, 1)
        uniform_NT = uniform_RBT[:, is_open_B].flatten(0, 1)
        stepped_NT, return_N = step_many(space, policy, critic, prefix_NP, uniform_NT)
        assert torch.equal(completed_RBT[:, is_open_B].flatten(0, 1), stepped_NT)
        assert is_same(reward_RBT[:, is_open_B, num_kept - 1].flatten(), return_N)
        assert torch.equal(completed_RBT[:, ~is_open_B], tokens_BT[~is_open_B].expand(4, -1, -1))


def test_a_sequence_that_has_ended_keeps_its_reward_and_cannot_be_continued():
    _, _, tokens_BT, completed_PRBT, reward_RBT = draw(PADDED, num_sequences=16)
    ended_b = int((tokens_BT[:, :3] == PADDED.end_id).any(dim=1).long().argmax())
    first_end = int((tokens_BT[ended_b] == PADDED.end_id).long().argmax())
    assert first_end < 3
    assert torch.equal(completed_PRBT[first_end:, :, ended_b], tokens_BT[ended_b].expand(4 - first_end, R, 5))
    final_reward = make_critic(PADDED)(tokens_BT)[ended_b]
    assert is_same(reward_RBT[:, ended_b, first_end:], final_reward.expand(R, 5 - first_end))
    with pytest.raises(ValueError, match="end token"):
        TokenEnv(PADDED, make_critic(PADDED)).reset(options={"prefix": tokens_BT[ended_b, : first_end + 1]})


@SPACES
def test_canary_a_wrong_axis_order_does_not_pass(space):
    """The mistakes that published code has made are seen by the comparison used above."""
    _, uniform_PRBT, tokens_BT, completed_PRBT, reward_RBT = draw(space)
    stepped_PRBT, return_RBT = step_every_prefix(space, tokens_BT, uniform_PRBT)
    q_BT = return_RBT.mean(dim=0)
    assert is_same(mc_action_value(reward_RBT), q_BT)
    length = space.length
    viewed_without_transpose = {
        "[T, R, B] seen as [R, B, T]": reward_RBT.permute(2, 0, 1).reshape(R, B, length),
        "[T, R, B] seen as [B, T, R]": reward_RBT.permute(2, 0, 1).reshape(B, length, R).permute(2, 0, 1),
        "[R, T, B] seen as [R, B, T]": reward_RBT.permute(0, 2, 1).reshape(R, B, length),
        "[B, R, T] seen as [R, B, T]": reward_RBT.permute(1, 0, 2).reshape(R, B, length),
        "one token too early": reward_RBT.roll(1, dims=2),
        "another sequence's": reward_RBT.roll(1, dims=1),
    }
    for mistake, wrong_RBT in viewed_without_transpose.items():
        assert not is_same(mc_action_value(wrong_RBT), q_BT), mistake
    for axis in range(3):
        assert not torch.equal(completed_PRBT.roll(1, dims=axis), stepped_PRBT), f"axis {axis} shifted"


@SPACES
def test_canary_a_rollout_that_forgets_the_start_token_does_not_pass(space):
    class ForgetsStart(RecurrentGenerator):
        def initial_state(self, num_rows):
            zero_NH = torch.zeros(num_rows, 8)
            return zero_NH, zero_NH

    _, uniform_PRBT, tokens_BT, completed_PRBT, _ = draw(space, num_sequences=16)
    policy = make_policy(space)
    policy.__class__ = ForgetsStart
    wrong_PRBT = MonteCarloRollouts(space, R).complete(policy, tokens_BT, uniform_PRBT)
    assert not torch.equal(wrong_PRBT, completed_PRBT)


@SPACES
def test_permuting_the_batch_permutes_tokens_rewards_and_q(space):
    _, uniform_PRBT, tokens_BT, completed_PRBT, reward_RBT = draw(space)
    order_B = torch.tensor([2, 0, 3, 1])
    rollouts = MonteCarloRollouts(space, R)
    permuted_PRBT = rollouts.complete(make_policy(space), tokens_BT[order_B], uniform_PRBT[:, :, order_B])
    assert torch.equal(permuted_PRBT, completed_PRBT[:, :, order_B])
    permuted_RBT = rollouts.score(make_critic(space), tokens_BT[order_B], permuted_PRBT)
    assert is_same(permuted_RBT, reward_RBT[:, order_B])
