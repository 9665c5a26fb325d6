"""An archive in a folder: files appear complete and on disk, or not at all."""

import os
import time
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

import polars as pl

from app.archive.files import ArchiveFile, PreparedFile, parse_name
from app.runtime.folders import PRIVATE_FOLDER, open_private, sync_folder

TEMPORARY = ".new-"
MAX_TEMPORARY_AGE_S = 3600.0


class LocalStorage:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def list_files(self) -> list[ArchiveFile]:
        names = (f"{path.parent.name}/{path.name}" for path in self._folder.glob("*/*.parquet"))
        return sorted(file for name in names if (file := parse_name(name)) is not None)

    def read(self, file: ArchiveFile, columns: Collection[str] | None = None) -> pl.DataFrame:
        with (self._folder / file.name).open("rb") as content:
            return pl.read_parquet(content, columns=None if columns is None else list(columns))

    def prepare(self, file: ArchiveFile, rows: pl.DataFrame) -> PreparedFile:
        path = self._folder / file.name
        self._make_folder(path.parent)
        temporary = path.parent / f"{TEMPORARY}{uuid4().hex}"
        try:
            with open(temporary, "xb", opener=open_private) as content:
                rows.write_parquet(content, compression="zstd")
                content.flush()
                os.fsync(content.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

        def publish() -> None:
            temporary.rename(path)
            sync_folder(path.parent)

        return PreparedFile(publish, discard=partial(temporary.unlink, missing_ok=True))

    def remove(self, files: Collection[ArchiveFile]) -> None:
        paths = [self._folder / file.name for file in files]
        for path in paths:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in paths}:
            sync_folder(folder)

    def remove_leftovers(self) -> None:
        """Remove what a process that was killed left unfinished, once no process can still be writing it."""
        for path in self._folder.glob(f"*/{TEMPORARY}*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > MAX_TEMPORARY_AGE_S:
                    path.unlink()

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        sync_folder(self._folder)
        sync_folder(self._folder.parent)
