"""Blanks in texts: which positions are hidden and to be filled in (MaskGAN, arXiv:1801.07736, section 3)."""

# B sequences, T positions

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from rlgan.types import TokenSpace


class BlankConfig(BaseModel):
    """How blanks are drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["contiguous", "random", "everything"] = Field(
        "contiguous",
        description="contiguous: one block of words (default: the paper finds it best); random: every word on its own; "
        "everything: all positions, the end token's too, so that no real word is seen (unconditional generation).",
    )
    rate: float = Field(0.5, gt=0, le=1, description="Share of the words of a text that are blank (paper: 0.5).")
    final_rate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share in the last epoch of MaskMLE and from then on; between, the share goes there in a line (the "
        "released decay of the rate has no effect). None: the rate stays as it is (paper).",
    )

    @property
    def last_rate(self) -> float:
        """The share of blanks after MaskMLE."""
        if self.kind == "everything":
            return 1.0
        return self.rate if self.final_rate is None else self.final_rate

    def rate_at(self, epoch: int, num_epochs: int) -> float:
        """The share of blanks in an epoch of MaskMLE.

        Args:
            epoch: epochs before this one.
            num_epochs: of MaskMLE.

        Returns:
            A share in (0, 1]: `rate` in the first epoch, `last_rate` in the last.
        """
        if self.kind == "everything":
            return 1.0
        progress = min(1.0, epoch / max(1, num_epochs - 1))
        return self.rate + progress * (self.last_rate - self.rate)


def draw_blanks(
    config: BlankConfig, tokens_BT: Tensor, space: TokenSpace, rate: float, random: torch.Generator
) -> Tensor:
    """Blanks of one batch. In texts that end only words are hidden: how many is known, unless everything is blank.

    contiguous: one block of round(rate * words), at least one, that begins at each possible word with equal chance. The
    released code hides one word less (9 of 20 at rate 0.5) and never the first. random: a coin a word.

    Args:
        config: the kind of blanks.
        tokens_BT: [B, T] int64 ids of real texts.
        space: tells where they end.
        rate: share of the words that are blank.
        random: where the random numbers come from.

    Returns:
        [B, T] bool, True at a blank. A text without a word has none (unless everything is blank).
    """
    if config.kind == "everything":
        return torch.ones_like(tokens_BT, dtype=torch.bool)
    is_word_BT = space.mask(tokens_BT)
    if space.end_id is not None:
        is_word_BT = is_word_BT & (tokens_BT != space.end_id)
    if config.kind == "random":
        return is_word_BT & (torch.rand(tokens_BT.shape, generator=random) < rate)
    return contiguous_blanks(
        is_word_BT.sum(dim=1), tokens_BT.shape[1], rate, torch.rand(len(tokens_BT), generator=random)
    )


def contiguous_blanks(num_words_B: Tensor, length: int, rate: float, uniform_B: Tensor) -> Tensor:
    """One block in every text.

    Args:
        num_words_B: [B] words of each text, which come first.
        length: T.
        rate: share of the words in the block.
        uniform_B: [B] float in [0, 1): where the block begins.

    Returns:
        [B, T] bool.
    """
    size_B = (rate * num_words_B + 0.5).floor().long().clamp(min=1).minimum(num_words_B)
    start_B = (uniform_B * (num_words_B - size_B + 1)).long()
    position_T = torch.arange(length)
    return (position_T >= start_B[:, None]) & (position_T < (start_B + size_B)[:, None])


def hide(tokens_BT: Tensor, blank_BT: Tensor, space: TokenSpace) -> Tensor:
    """m(x): the text with the missing symbol, whose id is V, at every blank.

    Args:
        tokens_BT: [B, T] int64 ids; those at blanks are not looked at.
        blank_BT: [B, T] bool.
        space: tells V.

    Returns:
        [B, T] int64 ids in [0, V].
    """
    return tokens_BT.masked_fill(blank_BT, space.vocab_size)


def open_tail(blank_BT: Tensor) -> Tensor:
    """Where everything that follows is blank, so that an end token there ends the text.

    Args:
        blank_BT: [B, T] bool.

    Returns:
        [B, T] bool; the last position always is.
    """
    given_after_BT = (~blank_BT).flip(1).long().cumsum(dim=1).flip(1) - (~blank_BT).long()
    return given_after_BT == 0


def chosen(tokens_BT: Tensor, blank_BT: Tensor, space: TokenSpace) -> Tensor:
    """Which tokens were chosen: those at blanks, up to an end token after which nothing is given.

    An end token before a given word is a bad word like any other: it ends nothing.

    Args:
        tokens_BT: [B, T] int64 ids, real or filled in.
        blank_BT: [B, T] bool.
        space: tells the end token.

    Returns:
        [B, T] bool, what losses and rewards count.
    """
    if space.end_id is None:
        return blank_BT
    ends_BT = ((tokens_BT == space.end_id) & open_tail(blank_BT)).long()
    return blank_BT & (ends_BT.cumsum(dim=1) - ends_BT == 0)


def num_words(tokens_BT: Tensor, blank_BT: Tensor, space: TokenSpace) -> Tensor:
    """Words of every text: positions before the end token that ends it.

    Args:
        tokens_BT: [B, T] int64 ids, real or filled in.
        blank_BT: [B, T] bool.
        space: tells the end token.

    Returns:
        [B] int64.
    """
    if space.end_id is None:
        return torch.full((len(tokens_BT),), tokens_BT.shape[1])
    ends_BT = (tokens_BT == space.end_id) & (~blank_BT | open_tail(blank_BT))
    return (ends_BT.long().cumsum(dim=1) == 0).sum(dim=1)
