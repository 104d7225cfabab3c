"""Generated text as Markdown that shows in TensorBoard exactly as it is, with the value of every token under it.

TensorBoard keeps no colours (its sanitiser drops `style` and `span`), so a value is a number and a bar.
"""

# B sequences, T positions

import torch
from torch import Tensor

from rlgan.types import RolloutBatch, TokenSource

_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 16
_MAX_POSITIONS = 64


def escaped(text: str) -> str:
    """Text that Markdown and HTML leave alone: everything but letters and digits becomes a character reference.

    Args:
        text: any text.

    Returns:
        Its escaped form; a control character or half of a surrogate pair becomes U+FFFD.
    """
    return "".join(_escaped_character(character) for character in text)


def as_markdown(text: str) -> str:
    """Text as a block that keeps its line ends and indentation.

    Args:
        text: such as the text of config.yaml.

    Returns:
        An indented code block, in which Markdown interprets nothing.
    """
    return "\n".join(f"    {line}" for line in text.splitlines())


def reward_tables(batch: RolloutBatch, source: TokenSource, num_best: int = 3, num_worst: int = 3) -> str:
    """The sequences of highest and of lowest reward, with Q of every token.

    Args:
        batch: of the generator step.
        source: turns tokens into text.
        num_best: how many of highest reward.
        num_worst: how many of lowest reward.

    Returns:
        Markdown: for each sequence its reward and tables of tokens, bars and Q.
    """
    order = batch.reward_B.argsort(descending=True).tolist()
    best, worst = order[:num_best], order[num_best:][-num_worst:]
    mask_BT = source.space.mask(batch.tokens_BT)
    low, high = _range(batch.action_value_BT, mask_BT)
    parts = [
        f"The {len(best)} sequences of highest and the {len(worst)} of lowest reward among {len(order)}. Under each "
        f"token: a bar from the lowest Q of the batch ({low:.3g}) to the highest ({high:.3g}), and Q."
    ]
    for row in best + worst:
        parts.append(f"**reward {float(batch.reward_B[row]):.4g}**")
        count = min(int(mask_BT[row].sum()), _MAX_POSITIONS)
        for start in range(0, count, _COLUMNS):
            columns = slice(start, min(start + _COLUMNS, count))
            values = batch.action_value_BT[row, columns].tolist()
            words = [token_text(source, token) for token in batch.tokens_BT[row, columns].split(1)]
            parts.append(table([words, [_bar(value, low, high) for value in values], [f"{v:.3g}" for v in values]]))
        if count < int(mask_BT[row].sum()):
            parts.append(f"(the first {count} tokens)")
    return "\n\n".join(parts)


def _escaped_character(character: str) -> str:
    """One character, escaped."""
    code = ord(character)
    if (code < 32 and character not in "\t\n") or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000:
        return "�"
    return character if character.isalnum() else f"&#{code};"


def _range(action_value_BT: Tensor, mask_BT: Tensor) -> tuple[float, float]:
    """The lowest and highest Q of chosen tokens."""
    values = action_value_BT[mask_BT]
    values = values[torch.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


def _bar(value: float, low: float, high: float) -> str:
    """A bar whose height is the place of a value in a range."""
    if not low <= value <= high:
        return "?"
    return _BARS[min(int((value - low) / (high - low) * len(_BARS)), len(_BARS) - 1)] if high > low else _BARS[3]


def token_text(source: TokenSource, token_1: Tensor) -> str:
    """One token as it reads in a table; the end token and white space have signs of their own.

    Args:
        source: turns tokens into text.
        token_1: [1] id.

    Returns:
        Its text, not escaped; never empty.
    """
    if source.space.end_id is not None and int(token_1) == source.space.end_id:
        return "⏎"
    return source.decode(token_1).replace(" ", "␣").replace("\n", "␤").replace("\t", "␉") or "∅"


def table(rows: list[list[str]]) -> str:
    """A Markdown table.

    Args:
        rows: of one length; the first is the header. Cells are escaped here.

    Returns:
        Its lines.
    """
    lines = ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
