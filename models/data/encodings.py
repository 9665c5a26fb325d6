"""Text encodings: UTF-8, UTF-16 with a byte order mark, and others on request; a clear refusal of anything else."""

import codecs

from models.data.bad_rows import BadInput

UTF_8 = "utf-8"
SAMPLE_BYTES = 4096
_MARKS = {codecs.BOM_UTF8: UTF_8, codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def check_encoding(name: str) -> str:
    """Return Python's name of a text encoding; BadInput if it is not known."""
    try:
        codec = codecs.lookup(name)
        "a".encode(codec.name)
    except (LookupError, TypeError, ValueError) as error:
        raise BadInput(f"--encoding {name!r} is unknown; use a name such as latin-1, cp1252 or utf-16") from error
    return codec.name


def detect_encoding(file: str, start: bytes) -> str:
    """Return the encoding of a file that begins with these bytes; BadInput if it is not text that can be read."""
    if start.startswith(_UTF_32):
        raise BadInput(f"{file}: the text is UTF-32; convert it with: iconv -f UTF-32 -t UTF-8")
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    if b"\0" not in start:
        return UTF_8
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if max(even, odd) > len(start) // 5 and min(even, odd) == 0:
        name = "utf-16-le" if odd else "utf-16-be"
        raise BadInput(f"{file}: the text looks like UTF-16 without a byte order mark; pass --encoding {name}")
    raise BadInput(f"{file}: the file is not text (it has zero bytes); export it as CSV, JSON lines or Parquet")


def decode_to_utf_8(file: str, content: bytes, encoding: str) -> bytes:
    """Convert to UTF-8 without a byte order mark; BadInput where a byte is not in the encoding."""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{file}: byte {error.start:,} is not valid {encoding}; choose another encoding with --encoding"
        ) from error
    return text.removeprefix("\ufeff").encode("utf-8", "replace")
