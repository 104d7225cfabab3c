"""The lines of a text file of any size, as bytes with their places, and their decoding from UTF-8.

Rules: a line ends at LF, CR LF or CR and nowhere else, so U+2028, form feeds and NUL bytes are part of a line. NUL and
other control characters are kept. A leading byte-order mark is removed. A line of more than `MAX_LINE_BYTES` is
dropped, counted and never held in memory. A file that is UTF-16 or UTF-32, that begins like a compressed or binary
file, or whose first 64 KiB are 30% or more NUL bytes is refused.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from rlgan.data.config import OnBadBytes
from rlgan.errors import DataError

MAX_LINE_BYTES = 2**20
_CHUNK_BYTES = 2**18
_SNIFF_BYTES = 2**16
_MAX_NUL_FRACTION = 0.3
_BOM = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_FORMATS = {
    b"\x1f\x8b": "a gzip file; gunzip it",
    b"PK\x03\x04": "a zip file; unzip it",
    b"\xfd7zXZ\x00": "an xz file; unxz it",
    b"\x28\xb5\x2f\xfd": "a zstd file; unzstd it",
    b"BZh": "a bzip2 file; bunzip2 it",
    b"PAR1": "a parquet file; name it .parquet and give --column",
    b"\x89PNG": "a PNG image",
    b"%PDF-": "a PDF; convert it to text",
}


@dataclass
class ReadCounts:
    """What became of the lines (or table rows) of a file while it was read.

    Example:
        `ReadCounts(read=5, dropped=Counter(blank=1))`: four lines were handed on.

    Attributes:
        read: lines or rows in the file.
        dropped: how many were not handed on, by reason.
        replaced: lines handed on in which U+FFFD stands for bad bytes.
    """

    read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    replaced: int = 0

    def summary(self) -> str:
        """The counts as a phrase for a message, such as `5 read, 1 blank`."""
        return ", ".join([f"{self.read} read", *(f"{number} {why}" for why, number in self.dropped.items())])


def iter_lines(path: Path, counts: ReadCounts) -> Iterator[tuple[int, int, bytes]]:
    """The lines of a file, in bounded memory.

    Args:
        path: the file.
        counts: every line is counted as read, and an over-long one as dropped.

    Yields:
        (number from 1, offset in the file of its first byte, the bytes without the line end).

    Raises:
        DataError: if the file cannot be read or is not UTF-8 text.
    """
    try:
        with path.open("rb") as file:
            first = file.read(_SNIFF_BYTES)
            _refuse_other_formats(path, first)
            start = len(_BOM) if first.startswith(_BOM) else 0
            yield from _split(chain([first[start:]], iter(lambda: file.read(_CHUNK_BYTES), b"")), start, counts)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Give a readable file.") from error


def decode_utf8(data: bytes, where: str, offset: int, policy: OnBadBytes, counts: ReadCounts) -> str | None:
    """A line or table cell as text.

    Args:
        data: its bytes.
        where: file and line, for the message.
        offset: of its first byte in the file, or -1 if unknown.
        policy: what to do when it is not UTF-8.
        counts: a skipped or replaced line is counted here.

    Returns:
        The text, or None if it is to be skipped.

    Raises:
        DataError: if it is not UTF-8 and the policy is "error".
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if policy == "skip":
            counts.dropped["not UTF-8"] += 1
            return None
        if policy == "replace":
            counts.replaced += 1
            return data.decode(errors="replace")
        in_file = f" (byte {offset + error.start} of the file)" if offset >= 0 else ""
        raise DataError(
            f"{where}, byte {error.start} from 0{in_file}: 0x{data[error.start]:02x} is not "
            f"UTF-8 ({error.reason}). Convert the file (iconv -f ... -t UTF-8) or set --on-bad-bytes skip (or replace)."
        ) from error


def _split(chunks: Iterator[bytes], offset: int, counts: ReadCounts) -> Iterator[tuple[int, int, bytes]]:
    """Cut chunks into lines; bytes.splitlines, unlike str.splitlines, cuts at LF, CR LF and CR only."""
    pending, overlong = b"", False
    for chunk in chain(chunks, [b""]):
        pieces = (pending + chunk).splitlines(keepends=True)
        # the last piece may go on in the next chunk, even after CR, which may be half of CR LF; b"" means the end
        pending = pieces.pop() if chunk and pieces and not pieces[-1].endswith(b"\n") else b""
        if not chunk and overlong and not pieces:
            pieces = [b""]
        for piece in pieces:
            counts.read += 1
            line = piece.rstrip(b"\r\n")
            if overlong or len(line) > MAX_LINE_BYTES:
                counts.dropped[f"longer than {MAX_LINE_BYTES:,} bytes"] += 1
                overlong = False
            else:
                yield counts.read, offset, line
            offset += len(piece)
        pending_line = pending.rstrip(b"\r")
        if len(pending_line) > MAX_LINE_BYTES:
            overlong, pending, offset = True, pending[len(pending_line) :], offset + len(pending_line)


def _refuse_other_formats(path: Path, first: bytes) -> None:
    """Raise DataError if the first bytes are not those of a UTF-8 text."""
    if first.startswith(_UTF16_MARKS):
        raise DataError(f"{path} is UTF-16 or UTF-32, not UTF-8. Convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW.")
    for magic, kind in _FORMATS.items():
        if first.startswith(magic):
            raise DataError(f"{path} is {kind}; expected UTF-8 text, one sequence a line.")
    if first and first.count(0) >= _MAX_NUL_FRACTION * len(first):
        raise DataError(
            f"{path}: {first.count(0)} of the first {len(first)} bytes are NUL: binary, or UTF-16 without a mark; "
            "expected UTF-8 text. Convert it: iconv -f UTF-16LE -t UTF-8 FILE > NEW."
        )
