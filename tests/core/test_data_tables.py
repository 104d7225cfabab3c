import json

import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from rlgan.data import CorpusConfig, load_source
from rlgan.data.corpus import iter_texts
from rlgan.data.lines import ReadCounts
from rlgan.errors import DataError

ROWS = [("one two", 1), ("drei", 2), (None, 3), ("  ", 4), ("詩 \u2028 x", 5)]
EXPECTED = ["one two", "drei", "詩 \u2028 x"]


def write_jsonl(path, rows=ROWS):
    path.write_text("".join(json.dumps({"text": text, "n": n}) + "\n" for text, n in rows))
    return path


def write_parquet(path, kind=None):
    kind = kind or pa.string()
    table = pa.table({"text": pa.array([text for text, _ in ROWS], pa.string()).cast(kind), "n": [n for _, n in ROWS]})
    pa_parquet.write_table(table, path)
    return path


def write_csv(path, separator=","):
    path.write_bytes(b"\xef\xbb\xbf" + separator.join(["text", "n"]).encode() + b"\r\n")
    with path.open("ab") as file:
        for text, n in ROWS:
            file.write(f'"{text or ""}"{separator}{n}\r\n'.encode())
    return path


def texts(path, column="text", on_bad_bytes="error"):
    counts = ReadCounts()
    return [text for _, text in iter_texts(path, column, on_bad_bytes, counts)], counts


def test_jsonl(tmp_path):
    found, counts = texts(write_jsonl(tmp_path / "x.jsonl"))
    assert found == EXPECTED
    assert counts.read == 5 and counts.dropped == {"null": 1, "blank": 1}


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary()])
def test_parquet(tmp_path, kind):
    found, counts = texts(write_parquet(tmp_path / "x.parquet", kind))
    assert found == EXPECTED
    assert counts.read == 5 and counts.dropped == {"null": 1, "blank": 1}


@pytest.mark.parametrize(("name", "separator"), [("x.csv", ","), ("x.tsv", "\t"), ("X.CSV", ",")])
def test_csv(tmp_path, name, separator):
    found, counts = texts(write_csv(tmp_path / name, separator))
    assert found == EXPECTED
    assert counts.read == 5 and counts.dropped == {"blank": 2}


def test_csv_cells_are_text_even_where_they_look_otherwise(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('text,n\n007,1\nNA,2\n"a ""quoted"", word\nand a second line",3\n')
    assert texts(path)[0] == ["007", "NA", 'a "quoted", word\nand a second line']


@pytest.mark.parametrize("write", [write_jsonl, write_parquet, write_csv])
def test_missing_column_lists_those_there_are(tmp_path, write):
    name = {write_jsonl: "x.jsonl", write_parquet: "x.parquet", write_csv: "x.csv"}[write]
    path = write(tmp_path / name)
    with pytest.raises(DataError, match="there is no column 'txt'; the columns are 'text', 'n'"):
        texts(path, "txt")
    with pytest.raises(DataError, match="give --column; the columns are 'text', 'n'"):
        texts(path, None)


def test_only_column_needs_no_name(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    assert texts(tmp_path / "x.jsonl", None)[0] == ["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "a"}\n{"text": \n', "line 2 is not JSON"),
        (b"[1, 2]\n", "line 1: expected a JSON object .* got list"),
        (b'{"text": 3}\n', "line 1: expected text or a list of integers; got int"),
        (b'{"text": [true]}\n', "expected text or a list of integers; got list"),
        (b'{"text": "a"}\n{"n": 3}\n', "line 2: there is no column 'text'"),
        (b"[" * 100_000 + b"\n", "line 1 is not JSON"),
        (b'{"text": "a\xe4"}\n', "line 1, byte 11 .*0xe4 is not UTF-8"),
        (b'{"text": "\\ud800"}\n', "line 1.*0xed is not UTF-8"),
    ],
)
def test_wrong_jsonl_names_the_line(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        texts(tmp_path / "x.jsonl")


@pytest.mark.parametrize(("policy", "expected"), [("skip", ["b"]), ("replace", ["a\ufffd", "b"])])
def test_bad_bytes_inside_tables(tmp_path, policy, expected):
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "a\xe4"}\n{"text": "b"}\n')
    (tmp_path / "x.csv").write_bytes(b"text,n\na\xe4,1\nb,2\n")
    pa_parquet.write_table(pa.table({"text": pa.array([b"a\xe4", b"b"], pa.binary())}), tmp_path / "x.parquet")
    for name in ("x.jsonl", "x.csv", "x.parquet"):
        found, counts = texts(tmp_path / name, "text", policy)
        assert found == expected, name
        assert counts.dropped["not UTF-8"] + counts.replaced == 1
    with pytest.raises(DataError, match=r"x.csv: row 1, byte 1 from 0: 0xe4 is not UTF-8"):
        texts(tmp_path / "x.csv")


@pytest.mark.parametrize("name", ["x.parquet", "x.csv"])
@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing else"])
def test_damaged_tables_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as|there is no column"):
        texts(tmp_path / name)
    with pytest.raises(DataError, match=r"x2.parquet: cannot be read"):
        texts(tmp_path / "x2.parquet")


def test_over_long_cell_is_dropped_and_counted(tmp_path):
    write_jsonl(tmp_path / "x.jsonl", [("x " * 500_000, 1), ("y " * 600_000, 2)])
    found, counts = texts(tmp_path / "x.jsonl")
    assert len(found) == 1 and counts.dropped == {"longer than 1,048,576 bytes": 1}
    pa_parquet.write_table(pa.table({"text": ["x" * 2_000_000, "y"]}), tmp_path / "x.parquet")
    found, counts = texts(tmp_path / "x.parquet")
    assert found == ["y"] and counts.dropped == {"longer than 1,048,576 bytes": 1}


def test_integer_lists_and_strings_as_sources(tmp_path):
    pa_parquet.write_table(pa.table({"ids": [[3, 0], [1, 2]]}), tmp_path / "x.parquet")
    (tmp_path / "x.jsonl").write_text('{"ids": [3, 0]}\n{"ids": "1 2"}\n')
    for name in ("x.parquet", "x.jsonl"):
        config = CorpusConfig(data=tmp_path / name, tokens="integers", fixed_length=True, held_out_fraction=0)
        assert load_source(config).train_NT.tolist() == [[3, 0], [1, 2]]


def test_a_column_gives_the_same_source_as_lines(tmp_path):
    (tmp_path / "x.txt").write_text("\n".join(text or "" for text, _ in ROWS))
    plain = load_source(CorpusConfig(data=tmp_path / "x.txt"))
    for path in (
        write_jsonl(tmp_path / "x.jsonl"),
        write_csv(tmp_path / "x.csv"),
        write_parquet(tmp_path / "x.parquet"),
    ):
        table = load_source(CorpusConfig(data=path, column="text"))
        assert table.fingerprint() == plain.fingerprint()
