"""Corpora, vocabularies, the oracle and the grammar: one TokenSource each."""

from rlgan.data.config import CorpusConfig
from rlgan.data.corpus import read_integer_sequences
from rlgan.data.grammar import Grammar
from rlgan.data.grammar_source import GrammarSource
from rlgan.data.inspect import CorpusReport, inspect_corpus, render_report
from rlgan.data.oracle import Oracle
from rlgan.data.oracle_source import OracleSource
from rlgan.data.sources import load_source, require_sequences
from rlgan.data.text import TextSource
from rlgan.data.vocabulary import Vocabulary

__all__ = [
    "CorpusConfig",
    "CorpusReport",
    "Grammar",
    "GrammarSource",
    "Oracle",
    "OracleSource",
    "TextSource",
    "Vocabulary",
    "inspect_corpus",
    "load_source",
    "read_integer_sequences",
    "render_report",
    "require_sequences",
]
