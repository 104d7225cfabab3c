"""Sequences of one file of text or integer ids, split into training and held-out ones."""

# N sequences, T positions

import hashlib

from torch import Tensor

from rlgan.data.oracle import Oracle
from rlgan.data.vocabulary import Vocabulary
from rlgan.types import TokenSpace


class TextSource:
    """Training and held-out sequences of one file; it meets `rlgan.types.TokenSource`.

    Attributes:
        vocabulary: the tokens, or None for an integer file.
        oracle: what scores the samples of a generator trained on an integer file, if `oracle_file` was given.
    """

    def __init__(
        self,
        space: TokenSpace,
        train_NT: Tensor,
        held_out_NT: Tensor,
        name: str,
        vocabulary: Vocabulary | None = None,
        oracle: Oracle | None = None,
    ) -> None:
        self.space = space
        self.train_NT = space.check(train_NT)
        self.held_out_NT = space.check(held_out_NT)
        self.name = name
        self.vocabulary = vocabulary
        self.oracle = oracle

    def decode(self, tokens_T: Tensor) -> str:
        """One sequence as text.

        Args:
            tokens_T: [T] ids.

        Returns:
            Its text up to the end token; for an integer file the ids with spaces between.
        """
        ids: list[int] = tokens_T.tolist()
        if self.space.end_id is not None and self.space.end_id in ids:
            ids = ids[: ids.index(self.space.end_id)]
        return " ".join(map(str, ids)) if self.vocabulary is None else self.vocabulary.decode(ids)

    def fingerprint(self) -> str:
        """A hash of the vocabulary and of every training and held-out token.

        Returns:
            64 hexadecimal digits.
        """
        digest = hashlib.sha256(f"{self.space} {self.tokenizer_json()}".encode())
        for tokens_NT in (self.train_NT, self.held_out_NT):
            digest.update(f"{list(tokens_NT.shape)}".encode() + tokens_NT.contiguous().numpy().data)
        return digest.hexdigest()

    def tokenizer_json(self) -> str | None:
        """The vocabulary as the JSON text that goes into a checkpoint.

        Returns:
            The text; None for an integer file.
        """
        return None if self.vocabulary is None else self.vocabulary.to_json()
