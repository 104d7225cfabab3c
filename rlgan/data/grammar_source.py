"""Sentences drawn from the built-in grammar, as a TokenSource that knows the truth."""

# N, B sequences, T positions

import hashlib

import numpy as np
import torch
from torch import Tensor

from rlgan.blanks import num_words
from rlgan.data.config import CorpusConfig
from rlgan.data.grammar import BLANK, NOTHING, OTHER, Grammar, Ids
from rlgan.data.vocabulary import Vocabulary
from rlgan.seeding import derive_seed
from rlgan.types import TokenSpace

_LENGTH = 16


class GrammarSource:
    """Training and held-out sentences drawn independently from the grammar; it meets `rlgan.types.TokenSource`.

    Example:
        `GrammarSource(length=16, num_train=10_000, num_held_out=2_000, seed=0)`

    Attributes:
        grammar: what drew the sentences and can score others.
        vocabulary: its words.
    """

    def __init__(self, length: int, num_train: int, num_held_out: int, seed: int) -> None:
        self.grammar = Grammar()
        self.vocabulary = Vocabulary.of_tokens("word", self.grammar.words, has_end=True, has_unk=False)
        assert self.vocabulary.end_id is not None
        self._first_id = self.vocabulary.ids[self.grammar.words[0]]
        self.space = TokenSpace(self.vocabulary.size, length, self.vocabulary.start_id, self.vocabulary.end_id)
        self.train_NT = self._draw(num_train, seed, "grammar-train")
        self.held_out_NT = self._draw(num_held_out, seed, "grammar-held-out")
        self.name = "grammar"

    def _draw(self, count: int, seed: int, purpose: str) -> Tensor:
        """[N, T] ids of sentences of at most T words."""
        random = np.random.Generator(np.random.PCG64(derive_seed(seed, purpose)))
        rows_NT = torch.full((count, self.space.length), self.space.end_id or 0)
        for row, sentence in enumerate(self.grammar.sample(count, self.space.length, random)):
            rows_NT[row, : len(sentence)] = torch.tensor(sentence) + self._first_id
        return rows_NT

    def decode(self, tokens_T: Tensor) -> str:
        """One sequence as text.

        Args:
            tokens_T: [T] ids.

        Returns:
            Its words up to the end token.
        """
        ids: list[int] = tokens_T.tolist()
        return self.vocabulary.decode(ids[: ids.index(self.space.end_id)] if self.space.end_id in ids else ids)

    def fingerprint(self) -> str:
        """A hash of the vocabulary and of every token.

        Returns:
            64 hexadecimal digits.
        """
        digest = hashlib.sha256(self.tokenizer_json().encode())
        for tokens_NT in (self.train_NT, self.held_out_NT):
            digest.update(tokens_NT.numpy().tobytes())
        return digest.hexdigest()

    def tokenizer_json(self) -> str:
        """The vocabulary as the JSON text that goes into a checkpoint.

        Returns:
            The text.
        """
        return self.vocabulary.to_json()

    def is_grammatical(self, tokens_BT: Tensor, blank_BT: Tensor) -> Tensor:
        """Whether the grammar can make a text.

        Args:
            tokens_BT: [B, T] int64 ids, filled in.
            blank_BT: [B, T] bool.

        Returns:
            [B] bool.
        """
        return torch.from_numpy(self.grammar.is_grammatical(self._words(tokens_BT, blank_BT)))

    def fill_log_prob(self, tokens_BT: Tensor, blank_BT: Tensor, noise: float = 0.0) -> Tensor:
        """The true log-probability of what stands at the blanks.

        Args:
            tokens_BT: [B, T] int64 ids, filled in.
            blank_BT: [B, T] bool.
            noise: chance of a replaced word, which makes every fill possible.

        Returns:
            [B] float64 nats for all blanks of a text together, given the other words and how many there are; where
            everything is blank, of the whole sentence among all of at most T words. With noise such a sentence is, with
            that chance, of any length and any words: the grammar has none of no words, nor of some lengths.
        """
        words_BT, blanks_BT = self._words(tokens_BT, blank_BT), blank_BT.numpy()
        given_B = self.grammar.conditional_log_prob(words_BT, blanks_BT, noise)
        if not blanks_BT.all(axis=1).any():
            return torch.from_numpy(given_B)
        length = words_BT.shape[1]
        any_sentence_TT = np.where(np.tri(length, dtype=bool), BLANK, NOTHING)  # row n has n + 1 words
        mass = np.log(np.exp(self.grammar.log_prob(any_sentence_TT)).sum())
        free_B = self.grammar.log_prob(words_BT, noise) - mass
        if noise > 0:
            any_B = -np.log(length + 1) - (words_BT != NOTHING).sum(axis=1) * np.log(len(self.grammar.words))
            free_B = np.logaddexp(np.log1p(-noise) + free_B, np.log(noise) + any_B)
        return torch.from_numpy(np.where(blanks_BT.all(axis=1), free_B, given_B))

    def _words(self, tokens_BT: Tensor, blank_BT: Tensor) -> Ids:
        """[B, T] ids of the grammar."""
        length_B = num_words(tokens_BT, blank_BT, self.space)
        words_BT = (tokens_BT - self._first_id).where(tokens_BT >= self._first_id, OTHER)
        is_over_BT = torch.arange(tokens_BT.shape[1]) >= length_B[:, None]
        return words_BT.masked_fill(is_over_BT, NOTHING).numpy()


def load_grammar_source(config: CorpusConfig) -> GrammarSource:
    """Sentences as the configuration asks for.

    Args:
        config: with `builtin="grammar"`.

    Returns:
        The source.
    """
    return GrammarSource(
        config.length or _LENGTH, config.grammar_sequences, config.grammar_held_out, config.grammar_seed
    )
