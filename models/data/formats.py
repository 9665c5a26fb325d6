"""Find data files, detect their format and open their uncompressed content.

File names determine the format: `.csv`, `.tsv`/`.tab`, `.jsonl`/`.ndjson`/`.json` and `.parquet`/`.pq`; text formats
also with a `.gz` or `.zst` suffix.
"""

import glob
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from models.data.bad_rows import BadInput

Format = Literal["csv", "tsv", "json", "parquet"]
Compression = Literal["", ".gz", ".zst"]
Content = Path | bytes

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSIONS: tuple[Compression, ...] = (".gz", ".zst")
MAGIC: dict[Compression, bytes] = {".gz": b"\x1f\x8b", ".zst": b"\x28\xb5\x2f\xfd"}
BYTE_ORDER_MARK = "\ufeff"
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file with the format and compression that its name implies."""

    path: Path
    format: Format
    compression: Compression

    def __str__(self) -> str:
        return str(self.path)


def parse_file_name(path: Path) -> DataFile:
    """Derive format and compression from the name; BadInput if the format is not supported."""
    name = path.name.lower()
    compression: Compression = next((ending for ending in COMPRESSIONS if name.endswith(ending)), "")
    suffix = Path(name.removesuffix(compression)).suffix
    if suffix not in SUFFIXES:
        suffixes = ", ".join(SUFFIXES)
        raise BadInput(f"{path}: unknown file format; use {suffixes}, text formats also with .gz or .zst")
    if SUFFIXES[suffix] == "parquet" and compression:
        raise BadInput(f"{path}: Parquet is compressed internally; unpack it or write it without {compression}")
    return DataFile(path, SUFFIXES[suffix], compression)


def find_files(sources: Sequence[Path | str]) -> list[DataFile]:
    """List the data files of all sources, in order and without duplicates.

    A folder means its visible files of supported formats, without subfolders; a glob means its matches (`**` includes
    subfolders). Both are in alphabetical order.
    """
    files: dict[Path, DataFile] = {}
    for source in sources:
        for file in _expand(Path(source)):
            files.setdefault(file.path.resolve(), file)
    return list(files.values())


def _expand(source: Path) -> list[DataFile]:
    if source.is_dir():
        return _list_folder(source)
    if source.exists():
        return [parse_file_name(source)]
    if glob.has_magic(str(source)):
        return _match_glob(source)
    raise BadInput(f"{source}: no such file or folder")


def _list_folder(folder: Path) -> list[DataFile]:
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    files = [parse_file_name(path) for path in paths if _is_supported(path)]
    if not files:
        raise BadInput(f"{folder}: no file of a supported format in this folder ({', '.join(SUFFIXES)})")
    return files


def _match_glob(pattern: Path) -> list[DataFile]:
    # Path.glob does not support absolute patterns.
    paths = [Path(name) for name in glob.glob(str(pattern), recursive=True)]  # noqa: PTH207
    files = [parse_file_name(path) for path in sorted(paths) if path.is_file()]
    if not files:
        raise BadInput(f"{pattern}: no file matches")
    return files


def _is_supported(path: Path) -> bool:
    try:
        parse_file_name(path)
    except BadInput:
        return False
    return True


def open_content(file: DataFile) -> Content:
    """Return the decompressed bytes, or the path of an uncompressed file, which polars memory-maps.

    BadInput for an empty or corrupt file.
    """
    try:
        with file.path.open("rb") as stream:
            start = stream.read(4)
        content: Content = file.path
        if not file.compression and glob.has_magic(str(file)):
            content = file.path.read_bytes()  # polars would expand the name as a glob
        if file.compression == ".gz":
            content = gzip.decompress(file.path.read_bytes())
        elif file.compression == ".zst":
            content = _decompress_zst(file)
    except (OSError, EOFError, zlib.error, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: cannot be read: {error}") from error
    if not start or not content:
        raise BadInput(f"{file}: the file is empty")
    actual = next((ending for ending, magic in MAGIC.items() if start.startswith(magic)), "")
    if actual != file.compression:
        compression = f"{actual} data" if actual else f"not {file.compression} data"
        raise BadInput(f"{file}: the content is {compression}, unlike its name; rename the file")
    return content


def _decompress_zst(file: DataFile) -> bytes:
    # Python supports zstd from 3.14 on; until then polars decompresses it, as a CSV of one column: the lines.
    # Invalid UTF-8 becomes U+FFFD, as in `read_lines`.
    if not file.path.stat().st_size:
        return b""
    lines = pl.read_csv(
        file.path,
        has_header=False,
        separator="\0",
        quote_char=None,
        encoding="utf8-lossy",
        infer_schema=False,
        glob=False,
    ).to_series()
    return "\n".join(lines.fill_null("")).encode()


def read_lines(content: Content) -> Iterator[str]:
    """Yield lines with their line ends, without a byte order mark; invalid UTF-8 becomes U+FFFD."""
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
        for number, line in enumerate(stream):
            text = line.decode("utf-8", "replace")
            yield text if number else text.removeprefix(BYTE_ORDER_MARK)


def count_lines(content: Content) -> int:
    count, last = 0, b""
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
        while block := stream.read(BLOCK_BYTES):
            count, last = count + block.count(b"\n"), block[-1:]
    return count + (last not in (b"", b"\n"))
