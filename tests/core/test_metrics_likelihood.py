"""NLL and entropy against enumeration of a small Markov policy with dyadic probabilities."""

# B, N sequences, T positions, V vocabulary

import itertools
import math

import pytest
import torch
from torch import Tensor

from rlgan.metrics import Tempered, held_out_nll, mean_nll, policy_entropy, stepwise_log_prob_and_entropy
from rlgan.models.recurrent import RecurrentConfig, RecurrentGenerator
from rlgan.types import TokenSpace

START = [0.5, 0.25, 0.25]
NEXT = [[0.25, 0.5, 0.25], [0.5, 0.5, 0.0], [0.125, 0.125, 0.75]]


class Markov:
    """p(first) = START, p(next | last) = NEXT[last]; the state is the row of probabilities."""

    def initial_state(self, num_rows: int) -> tuple[Tensor, ...]:
        return (torch.tensor(START).expand(num_rows, 3),)

    def state_logits(self, state_N: tuple[Tensor, ...]) -> Tensor:
        return state_N[0].log() + 7.0  # not normalised

    def advance(self, token_N: Tensor, state_N: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (torch.tensor(NEXT)[token_N],)


class Scorer:
    """Says that every token has probability 1/e and counts how it was asked."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def log_prob(self, tokens_BT: Tensor) -> Tensor:
        self.rows.append(tokens_BT.shape[0])
        return -torch.ones(tokens_BT.shape)


def probabilities(sequence: tuple[int, ...]) -> list[float]:
    return [START[sequence[0]], *(NEXT[last][token] for last, token in itertools.pairwise(sequence))]


def exact_sample(space: TokenSpace) -> tuple[Tensor, float, float]:
    """Every sequence as often as its probability says, and the enumerated entropy and length of a sequence."""
    rows, entropy, length = [], 0.0, 0.0
    for sequence in itertools.product(range(3), repeat=space.length):
        cut = sequence
        if space.end_id is not None and space.end_id in sequence:
            end = sequence.index(space.end_id)
            cut = sequence[: end + 1]
            if any(token != space.end_id for token in sequence[end:]):
                continue
        probability = math.prod(probabilities(cut))
        if probability:
            rows += [sequence] * round(probability * 4096)
            entropy -= probability * math.log(probability)
            length += probability * len(cut)
    assert len(rows) == 4096
    return torch.tensor(rows), entropy, length


def test_nll_by_hand() -> None:
    # p = 1/2 * 1/2 * 1/2 and 1/4 * 3/4 * 1/8: NLL = (3 ln 2 + ln(128/3)) / 6 tokens.
    tokens_NT = torch.tensor([[0, 1, 1], [2, 2, 0]])
    expected = (3 * math.log(2) + math.log(128 / 3)) / 6
    assert held_out_nll(Markov(), tokens_NT, TokenSpace(3, 3)) == pytest.approx(expected, rel=1e-6)


def test_nll_stops_after_the_first_end_token() -> None:
    # End token 1: "0 1" has p = 1/2 * 1/2 (2 tokens), "1" has 1/4 (1 token); every chosen token weighs the same.
    tokens_NT = torch.tensor([[0, 1, 1], [1, 1, 1]])
    nll = held_out_nll(Markov(), tokens_NT, TokenSpace(3, 3, end_id=1))
    assert nll == pytest.approx((2 * math.log(2) + math.log(4)) / 3, rel=1e-6)


def test_an_impossible_token_costs_infinity_unless_it_is_filling() -> None:
    assert held_out_nll(Markov(), torch.tensor([[1, 2]]), TokenSpace(3, 2)) == math.inf
    filled_NT = torch.tensor([[0, 2, 2]])
    assert held_out_nll(Markov(), filled_NT, TokenSpace(3, 3, end_id=2)) == pytest.approx(math.log(2 * 4) / 2)


def test_a_scorer_is_asked_in_chunks() -> None:
    scorer = Scorer()
    assert held_out_nll(scorer, torch.zeros(5, 2, dtype=torch.int64), TokenSpace(3, 2), chunk_rows=2) == 1.0
    assert scorer.rows == [2, 2, 1]


@pytest.mark.parametrize("end_id", [None, 1])
def test_both_entropies_equal_enumeration(end_id: int | None) -> None:
    space = TokenSpace(3, 4, end_id=end_id)
    tokens_NT, entropy, length = exact_sample(space)
    estimate = policy_entropy(Markov(), tokens_NT, space, chunk_rows=1000)
    assert estimate.sampled == pytest.approx(entropy / length, rel=1e-5)
    assert estimate.conditional == pytest.approx(entropy / length, rel=1e-5)


def test_temperature_sharpens_as_it_should() -> None:
    # Squares of (1/2, 1/4, 1/4), normalised: (2/3, 1/6, 1/6).
    nll = held_out_nll(Tempered(Markov(), 0.5), torch.tensor([[0], [1]]), TokenSpace(3, 1))
    assert nll == pytest.approx((math.log(3 / 2) + math.log(6)) / 2, rel=1e-6)
    space = TokenSpace(3, 3)
    tokens_NT = torch.tensor([[0, 1, 0], [2, 2, 1]])
    assert held_out_nll(Tempered(Markov(), 1.0), tokens_NT, space) == held_out_nll(Markov(), tokens_NT, space)


def test_stepping_equals_the_generator_s_own_scoring() -> None:
    space = TokenSpace(11, 6, start_id=3)
    generator = RecurrentGenerator(
        space, RecurrentConfig(embedding_size=4, hidden_size=5), torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(10.0)
    tokens_BT = torch.randint(11, (7, 6), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = generator.log_prob_and_entropy(tokens_BT)
    for step, whole in zip(stepwise_log_prob_and_entropy(generator, tokens_BT), expected, strict=True):
        torch.testing.assert_close(step, whole)
    plain = Tempered(generator, 1.0)
    assert held_out_nll(generator, tokens_BT, space, 3) == pytest.approx(
        held_out_nll(plain, tokens_BT, space), rel=1e-5
    )
    by_steps, at_once = policy_entropy(plain, tokens_BT, space), policy_entropy(generator, tokens_BT, space, 4)
    assert by_steps.conditional == pytest.approx(at_once.conditional, rel=1e-5)
    assert by_steps.sampled == pytest.approx(at_once.sampled, rel=1e-5)


def test_mean_weighs_tokens_equally() -> None:
    nll_NT = torch.tensor([[1.0, 2.0, 3.0], [6.0, math.nan, math.inf]])
    mask_NT = torch.tensor([[True, True, True], [True, False, False]])
    assert mean_nll(nll_NT, mask_NT) == 3.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_nll(torch.ones(2, 3), torch.ones(2, 2)), r"one shape; got \[2, 3\] and \[2, 2\]"),
        (lambda: mean_nll(torch.ones(2, 3), torch.zeros(2, 3)), "at least one token"),
        (lambda: Tempered(Markov(), 0.0), "temperature must be positive"),
        (lambda: held_out_nll(Markov(), torch.tensor([[0, 9]]), TokenSpace(3, 2)), r"ids in \[0, 3\)"),
        (lambda: policy_entropy(Markov(), torch.tensor([[0, 1, 1]]), TokenSpace(3, 2)), r"must be \[B, 2\]"),
    ],
)
def test_misuse_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
