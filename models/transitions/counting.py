"""Counts transitions in histories: for each item the items that follow it within a few steps.

A follower at distance d counts 1/d. Counts are added up in parts, so that memory grows with the number of different
pairs and not with the length of the log.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.batch import PADDING, History
from models.transitions.memory import COUNTED_STEPS, TransitionMemory

PART_EVENTS = 2_000_000


def fill_memory(memory: TransitionMemory, histories: Sequence[History]) -> None:
    """Store the strongest followers of every item in these histories, ties in catalogue order."""
    pairs = count_transitions(histories)
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


def count_transitions(histories: Sequence[History], *, part_events: int = PART_EVENTS) -> pl.DataFrame:
    """Count all pairs: `source`, `follower` and the sum of `weight`, in no order."""
    counted = _to_frame(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 1.0)
    for part in _split_into_parts(histories, part_events):
        counted = pl.concat([counted, *_list_pairs(part)]).group_by("source", "follower").agg(pl.col("weight").sum())
    return counted


def _split_into_parts(histories: Sequence[History], part_events: int) -> list[Sequence[History]]:
    ends = np.cumsum([len(history) for history in histories])
    parts = ends // part_events
    starts = np.flatnonzero(np.diff(parts, prepend=-1)).tolist()
    return [histories[start:end] for start, end in zip(starts, [*starts[1:], len(histories)], strict=True)]


def _list_pairs(histories: Sequence[History]) -> list[pl.DataFrame]:
    gap = np.full(COUNTED_STEPS, PADDING, dtype=np.int64)  # separates users
    events = np.concatenate([part for history in histories for part in (history, gap)])
    pairs = []
    for distance in range(1, COUNTED_STEPS + 1):
        sources, followers = events[:-distance], events[distance:]
        is_pair = (sources != PADDING) & (followers != PADDING)
        pairs.append(_to_frame(sources[is_pair], followers[is_pair], 1 / distance))
    return pairs


def _to_frame(sources: NDArray[np.int64], followers: NDArray[np.int64], weight: float) -> pl.DataFrame:
    return pl.DataFrame({"source": sources, "follower": followers}).with_columns(weight=pl.lit(weight))
