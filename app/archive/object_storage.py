"""An archive in an object store, through the cloud support of polars, which reads credentials from the environment.

An object appears complete or not at all. Polars cannot delete objects, so a removed file is an object without rows and
columns, smaller than any other, which a listing omits; its content is gone unless the bucket keeps old versions.
"""

from collections.abc import Collection

import polars as pl

from app.archive.files import ArchiveFile, PreparedFile, parse_name

PATTERN = "*/*.parquet"


class ObjectStorage:
    def __init__(self, url: str) -> None:
        self._url = url

    def __str__(self) -> str:
        return self._url

    def list_files(self) -> list[ArchiveFile]:
        rows = pl.scan_parquet(
            f"{self._url}/{PATTERN}", include_file_paths="path", missing_columns="insert", extra_columns="ignore"
        )
        try:
            paths = rows.select(pl.col("path").unique()).collect()["path"]
        except pl.exceptions.ComputeError as error:
            if "empty" not in str(error):
                raise OSError(f"{self._url} cannot be listed: {error}") from error
            return []
        names = ("/".join(path.rsplit("/", 2)[1:]) for path in paths)
        return sorted(file for name in names if (file := parse_name(name)) is not None)

    def read(self, file: ArchiveFile, columns: Collection[str] | None = None) -> pl.DataFrame:
        scan = pl.scan_parquet(f"{self._url}/{file.name}", hive_partitioning=False)
        return (scan if columns is None else scan.select(*columns)).collect()

    def prepare(self, file: ArchiveFile, rows: pl.DataFrame) -> PreparedFile:
        return PreparedFile(publish=lambda: self._write(file, rows), discard=lambda: None)

    def remove(self, files: Collection[ArchiveFile]) -> None:
        for file in files:
            self._write(file, pl.DataFrame())

    def remove_leftovers(self) -> None:
        """An object store shows no unfinished objects."""

    def _write(self, file: ArchiveFile, rows: pl.DataFrame) -> None:
        rows.write_parquet(f"{self._url}/{file.name}", compression="zstd")
