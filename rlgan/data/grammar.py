"""A small probabilistic grammar of English-like sentences, for which the true probability of every fill is known.

Every rule makes two symbols or one word, so that the inside algorithm adds up all derivations of a sentence, or of a
sentence with blanks: there every word is allowed. Subjects agree with their verbs over phrases that stand between,
eaters eat food, and clauses nest: the words around a blank matter on both sides of it and at some distance.
"""

# B sentences, T positions, N symbols of the grammar, P pairs of symbols that some rule makes, V words, K splits

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

BLANK, NOTHING, OTHER = -1, -2, -3

_BINARY = """
S 4.5 Subject_s Verbs_s      S 4.5 Subject_p Verbs_p      S 1 S And_S            And_S 1 And S
Subject_s 8 The_s Beings_s   Subject_p 10 The_p Beings_p
Beings_s 2 Good Beings_s     Beings_s 1 Beings_s Near     Beings_s 1 Beings_s Who_s
Beings_p 2 Good Beings_p     Beings_p 1 Beings_p Near     Beings_p 1 Beings_p Who_p
Near 1 By Subject_s          Near 1 By Subject_p
Who_s 3 That Verbs_s         Who_p 3 That Verbs_p
Who_s 1 That Seen_by         Who_p 1 That Seen_by         Seen_by 1 Subject_s Sees_s      Seen_by 1 Subject_p Sees_p
Verbs_s 2 Sees_s Subject_s   Verbs_s 2 Sees_s Subject_p   Verbs_p 2 Sees_p Subject_s      Verbs_p 2 Sees_p Subject_p
Verbs_s 1.5 Eats_s Food      Verbs_p 1.5 Eats_p Food      Food 1 The_s Foods_s            Food 1 The_p Foods_p
Foods_s 2 Good Foods_s       Foods_p 2 Good Foods_p
Verbs_s 1 Verbs_s Gladly     Verbs_p 1 Verbs_p Gladly     Verbs_s 1.5 Is Good             Verbs_p 1.5 Are Good
"""

_WORDS = """
Subject_s 2 anna ben carla david emma felix
Beings_s 6 dog cat child teacher farmer bird king queen sailor horse
Beings_p 6 dogs cats children teachers farmers birds kings queens sailors horses
Foods_s 8 apple cake fish soup pear loaf
Foods_p 8 apples cakes fishes soups pears loaves
The_s 1 the a every this
The_p 1 the some many these
Good 1 old small happy red quiet clever big kind
Sees_s 1 sees likes follows hears helps knows
Sees_p 1 see like follow hear help know
Eats_s 1 eats buys cooks
Eats_p 1 eat buy cook
Verbs_s 3 sleeps sings runs waits laughs dreams
Verbs_p 3 sleep sing run wait laugh dream
Is 1 is was
Are 1 are were
Gladly 1 gladly often today quickly again
By 1 near behind with beside
That 1 that
And 1 and but while
"""
"""Symbol, weight of all its words together, words; the k-th has a share in proportion to 1 / (k + 1)."""


@dataclass(frozen=True)
class Rules:
    """The grammar as arrays.

    Attributes:
        symbols: names; the first is where sentences start.
        words: the vocabulary.
        left_P: first symbol of every pair.
        right_P: second symbol of every pair.
        pair_NP: probability that a symbol becomes a pair.
        word_NV: probability that a symbol becomes a word.
    """

    symbols: tuple[str, ...]
    words: tuple[str, ...]
    left_P: Ids
    right_P: Ids
    pair_NP: Floats
    word_NV: Floats


class Grammar:
    """Draws sentences, and says how probable they are.

    Example:
        `Grammar().log_prob(sentences)` of "the dog sleeps" is -6.33 nats.

    Attributes:
        words: the vocabulary, in the order of the ids that all methods use.
    """

    def __init__(self) -> None:
        self._rules = _read_rules(_BINARY, _WORDS)
        self.words = self._rules.words

    def sample(self, num_sentences: int, max_words: int, random: np.random.Generator) -> list[list[int]]:
        """Sentences of at most some words; longer ones are drawn anew.

        Args:
            num_sentences: how many.
            max_words: of each.
            random: where the random numbers come from.

        Returns:
            Lists of word ids.
        """
        choices = [
            _cumulative(pairs, words) for pairs, words in zip(self._rules.pair_NP, self._rules.word_NV, strict=True)
        ]
        sentences: list[list[int]] = []
        while len(sentences) < num_sentences:
            sentence = self._derive(choices, max_words, random)
            if sentence:
                sentences.append(sentence)
        return sentences

    def _derive(self, choices: list[Floats], max_words: int, random: np.random.Generator) -> list[int]:
        """One sentence, from left to right; nothing where it becomes too long."""
        num_pairs = len(self._rules.left_P)
        open_symbols, sentence = [0], []
        while open_symbols:
            choice = int(np.searchsorted(choices[open_symbols.pop()], random.random(), side="right"))
            if choice < num_pairs:
                open_symbols += [int(self._rules.right_P[choice]), int(self._rules.left_P[choice])]
            else:
                sentence.append(choice - num_pairs)
            if len(sentence) + len(open_symbols) > max_words:
                return []
        return sentence

    def log_prob(self, words_BT: Ids, noise: float = 0.0) -> Floats:
        """Log-probability of sentences, or of all ways to fill the blanks of sentences together.

        Args:
            words_BT: [B, T] word ids; BLANK where any word may stand, OTHER for a token that is no word, NOTHING after
                the sentence.
            noise: chance that a word is replaced by any word of the vocabulary, all alike; with some, no sentence is
                impossible, and OTHER counts as one replaced word.

        Returns:
            [B] nats; -inf where the grammar cannot make the sentence.
        """
        inside_BN = self._inside(words_BT, noise)
        with np.errstate(divide="ignore"):
            return np.log(inside_BN[:, 0])

    def conditional_log_prob(self, words_BT: Ids, blank_BT: NDArray[np.bool_], noise: float = 0.0) -> Floats:
        """Log-probability of the words at blanks, given all others and the number of words.

            log P(fill | rest) = log P(sentence) - log sum over all fills P(sentence with that fill)

        Args:
            words_BT: [B, T] word ids, NOTHING after the sentence.
            blank_BT: [B, T] bool.
            noise: as in `log_prob`.

        Returns:
            [B] nats for all blanks of a sentence together; -inf where the fill is impossible, NaN where the rest is.
        """
        whole_B = self.log_prob(words_BT, noise)
        any_fill_B = self.log_prob(np.where(blank_BT & (words_BT != NOTHING), BLANK, words_BT), noise)
        with np.errstate(invalid="ignore"):
            return whole_B - any_fill_B

    def is_grammatical(self, words_BT: Ids) -> NDArray[np.bool_]:
        """Whether the grammar can make a sentence.

        Args:
            words_BT: [B, T] word ids, NOTHING after the sentence.

        Returns:
            [B] bool.
        """
        return np.isfinite(self.log_prob(words_BT))

    def _inside(self, words_BT: Ids, noise: float) -> Floats:
        """[B, N] probability that each symbol becomes the whole sentence (CKY, widths from 1 to T)."""
        rules, (num_rows, length) = self._rules, words_BT.shape
        chart: dict[tuple[int, int], Floats] = {}
        for start in range(length):
            chart[start, start + 1] = self._emissions(words_BT[:, start], noise)
        num_words_B = (words_BT != NOTHING).sum(axis=1)
        for width in range(2, int(num_words_B.max(initial=0)) + 1):
            for start in range(length - width + 1):
                splits = range(start + 1, start + width)
                left_KBN = np.stack([chart[start, split] for split in splits])
                right_KBN = np.stack([chart[split, start + width] for split in splits])
                pair_BP = np.einsum("kbp,kbp->bp", left_KBN[:, :, rules.left_P], right_KBN[:, :, rules.right_P])
                chart[start, start + width] = pair_BP @ rules.pair_NP.T
        root_BN = np.zeros((num_rows, len(rules.symbols)))
        for width in np.unique(num_words_B[num_words_B > 0]):
            rows = num_words_B == width
            root_BN[rows] = chart[0, int(width)][rows]
        return root_BN

    def _emissions(self, words_B: Ids, noise: float) -> Floats:
        """[B, N] probability that each symbol becomes the word; 0 where there is none."""
        word_NV = self._rules.word_NV
        any_word_N = word_NV.sum(axis=1)
        replaced_N1 = noise * any_word_N[:, None] / word_NV.shape[1]
        special = [replaced_N1, np.zeros_like(replaced_N1), any_word_N[:, None]]  # OTHER, NOTHING, BLANK: -3, -2, -1
        table_NX = np.concatenate([(1.0 - noise) * word_NV + replaced_N1, *special], axis=1)
        return table_NX[:, words_B].T


def _read_rules(binary: str, words: str) -> Rules:
    """The tables above as arrays; the weights of each symbol are divided by their sum."""
    pairs = [
        (symbol, float(weight), left, right)
        for symbol, weight, left, right in zip(*[iter(binary.split())] * 4, strict=True)
    ]
    lexical = [
        (symbol, float(weight), rest) for symbol, weight, *rest in (line.split() for line in words.split("\n") if line)
    ]
    symbols = list(dict.fromkeys(name for symbol, _, left, right in pairs for name in (symbol, left, right)))
    vocabulary = list(dict.fromkeys(word for _, _, rest in lexical for word in rest))
    kinds = list(dict.fromkeys((left, right) for _, _, left, right in pairs))
    pair_NP, word_NV = np.zeros((len(symbols), len(kinds))), np.zeros((len(symbols), len(vocabulary)))
    for symbol, weight, left, right in pairs:
        pair_NP[symbols.index(symbol), kinds.index((left, right))] = weight
    for symbol, weight, rest in lexical:
        share = np.array(_shares(len(rest)))
        for word, part in zip(rest, share, strict=True):
            word_NV[symbols.index(symbol), vocabulary.index(word)] = weight * part
    total_N1 = (pair_NP.sum(axis=1) + word_NV.sum(axis=1))[:, None]
    left_P, right_P = (np.array([symbols.index(kind[side]) for kind in kinds]) for side in (0, 1))
    return Rules(tuple(symbols), tuple(vocabulary), left_P, right_P, pair_NP / total_N1, word_NV / total_N1)


def _shares(count: int) -> Sequence[float]:
    """1/2, 1/3, 1/4, ... made to add up to 1."""
    raw = [1.0 / (rank + 2) for rank in range(count)]
    return [part / sum(raw) for part in raw]


def _cumulative(pair_P: Floats, word_V: Floats) -> Floats:
    """Cumulative chances of what a symbol becomes: pairs, then words."""
    cumulative: Floats = np.concatenate([pair_P, word_V]).cumsum()
    cumulative[cumulative >= cumulative[-1]] = 1.0
    return cumulative
