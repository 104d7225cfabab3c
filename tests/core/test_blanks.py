"""Blanks: block length, position law, rate and its schedule, what counts as chosen."""

import pytest
import torch

from rlgan.blanks import BlankConfig, chosen, contiguous_blanks, draw_blanks, hide, num_words, open_tail
from rlgan.types import TokenSpace

SPACE = TokenSpace(vocab_size=9, length=6, start_id=0, end_id=1)
FIXED = TokenSpace(vocab_size=9, length=20)


def bits(rows: torch.Tensor) -> list[str]:
    return ["".join("x" if blank else "." for blank in row) for row in rows.tolist()]


def test_every_block_of_a_text_by_hand() -> None:
    """Four of six positions are words, two of them are hidden: three places, of equal shares of the uniform numbers."""
    uniform = torch.tensor([0.0, 0.33, 0.34, 0.66, 0.67, 0.99])
    blanks = contiguous_blanks(torch.full((6,), 4), 6, 0.5, uniform)
    assert bits(blanks) == ["xx....", "xx....", ".xx...", ".xx...", "..xx..", "..xx.."]


@pytest.mark.parametrize(
    ("num_words", "rate", "size"), [(20, 0.5, 10), (5, 0.5, 3), (1, 0.1, 1), (20, 1.0, 20), (3, 0.01, 1), (0, 0.5, 0)]
)
def test_block_length(num_words: int, rate: float, size: int) -> None:
    """Half is rounded up, and at least one word is hidden; the released code hides 9 of 20."""
    blanks = contiguous_blanks(torch.tensor([num_words]), 20, rate, torch.tensor([0.5]))
    assert int(blanks.sum()) == size


def test_position_law_is_uniform() -> None:
    tokens = torch.full((40_000, 20), 3)
    blanks = draw_blanks(BlankConfig(), tokens, FIXED, 0.5, torch.Generator().manual_seed(0))
    starts = blanks.float().argmax(dim=1)
    counts = torch.bincount(starts, minlength=11)
    assert len(counts) == 11, "starts 0 to 10: the first word may be hidden too"
    assert float(((counts - 40_000 / 11) ** 2 / (40_000 / 11)).sum()) < 29.6  # chi-square, 10 degrees, p = 0.001
    assert bool((blanks.sum(dim=1) == 10).all())


def test_random_blanks_are_independent_coins_of_the_rate() -> None:
    config = BlankConfig(kind="random")
    blanks = draw_blanks(config, torch.full((20_000, 20), 3), FIXED, 0.3, torch.Generator().manual_seed(0)).float()
    assert float(blanks.mean()) == pytest.approx(0.3, abs=0.005)
    correlation = torch.corrcoef(blanks.t()) - torch.eye(20)
    assert float(correlation.abs().max()) < 0.04


def test_only_words_are_hidden_in_texts_that_end() -> None:
    tokens = torch.tensor([[3, 4, 5, 1, 1, 1], [2, 1, 1, 1, 1, 1], [2, 3, 4, 5, 6, 7]])
    for kind in ("contiguous", "random"):
        blanks = draw_blanks(BlankConfig(kind=kind), tokens, SPACE, 1.0, torch.Generator().manual_seed(0))
        assert bits(blanks) == ["xxx...", "x.....", "xxxxxx"]


def test_everything_leaves_no_real_word_and_no_length() -> None:
    tokens = torch.tensor([[3, 4, 5, 1, 1, 1], [2, 1, 1, 1, 1, 1]])
    blanks = draw_blanks(BlankConfig(kind="everything"), tokens, SPACE, 0.5, torch.Generator())
    assert hide(tokens, blanks, SPACE).tolist() == [[9] * 6] * 2


def test_the_schedule_takes_effect() -> None:
    config = BlankConfig(rate=0.2, final_rate=0.8)
    assert [round(config.rate_at(epoch, 4), 6) for epoch in range(5)] == [0.2, 0.4, 0.6, 0.8, 0.8]
    assert config.last_rate == 0.8 and config.rate_at(0, 1) == 0.2
    assert BlankConfig(rate=0.3).last_rate == 0.3 and BlankConfig(rate=0.3).rate_at(2, 4) == 0.3


def test_hide_by_hand() -> None:
    assert hide(torch.tensor([[3, 4, 1]]), torch.tensor([[False, True, False]]), SPACE).tolist() == [[3, 9, 1]]


def test_an_end_token_ends_only_what_is_open() -> None:
    """Of three texts: a given word follows the end token; all that follows is blank; nothing is given at all."""
    tokens = torch.tensor([[3, 1, 4, 5, 1, 1], [3, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    blank = torch.tensor([[0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]).bool()
    assert bits(open_tail(blank)) == [".....x", "xxxxxx", "xxxxxx"]
    assert bits(chosen(tokens, blank, SPACE)) == [".xx...", ".x....", "x....."]
    assert num_words(tokens, blank, SPACE).tolist() == [4, 1, 0]


def test_without_an_end_token_every_blank_counts() -> None:
    blank = torch.tensor([[True, False, True]])
    assert torch.equal(chosen(torch.tensor([[1, 1, 1]]), blank, TokenSpace(9, 3)), blank)
    assert num_words(torch.tensor([[1, 1, 1]]), blank, TokenSpace(9, 3)).tolist() == [3]
