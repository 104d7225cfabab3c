"""What a share of real words is worth: words drawn from models of n characters, and how many of them are in the file.

    python benchmarks/character_models.py words.txt
    rlgan sample RUN -n 5000 --output drawn.txt && python benchmarks/character_models.py words.txt --drawn drawn.txt

The file has one word a line. It is split as `rlgan train bgan --kind text` splits it; the models count the training
words and draw words of the lengths that the file has. Files of drawn words are measured in the same way. A generator
of one word has a perfect share: read the number of different words of the file beside it, and compare equal counts.
"""

import argparse
import random
from collections import Counter, defaultdict
from pathlib import Path

from measuring import table

from rlgan.data.discrete_config import DiscreteCorpusConfig, load_discrete_source

BEGIN, END = "\x02", "\x03"
ORDERS, SEED = (1, 2, 3, 4, 5), 0


def draw_words(words: list[str], order: int, count: int) -> list[str]:
    """Words of a model of `order` characters, its end included, of a length that there is."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for word in words:
        marked = BEGIN * (order - 1) + word + END
        for end in range(order - 1, len(marked)):
            counts[marked[end - order + 1 : end]][marked[end]] += 1
    lengths, choice, drawn = {len(word) for word in words}, random.Random(SEED), []
    while len(drawn) < count:
        text = BEGIN * (order - 1)
        while not text.endswith(END) and len(text) <= order + max(lengths):
            following = counts[text[len(text) - order + 1 :]]
            text += choice.choices(list(following), list(following.values()))[0]
        word = text[order - 1 :].removesuffix(END)
        if text.endswith(END) and len(word) in lengths:
            drawn.append(word)
    return drawn


def measured(drawn: list[str], training: set[str], held_out: set[str]) -> list[str]:
    """The columns of one row."""
    known = [word for word in drawn if word in training]
    return [
        f"{len(drawn):,}",
        f"{1000 * len(known) / len(drawn):.1f}",
        f"{len(set(known)):,} of {len(training):,}",
        f"{1000 * sum(word in held_out for word in drawn) / len(drawn):.1f}",
        f"{sum(map(len, drawn)) / len(drawn):.2f}",
        f"{len(set(drawn)) / len(drawn):.3f}",
    ]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", type=Path)
    parser.add_argument("--drawn", type=Path, nargs="*", default=[])
    parser.add_argument("--count", type=int, default=20_000)
    arguments = parser.parse_args()
    source = load_discrete_source(DiscreteCorpusConfig(kind="text", data=arguments.words))
    training, held_out = ([source.decode(row) for row in rows] for rows in (source.train_NT, source.held_out_NT))
    drawn = {f"{order} characters": draw_words(training, order, arguments.count) for order in ORDERS}
    drawn |= {path.name: path.read_text(encoding="utf-8").splitlines() for path in arguments.drawn}
    columns = ["drawn from", "words", "training words in 1,000", "different training words", "held-out words in 1,000"]
    rows = [[name, *measured(words, set(training), set(held_out))] for name, words in drawn.items()]
    table([*columns, "letters", "different"], rows)


if __name__ == "__main__":
    main()
