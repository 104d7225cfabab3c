"""RELIABILITY.md R24 (bad bytes), R25 (line ends), R26 (control characters), R27 (long lines)."""

import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rlgan.data.lines as lines_module
from rlgan.data.corpus import iter_texts, parse_ids, read_integer_sequences
from rlgan.data.lines import MAX_LINE_BYTES, ReadCounts, iter_lines
from rlgan.errors import DataError


def texts(path, on_bad_bytes="error"):
    counts = ReadCounts()
    return list(iter_texts(path, None, on_bad_bytes, counts)), counts


def write(tmp_path, data):
    path = tmp_path / "data.txt"
    path.write_bytes(data)
    return path


@given(
    data=st.lists(st.sampled_from(["a", "b", " ", "é", "詩", "\r", "\n", "\r\n", "\u2028", "\x0b", "\x0c", "\x85"])),
    chunk=st.integers(1, 7),
    bom=st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_lines_are_those_of_python_text_mode_wherever_chunks_end(tmp_path_factory, data, chunk, bom):
    raw = "".join(data).encode()
    path = write(tmp_path_factory.mktemp("r25"), b"\xef\xbb\xbf" * bom + raw)
    expected = [line.rstrip("\n") for line in io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", newline=None)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "_CHUNK_BYTES", chunk)
        patch.setattr(lines_module, "_SNIFF_BYTES", 3 + chunk)
        counts = ReadCounts()
        found = list(iter_lines(path, counts))
    assert [line.decode() for _, _, line in found] == expected
    assert [number for number, _, _ in found] == list(range(1, len(expected) + 1))
    whole = path.read_bytes()
    assert all(whole[offset : offset + len(line)] == line for _, offset, line in found)
    assert counts.read == len(expected)


@pytest.mark.parametrize(
    "data",
    [b"a b\nc\n", b"\xef\xbb\xbfa b\nc\n", b"a b\r\nc\r\n", b"a b\rc\r", b"a b\nc", b"a b\r\nc", b"a b\n\nc\n \t\n"],
)
def test_same_texts_as_the_clean_file(tmp_path, data):
    assert [text for _, text in texts(write(tmp_path, data))[0]] == ["a b", "c"]


def test_blank_lines_are_counted_and_keep_their_numbers(tmp_path):
    found, counts = texts(write(tmp_path, b"a\n\n \t\nb\n"))
    assert found == [(1, "a"), (4, "b")]
    assert counts.read == 4 and counts.dropped == {"blank": 2}
    assert counts.summary() == "4 read, 2 blank"


def test_line_separator_and_control_characters_stay_inside_their_line(tmp_path):
    line = "a b\u2028c\x00d\x07\x1b[31m e\x0cf and enough text that NUL is rare"
    found, _ = texts(write(tmp_path, f"{line}\nnext\n".encode()))
    assert found == [(1, line), (2, "next")]


def test_bad_bytes_name_line_and_byte(tmp_path):
    path = write(tmp_path, b"good\r\nb\xe4d\nmore\n")
    with pytest.raises(DataError, match=rf"{path}: line 2, byte 1 from 0 \(byte 7 of the file\): 0xe4 is not UTF-8"):
        texts(path)
    assert path.read_bytes()[7] == 0xE4


def test_bad_bytes_skipped_or_replaced_are_counted(tmp_path):
    path = write(tmp_path, b"good\nb\xe4d\nmore\n\xff\n")
    found, counts = texts(path, "skip")
    assert [text for _, text in found] == ["good", "more"] and counts.dropped == {"not UTF-8": 2}
    found, counts = texts(path, "replace")
    assert [text for _, text in found] == ["good", "b\ufffdd", "more", "\ufffd"] and counts.replaced == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("some text\n".encode("utf-16"), "UTF-16 or UTF-32"),
        ("some text\n".encode("utf-32"), "UTF-16 or UTF-32"),
        ("some text\n".encode("utf-16-le"), "bytes are NUL: binary, or UTF-16 without a mark"),
        ("some text\n".encode("utf-16-be"), "bytes are NUL"),
        (b"\x1f\x8b\x08abc", "gzip"),
        (b"PK\x03\x04abc", "zip"),
        (b"PAR1abc", "name it .parquet"),
        (b"\x89PNG\r\n", "PNG"),
        (b"\x00" * 100, "NUL"),
    ],
)
@pytest.mark.parametrize("policy", ["error", "skip", "replace"])
def test_other_formats_are_refused_whatever_the_policy(tmp_path, data, message, policy):
    with pytest.raises(DataError, match=message):
        texts(write(tmp_path, data), policy)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        texts(tmp_path / "none.txt")
    with pytest.raises(DataError, match="cannot be read"):
        texts(tmp_path)


def test_ten_megabyte_line_is_dropped_in_bounded_memory(tmp_path):
    path = write(tmp_path, b"first\n" + b"x" * 10_000_000 + b"\r\nlast\n" + b"y" * 3_000_000)
    tracemalloc.start()
    found, counts = texts(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [(1, "first"), (3, "last")]
    assert counts.read == 4 and counts.dropped == {"longer than 1,048,576 bytes": 2}
    assert peak < 6_000_000, peak


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\r\n"])
def test_the_cap_is_exact(tmp_path, end):
    fits, counts = texts(write(tmp_path, b"x" * MAX_LINE_BYTES + end))
    assert len(fits[0][1]) == MAX_LINE_BYTES and not counts.dropped
    found, counts = texts(write(tmp_path, b"x" * (MAX_LINE_BYTES + 1) + end))
    assert not found and counts.dropped == {"longer than 1,048,576 bytes": 1} and counts.read == 1


def test_ids_are_parsed_strictly():
    assert parse_ids("3 0\t12", "here", 13) == [3, 0, 12]
    for text in ("3 -1", "3 1.0", "3 x", "3 ١", "3 1_0", "+3"):
        with pytest.raises(DataError, match=r"here: .* is not an id"):
            parse_ids(text, "here")
    with pytest.raises(DataError, match=r"here: id 13 is too large; expected ids in \[0, 12\]"):
        parse_ids("3 13", "here", 13)
    with pytest.raises(DataError, match="too large"):
        parse_ids("9" * 100_000, "here")


def test_integer_sequences_for_evaluation(tmp_path):
    path = write(tmp_path, b"1 2 3\r\n\n4 5 6")
    assert read_integer_sequences(path).tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(DataError, match="line 1 has 3 ids; expected 4"):
        read_integer_sequences(path, length=4)
    with pytest.raises(DataError, match=r"line 3: id 6 is too large; expected ids in \[0, 5\]"):
        read_integer_sequences(path, vocab_size=6)
    with pytest.raises(DataError, match=r"holds no sequences \(2 read, 2 blank\)"):
        read_integer_sequences(write(tmp_path, b"\n\n"))
