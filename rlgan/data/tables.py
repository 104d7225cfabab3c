"""One column of a .jsonl, .csv, .tsv or .parquet file: a row is a sequence, a line end in a cell is white space."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pa_parquet

from rlgan.data.config import OnBadBytes
from rlgan.data.lines import MAX_LINE_BYTES, ReadCounts, decode_utf8, iter_lines
from rlgan.errors import DataError

_BLOCK_BYTES = 16 * MAX_LINE_BYTES
_BATCH_ROWS = 4096
_NULL = "null"


def iter_cells(
    path: Path, column: str | None, on_bad_bytes: OnBadBytes, counts: ReadCounts
) -> Iterator[tuple[int, int, bytes]]:
    """The cells of one column, in bounded memory.

    Args:
        path: the file; its suffix says what it is.
        column: name of the column; None where there is only one.
        on_bad_bytes: what to do with a line of JSON that is not UTF-8.
        counts: every row is counted as read; a null or over-long cell as dropped.

    Yields:
        (row number from 1, -1, the bytes of the cell). A list of integers becomes its ids with spaces between.

    Raises:
        DataError: if the file cannot be read, has no such column, or a cell is neither text nor a list of integers.
    """
    suffix = path.suffix.lower()
    if suffix in {".jsonl", ".ndjson"}:
        yield from _json_cells(path, column, on_bad_bytes, counts)
        return
    try:
        batches = _parquet_batches(path, column) if suffix == ".parquet" else _csv_batches(path, column)
        for array in batches:
            for value in array.to_pylist():
                counts.read += 1
                cell = _cell_bytes(value, f"{path}: row {counts.read}", counts)
                if cell is not None:
                    yield counts.read, -1, cell
    except (OSError, pa.ArrowException) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as {suffix[1:]}: {first_line}. Is the suffix right?") from error


def _csv_batches(path: Path, column: str | None) -> Iterator[Any]:
    """The column in batches; text stays bytes, so that our own rule for bad bytes holds."""
    parse = pa_csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",", newlines_in_values=True)
    read = pa_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False)
    with pa_csv.open_csv(path, read, parse, pa_csv.ConvertOptions(check_utf8=False)) as probe:
        name = _choose_column(path, column, probe.schema.names)
    convert = pa_csv.ConvertOptions(check_utf8=False, include_columns=[name], column_types={name: pa.binary()})
    with pa_csv.open_csv(path, read, parse, convert) as reader:
        for batch in reader:
            yield batch.column(0)


def _parquet_batches(path: Path, column: str | None) -> Iterator[Any]:
    """The column in batches; text becomes bytes, so that our own rule for bad bytes holds."""
    with pa_parquet.ParquetFile(path) as file:
        name = _choose_column(path, column, file.schema_arrow.names)
        kind = file.schema_arrow.field(name).type
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=[name], use_threads=False):
            array = batch.column(0)
            if pa.types.is_dictionary(kind):
                array = array.dictionary_decode()
            is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
            yield array.cast(pa.large_binary()) if is_text else array


def _json_cells(
    path: Path, column: str | None, on_bad_bytes: OnBadBytes, counts: ReadCounts
) -> Iterator[tuple[int, int, bytes]]:
    """The column of a file that has one JSON object a line."""
    for number, offset, line in iter_lines(path, counts):
        if not line.strip():
            counts.dropped["blank"] += 1
            continue
        where = f"{path}: line {number}"
        text = decode_utf8(line, f"{path}: line {number}", offset, on_bad_bytes, counts)
        if text is None:
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} is not JSON ({error}). A .jsonl file has one object a line.") from error
        if not isinstance(row, dict):
            raise DataError(f'{where}: expected a JSON object such as {{"text": ...}}; got {type(row).__name__}.')
        name = _choose_column(path, column, list(row), where)
        cell = _cell_bytes(row[name], where, counts)
        if cell is not None:
            yield number, -1, cell


def _choose_column(path: Path, column: str | None, names: list[str], where: str | None = None) -> str:
    """The column asked for, or the only one."""
    if column is None and len(names) == 1:
        return names[0]
    if column is None or column not in names:
        asked = "give --column" if column is None else f"there is no column {column!r}"
        listed = ", ".join(map(repr, names[:50])) or "none"
        raise DataError(f"{where or path}: {asked}; the columns are {listed}.")
    return column


def _cell_bytes(value: object, where: str, counts: ReadCounts) -> bytes | None:
    """A cell as bytes, or None (counted) where it is null or over-long."""
    if value is None:
        counts.dropped[_NULL] += 1
        return None
    if isinstance(value, bytes):
        cell = value
    elif isinstance(value, str):
        cell = value.encode(errors="surrogatepass")
    elif isinstance(value, list) and all(type(item) is int for item in value):
        cell = " ".join(map(str, value)).encode()
    else:
        raise DataError(f"{where}: expected text or a list of integers; got {type(value).__name__}.")
    if len(cell) > MAX_LINE_BYTES:
        counts.dropped[f"longer than {MAX_LINE_BYTES:,} bytes"] += 1
        return None
    return cell
