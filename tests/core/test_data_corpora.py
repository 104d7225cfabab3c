"""The real corpora of the work place; skipped where they are not."""

import time
from pathlib import Path

import pytest

from rlgan.data import CorpusConfig, inspect_corpus, load_source

POEMS = Path("/work/shared/data/chinese_quatrains.txt")
PTB = Path("/work/shared/data/ptb/ptb.train.txt")
needs_poems = pytest.mark.skipif(not POEMS.exists(), reason=f"{POEMS} is not on this machine")
needs_ptb = pytest.mark.skipif(not PTB.exists(), reason=f"{PTB} is not on this machine")


@needs_poems
def test_poems_as_words_of_fixed_length():
    report = inspect_corpus(CorpusConfig(data=POEMS, fixed_length=True))
    # wc: 16,394 lines of 24 characters; sort -u: 15,993 distinct
    assert (report.num_read, report.length, report.num_kept, report.num_duplicates) == (16394, 24, 15993, 401)
    assert (report.num_train, report.num_held_out) == (14394, 1599)
    assert {token for token, _ in report.most_frequent[:2]} == {"。", "，"}
    assert not report.warnings


@needs_poems
def test_poems_decode_to_their_lines():
    source = load_source(CorpusConfig(data=POEMS, held_out_fraction=0, deduplicate=False))
    lines = POEMS.read_text(encoding="utf-8").split("\n")
    for index in (0, 777, 16393):
        assert source.decode(source.train_NT[index]) == lines[index].strip()


@needs_ptb
def test_ptb_loads_in_seconds():
    start = time.process_time()
    source = load_source(CorpusConfig(data=PTB, max_vocab=5000))
    assert time.process_time() - start < 20
    words = PTB.read_text(encoding="utf-8").split()
    assert source.vocabulary.size == 5003
    assert source.vocabulary.ids["the"] == 3 and len(words) == 887521
    assert source.space.length == 39  # 95% of the lines have at most 39 words
