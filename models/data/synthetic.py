"""Synthetic logs of any size, for tests, benchmarks and the demo: what can be learned from them is known beforehand.

Users are generated in blocks, each from its own seed, so memory does not grow with the log, and any block can be made
alone. The law is in synthetic_law.py. It knows nothing of training, and no names: an item is a number.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from models.data.synthetic_law import REDRAWS, Ints, SyntheticLogConfig

__all__ = [
    "SyntheticLogConfig",
    "count_block_users",
    "count_blocks",
    "generate_block",
    "generate_log",
    "make_item_table",
    "write_log",
]

BLOCK_USERS = 20_000
BLOCK_EVENTS = 500_000  # expected, where histories are long
BLOCK_REMEMBERED = 4_000_000  # items in the memories of all users of a block
EPOCH_MS = 1_767_225_600_000  # 2026-01-01 UTC
SPAN_MS = 90 * 24 * 3600 * 1000
MEAN_GAP_MS = 6 * 3600 * 1000


def count_block_users(law: SyntheticLogConfig) -> int:
    """Users of a block: fewer where they are long or remember much, so that a block is bounded."""
    by_memory = BLOCK_REMEMBERED // max(1, law.remembered)
    return max(1, min(BLOCK_USERS, int(BLOCK_EVENTS / law.mean_length), by_memory))


def count_blocks(law: SyntheticLogConfig) -> int:
    return -(-law.num_users // count_block_users(law))


def generate_log(law: SyntheticLogConfig) -> Iterator[pl.DataFrame]:
    """The log block by block: `user_id`, `item_id` (String) and `timestamp` (ms), each user's events together, oldest
    first.
    """
    for block in range(count_blocks(law)):
        yield generate_block(law, block)


def generate_block(law: SyntheticLogConfig, block: int) -> pl.DataFrame:
    """The users from block · count_block_users(law) on; the same whether the blocks before it were made or not."""
    if not 0 <= block < count_blocks(law):
        raise ValueError(f"block {block} is none of the {count_blocks(law)} blocks, counted from 0")
    rng = np.random.default_rng([law.seed, 1 + block])
    first = block * count_block_users(law)
    count = min(count_block_users(law), law.num_users - first)
    lengths = _lengths(law, rng, count)
    users = np.repeat(first + rng.permutation(count), lengths)
    items = _items(law, rng, lengths)
    begins = np.cumsum(lengths) - lengths
    ticks = np.cumsum((rng.exponential(MEAN_GAP_MS, len(items)) + 1).astype(np.int64))
    starts = EPOCH_MS + rng.integers(0, SPAN_MS, count)
    return pl.DataFrame(
        {
            "user_id": "u" + pl.Series(users).cast(pl.String),
            "item_id": "i" + pl.Series(items).cast(pl.String),
            "timestamp": ticks + np.repeat(starts - ticks[begins], lengths),
        }
    )


def make_item_table(law: SyntheticLogConfig) -> pl.DataFrame:
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


def write_log(law: SyntheticLogConfig, folder: Path) -> int:
    """The log as one Parquet file per block; the number of events. ValueError if the folder holds Parquet already."""
    folder.mkdir(parents=True, exist_ok=True)
    if next(folder.glob("*.parquet"), None) is not None:
        raise ValueError(f"{folder} already holds Parquet files, and the log would be read together with them")
    events = 0
    for block, frame in enumerate(generate_log(law)):
        frame.write_parquet(folder / f"part-{block:05}.parquet")
        events += frame.height
    return events


def _lengths(law: SyntheticLogConfig, rng: np.random.Generator, count: int) -> Ints:
    """(count,) falling."""
    least = (law.min_length / law.max_length) ** law.lengths  # keeps the power below from overflowing
    wanted = law.min_length * np.maximum(1 - rng.random(count), least) ** (-1 / law.lengths)
    return np.sort(np.clip(wanted.astype(np.int64), law.min_length, law.max_length))[::-1]


def _items(law: SyntheticLogConfig, rng: np.random.Generator, lengths: Ints) -> Ints:
    """The items of all users, one user after the other (events,). One step for all users at a time."""
    items = np.empty(int(lengths.sum()), dtype=np.int64)
    begins = np.cumsum(lengths) - lengths
    remembered = np.full((law.remembered, len(lengths)), -1, dtype=np.int64)  # (memory, users), a ring
    genre = rng.integers(0, law.num_genres, len(lengths))
    item = np.full(len(lengths), -1, dtype=np.int64)
    for step in range(int(lengths[0])):
        # Longest histories first: those that go on are always the first `going` users.
        going = int(np.searchsorted(-lengths, -step, side="left"))
        item, genre = _next_items(law, rng, item[:going], genre[:going], remembered[:, :going])
        items[begins[:going] + step] = item
        if law.remembered:
            remembered[step % law.remembered, :going] = item
    return items


def _next_items(
    law: SyntheticLogConfig, rng: np.random.Generator, item: Ints, genre: Ints, known: Ints
) -> tuple[Ints, Ints]:
    """One step of users who took `item` last (users,), −1 for nothing, and remember `known` (memory, users)."""
    count = len(item)
    genre = np.where(rng.random(count) < law.drift, rng.integers(0, law.num_genres, count), genre)
    part = np.where(item >= 0, law.next_of(item), -1)
    chosen = np.where((rng.random(count) < law.next_part) & (part >= 0), part, law.free_items(rng, genre))
    # A part that is remembered, and so does not follow, gives way to a free draw here as well.
    again = np.flatnonzero((known == chosen).any(axis=0))
    for _ in range(REDRAWS):
        if not len(again):
            break
        chosen[again] = law.free_items(rng, genre[again])
        again = again[(known[:, again] == chosen[again]).any(axis=0)]
    return chosen, genre
