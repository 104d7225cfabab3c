"""Corpora, vocabularies and the oracle: one TokenSource each."""

from rlgan.data.config import CorpusConfig
from rlgan.data.oracle import Oracle
from rlgan.data.oracle_source import OracleSource
from rlgan.data.sources import load_source, require_sequences

__all__ = ["CorpusConfig", "Oracle", "OracleSource", "load_source", "require_sequences"]
