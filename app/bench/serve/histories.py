"""The histories that a benchmark asks for: a Redis that holds them, and the users to draw from."""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.cli.load_histories import load_events
from app.cli.log_files import read_log
from app.item_key import ItemKeys
from app.settings import Settings
from app.stores.session import open_store, redis_url
from models.batch import Times

MOST_USERS = 100_000  # read from the store to draw from
AT_ONCE = 2_000  # below what the store lets wait


@contextmanager
def open_benchmark_store(arguments: argparse.Namespace, settings: Settings) -> Iterator[str]:
    """A Redis with the histories to ask for: the store as set, or one of its own for the log that was named."""
    if not arguments.interactions:
        with redis_url(settings) as url:
            yield url
        return
    log = read_log(arguments)
    with tempfile.TemporaryDirectory(prefix="nextup-bench-") as folder:
        own = settings.model_copy(update={"data_dir": Path(folder), "redis_url": None})
        with redis_url(own) as url:
            asyncio.run(load_events(url, own, log.events))
            yield url


async def read_users(url: str, settings: Settings) -> list[str]:
    """Some users of the store, sorted, so that a seed draws the same ones again."""
    found: list[str] = []
    async with open_store(url, settings) as store:
        async for user in store.iter_users():
            found.append(user)
            if len(found) == MOST_USERS:
                break
    return sorted(found)


async def read_histories(url: str, settings: Settings, users: Sequence[str]) -> dict[str, tuple[ItemKeys, Times]]:
    """(keys, times) of each user, oldest first, as the service reads them."""
    async with open_store(url, settings) as store:
        found = {user: await store.read_recent(user) for user in users}
    return {user: (history.item_keys, history.times) for user, history in found.items()}


async def read_history_lengths(url: str, settings: Settings, users: Sequence[str]) -> NDArray[np.float64]:
    """(users,) events of each."""
    lengths: list[int] = []
    async with open_store(url, settings) as store:
        for some in (users[at : at + AT_ONCE] for at in range(0, len(users), AT_ONCE)):
            histories = await asyncio.gather(*(store.read_recent(user) for user in some))
            lengths += [len(history.entries) for history in histories]
    return np.array(lengths, dtype=np.float64)
