"""Limit of tracebacks in the log: a model that raises, or a full disk, fails every request alike."""

import logging
import threading
import time
import traceback
from collections.abc import Callable

INTERVAL_S = 60.0
MAX_KINDS = 256
Kind = tuple[str, str, type[BaseException], str, int]
"""Logger, message without its arguments, class of the error, and file and line that raised it."""


class TracebackLimit(logging.Filter):
    """Passes one line with a traceback per kind and minute; the next one says how many were left out.

    Lines without a traceback always pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[Kind, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info or record.exc_info[1] is None:
            return True
        kind = _find_kind(record, record.exc_info[1])
        with self._lock:
            num_skipped = self._count(kind)
        if num_skipped:
            message = f"{record.getMessage()} ({num_skipped:,} more of this kind since the last traceback)"
            record.msg, record.args = message, ()
        return num_skipped is not None

    def _count(self, kind: Kind) -> int | None:
        """Number of lines skipped since the last one of this kind; None if this one is skipped as well."""
        now = self._clock()
        logged_at, num_skipped = self._kinds.pop(kind, (-INTERVAL_S, 0))
        if now - logged_at < INTERVAL_S:
            self._kinds[kind] = (logged_at, num_skipped + 1)
            return None
        if len(self._kinds) >= MAX_KINDS:
            del self._kinds[next(iter(self._kinds))]  # the kind that occurred least recently
        self._kinds[kind] = (now, 0)
        return num_skipped


def _find_kind(record: logging.LogRecord, error: BaseException) -> Kind:
    file, line = "", 0
    for frame, number in traceback.walk_tb(error.__traceback__):
        file, line = frame.f_code.co_filename, number
    return record.name, str(record.msg), type(error), file, line
