"""Token tensors as the plain sequences that text metrics count."""

# N sequences, T positions

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor

from rlgan.types import TokenSpace

Sentence: TypeAlias = Sequence[int] | Sequence[str]


def sequences_of(tokens_NT: Tensor, space: TokenSpace) -> list[tuple[int, ...]]:
    """The tokens of every sequence before its end token.

    Args:
        tokens_NT: [N, T] ids.
        space: tells the end token.

    Returns:
        N tuples of ids, of at most T ids each; the end token and what follows it are left out.
    """
    rows = [tuple(row) for row in tokens_NT.tolist()]
    if space.end_id is None:
        return rows
    return [row[: row.index(space.end_id)] if space.end_id in row else row for row in rows]
