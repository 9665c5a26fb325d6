"""Property test: after any appends, erasures, merges, rounds, compactions and crashes, readers see the reference."""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.archive.local_storage import LocalStorage
from app.stores.records import NewEvent
from service_tests.app.archive.conftest import clear
from service_tests.app.archive.log_writer import LogWriter, open_log
from service_tests.app.archive.reference_log import ReferenceLog

USERS = ["ann", "bob}%", "ü"]
ARCHIVE_STEPS = ("read", "written", "published", "trimmed")
COMPACTION_STEPS = ("written", "published", "removed")


class Append(NamedTuple):
    user: str
    events: list[NewEvent]


class Erase(NamedTuple):
    user: str


class Merge(NamedTuple):
    """`interrupted` leaves a merge after its first entry; a repetition has another token."""

    source: str
    target: str
    interrupted: bool


class Archive(NamedTuple):
    """A round that dies at a step, or does not."""

    crash_at: str | None


class Compact(NamedTuple):
    crash_at: str | None


class Crash(BaseException):
    """The process ends here."""


events = st.builds(
    NewEvent,
    user_id=st.just("any"),
    item_id=st.sampled_from(["a", "b", "ü{}"]),
    timestamp_ms=st.integers(-1, 3),
    event_id=st.none() | st.sampled_from(["e1", "e2"]),
    type=st.sampled_from([None, "view"]),
)
users = st.sampled_from(USERS)
merges = st.tuples(st.permutations(USERS), st.booleans()).map(lambda each: Merge(each[0][0], each[0][1], each[1]))
steps = st.lists(
    st.builds(Append, users, st.lists(events, min_size=1, max_size=3))
    | st.builds(Erase, users)
    | merges
    | st.builds(Archive, st.none() | st.sampled_from(ARCHIVE_STEPS))
    | st.builds(Compact, st.none() | st.sampled_from(COMPACTION_STEPS)),
    max_size=20,
)


def crash_at(step: str | None) -> Callable[[str], None]:
    def on_step(current: str) -> None:
        if current == step:
            raise Crash

    return on_step


async def apply_step(step: object, number: int, log: LogWriter, reference: ReferenceLog) -> None:
    if isinstance(step, Append):
        await log.append(step.user, *step.events)
        reference.append(step.user, *step.events)
    elif isinstance(step, Erase):
        await log.erase(step.user)
        reference.erase(step.user)
    elif isinstance(step, Merge):
        await log.receive(step.target, step.source, str(number))
        if not step.interrupted:
            await log.give(step.source, step.target, str(number))
            reference.merge(step.source, step.target)
    elif isinstance(step, Archive):
        with suppress(Crash):
            await log.archive(crash_at(step.crash_at), max_events=3)
    elif isinstance(step, Compact):
        with suppress(Crash):
            await log.compact(crash_at(step.crash_at), max_file_events=6)


async def check_steps(url: str, folder: Path, steps: list[object]) -> None:
    reference = ReferenceLog()
    async with open_log(url, LocalStorage(folder)) as log:
        for number, step in enumerate(steps):
            await apply_step(step, number, log, reference)
            assert await log.read_rows() == reference.list_rows(), step
        await log.compact()
        assert await log.read_rows() == reference.list_rows()
        assert await log.client.xlen("n:log") == 0


@pytest.mark.slow
def test_readers_see_the_reference_after_any_steps(redis_url: str) -> None:
    @settings(
        max_examples=50,
        phases=(Phase.explicit, Phase.generate),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(steps=steps)
    def check(steps: list[object]) -> None:
        clear(redis_url)
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(check_steps(redis_url, Path(folder), steps))

    check()
