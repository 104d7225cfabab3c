"""A MaskGAN run outside the algorithm: its generators and discriminator, and lines of text with blanks in them.

A blank is a word of two or more underscores; `____:3` is three blanks in a row. To a vocabulary of characters every
underscore of two or more is one blank; there and with pieces of words a mark may stand inside a word.
"""

# N texts, T positions

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rlgan.blanks import num_words
from rlgan.data.vocabulary import Vocabulary, split_text
from rlgan.errors import CheckpointError, DataError
from rlgan.fills import fill_blanks
from rlgan.launch.fill_nets import FillNets, load_fill_nets
from rlgan.launch.generator import checkpoint_at
from rlgan.seeding import torch_generator
from rlgan.types import TokenSpace

_MARK = re.compile(r"(_{2,})(?::(\d{1,4}))?")
_WORD_MARK = re.compile(rf"(?<!\S){_MARK.pattern}(?!\S)")


@dataclass(frozen=True)
class Fill:
    """One way to fill a line.

    Example:
        `Fill("the cat sat", ["cat"], [-0.7])` of "the ____ sat".

    Attributes:
        text: the whole line.
        tokens: what stands at the blanks, in order.
        rewards: of each, by the run's discriminator.
    """

    text: str
    tokens: list[str]
    rewards: list[float]


@dataclass(frozen=True)
class Filler:
    """The nets of a run, and the vocabulary they speak.

    Attributes:
        nets: generators and discriminator.
        vocabulary: of the run.
        step: rounds it was trained for.
    """

    nets: FillNets
    vocabulary: Vocabulary
    step: int

    @property
    def space(self) -> TokenSpace:
        """What a text is."""
        return self.nets.space

    def read(self, line: str) -> tuple[Tensor, Tensor]:
        """A line with marks as ids and blanks.

        Args:
            line: of text.

        Returns:
            [T] int64 ids (any at blanks; the end token after the line) and [T] bool.

        Raises:
            DataError: if there is no blank in it, or it has more tokens than the run's texts.
        """
        line = line.strip()
        ids, blanks, last = [], [], 0
        for mark in self._mark.finditer(line):
            given = self._encode(line[last : mark.start()], is_last=False)
            is_char = self.vocabulary.kind == "char" and mark[2] is None
            count = len(mark[1]) if is_char else int(mark[2] or 1)
            ids += [*given, *[self.space.start_id] * count]
            blanks += [*[False] * len(given), *[True] * count]
            last = mark.end()
        given = self._encode(line[last:], is_last=True)
        ids, blanks = ids + given, blanks + [False] * len(given)
        length = self.space.length
        if not any(blanks):
            raise DataError(f"no blank in {line[:60]!r}. Write ____ where a word is missing, ____:3 for three.")
        if len(ids) > length:
            raise DataError(f"{line[:60]!r} has {len(ids)} tokens with its blanks; this run knows texts of {length}.")
        if self.space.end_id is None and len(ids) < length:
            raise DataError(f"{line[:60]!r} has {len(ids)} tokens; this run knows only texts of exactly {length}.")
        rest = length - len(ids)
        return torch.tensor(ids + [self.space.end_id or 0] * rest), torch.tensor(blanks + [False] * rest)

    def unknown(self, line: str) -> list[str]:
        """Words or characters of a line that this run has never seen, and takes for `<unk>`.

        Args:
            line: with marks.

        Returns:
            Them, in order.
        """
        if self.vocabulary.kind == "bpe":
            return []
        given = split_text(self.vocabulary.kind, self._mark.sub(" ", line))
        return [token for token in given if token not in self.vocabulary.ids and not token.isspace()]

    @property
    def _mark(self) -> re.Pattern[str]:
        """What a mark looks like: between words it is one."""
        return _WORD_MARK if self.vocabulary.kind == "word" else _MARK

    def _encode(self, part: str, is_last: bool) -> list[int]:
        """The ids that a part of a line has inside the whole line: before a mark, or after the last."""
        vocabulary = self.vocabulary
        if vocabulary.kind == "bpe":
            return vocabulary.encode(part if is_last else part.removesuffix(" "))  # a space belongs to what follows
        if vocabulary.kind == "char":
            edge = next(token for token in vocabulary.ids if len(token) == 1 and not token.isspace())
            return vocabulary.encode(edge + part + edge)[1:-1]  # so that spaces beside a mark stay
        return vocabulary.encode(part)

    def fill(self, name: str, line: str, count: int, temperature: float, seed: int) -> list[Fill]:
        """Several ways to fill a line.

        Args:
            name: of the generator.
            line: with marks.
            count: how many ways; they are independent draws, and may be equal.
            temperature: divides the logits.
            seed: of the draws; both generators get the same random numbers.

        Returns:
            The fills, in the order of the draws.
        """
        tokens_T, blank_T = self.read(line)
        tokens_NT, blank_NT = tokens_T.repeat(count, 1), blank_T.repeat(count, 1)
        uniform_NT = torch.rand(tokens_NT.shape, generator=torch_generator(seed, "fill"))
        filled_NT = fill_blanks(self.nets.generators[name], tokens_NT, blank_NT, uniform_NT, temperature)
        reward_NT = self.nets.discriminator.reward(filled_NT, blank_NT)
        return [self._told(*row) for row in zip(filled_NT, blank_NT, reward_NT, strict=True)]

    def _told(self, tokens_T: Tensor, blank_T: Tensor, reward_T: Tensor) -> Fill:
        """One fill in words."""
        end = int(num_words(tokens_T[None], blank_T[None], self.space))
        words = [self.vocabulary.decode([int(token)]) for token in tokens_T[blank_T]]
        return Fill(
            self.vocabulary.decode(tokens_T[:end].tolist()), words, [float(reward) for reward in reward_T[blank_T]]
        )


def load_filler(path: Path) -> Filler:
    """The nets of a MaskGAN run.

    Args:
        path: a run directory, whose newest checkpoint that can be verified counts, or a checkpoint's folder.

    Returns:
        The nets as the rollout runners had them.

    Raises:
        CheckpointError: if there is no checkpoint, or it is damaged or of something else.
    """
    checkpoint = checkpoint_at(path)
    nets = load_fill_nets(checkpoint, path)
    if checkpoint.tokenizer_json is None:
        raise CheckpointError(f"{path}: the run learned integers, not text: there are no words to fill in.")
    return Filler(nets, Vocabulary.from_json(checkpoint.tokenizer_json), checkpoint.step)


def read_lines(path: Path) -> Sequence[str]:
    """Lines of a file, without empty ones.

    Args:
        path: of a UTF-8 file.

    Returns:
        The lines.

    Raises:
        DataError: if it cannot be read, or has none.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 text ({error!s:.80}).") from None
    if not any(lines):
        raise DataError(f"{path}: no line in it. Put a line with ____ in it for each text to fill.")
    return [line for line in lines if line]
