"""Calls that meet restarts, refusals, lost answers and changed keys of the real service."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import chain, repeat
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

import nextup
from app.api_keys import generate_key
from app.settings import Settings
from nextup.retries import parse_retry_after
from service_tests.client.conftest import LONG_S, PATIENT, Connect
from service_tests.support.redis_processes import RedisProcess
from service_tests.support.served_service import FlakyProxy, SocketServer, serve_on_socket
from service_tests.support.waiting import wait_until

CLOSED_PORT = "http://127.0.0.1:1"


@dataclass(frozen=True)
class GuardedService:
    """A service with keys, each for one test."""

    url: str
    keys: list[str]


def test_call_waits_for_a_service_that_restarts(
    server: SocketServer, connect: Connect, new_user: Callable[[], str]
) -> None:
    tries: list[int] = []
    client, user = connect(server.url, api_key=lambda: count_try(tries)), new_user()
    server.stop()
    try:
        call = client.start("ingest_events", events=[{"user_id": user, "item_id": "i1"}])
        wait_until(lambda: len(tries) > 2, LONG_S, "the call is tried again")
    finally:
        server.start()
    assert call.result(LONG_S).stored == 1


def count_try(tries: list[int]) -> None:
    """Count a try of a client, which reads its key before each one."""
    tries.append(1)


def test_lost_answer_of_events_is_repeated_and_stores_each_once(
    proxy: FlakyProxy, connect: Connect, new_user: Callable[[], str]
) -> None:
    client, user = connect(proxy.url), new_user()
    proxy.cut_answers = 2
    answer = client.ingest_events(events=[{"user_id": user, "item_id": f"i{n}"} for n in (1, 1, 2)])
    assert (answer.stored, answer.duplicate) == (0, 3)
    assert len((client.read_history(user)).events) == 3


def test_lost_answer_of_an_activation_is_not_repeated(
    server: SocketServer, proxy: FlakyProxy, connect: Connect
) -> None:
    count = 'nextup_http_requests_total{code="200",method="POST",route="/models/{version}/activate"}'
    client, before = connect(proxy.url), server.read_metric(count)
    version = client.list_models().active
    proxy.cut_answers = 1
    with pytest.raises(nextup.ConnectionFailed, match="got no answer") as info:
        client.activate_model(version)
    assert info.value.was_sent
    wait_until(lambda: server.read_metric(count) - before == 1, LONG_S, "the activation is counted")


@pytest.fixture(scope="module")
def guarded(client_settings: Settings) -> Iterator[GuardedService]:
    """A service that accepts one request per second from each of its keys."""
    pairs = [generate_key(f"reader-{number}", ["read"]) for number in range(8)]
    entries = SecretStr(",".join(entry for _, entry in pairs))
    with serve_on_socket(client_settings.with_changes(api_keys=entries, rate_limit=1.0)) as server:
        yield GuardedService(server.url, [key for key, _ in pairs])


def test_rate_limited_call_waits_as_long_as_the_service_says(guarded: GuardedService, connect: Connect) -> None:
    key = guarded.keys.pop()
    client = connect(guarded.url, api_key=key, retries=nextup.RetryPolicy(max_tries=1))
    with pytest.raises(nextup.TooManyRequests) as info:
        client.start_many(40, "recommend", user_id="ada").result(LONG_S)
    assert info.value.retry_after_s == 1.0
    tries: list[float] = []

    def read_key() -> str:
        tries.append(time.monotonic())
        return key

    connect(guarded.url, api_key=read_key).start_many(2, "recommend", user_id="ada").result(LONG_S)
    assert len(tries) == 2 or max(tries) - min(tries) >= 1.0, "a slow machine may spread the calls over two seconds"


def test_retry_after_is_waited_for() -> None:
    answers = iter([httpx.Response(503, headers={"Retry-After": "1"}), httpx.Response(200, json={"status": "ok"})])
    with nextup.Client("http://shop.example", transport=httpx.MockTransport(lambda request: next(answers))) as client:
        started_at = time.monotonic()
        client.check_health()
        assert time.monotonic() - started_at >= 1.0


def test_events_are_stored_once_when_the_store_returns(
    client_settings: Settings, tmp_path: Path, new_user: Callable[[], str]
) -> None:
    redis, user = RedisProcess(tmp_path / "redis", {"save": ""}), new_user()
    refused = 'nextup_http_requests_total{code="503",method="POST",route="/events"}'
    url = SecretStr(f"redis://127.0.0.1:{redis.port}")
    try:
        with serve_on_socket(client_settings.with_changes(redis_url=url)) as server:
            before = server.read_metric(refused)
            redis.kill()
            with (
                nextup.Client(server.url, deadline_s=LONG_S, retries=PATIENT) as client,
                ThreadPoolExecutor(1) as threads,
            ):
                call = threads.submit(client.ingest_events, events=[{"user_id": user, "item_id": "i1"}])
                wait_until(lambda: server.read_metric(refused) > before, LONG_S, "a try is refused with 503")
                assert redis.start()
                assert call.result(LONG_S).stored == 1
                assert len(client.read_history(user).events) == 1
    finally:
        redis.stop()


def test_new_key_is_used_once_the_old_one_is_refused(guarded: GuardedService, connect: Connect) -> None:
    keys = chain(["nextup_old"], repeat(guarded.keys.pop()))
    assert connect(guarded.url, api_key=lambda: next(keys)).recommend(user_id="ada").items
    with pytest.raises(nextup.Unauthorized):
        connect(guarded.url, api_key="nextup_old").recommend(user_id="ada")
    with pytest.raises(nextup.Forbidden, match="scope"):
        connect(guarded.url, api_key=guarded.keys.pop()).erase_user("ada")


def test_budget_bounds_the_retries_of_all_calls(connect: Connect) -> None:
    tries: list[int] = []
    policy = nextup.RetryPolicy(max_tries=10, first_wait_s=0.0, max_wait_s=0.0, budget_ratio=0.0, budget_size=3)
    client = connect(CLOSED_PORT, api_key=lambda: count_try(tries), retries=policy)
    for _ in range(4):
        with pytest.raises(nextup.ConnectionFailed) as info:
            client.recommend(user_id="ada")
        assert not info.value.was_sent
    assert len(tries) == 4 + 3


def test_at_most_max_concurrency_requests_run_at_a_time(client_settings: Settings, connect: Connect) -> None:
    running, most, gate = 0, 0, threading.Event()

    def count_requests(app: ASGIApp) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal running, most
            if scope["type"] == "http":
                running += 1
                most = max(most, running)
                await asyncio.to_thread(gate.wait, LONG_S)
                running -= 1
            await app(scope, receive, send)

        return answer

    with serve_on_socket(client_settings, count_requests) as server:
        client = connect(server.url, max_concurrency=2)
        calls = client.start_many(6, "recommend", user_id="ada")
        wait_until(lambda: running == 2, LONG_S, "two requests run")
        gate.set()
        assert len(calls.result(LONG_S)) == 6
        assert most == 2


def test_deadline_ends_a_call_that_gets_no_answer(connect: Connect) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(nextup.DeadlineExceeded, match=r"missed its deadline of 0\.2 s"):
            connect(url).recommend(user_id="ada", deadline_s=0.2)
        with pytest.raises(nextup.ConnectionFailed, match="Timeout"):
            connect(url, timeout_s=0.05, retries=nextup.RetryPolicy(max_tries=1)).recommend(user_id="ada")
        full = connect(url, max_concurrency=1)
        call = full.start_many(2, "recommend", user_id="ada", deadline_s=0.2)
        with pytest.raises(nextup.DeadlineExceeded):
            call.result(LONG_S)


@given(tries=st.integers(1, 2000), retry_after_s=st.none() | st.floats(0, 3600))
def test_waits_are_jittered_and_never_shorter_than_retry_after(tries: int, retry_after_s: float | None) -> None:
    wait_s = nextup.RetryPolicy().draw_wait(tries, retry_after_s)
    least = retry_after_s or 0.0
    assert least <= wait_s <= least + min(5.0, 0.1 * 2.0 ** min(tries, 60))


def test_retry_after_is_seconds_or_a_date() -> None:
    assert (parse_retry_after("7"), parse_retry_after(None), parse_retry_after("soon")) == (7.0, None, None)
    assert (parse_retry_after("-3"), parse_retry_after("1e9"), parse_retry_after("nan")) == (0.0, 3600.0, None)
    seconds = parse_retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True))
    assert seconds is not None
    assert 50 < seconds <= 100


def test_policy_checks_its_options() -> None:
    with pytest.raises(ValueError, match="max_tries must be at least 1"):
        nextup.RetryPolicy(max_tries=0)
