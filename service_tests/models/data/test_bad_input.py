"""Unreadable input is reported with file, line and reason, and never misread."""

from pathlib import Path

import polars as pl
import pytest

from models.data.bad_rows import MAX_EXAMPLES, BadInput, BadRow
from models.data.interactions import read_interactions
from service_tests.models.data.log_texts import TEXT_KINDS, compress, format_log

LONG = "x" * 129
CSV = b"""\
user_id,item_id,timestamp,note
u,i,1,

u,,2,n
u,i
u,i,3,n,n
u,"i
i",4,n
u,i,soon,n
"u,i,5,n
"u"x,i,6,n
\xff,i,7,n
u,i,8,\xff
"""
CSV_BAD = [
    (4, "no item_id"),
    (5, "2 fields, the first line has 4"),
    (6, "5 fields, the first line has 4"),
    (9, "timestamp 'soon' is neither"),
    (10, "quotes do not match"),
    (11, "quotes do not match"),
    (12, "user_id is not valid UTF-8"),
]
JSON = rb"""
{"user_id": "u", "item_id": 1, "timestamp": 1}
{"user_id": "u", "item_id": 2.5, "timestamp": 2}
{"user_id": true, "item_id": "i", "timestamp": 2}
{"user_id": "u", "item_id": ["i"], "timestamp": 2}
{"user_id": "u", "timestamp": 2}
{"user_id": null, "item_id": "i", "timestamp": 2}
{"user_id": "u", "item_id": "\ud800", "timestamp": 2}
{"user_id": "u", "item_id": "i", "timestamp": NaN}
{"user_id": "u", "item_id": "i", "timestamp": "\ud800"}
{"user_id": "u", "item_
["u", "i", 3]
{"user_id": "u", "item_id": 2.0, "timestamp": "4"}
"""
JSON_BAD = [
    (3, "item_id is neither a string nor an integer"),
    (4, "user_id is neither a string nor an integer"),
    (5, "item_id is neither a string nor an integer"),
    (6, "no item_id"),
    (7, "no user_id"),
    (8, "item_id is not valid UTF-8"),
    (9, "malformed JSON: NaN"),
    (10, "timestamp '\ufffd' is neither"),
    (11, "malformed JSON: "),
    (12, "not a JSON object"),
]


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_bad_lines_are_reported_with_line_and_reason(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"log{kind}"
    text, expected, items = (JSON, JSON_BAD, ["1", "2"]) if "json" in kind else (CSV, CSV_BAD, ["i", "i\ni", "i"])
    if "tsv" in kind:
        text = text.replace(b"user_id", b'"user_id"').replace(b",", b"\t")
    path.write_bytes(compress(text, path.name))
    log = read_interactions([path])
    assert [(row.file, row.line) for row in log.report.examples] == [(str(path), line) for line, _ in expected]
    for row, (_, reason) in zip(log.report.examples, expected, strict=True):
        assert row.reason.startswith(reason)
    assert log.events["item_id"].to_list() == items
    assert (log.report.rows, log.report.bad_rows) == (len(items) + len(expected), len(expected))
    with pytest.raises(BadInput) as error:
        read_interactions([path], strict=True)
    assert str(error.value).startswith(f"{path}:{expected[0][0]}: {expected[0][1]}")


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_bad_values_in_a_well_formed_file_are_reported_with_their_lines(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"log{kind}"
    rows = [("u", "i", 1), (LONG, "i", 2), ("u", "i", 10**20), ("u", LONG, 3), ("é" * 128, "i", 4)]
    path.write_bytes(compress(format_log(rows, path.name), path.name))
    report = read_interactions([path]).report
    header = "json" not in kind
    assert [row.line for row in report.examples] == [2 + header, 3 + header, 4 + header]
    assert report.examples[0].reason == "user_id is longer than 128 characters"


def test_bad_rows_of_parquet_are_reported_with_row_numbers(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pl.DataFrame(
        {"user_id": ["u", None, "u", ""], "item_id": ["i"] * 4, "timestamp": [1.0, 2.0, float("nan"), 4.0]}
    ).write_parquet(path)
    report = read_interactions([path]).report
    assert [(row.line, row.reason[:13]) for row in report.examples] == [
        (2, "no user_id"),
        (3, "timestamp 'Na"),
        (4, "no user_id"),
    ]
    with pytest.raises(BadInput, match=r"log\.parquet:row 2: no user_id"):
        read_interactions([path], strict=True)


def test_report_counts_all_bad_rows_but_keeps_only_the_first_examples(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("user_id,item_id,timestamp\n" + "u,i,?\n" * 15 + "u,i,1\n")
    report = read_interactions([tmp_path]).report
    assert (report.files, report.rows, report.bad_rows, len(report.examples)) == (2, 32, 30, MAX_EXAMPLES)
    assert report.examples[15] == BadRow(str(tmp_path / "b.csv"), 2, report.examples[0].reason)


def test_open_quote_in_an_unused_column_does_not_swallow_rows(tmp_path: Path) -> None:
    good = "".join(f"u,i{n},{n},note\n" for n in range(120))
    (tmp_path / "a.csv").write_text('user_id,item_id,timestamp,note\nu,i,1,"note\n' + good + 'u,j,9,note"\n')
    log = read_interactions([tmp_path / "a.csv"])
    assert [row.line for row in log.report.examples] == [2]
    assert log.events.height == 121


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("a.csv", b"user_id,item_id,timestamp,note\nu,i,1,n\nu,i,2\n", 3, "3 fields"),
        ("a.csv", b"user_id,item_id,timestamp,note\nu,i,1,n\nu,i,2,n,n\n", 3, "5 fields"),
        ("a.csv", b'user_id,item_id,timestamp\n"u\nu",i,1\nu,i,?\n', 4, "timestamp"),
        ("a.csv", b"user_id,item_id,timestamp\n\nu,i,1\n\nu,i,?\n", 5, "timestamp"),
        (
            "a.jsonl",
            b'\n{"user_id":"u","item_id":"i","timestamp":1}\n\n{"user_id":"","item_id":"i","timestamp":1}',
            4,
            "no",
        ),
        (
            "a.jsonl",
            b'{"user_id":"u","item_id":"i","timestamp":1}\n{"user_id":1.5,"item_id":"i","timestamp":1}',
            2,
            "user_id",
        ),
        (
            "a.jsonl",
            b'{"user_id":"u","item_id":"i","timestamp":1}\n{"user_id":"u","item_id":{},"timestamp":1}',
            2,
            "item_id",
        ),
        (
            "a.jsonl",
            rb'{"user_id":"u","item_id":"i","timestamp":1}' b"\n" rb'{"user_id":"u","item_id":"\ud800","timestamp":1}',
            2,
            "item_id is not valid",
        ),
    ],
)
def test_single_fault_in_a_file_is_detected(tmp_path: Path, name: str, content: bytes, line: int, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    log = read_interactions([tmp_path / name])
    assert log.events.height == 1
    assert [row.line for row in log.report.examples] == [line]
    assert log.report.examples[0].reason.startswith(reason)


def test_unclosed_quote_invalidates_only_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('user_id,item_id,timestamp\n"u,a,1\nu,b,2\n"u,c,3\nu,d,4\n')
    log = read_interactions([tmp_path / "a.csv"])
    assert log.events["item_id"].to_list() == ["b", "d"]
    assert [row.line for row in log.report.examples] == [2, 4]


def test_folder_names_with_equal_signs_are_not_columns(tmp_path: Path) -> None:
    (tmp_path / "user_id=5").mkdir()
    pl.DataFrame({"item_id": ["i"], "timestamp": [1]}).write_parquet(tmp_path / "user_id=5" / "a.parquet")
    with pytest.raises(BadInput, match="no column 'user_id'; it has item_id, timestamp"):
        read_interactions([tmp_path / "user_id=5"])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "empty"),
        ("a.jsonl", b"", "empty"),
        ("a.csv.gz", b"", "empty"),
        ("a.csv.zst", b"", "empty"),
        ("a.csv", b"\n\n", "no header: the file has no rows"),
        ("a.parquet", b"", "cannot be read"),
        ("a.parquet", b"PAR1 and no more", "cannot be read"),
        ("a.csv.gz", compress(b"user_id,item_id,timestamp\nu,i,1\n", ".gz")[:-9], "cannot be read"),
        ("a.csv.gz", b"user_id,item_id,timestamp\nu,i,1\n", "the content is not .gz data, unlike its name"),
        ("a.jsonl.zst", compress(b'{"user_id":"u","item_id":"i","timestamp":1}\n', ".zst")[:-9], "cannot be read"),
        ("a.csv.zst", b"user_id,item_id,timestamp\nu,i,1\n", "not .zst data"),
        ("a.csv", compress(b"user_id,item_id,timestamp\nu,i,1\n", ".gz"), "the content is .gz data"),
        ("a.parquet.gz", b"", "Parquet is compressed internally"),
        ("a.xlsx", b"u i 1", "unknown file format"),
        ("a.json", b'[{"user_id":"u","item_id":"i","timestamp":1}]', "write one object per line"),
        ("a.csv", b"user_id,user_id,item_id,timestamp\nu,v,i,1\n", "two columns are called 'user_id'"),
        ("a.csv", b"user_id,item_id,timestamp\n", "the log has no rows; check its export"),
        ("a.csv", b"user_id,item_id,timestamp\nu,i,?\n", r"no valid row among 1: .*a\.csv:2: timestamp '\?'"),
        ("a.csv", b"\xff\xfeu\x00s\x00e\x00r\x00", "no column 'user_id'; it has user"),
        ("a.csv", b"u\x00s\x00e\x00r\x00_\x00", "pass --encoding utf-16-le"),
        ("a.csv", b"\x00u\x00s\x00e\x00r\x00_", "pass --encoding utf-16-be"),
        ("a.csv", b"\xff\xfe\x00\x00u\x00\x00\x00", "iconv -f UTF-32 -t UTF-8"),
        ("a.csv", b"\x00\x01\x02user_id,item_id", "the file is not text"),
        ("a.csv", b"PK\x03\x04 a workbook", "the content is .zip data, unlike its name"),
        ("a.zip", b"no archive", "cannot be read as a zip archive"),
    ],
)
def test_unreadable_log_error_names_the_file(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=rf"{name}: (?s:.*){reason}"):
        read_interactions([tmp_path / name])


def test_file_with_only_a_header_is_accepted_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\n")
    (tmp_path / "b.csv").write_text("user_id,item_id,timestamp\nu,i,1\n")
    assert read_interactions([tmp_path]).report.files == 2
    assert read_interactions([tmp_path]).events.height == 1
