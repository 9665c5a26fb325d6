"""Logs of every format and compression are read back as written, in order."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.bad_rows import BadInput
from models.data.columns import Columns
from models.data.interactions import read_interactions
from models.event_times import is_date_in_digits
from service_tests.models.data.log_texts import KINDS, TEXT_KINDS, Event, compress, format_log, write_log

IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd\0\r"), min_size=1, max_size=128)
PLAIN_IDS = st.text("aé,|7 '☃", min_size=1, max_size=6)
TIMES = st.integers(0, 1_700_000_000).filter(lambda number: not is_date_in_digits(number))
EVENTS = st.lists(st.tuples(IDS | PLAIN_IDS, IDS | PLAIN_IDS, TIMES), min_size=1, max_size=12, unique=True)
MALFORMED = {".csv": b'"a"b,c,1\n', ".tsv": b'"a"b\tc\t1\n', ".jsonl": b'{"user_id":\n'}

SMALL: list[Event] = [("007", "b", 5), ("1", "a", 3), ("007", "a", 5), ("1", "b", 3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


def to_milliseconds(events: list[Event]) -> list[Event]:
    return [(user, item, time * 1000) for user, item, time in events]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(events=EVENTS)
def test_written_events_are_read_in_file_order(folder: Path, kind: str, events: list[Event]) -> None:
    log = read_interactions([write_log(folder / f"log{kind}", events)])
    assert log.events.rows() == to_milliseconds(events)
    assert log.events.schema == {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    assert (log.report.files, log.report.rows, log.report.bad_rows) == (1, len(events), 0)


@pytest.mark.parametrize("kind", TEXT_KINDS)
@settings(max_examples=40, deadline=None)
@given(events=EVENTS)
def test_malformed_line_does_not_affect_other_rows(folder: Path, kind: str, events: list[Event]) -> None:
    path = folder / f"bad{kind}"
    text = format_log(events, path.name)
    path.write_bytes(compress(text + MALFORMED["." + kind.split(".")[1]], path.name))
    log = read_interactions([path])
    assert log.events.rows() == to_milliseconds(events)
    assert [row.line for row in log.report.examples] == [text.count(b"\n") + 1]


def test_equal_times_keep_file_order_across_files(tmp_path: Path) -> None:
    late = write_log(tmp_path / "a.csv", [("u", "x", 9), ("u", "y", 9)])
    early = write_log(tmp_path / "b.jsonl", [("u", "z", 1), ("u", "w", 1)])
    assert read_interactions([early, late]).events["item_id"].to_list() == ["z", "w", "x", "y"]
    assert read_interactions([late, early]).events["item_id"].to_list() == ["x", "y", "z", "w"]


@pytest.mark.parametrize("kind", KINDS)
def test_renamed_columns_are_read_and_other_columns_ignored(tmp_path: Path, kind: str) -> None:
    path = write_log(tmp_path / f"log{kind}", SMALL, header=("item_id", "movie", "ts"))
    events = read_interactions([path], columns=Columns("item_id", "movie", "ts")).events
    assert events.rows() == to_milliseconds(SMALL)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_column_error_names_file_and_present_columns(tmp_path: Path, kind: str) -> None:
    path = write_log(tmp_path / f"log{kind}", SMALL, header=("user_id", "movie", "ts"))
    with pytest.raises(BadInput, match=r"log\..*no column 'item_id'; it has user_id, movie, ts .*--columns"):
        read_interactions([path])


def test_integer_ids_of_all_widths_are_accepted_and_leading_zeros_preserved(tmp_path: Path) -> None:
    for dtype in (pl.Int8, pl.UInt16, pl.Int32, pl.UInt64, pl.Categorical):
        ids = pl.Series(["1", "22"]).cast(dtype)
        pl.DataFrame({"user_id": ids, "item_id": ids, "timestamp": [1, 2]}).write_parquet(tmp_path / "a.parquet")
        assert read_interactions([tmp_path / "a.parquet"]).events["item_id"].to_list() == ["1", "22"]
    (tmp_path / "a.csv").write_text("user_id,item_id,timestamp\n007,0,1\n")
    (tmp_path / "b.jsonl").write_text('{"user_id": "007", "item_id": 0, "timestamp": 2}\n')
    events = read_interactions([tmp_path / "a.csv", tmp_path / "b.jsonl"]).events
    assert events.rows() == [("007", "0", 1000), ("007", "0", 2000)]


def test_text_that_looks_like_another_json_value_is_a_valid_id(tmp_path: Path) -> None:
    events: list[Event] = [(name, "i", 1) for name in ("true", "1.5", "[a]", "{", "null", "1e5", "a\0b")]
    log = read_interactions([write_log(tmp_path / "a.jsonl", events)])
    assert log.events.rows() == to_milliseconds(events)


def test_parquet_times_are_converted_by_type(tmp_path: Path) -> None:
    moment = datetime(2020, 1, 2, tzinfo=UTC)
    expected = int(moment.timestamp() * 1000)
    for times in (
        pl.Series([moment.replace(tzinfo=None)], dtype=pl.Datetime("ns")),
        pl.Series([moment], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("Asia/Tokyo"),
        pl.Series([date(2020, 1, 2)]),
        pl.Series([expected / 1000]),
        pl.Series([expected], dtype=pl.UInt64),
        pl.Series(["2020-01-02T00:00:00Z"]),
    ):
        pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": times}).write_parquet(tmp_path / "a.parquet")
        assert read_interactions([tmp_path / "a.parquet"]).events["timestamp"].to_list() == [expected], times.dtype


@pytest.mark.parametrize(
    ("column", "values"), [("user_id", [True]), ("item_id", [[1]]), ("timestamp", [True]), ("timestamp", [[1]])]
)
def test_parquet_column_of_a_wrong_type_raises(tmp_path: Path, column: str, values: list[object]) -> None:
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1]}).with_columns(pl.Series(column, values))
    frame.write_parquet(tmp_path / "a.parquet")
    with pytest.raises(BadInput, match=rf"a\.parquet: column '{column}' is"):
        read_interactions([tmp_path / "a.parquet"])


def test_windows_line_ends_byte_order_mark_and_blank_lines_are_handled(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfuser_id,item_id,timestamp\r\nu,i,1\r\n\r\nv,j,2")
    (tmp_path / "b.jsonl").write_bytes(b'\xef\xbb\xbf{"user_id":"u","item_id":"i","timestamp":3}\r\n\r\n')
    log = read_interactions([tmp_path / "a.csv", tmp_path / "b.jsonl"])
    assert log.events.rows() == [("u", "i", 1000), ("v", "j", 2000), ("u", "i", 3000)]
    assert (log.report.rows, log.report.bad_rows) == (3, 0)
