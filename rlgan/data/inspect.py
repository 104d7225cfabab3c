"""What is in a data file and what training would make of it: the content of `rlgan data inspect FILE`."""

# N sequences, T positions

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from rlgan.data.config import CorpusConfig
from rlgan.data.prepare import PreparedCorpus, prepare_corpus
from rlgan.data.ragged import IntArray

_NUM_BINS = 20
_NUM_FREQUENT = 20
_BAR = 40


@dataclass(frozen=True)
class CorpusReport:
    """Counts of one file under one configuration.

    Example:
        Of three lines, one blank, and the words "a b" twice: `num_read=3, num_kept=1, dropped={"blank": 1,
        "duplicate": 1}, num_duplicates=1, vocab_size=4, length=2, length_histogram=((2, 2, 2),)`.

    Attributes:
        name: name of the file.
        num_read: lines or rows in the file.
        num_kept: sequences, training and held out.
        dropped: lines that are not used, by reason.
        num_duplicates: lines whose tokens repeat another's, whether dropped or not.
        num_replaced: lines in which U+FFFD stands for bad bytes.
        num_truncated: lines cut to the length.
        num_tokens: tokens of the sequences, end tokens not counted.
        vocab_size: number of ids, special ones included.
        unknown_rate: fraction of the tokens that are `<unk>`.
        length: T, positions of a sequence.
        has_end: whether sequences end with an end token.
        length_histogram: (from, to, lines) of every bin of line lengths in tokens, before any choice by length.
        most_frequent: (token, times) of the most frequent tokens of the sequences.
        num_train: training sequences.
        num_held_out: held-out sequences.
        warnings: what is likely to go wrong, and what to do.
    """

    name: str
    num_read: int
    num_kept: int
    dropped: dict[str, int]
    num_duplicates: int
    num_replaced: int
    num_truncated: int
    num_tokens: int
    vocab_size: int
    unknown_rate: float
    length: int
    has_end: bool
    length_histogram: tuple[tuple[int, int, int], ...]
    most_frequent: tuple[tuple[str, int], ...]
    num_train: int
    num_held_out: int
    warnings: tuple[str, ...]


def inspect_corpus(config: CorpusConfig, batch_size: int = 64) -> CorpusReport:
    """Read a file as training would and count.

    Args:
        config: the file and how it is read.
        batch_size: sequences of one update, for the warning that there are too few (64: the SeqGAN paper).

    Returns:
        The counts.
    """
    prepared = prepare_corpus(config)
    source = prepared.source
    chosen_NT = torch.cat([source.train_NT, source.held_out_NT])
    frequency = torch.bincount(chosen_NT[_is_text(prepared, chosen_NT)], minlength=source.space.vocab_size)
    times, ids = frequency.sort(descending=True, stable=True)
    most_frequent = tuple(
        (source.decode(ids[index : index + 1]), int(times[index])) for index in range(min(_NUM_FREQUENT, len(ids)))
    )
    return CorpusReport(
        name=source.name,
        num_read=prepared.counts.read,
        num_kept=len(chosen_NT),
        dropped=dict(prepared.counts.dropped),
        num_duplicates=prepared.num_duplicates,
        num_replaced=prepared.counts.replaced,
        num_truncated=prepared.num_truncated,
        num_tokens=int(frequency.sum()),
        vocab_size=source.space.vocab_size,
        unknown_rate=prepared.num_unknown / prepared.num_tokens,
        length=source.space.length,
        has_end=source.space.end_id is not None,
        length_histogram=_histogram(prepared.line_lengths),
        most_frequent=tuple((token, number) for token, number in most_frequent if number),
        num_train=len(source.train_NT),
        num_held_out=len(source.held_out_NT),
        warnings=tuple(_warnings(config, prepared, frequency, batch_size)),
    )


def render_report(report: CorpusReport) -> list[str]:
    """A report as lines of text; control characters of the data are shown by number, never sent to the terminal.

    Args:
        report: the counts.

    Returns:
        The lines.
    """
    ends = "shorter ones end with an end token" if report.has_end else "exactly, no end token"
    lines = [
        f"file             {_visible(report.name)}",
        f"lines read       {report.num_read:,}",
        *(f"  dropped        {number:,}  {reason}" for reason, number in report.dropped.items()),
        f"sequences        {report.num_kept:,}  ({report.num_train:,} training, {report.num_held_out:,} held out)",
        f"duplicates       {report.num_duplicates:,}",
        f"bad bytes        {report.num_replaced:,} lines with U+FFFD in their place",
        f"truncated        {report.num_truncated:,} lines",
        f"length           {report.length} tokens ({ends})",
        f"tokens           {report.num_tokens:,}",
        f"vocabulary       {report.vocab_size:,} ids",
        f"unknown          {report.unknown_rate:.2%} of the tokens",
        "",
        "tokens of a line, before any choice by length",
    ]
    most = max(number for _, _, number in report.length_histogram)
    for low, high, number in report.length_histogram:
        label = str(low) if low == high else f"{low}-{high}"
        lines.append(f"  {label:>13}  {number:>9,}  {'#' * -(-_BAR * number // most)}".rstrip())
    lines += ["", "most frequent tokens"]
    lines += [f"  {number:>9,}  {_visible(token)}" for token, number in report.most_frequent]
    if report.warnings:
        lines += ["", *(f"warning: {warning}" for warning in report.warnings)]
    return lines


def _is_text(prepared: PreparedCorpus, tokens_NT: torch.Tensor) -> torch.Tensor:
    """[N, T] bool: False where a token is the end or filling."""
    end_id = prepared.source.space.end_id
    return torch.ones_like(tokens_NT, dtype=torch.bool) if end_id is None else tokens_NT != end_id


def _histogram(lengths: IntArray) -> tuple[tuple[int, int, int], ...]:
    """At most 20 bins of whole lengths that cover all lines."""
    low, high = int(lengths.min()), int(lengths.max())
    width = -(-(high - low + 1) // _NUM_BINS)
    numbers = np.bincount((lengths - low) // width)
    return tuple(
        (low + index * width, min(low + (index + 1) * width - 1, high), int(number))
        for index, number in enumerate(numbers)
    )


def _warnings(
    config: CorpusConfig, prepared: PreparedCorpus, frequency: torch.Tensor, batch_size: int
) -> Iterator[str]:
    """What is likely to go wrong in training."""
    source, counts, num_tokens = prepared.source, prepared.counts, max(1, int(frequency.sum()))
    num_train, unused = len(source.train_NT), sum(counts.dropped.values()) - counts.dropped["duplicate"]
    if num_train < batch_size:
        yield f"{num_train} training sequences do not fill one batch of {batch_size}: training will refuse this file"
    if not len(source.held_out_NT):
        yield "no sequence is held out: held-out likelihood and BLEU cannot be measured"
    if unused > 0.2 * counts.read:
        yield f"{unused:,} of {counts.read:,} lines are not used: see --length, --long-lines and --fixed-length"
    if prepared.num_unknown > 0.1 * prepared.num_tokens:
        yield "more than 10% of the tokens are <unk>: raise --max-vocab"
    if source.space.end_id is not None and len(np.unique(prepared.line_lengths)) == 1:
        yield f"every line has {prepared.line_lengths[0]} tokens: --fixed-length needs no end token"
    if source.vocabulary is None:
        return
    once, distinct = int((frequency == 1).sum()), int((frequency > 0).sum())
    if config.tokens == "word" and config.max_vocab is None and once > 0.5 * distinct and distinct > 1000:
        yield f"{once:,} of {distinct:,} words occur once: --max-vocab or --tokens bpe would learn more from them"
    if config.tokens == "word" and np.median(prepared.line_lengths) == 1:
        yield "most lines are a single word: a script without spaces needs --tokens char or bpe"
    space_id = source.vocabulary.ids.get(" ")
    if config.tokens == "char" and space_id is not None and int(frequency[space_id]) > 0.4 * num_tokens:
        yield "every other character is a space: --tokens word takes what stands between them"


def _visible(text: str) -> str:
    """The text with control and format characters, and white space but single spaces, shown as escapes."""
    return "".join(
        char if char == " " or unicodedata.category(char)[0] not in "CZ" else char.encode("unicode_escape").decode()
        for char in text
    ).replace(" ", "␠" if not text.strip() else " ")
