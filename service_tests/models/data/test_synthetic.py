"""A synthetic log is what its law says, block by block, at any size."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.data import synthetic
from models.data.dataset import prepare_dataset
from models.data.interactions import read_interactions
from models.data.items import ITEMS
from models.data.synthetic import (
    SyntheticLogConfig,
    count_block_users,
    count_blocks,
    generate_block,
    generate_log,
    make_item_table,
    write_log,
)
from models.data.synthetic_law import Ints

SMALL = SyntheticLogConfig(num_users=50)
FREE = SyntheticLogConfig(num_users=4000, num_items=400, next_part=0, own_genre=0, memory=0)
"""Free draws only: every event is drawn by popularity from all items."""


def made(law: SyntheticLogConfig) -> pl.DataFrame:
    return pl.concat(generate_log(law))


def numbers(log: pl.DataFrame) -> Ints:
    return log["item_id"].str.strip_prefix("i").cast(pl.Int64).to_numpy()


def steps(log: pl.DataFrame) -> tuple[Ints, Ints]:
    """(item, next item) of every step within a user."""
    item, user = numbers(log), log["user_id"].to_numpy()
    same = user[1:] == user[:-1]
    return item[:-1][same], item[1:][same]


def remembered(log: pl.DataFrame, memory: int) -> list[tuple[list[int], int]]:
    """(the last `memory` items, what came then) of every event but the first of each user."""
    histories = log.with_columns(pl.Series("item_id", numbers(log))).group_by("user_id", maintain_order=True).all()
    return [
        (history[max(0, place - memory) : place], history[place])
        for history in histories["item_id"].to_list()
        for place in range(1, len(history))
    ]


def test_the_same_seed_gives_the_same_log_and_another_seed_another() -> None:
    assert made(SMALL).equals(made(SyntheticLogConfig(num_users=50)))
    other = made(dataclasses.replace(SMALL, seed=1))
    for column in ("user_id", "item_id", "timestamp"):
        assert made(SMALL)[column].to_list() != other[column].to_list()


def test_a_block_made_alone_equals_the_block_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BLOCK_USERS", 15)
    blocks = list(generate_log(SMALL))
    assert [block["user_id"].n_unique() for block in blocks] == [15, 15, 15, 5]
    for number in (3, 1):
        assert generate_block(SMALL, number).equals(blocks[number])


def test_a_full_block_does_not_depend_on_how_many_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BLOCK_USERS", 15)
    assert generate_block(SMALL, 0).equals(generate_block(dataclasses.replace(SMALL, num_users=10**9), 0))


@pytest.mark.parametrize("block", [-1, 1])
def test_a_block_that_the_log_does_not_have_is_refused(block: int) -> None:
    with pytest.raises(ValueError, match=f"block {block} is none of the 1 blocks"):
        generate_block(SMALL, block)


@given(
    law=st.builds(
        SyntheticLogConfig,
        num_users=st.integers(1, 12),
        num_items=st.integers(12, 40),
        num_genres=st.integers(1, 3),
        series_length=st.integers(1, 4),
        min_length=st.integers(1, 5),
        max_length=st.integers(5, 30),
        lengths=st.floats(0.01, 100),
        popularity=st.floats(0, 400),
        next_part=st.floats(0, 1),
        own_genre=st.floats(0, 1),
        drift=st.floats(0, 1),
        memory=st.integers(0, 40),
        seed=st.integers(0, 2**63),
    )
)
def test_every_law_gives_every_user_a_history_within_bounds_in_time_order(law: SyntheticLogConfig) -> None:
    log = made(law)
    assert log.schema == {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    assert set(log["user_id"]) == {f"u{user}" for user in range(law.num_users)}
    assert log["user_id"].rle_id().n_unique() == law.num_users, "a user's events stand together"
    assert set(log["item_id"]) <= set(make_item_table(law)["item_id"])
    lengths = log.group_by("user_id").len()["len"]
    assert lengths.is_between(law.min_length, law.max_length).all()
    assert (log.select(pl.col("timestamp").diff().over("user_id")).to_series().drop_nulls() > 0).all()


@pytest.mark.parametrize("popularity", [0.0, 0.7, 1.3])
def test_item_counts_fall_with_the_exponent_asked_for(popularity: float) -> None:
    law = dataclasses.replace(FREE, popularity=popularity)
    counts = np.bincount(numbers(made(law)), minlength=law.num_items)
    by_rank = counts[np.argsort(-law.weights, kind="stable")][:50]
    slope = np.polyfit(np.log(np.arange(1, 51)), np.log(by_rank), 1)[0]
    assert slope == pytest.approx(-popularity, abs=0.05)


def test_every_item_is_drawn_as_often_as_its_weight_says() -> None:
    counts = np.bincount(numbers(made(FREE)), minlength=FREE.num_items)
    expected = FREE.weights / FREE.weights.sum() * counts.sum()
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()


def test_lengths_follow_their_power_law_and_the_mean_is_known() -> None:
    law = SyntheticLogConfig(num_users=20_000, min_length=4, lengths=1.5, next_part=0, memory=0)
    lengths = made(law).group_by("user_id").len()["len"].to_numpy()
    for bound in (8, 16, 64):
        assert (lengths >= bound).mean() == pytest.approx((4 / bound) ** 1.5, rel=0.15)
    assert lengths.mean() == pytest.approx(law.mean_length, rel=0.05)


@pytest.mark.parametrize("num_events", [1_000, 300_000])
def test_a_law_gives_about_as_many_events_as_asked(num_events: int) -> None:
    law = SyntheticLogConfig(lengths=3.5)  # lengths that scatter little, because a thousand events are few users
    assert made(law.with_events(num_events)).height == pytest.approx(num_events, rel=0.15)


@pytest.mark.parametrize("next_part", [0.0, 0.5, 0.9])
def test_the_next_part_follows_as_often_as_the_law_says(next_part: float) -> None:
    law = SyntheticLogConfig(num_users=3000, num_items=20_000, popularity=0.3, next_part=next_part, memory=0)
    before, after = steps(made(law))
    follows = law.next_of(before)
    assert (after == follows)[follows >= 0].mean() == pytest.approx(next_part, abs=0.01)


def test_the_next_part_of_a_series_ends_with_the_series_and_the_catalogue() -> None:
    law = SyntheticLogConfig(num_items=12, num_genres=2, series_length=5)
    assert law.next_of(np.arange(12)).tolist() == [1, 2, 3, 4, -1, 6, 7, 8, 9, -1, 11, -1]
    assert law.genre(np.arange(12)).tolist() == [0] * 5 + [1] * 5 + [0] * 2


def genre_changes(**fields: Any) -> float:
    law = SyntheticLogConfig(
        **{"num_users": 3000, "num_items": 800, "next_part": 0, "own_genre": 1, "memory": 0} | fields
    )
    before, after = steps(made(law))
    return float((law.genre(before) != law.genre(after)).mean())


def test_the_genre_drifts_as_often_as_asked() -> None:
    assert genre_changes(drift=0) == 0
    assert genre_changes(drift=0.2) == pytest.approx(0.2 * 7 / 8, abs=0.01), "one of eight draws is the same genre"


def test_items_outside_the_own_genre_come_as_often_as_asked() -> None:
    law = SyntheticLogConfig(num_items=800, popularity=0)
    outside = 0.4 * 7 / 8
    expected = 2 * outside - outside**2 * 8 / 7  # of two steps one is outside, or both are and differ
    assert genre_changes(drift=0, own_genre=0.6, popularity=law.popularity) == pytest.approx(expected, abs=0.01)


def test_an_item_seldom_comes_again_while_it_is_remembered() -> None:
    forgetful = SyntheticLogConfig(num_users=400, memory=0)
    again = {
        law.memory: np.mean([item in recent for recent, item in remembered(made(law), 20)])
        for law in (forgetful, dataclasses.replace(forgetful, memory=20))
    }
    assert again[0] > 0.2
    assert again[20] < again[0] / 10


def test_what_is_forgotten_comes_again() -> None:
    law = SyntheticLogConfig(num_users=400, min_length=40, memory=3)
    events = remembered(made(law), 40)
    within = np.mean([item in recent[-3:] for recent, item in events])
    beyond = np.mean([item in recent[:-3] for recent, item in events])
    assert within < 0.01
    assert beyond > 0.1


def test_a_remembered_part_does_not_follow_and_others_do_as_often_as_asked() -> None:
    law = SyntheticLogConfig(num_users=1500, num_items=500, popularity=0.2)
    events = [(recent, item, int(law.next_of(np.array(recent[-1])))) for recent, item in remembered(made(law), 20)]
    open_parts = [item == follows for recent, item, follows in events if follows >= 0 and follows not in recent]
    known_parts = [item == follows for recent, item, follows in events if follows in recent]
    assert np.mean(open_parts) == pytest.approx(law.next_part, abs=0.02)
    assert np.mean(known_parts) < 0.01


def test_who_knows_the_history_guesses_far_better_than_popularity() -> None:
    law = SyntheticLogConfig(num_users=2000)
    before, after = steps(made(law))
    most_popular = np.argmax(law.weights)
    follows = law.next_of(before)
    informed = np.where(follows >= 0, follows, most_popular)
    assert (after == informed).mean() > 0.3 > 3 * (after == most_popular).mean()


def shape(law: SyntheticLogConfig) -> tuple[int, int]:
    return count_block_users(law), count_blocks(law)


def test_blocks_do_not_grow_with_the_log() -> None:
    law = SyntheticLogConfig(num_items=100_000)
    users, _ = shape(law)
    assert shape(law.with_events(10**8))[0] == users
    assert generate_block(law.with_events(10**8), 200).height < 1.2 * synthetic.BLOCK_EVENTS


@pytest.mark.parametrize(
    "fields",
    [{"min_length": 1000, "max_length": 2000}, {"lengths": 0.1, "max_length": 100_000}, {"memory": 10**9}],
)
def test_long_histories_and_long_memories_make_smaller_blocks(fields: dict[str, Any]) -> None:
    law = SyntheticLogConfig(num_users=10**6, **fields)
    users, blocks = shape(law)
    assert users * law.mean_length <= synthetic.BLOCK_EVENTS
    assert users * law.remembered <= synthetic.BLOCK_REMEMBERED
    assert (blocks - 1) * users < law.num_users <= blocks * users


def test_a_written_log_is_read_back_as_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BLOCK_USERS", 15)
    events = write_log(SMALL, tmp_path / "log")
    read = read_interactions([tmp_path / "log"], strict=True)
    assert read.report.files == 4
    assert read.events.equals(made(SMALL))
    assert events == read.events.height


def test_a_log_is_not_written_beside_another(tmp_path: Path) -> None:
    write_log(SMALL, tmp_path)
    with pytest.raises(ValueError, match="already holds Parquet"):
        write_log(SMALL, tmp_path)


def test_the_item_table_says_series_part_and_genre() -> None:
    law = SyntheticLogConfig(num_items=12, num_genres=2, series_length=5)
    table = make_item_table(law)
    assert table.schema == ITEMS
    assert table.row(6) == ("i6", "Series 1, part 2", ["genre 1"])
    dataset = prepare_dataset(made(law), table, min_item_events=1)
    assert all(dataset.catalogue.titles)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_users": 0}, "num_users must be 1 or more, not 0"),
        ({"num_items": -1}, "num_items must be 1 or more"),
        ({"num_genres": 0}, "num_genres must be"),
        ({"series_length": 0}, "series_length must be"),
        ({"min_length": 0}, "min_length must be"),
        ({"min_length": 5, "max_length": 4}, "max_length 4 is below min_length 5"),
        ({"num_items": 39}, "num_items 39 does not give each of 8 genres a series"),
        ({"next_part": 1.1}, "next_part is a probability, not 1.1"),
        ({"own_genre": -0.1}, "own_genre is a probability"),
        ({"drift": math.nan}, "drift is a probability"),
        ({"lengths": 0.0}, "lengths must be above 0"),
        ({"lengths": math.inf}, "lengths must be above 0 and finite"),
        ({"popularity": -1.0}, "popularity must be 0 or more"),
        ({"popularity": math.nan}, "popularity must be 0 or more"),
        ({"memory": -1}, "memory must be 0 or more"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_a_law_that_makes_no_sense_is_refused_by_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticLogConfig(**fields)


def test_a_log_of_no_events_is_refused() -> None:
    with pytest.raises(ValueError, match="num_events must be 1 or more, not 0"):
        SMALL.with_events(0)


def test_weights_are_one_for_each_rank() -> None:
    law = SyntheticLogConfig(num_items=200, popularity=2)
    expected: NDArray[np.float64] = np.arange(1, 201, dtype=np.float64) ** -2
    assert np.allclose(np.sort(law.weights)[::-1], expected)
