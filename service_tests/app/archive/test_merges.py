"""The event log equals the histories after any interleaving of merges, erasures, events and deaths of processes."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from app.archive.archiver import Archiver
from app.archive.compaction import Compaction
from app.archive.erasure import erase_user
from app.archive.local_storage import LocalStorage
from app.archive.reader import read_event_log
from app.stores.history import HistoryStore
from app.stores.log_streams import LogStreams
from app.stores.merges import STEPS
from app.stores.records import NewEvent
from app.stores.redis.connect import close_redis, open_redis
from service_tests.app.archive.conftest import clear
from service_tests.support.stepped_merges import SteppedMerge, hold_merges

USERS = ["ann", "bob", "cid"]


class Append(NamedTuple):
    user: str


class Erase(NamedTuple):
    user: str


class Merge(NamedTuple):
    """Start a merge and hold it in front of a step; if it dies there, it never ends."""

    source: str
    target: str
    step: str
    dies: bool


class Continue(NamedTuple):
    """Let the held merge of this number, modulo their count, run some steps."""

    number: int
    steps: int


class Compact(NamedTuple):
    pass


users = st.sampled_from(USERS)
pairs = st.sampled_from([("ann", "bob"), ("ann", "bob"), ("bob", "cid"), ("cid", "ann")])
operations = st.lists(
    st.builds(Append, users)
    | st.builds(Erase, users)
    | st.tuples(pairs, st.sampled_from(STEPS), st.booleans()).map(lambda each: Merge(*each[0], *each[1:]))
    | st.builds(Continue, st.integers(0, 3), st.integers(1, 7))
    | st.just(Compact()),
    min_size=3,
    max_size=14,
)


class Histories:
    """A store, its archive, and the merges that are held."""

    def __init__(self, store: HistoryStore, folder: Path) -> None:
        self.store = store
        self.streams = LogStreams(store.client)
        self.storage = LocalStorage(folder)
        self.merges: list[SteppedMerge] = []
        self.dead: list[SteppedMerge] = []
        self._num_events = 0
        self._erased: set[str] = set()

    async def append(self, user: str) -> None:
        self._num_events += 1
        await self.store.append([NewEvent(user, f"i{self._num_events}", self._num_events)])

    async def erase(self, user: str) -> None:
        """Erase a user; no event that the receipt counts may be anywhere from then on."""
        events = await self.list_items(user)
        self._erased |= set(events)
        erasure = await erase_user(self.store, self.streams, user)
        assert (erasure.keys_removed > 0) == bool(events)
        for other in USERS:
            assert not set(events) & set(await self.list_items(other)), other

    async def advance(self, number: int, steps: int) -> None:
        if self.merges:
            merge = self.merges[number % len(self.merges)]
            for _ in range(steps):
                if merge.task.done() or await merge.advance() is None:
                    break

    async def compact(self) -> None:
        archiver = Archiver(self.streams, self.storage)
        async with archiver.hold_lease() as lease:
            await archiver.archive(lease)
            await Compaction(self.storage).compact(lease)

    async def finish_merges(self) -> None:
        """Let the living merges end, and then the dead ones, each by another merge of its source."""
        for merge in self.merges:
            await merge.finish()
        for merge in self.dead:
            await self.store.merges.merge(merge.source, "heir")

    async def list_items(self, user: str) -> list[str]:
        return [str(event.item_id) for event in (await self.store.read_history(user)).events]

    async def check(self) -> None:
        """Every event belongs to one user at most, no erased one to any, and the log has the same ones."""
        histories = {user: set(await self.list_items(user)) for user in [*USERS, "heir"]}
        counts = Counter(item for items in histories.values() for item in items)
        assert set(counts.values()) <= {1}, counts
        assert not self._erased & set(counts)
        rows = (await read_event_log(self.streams, self.storage)).events.select("user_id", "item_id").rows()
        logged = {user: {item for owner, item in rows if owner == user} for user in histories}
        assert logged == histories


async def check_operations(url: str, folder: Path, steps: list[object]) -> None:
    client = await open_redis(url, timeout_s=5.0)
    store = HistoryStore(client, wait_s=10.0)
    histories = Histories(store, folder)
    async with hold_merges(store) as start:
        for user in USERS:
            await histories.append(user)
        for step in steps:
            if isinstance(step, Append):
                await histories.append(step.user)
            elif isinstance(step, Erase):
                await histories.erase(step.user)
            elif isinstance(step, Merge):
                merge = start(step.source, step.target)
                await merge.advance_to(step.step)
                (histories.dead if step.dies else histories.merges).append(merge)
            elif isinstance(step, Continue):
                await histories.advance(step.number, step.steps)
            else:
                await histories.compact()
        await histories.finish_merges()
        await histories.check()
        await histories.compact()
        await histories.check()
    await store.close()
    await close_redis(client)


@pytest.mark.anyio
@pytest.mark.parametrize("num_steps", range(4))
@pytest.mark.parametrize("step", ["commit", "apply", "settle", "forget"])
async def test_merge_that_continues_during_an_erasure_is_logged_as_it_ends(
    step: str, num_steps: int, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.stores.merges.FINISH_WAIT_S", 0.02)
    client = await open_redis(redis_url, timeout_s=5.0)
    store = HistoryStore(client, wait_s=10.0)
    histories = Histories(store, tmp_path)
    await histories.append("ann")
    async with hold_merges(store) as start:
        merge = start("ann", "bob")
        await merge.advance_to(step)
        erasure = SteppedMerge(store, "ann")  # begins to run
        await erasure.advance()  # in front of the cancellation, if there is a merge to cancel
        for _ in range(num_steps):
            await merge.advance()
        await erasure.run_to_end()
        await merge.finish()
        await histories.check()
        assert await client.keys("n:*:merges") == []
    await store.close()
    await close_redis(client)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_log_equals_histories_after_any_interleaving(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.stores.merges.FINISH_WAIT_S", 0.02)

    @settings(
        max_examples=25,
        phases=(Phase.explicit, Phase.generate),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(steps=operations)
    @example(steps=[Merge("ann", "bob", "apply", dies=False), Erase("ann")])
    @example(steps=[Merge("ann", "bob", "settle", dies=False), Append("ann"), Erase("bob")])
    @example(steps=[Merge("ann", "bob", "settle", dies=True), Append("ann"), Compact()])
    @example(
        steps=[
            Merge("cid", "ann", "settle", dies=True),
            Merge("ann", "bob", "offer", dies=False),
            Continue(0, 7),
            Erase("ann"),
        ]
    )
    def check(steps: list[object]) -> None:
        clear(redis_url)
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(check_operations(redis_url, Path(folder), steps))

    check()
