"""A file of text or of integer ids made ready for training: read, encoded, cut to one length, de-duplicated, split."""

# N sequences, T positions

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rlgan.data.config import CorpusConfig
from rlgan.data.corpus import iter_corpus, parse_ids, place_of
from rlgan.data.lines import ReadCounts
from rlgan.data.oracle import Oracle
from rlgan.data.oracle_source import load_oracle
from rlgan.data.ragged import IntArray, Ragged, automatic_length, split_rows
from rlgan.data.text import TextSource
from rlgan.data.vocabulary import UNK, Vocabulary, split_text
from rlgan.errors import CheckpointError, DataError
from rlgan.types import TokenSpace


@dataclass(frozen=True)
class PreparedCorpus:
    """A source and what became of the lines of its file.

    Attributes:
        source: what training learns from.
        counts: lines read and dropped, by reason, duplicates included.
        line_lengths: tokens of every line that could be read, before any was dropped or cut for its length.
        num_truncated: kept lines that were cut to the length.
        num_duplicates: kept lines that repeat another, whether dropped or not.
        num_unknown: tokens of the kept lines that are `<unk>`, duplicates included.
        num_tokens: tokens of the kept lines, end tokens not counted, duplicates included.
    """

    source: TextSource
    counts: ReadCounts
    line_lengths: IntArray
    num_truncated: int
    num_duplicates: int
    num_unknown: int
    num_tokens: int


def prepare_corpus(config: CorpusConfig, tokenizer_json: str | None = None) -> PreparedCorpus:
    """Read a file and make it ready for training.

    Args:
        config: the file, and how it is read.
        tokenizer_json: a vocabulary to use; None builds one from the lines that are kept.

    Returns:
        The sequences, and the counts of what was dropped.

    Raises:
        DataError: if no line is left.
    """
    counts = ReadCounts()
    vocabulary = _given_vocabulary(config, tokenizer_json)
    oracle = load_oracle(config)
    provisional: dict[str, int] = {}
    lines = Ragged.of(_encode_lines(config, vocabulary, provisional, oracle, counts))
    if not len(lines.lengths):
        raise DataError(f"{config.data} holds no sequences ({counts.summary()}).")
    length = config.length or automatic_length(lines.lengths, config.fixed_length)
    kept, num_truncated = _choose_lines(lines, length, config, counts)
    if vocabulary is None and config.tokens != "integers":
        vocabulary, kept = _build_vocabulary(config, provisional, kept)
    space = _token_space(config, vocabulary, oracle, int(kept.flat.max()), length)
    rows_NT = kept.padded(length, fill=space.end_id or 0)
    train_N, held_out_N, num_duplicates = split_rows(
        rows_NT, config.held_out_fraction, config.deduplicate, config.split_seed
    )
    if config.deduplicate and num_duplicates:
        counts.dropped["duplicate"] += num_duplicates
    train_NT, held_out_NT = (torch.from_numpy(rows_NT[rows]).long() for rows in (train_N, held_out_N))
    unk_id = None if vocabulary is None else vocabulary.unk_id
    return PreparedCorpus(
        source=TextSource(space, train_NT, held_out_NT, str(config.data and config.data.name), vocabulary, oracle),
        counts=counts,
        line_lengths=lines.lengths,
        num_truncated=num_truncated,
        num_duplicates=num_duplicates,
        num_unknown=0 if unk_id is None else int((kept.flat == unk_id).sum()),
        num_tokens=len(kept.flat),
    )


def _given_vocabulary(config: CorpusConfig, tokenizer_json: str | None) -> Vocabulary | None:
    """The vocabulary that is known before the lines are encoded, if any."""
    if tokenizer_json is None:
        if config.tokens != "bpe":
            return None
        texts = (text for _, text in iter_corpus(config, ReadCounts()))
        return Vocabulary.train_bpe(texts, config.bpe_size, has_end=not config.fixed_length)
    vocabulary = Vocabulary.from_json(tokenizer_json)
    if vocabulary.kind != config.tokens or (vocabulary.end_id is None) != config.fixed_length:
        ends = "no end token" if vocabulary.end_id is None else "an end token"
        raise CheckpointError(
            f"the vocabulary of the checkpoint is of {vocabulary.kind} tokens with {ends}; the options ask for tokens "
            f"{config.tokens} and fixed_length {config.fixed_length}. Give the options of the first run."
        )
    return vocabulary


def _encode_lines(
    config: CorpusConfig,
    vocabulary: Vocabulary | None,
    provisional: dict[str, int],
    oracle: Oracle | None,
    counts: ReadCounts,
) -> Iterator[list[int]]:
    """The ids of every line: final ones, or provisional ones by first appearance where there is no vocabulary yet."""
    texts = iter_corpus(config, counts)
    if config.tokens == "integers":
        vocab_size = config.vocab_size if oracle is None else oracle.vocab_size
        place = place_of(Path(config.data or ""))
        for number, text in texts:
            yield parse_ids(text, f"{place} {number}", vocab_size)
    elif vocabulary is not None:
        yield from vocabulary.encode_all(text for _, text in texts)
    else:
        for _, text in texts:
            yield [provisional.setdefault(token, len(provisional)) for token in split_text(config.tokens, text)]


def _choose_lines(lines: Ragged, length: int, config: CorpusConfig, counts: ReadCounts) -> tuple[Ragged, int]:
    """The lines that become sequences, cut to the length, and how many were cut."""
    is_long, is_short = lines.lengths > length, lines.lengths < length
    cut = config.long_lines == "truncate"
    drop = np.zeros_like(is_long) if cut else is_long
    for reason, dropped in (
        (f"longer than {length} tokens", drop),
        (f"shorter than {length} tokens", is_short & config.fixed_length),
    ):
        if dropped.any():
            counts.dropped[reason] += int(dropped.sum())
        drop = drop | dropped
    if drop.all():
        raise DataError(
            f"{config.data}: no line is left ({counts.summary()}); lines have {lines.lengths.min()} to "
            f"{lines.lengths.max()} tokens. Choose another --length."
        )
    return lines.select(~drop, length), int(is_long.sum()) if cut else 0


def _build_vocabulary(config: CorpusConfig, provisional: dict[str, int], kept: Ragged) -> tuple[Vocabulary, Ragged]:
    """The vocabulary of the kept lines, the most frequent token first, and the lines in its ids."""
    frequency = np.bincount(kept.flat, minlength=len(provisional)).tolist()
    tokens = sorted(
        (token for token, index in provisional.items() if frequency[index]),
        key=lambda token: (-frequency[provisional[token]], token),
    )
    is_cut = config.max_vocab is not None and len(tokens) > config.max_vocab
    if is_cut:
        tokens = [token for token in tokens if token != UNK][: config.max_vocab]
    assert config.tokens in {"word", "char"}
    vocabulary = Vocabulary.of_tokens(config.tokens, tokens, has_end=not config.fixed_length, has_unk=is_cut)
    unknown = -1 if vocabulary.unk_id is None else vocabulary.unk_id
    final = np.array([vocabulary.ids.get(token, unknown) for token in provisional], np.int32)
    return vocabulary, Ragged(final[kept.flat], kept.lengths)


def _token_space(
    config: CorpusConfig, vocabulary: Vocabulary | None, oracle: Oracle | None, max_id: int, length: int
) -> TokenSpace:
    """What a sequence is; an integer file keeps its ids, and an end token comes after the largest."""
    if vocabulary is not None:
        return TokenSpace(vocabulary.size, length, vocabulary.start_id, vocabulary.end_id)
    vocab_size = oracle.vocab_size if oracle is not None else config.vocab_size or max_id + 1
    if config.fixed_length:
        return TokenSpace(vocab_size, length, start_id=0)
    return TokenSpace(vocab_size + 1, length, start_id=0, end_id=vocab_size)
