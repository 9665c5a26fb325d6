"""Which files a source means, what their names say about their format, and their bytes without compression.

The name decides: `.csv`, `.tsv`/`.tab`, `.jsonl`/`.ndjson`/`.json` and `.parquet`/`.pq`, the text ones also with `.gz`
or `.zst` behind. It knows no columns and no rows.
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
    path: Path
    format: Format
    compression: Compression

    def __str__(self) -> str:
        return str(self.path)


def data_file(path: Path) -> DataFile:
    """The file by its name; BadInput if the name says nothing."""
    name = path.name.lower()
    compression: Compression = next((ending for ending in COMPRESSIONS if name.endswith(ending)), "")
    suffix = Path(name.removesuffix(compression)).suffix
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise BadInput(f"{path}: unknown kind of file; known are {known}, the text ones also with .gz or .zst")
    if SUFFIXES[suffix] == "parquet" and compression:
        raise BadInput(f"{path}: Parquet is compressed inside; unpack it or write it without {compression}")
    return DataFile(path, SUFFIXES[suffix], compression)


def find_files(sources: Sequence[Path | str]) -> list[DataFile]:
    """Files in the order given. A folder stands for the files of known kinds directly in it (not the hidden ones, not
    its subfolders), a glob for what it matches (`**` goes into subfolders), both sorted by name. A file named twice
    counts once.
    """
    found: dict[Path, DataFile] = {}
    for source in sources:
        for file in _files_of(Path(source)):
            found.setdefault(file.path.resolve(), file)
    return list(found.values())


def _files_of(source: Path) -> list[DataFile]:
    if source.is_dir():
        inside = [path for path in sorted(source.iterdir()) if path.is_file() and not path.name.startswith(".")]
        files = [data_file(path) for path in inside if _is_known(path)]
        if not files:
            raise BadInput(f"{source}: no file of a known kind in this folder ({', '.join(SUFFIXES)})")
        return files
    if source.exists():
        return [data_file(source)]
    if not glob.has_magic(str(source)):
        raise BadInput(f"{source}: no such file or folder")
    # Not Path.glob: it has no absolute patterns.
    matches = sorted(path for path in map(Path, glob.glob(str(source), recursive=True)) if path.is_file())  # noqa: PTH207
    if not matches:
        raise BadInput(f"{source}: no file matches")
    return [data_file(path) for path in matches]


def _is_known(path: Path) -> bool:
    try:
        data_file(path)
    except BadInput:
        return False
    return True


def open_content(file: DataFile) -> Content:
    """The bytes of a compressed file, else its path: polars maps that into memory. BadInput if empty or corrupt."""
    try:
        with file.path.open("rb") as stream:
            start = stream.read(4)
        content: Content = file.path
        if not file.compression and glob.has_magic(str(file)):
            content = file.path.read_bytes()  # else polars takes the name for a glob
        if file.compression == ".gz":
            content = gzip.decompress(file.path.read_bytes())
        elif file.compression == ".zst":
            content = _decompress_zst(file)
    except (OSError, EOFError, zlib.error, pl.exceptions.PolarsError) as error:
        raise BadInput(f"{file}: cannot be read: {error}") from error
    if not start or not content:
        raise BadInput(f"{file}: the file is empty")
    wrapping = next((ending for ending, magic in MAGIC.items() if start.startswith(magic)), "")
    if wrapping != file.compression:
        raise BadInput(f"{file}: its bytes are {wrapping or 'not ' + file.compression}, its name says otherwise")
    return content


def _decompress_zst(file: DataFile) -> bytes:
    # Python has zstd from 3.14 on; until then polars unpacks it, as a CSV of one column: the lines.
    # Bytes that are no UTF-8 come back as U+FFFD, as from `read_lines`.
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
    """Lines with their ends, without a byte order mark; what is no UTF-8 turns into U+FFFD."""
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
