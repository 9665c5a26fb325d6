"""Facts of a whole text that decide how it can be read, counted by numpy in blocks: some 1 ms per MB."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 1 << 18
"""Size that the caches of a core hold."""
QUOTE, NEWLINE, RETURN = b'"\n\r'
Bytes = NDArray[np.uint8]


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


def scan_text(content: Path | bytes, patterns: Sequence[bytes] = ()) -> TextFacts:
    """Count lines and patterns of one or two bytes, and find quotes and stray returns, in one pass."""
    lines, returns, pairs, last, has_quotes = 0, 0, 0, b"", False
    has_lists = has_escapes = has_points = False
    is_ascii = True
    counts = [0] * len(patterns)
    with _open(content) as stream:
        while block := stream.read(BLOCK_BYTES):
            array = np.frombuffer(block, np.uint8)
            lines += _count(array, b"\n")
            has_quotes = has_quotes or b'"' in block
            if b"\r" in block or last == b"\r":
                returns += block.count(b"\r")
                pairs += block.count(b"\r\n") + (last == b"\r" and block.startswith(b"\n"))
            for number, pattern in enumerate(patterns):
                counts[number] += _count(array, pattern) + (len(pattern) == 2 and last + block[:1] == pattern)
            has_points = has_points or b"." in block
            is_ascii = is_ascii and block.isascii()
            has_lists = has_lists or b"[" in block
            has_escapes = has_escapes or b"\\" in block
            last = block[-1:]
    num_lines = lines + (last not in (b"", b"\n"))
    return TextFacts(
        num_lines, has_quotes, returns != pairs, has_lists, has_escapes, has_points, is_ascii, last, tuple(counts)
    )


def is_fully_quoted(content: Path | bytes, separator: bytes, width: int) -> bool:
    """Whether every line is quoted cells without quotes in them; the cells of all lines are `width` on average.

    Every quote then begins or ends a line, or is next to a separator between two quotes. These are counted; they are
    distinct quotes where no two of them share one. False also for a text whose lines end in other ways than `"`.
    """
    return all(_is_fully_quoted(block, separator[0], width) for block in _iter_line_blocks(content))


def _is_fully_quoted(block: bytes, separator: int, width: int) -> bool:
    array = np.frombuffer(block, np.uint8)
    is_quote = array == QUOTE
    ends = np.flatnonzero(array == NEWLINE)
    starts = np.concatenate(([0], ends[:-1] + 1))
    closing = ends - 1 - (array[ends - 1] == RETURN)
    if not (closing > starts).all() or not is_quote[starts].all() or not is_quote[closing].all():
        return False
    is_border = is_quote[:-2] & (array[1:-1] == separator) & is_quote[2:]  # by the position of its first quote
    shares_quote = (is_border[:-2] & is_border[2:]).any() or is_border[starts].any() or is_border[closing - 2].any()
    num_quotes, num_borders = np.count_nonzero(is_quote), np.count_nonzero(is_border)
    return bool(num_borders == (width - 1) * len(ends) and num_quotes == 2 * width * len(ends) and not shares_quote)


def _iter_line_blocks(content: Path | bytes) -> Iterator[bytes]:
    """Yield the text in blocks of whole lines; the last line gets a newline if it has none."""
    parts: list[bytes] = []
    with _open(content) as stream:
        while block := stream.read(BLOCK_BYTES):
            end = block.rfind(b"\n") + 1
            if end:
                yield b"".join((*parts, block[:end]))
                parts = []
            parts.append(block[end:])
    if remainder := b"".join(parts):
        yield remainder + b"\n"


def _count(array: Bytes, pattern: bytes) -> int:
    if len(pattern) == 1:
        return int(np.count_nonzero(array == pattern[0]))
    first, second = pattern
    return int(np.count_nonzero((array[:-1] == first) & (array[1:] == second)))


def _open(content: Path | bytes) -> io.BufferedIOBase:
    return content.open("rb") if isinstance(content, Path) else io.BytesIO(content)
