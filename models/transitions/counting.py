"""Counts transitions in histories: for each item the items that follow it within a few steps.

A follower at distance d counts 1/d, times its weight as a target where events have weights. Counts are added up in
parts, so that memory grows with the number of different pairs and not with the length of the log.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.batch import PADDING, History
from models.transitions.memory import COUNTED_STEPS, TransitionMemory

Number = TypeVar("Number", np.int64, np.float32)

PART_EVENTS = 2_000_000
INDEX_BITS, INDEX_MASK = 32, (1 << 32) - 1
"""A pair is one number, twice as fast to group as two columns: the source above this bit, the follower below it."""


def fill_memory(
    memory: TransitionMemory, histories: Sequence[History], weights: Sequence[NDArray[np.float32]] | None = None
) -> None:
    """Store the strongest followers of every item in these histories, ties in catalogue order.

    `weights` are parallel to the histories; an event with a weight of 0 follows no item.
    """
    pairs = count_transitions(histories, weights=weights)
    totals = pairs.group_by("source").agg(pl.col("weight").sum().alias("total"))
    strongest = (
        pairs.sort("source", "weight", "follower", descending=[False, True, False])
        .with_columns(rank=pl.int_range(pl.len()).over("source"))
        .filter(pl.col("rank") < memory.num_followers)
        .join(totals, on="source")
    )
    shape = (memory.num_items + 1, memory.num_followers)
    followers, probabilities = np.zeros(shape, dtype=np.int64), np.zeros(shape)
    cells = strongest["source"].to_numpy(), strongest["rank"].to_numpy()
    followers[cells] = strongest["follower"].to_numpy()
    probabilities[cells] = (strongest["weight"] / strongest["total"]).to_numpy()
    counts = np.zeros(memory.num_items + 1)
    counts[totals["source"].to_numpy()] = totals["total"].to_numpy()
    memory.store(followers, probabilities, counts)


def count_transitions(
    histories: Sequence[History],
    *,
    directed: bool = True,
    part_events: int = PART_EVENTS,
    weights: Sequence[NDArray[np.float32]] | None = None,
) -> pl.DataFrame:
    """Count all pairs: `source`, `follower` and the sum of `weight`, in no order.

    Not `directed`: both directions together, once, as pairs with the smaller item as `source`.
    """
    counted = _to_frame(np.empty(0, dtype=np.int64), 1.0)
    for rows in _split_into_parts(histories, part_events):
        part_weights = None if weights is None else _concatenate(weights[rows], np.float32(0))
        pairs = pl.concat([counted, *_list_pairs(_concatenate(histories[rows], PADDING), part_weights, directed)])
        counted = pairs.group_by("pair").agg(pl.col("weight").sum())
    numbers = counted["pair"].to_numpy()
    return pl.DataFrame(
        {"source": numbers >> INDEX_BITS, "follower": numbers & INDEX_MASK, "weight": counted["weight"]}
    )


def _split_into_parts(histories: Sequence[History], part_events: int) -> list[slice]:
    ends = np.cumsum([len(history) for history in histories])
    parts = ends // part_events
    starts = np.flatnonzero(np.diff(parts, prepend=-1)).tolist()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(histories)], strict=True)]


def _concatenate(rows: Sequence[NDArray[Number]], filler: Number | int) -> NDArray[Number]:
    """Concatenate the rows with a gap after each, which separates users."""
    gap = np.full(COUNTED_STEPS, filler, dtype=rows[0].dtype)
    return np.concatenate([part for row in rows for part in (row, gap)])


def _list_pairs(events: NDArray[np.int64], weights: NDArray[np.float32] | None, directed: bool) -> list[pl.DataFrame]:
    pairs = []
    for distance in range(1, COUNTED_STEPS + 1):
        sources, followers = events[:-distance], events[distance:]
        is_pair = (sources != PADDING) & (followers != PADDING)
        if weights is not None:
            is_pair &= weights[distance:] > 0
        sources, followers = sources[is_pair], followers[is_pair]
        if not directed:
            sources, followers = np.minimum(sources, followers), np.maximum(sources, followers)
        frame = _to_frame(sources << INDEX_BITS | followers, 1 / distance)
        if weights is not None:
            frame = frame.with_columns(pl.col("weight") * weights[distance:][is_pair].astype(np.float64))
        pairs.append(frame)
    return pairs


def _to_frame(pairs: NDArray[np.int64], weight: float) -> pl.DataFrame:
    return pl.DataFrame({"pair": pairs}).with_columns(weight=pl.lit(weight))
