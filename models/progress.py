"""Progress of long steps: a bar with an ETA on a terminal, otherwise an occasional plain line."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

LINE_EVERY_S = 15.0
REDRAW_EVERY_S = 0.2
"""A bar is drawn by the step that advances it, not by a thread, which would compete with training for a core."""


class Progress:
    """Counts steps up to `total`; `note` shows metrics of the step, such as the loss."""

    def __init__(self, title: str, total: int, unit: str, stream: TextIO) -> None:
        self._title, self._total, self._unit, self._stream = title, total, unit, stream
        self._started_at = self._last_line = time.monotonic()
        self._count = 0
        self._note = ""
        self._bar = _start_bar(title, total, unit, stream) if stream.isatty() else None

    def advance(self, count: int = 1, note: str | None = None) -> None:
        self._count += count
        self._note = self._note if note is None else note
        interval_s = LINE_EVERY_S if self._bar is None else REDRAW_EVERY_S
        if time.monotonic() - self._last_line < interval_s:
            return
        self._last_line = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._count, note=self._note, refresh=True)
        else:
            self._stream.write(f"{self._title}: {self._format_line()}\n")
            self._stream.flush()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _format_line(self) -> str:
        seconds = time.monotonic() - self._started_at
        rate = self._count / seconds
        total = f"/{self._total}" if self._total else ""
        eta = f", {(self._total - self._count) / rate:.0f} s left" if self._total and rate else ""
        return f"{self._count}{total} {self._unit}, {rate:.1f} {self._unit}/s{eta} {self._note}".rstrip()


def _start_bar(title: str, total: int, unit: str, stream: TextIO) -> "RichProgress":
    """Start a bar that disappears when it is stopped; without a total it only moves."""
    from rich.console import Console  # only a terminal needs them
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    bar = RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(file=stream),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task(title, total=total or None, unit=unit, note="")
    bar.start()
    return bar


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
