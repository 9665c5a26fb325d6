"""From a log to histories of indices: order, rare items, popularity ranks, held-out events."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.batch import NO_TIME
from models.data.dataset import UNKNOWN_ITEM, encode, prepare_dataset
from models.data.splits import (
    SplitPart,
    make_cases,
    select_case_times,
    select_request_times,
    select_training_histories,
    select_training_times,
)

Row = tuple[str, str, int]
PARTS: tuple[SplitPart, ...] = ("valid", "test")


def make_frame(rows: list[Row]) -> pl.DataFrame:
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


rows = st.lists(
    st.tuples(st.sampled_from(["u", "v", "w"]), st.sampled_from("abcdef"), st.integers(0, 5)), min_size=1, max_size=60
)


@settings(deadline=None)
@given(rows=rows, least=st.integers(1, 4))
def test_histories_are_sorted_by_time_and_stable_for_equal_times(rows: list[Row], least: int) -> None:
    frequent = [row for row in rows if sum(other[1] == row[1] for other in rows) >= least]
    if not frequent:
        with pytest.raises(ValueError, match="no item has"):
            prepare_dataset(make_frame(rows), min_item_events=least)
        return
    dataset = prepare_dataset(make_frame(rows), min_item_events=least)
    assert dataset.user_ids == sorted({row[0] for row in frequent})
    for number, user in enumerate(dataset.user_ids):
        expected = [item for row_user, item, _ in sorted(frequent, key=lambda row: row[2]) if row_user == user]
        assert [dataset.catalogue.item_id(i) for i in dataset.history(number).tolist()] == expected


@settings(deadline=None)
@given(rows=rows)
def test_popularity_rank_counts_training_events_only(rows: list[Row]) -> None:
    dataset = prepare_dataset(make_frame(rows), min_item_events=1)
    training_items = np.concatenate(select_training_histories(dataset)) if rows else np.empty(0)
    counts = np.bincount(training_items, minlength=dataset.catalogue.num_items + 1)[1:]
    assert counts.tolist() == dataset.catalogue.counts.tolist()
    ranked = sorted(zip(-counts, dataset.catalogue.item_ids, strict=True))
    assert [item for _, item in ranked] == dataset.catalogue.item_ids


@settings(deadline=None)
@given(rows=rows, step_ms=st.sampled_from([1_799_999, 40_000_000]))
def test_times_match_their_events_in_every_split(rows: list[Row], step_ms: int) -> None:
    start = 1_700_000_000_000
    timed = [(user, item, start + step_ms * time) for user, item, time in rows]
    prepared = prepare_dataset(make_frame(timed), min_item_events=1)
    for dataset in (prepared, encode(make_frame(timed), prepared.catalogue)):
        for number, user in enumerate(dataset.user_ids):
            times = sorted(time for row_user, _, time in timed if row_user == user)
            expected = [time // 1000 for time in times]
            assert dataset.history_times(number).tolist() == expected
    training, training_times = select_training_histories(prepared), select_training_times(prepared)
    assert [len(history) for history in training] == [len(times) for times in training_times]
    for part in PARTS:
        cases = make_cases(prepared, part)
        case_times = select_case_times(prepared, part, cases.users)
        request_times = select_request_times(prepared, part, cases.users)
        for user, history, time in zip(cases.users, cases.histories, request_times, strict=True):
            assert time == prepared.history_times(int(user))[len(history)]
        for user, history, row in zip(cases.users, cases.histories, case_times, strict=True):
            assert row.tolist() == prepared.history_times(int(user))[: len(history)].tolist()


def test_dataset_without_times_returns_unknown_times() -> None:
    dataset = prepare_dataset(make_frame([("u", item, 1_700_000_000_000) for item in "abcd"]), min_item_events=1)
    untimed = replace(dataset, times=None)
    assert untimed.history_times(0).tolist() == [NO_TIME] * 4
    assert select_request_times(untimed, "test", np.array([0])).tolist() == [NO_TIME]


def test_last_event_is_the_test_target_and_the_previous_one_the_validation_target() -> None:
    dataset = prepare_dataset(
        make_frame(
            [("u", item, time) for time, item in enumerate("abcd")] + [("v", "a", 1), ("v", "b", 2)],
        ),
        min_item_events=1,
    )
    names = dataset.catalogue.item_id
    valid, test = make_cases(dataset, "valid"), make_cases(dataset, "test")
    assert [[names(i) for i in history] for history in select_training_histories(dataset)] == [["a", "b"], ["a", "b"]]
    assert ([names(i) for i in valid.histories[0]], names(int(valid.targets[0]))) == (["a", "b"], "c")
    assert ([names(i) for i in test.histories[0]], names(int(test.targets[0]))) == (["a", "b", "c"], "d")
    assert len(valid) == len(test) == 1, "a user with two events is used for training only"


def test_titles_and_categories_come_from_the_item_file_and_are_optional() -> None:
    items = pl.DataFrame(
        {"item_id": ["b", "z"], "title": ["Bee", "Zed"], "categories": [["x", "y"], []]},
        schema={"item_id": pl.String, "title": pl.String, "categories": pl.List(pl.String)},
    )
    catalogue = prepare_dataset(make_frame([("u", "a", 1), ("u", "b", 2)]), items, min_item_events=1).catalogue
    index = catalogue.find_index("b")
    assert index is not None
    assert (catalogue.title(index), catalogue.get_categories(index)) == ("Bee", ("x", "y"))
    assert catalogue.title(catalogue.find_index("a") or 0) is None
    assert catalogue.find_index("z") is None, "an item without events is not in the catalogue"
    members = catalogue.find_category_items("y")
    assert members is not None
    assert members.tolist() == [index]


def test_encode_uses_the_catalogue_of_an_artifact() -> None:
    catalogue = prepare_dataset(make_frame([("u", item, 1) for item in "abc"]), min_item_events=1).catalogue
    dataset = encode(make_frame([("x", "c", 2), ("x", "new", 1), ("x", "a", 0)]), catalogue)
    assert [catalogue.item_id(i) for i in dataset.known_history(0).tolist()] == ["a", "c"]
    with pytest.raises(ValueError, match="no item of this catalogue"):
        encode(make_frame([("x", "new", 1)]), catalogue)


@settings(deadline=None)
@given(rows=rows, catalogue_items=st.sets(st.sampled_from("abcdef"), min_size=1))
def test_held_out_events_are_those_of_the_log_whether_known_or_not(rows: list[Row], catalogue_items: set[str]) -> None:
    """Unknown items never enter a history, and never move the target to an earlier event."""
    catalogue = prepare_dataset(make_frame([("x", item, 1) for item in sorted(catalogue_items)])).catalogue
    if not any(item in catalogue_items for _, item, _ in rows):
        return
    dataset = encode(make_frame(rows), catalogue)
    names = [None, *catalogue.item_ids]
    for part, held_out in (("test", 1), ("valid", 2)):
        expected = {}
        for user in {row[0] for row in rows}:
            items = [item for row_user, item, _ in sorted(rows, key=lambda row: row[2]) if row_user == user]
            history = [item for item in items[:-held_out] if item in catalogue_items]
            if len(items) > 2 and history:
                target = items[-held_out]
                expected[user] = (history, target if target in catalogue_items else None)
        cases = make_cases(dataset, part)  # type: ignore[arg-type]  # the literals above
        times = select_case_times(dataset, part, cases.users)  # type: ignore[arg-type]
        assert [len(row) for row in times] == [len(row) for row in cases.histories]
        assert {
            dataset.user_ids[user]: ([names[index] for index in history.tolist()], names[target])
            for user, history, target in zip(cases.users.tolist(), cases.histories, cases.targets.tolist(), strict=True)
        } == expected
    assert all(history.all() for history in select_training_histories(dataset))


def test_published_protocol_takes_the_last_known_event() -> None:
    catalogue = prepare_dataset(make_frame([("x", item, 1) for item in "abc"])).catalogue
    log = make_frame([("u", item, time) for time, item in enumerate(["a", "b", "c", "new"])])
    with_unknown, without = (encode(log, catalogue, with_unknown_targets=value) for value in (True, False))
    assert make_cases(with_unknown, "test").targets.tolist() == [UNKNOWN_ITEM]
    assert [catalogue.item_id(int(item)) for item in make_cases(without, "test").targets] == ["c"]
    assert (with_unknown.unknown_targets, without.unknown_targets) == (1, 1)
