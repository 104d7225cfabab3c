"""Blanks filled in, as Markdown: the real text, the text with its fills, and what every token of them was paid."""

# B sequences, T positions

from rlgan.fills import FillBatch
from rlgan.launch.token_tables import table, token_text
from rlgan.types import TokenSource

_COLUMNS = 16


def fill_tables(batch: FillBatch, source: TokenSource, num_texts: int = 6) -> str:
    """The first texts of a generator step before and after, with rewards.

    Args:
        batch: fills that were judged.
        source: turns tokens into text.
        num_texts: how many texts; they are not chosen.

    Returns:
        Markdown: a table for each text (or more, if it is long) of real tokens, filled tokens and rewards.
    """
    space = source.space
    mask_BT = space.mask(batch.tokens_BT) | space.mask(batch.real_BT)
    parts = ["The first texts of the batch: the real one, the one with blanks filled in, the reward of every fill."]
    for row in range(min(num_texts, len(batch.tokens_BT))):
        count = int(mask_BT[row].sum())
        for start in range(0, count, _COLUMNS):
            positions = range(start, min(start + _COLUMNS, count))
            blank = [bool(batch.blank_BT[row, t]) for t in positions]
            real = [token_text(source, batch.real_BT[row, t : t + 1]) for t in positions]
            filled = [token_text(source, batch.tokens_BT[row, t : t + 1]) for t in positions]
            reward = [f"{float(batch.reward_BT[row, t]):.3g}" for t in positions]
            parts.append(
                table(
                    [
                        ["real", *real],
                        ["filled", *(word if b else "·" for word, b in zip(filled, blank, strict=True))],
                        ["reward", *(value if b else "" for value, b in zip(reward, blank, strict=True))],
                    ]
                )
            )
    return "\n\n".join(parts)
