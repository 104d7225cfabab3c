"""Which sequences to learn from: one model whose field names are the options of the command line."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

TABLE_SUFFIXES = frozenset({".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"})

Tokens = Literal["word", "char", "bpe", "integers"]
OnBadBytes = Literal["error", "skip", "replace"]
LongLines = Literal["drop", "truncate"]


class CorpusConfig(BaseModel):
    """What `rlgan train` learns from: a file of the user's, or the built-in SeqGAN oracle or grammar.

    Example:
        `CorpusConfig()` is the SeqGAN oracle task: 10,000 sequences of 20 tokens of 5,000.
        `CorpusConfig(data="poems.txt", tokens="word", fixed_length=True, length=24)` is lines of exactly 24 words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path | None = Field(
        None,
        description="File to learn from: UTF-8 text, one sequence a line, or .jsonl, .csv, .tsv, .parquet with "
        "--column. None (default): the built-in oracle of the SeqGAN paper's synthetic task, or MaskGAN's grammar.",
    )
    tokens: Tokens = Field(
        "word",
        description="What one token is: word (separated by white space; default, as in the SeqGAN paper's texts), char "
        "(Unicode code point, inner spaces included), bpe (byte-level pieces), integers (the file already holds ids).",
    )
    column: str | None = Field(
        None, min_length=1, description="Column that holds the text of a .jsonl, .csv, .tsv or .parquet file."
    )
    length: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Positions of a sequence, in tokens. None (default): 20 for the oracle (the SeqGAN paper), 16 for "
        "the grammar; with --fixed-length the commonest line length; else the longest line if that is at most 32 "
        "tokens, and otherwise the smallest length that holds 95% of the lines whole, at most 256 (rlgan's choice).",
    )
    fixed_length: bool = Field(
        False,
        description="Use lines of exactly `length` tokens and no end token, as the SeqGAN paper does; other lines are "
        "dropped and counted. False (default): shorter lines end with an end token and are filled with it.",
    )
    long_lines: LongLines = Field(
        "drop",
        description="Lines of more than `length` tokens: drop them (default: a cut line teaches a text without an end) "
        "or truncate them to their first `length` tokens.",
    )
    max_vocab: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Keep this many of the most frequent words or characters; the others become <unk>. "
        "None (default): keep all.",
    )
    bpe_size: int = Field(
        4000,
        ge=300,
        le=1_000_000,
        description="Number of pieces of a bpe vocabulary, its 256 bytes included (default 4000: rlgan's choice, near "
        "the SeqGAN paper's 5,000 tokens).",
    )
    on_bad_bytes: OnBadBytes = Field(
        "error",
        description="A line that is not UTF-8: stop with its place (error, default), drop it and count it (skip), or "
        "put U+FFFD for its bad bytes and count it (replace).",
    )
    held_out_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Fraction of the distinct sequences of a file that is never trained on and measures held-out "
        "likelihood and BLEU (default 0.1: rlgan's choice). The oracle uses oracle_held_out instead.",
    )
    deduplicate: bool = Field(
        True,
        description="Keep one copy of each sequence of a file (default). False keeps the copies, all on one side of "
        "the split, so that no held-out sequence is trained on either way.",
    )
    split_seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the split into training and held-out sequences (default 0)."
    )
    vocab_size: int | None = Field(
        None,
        ge=2,
        le=1_000_000,
        description="Number of ids. None (default): 5000 for the oracle (the SeqGAN paper), the largest id + 1 for "
        "integer files (an end token comes on top). Word, char and bpe texts have max_vocab and bpe_size instead.",
    )
    builtin: Literal["oracle", "grammar"] = Field(
        "oracle",
        description="What is learned from without a data file: the SeqGAN oracle, or a small probabilistic grammar of "
        "sentences whose true conditional probabilities are known (for filling in blanks).",
    )
    grammar_seed: int = Field(
        0, ge=0, lt=2**63, description="Seed of the sentences drawn from the grammar (default 0)."
    )
    grammar_sequences: int = Field(
        10_000, ge=1, le=10_000_000, description="Training sentences drawn from the grammar (default 10,000)."
    )
    grammar_held_out: int = Field(
        2_000, ge=0, le=10_000_000, description="Held-out sentences drawn from the grammar (default 2,000)."
    )
    oracle_file: Path | None = Field(
        None,
        description="safetensors file of an oracle (names and shapes: rlgan.data.oracle). None (default) draws one "
        "from oracle_seed. With --tokens integers it scores the samples of a generator trained on that file.",
    )
    oracle_seed: int = Field(
        68,
        ge=0,
        lt=2**63,
        description="Seed of the oracle's parameters and of the sequences drawn from it (default 68: of the seeds 0 to "
        "119 the one whose own samples, 5.74 nats per token, and uniform tokens, 11.45, score nearest to the oracle "
        "released by the SeqGAN authors, 5.76 and 11.43; the mean over seeds is 5.95 and 11.19).",
    )
    oracle_sequences: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="Training sequences drawn from the oracle (default 10,000: the SeqGAN paper).",
    )
    oracle_held_out: int = Field(
        2_000,
        ge=0,
        le=10_000_000,
        description="Held-out sequences drawn from the oracle (default 2,000: rlgan's choice, a standard error of "
        "0.01 nats per token).",
    )

    @model_validator(mode="after")
    def _options_belong_together(self) -> "CorpusConfig":
        """Refuse options that would have no effect."""
        is_table = self.data is not None and self.data.suffix.lower() in TABLE_SUFFIXES
        if self.column is not None and not is_table:
            raise ValueError(
                f"column is for {', '.join(sorted(TABLE_SUFFIXES))} files; data is {self.data}. Remove column."
            )
        if self.max_vocab is not None and (self.data is None or self.tokens not in {"word", "char"}):
            raise ValueError("max_vocab is for a text file with tokens word or char; use bpe_size for bpe.")
        if self.vocab_size is not None and self.data is not None and self.tokens != "integers":
            raise ValueError("vocab_size is for the oracle and for tokens integers; use max_vocab or bpe_size.")
        if self.oracle_file is not None and self.data is not None and self.tokens != "integers":
            raise ValueError("oracle_file needs tokens integers (or no data): an oracle scores ids, not text.")
        if self.oracle_file is not None and self.data is not None and not self.fixed_length:
            raise ValueError("oracle_file needs fixed_length: an oracle's sequences have no end token.")
        if (
            self.data is None
            and self.builtin == "grammar"
            and (self.vocab_size is not None or self.oracle_file is not None)
        ):
            raise ValueError("vocab_size and oracle_file are for the oracle; the grammar has words of its own.")
        if self.data is None and self.tokens != "word":
            raise ValueError(f"tokens {self.tokens} needs a data file; the oracle has bare ids.")
        return self
