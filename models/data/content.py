"""Open the uncompressed content of data files, as UTF-8 where it is text."""

import codecs
import glob
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import polars as pl

from models.data.bad_rows import BadInput
from models.data.encodings import SAMPLE_BYTES, UTF_8, decode_to_utf_8, detect_encoding
from models.data.formats import Compression, DataFile

Content = Path | bytes

MAGIC: dict[Compression, bytes] = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd", ".zip": b"PK\x03\x04"}
BYTE_ORDER_MARK = "\ufeff"
BLOCK_BYTES = 1 << 20
ZST_ENCODINGS = (UTF_8, "utf-8-sig", "ascii")
"""Encodings of `.zst` files: other bytes are lost where they are decompressed (`_decompress_zst`)."""
START_BYTES = 1 << 18
"""Size of the beginning of a file, which has its header."""
EMPTY = "the file is empty; remove it, or export it again"
READ_ERRORS = (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile, pl.exceptions.PolarsError)
_SEPARATOR_LINE = re.compile(rb"(?:\xef\xbb\xbf)?\"?sep=.\"?\r?\n")
"""First line by which spreadsheets state the separator; the separator is found without it."""


def open_content(file: DataFile, encoding: str | None = None) -> Content:
    """Return the decompressed bytes in UTF-8, or the path of an uncompressed UTF-8 file, which polars memory-maps.

    BadInput for an empty or corrupt file, or one that is not text. Without `encoding` the file is UTF-8, or UTF-16 with
    a byte order mark; `.zst` files are UTF-8.
    """
    if file.compression == ".zst" and encoding not in (None, *ZST_ENCODINGS):
        raise BadInput(
            f"{file}: the text of a .zst file must be UTF-8 (got {encoding}, from --encoding or --format); "
            "decompress it first, with zstd -d"
        )
    content = _decompress(file)
    start = _read_start(content)
    actual = encoding or detect_encoding(str(file), start)
    if actual != UTF_8:
        content = content.read_bytes() if isinstance(content, Path) else content
        content = decode_to_utf_8(str(file), content, actual)
        start = content[:SAMPLE_BYTES]
    if _is_regular(start):
        return content
    return _regularize(content.read_bytes() if isinstance(content, Path) else content)


def read_start(file: DataFile, encoding: str | None = None) -> bytes | None:
    """Return the first lines in UTF-8 without reading the whole file; None where only the whole file can be read."""
    if file.content is not None or file.compression == ".zst":
        return None
    try:
        with _open_stream(file) as stream:
            start = stream.read(START_BYTES)
    except READ_ERRORS:
        open_content(file, encoding)  # describes the error
        return None
    if not start:
        raise BadInput(f"{file}: {EMPTY}")
    is_whole = len(start) < START_BYTES
    actual = encoding or detect_encoding(str(file), start[:SAMPLE_BYTES])
    if actual != UTF_8:
        text = codecs.getincrementaldecoder(actual)("replace").decode(start)
        start = text.removeprefix(BYTE_ORDER_MARK).encode("utf-8", "replace")
    start = start if _is_regular(start) else _regularize(start)
    return start if is_whole else start[: start.rfind(b"\n") + 1] or None


def _is_regular(start: bytes) -> bool:
    return not (b"\r" in start and b"\n" not in start) and not _SEPARATOR_LINE.match(start)


def _regularize(content: bytes) -> bytes:
    """Replace line ends of old Macs, and a line that states the separator by a blank one: line numbers stay."""
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    if (separator_line := _SEPARATOR_LINE.match(content)) is not None:
        content = b"\n" + content[separator_line.end() :]
    return content


def _decompress(file: DataFile) -> Content:
    if file.content is not None:
        if not file.content:
            raise BadInput(f"{file}: the input is empty")
        return file.content
    try:
        with file.path.open("rb") as stream:
            start = stream.read(4)
        _check_compression(file, start)
        content: Content = file.path
        if file.compression == ".zst":
            content = _decompress_zst(file)
        elif file.compression or glob.has_magic(str(file)):  # polars would expand the name as a glob
            with _open_stream(file) as stream:
                content = stream.read()
    except READ_ERRORS as error:
        raise describe_unreadable(file, error) from error
    if not content:
        raise BadInput(f"{file}: {EMPTY}")
    return content


def describe_unreadable(file: DataFile, error: Exception) -> BadInput:
    """Describe an error of reading a file in one line with what to do about it."""
    if isinstance(error, OSError) and error.errno is not None:
        return BadInput(f"{file}: cannot be read: {error.strerror}; check the path and its permissions")
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return BadInput(f"{file}: cannot be read: {reason}; the file is cut or damaged, so copy it again")


def _check_compression(file: DataFile, start: bytes) -> None:
    """BadInput if the content, by its first bytes, is compressed in another way than the name says."""
    if not start:
        raise BadInput(f"{file}: {EMPTY}")
    actual = next((ending for ending, magic in MAGIC.items() if start.startswith(magic)), "")
    if actual != file.compression:
        compression = f"{actual} data" if actual else f"not {file.compression} data"
        raise BadInput(f"{file}: the content is {compression}, unlike its name; rename the file")


def _open_stream(file: DataFile) -> IO[bytes]:
    """Open the decompressed bytes of a file that is not `.zst`."""
    if file.compression == ".gz":
        return cast("IO[bytes]", gzip.open(file.path))
    if file.compression == ".zip":
        return zipfile.ZipFile(file.path).open(file.member)  # closing the member closes the archive
    return file.path.open("rb")


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


def contains_bytes(content: Content, searched: bytes) -> bool:
    overlap = len(searched) - 1
    tail = b""
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
        while block := stream.read(BLOCK_BYTES):
            if searched in block or searched in tail + block[:overlap]:
                return True
            tail = block[-overlap:]
    return False
