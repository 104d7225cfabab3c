"""Monte-Carlo rollouts: values known by calculation, independence of layout, and the state after a prefix."""

# B sequences, T positions, R rollouts, P prefixes

import pytest
import torch
from torch import Tensor

from rlgan.models import RecurrentConfig, RecurrentGenerator
from rlgan.objectives.action_values import mc_action_value
from rlgan.rollouts import MonteCarloRollouts, RolloutLimits, sample_sequences
from rlgan.token_rewards import MonteCarloRewards
from rlgan.types import TokenSpace

pytestmark = pytest.mark.usefixtures("both_paths")


class MarkovPolicy:
    """A first-order chain whose completions are known in closed form; its state is the last token."""

    def __init__(self, transition_VV: Tensor, start_id: int = 0) -> None:
        self.transition_VV = transition_VV
        self.start_id = start_id

    def initial_state(self, num_rows: int) -> tuple[Tensor, ...]:
        return (torch.full((num_rows, 1), self.start_id),)

    def state_logits(self, state_N: tuple[Tensor, ...]) -> Tensor:
        return self.transition_VV.log()[state_N[0][:, 0]]

    def advance(self, token_N: Tensor, state_N: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (token_N[:, None],)


def chain() -> MarkovPolicy:
    return MarkovPolicy(torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]]))


def probability_of_reaching(policy: MarkovPolicy, target: int, last: int, steps: int) -> float:
    """P(the chain visits `target` within `steps` more tokens | last token), by backward recursion."""
    missed_V = torch.ones(3, dtype=torch.float64)
    allowed_VV = policy.transition_VV.double().clone()
    allowed_VV[:, target] = 0
    for _ in range(steps):
        missed_V = allowed_VV @ missed_V
    return float(1 - missed_V[last])


def test_q_is_the_analytic_probability_that_a_token_appears() -> None:
    """D(x) = 1[x contains 2]: Q of every prefix is 1 once it has appeared, else the probability that it still comes."""
    space, policy, num_rollouts = TokenSpace(3, 5), chain(), 20_000
    tokens_BT = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 2, 0, 1], [1, 1, 1, 1, 2]])
    rollouts = MonteCarloRollouts(space, num_rollouts)
    uniform_PRBT = rollouts.draw_uniforms(3, torch.Generator().manual_seed(3))
    completed_PRBT = rollouts.complete(policy, tokens_BT, uniform_PRBT)
    reward_RBT = rollouts.score(lambda rows_NT: (rows_NT == 2).any(1).float(), tokens_BT, completed_PRBT)
    q_BT = mc_action_value(reward_RBT)
    for b in range(3):
        for t in range(5):
            seen = bool((tokens_BT[b, : t + 1] == 2).any())
            expected = 1.0 if seen else probability_of_reaching(policy, 2, int(tokens_BT[b, t]), 4 - t)
            standard_error = (expected * (1 - expected) / num_rollouts) ** 0.5
            assert abs(float(q_BT[b, t]) - expected) <= 5 * standard_error + 1e-6, (b, t)


def test_prefixes_are_kept_and_the_last_column_is_the_sequence_itself() -> None:
    space, policy = TokenSpace(3, 4), chain()
    tokens_BT = torch.tensor([[2, 1, 0, 2], [0, 0, 1, 1]])
    rollouts = MonteCarloRollouts(space, 7)
    completed_PRBT = rollouts.complete(policy, tokens_BT, rollouts.draw_uniforms(2, torch.Generator().manual_seed(0)))
    for p in range(3):
        assert bool((completed_PRBT[p, :, :, : p + 1] == tokens_BT[:, : p + 1]).all())
    reward_RBT = rollouts.score(
        lambda rows: rows.float() @ torch.tensor([64.0, 16.0, 4.0, 1.0]), tokens_BT, completed_PRBT
    )
    assert reward_RBT.shape == (7, 2, 4)
    assert reward_RBT[:, :, 3].tolist() == [[146.0, 5.0]] * 7


def test_every_reward_belongs_to_its_rollout_sequence_and_position() -> None:
    """A reward that names its row: a wrong axis order anywhere puts a number in the wrong place."""
    space, policy = TokenSpace(3, 4), chain()
    tokens_BT = torch.tensor([[2, 1, 0, 2], [0, 0, 1, 1], [1, 2, 2, 0]])
    rollouts = MonteCarloRollouts(space, 5)
    completed_PRBT = rollouts.complete(policy, tokens_BT, rollouts.draw_uniforms(3, torch.Generator().manual_seed(0)))
    weight_T = torch.tensor([27.0, 9.0, 3.0, 1.0])
    reward_RBT = rollouts.score(lambda rows: rows.float() @ weight_T, tokens_BT, completed_PRBT)
    for p in range(3):
        for r in range(5):
            for b in range(3):
                assert float(reward_RBT[r, b, p]) == float(completed_PRBT[p, r, b].float() @ weight_T)
    scrambled_RBT = reward_RBT.permute(2, 0, 1).reshape(5, 3, 4)  # the view() of trap 1: same numbers, wrong axes
    assert not torch.equal(mc_action_value(scrambled_RBT), mc_action_value(reward_RBT))


def test_permuting_the_batch_permutes_the_rewards() -> None:
    space, policy = TokenSpace(3, 6), chain()
    tokens_BT = torch.randint(3, (8, 6), generator=torch.Generator().manual_seed(1))
    rollouts = MonteCarloRollouts(space, 4)
    uniform_PRBT = rollouts.draw_uniforms(8, torch.Generator().manual_seed(2))
    reward_fn = lambda rows: (rows == 2).float().mean(1) + rows[:, -1]  # noqa: E731
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    straight = rollouts.score(reward_fn, tokens_BT, rollouts.complete(policy, tokens_BT, uniform_PRBT))
    moved_BT, moved_PRBT = tokens_BT[order], uniform_PRBT[:, :, order]
    moved = rollouts.score(reward_fn, moved_BT, rollouts.complete(policy, moved_BT, moved_PRBT))
    assert torch.equal(moved, straight[:, order])


def test_rows_at_once_do_not_change_the_result() -> None:
    space = TokenSpace(300, 5)
    policy = RecurrentGenerator(space, RecurrentConfig(init_std=1.0), torch.Generator().manual_seed(0))
    tokens_BT = torch.randint(300, (4, 5), generator=torch.Generator().manual_seed(1))
    big, small = MonteCarloRollouts(space, 3), MonteCarloRollouts(space, 3, RolloutLimits(logits=700, scored_rows=5))
    uniform_PRBT = big.draw_uniforms(4, torch.Generator().manual_seed(2))
    one, other = (r.complete(policy, tokens_BT, uniform_PRBT) for r in (big, small))
    assert torch.equal(one, other)
    reward_fn = lambda rows: rows.float().sum(1)  # noqa: E731
    assert torch.equal(big.score(reward_fn, tokens_BT, one), small.score(reward_fn, tokens_BT, other))


@pytest.mark.parametrize(("completed_tokens", "groups"), [(1, [1] * 7), (240, [2, 2, 2, 1]), (10_000, [7])])
def test_completions_at_once_follow_a_budget(completed_tokens: int, groups: list[int]) -> None:
    """A sequence has 4 prefixes, 6 rollouts and 5 positions: 120 tokens. Q stays that of its own sequence."""
    space, policy, seen = TokenSpace(3, 5), chain(), []
    rollouts = MonteCarloRollouts(space, 6, RolloutLimits(completed_tokens=completed_tokens))

    class Watched(MonteCarloRollouts):
        def complete(self, policy: MarkovPolicy, tokens_BT: Tensor, uniform_PRBT: Tensor) -> Tensor:
            seen.append(len(tokens_BT))
            return super().complete(policy, tokens_BT, uniform_PRBT)

    watched = Watched(space, 6, rollouts.limits)
    tokens_BT = torch.randint(3, (7, 5), generator=torch.Generator().manual_seed(1))
    in_base_3 = lambda rows: (rows * torch.tensor([81, 27, 9, 3, 1])).sum(1).float()  # noqa: E731
    reward_RBT = MonteCarloRewards(watched, policy, in_base_3)(tokens_BT, torch.Generator().manual_seed(2))
    assert seen == groups
    assert torch.equal(reward_RBT[:, :, -1], in_base_3(tokens_BT).expand(6, 7))
    kept_RBP = reward_RBT[:, :, :-1].long() // torch.tensor([81, 27, 9, 3])
    assert torch.equal(kept_RBP, (in_base_3(tokens_BT).long()[:, None] // torch.tensor([81, 27, 9, 3])).expand(6, 7, 4))
    random = torch.Generator().manual_seed(2)
    parts = []
    for group_BT in tokens_BT.split(groups):
        uniform_PRBT = rollouts.draw_uniforms(len(group_BT), random)
        parts.append(rollouts.score(in_base_3, group_BT, rollouts.complete(policy, group_BT, uniform_PRBT)))
    assert torch.equal(reward_RBT, torch.cat(parts, dim=1))


def test_one_token_has_no_completions_to_hold() -> None:
    rewards = MonteCarloRewards(MonteCarloRollouts(TokenSpace(3, 1), 2), chain(), lambda rows: rows[:, 0].float())
    assert rewards(torch.tensor([[2], [1]]), torch.Generator()).tolist() == [[[2.0], [1.0]]] * 2


@pytest.mark.parametrize("name", ["logits", "scored_rows", "completed_tokens"])
def test_limits_leave_room_for_something(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1; got 0"):
        RolloutLimits(**{name: 0})


def test_the_state_after_a_prefix_has_seen_the_start_token() -> None:
    """Peers start the roll-out from the first token (trap 2); here the start token is always fed first."""
    fed: list[int] = []

    class Recorder(MarkovPolicy):
        def initial_state(self, num_rows: int) -> tuple[Tensor, ...]:
            fed.append(self.start_id)
            return super().initial_state(num_rows)

        def advance(self, token_N: Tensor, state_N: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            fed.extend(token_N[:1].tolist())
            return super().advance(token_N, state_N)

    space = TokenSpace(3, 3, start_id=1)
    rollouts = MonteCarloRollouts(space, 1)
    policy = Recorder(chain().transition_VV, start_id=1)
    rollouts.complete(policy, torch.tensor([[2, 0, 1]]), rollouts.draw_uniforms(1, torch.Generator().manual_seed(0)))
    assert fed[:2] == [1, 2]


def test_completions_follow_the_recurrent_state_of_the_prefix() -> None:
    """The growing batch draws what a fresh run over the prefix with the same uniform numbers would draw."""
    space = TokenSpace(11, 6, start_id=4)
    policy = RecurrentGenerator(space, RecurrentConfig(init_std=1.0), torch.Generator().manual_seed(0))
    tokens_BT = torch.randint(11, (3, 6), generator=torch.Generator().manual_seed(1))
    rollouts = MonteCarloRollouts(space, 2)
    uniform_PRBT = rollouts.draw_uniforms(3, torch.Generator().manual_seed(2))
    completed_PRBT = rollouts.complete(policy, tokens_BT, uniform_PRBT)
    for p in range(5):
        for r in range(2):
            state = policy.initial_state(3)
            for t in range(6):
                probability_BV = torch.softmax(policy.state_logits(state), 1)
                drawn_B = (probability_BV.cumsum(1) <= uniform_PRBT[p, r, :, t, None]).sum(1)
                token_B = tokens_BT[:, t] if t <= p else drawn_B
                assert torch.equal(completed_PRBT[p, r, :, t], token_B), (p, r, t)
                state = policy.advance(token_B, state)


def test_after_the_end_token_there_is_only_filling() -> None:
    space = TokenSpace(3, 8, start_id=0, end_id=2)
    policy = chain()
    uniform_BT = torch.rand(200, 8, generator=torch.Generator().manual_seed(0))
    tokens_BT = sample_sequences(policy, space, uniform_BT)
    mask_BT = space.mask(tokens_BT)
    assert bool((tokens_BT[~mask_BT] == 2).all()) and bool((~mask_BT).any())
    assert bool((mask_BT.sum(1) >= 1).all())
    rollouts = MonteCarloRollouts(space, 2)
    completed_PRBT = rollouts.complete(policy, tokens_BT, rollouts.draw_uniforms(200, torch.Generator().manual_seed(1)))
    rows_NT = completed_PRBT.reshape(-1, 8)
    assert bool((rows_NT[~space.mask(rows_NT)] == 2).all())


def test_temperature_divides_the_logits() -> None:
    space, policy = TokenSpace(3, 1), chain()
    uniform_BT = torch.rand(50_000, 1, generator=torch.Generator().manual_seed(0))
    drawn = sample_sequences(policy, space, uniform_BT, temperature=0.5)[:, 0]
    expected_V = torch.tensor([0.36, 0.09, 0.01]) / 0.46
    frequency_V = torch.bincount(drawn, minlength=3) / 50_000
    assert torch.allclose(frequency_V, expected_V, atol=0.01)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be positive"):
        sample_sequences(chain(), TokenSpace(3, 1), torch.rand(1, 1), temperature)


@pytest.mark.parametrize(("device", "rows"), [("cpu", [10] * 100), ("meta", [1000])])
def test_an_accelerator_is_given_more_rows_at_once(
    device: str, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta device stands for a GPU: it computes shapes and draws nothing."""
    seen: list[int] = []

    def draw(logits_NV: Tensor, uniform_NK: Tensor) -> Tensor:
        seen.append(len(logits_NV))
        return uniform_NK.long()

    class Flat(MarkovPolicy):
        def initial_state(self, num_rows: int) -> tuple[Tensor, ...]:
            return (torch.zeros(num_rows, 3, device=device),)

        def state_logits(self, state_N: tuple[Tensor, ...]) -> Tensor:
            return state_N[0]

    monkeypatch.setattr("rlgan.rollouts.inverse_cdf_sample", draw)
    policy = Flat(chain().transition_VV)
    sample_sequences(policy, TokenSpace(3, 1), torch.zeros(1000, 1, device=device), chunk_logits=30)
    assert seen == rows


def test_at_least_one_rollout() -> None:
    with pytest.raises(ValueError, match="num_rollouts must be at least 1"):
        MonteCarloRollouts(TokenSpace(3, 4), 0)
