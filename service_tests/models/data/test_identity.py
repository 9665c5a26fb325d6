"""An event is counted once, in training as in the store, and events of equal time keep the order of the log."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.dataset import prepare_dataset
from models.data.identity import drop_duplicates, sort_events
from models.data.interactions import read_interactions
from models.data.splits import make_cases

Row = tuple[str, str, int, str | None]
SCHEMA = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "event_id": pl.String}

rows = st.lists(
    st.tuples(
        st.sampled_from("uv"), st.sampled_from("abc"), st.integers(0, 2), st.sampled_from([None, None, "1", "2"])
    ),
    max_size=30,
)


def find_first_events(rows: list[Row]) -> list[Row]:
    """The events that a store keeps: the first of each event id of a user, else of each item and time."""
    first: dict[object, Row] = {}
    for row in rows:
        user, item, time, event_id = row
        first.setdefault((user, event_id) if event_id is not None else (user, item, time, None), row)
    return list(first.values())


@settings(deadline=None)
@given(rows=rows, with_ids=st.booleans())
def test_first_of_equal_events_is_kept_in_file_order(rows: list[Row], with_ids: bool) -> None:
    if not with_ids:
        rows = [(user, item, time, None) for user, item, time, _ in rows]
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    distinct = drop_duplicates(frame if with_ids else frame.drop("event_id"))
    assert distinct.rows() == [row if with_ids else row[:3] for row in find_first_events(rows)]


@settings(deadline=None)
@given(rows=rows)
def test_events_of_equal_time_keep_file_order(rows: list[Row]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    assert sort_events(frame).rows() == sorted(rows, key=lambda row: (row[0], row[2]))


def test_pasted_export_adds_no_event_and_leaks_no_target(tmp_path: Path) -> None:
    text = "user_id,item_id,timestamp\n" + "".join(
        f"u{user},i{n},{1_700_000_000 + n}\n" for user in range(3) for n in range(4)
    )
    (tmp_path / "once.csv").write_text(text)
    (tmp_path / "twice.csv").write_text(text + text)
    once, twice = (read_interactions([tmp_path / name]) for name in ("once.csv", "twice.csv"))
    assert twice.events.equals(once.events)
    assert (twice.report.rows, twice.report.bad_rows, twice.report.duplicates) == (25, 1, 12)
    assert twice.report.reasons == {"timestamp is not a time": 1}
    assert [row.line for row in twice.report.examples] == [14]
    cases = make_cases(prepare_dataset(twice.events), "test")
    assert all(target not in history for history, target in zip(cases.histories, cases.targets, strict=True))


def test_duplicates_across_files_are_counted_once(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("user_id,item_id,timestamp\nu,i,1\n")
    log = read_interactions([tmp_path])
    assert (log.events.height, log.report.duplicates) == (1, 1)


def test_event_ids_decide_where_a_file_has_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "user_id,item_id,timestamp,event_id\nu,i,1,x\nu,i,1,y\nu,j,2,x\nv,i,1,x\nu,i,1,\nu,i,1,\n"
    )
    log = read_interactions([tmp_path / "a.csv"])
    assert log.events.select("user_id", "item_id", "event_id").rows() == [
        ("u", "i", "x"),
        ("u", "i", "y"),
        ("v", "i", "x"),
        ("u", "i", None),
    ]


@pytest.mark.parametrize(
    "last",
    ['{"user_id":"u","item_id":"i0","event_id":"x","timestamp":0}', '{"user_id":"u","item_id":"i0","event_id":"x"}'],
)
def test_event_id_of_a_late_line_is_read(tmp_path: Path, last: str) -> None:
    """Also where the number of keys is that of a log without event ids."""
    lines = [f'{{"user_id":"u","item_id":"i{n}","timestamp":{n}}}' for n in range(100)]
    (tmp_path / "a.jsonl").write_text(
        "\n".join([*lines, last, '{"user_id":"u","item_id":"j","event_id":"x","timestamp":5}'])
    )
    events = read_interactions([tmp_path / "a.jsonl"]).events
    assert events["event_id"].null_count() == 100
    assert events.height == 101
