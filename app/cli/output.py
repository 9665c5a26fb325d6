"""Where the lines of a command go: its result to standard output, notes and progress to standard error."""

import io
import json
import re
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO

ALWAYS_PRINTED = re.compile(r"warning:|nextup:|\{|\d{4}-\d\d-\d\d[ T]")
"""Starts of lines that --quiet does not hide: warnings, errors, and log lines, which have levels."""


class LineStream(io.TextIOBase):
    """Base of streams that decide line by line."""

    def __init__(self) -> None:
        super().__init__()
        self._partial_line = ""
        self._lock = threading.RLock()  # a step of progress and a log line may come from different threads

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._partial_line = (self._partial_line + text).split("\n")
            for line in lines:
                self._handle_line(line)
        return len(text)

    def finish(self) -> None:
        """Handle the last line if no newline ends it."""
        if self._partial_line:
            self.write("\n")

    def _handle_line(self, line: str) -> None:
        raise NotImplementedError


class ResultStream(LineStream):
    """Standard output of --json: the last line, if it is a JSON object; all other lines go to `notes`."""

    def __init__(self, result: TextIO, notes: TextIO) -> None:
        super().__init__()
        self._result, self._notes = result, notes
        self._last_line: str | None = None

    def _handle_line(self, line: str) -> None:
        if self._last_line is not None:
            self._notes.write(f"{self._last_line}\n")
        self._last_line = line

    def finish(self) -> None:
        super().finish()
        if self._last_line is not None:
            stream = self._result if _is_json_object(self._last_line) else self._notes
            stream.write(f"{self._last_line}\n")
            self._last_line = None
        self._notes.flush()
        self._result.flush()


class WarningStream(LineStream):
    """Standard error of --quiet: warnings, errors and logs only."""

    def __init__(self, errors: TextIO) -> None:
        super().__init__()
        self._errors = errors

    def _handle_line(self, line: str) -> None:
        if ALWAYS_PRINTED.match(line):
            self._errors.write(f"{line}\n")
            self._errors.flush()


@contextmanager
def redirect_output(*, json_only: bool, quiet: bool) -> Iterator[None]:
    """Direct the output of a command as its options say, until the end of the block."""
    notes = WarningStream(sys.stderr) if quiet else sys.stderr
    output = ResultStream(sys.stdout, notes) if json_only else sys.stdout  # type: ignore[arg-type]  # writes only
    with redirect_stderr(notes), redirect_stdout(output):
        try:
            yield
        finally:
            for stream in (output, notes):
                if isinstance(stream, LineStream):
                    stream.finish()


def is_output_closed() -> bool:
    """Check whether the reader of standard output has ended, as in `nextup plan … | head -1`."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # not a file, in tests
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return bool(poll.poll(0))  # reports errors of the file, whatever events are registered


def _is_json_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
