"""The demo: a catalogue that people can judge, and users whose histories match their descriptions."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from models.data.demo import (
    DEMO_USERS,
    LOG_CONFIG,
    PARTS,
    make_demo_histories,
    make_demo_items,
    make_demo_log,
    write_demo,
)
from models.data.interactions import read_interactions
from models.data.items import ITEM_SCHEMA, read_items

SPRING_2025_ENDS_MS = 1_750_464_000_000


@pytest.fixture(scope="module")
def items() -> pl.DataFrame:
    return make_demo_items()


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    return make_demo_log()


@pytest.fixture(scope="module")
def genres(items: pl.DataFrame) -> dict[str, str]:
    return dict(zip(items["item_id"], items["categories"].list.first(), strict=True))


def get_series(item: str) -> str:
    return item.rsplit("-", 1)[0]


def get_part(item: str) -> int:
    return int(item.rsplit("-", 1)[1])


def get_history(log: pl.DataFrame, user: str) -> list[str]:
    return log.filter(user_id=user).sort("timestamp")["item_id"].to_list()


def find_unfinished_series(items: list[str]) -> set[str]:
    last = {get_series(item): get_part(item) for item in items}
    return {name for name, reached in last.items() if reached < PARTS}


def test_ids_and_titles_are_unique_and_readable(items: pl.DataFrame) -> None:
    assert items.schema == ITEM_SCHEMA
    assert 600 <= items.height <= 1000
    assert items["item_id"].is_unique().all()
    assert items["title"].is_unique().all()
    assert items["item_id"].str.contains(r"^[a-z]+-[a-z]+-[1-5]$").all()
    assert ("lantern-coast-3", "The Lantern Coast 3", ["mystery"]) in items.rows()


def test_every_series_has_all_parts_in_one_genre(items: pl.DataFrame, genres: dict[str, str]) -> None:
    parts = Counter(get_series(item) for item in items["item_id"])
    assert set(parts.values()) == {PARTS}
    assert len({(get_series(item), genre) for item, genre in genres.items()}) == len(parts)


def test_names_match_the_series_and_genres_of_the_generator(items: pl.DataFrame, genres: dict[str, str]) -> None:
    item_ids = items["item_id"].to_list()
    numbers = pl.int_range(items.height, eager=True).to_numpy()
    next_parts = LOG_CONFIG.find_next_part(numbers)
    for item, after in zip(item_ids, next_parts.tolist(), strict=True):
        expected = f"{get_series(item)}-{get_part(item) + 1}" if get_part(item) < PARTS else None
        assert (item_ids[after] if after >= 0 else None) == expected
    names_of_genre = {
        (int(number), genres[item]) for number, item in zip(LOG_CONFIG.find_genre(numbers), item_ids, strict=True)
    }
    assert len(names_of_genre) == LOG_CONFIG.num_genres


def test_log_is_reproducible_and_depends_on_the_seed(log: pl.DataFrame) -> None:
    assert log.equals(make_demo_log())
    other = make_demo_log(seed=8)
    assert not log.equals(other)
    is_handwritten = pl.col("user_id").is_in(list(DEMO_USERS))
    assert log.filter(is_handwritten).equals(other.filter(is_handwritten))


def test_log_has_the_expected_size_and_covers_the_catalogue(log: pl.DataFrame, items: pl.DataFrame) -> None:
    assert 70_000 <= log.height <= 80_000
    assert log["user_id"].n_unique() == LOG_CONFIG.num_users + len(DEMO_USERS)
    assert set(log["item_id"]) == set(items["item_id"])
    assert log.group_by("item_id").len()["len"].min() >= 5  # type: ignore[operator]


def test_users_have_no_repeated_items_or_equal_times(log: pl.DataFrame) -> None:
    assert log.select("user_id", "item_id").is_unique().all()
    assert (log.select(pl.col("timestamp").diff().over("user_id")).to_series().drop_nulls() > 0).all()


def test_all_events_are_in_the_first_half_of_2025(log: pl.DataFrame) -> None:
    assert log["timestamp"].is_between(1_735_689_600_000, SPRING_2025_ENDS_MS).all()


def test_next_part_follows_as_often_as_configured(log: pl.DataFrame) -> None:
    is_next_part = [
        (get_series(before), get_part(before) + 1) == (get_series(after), get_part(after))
        for items in log.group_by("user_id", maintain_order=True).all()["item_id"].to_list()
        for place, (before, after) in enumerate(pairwise(items))
        if get_part(before) < PARTS and f"{get_series(before)}-{get_part(before) + 1}" not in items[:place]
    ]
    assert sum(is_next_part) / len(is_next_part) == pytest.approx(LOG_CONFIG.next_part, abs=0.02)


def test_demo_users_have_their_handwritten_histories(log: pl.DataFrame) -> None:
    histories = make_demo_histories()
    assert list(histories) == list(DEMO_USERS)
    assert all(DEMO_USERS.values())
    for user, items in histories.items():
        assert len(set(items)) == len(items)
        assert get_history(log, user) == items


def test_ada_is_in_the_middle_of_two_mysteries(log: pl.DataFrame, genres: dict[str, str]) -> None:
    ada = get_history(log, "ada")
    assert {genres[item] for item in ada} == {"mystery"}
    assert (
        {get_series(item) for item in ada[-4:]} == {"lantern-coast", "harbour-letters"} <= find_unfinished_series(ada)
    )


def test_ben_is_in_his_third_space_series(log: pl.DataFrame, genres: dict[str, str]) -> None:
    ben = get_history(log, "ben")
    assert {genres[item] for item in ben} == {"space"}
    assert list(dict.fromkeys(map(get_series, ben))) == ["ember-station", "cobalt-signal", "silent-convoy"]
    assert find_unfinished_series(ben) == {"silent-convoy"}


def test_chloe_alternates_between_kitchen_and_garden(log: pl.DataFrame, genres: dict[str, str]) -> None:
    turns = [genres[item] for item in get_history(log, "chloe")]
    assert turns == ["kitchen", "garden"] * (len(turns) // 2)


def test_dev_has_a_single_history_book(log: pl.DataFrame, genres: dict[str, str]) -> None:
    assert [genres[item] for item in get_history(log, "dev")] == ["history"]


def test_emil_went_from_music_to_the_sea(log: pl.DataFrame, genres: dict[str, str]) -> None:
    taste = [genres[item] for item in get_history(log, "emil")]
    assert list(dict.fromkeys(taste)) == ["music", "sea"]
    assert taste == sorted(taste), "music first, and never again"


def test_farah_lacks_only_the_last_part_of_a_third_fantasy_series(log: pl.DataFrame, genres: dict[str, str]) -> None:
    farah = get_history(log, "farah")
    assert {genres[item] for item in farah} == {"fantasy"}
    assert Counter(map(get_series, farah)) == {"thorn-covenant": 5, "winter-wardens": 5, "glass-throneless": 4}


def test_gus_has_only_first_parts_one_per_genre(log: pl.DataFrame, genres: dict[str, str]) -> None:
    gus = get_history(log, "gus")
    assert {get_part(item) for item in gus} == {1}
    assert sorted(genres[item] for item in gus) == sorted(set(genres.values()))


def test_demo_files_round_trip(tmp_path: Path, log: pl.DataFrame, items: pl.DataFrame) -> None:
    paths = write_demo(tmp_path / "demo")
    assert paths == (tmp_path / "demo" / "interactions.parquet", tmp_path / "demo" / "items.parquet")
    assert read_interactions([paths[0]], strict=True).events.equals(log)
    assert read_items(paths[1]).equals(items)
