"""Lines with marks as ids and blanks, for vocabularies of words, characters and pieces of words."""

from types import SimpleNamespace

import pytest
import torch

from rlgan.data.vocabulary import Vocabulary
from rlgan.launch.filler import Filler
from rlgan.types import TokenSpace

TEXTS = ["the cat sat", "the dog sat", "a cat ran", "the cats sat"] * 5
CHARACTERS = sorted(set("".join(TEXTS)))


def filler_of(vocabulary: Vocabulary, length: int = 16) -> Filler:
    space = TokenSpace(vocabulary.size, length, vocabulary.start_id, vocabulary.end_id)
    return Filler(SimpleNamespace(space=space), vocabulary, step=0)  # type: ignore[arg-type]


VOCABULARIES = {
    "word": Vocabulary.of_tokens("word", ["the", "cat", "sat", "dog"], has_end=True, has_unk=True),
    "char": Vocabulary.of_tokens("char", CHARACTERS, has_end=True, has_unk=True),
    "bpe": Vocabulary.train_bpe(TEXTS, 300, has_end=True),
}


@pytest.mark.parametrize(
    ("kind", "line", "whole", "blanks"),
    [
        ("word", "the ____ sat", "the cat sat", [1]),
        ("word", "____:2 sat", "the cat sat", [0, 1]),
        ("word", "____", "the", [0]),
        ("char", "the ___ sat", "the cat sat", [4, 5, 6]),
        ("char", "the ca__s", "the catts", [6, 7]),
        ("char", "  __e cat ", "the cat", [0, 1]),
        ("bpe", "the ____ sat", "the cat sat", [1]),
        ("bpe", "____ cat sat", "the cat sat", [0]),
        ("bpe", "the cat ____", "the cat sat", [2]),
    ],
)
def test_what_is_given_has_the_ids_of_the_whole_text(kind, line, whole, blanks):
    filler = filler_of(VOCABULARIES[kind])
    tokens_T, blank_T = filler.read(line)
    expected = filler.vocabulary.encode(whole)
    assert torch.nonzero(blank_T).flatten().tolist() == blanks
    assert int((tokens_T != filler.space.end_id).sum()) == len(expected)
    assert all(int(tokens_T[i]) == expected[i] for i in range(len(expected)) if i not in blanks)


def test_a_mark_inside_a_word_is_a_word():
    filler = filler_of(VOCABULARIES["word"])
    tokens_T, blank_T = filler.read("the ____ do__g sat__")
    assert blank_T.tolist()[:4] == [False, True, False, False]
    assert filler.unknown("the ____ do__g sat__") == ["do__g", "sat__"]
    assert tokens_T[2] == filler.vocabulary.unk_id


def test_words_that_were_never_seen_are_named():
    assert filler_of(VOCABULARIES["word"]).unknown("the ____ <eos> interactive cat") == ["<eos>", "interactive"]
    assert filler_of(VOCABULARIES["char"]).unknown("the ___ q") == ["q"]
    assert filler_of(VOCABULARIES["bpe"]).unknown("the ____ quux") == []


def test_an_end_before_a_given_word_does_not_cut_the_text():
    filler = filler_of(VOCABULARIES["word"], length=5)
    tokens_T, blank_T = filler.read("the ____ sat")
    tokens_T[1] = filler.space.end_id
    fill = filler._told(tokens_T, blank_T, torch.zeros(5))
    assert (fill.text, fill.tokens) == ("the <end> sat", ["<end>"])
