"""The release that last wrote the embedded server's data, and the choice of a server that can read it.

Redis before 7.0 ignores the append-only files of later versions and starts with an empty store; later versions end at
files that they cannot read. So the release that last wrote is recorded in the folder, and read from the files where
there is no record.
"""

import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from app.errors import StoreUnavailable
from app.stores.redis.servers import Release, ServerName, ServerProgram

RECORD_FILE = "server.json"
AOF_FOLDER = "appendonlydir"
"""Append-only files since Redis 7.0: a manifest, a base and increments."""
OLD_AOF_FILE = "appendonly.aof"
"""The single append-only file before Redis 7.0; later versions move it into AOF_FOLDER."""
MANIFEST_FILE = f"{OLD_AOF_FILE}.manifest"

_HEADER_BYTES = 256
_WRITER = re.compile(rb"(redis|valkey)-ver[\x01-\x3f](\d+)\.(\d+)\.(\d+)")
_BASE_FILE = re.compile(r"^file (\S+) .*type b", re.MULTILINE)
OLDEST = Release("redis", (6, 0, 0))
"""For files without a version in them, which every later server reads."""
OLDEST_WITH_FOLDER = Release("redis", (7, 0, 0))


def choose_server(folder: Path, servers: Sequence[ServerProgram]) -> ServerProgram:
    """Choose the first server that can read the data in `folder`; StoreUnavailable if none can."""
    writers = find_writers(folder)
    for server in servers:
        if all(server.release.can_read(writer) for writer in writers):
            return server
    writer = next(writer for writer in writers if not servers[0].release.can_read(writer))
    raise StoreUnavailable(
        f"the data in {folder} was last written by {writer}, which cannot be read by "
        f"{' or '.join(map(str, servers))}; install {writer.name.capitalize()} "
        f"{'.'.join(map(str, writer.version[:2]))} or later, or set NEXTUP_DATA_DIR to another folder "
        "(the data is unchanged)"
    )


def find_writers(folder: Path) -> list[Release]:
    """Find the releases whose data a server in `folder` must read; none for an empty folder."""
    recorded = _read_record(folder)
    return [release for release in (recorded, _infer_writer(folder)) if release is not None]


def record_writer(folder: Path, release: Release) -> None:
    """Record the release that writes from now on; nothing is written if the record says so already."""
    if _read_record(folder) == release:
        return
    temporary = folder / f"{RECORD_FILE}.new"
    with temporary.open("w") as file:
        json.dump({"server": release.name, "version": ".".join(map(str, release.version))}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / RECORD_FILE)


def _read_record(folder: Path) -> Release | None:
    try:
        record = json.loads((folder / RECORD_FILE).read_text())
        major, minor, patch = map(int, record["version"].split("."))
        name: ServerName = {"redis": "redis", "valkey": "valkey"}[record["server"]]  # type: ignore[assignment]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreUnavailable(
            f"{folder / RECORD_FILE} is damaged; remove it, and the server is inferred from the data"
        ) from error
    return Release(name, (major, minor, patch))


def _infer_writer(folder: Path) -> Release | None:
    """Infer the release from the files; StoreUnavailable if there are two sets of data."""
    manifest, old_file = folder / AOF_FOLDER / MANIFEST_FILE, folder / OLD_AOF_FILE
    if not manifest.exists():
        return (_read_writer(old_file) or OLDEST) if old_file.exists() else None
    match = _BASE_FILE.search(manifest.read_text())
    base = match[1] if match is not None else ""
    is_moving = base == OLD_AOF_FILE  # interrupted after the manifest; a server completes the move
    if old_file.exists() and not is_moving:
        raise StoreUnavailable(
            f"{folder} has two sets of data, of which a server would read only one: {OLD_AOF_FILE} (changed "
            f"{_format_time(old_file)}) and {AOF_FOLDER} (changed {_format_time(manifest.parent)}); an older server "
            "has ignored the newer files; move the set that you do not need out of the folder"
        )
    return _read_writer(manifest.parent / base) or OLDEST_WITH_FOLDER


def _read_writer(path: Path) -> Release | None:
    """Read the release from the head of a snapshot or of a file that begins with one."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
    except (FileNotFoundError, IsADirectoryError):
        return None
    if (match := _WRITER.search(head)) is None:
        return None
    name: ServerName = "redis" if match[1] == b"redis" else "valkey"
    return Release(name, (int(match[2]), int(match[3]), int(match[4])))


def _format_time(path: Path) -> str:
    latest = max((file.stat().st_mtime for file in path.glob("*")), default=path.stat().st_mtime)
    return datetime.fromtimestamp(latest, UTC).strftime("%Y-%m-%d %H:%M UTC")
