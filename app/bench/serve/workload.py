"""The workload of a serving benchmark: a Redis with histories, the users to request, and the events to write."""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.bench.load.profile import LoadProfile
from app.bench.load.requests import build_read_bodies, build_write_bodies, sample_by_weight
from app.bench.processes import LOOPBACK
from app.cli.load_histories import load_events
from app.settings import Settings
from app.stores.session import open_store, redis_url
from models.batch import Times
from models.catalogue.files import TABLE
from models.catalogue.item_key import ItemKeys

MAX_USERS = 100_000  # read from the store
READ_BATCH = 2_000  # below the store's limit of waiting reads
NUM_BODIES = 20_000
WARM_UP_S = 1.0
TIMEOUT_S = 10.0


@contextmanager
def open_benchmark_store(events: pl.DataFrame | None, settings: Settings) -> Iterator[str]:
    """Yield the URL of the configured Redis, or of a temporary one loaded with `events`."""
    if events is None:
        with redis_url(settings) as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="nextup-bench-") as folder:
        temporary = settings.model_copy(update={"data_dir": Path(folder), "redis_url": None})
        with redis_url(temporary) as url:
            asyncio.run(load_events(url, temporary, events))
            yield url


async def read_users(url: str, settings: Settings) -> list[str]:
    """Read up to MAX_USERS users, sorted so that a seed samples the same ones again."""
    users: list[str] = []
    async with open_store(url, settings) as store:
        async for user in store.iter_users():
            users.append(user)
            if len(users) == MAX_USERS:
                break
    return sorted(users)


async def read_histories(url: str, settings: Settings, users: Sequence[str]) -> dict[str, tuple[ItemKeys, Times]]:
    """Read (keys, times) of each user, oldest first, as the service reads them."""
    async with open_store(url, settings) as store:
        histories = {user: await store.read_recent(user) for user in users}
    return {user: (history.item_keys, history.times) for user, history in histories.items()}


async def read_history_lengths(url: str, settings: Settings, users: Sequence[str]) -> NDArray[np.float64]:
    """Read the number of events of each user: (users,)."""
    lengths: list[int] = []
    async with open_store(url, settings) as store:
        for batch in (users[start : start + READ_BATCH] for start in range(0, len(users), READ_BATCH)):
            histories = await asyncio.gather(*(store.read_recent(user) for user in batch))
            lengths += [len(history) for history in histories]
    return np.array(lengths, dtype=np.float64)


def build_profile(
    settings: Settings,
    url: str,
    users: list[str],
    *,
    connections: int,
    round_s: float,
    k: int,
    rate: float | None = None,
    write_share: float = 0.0,
    seed: int = 0,
    item_filter: Any = None,
    rules: Any = None,
) -> LoadProfile:
    """Build the load profile of one round, without its target.

    A closed loop samples users uniformly; at a rate, users are sampled in proportion to their events. Written items
    are sampled by their counts in the log that the model was trained on.
    """
    weights = None if rate is None else asyncio.run(read_history_lengths(url, settings, users))
    sampled_users = sample_by_weight(users, weights, NUM_BODIES, seed)
    return LoadProfile(
        host=LOOPBACK,
        port=0,
        path="",
        bodies=build_read_bodies(sampled_users, k, item_filter, rules),
        connections=connections,
        warm_up_s=min(WARM_UP_S, round_s),
        seconds=round_s,
        timeout_s=TIMEOUT_S,
        rate=rate,
        events=_build_event_bodies(settings.artifact, sampled_users, seed) if write_share else (),
        write_share=write_share,
        seed=seed,
    )


def _build_event_bodies(artifact: Path, users: list[str], seed: int) -> tuple[str, ...]:
    if not (artifact / TABLE).is_file():
        raise ValueError(f"--writes requires a catalogue to sample items from; {artifact} has none")
    rows = pl.read_parquet(artifact / TABLE, columns=["item_id", "count"])
    counts = np.maximum(1.0, rows["count"].to_numpy().astype(np.float64))
    items = sample_by_weight(rows["item_id"].to_list(), counts, len(users), seed)
    return build_write_bodies(users, items)
