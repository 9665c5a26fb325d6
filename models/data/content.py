"""Open the uncompressed content of data files, as UTF-8 where it is text."""

import glob
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models.data.bad_rows import BadInput
from models.data.encodings import SAMPLE_BYTES, UTF_8, decode_to_utf_8, detect_encoding
from models.data.formats import Compression, DataFile

Content = Path | bytes

MAGIC: dict[Compression, bytes] = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd", ".zip": b"PK\x03\x04"}
BYTE_ORDER_MARK = "\ufeff"
BLOCK_BYTES = 1 << 20
_SEPARATOR_LINE = re.compile(rb"(?:\xef\xbb\xbf)?\"?sep=.\"?\r?\n")
"""First line by which spreadsheets state the separator; the separator is found without it."""


@dataclass(frozen=True, slots=True)
class TextFacts:
    """Facts of a whole text that decide how it can be read; `counts` are those of the requested patterns."""

    lines: int
    has_quotes: bool
    has_stray_returns: bool
    """Whether a return is not part of a line end."""
    has_lists: bool
    has_escapes: bool
    """Whether there is a backslash."""
    has_points: bool
    is_ascii: bool
    last_byte: bytes
    counts: tuple[int, ...]


def open_content(file: DataFile, encoding: str | None = None) -> Content:
    """Return the decompressed bytes in UTF-8, or the path of an uncompressed UTF-8 file, which polars memory-maps.

    BadInput for an empty or corrupt file, or one that is not text. Without `encoding` the file is UTF-8, or UTF-16 with
    a byte order mark.
    """
    content = _decompress(file)
    start = _read_start(content)
    actual = encoding or detect_encoding(str(file), start)
    if actual != UTF_8:
        content = content.read_bytes() if isinstance(content, Path) else content
        content = decode_to_utf_8(str(file), content, actual)
        start = content[:SAMPLE_BYTES]
    is_old = b"\r" in start and b"\n" not in start  # line ends of old Macs
    separator_line = _SEPARATOR_LINE.match(start)
    if is_old or separator_line:
        content = content.read_bytes() if isinstance(content, Path) else content
        content = content.replace(b"\r", b"\n") if is_old and b"\n" not in content else content
        content = content[separator_line.end() :] if separator_line else content
        content = b"\n" * bool(separator_line) + content  # a blank line, so that line numbers stay
    return content


def _decompress(file: DataFile) -> Content:
    if file.content is not None:
        if not file.content:
            raise BadInput(f"{file}: the input is empty")
        return file.content
    try:
        with file.path.open("rb") as stream:
            start = stream.read(4)
        content: Content = file.path
        if not file.compression and glob.has_magic(str(file)):
            content = file.path.read_bytes()  # polars would expand the name as a glob
        if file.compression == ".gz":
            content = gzip.decompress(file.path.read_bytes())
        elif file.compression == ".zst":
            content = _decompress_zst(file)
        elif file.compression == ".zip":
            with zipfile.ZipFile(file.path) as archive:
                content = archive.read(file.member)
    except (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: cannot be read: {error}") from error
    if not start or not content:
        raise BadInput(f"{file}: the file is empty")
    actual = next((ending for ending, magic in MAGIC.items() if start.startswith(magic)), "")
    if actual != file.compression:
        compression = f"{actual} data" if actual else f"not {file.compression} data"
        raise BadInput(f"{file}: the content is {compression}, unlike its name; rename the file")
    return content


def _decompress_zst(file: DataFile) -> bytes:
    # Python supports zstd from 3.14 on; until then polars decompresses it, as a CSV of one column: the lines.
    # Invalid UTF-8 becomes U+FFFD, as in `read_lines`.
    if not file.path.stat().st_size:
        return b""
    return "\n".join(split_lines(file.path)).encode()


def _read_start(content: Content) -> bytes:
    if isinstance(content, bytes):
        return content[:SAMPLE_BYTES]
    with content.open("rb") as stream:
        return stream.read(SAMPLE_BYTES)


def read_lines(content: Content) -> Iterator[str]:
    """Yield lines with their line ends, without a byte order mark; invalid UTF-8 becomes U+FFFD."""
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
        for number, line in enumerate(stream):
            text = line.decode("utf-8", "replace")
            yield text if number else text.removeprefix(BYTE_ORDER_MARK)


def split_lines(content: Content) -> pl.Series:
    """Split into lines without their line ends, fast; invalid UTF-8 becomes U+FFFD."""
    return (
        pl.read_csv(
            content,
            has_header=False,
            separator="\0",
            quote_char=None,
            encoding="utf8-lossy",
            infer_schema=False,
            glob=False,
        )
        .to_series()
        .fill_null("")
    )


def scan_text(content: Content, patterns: Sequence[bytes] = ()) -> TextFacts:
    """Count lines and patterns, and find quotes and stray returns, in one pass.

    A pattern of two bytes is also found across blocks.
    """
    lines, returns, pairs, last, has_quotes = 0, 0, 0, b"", False
    has_lists = has_escapes = has_points = False
    is_ascii = True
    counts = [0] * len(patterns)
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
        while block := stream.read(BLOCK_BYTES):
            lines += block.count(b"\n")
            has_quotes = has_quotes or b'"' in block
            if b"\r" in block or last == b"\r":
                returns += block.count(b"\r")
                pairs += block.count(b"\r\n") + (last == b"\r" and block.startswith(b"\n"))
            for number, pattern in enumerate(patterns):
                counts[number] += block.count(pattern) + (len(pattern) == 2 and last + block[:1] == pattern)
            has_points = has_points or b"." in block
            is_ascii = is_ascii and block.isascii()
            has_lists = has_lists or b"[" in block
            has_escapes = has_escapes or b"\\" in block
            last = block[-1:]
    num_lines = lines + (last not in (b"", b"\n"))
    return TextFacts(
        num_lines, has_quotes, returns != pairs, has_lists, has_escapes, has_points, is_ascii, last, tuple(counts)
    )


def contains_bytes(content: Content, searched: bytes) -> bool:
    overlap = len(searched) - 1
    tail = b""
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
        while block := stream.read(BLOCK_BYTES):
            if searched in block or searched in tail + block[:overlap]:
                return True
            tail = block[-overlap:]
    return False
