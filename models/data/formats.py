"""Find data files and derive their format and compression.

File names determine the format: `.csv`, `.tsv`/`.tab`, `.jsonl`/`.ndjson`/`.json` and `.parquet`/`.pq`. `.txt`,
`.dat`, `.data`, `.inter`, `.item` and `.log` are text whose separator is detected. Text formats may be compressed:
`.gz`, `.zst`, or a `.zip` with one data file. `-` is standard input, whose format its content determines.
"""

import glob
import gzip
import sys
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.data.bad_rows import BadInput

Format = Literal["csv", "tsv", "text", "json", "parquet"]
Compression = Literal["", ".gz", ".zst", ".zip"]

SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".inter": "text",
    ".item": "text",
    ".dat": "text",
    ".data": "text",
    ".txt": "text",
    ".log": "text",
}
NOT_IN_FOLDERS = (".item", ".dat", ".data", ".txt", ".log")
"""Suffixes of text that is often not a log: read if the file itself is given, not as part of a folder."""
COMPRESSIONS: tuple[Compression, ...] = (".gz", ".zst", ".zip")
TYPED_FORMATS: tuple[Format, ...] = ("json", "parquet")
STANDARD_INPUT = Path("-")
MAX_SHOWN_MEMBERS = 5


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file with the format and compression that its name implies.

    `member` is the name of the file in a `.zip`; `content` is what standard input delivered.
    """

    path: Path
    format: Format
    compression: Compression
    member: str = ""
    content: bytes | None = None

    def __str__(self) -> str:
        return "standard input" if self.content is not None else str(self.path)

    @property
    def is_typed(self) -> bool:
        """Whether values have types; cells of delimited text have none."""
        return self.format in TYPED_FORMATS


def parse_file_name(path: Path) -> DataFile:
    """Derive format and compression from the name; BadInput if the format is not supported."""
    name = path.name.lower()
    compression: Compression = next((ending for ending in COMPRESSIONS if name.endswith(ending)), "")
    member = _find_zip_member(path) if compression == ".zip" else ""
    suffix = Path(member.lower() or name.removesuffix(compression)).suffix
    if suffix not in SUFFIXES:
        suffixes = ", ".join(SUFFIXES)
        raise BadInput(f"{path}: unknown file format; use {suffixes}, text formats also with .gz, .zst or .zip")
    if SUFFIXES[suffix] == "parquet" and compression:
        raise BadInput(f"{path}: Parquet is compressed internally; unpack it or write it without {compression}")
    return DataFile(path, SUFFIXES[suffix], compression, member)


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


def find_file(source: Path | str) -> DataFile:
    """Return the file of a source that must be a single file; BadInput if there is none."""
    path = Path(source)
    if path == STANDARD_INPUT:
        return _read_standard_input()
    file = parse_file_name(path)
    if not path.is_file():
        raise BadInput(f"{path}: no such file")
    return file


def _expand(source: Path) -> list[DataFile]:
    if source == STANDARD_INPUT:
        return [_read_standard_input()]
    if source.is_dir():
        return _list_folder(source)
    if source.exists():
        return [parse_file_name(source)]
    if glob.has_magic(str(source)):
        return _match_glob(source)
    raise BadInput(f"{source}: no such file or folder")


def _list_folder(folder: Path) -> list[DataFile]:
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    files = [file for path in paths if (file := _parse_supported_name(path)) is not None]
    if not files:
        folders = any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir())
        advice = f"; its subfolders are not read, name them: '{folder}/**/*.csv'" if folders else ""
        raise BadInput(f"{folder}: no file of a supported format in this folder ({', '.join(SUFFIXES)}){advice}")
    return files


def _match_glob(pattern: Path) -> list[DataFile]:
    # Path.glob does not support absolute patterns.
    paths = [Path(name) for name in glob.glob(str(pattern), recursive=True)]  # noqa: PTH207
    files = [parse_file_name(path) for path in sorted(paths) if path.is_file()]
    if not files:
        raise BadInput(f"{pattern}: no file matches")
    return files


def _parse_supported_name(path: Path) -> DataFile | None:
    """None for a file that is not part of its folder's log; an archive may be a copy of the files next to it."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
    if name.endswith((".zip", *NOT_IN_FOLDERS)):
        return None
    try:
        return parse_file_name(path)
    except BadInput:
        return None


def _find_zip_member(path: Path) -> str:
    """Name of the only data file in an archive; BadInput if there is none, or more than one."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (OSError, zipfile.BadZipFile) as error:
        raise BadInput(
            f"{path}: cannot be read as a zip archive: {error}; it is cut or damaged, so copy it again"
        ) from error
    visible = [name for name in names if not Path(name).name.startswith(".") and not name.startswith("__MACOSX")]
    members = [name for name in visible if Path(name.lower()).suffix in SUFFIXES]
    if len(members) != 1:
        listed = ", ".join(visible[:MAX_SHOWN_MEMBERS]) + (", …" if len(visible) > MAX_SHOWN_MEMBERS else "")
        contents = f"{len(members)} data files ({listed})" if visible else "no files"
        raise BadInput(f"{path}: the archive has {contents}; unpack it and name the log")
    return members[0]


def _read_standard_input() -> DataFile:
    content = sys.stdin.buffer.read()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(f"standard input: cannot be decompressed: {error}") from error
    file_format: Format = "text"
    if content.startswith(b"PAR1"):
        file_format = "parquet"
    elif content[:100].lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        file_format = "json"
    return DataFile(STANDARD_INPUT, file_format, "", content=content)
