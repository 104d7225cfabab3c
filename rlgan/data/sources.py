"""From a configuration to the sequences that a run learns from."""

from rlgan.data.config import CorpusConfig
from rlgan.data.grammar_source import load_grammar_source
from rlgan.data.oracle_source import load_oracle_source
from rlgan.data.prepare import prepare_corpus
from rlgan.errors import DataError
from rlgan.types import TokenSource


def load_source(config: CorpusConfig, tokenizer_json: str | None = None) -> TokenSource:
    """Read and check the data, or draw it from the oracle or the grammar.

    Args:
        config: what to read and how.
        tokenizer_json: the vocabulary of a checkpoint; with it the vocabulary is not built anew.

    Returns:
        The training and held-out sequences.

    Raises:
        DataError: if the data cannot be read or is not what training needs.
    """
    if config.data is None and config.builtin == "grammar":
        return load_grammar_source(config)
    if config.data is None:
        if tokenizer_json is not None:
            raise DataError("the checkpoint has a vocabulary and the oracle has none. Give --data as at the start.")
        return load_oracle_source(config)
    return prepare_corpus(config, tokenizer_json).source


def require_sequences(source: TokenSource, batch_size: int) -> None:
    """Refuse a source that cannot fill one batch.

    Args:
        source: what training is to learn from.
        batch_size: sequences of one update.

    Raises:
        DataError: if there are fewer training sequences than that.
    """
    num_train = len(source.train_NT)
    if num_train < batch_size:
        raise DataError(
            f"{source.name}: {num_train} training sequences ({len(source.held_out_NT)} held out) do not fill one batch "
            f"of {batch_size}. Give more data or a batch size of at most {num_train}."
        )
