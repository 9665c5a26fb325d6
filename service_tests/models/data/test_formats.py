"""Files, folders and globs name the files that they say, in an order that can be relied on."""

from pathlib import Path

import pytest

from models.data.bad_rows import BadInput
from models.data.formats import data_file, find_files
from models.data.interactions import read_interactions
from service_tests.models.data.log_texts import write_log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deeper").mkdir()
    for name in ("b.csv", "a.jsonl.gz", ".hidden.csv", "notes.txt", "C.TSV", "deeper/d.csv"):
        (tmp_path / name).touch()
    return tmp_path


def names(files: list[Path | str]) -> list[str]:
    return [file.path.name for file in find_files(files)]


def test_a_folder_is_its_own_visible_files_of_known_kinds_by_name(folder: Path) -> None:
    assert names([folder]) == ["C.TSV", "a.jsonl.gz", "b.csv"]


def test_a_glob_is_what_it_matches_by_name(folder: Path) -> None:
    assert names([folder / "*.csv"]) == ["b.csv"]
    assert names([str(folder / "**" / "*.csv")]) == ["b.csv", "d.csv"]


def test_sources_keep_their_order_and_a_file_named_twice_counts_once(folder: Path) -> None:
    assert names([folder / "deeper", folder / "deeper" / ".." / "b.csv", folder]) == [
        "d.csv",
        "b.csv",
        "C.TSV",
        "a.jsonl.gz",
    ]


@pytest.mark.parametrize("source", ["nothing.csv", "*.parquet", "notes.txt", "*.txt", "empty"])
def test_a_source_without_a_readable_file_is_refused_by_name(folder: Path, source: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(BadInput, match=r"nothing\.csv|\*\.parquet|notes\.txt|empty"):
        find_files([folder / source])


def test_no_source_at_all_is_refused() -> None:
    with pytest.raises(BadInput, match="no files given"):
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
def test_the_name_tells_format_and_compression(name: str, kind: tuple[str, str]) -> None:
    file = data_file(Path(name))
    assert (file.format, file.compression) == kind


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
def test_a_name_that_looks_like_a_glob_is_still_a_file(tmp_path: Path, kind: str) -> None:
    write_log(tmp_path / f"log1{kind}", [("u", "wrong", 1)])
    path = write_log(tmp_path / f"log[1]{kind}", [("u", "right", 1)])
    assert read_interactions([path]).events["item_id"].to_list() == ["right"]
