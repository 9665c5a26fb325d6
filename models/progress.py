"""Progress of long steps: a bar with an ETA on a terminal, otherwise an occasional plain line."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

LINE_EVERY_S = 15.0


class Progress:
    """Counts steps up to `total`; `note` shows metrics of the step, such as the loss."""

    def __init__(self, title: str, total: int, unit: str, stream: TextIO) -> None:
        self._title, self._total, self._unit, self._stream = title, total, unit, stream
        self._started_at = self._last_line = time.monotonic()
        self._count = 0
        self._note = ""
        self._bar = (
            tqdm(total=total or None, desc=title, unit=unit, file=stream, leave=False) if stream.isatty() else None
        )

    def advance(self, count: int = 1, note: str | None = None) -> None:
        self._count += count
        self._note = self._note if note is None else note
        if self._bar is not None:
            if note is not None:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(count)
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._stream.write(f"{self._title}: {self._format_line()}\n")
            self._stream.flush()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _format_line(self) -> str:
        seconds = time.monotonic() - self._started_at
        rate = self._count / seconds
        total = f"/{self._total}" if self._total else ""
        eta = f", {(self._total - self._count) / rate:.0f} s left" if self._total and rate else ""
        return f"{self._count}{total} {self._unit}, {rate:.1f} {self._unit}/s{eta} {self._note}".rstrip()


@contextmanager
def progress(title: str, total: int, unit: str = "it", stream: TextIO | None = None) -> Iterator[Progress]:
    """Yield a Progress on standard error (standard output is for results); `total` 0 means unknown."""
    reporter = Progress(title, total, unit, sys.stderr if stream is None else stream)
    try:
        yield reporter
    finally:
        reporter.close()


def print_line(line: str) -> None:
    """Print a permanent line to standard error; close any progress bar first."""
    print(line, file=sys.stderr, flush=True)
