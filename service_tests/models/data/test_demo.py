"""The demo is a catalogue that a person can judge, and users whose taste is what is said of them."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from models.data.demo import DEMO_USERS, LAW, PARTS, make_demo_items, make_demo_log, write_demo
from models.data.demo_users import demo_histories
from models.data.interactions import read_interactions
from models.data.items import ITEMS, read_items

SPRING_2026_ENDS_MS = 1_782_000_000_000


@pytest.fixture(scope="module")
def items() -> pl.DataFrame:
    return make_demo_items()


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    return make_demo_log()


@pytest.fixture(scope="module")
def genres(items: pl.DataFrame) -> dict[str, str]:
    return dict(zip(items["item_id"], items["categories"].list.first(), strict=True))


def series(item: str) -> str:
    return item.rsplit("-", 1)[0]


def part(item: str) -> int:
    return int(item.rsplit("-", 1)[1])


def history(log: pl.DataFrame, user: str) -> list[str]:
    return log.filter(user_id=user).sort("timestamp")["item_id"].to_list()


def unfinished(items: list[str]) -> set[str]:
    last = {series(item): part(item) for item in items}
    return {name for name, reached in last.items() if reached < PARTS}


def test_ids_and_titles_are_unique_and_readable(items: pl.DataFrame) -> None:
    assert items.schema == ITEMS
    assert 600 <= items.height <= 1000
    assert items["item_id"].is_unique().all()
    assert items["title"].is_unique().all()
    assert items["item_id"].str.contains(r"^[a-z]+-[a-z]+-[1-5]$").all()
    assert ("lantern-coast-3", "The Lantern Coast 3", ["mystery"]) in items.rows()


def test_every_series_has_all_its_parts_in_one_genre(items: pl.DataFrame, genres: dict[str, str]) -> None:
    parts = Counter(series(item) for item in items["item_id"])
    assert set(parts.values()) == {PARTS}
    assert len({(series(item), genre) for item, genre in genres.items()}) == len(parts)


def test_names_agree_with_the_law_about_series_and_genres(items: pl.DataFrame, genres: dict[str, str]) -> None:
    places = items["item_id"].to_list()
    numbers = pl.int_range(items.height, eager=True).to_numpy()
    follows = LAW.next_of(numbers)
    for item, after in zip(places, follows.tolist(), strict=True):
        expected = f"{series(item)}-{part(item) + 1}" if part(item) < PARTS else None
        assert (places[after] if after >= 0 else None) == expected
    names_of_genre = {(int(number), genres[item]) for number, item in zip(LAW.genre(numbers), places, strict=True)}
    assert len(names_of_genre) == LAW.num_genres


def test_the_log_is_the_same_every_time_and_another_for_another_seed(log: pl.DataFrame) -> None:
    assert log.equals(make_demo_log())
    other = make_demo_log(seed=8)
    assert not log.equals(other)
    by_hand = pl.col("user_id").is_in(list(DEMO_USERS))
    assert log.filter(by_hand).equals(other.filter(by_hand))


def test_the_log_has_the_size_of_a_demo_and_only_items_of_the_catalogue(log: pl.DataFrame, items: pl.DataFrame) -> None:
    assert 70_000 <= log.height <= 80_000
    assert log["user_id"].n_unique() == LAW.num_users + len(DEMO_USERS)
    assert set(log["item_id"]) == set(items["item_id"])
    assert log.group_by("item_id").len()["len"].min() >= 5  # type: ignore[operator]


def test_nobody_has_an_item_twice_or_two_at_once(log: pl.DataFrame) -> None:
    assert log.select("user_id", "item_id").is_unique().all()
    assert (log.select(pl.col("timestamp").diff().over("user_id")).to_series().drop_nulls() > 0).all()


def test_all_of_it_happened_in_the_first_half_of_2026(log: pl.DataFrame) -> None:
    assert log["timestamp"].is_between(1_767_225_600_000, SPRING_2026_ENDS_MS).all()


def test_the_next_part_comes_most_often_after_a_part(log: pl.DataFrame) -> None:
    followed = [
        (series(before), part(before) + 1) == (series(after), part(after))
        for items in log.group_by("user_id", maintain_order=True).all()["item_id"].to_list()
        for place, (before, after) in enumerate(pairwise(items))
        if part(before) < PARTS and f"{series(before)}-{part(before) + 1}" not in items[:place]
    ]
    assert sum(followed) / len(followed) == pytest.approx(LAW.next_part, abs=0.02)


def test_every_described_user_has_the_history_that_is_written_down(log: pl.DataFrame) -> None:
    written = demo_histories()
    assert list(written) == list(DEMO_USERS)
    assert all(DEMO_USERS.values())
    for user, items in written.items():
        assert len(set(items)) == len(items)
        assert history(log, user) == items


def test_ada_is_in_the_middle_of_two_mysteries(log: pl.DataFrame, genres: dict[str, str]) -> None:
    ada = history(log, "ada")
    assert {genres[item] for item in ada} == {"mystery"}
    assert {series(item) for item in ada[-4:]} == {"lantern-coast", "harbour-letters"} <= unfinished(ada)


def test_ben_is_in_his_third_space_series(log: pl.DataFrame, genres: dict[str, str]) -> None:
    ben = history(log, "ben")
    assert {genres[item] for item in ben} == {"space"}
    assert list(dict.fromkeys(map(series, ben))) == ["ember-station", "cobalt-signal", "silent-convoy"]
    assert unfinished(ben) == {"silent-convoy"}


def test_chloe_cooks_and_gardens_by_turns(log: pl.DataFrame, genres: dict[str, str]) -> None:
    turns = [genres[item] for item in history(log, "chloe")]
    assert turns == ["kitchen", "garden"] * (len(turns) // 2)


def test_dev_has_one_single_history_book(log: pl.DataFrame, genres: dict[str, str]) -> None:
    assert [genres[item] for item in history(log, "dev")] == ["history"]


def test_emil_went_from_music_to_the_sea(log: pl.DataFrame, genres: dict[str, str]) -> None:
    taste = [genres[item] for item in history(log, "emil")]
    assert list(dict.fromkeys(taste)) == ["music", "sea"]
    assert taste == sorted(taste), "music first, and never again"


def test_farah_lacks_only_the_last_part_of_a_third_fantasy(log: pl.DataFrame, genres: dict[str, str]) -> None:
    farah = history(log, "farah")
    assert {genres[item] for item in farah} == {"fantasy"}
    assert Counter(map(series, farah)) == {"thorn-covenant": 5, "winter-wardens": 5, "glass-throneless": 4}


def test_gus_has_first_parts_of_every_genre_and_no_other(log: pl.DataFrame, genres: dict[str, str]) -> None:
    gus = history(log, "gus")
    assert {part(item) for item in gus} == {1}
    assert sorted(genres[item] for item in gus) == sorted(set(genres.values()))


def test_written_files_read_back_as_log_and_items(tmp_path: Path, log: pl.DataFrame, items: pl.DataFrame) -> None:
    paths = write_demo(tmp_path / "demo")
    assert paths == (tmp_path / "demo" / "interactions.parquet", tmp_path / "demo" / "items.parquet")
    assert read_interactions([paths[0]], strict=True).events.equals(log)
    assert read_items(paths[1]).equals(items)
