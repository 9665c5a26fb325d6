"""A bounded file of poison messages, as JSON lines with reason, source and position.

A line is on disk before its message is acknowledged, so none is lost; a message that is delivered again may have two
lines. The file is replaced when it is full and its predecessor is retained as `NAME.1`, so both together stay within
the limit. Several consumers may share a file: each write holds a lock.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from app.runtime.folders import sync_folder
from app.streaming.messages import MAX_MESSAGE_BYTES, Message
from app.telemetry.consumer_metrics import DEAD_LETTERS_DROPPED

MIN_FILE_BYTES = 1_000_000
"""Smallest limit: several of the largest lines."""
FILE_MODE = 0o600
"""The lines contain ids of users."""
MAX_REASON_CHARACTERS = 500


class DeadLetterFile:
    def __init__(self, path: Path, max_bytes: int) -> None:
        """`max_bytes` bounds the file and its predecessor together, apart from one batch of lines."""
        assert max_bytes >= MIN_FILE_BYTES, max_bytes
        self.path = path
        self.previous_path = path.with_name(f"{path.name}.1")
        self._max_file_bytes = max_bytes // 2

    def write(self, letters: Sequence[tuple[Message, str]]) -> None:
        """Append a line per (message, reason) and sync it to disk; OSError if that fails."""
        lines = b"".join(format_letter(message, reason) for message, reason in letters)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock():
            self._rotate(len(lines))
            is_new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, FILE_MODE)
            with os.fdopen(descriptor, "rb+") as file:
                if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) and file.read(1) != b"\n":
                    file.write(b"\n")  # a line that a crash or a full disk cut off
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                sync_folder(self.path.parent)

    def _rotate(self, new_bytes: int) -> None:
        size = self.path.stat().st_size if self.path.exists() else 0
        if size and size + new_bytes > self._max_file_bytes:
            if self.previous_path.exists():
                DEAD_LETTERS_DROPPED.inc(self.previous_path.stat().st_size)
            self.path.replace(self.previous_path)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        descriptor = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def format_letter(message: Message, reason: str) -> bytes:
    """Format one line; bytes of the value that are not UTF-8 are written as a backslash, x and two digits."""
    value = message.value
    line: dict[str, str | int | None] = {
        "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
        "reason": reason[:MAX_REASON_CHARACTERS],
        "source": message.source,
        "partition": message.partition,
        "offset": message.offset,
        "value": None if value is None else value[:MAX_MESSAGE_BYTES].decode(errors="backslashreplace"),
    }
    if value is not None and len(value) > MAX_MESSAGE_BYTES:
        line["value_bytes"] = len(value)
    return json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
