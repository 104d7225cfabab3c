"""The sequences of a file, one by one, as text or as integer ids, whatever kind of file it is."""

# N sequences, T positions

import re
from array import array
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from rlgan.data.config import TABLE_SUFFIXES, CorpusConfig, OnBadBytes
from rlgan.data.lines import ReadCounts, decode_utf8, iter_lines
from rlgan.data.tables import iter_cells
from rlgan.errors import DataError

MAX_ID = 2**31 - 1
_NOT_AN_ID = re.compile(r"[^0-9\s]")


def iter_texts(
    path: Path, column: str | None, on_bad_bytes: OnBadBytes, counts: ReadCounts
) -> Iterator[tuple[int, str]]:
    """The sequences of a file, without surrounding white space; blank ones are dropped and counted.

    Args:
        path: a text file, or a .jsonl, .csv, .tsv or .parquet file.
        column: column of such a table.
        on_bad_bytes: what to do with a line that is not UTF-8.
        counts: what became of every line; complete when the iteration is.

    Yields:
        (number of the line or row from 1, its text).
    """
    is_table = path.suffix.lower() in TABLE_SUFFIXES
    cells = iter_cells(path, column, on_bad_bytes, counts) if is_table else iter_lines(path, counts)
    place = place_of(path)
    for number, offset, data in cells:
        text = decode_utf8(data, f"{place} {number}", offset, on_bad_bytes, counts)
        if text is None:
            continue
        text = text.strip()
        if text:
            yield number, text
        else:
            counts.dropped["blank"] += 1


def place_of(path: Path) -> str:
    """How a message names a place in a file, up to its number.

    Args:
        path: the file.

    Returns:
        Such as `poems.txt: line`; csv and parquet files have rows.
    """
    return f"{path}: {'row' if path.suffix.lower() in {'.csv', '.tsv', '.parquet'} else 'line'}"


def iter_corpus(config: CorpusConfig, counts: ReadCounts) -> Iterator[tuple[int, str]]:
    """`iter_texts` of the file of a configuration.

    Args:
        config: with a data file.
        counts: what became of every line.

    Returns:
        An iterator over (number, text).

    Raises:
        DataError: if the configuration has no file.
    """
    if config.data is None:
        raise DataError("no data file: give --data FILE.")
    return iter_texts(config.data, config.column, config.on_bad_bytes, counts)


def parse_ids(text: str, where: str, vocab_size: int | None = None) -> list[int]:
    """The ids of one line of an integer file.

    Args:
        text: decimal ids with white space between.
        where: the place, for the message.
        vocab_size: V; ids must be smaller. None: no limit but 2**31 - 1.

    Returns:
        The ids.

    Raises:
        DataError: if something else stands there, or an id is too large.
    """
    bad = _NOT_AN_ID.search(text)
    if bad:
        word = next(word for word in text.split() if _NOT_AN_ID.search(word))
        raise DataError(f"{where}: {word[:40]!r} is not an id. An integer file holds ids from 0 with spaces between.")
    words = text.split()
    limit = MAX_ID if vocab_size is None else vocab_size - 1
    ids = [int(word) if len(word) < 20 else MAX_ID + 1 for word in words]
    if max(ids) > limit:
        raise DataError(f"{where}: id {words[ids.index(max(ids))][:40]} is too large; expected ids in [0, {limit}].")
    return ids


def read_integer_sequences(path: Path, length: int | None = None, vocab_size: int | None = None) -> Tensor:
    """All sequences of an integer file, for `rlgan eval`: one a line, ids with white space between, equally long.

    Nothing is dropped but blank lines: every sequence counts in an evaluation.

    Args:
        path: a text file, or a .jsonl, .csv, .tsv or .parquet file with a single column.
        length: T, tokens that every line must have; None: as many as the first.
        vocab_size: V; every id must be smaller. None: any id.

    Returns:
        [N, T] int64 ids.

    Raises:
        DataError: if there is no sequence, a line is no list of ids, or its length differs.
    """
    counts, flat = ReadCounts(), array("i")
    num_rows, place = 0, place_of(path)
    for number, text in iter_texts(path, None, "error", counts):
        ids = parse_ids(text, f"{place} {number}", vocab_size)
        length = length or len(ids)
        if len(ids) != length:
            raise DataError(
                f"{path}: line {number} has {len(ids)} ids; expected {length}, as every sequence must have."
            )
        flat.extend(ids)
        num_rows += 1
    if not num_rows:
        raise DataError(f"{path} holds no sequences ({counts.summary()}).")
    return torch.frombuffer(flat, dtype=torch.int32).view(num_rows, -1).long()
