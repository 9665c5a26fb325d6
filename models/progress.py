"""How a long step shows itself: a bar with an ETA on a terminal, a plain line now and then otherwise.

It knows nothing about what is counted.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

LINE_EVERY_S = 15.0


class Progress:
    """Counts up to `total`; `note` carries the figures that belong to the step (loss, metric)."""

    def __init__(self, title: str, total: int, unit: str, stream: TextIO) -> None:
        self._title, self._total, self._unit, self._stream = title, total, unit, stream
        self._began = self._last_line = time.monotonic()
        self._done = 0
        self._note = ""
        self._bar = (
            tqdm(total=total or None, desc=title, unit=unit, file=stream, leave=False) if stream.isatty() else None
        )

    def advance(self, count: int = 1, note: str | None = None) -> None:
        self._done += count
        self._note = self._note if note is None else note
        if self._bar is not None:
            if note is not None:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._stream.write(f"{self._title}: {self._line()}\n")
            self._stream.flush()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _line(self) -> str:
        seconds = time.monotonic() - self._began
        speed = self._done / seconds
        of_all = f"/{self._total}" if self._total else ""
        left = f", {(self._total - self._done) / speed:.0f} s left" if self._total and speed else ""
        return f"{self._done}{of_all} {self._unit}, {speed:.1f} {self._unit}/s{left} {self._note}".rstrip()


@contextmanager
def progress(title: str, total: int, unit: str = "it", stream: TextIO | None = None) -> Iterator[Progress]:
    """A Progress on standard error (standard output belongs to results); `total` 0 = nobody knows."""
    shown = Progress(title, total, unit, sys.stderr if stream is None else stream)
    try:
        yield shown
    finally:
        shown.close()


def print_line(line: str) -> None:
    """A line that stays, on standard error; a bar must be closed before."""
    print(line, file=sys.stderr, flush=True)
