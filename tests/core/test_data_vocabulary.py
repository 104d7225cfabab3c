import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from rlgan.data.vocabulary import Vocabulary, split_text
from rlgan.errors import CheckpointError, DataError

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(
    lambda text: not {"<start>", "<end>"} & set(text.split())
)


def words(*tokens, **kwargs):
    return Vocabulary.of_tokens("word", tokens, **({"has_end": True, "has_unk": False} | kwargs))


def test_special_ids_come_first_and_only_where_needed():
    vocabulary = words("the", "cat")
    assert (vocabulary.start_id, vocabulary.end_id, vocabulary.unk_id, vocabulary.size) == (0, 1, None, 4)
    assert vocabulary.encode(" cat  the ") == [3, 2] and vocabulary.decode([3, 2]) == "cat the"
    cut = words("the", has_end=False, has_unk=True)
    assert (cut.start_id, cut.end_id, cut.unk_id, cut.size) == (0, None, 1, 3)
    assert cut.encode("the dog <unk>") == [2, 1, 1] and cut.decode([2, 1]) == "the <unk>"


def test_unknown_and_reserved_words_are_refused():
    with pytest.raises(DataError, match="word 'dog' is not in the vocabulary of 4 ids, which has no <unk>"):
        words("the", "cat").encode("the dog")
    for name in ("<start>", "<end>"):
        with pytest.raises(DataError, match=f"the text holds {name}, which is the name of a special token"):
            words("the").encode(f"the {name}")
        with pytest.raises(DataError, match=f"the text holds {name}"):
            words("the", name)
        with pytest.raises(DataError, match=f"the text holds {name}"):
            Vocabulary.train_bpe([f"the{name}cat"], 300, has_end=True)
    # a character cannot be mistaken for a special token
    chars = Vocabulary.of_tokens("char", sorted(set("<end>")), has_end=True, has_unk=False)
    assert chars.decode(chars.encode("<end>")) == "<end>"


@given(text=any_text)
@settings(deadline=None)
def test_char_decoding_gives_the_text_back(text):
    vocabulary = Vocabulary.of_tokens("char", sorted(set(text)), has_end=True, has_unk=False)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text.strip() and len(ids) == len(text.strip())


@given(text=any_text)
@settings(deadline=None)
def test_word_decoding_gives_the_words_back_with_single_spaces(text):
    vocabulary = words(*sorted(set(text.split())))
    assert vocabulary.decode(vocabulary.encode(text)) == " ".join(text.split())


@given(text=any_text)
@settings(deadline=None)
def test_bpe_encodes_what_it_has_never_seen(text):
    vocabulary = BPE
    assert vocabulary.decode(vocabulary.encode(text)) == text


BPE = Vocabulary.train_bpe(["the cat sat on the mat", "the hat"] * 3, 280, has_end=True)


def test_bpe_has_its_bytes_and_learned_pieces():
    assert 258 < BPE.size <= 282 and (BPE.start_id, BPE.end_id, BPE.unk_id) == (0, 1, None)
    assert len(BPE.encode("the cat")) == 2 and len(BPE.encode("qqq")) == 3
    again = Vocabulary.train_bpe(["the cat sat on the mat", "the hat"] * 3, 280, has_end=True)
    assert again.to_json() == BPE.to_json()
    assert BPE.encode("<end>") != [BPE.end_id]
    assert list(BPE.encode_all(iter(["the", "cat"]))) == [BPE.encode("the"), BPE.encode("cat")]


@given(text=any_text, kind=st.sampled_from(["word", "char"]))
@settings(deadline=None)
def test_the_saved_tokenizer_alone_gives_the_same_ids(text, kind):
    # tokenizer.json is for others to use: Hugging Face's own splitting must agree with ours
    vocabulary = Vocabulary.of_tokens(kind, sorted(set(split_text(kind, text))), has_end=True, has_unk=False)
    assert Tokenizer.from_str(vocabulary.to_json()).encode(text).ids == vocabulary.encode(text)


@pytest.mark.parametrize(
    "vocabulary",
    [words("a", "b"), Vocabulary.of_tokens("char", ["a", " "], has_end=False, has_unk=True), BPE],
    ids=["word", "char", "bpe"],
)
def test_json_keeps_the_vocabulary(vocabulary):
    loaded = Vocabulary.from_json(vocabulary.to_json())
    assert loaded.kind == vocabulary.kind and loaded.ids == vocabulary.ids
    assert loaded.to_json() == vocabulary.to_json()
    assert (loaded.start_id, loaded.end_id, loaded.unk_id) == (0, vocabulary.end_id, vocabulary.unk_id)
    assert loaded.encode("a a") == vocabulary.encode("a a")


def test_json_that_is_not_ours_is_refused():
    with pytest.raises(CheckpointError, match=r"tokenizer.json is not a tokenizer"):
        Vocabulary.from_json("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer.json is not a tokenizer"):
        Vocabulary.from_json("not json")
    other = json.loads(words("a").to_json())
    other["model"]["vocab"] = {"a": 0, "b": 1}
    with pytest.raises(CheckpointError, match="not one of rlgan's"):
        Vocabulary.from_json(json.dumps(other))
    other["model"]["vocab"] = {"<start>": 0, "b": 7}
    with pytest.raises(CheckpointError, match="not one of rlgan's"):
        Vocabulary.from_json(json.dumps(other))
