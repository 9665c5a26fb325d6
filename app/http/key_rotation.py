"""NEXTUP_API_KEYS_FILE is read again when it changes: keys are added and revoked without a restart."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.api_keys import ApiKeys
from app.api_keys_file import read_key_entries
from app.runtime.periodic import run_periodically
from app.settings import Settings
from app.telemetry.key_metrics import API_KEYS_REJECTED

log = logging.getLogger("nextup")

POLL_S = 1.0

FileState = tuple[int, int, int]
"""Inode, size and time of the last change."""


def load_keys(settings: Settings) -> ApiKeys:
    """Load the keys of the settings and of their file; ValueError if the file is wrong."""
    path = settings.api_keys_file
    entries = "" if path is None else read_key_entries(path)
    return ApiKeys(f"{settings.api_keys.get_secret_value()},{entries}", rate=settings.rate_limit)


@asynccontextmanager
async def follow_key_file(settings: Settings, keys: ApiKeys | None) -> AsyncIterator[None]:
    """Replace `keys` while the block runs, whenever their file has changed."""
    if keys is None or settings.api_keys_file is None:
        yield
        return
    async with ApiKeyFile(settings.api_keys_file, keys, settings.api_keys.get_secret_value()).run():
        yield


class ApiKeyFile:
    """Watches a file of keys, and replaces the file's part of `keys` when it has changed.

    A file that is wrong is reported once, and the keys from before stay: a file that is being written must not lock out
    callers.
    """

    def __init__(self, path: Path, keys: ApiKeys, other_entries: str) -> None:
        self._path = path
        self._keys = keys
        self._other_entries = other_entries
        self._state = self._find_state()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Look for changes every POLL_S while the block runs."""
        async with run_periodically(self.poll, every_s=POLL_S, name="reading the API keys again"):
            yield

    async def poll(self) -> None:
        """Read the file again if it has changed."""
        state = await asyncio.to_thread(self._find_state)
        if state == self._state:
            return
        self._state = state
        try:
            entries = await asyncio.to_thread(read_key_entries, self._path)
            self._keys.replace(f"{self._other_entries},{entries}")
        except ValueError as error:
            API_KEYS_REJECTED.set(1)
            log.error("the API keys stay as they are: NEXTUP_API_KEYS_FILE %s", error)
            return
        API_KEYS_REJECTED.set(0)
        log.warning("the API keys were read again: %d keys are valid", len(self._keys))

    def _find_state(self) -> FileState | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns
