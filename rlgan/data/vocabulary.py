"""Vocabularies of words, characters or byte-level pieces: a Hugging Face tokenizer, kept as the JSON text it saves.

word: what `str.split` gives; decoded with single spaces between. char: every Unicode code point of the line without its
surrounding white space, inner spaces included. bpe: byte-level pieces; every text can be encoded. Ids: `<start>` is 0,
`<end>` is 1 where sequences end, `<unk>` follows where `max_vocab` cut the vocabulary, then the tokens, the most
frequent first and equally frequent ones by code point. `<start>` and `<end>` may not stand in a text; `<unk>` in a text
of words means the unknown token.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, NoReturn, get_args

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from rlgan.errors import CheckpointError, DataError

TextTokens = Literal["word", "char", "bpe"]
START, END, UNK = "<start>", "<end>", "<unk>"

# the white space of Python's str.split and str.strip, so that the tokenizer alone gives the same tokens
_SPACES = r"[\x09-\x0d\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]+"
_BPE_BATCH = 4096


class Vocabulary:
    """Tokens and their ids.

    Example:
        `Vocabulary.of_tokens("word", ["the", "cat"], has_end=True, has_unk=False)` gives `<start>` 0, `<end>` 1, the 2,
        cat 3; `.decode([2, 3])` is "the cat".

    Attributes:
        kind: word, char or bpe.
        size: number of ids, special ones included.
        start_id: the id fed before the first token.
        end_id: the id that ends a sequence, or None.
        unk_id: the id of every token outside the vocabulary, or None.
        ids: {token: id}; the tokens of bpe are in its own byte alphabet.
    """

    def __init__(self, kind: TextTokens, tokenizer: Tokenizer) -> None:
        self.kind = kind
        self._tokenizer = tokenizer
        self._tokenizer.encode_special_tokens = True  # "<end>" in a text is text
        self.ids: dict[str, int] = tokenizer.get_vocab()
        self.size = len(self.ids)
        self.start_id, self.end_id = self.ids[START], self.ids.get(END)
        self.unk_id = None if kind == "bpe" else self.ids.get(UNK)  # bpe encodes every text

    @classmethod
    def of_tokens(cls, kind: TextTokens, tokens: Sequence[str], has_end: bool, has_unk: bool) -> "Vocabulary":
        """A vocabulary of words or characters.

        Args:
            kind: word or char.
            tokens: the tokens in the order of their ids, none of them special.
            has_end: whether there is an `<end>`.
            has_unk: whether there is an `<unk>` beside the tokens.

        Returns:
            The vocabulary.
        """
        refuse_special(tokens)
        special = [START, *([END] if has_end else []), *([UNK] if has_unk else [])]
        ids = {token: index for index, token in enumerate([*special, *tokens])}
        tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNK))
        if kind == "word":
            tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_SPACES), "removed")
        else:
            tokenizer.normalizer = normalizers.Replace(Regex(rf"\A{_SPACES}|{_SPACES}\z"), "")
            tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("(?m:.)"), "isolated")
            tokenizer.decoder = decoders.Fuse()
        return cls(kind, tokenizer)

    @classmethod
    def train_bpe(cls, texts: Iterable[str], size: int, has_end: bool) -> "Vocabulary":
        """A vocabulary of byte-level pieces learned from texts.

        Args:
            texts: the texts, read once.
            size: number of pieces, the 256 bytes included; fewer where the texts have no more pairs.
            has_end: whether there is an `<end>`.

        Returns:
            The vocabulary.
        """
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        special = [START, END] if has_end else [START]
        trainer = trainers.BpeTrainer(
            vocab_size=size + len(special),
            special_tokens=special,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(map(_checked, texts), trainer)
        return cls("bpe", tokenizer)

    @classmethod
    def from_json(cls, text: str) -> "Vocabulary":
        """The vocabulary of a tokenizer.json that rlgan wrote.

        Args:
            text: what `to_json` gave.

        Returns:
            The vocabulary.

        Raises:
            CheckpointError: if it is not one.
        """
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(f"tokenizer.json is not a tokenizer: {error}. Use another checkpoint.") from error
        kinds: dict[type, TextTokens] = {type(None): "word", decoders.Fuse: "char", decoders.ByteLevel: "bpe"}
        kind = kinds.get(type(tokenizer.decoder))
        ids = tokenizer.get_vocab()
        if kind is None or START not in ids or sorted(ids.values()) != list(range(len(ids))):
            raise CheckpointError(f"tokenizer.json is not one of rlgan's ({', '.join(get_args(TextTokens))}).")
        return cls(kind, tokenizer)

    def to_json(self) -> str:
        """The vocabulary as the text of a tokenizer.json, the same for the same vocabulary."""
        return str(self._tokenizer.to_str())

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without start and end.

        Args:
            text: any text.

        Returns:
            Its ids. Refuses (DataError) what `encode_all` refuses.
        """
        return next(self.encode_all([text]))

    def encode_all(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """The ids of every text, without start and end.

        Refuses (DataError) a word that is the name of a special token, and a token that is not in the vocabulary when
        that has no `<unk>`. To bpe every text is text.

        Args:
            texts: texts; those of bpe are encoded a few thousand at a time.

        Yields:
            The ids of each.
        """
        if self.kind == "bpe":
            texts = iter(texts)
            while batch := list(islice(texts, _BPE_BATCH)):
                for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=False):
                    yield encoding.ids
            return
        for text in texts:
            tokens = split_text(self.kind, text)
            ids = [self.ids.get(token, self.unk_id) for token in tokens]
            if None in ids or self.start_id in ids or self.end_id in ids:
                self._refuse(tokens)
            yield ids  # type: ignore[misc]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; special tokens show by name.

        Args:
            ids: ids in [0, size).

        Returns:
            The text: words with single spaces between, characters and pieces joined.
        """
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def _refuse(self, tokens: list[str]) -> NoReturn:
        """Raise for the first token that has no id, or that of a special token."""
        refuse_special(tokens)
        unknown = next(token for token in tokens if token not in self.ids)
        raise DataError(
            f"{self.kind} {unknown[:40]!r} is not in the vocabulary of {self.size} ids, which has no {UNK}. "
            "Is it the vocabulary of another corpus?"
        )


def split_text(kind: TextTokens, text: str) -> list[str]:
    """The words or characters of a text.

    Args:
        kind: word or char.
        text: any text.

    Returns:
        Its tokens.
    """
    return text.split() if kind == "word" else list(text.strip())


def refuse_special(tokens: Container[str]) -> None:
    """Refuse a text whose tokens have the name of a special one.

    Args:
        tokens: words or characters, or a whole text, or the keys of a vocabulary.

    Raises:
        DataError: if `<start>` or `<end>` is in it.
    """
    for name in (START, END):
        if name in tokens:
            raise DataError(f"the text holds {name}, which is the name of a special token. Rename it in the file.")


def _checked(text: str) -> str:
    """The text, once it is known to hold no name of a special token."""
    refuse_special(text)
    return text
