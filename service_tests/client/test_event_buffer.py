"""Event buffers in front of the real service: every event once, across outages, restarts and lost answers."""

import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import nextup
from nextup import Client, DroppedEvent, EventBuffer, RetryPolicy
from service_tests.client.conftest import LONG_S
from service_tests.support.nextup_process import make_environment
from service_tests.support.served_service import FlakyProxy, SocketServer
from service_tests.support.waiting import wait_until

CLOSED_PORT = "http://127.0.0.1:1"
ONCE = RetryPolicy(max_tries=1)


@pytest.fixture
def client(server: SocketServer) -> Iterator[Client]:
    with Client(server.url, timeout_s=LONG_S, deadline_s=LONG_S) as client:
        yield client


@pytest.fixture
def lonely() -> Iterator[Client]:
    """A client whose service is away."""
    with Client(CLOSED_PORT, retries=ONCE) as client:
        yield client


def read_items(client: Client, user: str) -> list[str | None]:
    return [event.item_id for event in client.read_history(user).events]


def test_events_reach_the_history_in_batches_and_in_order(client: Client, new_user: Callable[[], str]) -> None:
    user = new_user()
    with EventBuffer(client, batch_size=10) as buffer:
        ids = [buffer.add(user_id=user, item_id=f"i{number}", timestamp=1e9 + number) for number in range(1, 26)]
        assert buffer.flush(LONG_S)
        assert buffer.pending == 0
        assert buffer.counts.results == {"stored": 25}
    assert len(set(ids)) == 25
    assert read_items(client, user) == [f"i{number}" for number in range(1, 26)]


def test_events_leave_without_a_flush(client: Client, new_user: Callable[[], str]) -> None:
    user = new_user()
    with closing(EventBuffer(client, interval_s=0.001)) as buffer:
        buffer.add(user_id=user, item_id="i1")
        wait_until(lambda: buffer.pending == 0, LONG_S, "the event is sent")
    assert read_items(client, user) == ["i1"]


def test_events_of_an_outage_are_sent_after_a_restart(
    client: Client, lonely: Client, tmp_path: Path, new_user: Callable[[], str]
) -> None:
    user, spool = new_user(), tmp_path / "spool"
    before = EventBuffer(lonely, spool=spool)
    for number in range(5):
        before.add(user_id=user, item_id="i1", timestamp=1e9 + number)
    assert not before.flush(timeout_s=0.05)
    assert before.close(timeout_s=0.05).dropped == {}
    with spool.open("ab") as file:
        file.write(b'0badc0de+{"user_id":"half a l')
    with EventBuffer(client, spool=spool) as after:
        assert (after.counts.recovered, after.counts.dropped) == (5, {"damaged": 1})
        after.add(user_id=user, item_id="i2", timestamp=1.1e9)
        assert after.flush(LONG_S)
        assert after.counts.results == {"stored": 6}
    assert read_items(client, user) == ["i1"] * 5 + ["i2"]
    assert spool.read_bytes() == b""


@pytest.mark.process
def test_killed_process_loses_no_event_that_was_added(
    client: Client, tmp_path: Path, new_user: Callable[[], str]
) -> None:
    user, spool = new_user(), tmp_path / "spool"
    program = f"""
import itertools, nextup
buffer = nextup.EventBuffer(nextup.Client({CLOSED_PORT!r}), spool={str(spool)!r})
for number in itertools.count():
    print(buffer.add(user_id={user!r}, item_id="i1", timestamp=1e9 + number), flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=make_environment(tmp_path), stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        added = lines + process.stdout.readlines()
    with EventBuffer(client, spool=spool) as buffer:
        recovered = buffer.counts.recovered
        assert buffer.flush(LONG_S)
        assert buffer.counts.results == {"stored": recovered}
    assert len(added) <= recovered <= len(added) + 1, "printing an id follows its event"


def test_batch_with_a_lost_answer_is_stored_once(
    client: Client, proxy: FlakyProxy, new_user: Callable[[], str]
) -> None:
    user = new_user()
    proxy.cut_answers = 2
    with Client(proxy.url, timeout_s=LONG_S, retries=ONCE) as fragile, EventBuffer(fragile) as buffer:
        for number in range(3):
            buffer.add(user_id=user, item_id=f"i{number + 1}", timestamp=1e9 + number)
        assert buffer.flush(LONG_S)
        assert buffer.counts.results == {"duplicate": 3}
    assert read_items(client, user) == ["i1", "i2", "i3"]


def test_an_id_identifies_an_event_of_one_user(client: Client, new_user: Callable[[], str]) -> None:
    users = new_user(), new_user()
    with EventBuffer(client) as buffer:
        for user in (*users, users[0]):
            buffer.add(user_id=user, item_id="i1", event_id="order-7")
        assert buffer.flush(LONG_S)
    assert [read_items(client, user) for user in users] == [["i1"], ["i1"]]


def test_full_buffer_drops_further_events_and_reports_each(lonely: Client) -> None:
    dropped: list[DroppedEvent] = []
    buffer = EventBuffer(lonely, max_events=2, on_drop=dropped.append)
    ids = [buffer.add(user_id="ada", item_id=f"i{number}") for number in range(4)]
    assert [event_id is None for event_id in ids] == [False, False, True, True]
    assert buffer.counts.dropped == {"full": 2}
    counts = buffer.close(timeout_s=0.05)
    assert counts.dropped == {"full": 2, "closed": 2}
    assert [(entry.event or {})["item_id"] for entry in dropped] == ["i2", "i3", "i0", "i1"]
    with pytest.raises(RuntimeError, match="closed"):
        buffer.add(user_id="ada", item_id="i1")


@pytest.mark.parametrize("valid_events", [0, 3])
def test_events_that_the_service_rejects_are_dropped_with_the_field(
    client: Client, new_user: Callable[[], str], valid_events: int
) -> None:
    """A batch of which no event is valid is answered 422, any other one 202."""
    user, dropped = new_user(), list[DroppedEvent]()
    with EventBuffer(client, on_drop=dropped.append) as buffer:
        for number in range(valid_events):
            buffer.add(user_id=user, item_id="i1", timestamp=1e9 + number)
        buffer.add(user_id=user, item_id="i1", position=0)
        buffer.add(user_id=user, item_id="x" * 200)
        assert buffer.flush(LONG_S)
    assert [entry.reason for entry in dropped] == ["invalid", "invalid"]
    assert dropped[0].detail.startswith("position: ")
    assert dropped[1].detail.startswith("item_id: ")
    assert len(read_items(client, user)) == valid_events


def test_batch_that_is_too_large_for_the_service_is_divided(client: Client, new_user: Callable[[], str]) -> None:
    user = new_user()
    with EventBuffer(client, batch_size=1000, batch_bytes=10**7) as buffer:
        for number in range(400):
            buffer.add(
                user_id=user, item_id="i1", type="t" * 128, recommendation_id="r" * 128, event_id=f"{number:0128}"
            )
        assert buffer.flush(LONG_S)
        assert buffer.counts.results.total() == 400


def test_event_that_the_disk_does_not_take_is_sent_and_reported_if_it_is_lost(
    client: Client, lonely: Client, tmp_path: Path, new_user: Callable[[], str]
) -> None:
    spool, (soft, hard) = tmp_path / "spool", resource.getrlimit(resource.RLIMIT_FSIZE)
    buffer = EventBuffer(lonely, spool=spool)
    buffer.add(user_id=(user := new_user()), item_id="i1")
    content = spool.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) + 10, hard))
    try:
        buffer.add(user_id=user, item_id="i2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (buffer.counts.unspooled, spool.read_bytes()) == (1, content), "the part that was written is removed"
    assert buffer.close(timeout_s=0.05).dropped == {"closed": 1}
    with EventBuffer(client, spool=spool) as after:
        assert after.flush(LONG_S)
    assert read_items(client, user) == ["i1"]


def test_wrong_options_and_events_are_rejected(lonely: Client, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be between 1 and 1,000"):
        EventBuffer(lonely, batch_size=2000)
    with pytest.raises(nextup.SpoolUnusable, match="cannot be used as a spool file"):
        EventBuffer(lonely, spool=tmp_path)
    (tmp_path / "device").symlink_to("/dev/zero")
    with pytest.raises(nextup.SpoolUnusable, match="no regular file"):
        EventBuffer(lonely, spool=tmp_path / "device")
    with closing(EventBuffer(lonely, spool=tmp_path / "spool")) as buffer:
        with pytest.raises(nextup.SpoolUnusable, match="in use by another buffer"):
            EventBuffer(lonely, spool=tmp_path / "spool")
        with pytest.raises(ValueError, match="needs user_id and item_id"):
            buffer.add(user_id="", item_id="i1")
