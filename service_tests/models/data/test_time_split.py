"""A split by time: no event after the moment is in any count, order, history or validation case."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.dataset import UNKNOWN_ITEM, Dataset, prepare_dataset
from models.data.splits import SplitPart, make_cases, select_case_times, select_training_histories
from models.data.time_split import find_split_moment, format_moment, parse_moment

Row = tuple[str, str, int]
START_MS = 1_600_000_000_000
MOMENT_MS = START_MS + 5_000

rows = st.lists(
    st.tuples(st.sampled_from("uvwx"), st.sampled_from("abcdef"), st.integers(0, 9)), min_size=1, max_size=60
)


def make_frame(rows: list[Row]) -> pl.DataFrame:
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    timed = [(user, item, START_MS + 1000 * second) for user, item, second in rows]
    return pl.DataFrame(timed, schema=schema, orient="row")


def split(rows: list[Row], *, least: int = 1) -> Dataset:
    return prepare_dataset(make_frame(rows), min_item_events=least, moment_ms=MOMENT_MS)


def list_cases(dataset: Dataset, part: SplitPart) -> dict[str, tuple[list[str], str | None]]:
    """Histories and targets by user, as item ids; None for an unknown target."""
    cases, names = make_cases(dataset, part), [None, *dataset.catalogue.item_ids]
    return {
        dataset.user_ids[user]: ([str(names[index]) for index in history], names[target])
        for user, history, target in zip(
            cases.users.tolist(), [history.tolist() for history in cases.histories], cases.targets.tolist(), strict=True
        )
    }


@settings(deadline=None)
@given(rows=rows, future=rows, least=st.integers(1, 3))
def test_events_after_the_moment_change_nothing_but_test_targets(
    rows: list[Row], future: list[Row], least: int
) -> None:
    past = [row for row in rows if row[2] < 5]
    later = [(user, item, second + 5) for user, item, second in future]
    if not any(sum(other[1] == row[1] for other in past) >= least for row in past):
        with pytest.raises(ValueError, match="no item has"):
            split(past + later, least=least)
        return
    alone, together = split(past, least=least), split(past + later, least=least)
    assert together.catalogue.item_ids == alone.catalogue.item_ids
    assert together.catalogue.counts.tolist() == alone.catalogue.counts.tolist()
    histories = [[row.tolist() for row in select_training_histories(each)] for each in (alone, together)]
    assert histories[0] == histories[1]
    assert list_cases(together, "valid") == list_cases(alone, "valid")
    assert list_cases(alone, "test") == {}
    counts = np.bincount(np.concatenate(select_training_histories(together)), minlength=len(alone.catalogue.counts) + 1)
    assert counts[1:].tolist() == together.catalogue.counts.tolist(), "validation targets are not counted either"


@settings(deadline=None)
@given(rows=rows)
def test_target_is_the_first_event_after_the_moment(rows: list[Row]) -> None:
    past_items = {item for _, item, second in rows if second < 5}
    if not past_items:
        return
    dataset, expected, num_new = split(rows), {}, 0
    for user in sorted({row[0] for row in rows}):
        events = sorted((row for row in rows if row[0] == user), key=lambda row: row[2])
        history = [item for _, item, second in events if second < 5]
        later = [item for _, item, second in events if second >= 5]
        if history and later:
            expected[user] = (history, later[0] if later[0] in past_items else None)
        num_new += not history
    assert list_cases(dataset, "test") == expected
    assert dataset.time_split is not None
    assert dataset.time_split.users_without_history == num_new
    assert dataset.unknown_targets == sum(target is None for _, target in expected.values())


def test_case_times_are_those_of_the_histories() -> None:
    dataset = split([("u", item, second) for second, item in enumerate("abcabcabc")])
    for part, length in (("test", 5), ("valid", 4)):
        users = make_cases(dataset, part).users  # type: ignore[arg-type]
        (times,) = select_case_times(dataset, part, users)  # type: ignore[arg-type]
        assert times.tolist() == [START_MS // 1000 + second for second in range(length)]


def test_item_that_appears_after_the_moment_is_an_unknown_target() -> None:
    dataset = split([("u", "a", 0), ("u", "new", 7), ("u", "a", 8)])
    assert make_cases(dataset, "test").targets.tolist() == [UNKNOWN_ITEM]


def test_moment_leaves_the_last_tenth_of_events() -> None:
    frame = make_frame([(f"u{second}", "a", second) for second in range(100)])
    assert find_split_moment(frame.sample(fraction=1.0, shuffle=True, seed=0)) == START_MS + 90_000


@pytest.mark.parametrize("rank", [0, 5])
def test_ranks_instead_of_times_are_rejected(rank: int) -> None:
    frame = make_frame([("u", "a", 0)] * 8).vstack(
        pl.DataFrame([("u", "a", rank)] * 2, schema=make_frame([]).schema, orient="row")
    )
    with pytest.raises(ValueError, match=r"--split time needs real times, and 2 of 10 events have none"):
        find_split_moment(frame)


@pytest.mark.parametrize("seconds", [-1, 0, 10])
def test_moment_without_events_on_both_sides_is_rejected(seconds: int) -> None:
    frame = make_frame([("u", "a", second) for second in range(10)])
    with pytest.raises(ValueError, match="--split time needs events before and after"):
        find_split_moment(frame, START_MS + 1000 * seconds)


def test_moments_are_unix_seconds_or_rfc_3339() -> None:
    moment = parse_moment("2020-09-13T12:26:40Z")
    assert moment == parse_moment("1600000000") == parse_moment("2020-09-13T14:26:40+02:00") == START_MS
    assert parse_moment("2020-09-13 12:26:40") == START_MS, "UTC without a zone"
    assert format_moment(moment) == "2020-09-13T12:26:40Z"
    with pytest.raises(ValueError, match="must be Unix seconds or RFC 3339"):
        parse_moment("yesterday")


@pytest.mark.parametrize("text", ["1700000000000", "-1700000000000", "9" * 20, "0001-01-01T00:00:00+23:00"])
def test_moment_that_cannot_be_written_as_a_date_is_refused(text: str) -> None:
    """Milliseconds in place of seconds are the usual mistake."""
    with pytest.raises(ValueError, match="a moment must be in the years 1 to 9999"):
        parse_moment(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_every_moment_that_is_parsed_can_be_written(text: str) -> None:
    assert format_moment(parse_moment(text)) == text
