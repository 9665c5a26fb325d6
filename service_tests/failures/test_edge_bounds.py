"""Bounds on what a client may send before any key is checked, and for how long, against a real process."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.raw_client import exchange, get_status, probe_liveness, read_memory

pytestmark = pytest.mark.anyio
HEAD = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"history": ["i7"]}'
LIMIT = 65_536
BLOCK = b"a" * 65_536


@pytest.fixture(scope="module")
def running(tiny_artifact: Path, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    variables = {"NEXTUP_HEAD_TIMEOUT_S": "1", "NEXTUP_BODY_TIMEOUT_S": "2", "NEXTUP_KEEP_ALIVE_S": "3"}
    folder = tmp_path_factory.mktemp("edge")
    with run_service(folder, "--artifact", str(tiny_artifact), NEXTUP_REDIS_URL=redis_url, **variables) as service:
        yield service


@pytest.fixture
def port(running: RunningService) -> int:
    return int(running.url.rpartition(":")[2])


def read_rejections(running: RunningService, reason: str) -> float:
    return read_samples(running.url, "nextup_rejected_total")[f"[('reason', '{reason}')]"]


def build_head(size: int) -> bytes:
    """A head of `size` bytes with one long header, without the empty line at its end."""
    start = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: "
    return start + b"a" * (size - len(start) - 2) + b"\r\n"


def assert_is_problem(response: bytes, status: int, *texts: str) -> None:
    head, _, body = response.partition(b"\r\n\r\n")
    assert get_status(response) == status, response[:500]
    assert b"\r\nconnection: close" in head.lower()
    problem = json.loads(body)
    assert problem["status"] == status
    assert all(text in problem["detail"] for text in texts)


@pytest.mark.parametrize(
    ("start", "part", "count"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: ", BLOCK, 960),  # one header of 60 MB
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n", b"a: b\r\n" * 11_000, 300),  # 20 MB of headers
        (b"GET /livez?", BLOCK, 960),
        (b"", b"\r\n" * 32_768, 300),  # lines before a request
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\n{} \r\n0\r\nX-Long: ", BLOCK, 960),  # after a body
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;", BLOCK, 960),  # extension of a chunk
    ],
    ids=["header", "headers", "url", "lines", "trailer", "extension"],
)
async def test_head_beyond_its_bound_is_rejected_and_not_read(
    start: bytes, part: bytes, count: int, running: RunningService, port: int
) -> None:
    rejected, memory = read_rejections(running, "head_size"), read_memory(running.process.pid)
    async with probe_liveness(port) as probe:
        response = await exchange(port, start, *[part] * count)
    assert_is_problem(response, 431, "NEXTUP_MAX_HEAD_BYTES")
    assert read_rejections(running, "head_size") == rejected + 1
    assert read_memory(running.process.pid) < memory + 10_000_000
    assert max(probe.latencies_s) < 0.5


async def test_head_may_be_as_large_as_its_bound(port: int) -> None:
    assert get_status(await exchange(port, build_head(LIMIT - 21) + b"Connection: close\r\n\r\n")) == 200
    assert get_status(await exchange(port, build_head(LIMIT) + b"\r\n")) == 431


async def test_large_body_is_no_head(port: int) -> None:
    body = b" " * 300_000 + BODY
    head = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert get_status(await exchange(port, head + body)) == 200
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (b" " * 1000,) * 150 + (BODY,))
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert get_status(await exchange(port, head, chunks, b"0\r\nX-Sum: 1\r\n\r\n")) == 200


@pytest.mark.parametrize(
    ("parts", "reason", "limit_s"),
    [
        ([b"GET /livez HTTP/1.1\r\nHost:"], "head_time", 1),
        ([bytes([byte]) for byte in HEAD], "head_time", 1),
        ([b"\r\n"], "head_time", 1),
        ([HEAD + b"Content-Length: 100\r\n\r\n{"], "body_time", 2),
        ([HEAD + b"Content-Length: 100\r\n\r\n", *[b" "] * 90], "body_time", 2),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\n \r\n"] * 90], "body_time", 2),
    ],
    ids=["half a head", "a byte at a time", "half a line", "half a body", "slow body", "slow chunks"],
)
async def test_slow_request_is_answered_with_408(
    parts: list[bytes], reason: str, limit_s: float, running: RunningService, port: int
) -> None:
    rejected, started_at = read_rejections(running, reason), time.monotonic()
    response = await exchange(port, *parts, pause_s=0.1)
    assert_is_problem(response, 408, f"{limit_s} s")
    assert limit_s <= time.monotonic() - started_at < limit_s + 4
    assert read_rejections(running, reason) == rejected + 1


async def test_silent_connection_is_closed_like_an_idle_one(port: int) -> None:
    started_at = time.monotonic()
    assert await exchange(port) == b""
    assert 2.5 < time.monotonic() - started_at < 6


async def test_deadline_starts_with_the_first_byte(port: int) -> None:
    head = HEAD + b"Connection: close\r\nX-Request-Deadline-Ms: 400\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    assert get_status(await exchange(port, head, BODY, pause_s=0.6)) == 504
    routed = head.replace(b"application/json", b"application/json; charset=utf-8")  # not on the hot path
    assert get_status(await exchange(port, routed, BODY, pause_s=0.6)) == 504
    assert get_status(await exchange(port, head + BODY)) == 200


async def test_client_that_does_not_take_its_answer_is_reset(running: RunningService, port: int) -> None:
    rejected = read_rejections(running, "slow_reader")
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.sendall(request * 99)  # answers exceed what the service's socket takes
        async with asyncio.timeout(15):
            while read_rejections(running, "slow_reader") == rejected:  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.2)


async def test_requests_behind_others_are_bounded(running: RunningService, port: int) -> None:
    memory = read_memory(running.process.pid)
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    response = await exchange(port, *[request * 1000] * 100)
    assert 1 <= response.count(b"HTTP/1.1 200") <= 300
    assert read_rejections(running, "pipeline") >= 1
    assert read_memory(running.process.pid) < memory + 30_000_000


async def test_answers_that_are_due_come_before_the_connection_is_closed(port: int) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    response = await exchange(port, request * 3 + b"nonsense\r\n\r\n")
    assert response.count(b"HTTP/1.1 200") == 3
    assert b"HTTP/1.1 400" not in response


@pytest.mark.parametrize("before", [1, 2, 5])
@pytest.mark.parametrize(
    "unfinished",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",  # malformed
        b"Transfer-Encoding: chunked\r\n\r\n4;" + b"a" * LIMIT,  # a too long extension of a chunk
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",  # never ends
        b"Content-Length: 9\r\n\r\n",  # never ends
    ],
)
async def test_unfinished_request_behind_others_does_not_keep_the_connection_open(
    port: int, before: int, unfinished: bytes
) -> None:
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request * before + HEAD + unfinished)
    try:
        async with asyncio.timeout(10):  # the client keeps its side open
            response = await reader.read()
    except ConnectionResetError:  # bytes that nobody read
        response = b""
    finally:
        writer.close()
    assert response.count(b"HTTP/1.1 200") in (before, 0)


async def test_malformed_body_that_waits_for_100_continue_is_no_error_of_the_service(
    running: RunningService, port: int
) -> None:
    head = HEAD + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
    for path in (b"/recommend", b"/events"):
        response = await exchange(port, head.replace(b"/recommend", path) + b"31\r\n" + b"x" * 60)
        assert_is_problem(response, 400, "not valid HTTP/1.1")
    codes = read_samples(running.url, "nextup_http_requests_total")
    assert not [labels for labels in codes if "'500'" in labels]
