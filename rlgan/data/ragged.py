"""Sequences of different lengths in two flat arrays, and the choice of those that become rows of one length."""

# N rows, T positions

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rlgan.seeding import derive_seed

IntArray = NDArray[np.int64]

_SHORT = 32
_COVERED = 0.95
_LONGEST = 256


@dataclass(frozen=True)
class Ragged:
    """Sequences of ids, one after the other.

    Example:
        `[[5, 6], [7]]` is `Ragged(flat=[5, 6, 7], lengths=[2, 1])`.

    Attributes:
        flat: int32 ids of all sequences.
        lengths: int64 tokens of each sequence.
    """

    flat: NDArray[np.int32]
    lengths: IntArray

    @classmethod
    def of(cls, sequences: Iterable[list[int]]) -> "Ragged":
        """Collect sequences of ids below 2**31, four bytes each."""
        flat, lengths = array("i"), array("q")
        for sequence in sequences:
            flat.extend(sequence)
            lengths.append(len(sequence))
        if not lengths:
            return cls(np.zeros(0, np.int32), np.zeros(0, np.int64))
        return cls(np.frombuffer(flat, np.int32), np.frombuffer(lengths, np.int64))

    def select(self, keep: NDArray[np.bool_], length: int) -> "Ragged":
        """The kept sequences, each cut to `length` tokens."""
        starts = self.lengths.cumsum() - self.lengths
        position = np.arange(len(self.flat)) - np.repeat(starts, self.lengths)
        chosen = (position < length) & np.repeat(keep, self.lengths)
        return Ragged(self.flat[chosen], np.minimum(self.lengths[keep], length))

    def padded(self, length: int, fill: int) -> NDArray[np.int32]:
        """[N, length] ids, `fill` after the end of each sequence."""
        rows_NT = np.full((len(self.lengths), length), fill, np.int32)
        rows_NT[np.arange(length) < self.lengths[:, None]] = self.flat
        return rows_NT


def automatic_length(lengths: IntArray, fixed: bool) -> int:
    """The number of positions where none is given.

    Args:
        lengths: tokens of each line, at least one line.
        fixed: whether every sequence must have exactly that many.

    Returns:
        Fixed: the commonest length, the longer of two as common. Otherwise the longest if that is at most 32, else the
        smallest that holds 95% of the lines whole, at most 256.
    """
    if fixed:
        values, counts = np.unique(lengths, return_counts=True)
        return int(values[counts == counts.max()].max())
    longest = int(lengths.max())
    if longest <= _SHORT:
        return longest
    covering = int(np.sort(lengths)[int(np.ceil(_COVERED * len(lengths))) - 1])
    return min(max(covering, _SHORT), _LONGEST)


def split_rows(
    rows_NT: NDArray[np.int32], held_out_fraction: float, deduplicate: bool, seed: int
) -> tuple[IntArray, IntArray, int]:
    """Divide rows into training and held-out ones so that equal rows are on the same side.

    Args:
        rows_NT: [N, T] ids.
        held_out_fraction: fraction of the distinct rows to hold out; at least one row stays for training.
        deduplicate: whether to keep only the first of equal rows.
        seed: of the choice, which does not depend on `deduplicate`.

    Returns:
        (indices of the training rows, of the held-out rows, both ascending; number of rows that repeat another).
    """
    row = np.dtype((np.void, rows_NT.itemsize * rows_NT.shape[1]))
    as_bytes_N = np.ascontiguousarray(rows_NT).view(row).ravel()
    _, first, group_N = np.unique(as_bytes_N, return_index=True, return_inverse=True)
    num_held_out = min(round(held_out_fraction * len(first)), len(first) - 1)
    is_held_out = np.zeros(len(first), np.bool_)
    rng = np.random.Generator(np.random.PCG64(derive_seed(seed, "held-out")))
    in_file_order = first.argsort()  # so that the split does not depend on how ids are laid out in memory
    is_held_out[in_file_order[rng.permutation(len(first))[:num_held_out]]] = True
    used_N = np.sort(first) if deduplicate else np.arange(len(rows_NT))
    held_out_N = is_held_out[group_N.ravel()[used_N]]
    return used_N[~held_out_N], used_N[held_out_N], len(rows_NT) - len(first)
