"""Synthetic logs match their config, block by block, at any size."""

import dataclasses
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.data import synthetic
from models.data.synthetic import (
    Ints,
    SyntheticLogConfig,
    count_block_users,
    count_blocks,
    generate_block,
    generate_log,
)

SMALL = SyntheticLogConfig(num_users=50)
POPULARITY_ONLY = SyntheticLogConfig(num_users=4000, num_items=400, next_part=0, own_genre=0, memory=0)
"""Every event is sampled by popularity from all items."""


def make_log(config: SyntheticLogConfig) -> pl.DataFrame:
    return pl.concat(generate_log(config))


def get_item_numbers(log: pl.DataFrame) -> Ints:
    return log["item_id"].str.strip_prefix("i").cast(pl.Int64).to_numpy()


def list_steps(log: pl.DataFrame) -> tuple[Ints, Ints]:
    """List (item, next item) of every step within a user."""
    item, user = get_item_numbers(log), log["user_id"].to_numpy()
    is_same_user = user[1:] == user[:-1]
    return item[:-1][is_same_user], item[1:][is_same_user]


def list_memories(log: pl.DataFrame, memory: int) -> list[tuple[list[int], int]]:
    """List (the last `memory` items, the next item) of every event except the first of each user."""
    histories = (
        log.with_columns(pl.Series("item_id", get_item_numbers(log))).group_by("user_id", maintain_order=True).all()
    )
    return [
        (history[max(0, position - memory) : position], history[position])
        for history in histories["item_id"].to_list()
        for position in range(1, len(history))
    ]


def test_log_is_reproducible_and_depends_on_the_seed() -> None:
    assert make_log(SMALL).equals(make_log(SyntheticLogConfig(num_users=50)))
    other = make_log(dataclasses.replace(SMALL, seed=1))
    for column in ("user_id", "item_id", "timestamp"):
        assert make_log(SMALL)[column].to_list() != other[column].to_list()


def test_block_generated_alone_equals_that_of_the_full_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BLOCK_USERS", 15)
    blocks = list(generate_log(SMALL))
    assert [block["user_id"].n_unique() for block in blocks] == [15, 15, 15, 5]
    for number in (3, 1):
        assert generate_block(SMALL, number).equals(blocks[number])


def test_full_block_does_not_depend_on_later_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "BLOCK_USERS", 15)
    assert generate_block(SMALL, 0).equals(generate_block(dataclasses.replace(SMALL, num_users=10**9), 0))


@pytest.mark.parametrize("block", [-1, 1])
def test_block_out_of_range_raises(block: int) -> None:
    with pytest.raises(ValueError, match=rf"block must be between 0 and 0 \(got {block}\)"):
        generate_block(SMALL, block)


@given(
    config=st.builds(
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
def test_every_config_gives_histories_within_bounds_in_time_order(config: SyntheticLogConfig) -> None:
    log = make_log(config)
    assert log.schema == {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    assert set(log["user_id"]) == {f"u{user}" for user in range(config.num_users)}
    assert log["user_id"].rle_id().n_unique() == config.num_users, "each user's events are contiguous"
    assert set(log["item_id"]) <= {f"i{item}" for item in range(config.num_items)}
    lengths = log.group_by("user_id").len()["len"]
    assert lengths.is_between(config.min_length, config.max_length).all()
    assert (log.select(pl.col("timestamp").diff().over("user_id")).to_series().drop_nulls() > 0).all()


@pytest.mark.parametrize("popularity", [0.0, 0.7, 1.3])
def test_item_counts_follow_the_popularity_exponent(popularity: float) -> None:
    config = dataclasses.replace(POPULARITY_ONLY, popularity=popularity)
    counts = np.bincount(get_item_numbers(make_log(config)), minlength=config.num_items)
    by_rank = counts[np.argsort(-config.weights, kind="stable")][:50]
    slope = np.polyfit(np.log(np.arange(1, 51)), np.log(by_rank), 1)[0]
    assert slope == pytest.approx(-popularity, abs=0.05)


def test_items_are_sampled_in_proportion_to_their_weights() -> None:
    counts = np.bincount(get_item_numbers(make_log(POPULARITY_ONLY)), minlength=POPULARITY_ONLY.num_items)
    expected = POPULARITY_ONLY.weights / POPULARITY_ONLY.weights.sum() * counts.sum()
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()


def test_lengths_follow_their_power_law_and_expected_mean() -> None:
    config = SyntheticLogConfig(num_users=20_000, min_length=4, lengths=1.5, next_part=0, memory=0)
    lengths = make_log(config).group_by("user_id").len()["len"].to_numpy()
    for bound in (8, 16, 64):
        assert (lengths >= bound).mean() == pytest.approx((4 / bound) ** 1.5, rel=0.15)
    assert lengths.mean() == pytest.approx(config.mean_length, rel=0.05)


@pytest.mark.parametrize("next_part", [0.0, 0.5, 0.9])
def test_next_part_follows_as_often_as_configured(next_part: float) -> None:
    config = SyntheticLogConfig(num_users=3000, num_items=20_000, popularity=0.3, next_part=next_part, memory=0)
    before, after = list_steps(make_log(config))
    next_parts = config.find_next_part(before)
    assert (after == next_parts)[next_parts >= 0].mean() == pytest.approx(next_part, abs=0.01)


def test_last_parts_of_series_and_catalogue_have_no_next_part() -> None:
    config = SyntheticLogConfig(num_items=12, num_genres=2, series_length=5)
    assert config.find_next_part(np.arange(12)).tolist() == [1, 2, 3, 4, -1, 6, 7, 8, 9, -1, 11, -1]
    assert config.find_genre(np.arange(12)).tolist() == [0] * 5 + [1] * 5 + [0] * 2


def measure_genre_changes(**fields: Any) -> float:
    config = SyntheticLogConfig(
        **{"num_users": 3000, "num_items": 800, "next_part": 0, "own_genre": 1, "memory": 0} | fields
    )
    before, after = list_steps(make_log(config))
    return float((config.find_genre(before) != config.find_genre(after)).mean())


def test_genre_drifts_as_often_as_configured() -> None:
    assert measure_genre_changes(drift=0) == 0
    assert measure_genre_changes(drift=0.2) == pytest.approx(0.2 * 7 / 8, abs=0.01), (
        "one of eight samples is the same genre"
    )


def test_items_outside_the_own_genre_occur_as_often_as_configured() -> None:
    config = SyntheticLogConfig(num_items=800, popularity=0)
    outside = 0.4 * 7 / 8
    expected = 2 * outside - outside**2 * 8 / 7  # one of two steps is outside, or both are and differ
    assert measure_genre_changes(drift=0, own_genre=0.6, popularity=config.popularity) == pytest.approx(
        expected, abs=0.01
    )


def test_remembered_items_rarely_repeat() -> None:
    without_memory = SyntheticLogConfig(num_users=400, memory=0)
    repeat_share = {
        config.memory: np.mean([item in recent for recent, item in list_memories(make_log(config), 20)])
        for config in (without_memory, dataclasses.replace(without_memory, memory=20))
    }
    assert repeat_share[0] > 0.2
    assert repeat_share[20] < repeat_share[0] / 10


def test_forgotten_items_repeat() -> None:
    config = SyntheticLogConfig(num_users=400, min_length=40, memory=3)
    events = list_memories(make_log(config), 40)
    within_memory = np.mean([item in recent[-3:] for recent, item in events])
    beyond_memory = np.mean([item in recent[:-3] for recent, item in events])
    assert within_memory < 0.01
    assert beyond_memory > 0.1


def test_remembered_next_parts_do_not_follow_and_new_ones_do_as_configured() -> None:
    config = SyntheticLogConfig(num_users=1500, num_items=500, popularity=0.2)
    events = [
        (recent, item, int(config.find_next_part(np.array(recent[-1]))))
        for recent, item in list_memories(make_log(config), 20)
    ]
    new_parts = [item == part for recent, item, part in events if part >= 0 and part not in recent]
    remembered_parts = [item == part for recent, item, part in events if part in recent]
    assert np.mean(new_parts) == pytest.approx(config.next_part, abs=0.02)
    assert np.mean(remembered_parts) < 0.01


def test_next_part_predicts_far_better_than_popularity() -> None:
    config = SyntheticLogConfig(num_users=2000)
    before, after = list_steps(make_log(config))
    most_popular = np.argmax(config.weights)
    next_parts = config.find_next_part(before)
    informed = np.where(next_parts >= 0, next_parts, most_popular)
    assert (after == informed).mean() > 0.3 > 3 * (after == most_popular).mean()


def get_shape(config: SyntheticLogConfig) -> tuple[int, int]:
    return count_block_users(config), count_blocks(config)


def test_block_size_does_not_depend_on_the_log() -> None:
    config = SyntheticLogConfig(num_items=100_000)
    users, _ = get_shape(config)
    large = dataclasses.replace(config, num_users=10**7)
    assert get_shape(large)[0] == users
    assert generate_block(large, 200).height < 1.2 * synthetic.BLOCK_EVENTS


@pytest.mark.parametrize(
    "fields",
    [{"min_length": 1000, "max_length": 2000}, {"lengths": 0.1, "max_length": 100_000}, {"memory": 10**9}],
)
def test_long_histories_and_memories_make_smaller_blocks(fields: dict[str, Any]) -> None:
    config = SyntheticLogConfig(num_users=10**6, **fields)
    users, blocks = get_shape(config)
    assert users * config.mean_length <= synthetic.BLOCK_EVENTS
    assert users * config.memory_size <= synthetic.BLOCK_REMEMBERED
    assert (blocks - 1) * users < config.num_users <= blocks * users


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_users": 0}, "num_users must be at least 1 .got 0."),
        ({"num_items": -1}, "num_items must be at least 1"),
        ({"num_genres": 0}, "num_genres must be"),
        ({"series_length": 0}, "series_length must be"),
        ({"min_length": 0}, "min_length must be"),
        ({"min_length": 5, "max_length": 4}, "max_length must be at least min_length 5"),
        ({"num_items": 39}, "num_items must be at least 40, one series per genre"),
        ({"next_part": 1.1}, r"next_part must be between 0 and 1 \(got 1.1\)"),
        ({"own_genre": -0.1}, "own_genre must be between"),
        ({"drift": math.nan}, "drift must be between"),
        ({"lengths": 0.0}, "lengths must be above 0"),
        ({"lengths": math.inf}, "lengths must be above 0 and finite"),
        ({"popularity": -1.0}, "popularity must be at least 0"),
        ({"popularity": math.nan}, "popularity must be at least 0"),
        ({"memory": -1}, "memory must be at least 0"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_invalid_config_error_names_the_field(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SyntheticLogConfig(**fields)


def test_weights_are_a_permutation_of_the_power_law() -> None:
    config = SyntheticLogConfig(num_items=200, popularity=2)
    expected: NDArray[np.float64] = np.arange(1, 201, dtype=np.float64) ** -2
    assert np.allclose(np.sort(config.weights)[::-1], expected)
