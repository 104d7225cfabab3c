"""Sequences drawn from the SeqGAN oracle, as a TokenSource."""

# N sequences, T positions

import hashlib

from torch import Tensor

from rlgan.data.config import CorpusConfig
from rlgan.data.oracle import Oracle
from rlgan.errors import DataError
from rlgan.seeding import torch_generator
from rlgan.types import TokenSpace

_PAPER_LENGTH = 20
_PAPER_VOCAB = 5000


class OracleSource:
    """Training and held-out sequences drawn independently from one oracle; it meets `rlgan.types.TokenSource`.

    Example:
        `OracleSource(Oracle.draw(seed=68), length=20, num_train=10_000, num_held_out=2_000, seed=68)`

    Attributes:
        oracle: the oracle that drew the sequences and can score others.
    """

    def __init__(self, oracle: Oracle, length: int, num_train: int, num_held_out: int, seed: int) -> None:
        self.oracle = oracle
        self.space = TokenSpace(vocab_size=oracle.vocab_size, length=length, start_id=0, end_id=None)
        self.train_NT = oracle.sample(num_train, length, torch_generator(seed, "oracle-train"))
        self.held_out_NT = oracle.sample(num_held_out, length, torch_generator(seed, "oracle-held-out"))
        self.name = f"oracle-{oracle.fingerprint()[:8]}"
        self._recipe = f"{oracle.fingerprint()} {length} {num_train} {num_held_out} {seed}"

    def decode(self, tokens_T: Tensor) -> str:
        """One sequence as text.

        Args:
            tokens_T: [T] ids.

        Returns:
            The ids with spaces between them.
        """
        return " ".join(map(str, tokens_T.tolist()))

    def fingerprint(self) -> str:
        """A hash of all that determines the sequences: parameters, seed, counts, length.

        The drawn ids themselves are left out: a matrix product may round otherwise on another CPU or with another
        number of threads, and one id in a million would then make an unchanged task look changed.

        Returns:
            64 hexadecimal digits.
        """
        return hashlib.sha256(self._recipe.encode()).hexdigest()

    def tokenizer_json(self) -> str | None:
        """The oracle has bare ids and no vocabulary.

        Returns:
            None.
        """
        return None


def load_oracle(config: CorpusConfig) -> Oracle | None:
    """The oracle of the configuration's file.

    Args:
        config: what `oracle_file` and `vocab_size` say is used.

    Returns:
        The oracle, or None where no file is named.

    Raises:
        DataError: if the file is unusable, or its vocabulary is not the one asked for.
    """
    if config.oracle_file is None:
        return None
    oracle = Oracle.load(config.oracle_file)
    if config.vocab_size not in {None, oracle.vocab_size}:
        raise DataError(
            f"oracle file {config.oracle_file} has {oracle.vocab_size} ids, and vocab_size asks for "
            f"{config.vocab_size}. Remove vocab_size."
        )
    return oracle


def load_oracle_source(config: CorpusConfig) -> OracleSource:
    """The oracle of the configuration and sequences drawn from it.

    Args:
        config: with `data=None`.

    Returns:
        The source.
    """
    oracle = load_oracle(config) or Oracle.draw(config.oracle_seed, config.vocab_size or _PAPER_VOCAB)
    length = config.length or _PAPER_LENGTH
    return OracleSource(oracle, length, config.oracle_sequences, config.oracle_held_out, config.oracle_seed)
