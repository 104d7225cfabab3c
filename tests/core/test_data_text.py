"""RELIABILITY.md R23 (empty), R27 (a million lines), and what a file becomes before training."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlgan.data import CorpusConfig, Oracle, Vocabulary, load_source, require_sequences
from rlgan.data.prepare import prepare_corpus
from rlgan.data.ragged import Ragged, automatic_length, split_rows
from rlgan.errors import CheckpointError, DataError
from rlgan.types import TokenSource


def config(tmp_path, text, **kwargs):
    path = tmp_path / "data.txt"
    path.write_text(text, encoding="utf-8", newline="")
    return CorpusConfig(data=path, **({"held_out_fraction": 0} | kwargs))


def decoded(source):
    return [source.decode(tokens_T) for tokens_T in torch.cat([source.train_NT, source.held_out_NT])]


def test_padded_words_by_hand(tmp_path):
    source: TokenSource = load_source(config(tmp_path, "b a\nc\nb b a\n"))
    # b stands three times, a twice, c once; <start> 0, <end> 1
    assert source.train_NT.tolist() == [[2, 3, 1], [4, 1, 1], [2, 2, 3]]
    assert source.train_NT.dtype == torch.int64
    assert (source.space.vocab_size, source.space.length, source.space.start_id, source.space.end_id) == (5, 3, 0, 1)
    assert decoded(source) == ["b a", "c", "b b a"]
    assert source.held_out_NT.shape == (0, 3) and source.name == "data.txt"


def test_equally_frequent_tokens_are_in_code_point_order(tmp_path):
    vocabulary = load_source(config(tmp_path, "z é a Z\n", fixed_length=True)).vocabulary
    assert vocabulary.ids == {"<start>": 0, "Z": 1, "a": 2, "z": 3, "é": 4}


def test_fixed_length_takes_the_commonest_length_and_counts_the_rest(tmp_path):
    prepared = prepare_corpus(config(tmp_path, "a b\nb c\nd\na b c\n", fixed_length=True))
    assert prepared.source.train_NT.tolist() == [[2, 1], [1, 3]]  # b 1, a 2, c 3; d is in a dropped line only
    assert prepared.source.space.end_id is None and prepared.source.space.vocab_size == 4
    assert prepared.counts.dropped == {"longer than 2 tokens": 1, "shorter than 2 tokens": 1}


@pytest.mark.parametrize(
    ("options", "kept", "dropped", "truncated"),
    [
        ({}, ["a b", "d"], {"longer than 2 tokens": 1}, 0),
        ({"long_lines": "truncate"}, ["a b", "d", "a c"], {}, 1),
        ({"fixed_length": True}, ["a b"], {"longer than 2 tokens": 1, "shorter than 2 tokens": 1}, 0),
        ({"fixed_length": True, "long_lines": "truncate"}, ["a b", "a c"], {"shorter than 2 tokens": 1}, 1),
    ],
)
def test_lines_of_another_length(tmp_path, options, kept, dropped, truncated):
    prepared = prepare_corpus(config(tmp_path, "a b\nd\na c b\n", length=2, **options))
    assert decoded(prepared.source) == kept
    assert prepared.counts.dropped == dropped and prepared.num_truncated == truncated


def test_automatic_length():
    lengths = np.array([1] * 99 + [32])
    assert automatic_length(lengths, fixed=False) == 32  # short: the longest
    assert automatic_length(np.array([40] * 95 + [90] * 5), fixed=False) == 40  # 95% are whole
    assert automatic_length(np.array([40] * 94 + [90] * 6), fixed=False) == 90
    assert automatic_length(np.array([5] * 99 + [90]), fixed=False) == 32  # never below what is short
    assert automatic_length(np.array([1000] * 9), fixed=False) == 256
    assert automatic_length(np.array([3, 3, 5, 5, 9]), fixed=True) == 5


def test_max_vocab_sends_rare_words_to_unk(tmp_path):
    prepared = prepare_corpus(config(tmp_path, "a a a b b c\nd a <unk>\n", max_vocab=2, fixed_length=False))
    assert prepared.source.vocabulary.ids == {"<start>": 0, "<end>": 1, "<unk>": 2, "a": 3, "b": 4}
    assert decoded(prepared.source) == ["a a a b b <unk>", "<unk> a <unk>"]
    assert (prepared.num_unknown, prepared.num_tokens) == (3, 9)
    uncut = load_source(config(tmp_path, "a b\n", max_vocab=2))
    assert uncut.vocabulary.unk_id is None


def test_char_tokens_keep_inner_spaces_only(tmp_path):
    source = load_source(config(tmp_path, "  a  b \nc\n", tokens="char"))
    assert decoded(source) == ["a  b", "c"] and source.space.length == 4


def test_bpe_source(tmp_path):
    source = load_source(config(tmp_path, "the cat\nthe hat\n詩 <unk>\n", tokens="bpe", bpe_size=300))
    assert decoded(source) == ["the cat", "the hat", "詩 <unk>"]
    assert prepare_corpus(config(tmp_path, "the\n<unk>\n", tokens="bpe")).num_unknown == 0


def test_integer_files_keep_their_ids(tmp_path):
    source = load_source(config(tmp_path, "3 0 1\n2 2 2\n", tokens="integers", fixed_length=True))
    assert source.train_NT.tolist() == [[3, 0, 1], [2, 2, 2]]
    assert (source.space.vocab_size, source.space.start_id, source.space.end_id) == (4, 0, None)
    assert source.tokenizer_json() is None and decoded(source) == ["3 0 1", "2 2 2"]
    padded = load_source(config(tmp_path, "3 0 1\n2\n", tokens="integers"))
    assert padded.train_NT.tolist() == [[3, 0, 1], [2, 4, 4]]
    assert (padded.space.vocab_size, padded.space.end_id) == (5, 4) and decoded(padded) == ["3 0 1", "2"]
    wide = load_source(config(tmp_path, "3 0 1\n", tokens="integers", fixed_length=True, vocab_size=9))
    assert wide.space.vocab_size == 9
    with pytest.raises(DataError, match=r"data.txt: line 2: id 7 is too large; expected ids in \[0, 4\]"):
        load_source(config(tmp_path, "3\n7\n", tokens="integers", vocab_size=5))
    with pytest.raises(DataError, match=r"data.txt: line 1: 'x' is not an id"):
        load_source(config(tmp_path, "x\n", tokens="integers"))


def test_integer_file_with_the_oracle_that_scores_it(tmp_path):
    Oracle.draw(0, vocab_size=7, embedding=2, hidden=2).save(tmp_path / "o.safetensors")
    options = {"tokens": "integers", "fixed_length": True, "oracle_file": tmp_path / "o.safetensors"}
    source = load_source(config(tmp_path, "3 0\n", **options))
    assert source.space.vocab_size == 7 and source.oracle.nll(source.train_NT).shape == (1, 2)
    with pytest.raises(DataError, match=r"expected ids in \[0, 6\]"):
        load_source(config(tmp_path, "7 0\n", **options))


@pytest.mark.parametrize("text", ["", "\n", " \n\t\r\n\u3000\n", "\ufeff"])
@pytest.mark.parametrize("tokens", ["word", "char", "bpe", "integers"])
def test_nothing_to_learn_from(tmp_path, text, tokens):
    with pytest.raises(DataError, match=r"data.txt holds no sequences \(\d read(, \d blank)?\)"):
        load_source(config(tmp_path, text, tokens=tokens))


def test_counts_explain_why_no_line_is_left(tmp_path):
    with pytest.raises(DataError, match=r"2 read, 2 shorter than 5 tokens\); lines have 1 to 2 tokens. Choose another"):
        load_source(config(tmp_path, "a\nb c\n", length=5, fixed_length=True))


def test_fewer_lines_than_a_batch(tmp_path):
    source = load_source(config(tmp_path, "a\nb\nc\nd\n", held_out_fraction=0.25))
    with pytest.raises(DataError, match=r"data.txt: 3 training sequences \(1 held out\) do not fill one batch of 4"):
        require_sequences(source, 4)


def test_reserved_words_are_refused(tmp_path):
    with pytest.raises(DataError, match="the text holds <end>"):
        load_source(config(tmp_path, "a <end> b\n"))


@given(
    lines=st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(" ".join), min_size=2, max_size=30),
    fraction=st.sampled_from([0.0, 0.1, 0.5, 0.99]),
    deduplicate=st.booleans(),
    seed=st.integers(0, 3),
)
@settings(deadline=None, max_examples=100)
def test_split(tmp_path_factory, lines, fraction, deduplicate, seed):
    options = {"held_out_fraction": fraction, "deduplicate": deduplicate, "split_seed": seed}
    prepared = prepare_corpus(config(tmp_path_factory.mktemp("split"), "\n".join(lines), **options))
    source = prepared.source
    train = [source.decode(tokens_T) for tokens_T in source.train_NT]
    held_out = [source.decode(tokens_T) for tokens_T in source.held_out_NT]
    assert not set(train) & set(held_out)
    assert Counter(train + held_out) == (Counter(set(lines)) if deduplicate else Counter(lines))
    distinct = len(set(lines))
    assert len(set(held_out)) == min(round(fraction * distinct), distinct - 1)
    assert prepared.num_duplicates == len(lines) - distinct
    order = list(dict.fromkeys(lines)) if deduplicate else lines
    assert train == [line for line in order if line in set(train)]  # the order of the file


def test_split_depends_on_its_seed_and_not_on_keeping_copies():
    rows_NT = np.arange(200, dtype=np.int32).repeat(2).reshape(200, 2)
    first = split_rows(rows_NT, 0.2, True, seed=0)[1]
    assert first.tolist() == split_rows(rows_NT, 0.2, True, seed=0)[1].tolist()
    assert first.tolist() == split_rows(rows_NT, 0.2, False, seed=0)[1].tolist()
    assert first.tolist() != split_rows(rows_NT, 0.2, True, seed=1)[1].tolist()
    assert len(first) == 40 and first.max() > 100  # from all over the file


def test_duplicates_are_found_after_cutting(tmp_path):
    prepared = prepare_corpus(config(tmp_path, "a b c\na b d\nx y z\n", length=2, long_lines="truncate"))
    assert decoded(prepared.source) == ["a b", "x y"] and prepared.counts.dropped == {"duplicate": 1}


def test_ragged_selection_by_hand():
    ragged = Ragged.of([[5, 6, 7], [8], [9, 10]])
    kept = ragged.select(np.array([True, False, True]), 2)
    assert kept.flat.tolist() == [5, 6, 9, 10] and kept.lengths.tolist() == [2, 2]
    assert ragged.padded(3, fill=0).tolist() == [[5, 6, 7], [8, 0, 0], [9, 10, 0]]


@pytest.mark.parametrize("tokens", ["word", "char", "bpe"])
def test_resume_uses_the_vocabulary_of_the_checkpoint(tmp_path, tokens):
    first = load_source(config(tmp_path, "a b b\nc d\n", tokens=tokens))
    again = load_source(config(tmp_path, "a b b\nc d\n", tokens=tokens), first.tokenizer_json())
    assert again.fingerprint() == first.fingerprint() and again.tokenizer_json() == first.tokenizer_json()
    # other frequencies would have given other ids
    changed = load_source(config(tmp_path, "d d d\nc a\n", tokens=tokens), first.tokenizer_json())
    assert changed.vocabulary.ids == first.vocabulary.ids and decoded(changed) == ["d d d", "c a"]
    assert changed.fingerprint() != first.fingerprint()


def test_resume_refuses_what_the_vocabulary_does_not_fit(tmp_path):
    text = load_source(config(tmp_path, "a b\n")).tokenizer_json()
    with pytest.raises(DataError, match="word 'z' is not in the vocabulary of 4 ids"):
        load_source(config(tmp_path, "a z\n"), text)
    for options in ({"tokens": "char"}, {"fixed_length": True}, {"tokens": "integers"}):
        with pytest.raises(CheckpointError, match="of the checkpoint is of word tokens with an end token"):
            load_source(config(tmp_path, "0\n", **options), text)


def test_fingerprint_sees_every_token_and_the_vocabulary(tmp_path):
    base = load_source(config(tmp_path, "a b\nc a\n"))
    prints = {base.fingerprint()}
    prints.add(load_source(config(tmp_path, "a b\nc b\n")).fingerprint())
    prints.add(load_source(config(tmp_path, "a b\nd a\n")).fingerprint())  # same ids, another word
    prints.add(load_source(config(tmp_path, "c a\na b\n")).fingerprint())
    prints.add(load_source(config(tmp_path, "a b\nc a\n", length=3)).fingerprint())
    prints.add(load_source(config(tmp_path, "a b\nc a\n", held_out_fraction=0.5)).fingerprint())
    assert len(prints) == 6
    assert base.fingerprint() == load_source(config(tmp_path, "a b\r\nc a")).fingerprint()


def test_decode_stops_at_the_end_token(tmp_path):
    source = load_source(config(tmp_path, "a b\n"))
    a, b = source.vocabulary.ids["a"], source.vocabulary.ids["b"]
    assert source.decode(torch.tensor([a, 1, b, b])) == "a" and source.decode(torch.tensor([1, 1])) == ""


def test_vocabulary_is_reexported():
    assert Vocabulary.from_json(Vocabulary.of_tokens("word", ["x"], True, False).to_json()).ids["x"] == 2


@pytest.mark.slow
def test_a_million_short_lines_in_bounded_memory(tmp_path):
    path = tmp_path / "million.txt"
    rng = np.random.default_rng(0)
    with path.open("w") as file:
        for _ in range(100):
            rows = rng.integers(20_000, size=(10_000, 5))
            file.write("".join(" ".join(f"w{word}" for word in row) + "\n" for row in rows.tolist()))
    program = (
        "import resource, sys; from pathlib import Path; from rlgan.data import CorpusConfig, load_source\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak(); source = load_source(CorpusConfig(data=Path(sys.argv[1])))\n"
        "assert len(source.train_NT) == 900_000; print(peak() - before)"
    )
    run = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True, timeout=120)
    assert int(run.stdout) < 500, f"{run.stdout} MB"
