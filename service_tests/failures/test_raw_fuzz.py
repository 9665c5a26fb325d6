"""Bytes that are not requests, on raw sockets, against a real process: it neither hangs, fails nor grows.

`NEXTUP_FUZZ_CONNECTIONS=1000000 pytest service_tests/failures/test_raw_fuzz.py` is the long run.
"""

import asyncio
import os
from pathlib import Path

import pytest

from service_tests.failures.raw_fuzz import send_seeds
from service_tests.support.nextup_process import run_service
from service_tests.support.raw_client import count_files, exchange, get_status, read_memory

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CONNECTIONS = int(os.environ.get("NEXTUP_FUZZ_CONNECTIONS", "10000"))
HEAD_TIMEOUT_S = BODY_TIMEOUT_S = 1


@pytest.mark.timeout(max(300, CONNECTIONS // 50))
async def test_bytes_that_are_no_requests_neither_hang_fail_nor_grow(
    tiny_artifact: Path, redis_url: str, tmp_path: Path
) -> None:
    variables = {
        "NEXTUP_REDIS_URL": redis_url,
        "NEXTUP_HEAD_TIMEOUT_S": str(HEAD_TIMEOUT_S),
        "NEXTUP_BODY_TIMEOUT_S": str(BODY_TIMEOUT_S),
        "NEXTUP_KEEP_ALIVE_S": "1",
    }
    with run_service(tmp_path, "--artifact", str(tiny_artifact), **variables) as running:
        port, pid = int(running.url.rpartition(":")[2]), running.process.pid
        await send_seeds(port, range(CONNECTIONS // 5))
        memory, files = read_memory(pid), count_files(pid)
        statuses = await send_seeds(port, range(CONNECTIONS // 5, CONNECTIONS))
        assert all(statuses[status] > 0 for status in (0, 200, 202, 400, 404, 405, 415, 421, 422)), statuses
        await asyncio.sleep(BODY_TIMEOUT_S + 2)
        assert count_files(pid) <= files + 2
        assert read_memory(pid) < memory + 15_000_000 + 20 * CONNECTIONS
        request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert get_status(await exchange(port, request)) == 200
    errors = [line for line in running.output if "Traceback" in line or "ERROR" in line]
    assert errors == []
