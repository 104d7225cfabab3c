"""What a share of real words is worth: words drawn from models of n characters, and how many of them are in the file.

    python benchmarks/character_models.py words.txt
    rlgan sample RUN -n 5000 --output drawn.txt && python benchmarks/character_models.py words.txt --drawn drawn.txt

The file has one word a line. It is split as `rlgan train bgan --kind text` splits it; the models count the training
words and draw words of the lengths that the file has. Files of drawn words are measured in the same way.
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
    rows = []
    for name, words in drawn.items():
        shares = [1000 * sum(word in known for word in words) / len(words) for known in (set(training), set(held_out))]
        length = sum(map(len, words)) / len(words)
        rows.append(
            [name, *(f"{share:.1f}" for share in shares), f"{length:.2f}", f"{len(set(words)) / len(words):.3f}"]
        )
    table(["drawn from", "training words in 1,000", "held-out words in 1,000", "letters", "different"], rows)


if __name__ == "__main__":
    main()
