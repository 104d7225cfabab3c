"""Captions as rows of word numbers."""

# L captions, T words with the end, W words

from collections.abc import Sequence

import torch
from torch import Tensor

END = 0
"""Ends a caption, and fills the rest of its row."""


class CaptionWords:
    """The words of some captions, numbered from 1 in alphabetical order.

    Example:
        `CaptionWords(["a two", "a one"])` has the words ("a", "one", "two"); "a two" is (1, 3, 0).

    Attributes:
        captions: what they are of.
        words: number w is `words[w - 1]`.
        length: T, words of the longest caption and its end.
    """

    def __init__(self, captions: Sequence[str]) -> None:
        self.captions = tuple(captions)
        self.words = tuple(sorted({word for caption in captions for word in caption.split()}))
        self.length = max(len(caption.split()) for caption in captions) + 1

    @property
    def num_words(self) -> int:
        """W, with the end."""
        return len(self.words) + 1

    def encode(self, caption: str) -> tuple[int, ...]:
        """A caption as numbers.

        Args:
            caption: words with white space between them.

        Returns:
            T numbers; after the words comes `END`.

        Raises:
            ValueError: if there is no word, one that is not known, or more than T - 1.
        """
        words = caption.split()
        unknown = [word for word in words if word not in self.words]
        if unknown:
            raise ValueError(f"the word {unknown[0]!r} is not known; the words are {', '.join(self.words)}.")
        if not 1 <= len(words) < self.length:
            raise ValueError(f"a caption has 1 to {self.length - 1} words; got {len(words)}.")
        numbers = [self.words.index(word) + 1 for word in words]
        return tuple(numbers + [END] * (self.length - len(numbers)))

    def table(self) -> Tensor:
        """All captions.

        Returns:
            [L, T] int64.
        """
        return torch.tensor([self.encode(caption) for caption in self.captions])
