"""Sources, folders and globs expand to files in a defined order."""

from pathlib import Path

import pytest

from models.data.bad_rows import BadInput
from models.data.formats import find_files, parse_file_name
from models.data.interactions import read_interactions
from service_tests.models.data.log_texts import write_log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deeper").mkdir()
    for name in ("b.csv", "a.jsonl.gz", ".hidden.csv", "notes.docx", "C.TSV", "deeper/d.csv"):
        (tmp_path / name).touch()
    return tmp_path


def list_names(files: list[Path | str]) -> list[str]:
    return [file.path.name for file in find_files(files)]


def test_folder_lists_its_visible_supported_files_sorted_by_name(folder: Path) -> None:
    assert list_names([folder]) == ["C.TSV", "a.jsonl.gz", "b.csv"]


def test_glob_lists_its_matches_sorted_by_name(folder: Path) -> None:
    assert list_names([folder / "*.csv"]) == ["b.csv"]
    assert list_names([str(folder / "**" / "*.csv")]) == ["b.csv", "d.csv"]


def test_sources_keep_their_order_without_duplicates(folder: Path) -> None:
    assert list_names([folder / "deeper", folder / "deeper" / ".." / "b.csv", folder]) == [
        "d.csv",
        "b.csv",
        "C.TSV",
        "a.jsonl.gz",
    ]


@pytest.mark.parametrize("source", ["nothing.csv", "*.parquet", "notes.docx", "*.docx", "empty"])
def test_error_of_a_source_without_readable_files_names_it(folder: Path, source: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(BadInput, match=r"nothing\.csv|\*\.parquet|notes\.docx|empty"):
        find_files([folder / source])


def test_empty_list_of_sources_raises() -> None:
    with pytest.raises(BadInput, match="no input files"):
        read_interactions([])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", ("csv", "")),
        ("a.b.CSV.GZ", ("csv", ".gz")),
        ("a.tab.zst", ("tsv", ".zst")),
        ("a.ndjson", ("json", "")),
        ("a.json.gz", ("json", ".gz")),
        ("a.pq", ("parquet", "")),
    ],
)
def test_file_name_determines_format_and_compression(name: str, kind: tuple[str, str]) -> None:
    file = parse_file_name(Path(name))
    assert (file.format, file.compression) == kind


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
def test_existing_file_with_glob_characters_is_read_as_a_file(tmp_path: Path, kind: str) -> None:
    write_log(tmp_path / f"log1{kind}", [("u", "wrong", 1)])
    path = write_log(tmp_path / f"log[1]{kind}", [("u", "right", 1)])
    assert read_interactions([path]).events["item_id"].to_list() == ["right"]
