"""`rlgan/Infilling-v0`: episodes by hand, the law of resets, every error, and equality with the batched fills."""

import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import rlgan.envs  # noqa: F401 - registers the ids
from rlgan.blanks import BlankConfig, chosen
from rlgan.discriminators.infilling import InfillingDiscriminator, InfillingDiscriminatorConfig
from rlgan.envs import InfillingEnv, InfillingVectorEnv, OneHotText, OneHotTextVector
from rlgan.errors import ConfigError, NonFiniteError
from rlgan.fills import fill_blanks
from rlgan.models.infilling import InfillingGenerator
from rlgan.models.seq2seq import Seq2SeqConfig
from rlgan.objectives.discounted_returns import discounted_return
from rlgan.sampling import inverse_cdf_sample
from rlgan.types import TokenSpace

FIXED = TokenSpace(vocab_size=7, length=5, start_id=3)
PADDED = TokenSpace(vocab_size=7, length=5, start_id=0, end_id=1)
TEXTS = torch.tensor([[2, 3, 4, 1, 1], [5, 6, 5, 6, 2], [6, 1, 1, 1, 1]])


def place_reward(tokens_BT: torch.Tensor, blank_BT: torch.Tensor) -> torch.Tensor:
    """Token 4 at position 2 is rewarded with 42; minus 1000 for every word that is given."""
    assert tokens_BT.dtype == torch.int64 and blank_BT.dtype == torch.bool
    return (tokens_BT * 10 + torch.arange(tokens_BT.shape[1])).double() - 1000.0 * ~blank_BT


def make(kind: str = "contiguous", space: TokenSpace = PADDED, reward_fn: Any = place_reward) -> InfillingEnv:
    return InfillingEnv(space, TEXTS, BlankConfig(kind=kind), reward_fn)


@pytest.mark.parametrize("kind", ["contiguous", "random", "everything"])
@pytest.mark.parametrize("end_id", [None, 1])
def test_check_env_has_nothing_to_say(kind: str, end_id: int | None) -> None:
    options = {"vocab_size": 7, "length": 5, "end_id": end_id, "blank_kind": kind, "reward_fn": place_reward}
    env = gymnasium.make("rlgan/Infilling-v0", texts=TEXTS, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)
        env.reset(seed=1)
        env.step(2)


def test_an_episode_by_hand() -> None:
    env = make()
    observation, info = env.reset(options={"tokens": [2, 9, 9, 4, 1], "blanks": [0, 1, 1, 0, 0]})
    assert observation["tokens"].tolist() == [2, -1, -1, 4, 1] and observation["position"] == 1 and info == {}
    first, second = env.step(5), env.step(6)
    assert first[0]["tokens"].tolist() == [2, 5, -1, 4, 1] and first[0]["position"] == 2
    assert first[1:] == (51.0, False, False, {})
    assert second[0]["tokens"].tolist() == [2, 5, 6, 4, 1] and second[0]["position"] == 5
    assert second[0]["blanks"].tolist() == [0, 1, 1, 0, 0]
    assert second[1:] == (62.0, True, False, {})
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)


def test_known_words_between_blanks_are_passed_over() -> None:
    env = make()
    env.reset(options={"tokens": [9, 3, 9, 4, 9], "blanks": [1, 0, 1, 0, 1]})
    steps = [env.step(action) for action in (2, 5, 6)]
    assert [step[1] for step in steps] == [20.0, 52.0, 64.0]
    assert steps[-1][0]["tokens"].tolist() == [2, 3, 5, 4, 6] and steps[-1][2]


def test_an_end_token_ends_an_open_text_and_no_other() -> None:
    env = make()
    env.reset(options={"tokens": [2, 9, 9, 9, 9], "blanks": [0, 1, 1, 1, 1]})
    env.step(3)
    observation, reward, terminated, _, _ = env.step(1)
    assert observation["tokens"].tolist() == [2, 3, 1, 1, 1] and terminated and reward == 12.0
    env.reset(options={"tokens": [2, 9, 9, 4, 1], "blanks": [0, 1, 1, 0, 0]})
    assert not env.step(1)[2], "a word like any other before a given word"
    fixed = make(space=FIXED)
    fixed.reset(options={"tokens": [2, 9, 9, 9, 9], "blanks": [0, 1, 1, 1, 1]})
    assert not fixed.step(1)[2]


def test_resets_draw_all_texts_and_blanks_from_the_seed() -> None:
    env = make()
    seen = set()
    env.reset(seed=0)
    for _ in range(200):
        observation, _ = env.reset()
        seen.add(
            ("".join(map(str, observation["blanks"])), observation["tokens"][observation["blanks"] == 0].tobytes())
        )
    blanks = sorted(pattern for pattern, _ in seen)
    assert blanks == ["00111", "01100", "01110", "10000", "11000", "11100"], "blocks of 1, 2 and 3 of 1, 3 and 5 words"
    one, two = (make().reset(seed=5)[0]["tokens"].tolist() for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": [1] * 5}, "both or none"),
        ({"tokens": [1] * 5, "blanks": [1] * 5, "prefix": []}, "both or none"),
        ({"tokens": [1] * 4, "blanks": [1] * 4}, "5 entries"),
        ({"tokens": [1] * 5, "blanks": [0] * 5}, "at least one blank"),
        ({"tokens": [7] * 5, "blanks": [1, 0, 0, 0, 0]}, "integer ids"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make().reset(options=options)


def test_wrong_constructions_are_refused() -> None:
    with pytest.raises(ConfigError, match="reward_fn"):
        make(reward_fn=None)
    with pytest.raises(ConfigError, match="texts"):
        InfillingEnv(PADDED, None, BlankConfig(), place_reward)
    with pytest.raises(ValueError, match="at least one word"):
        InfillingEnv(PADDED, torch.ones(1, 5, dtype=torch.int64), BlankConfig(), place_reward)
    with pytest.raises(ValueError, match="at least one sequence"):
        InfillingEnv(PADDED, torch.ones(0, 5, dtype=torch.int64), BlankConfig(), place_reward)
    with pytest.raises(ValueError, match="num_envs"):
        InfillingVectorEnv(0, PADDED, TEXTS, BlankConfig(), place_reward)


def test_wrong_actions_and_rewards_are_refused() -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(ValueError, match="integer id"):
        env.step(7)
    env.reward_fn = lambda tokens_BT, blank_BT: torch.ones(len(tokens_BT))
    with pytest.raises(ValueError, match=r"\[B, T\] float"):
        env.step(2)
    env.reward_fn = lambda tokens_BT, blank_BT: torch.full(tokens_BT.shape, torch.nan)
    env.reset(seed=0)
    with pytest.raises(NonFiniteError, match="nan"):
        env.step(2)
    vector = InfillingVectorEnv(2, PADDED, TEXTS, BlankConfig(), place_reward)
    with pytest.raises(gymnasium.error.ResetNeeded):
        vector.step([2, 2])
    vector.reset(seed=0)
    for actions, message in (([2], "integer ids"), ([2, 7], "rows")):
        with pytest.raises(ValueError, match=message):
            vector.step(actions)
    with pytest.raises(ValueError, match="or 2 of them"):
        vector.reset(options={"tokens": [[2] * 5] * 3, "blanks": [[1] * 5] * 3})


def test_vector_rows_equal_single_environments() -> None:
    """Rows end at different times; each is compared until it ends, and then begins anew with a reward of 0."""
    vector, single = InfillingVectorEnv(4, PADDED, TEXTS, BlankConfig(), place_reward), make()
    start, _ = vector.reset(seed=3)
    actions = np.random.Generator(np.random.PCG64(0)).integers(0, 7, (6, 4))
    stepped = [vector.step(row) for row in actions]
    for b in range(4):
        observation, _ = single.reset(options={"tokens": start["tokens"][b], "blanks": start["blanks"][b]})
        assert observation["position"] == start["position"][b]
        for t in range(6):
            observation, reward, terminated, _, _ = single.step(actions[t, b])
            assert observation["tokens"].tolist() == stepped[t][0]["tokens"][b].tolist()
            assert observation["position"] == stepped[t][0]["position"][b]
            assert reward == stepped[t][1][b] and terminated == stepped[t][2][b]
            if terminated:
                after = stepped[t + 1]
                assert after[1][b] == 0 and not after[2][b] and (after[0]["tokens"][b] == -1).any()
                break


@pytest.mark.parametrize("kind", ["contiguous", "random", "everything"])
@pytest.mark.parametrize("space", [FIXED, PADDED], ids=["fixed", "padded"])
def test_stepping_equals_the_batched_fills(space: TokenSpace, kind: str) -> None:
    """The same random numbers give the same tokens and rewards, one by one and all at once."""
    sizes = {"size": 8, "init_limit": 0.8}
    generator = InfillingGenerator(space, Seq2SeqConfig(**sizes), torch.Generator().manual_seed(1))
    judge = InfillingDiscriminator(
        space, InfillingDiscriminatorConfig(**sizes), torch.Generator().manual_seed(2)
    ).eval()
    env = InfillingVectorEnv(24, space, TEXTS, BlankConfig(kind=kind), judge.reward)
    start, _ = env.reset(seed=0)
    blank_BT = torch.from_numpy(start["blanks"]).bool()
    text_BT = torch.from_numpy(start["tokens"]).clamp_min(0)
    uniform_BT = torch.rand(24, space.length, generator=torch.Generator().manual_seed(3))
    filled_BT = fill_blanks(generator, text_BT, blank_BT, uniform_BT)
    reward_BT = judge.judge(filled_BT, blank_BT)[0]

    observation, total_BT = start, torch.zeros(24, space.length, dtype=torch.float64)
    final_BT, is_running_B = torch.zeros_like(filled_BT), torch.ones(24, dtype=torch.bool)
    memory = generator.encode(torch.where(blank_BT, space.vocab_size, text_BT))
    while bool(is_running_B.any()):
        token_BT, position_B = torch.from_numpy(observation["tokens"]), torch.from_numpy(observation["position"])
        last_B = position_B.clamp_max(space.length - 1)
        feature_BTH = generator.decode(generator.after_start(token_BT.clamp_min(0)), memory)
        feature_BH = feature_BTH[torch.arange(24), last_B]
        with torch.no_grad():
            action_B1 = inverse_cdf_sample(generator.logits(feature_BH), uniform_BT.gather(1, last_B[:, None]))
        observation, reward_B, terminated_B, _, _ = env.step(action_B1.squeeze(1).numpy())
        rows = torch.arange(24)[is_running_B]
        total_BT[rows, position_B[rows]] = torch.from_numpy(reward_B)[rows]
        ends_B = torch.from_numpy(terminated_B) & is_running_B
        final_BT[ends_B] = torch.from_numpy(observation["tokens"])[ends_B]
        is_running_B &= ~ends_B
    assert torch.equal(final_BT, filled_BT)
    assert torch.allclose(total_BT, reward_BT.double(), atol=1e-6)
    assert torch.equal(total_BT != 0, chosen(filled_BT, blank_BT, space))
    mask_BT = chosen(filled_BT, blank_BT, space)
    fast_BT = discounted_return(reward_BT.double(), mask_BT, 0.7)
    stepped_BT = torch.stack([_returns_of_steps(row[mask], 0.7) for row, mask in zip(total_BT, mask_BT, strict=True)])
    first_B = torch.stack([row[mask][0] for row, mask in zip(fast_BT, mask_BT, strict=True)])
    is_equal_B = torch.isclose(stepped_BT, first_B, atol=1e-6)
    assert bool(is_equal_B.all()) if kind != "random" else not bool(is_equal_B.all()), "a step is a blank, not a word"


def _returns_of_steps(reward_S: torch.Tensor, discount: float) -> torch.Tensor:
    """The return of the first of some steps, as a learner of RLlib sees them."""
    return sum(discount**step * reward for step, reward in enumerate(reward_S))  # type: ignore[return-value]


def test_one_hot_text_by_hand() -> None:
    options = {"tokens": [2, 9, 9, 4, 1], "blanks": [0, 1, 1, 0, 0]}
    numbers, _ = OneHotText(make()).reset(options=options)
    text, position = numbers[:40].reshape(5, 8), numbers[40:]
    assert text.argmax(axis=1).tolist() == [2, 7, 7, 4, 1] and text.sum() == 5
    assert position.tolist() == [0, 1, 0, 0, 0]
    vector = OneHotTextVector(InfillingVectorEnv(2, PADDED, TEXTS, BlankConfig(), place_reward))
    rows, _ = vector.reset(options=options)
    assert rows.shape == (2, 45) and np.array_equal(rows[1], numbers)
    assert vector.observation_space.contains(rows)
