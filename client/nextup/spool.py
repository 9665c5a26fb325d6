"""The file of an event buffer: events are appended, and so are the keys of those that are settled.

A record is one line: CRC-32 in hexadecimal digits, `+` and an event or `-` and a list of keys, both as JSON. A line
whose checksum is wrong, such as the last one before a crash, is skipped and counted.
"""

import os
import stat
import sys
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from nextup.errors import SpoolUnusable

if sys.platform != "win32":
    import fcntl

EventKey = tuple[str, str]
"""User and id of an event: an id identifies an event of one user."""
COMPACTION_BYTES = 2**20
"""Smallest file that is rewritten because most of it is settled."""


class Spool:
    """An open file, which one process may have; `damaged` counts the lines that could not be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = 0
        self._needs_rewrite = False
        try:
            self._lock_descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._lock()
                pending = self._read()
                self._descriptor = self._rewrite(pending) if self._needs_rewrite else self._open()
            except BaseException:
                os.close(self._lock_descriptor)
                raise
        except BlockingIOError as error:
            raise SpoolUnusable(f"{path} is in use by another buffer; give each process a file") from error
        except OSError as error:
            reason = error.strerror or error
            raise SpoolUnusable(f"{path} cannot be used as a spool file: {reason}; check its folder") from error
        self.pending = pending
        """Events that were appended and not settled, in order, when the file was opened."""

    def _lock(self) -> None:
        if sys.platform != "win32":
            fcntl.flock(self._lock_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _read(self) -> dict[EventKey, bytes]:
        pending: dict[EventKey, bytes] = {}
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return pending
        with file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError("it is no regular file")
            for line in file:
                try:
                    kind, payload = _parse_record(line)
                    if kind == b"+":
                        pending[make_key(msgspec.json.decode(payload))] = payload
                    else:
                        for key in msgspec.json.decode(payload, type=list[EventKey]):
                            pending.pop(key, None)
                        self._needs_rewrite = True
                except (ValueError, TypeError, KeyError):
                    self.damaged += 1
                    self._needs_rewrite = True
        return pending

    def _open(self) -> int:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._bytes = os.fstat(descriptor).st_size
        return descriptor

    def _rewrite(self, pending: Mapping[EventKey, bytes]) -> int:
        """Replace the file by one with only these events, and return its descriptor."""
        copy = Path(f"{self._path}.new")
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            for payload in pending.values():
                _write_all(descriptor, _format_record(b"+", payload))
            os.fsync(descriptor)
            copy.replace(self._path)
        except BaseException:
            os.close(descriptor)
            raise
        self._bytes = os.fstat(descriptor).st_size
        return descriptor

    def append(self, payload: bytes) -> None:
        """Append an event; OSError if the disk does not take it, and the file is as before."""
        self._append(_format_record(b"+", payload))

    def settle(self, keys: Iterable[EventKey], pending: Mapping[EventKey, bytes]) -> None:
        """Append the keys of events that need not be sent again; `pending` are the events that remain."""
        if not pending:
            os.ftruncate(self._descriptor, 0)
            self._bytes = 0
            return
        self._append(_format_record(b"-", msgspec.json.encode(list(keys))))
        if self._bytes > COMPACTION_BYTES and self._bytes > 2 * sum(map(len, pending.values())):
            descriptor = self._rewrite(pending)
            os.close(self._descriptor)
            self._descriptor = descriptor

    def _append(self, record: bytes) -> None:
        try:
            _write_all(self._descriptor, record)
        except OSError:
            os.ftruncate(self._descriptor, self._bytes)
            raise
        self._bytes += len(record)

    def close(self) -> None:
        os.close(self._descriptor)
        os.close(self._lock_descriptor)


def make_key(event: Mapping[str, Any]) -> EventKey:
    return str(event["user_id"]), str(event["event_id"])


def _format_record(kind: bytes, payload: bytes) -> bytes:
    content = kind + payload
    return b"%08x%s\n" % (zlib.crc32(content), content)


def _parse_record(line: bytes) -> tuple[bytes, Any]:
    """Return kind and JSON of a line; ValueError if it is damaged."""
    content = line[8:-1]
    if not line.endswith(b"\n") or int(line[:8], 16) != zlib.crc32(content) or content[:1] not in (b"+", b"-"):
        raise ValueError("damaged record")
    return content[:1], content[1:]


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
