import pytest

from rlgan.data import CorpusConfig, inspect_corpus, render_report
from rlgan.errors import DataError


def report(tmp_path, text, batch_size=1, **kwargs):
    path = tmp_path / "data.txt"
    path.write_text(text, encoding="utf-8", newline="")
    return inspect_corpus(CorpusConfig(data=path, **({"held_out_fraction": 0} | kwargs)), batch_size)


def test_counts_by_hand(tmp_path):
    found = report(tmp_path, "a b\n\na b\nb\nc b a d\n", length=2, held_out_fraction=0.5)
    assert (found.num_read, found.num_kept, found.num_train, found.num_held_out) == (5, 2, 1, 1)
    assert found.dropped == {"blank": 1, "longer than 2 tokens": 1, "duplicate": 1}
    assert (found.num_tokens, found.vocab_size, found.length, found.has_end) == (3, 4, 2, True)
    assert found.most_frequent == (("b", 2), ("a", 1))
    assert found.length_histogram == ((1, 1, 1), (2, 2, 2), (3, 3, 0), (4, 4, 1))
    assert (found.num_duplicates, found.num_truncated, found.num_replaced, found.unknown_rate) == (1, 0, 0, 0)


def test_copies_are_counted_even_where_they_stay(tmp_path):
    found = report(tmp_path, "a\na\nb\n", deduplicate=False)
    assert found.num_duplicates == 1 and found.num_kept == 3 and not found.dropped


def test_histogram_has_at_most_twenty_bins_that_cover_every_line(tmp_path):
    found = report(tmp_path, "\n".join("x " * n for n in range(1, 102)))
    assert len(found.length_histogram) == 17 and sum(number for _, _, number in found.length_histogram) == 101
    assert found.length_histogram[0] == (1, 6, 6) and found.length_histogram[-1] == (97, 101, 5)


@pytest.mark.parametrize(
    ("text", "options", "warning"),
    [
        ("a b\n", {"batch_size": 2}, "1 training sequences do not fill one batch of 2"),
        ("a b\n", {}, "no sequence is held out"),
        ("a\nb c d\n", {"length": 1}, "1 of 2 lines are not used"),
        ("a b c d e\n", {"max_vocab": 3}, "more than 10% of the tokens are <unk>"),
        ("山川月\n日人天\n", {}, "a script without spaces needs --tokens char"),
        ("山 川 月\n日 人 天 月\n", {"tokens": "char"}, "every other character is a space"),
        ("a b\nc d\n", {}, "every line has 2 tokens: --fixed-length"),
        ("\n".join(f"w{i}" for i in range(1001)), {}, "1,001 of 1,001 words occur once"),
    ],
)
def test_warnings(tmp_path, text, options, warning):
    found = report(tmp_path, text, **options)
    assert any(warning in line for line in found.warnings), found.warnings
    assert any(line.startswith("warning: ") and warning in line for line in render_report(found))


def test_nothing_to_warn_of(tmp_path):
    found = report(tmp_path, "a b\na\nb\nb a\n", held_out_fraction=0.25, batch_size=3)
    assert found.warnings == () and not any("warning" in line for line in render_report(found))


def test_rendered_lines_say_the_numbers_and_cannot_control_the_terminal(tmp_path):
    lines = render_report(report(tmp_path, "a\x1b[31m b\u202e\n\n", on_bad_bytes="replace"))
    text = "\n".join(lines)
    assert "lines read       2" in text and "dropped        1  blank" in text and "vocabulary       4 ids" in text
    assert r"1  a\x1b[31m" in text and r"1  b\u202e" in text and "\x1b" not in text and "\u202e" not in text


def test_integer_and_bpe_files(tmp_path):
    found = report(tmp_path, "3 0\n3 3\n", tokens="integers", fixed_length=True)
    assert found.most_frequent == (("3", 3), ("0", 1)) and not found.has_end
    assert report(tmp_path, "the cat\n", tokens="bpe").most_frequent[0][0].strip() in {"the", "cat"} | set("thecat")


def test_without_a_file_there_is_nothing_to_inspect():
    with pytest.raises(DataError, match="no data file: give --data FILE"):
        inspect_corpus(CorpusConfig())
