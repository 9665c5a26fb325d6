"""Held-out events of one type: cases as stated, leave-one-out if all events are of the type, and no leak."""

from collections import defaultdict

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data.dataset import UNKNOWN_ITEM, Dataset, encode, prepare_dataset
from models.data.event_types import EventTypes
from models.data.sampling import sample_users
from models.data.splits import (
    SplitPart,
    count_cases,
    count_training_targets,
    make_cases,
    select_case_times,
    select_training_histories,
    select_training_weights,
)

Row = tuple[str, str, int, str | None]
Case = tuple[list[str], str | None]
START_MS, MOMENT_MS = 1_600_000_000_000, 1_600_000_005_000
PARTS: tuple[SplitPart, ...] = ("valid", "test")

rows = st.lists(
    st.tuples(
        st.sampled_from("uvw"), st.sampled_from("abcdef"), st.integers(0, 9), st.sampled_from(["buy", "view", None])
    ),
    min_size=1,
    max_size=40,
)


def make_frame(rows: list[Row]) -> pl.DataFrame:
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "type": pl.String}
    timed = [(user, item, START_MS + 1000 * second, kind) for user, item, second, kind in rows]
    return pl.DataFrame(timed, schema=schema, orient="row")


def mark(rows: list[Row], **rules: object) -> pl.DataFrame:
    return EventTypes(**{"target": "buy", **rules}).add_columns(make_frame(rows))  # type: ignore[arg-type]


def list_cases(dataset: Dataset, part: SplitPart) -> dict[str, Case]:
    cases, names = make_cases(dataset, part), [None, *dataset.catalogue.item_ids]
    return {
        dataset.user_ids[user]: ([str(names[index]) for index in history.tolist()], names[target])
        for user, history, target in zip(cases.users.tolist(), cases.histories, cases.targets.tolist(), strict=True)
    }


def list_training(dataset: Dataset) -> dict[str, list[str]]:
    histories = select_training_histories(dataset)
    return {
        user: [dataset.catalogue.item_id(index) for index in history.tolist()]
        for user, history in zip(dataset.user_ids, histories, strict=True)
    }


def group_events(rows: list[Row]) -> dict[str, list[Row]]:
    events: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row[2]):
        events[row[0]].append(row)
    return events


@settings(deadline=None)
@given(rows=rows)
def test_cases_are_the_last_events_of_the_type_and_training_ends_before_them(rows: list[Row]) -> None:
    dataset = prepare_dataset(mark(rows), min_item_events=1)
    valid: dict[str, Case] = {}
    test: dict[str, Case] = {}
    training: dict[str, list[str]] = {}
    for user, events in group_events(rows).items():
        items = [item for _, item, _, _ in events]
        targets = [position for position, event in enumerate(events) if event[3] == "buy"]
        training[user] = items
        if targets and targets[-1] >= 2:
            test[user] = items[: targets[-1]], items[targets[-1]]
            training[user] = items[: targets[-1]]
            if len(targets) > 1 and targets[-2] >= 1:
                valid[user] = items[: targets[-2]], items[targets[-2]]
                training[user] = items[: targets[-2]]
    assert list_cases(dataset, "test") == test
    assert list_cases(dataset, "valid") == valid
    assert list_training(dataset) == training
    counts = [sum(items.count(name) for items in training.values()) for name in dataset.catalogue.item_ids]
    assert dataset.catalogue.counts.tolist() == counts, "popularity counts the training part only"
    assert count_cases(dataset, "test") == len(test)


@settings(deadline=None)
@given(rows=rows, moment_ms=st.sampled_from([None, MOMENT_MS]), least=st.integers(1, 3))
def test_if_all_events_are_of_the_type_the_split_is_the_usual_one(
    rows: list[Row], moment_ms: int | None, least: int
) -> None:
    bought: list[Row] = [(user, item, second, "buy") for user, item, second, _ in rows]
    frames = make_frame(bought).drop("type"), mark(bought)
    past = frames[0].filter(pl.col("timestamp") < (moment_ms or 2 * START_MS))
    if not any(count >= least for count in past["item_id"].value_counts()["count"]):
        return
    usual, typed = (prepare_dataset(frame, min_item_events=least, moment_ms=moment_ms) for frame in frames)
    assert typed.catalogue.item_ids == usual.catalogue.item_ids
    for part in PARTS:
        assert list_cases(typed, part) == list_cases(usual, part)
    assert list_training(typed) == list_training(usual)
    if moment_ms is not None:  # leave-one-out also counts users without a case
        assert typed.unknown_targets == usual.unknown_targets
    assert count_training_targets(typed) == count_training_targets(usual)


@settings(deadline=None)
@given(rows=rows, known_items=st.sets(st.sampled_from("abcdef"), min_size=1))
def test_unknown_target_of_the_type_is_missed_and_in_no_history(rows: list[Row], known_items: set[str]) -> None:
    catalogue = prepare_dataset(
        make_frame([("u", item, 0, None) for item in sorted(known_items)]), min_item_events=1
    ).catalogue
    if not any(item in known_items for _, item, _, _ in rows):
        with pytest.raises(ValueError, match="no item of this catalogue"):
            encode(mark(rows), catalogue)
        return
    dataset = encode(mark(rows), catalogue)
    expected: dict[str, Case] = {}
    for user, events in group_events(rows).items():
        last = max((position for position, event in enumerate(events) if event[3] == "buy"), default=0)
        history = [item for _, item, _, _ in events[:last] if item in known_items]
        if last >= 2 and history:
            expected[user] = history, events[last][1] if events[last][1] in known_items else None
    assert list_cases(dataset, "test") == expected
    for part in PARTS:
        cases = make_cases(dataset, part)
        times = select_case_times(dataset, part, cases.users)
        assert list(map(len, times)) == list(map(len, cases.histories))
        assert all((history != UNKNOWN_ITEM).all() for history in cases.histories)


def test_split_by_time_tests_on_the_first_event_of_the_type_after_the_moment() -> None:
    log: list[Row] = [
        *(("u", item, second, kind) for item, second, kind in (("a", 0, "view"), ("b", 1, "view"), ("c", 2, "buy"))),
        *(("u", item, second, kind) for item, second, kind in (("d", 3, "view"), ("e", 6, "view"), ("f", 7, "buy"))),
        ("u", "a", 8, "buy"),
        ("v", "a", 1, "buy"),
        ("v", "b", 7, "view"),
        ("w", "a", 7, "buy"),
    ]
    frame = mark([*log, ("x", "e", 0, None), ("x", "f", 0, None)])
    dataset = prepare_dataset(frame, min_item_events=1, moment_ms=MOMENT_MS)
    assert list_cases(dataset, "test") == {"u": (["a", "b", "c", "d"], "f")}
    assert list_cases(dataset, "valid") == {"u": (["a", "b"], "c")}
    assert list_training(dataset)["u"] == ["a", "b"]
    assert list_training(dataset)["v"] == ["a"]
    assert dataset.time_split is not None
    assert dataset.time_split.users_without_history == 1


def test_weights_follow_their_events_into_the_training_part_and_samples() -> None:
    log: list[Row] = [
        (user, item, second, kind)
        for user in "uvwx"
        for second, (item, kind) in enumerate(zip("abcdab", ["view", "buy", None, "cart", "buy", "buy"], strict=True))
    ]
    dataset = prepare_dataset(mark(log, weights={"buy": 2.0, "cart": 0.5, "*": 0.25}), min_item_events=1)
    assert dataset.weights is not None
    assert dataset.weights[:6].tolist() == [0.25, 2.0, 0.25, 0.5, 2.0, 2.0]
    weights = select_training_weights(dataset)
    assert weights is not None
    assert [row.tolist() for row in weights] == [[0.25, 2.0, 0.25, 0.5]] * 4
    sample = sample_users(dataset, 2)
    assert count_cases(sample, "test") == 2
    assert [row.tolist() for row in select_training_weights(sample) or []] == [[0.25, 2.0, 0.25, 0.5]] * 2
    unnamed = prepare_dataset(mark(log, weights={"buy": 2.0}), min_item_events=1)
    assert unnamed.weights is not None
    assert unnamed.weights[:6].tolist() == [0, 2, 0, 0, 2, 2]
    assert count_training_targets(unnamed) == 4


@settings(deadline=None)
@given(rows=rows)
def test_fingerprint_depends_on_weights_and_targets(rows: list[Row]) -> None:
    def read(dataset: Dataset) -> bytes:
        return b"".join(dataset.iter_fingerprint_bytes(with_times=True))

    plain = prepare_dataset(mark(rows), min_item_events=1)
    weighted = prepare_dataset(mark(rows, weights={"*": 1.0}), min_item_events=1)
    assert read(plain) != read(weighted)
    other = prepare_dataset(mark(rows, target="view"), min_item_events=1)
    held_out = plain.held_out, other.held_out
    assert held_out[0] is not None
    assert held_out[1] is not None
    if not (
        np.array_equal(held_out[0].test, held_out[1].test) and np.array_equal(held_out[0].valid, held_out[1].valid)
    ):
        assert read(plain) != read(other)
