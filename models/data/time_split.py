"""The moment of a split by time: from an option, an artifact, or the log's last tenth of events.

Leave-one-out trains on events that are newer than many test events, which a service never can. A split by time trains
on events before a moment and tests on events after it.
"""

from datetime import UTC, datetime
from typing import Literal

import polars as pl

from models.times import FIRST_SECOND, LAST_SECOND

Split = Literal["leave-one-out", "time"]
SPLITS: tuple[Split, ...] = ("leave-one-out", "time")

FIRST_MOMENT_MS, LAST_MOMENT_MS = -62_135_596_800_000, 253_402_300_799_000
"""The years 1 to 9999, of which dates can be written: Unix milliseconds given as seconds are outside."""
TEST_SHARE = 0.1
"""Share of the newest events that are after the moment by default."""
MIN_REAL_SHARE = 0.9
"""Least share of events that must have a real time; events without one count as old."""


def find_split_moment(events: pl.DataFrame, moment_ms: int | None = None) -> int:
    """Check that the log can be split at a moment in milliseconds, by default where the last tenth begins.

    ValueError if times are ranks or unknown, or if there is no event on both sides of the moment.
    """
    times = events["timestamp"]
    num_real = int(times.is_between(1000 * FIRST_SECOND, 1000 * LAST_SECOND).sum())
    if num_real < MIN_REAL_SHARE * len(times):
        raise ValueError(
            f"--split time needs real times, and {len(times) - num_real:,} of {len(times):,} events have none "
            "(ranks, zeros, or before March 1973); use --split leave-one-out"
        )
    if moment_ms is None:
        moment_ms = int(times.sort()[int((1 - TEST_SHARE) * len(times))])
    num_before = int((times < moment_ms).sum())
    if not 0 < num_before < len(times):
        raise ValueError(
            f"--split time needs events before and after {format_moment(moment_ms)}, and {num_before:,} of "
            f"{len(times):,} are before it; choose another moment with --split-at"
        )
    return moment_ms


def parse_moment(text: str) -> int:
    """Parse Unix seconds or RFC 3339 to milliseconds; a time without a zone is in UTC. ValueError for anything else."""
    try:
        moment_ms = 1000 * int(text)
    except ValueError:
        moment_ms = _parse_date(text)
    if not FIRST_MOMENT_MS <= moment_ms <= LAST_MOMENT_MS:
        raise ValueError(f"a moment must be in the years 1 to 9999 (got {text!r})")
    return moment_ms


def _parse_date(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"a moment must be Unix seconds or RFC 3339 (got {text!r})") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def format_moment(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
