"""Logs with a known law, for tests, benchmarks and the demo: what can be learned from them is known beforehand.

Items come in series of a genre; popularity and lengths follow power laws. At every step a user takes

1. the next part of the series of the last item, with probability `next_part`, if there is one;
2. otherwise an item of the user's current genre, with probability `own_genre`; the genre itself drifts;
3. otherwise any item;

2 and 3 by popularity. Items may come again. Users are generated in blocks, each from its own seed, so memory does not
grow with the log, and any block can be made alone. It knows nothing of training.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

BLOCK_USERS = 20_000
EPOCH_MS = 1_767_225_600_000  # 2026-01-01 UTC
SPAN_MS = 90 * 24 * 3600 * 1000
MEAN_GAP_MS = 6 * 3600 * 1000

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SyntheticLaw:
    """`popularity` and `lengths` are exponents: item of rank r has weight r^−popularity, P(length > n) ~ n^−lengths.

    Lengths lie between `min_length` and `max_length`. Item i is part i mod `series_length` of its series, counted from
    0; series s has genre s mod `num_genres`.
    """

    num_users: int = 1000
    num_items: int = 500
    num_genres: int = 8
    series_length: int = 5
    min_length: int = 10
    max_length: int = 1000
    lengths: float = 1.8
    popularity: float = 1.0
    next_part: float = 0.5
    own_genre: float = 0.8
    drift: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_users", "num_items", "num_genres", "series_length", "min_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if self.max_length < self.min_length:
            raise ValueError(f"max_length {self.max_length} is below min_length {self.min_length}")
        if self.num_items < self.num_genres * self.series_length:
            raise ValueError(f"num_items {self.num_items} does not give each of {self.num_genres} genres a series")
        for name in ("next_part", "own_genre", "drift"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, not {getattr(self, name)}")
        for name in ("lengths", "popularity"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")

    @property
    def num_blocks(self) -> int:
        return -(-self.num_users // BLOCK_USERS)

    def genre(self, item: Ints) -> Ints:
        return item // self.series_length % self.num_genres

    def next_of(self, item: Ints) -> Ints:
        """The part that follows, or −1 at the end of a series."""
        follows = item + 1
        return np.where((follows % self.series_length == 0) | (follows >= self.num_items), -1, follows)

    @cached_property
    def _draw(self) -> "_PopularityDraw":
        return _PopularityDraw(self)


class _PopularityDraw:
    """Items by popularity, of one genre or of all, for arrays of uniform numbers."""

    def __init__(self, law: SyntheticLaw) -> None:
        rank = np.random.default_rng([law.seed, 0]).permutation(law.num_items) + 1
        weight = rank.astype(np.float64) ** -law.popularity
        self._items = np.argsort(law.genre(np.arange(law.num_items)), kind="stable")
        self._steps = np.concatenate(([0.0], np.cumsum(weight[self._items])))
        genres = law.genre(self._items)
        self._starts = np.searchsorted(genres, np.arange(law.num_genres + 1))

    def of_genre(self, genre: Ints, uniform: NDArray[np.float64]) -> Ints:
        low, high = self._starts[genre], self._starts[genre + 1]
        return self._at(self._steps[low] + uniform * (self._steps[high] - self._steps[low]), low, high)

    def of_all(self, uniform: NDArray[np.float64]) -> Ints:
        low = np.zeros(len(uniform), dtype=np.int64)
        return self._at(uniform * self._steps[-1], low, low + len(self._items))

    def _at(self, point: NDArray[np.float64], low: Ints, high: Ints) -> Ints:
        place = np.searchsorted(self._steps, point, side="right") - 1
        return self._items[np.clip(place, low, high - 1)]


def generate(law: SyntheticLaw) -> Iterator[pl.DataFrame]:
    """The log block by block: `user_id`, `item_id` (String) and `timestamp` (ms), each user's events together."""
    for block in range(law.num_blocks):
        yield generate_block(law, block)


def generate_block(law: SyntheticLaw, block: int) -> pl.DataFrame:
    """The users from block · BLOCK_USERS on; the same whether the blocks before it were made or not."""
    rng = np.random.default_rng([law.seed, 1 + block])
    first = block * BLOCK_USERS
    count = min(BLOCK_USERS, law.num_users - first)
    wanted = law.min_length * rng.random(count) ** (-1 / law.lengths)
    lengths = np.sort(np.minimum(wanted, law.max_length).astype(np.int64))[::-1]
    steps = np.full((count, int(lengths[0])), -1, dtype=np.int64)
    genre = rng.integers(0, law.num_genres, count)
    item = np.full(count, -1, dtype=np.int64)
    # Longest histories first: those that go on are always the first `going` rows.
    for step in range(int(lengths[0])):
        going = int(np.searchsorted(-lengths, -step, side="left"))
        item, genre = _next_items(law, rng, item[:going], genre[:going])
        steps[:going, step] = item
    users = np.repeat(first + rng.permutation(count), lengths)
    items = steps[steps >= 0]
    starts = EPOCH_MS + rng.integers(0, SPAN_MS, count)
    gaps = (rng.exponential(MEAN_GAP_MS, len(items)) + 1).astype(np.int64)
    within = np.cumsum(gaps) - np.repeat(np.cumsum(gaps)[np.cumsum(lengths) - lengths], lengths)
    return pl.DataFrame(
        {
            "user_id": "u" + pl.Series(users).cast(pl.String),
            "item_id": "i" + pl.Series(items).cast(pl.String),
            "timestamp": np.repeat(starts, lengths) + within,
        }
    )


def item_table(law: SyntheticLaw) -> pl.DataFrame:
    """`item_id`, `title`, `categories` of every item, as `nextup train --items` reads it."""
    items = np.arange(law.num_items)
    series, part, genre = items // law.series_length, items % law.series_length + 1, law.genre(items)
    return pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in items],
            "title": [f"Series {s}, part {p}" for s, p in zip(series, part, strict=True)],
            "categories": [[f"genre {g}"] for g in genre],
        }
    )


def write_log(law: SyntheticLaw, folder: Path) -> int:
    """The log as one Parquet file per block; the number of events."""
    folder.mkdir(parents=True, exist_ok=True)
    events = 0
    for block, frame in enumerate(generate(law)):
        frame.write_parquet(folder / f"part-{block:05}.parquet")
        events += frame.height
    return events


def _next_items(law: SyntheticLaw, rng: np.random.Generator, item: Ints, genre: Ints) -> tuple[Ints, Ints]:
    count = len(item)
    genre = np.where(rng.random(count) < law.drift, rng.integers(0, law.num_genres, count), genre)
    uniform = rng.random(count)
    free = np.where(rng.random(count) < law.own_genre, law._draw.of_genre(genre, uniform), law._draw.of_all(uniform))
    follows = np.where(item >= 0, law.next_of(item), -1)
    return np.where((rng.random(count) < law.next_part) & (follows >= 0), follows, free), genre
