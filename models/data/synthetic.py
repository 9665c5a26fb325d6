"""Synthetic logs of any size, for tests, benchmarks and the demo, with known statistics.

Items come in series of a genre; popularity and history lengths follow power laws. At every step a user takes

1. the next part of the last item's series, with probability `next_part`, if there is one that is not remembered;
2. otherwise an item of the user's current genre, with probability `own_genre`; the genre itself drifts;
3. otherwise any item;

2 and 3 by popularity. A user remembers the last `memory` items: if 2 or 3 samples one of them, it is sampled again, up
to MAX_REDRAWS times, and then accepted. So an item rarely repeats within `memory` steps, and freely later.

Users are generated in blocks, each from its own seed, so memory does not grow with the log, and any block can be
generated alone. An item is a number.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

BLOCK_USERS = 20_000
BLOCK_EVENTS = 500_000  # expected events, if histories are long
BLOCK_REMEMBERED = 4_000_000  # remembered items of all users of a block
EPOCH_MS = 1_735_689_600_000  # 2025-01-01 UTC: readers reject times in the future
SPAN_MS = 90 * 24 * 3600 * 1000
MEAN_GAP_MS = 6 * 3600 * 1000
MAX_REDRAWS = 4

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SyntheticLogConfig:
    """Parameters of a synthetic log; ValueError names an invalid field.

    `popularity` and `lengths` are power-law exponents: the item of rank r has weight r^−popularity, P(length ≥ n) is
    proportional to n^−lengths, between `min_length` and `max_length`. Item i is part i mod `series_length` of its
    series, counted from 0; series s has genre s mod `num_genres`. A step changes the genre to a random one with
    probability `drift`.
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
    memory: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("num_users", "num_items", "num_genres", "series_length", "min_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 (got {getattr(self, name)})")
        for name in ("memory", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0 (got {getattr(self, name)})")
        if self.max_length < self.min_length:
            raise ValueError(f"max_length must be at least min_length {self.min_length} (got {self.max_length})")
        if self.num_items < self.num_genres * self.series_length:
            least = self.num_genres * self.series_length
            raise ValueError(f"num_items must be at least {least}, one series per genre (got {self.num_items})")
        for name in ("next_part", "own_genre", "drift"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1 (got {getattr(self, name)})")
        if not 0 < self.lengths < math.inf:
            raise ValueError(f"lengths must be above 0 and finite (got {self.lengths})")
        if not 0 <= self.popularity < math.inf:
            raise ValueError(f"popularity must be at least 0 and finite (got {self.popularity})")

    @property
    def mean_length(self) -> float:
        """Expected number of events per user."""
        above = np.arange(self.min_length + 1, self.max_length + 1, dtype=np.float64)
        return self.min_length + float(((self.min_length / above) ** self.lengths).sum())

    def find_genre(self, item: Ints) -> Ints:
        return item // self.series_length % self.num_genres

    def find_next_part(self, item: Ints) -> Ints:
        """The next part of each item's series, or −1 at its end."""
        following = item + 1
        return np.where((following % self.series_length == 0) | (following >= self.num_items), -1, following)

    @property
    def weights(self) -> Floats:
        """Sampling weights of all items, (num_items,), the largest 1."""
        rank = np.random.default_rng([self.seed, 0]).permutation(self.num_items) + 1
        return rank.astype(np.float64) ** -self.popularity

    @property
    def memory_size(self) -> int:
        """Size of a user's memory, at most `max_length`."""
        return min(self.memory, self.max_length)

    def sample_items(self, rng: np.random.Generator, genre: Ints) -> Ints:
        """Sample by rules 2 and 3: one item for each user's current genre (users,)."""
        return self._sampler.sample(rng, genre)

    @cached_property
    def _sampler(self) -> "_ItemSampler":
        return _ItemSampler(self)


class _ItemSampler:
    """Samples items by popularity, from one genre or from all."""

    def __init__(self, config: SyntheticLogConfig) -> None:
        self._own_genre = config.own_genre
        self._items = np.argsort(config.find_genre(np.arange(config.num_items)), kind="stable")
        self._steps = np.concatenate(([0.0], np.cumsum(config.weights[self._items])))
        self._starts = np.searchsorted(config.find_genre(self._items), np.arange(config.num_genres + 1))

    def sample(self, rng: np.random.Generator, genre: Ints) -> Ints:
        """Sample one item for each user's current genre (users,)."""
        is_own_genre = rng.random(len(genre)) < self._own_genre
        low = np.where(is_own_genre, self._starts[genre], 0)
        high = np.where(is_own_genre, self._starts[genre + 1], len(self._items))
        point = self._steps[low] + rng.random(len(genre)) * (self._steps[high] - self._steps[low])
        # Clipped, because rounding may move a point to the edge of the next genre.
        position = np.clip(np.searchsorted(self._steps, point, side="right") - 1, low, high - 1)
        items: Ints = self._items[position]
        return items


def count_block_users(config: SyntheticLogConfig) -> int:
    """Users per block; fewer if histories or memories are long, so that a block's memory is bounded."""
    by_memory = BLOCK_REMEMBERED // max(1, config.memory_size)
    return max(1, min(BLOCK_USERS, int(BLOCK_EVENTS / config.mean_length), by_memory))


def count_blocks(config: SyntheticLogConfig) -> int:
    return -(-config.num_users // count_block_users(config))


def generate_log(config: SyntheticLogConfig) -> Iterator[pl.DataFrame]:
    """Generate the log block by block: `user_id`, `item_id` (String) and `timestamp` (ms).

    Each user's events are contiguous, oldest first.
    """
    for block in range(count_blocks(config)):
        yield generate_block(config, block)


def generate_block(config: SyntheticLogConfig, block: int) -> pl.DataFrame:
    """Generate the users from block · count_block_users(config) on, independently of other blocks."""
    if not 0 <= block < count_blocks(config):
        raise ValueError(f"block must be between 0 and {count_blocks(config) - 1} (got {block})")
    rng = np.random.default_rng([config.seed, 1 + block])
    first = block * count_block_users(config)
    count = min(count_block_users(config), config.num_users - first)
    lengths = _sample_lengths(config, rng, count)
    users = np.repeat(first + rng.permutation(count), lengths)
    items = _sample_histories(config, rng, lengths)
    first_rows = np.cumsum(lengths) - lengths
    ticks = np.cumsum((rng.exponential(MEAN_GAP_MS, len(items)) + 1).astype(np.int64))
    starts = EPOCH_MS + rng.integers(0, SPAN_MS, count)
    return pl.DataFrame(
        {
            "user_id": "u" + pl.Series(users).cast(pl.String),
            "item_id": "i" + pl.Series(items).cast(pl.String),
            "timestamp": ticks + np.repeat(starts - ticks[first_rows], lengths),
        }
    )


def _sample_lengths(config: SyntheticLogConfig, rng: np.random.Generator, count: int) -> Ints:
    """Sample history lengths, (count,), in descending order."""
    floor = (config.min_length / config.max_length) ** config.lengths  # keeps the power below from overflowing
    lengths = config.min_length * np.maximum(1 - rng.random(count), floor) ** (-1 / config.lengths)
    return np.sort(np.clip(lengths.astype(np.int64), config.min_length, config.max_length))[::-1]


def _sample_histories(config: SyntheticLogConfig, rng: np.random.Generator, lengths: Ints) -> Ints:
    """Sample the items of all users, user by user (events,), computing one step for all users at a time."""
    items = np.empty(int(lengths.sum()), dtype=np.int64)
    first_rows = np.cumsum(lengths) - lengths
    memory = np.full((config.memory_size, len(lengths)), -1, dtype=np.int64)  # (memory size, users), a ring buffer
    genre = rng.integers(0, config.num_genres, len(lengths))
    item = np.full(len(lengths), -1, dtype=np.int64)
    for step in range(int(lengths[0])):
        # Longest histories first: unfinished histories are always those of the first `active` users.
        active = int(np.searchsorted(-lengths, -step, side="left"))
        item, genre = _sample_next_items(config, rng, item[:active], genre[:active], memory[:, :active])
        items[first_rows[:active] + step] = item
        if config.memory_size:
            memory[step % config.memory_size, :active] = item
    return items


def _sample_next_items(
    config: SyntheticLogConfig, rng: np.random.Generator, item: Ints, genre: Ints, memory: Ints
) -> tuple[Ints, Ints]:
    """One step of all users: `item` (users,) is their last item or −1, `memory` (memory size, users) their memory."""
    count = len(item)
    genre = np.where(rng.random(count) < config.drift, rng.integers(0, config.num_genres, count), genre)
    part = np.where(item >= 0, config.find_next_part(item), -1)
    items = np.where((rng.random(count) < config.next_part) & (part >= 0), part, config.sample_items(rng, genre))
    # A remembered next part is replaced by a popularity sample here as well.
    repeated = np.flatnonzero((memory == items).any(axis=0))
    for _ in range(MAX_REDRAWS):
        if not len(repeated):
            break
        items[repeated] = config.sample_items(rng, genre[repeated])
        repeated = repeated[(memory[:, repeated] == items[repeated]).any(axis=0)]
    return items, genre
