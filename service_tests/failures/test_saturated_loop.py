"""More requests than the event loop can handle: they are refused quickly and the remainder is answered in time."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from app.bench.load.json_client import Answer, CallFailed, JsonClient
from service_tests.support.nextup_process import read_samples, run_service

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CLIENTS, CALLS = 700, 6
TIMEOUT_S = 60.0


async def send_calls(port: int, outcomes: Counter[str], refusals: list[Answer]) -> None:
    client = JsonClient([port])
    for _ in range(CALLS):
        try:
            answer = await client.call("POST", "/recommend", {"history": ["i1", "i2"], "k": 3}, timeout_s=TIMEOUT_S)
        except CallFailed as error:
            outcomes[error.kind] += 1
            continue
        outcomes[answer.body.get("served_by", str(answer.status))] += 1
        if answer.status == 503:
            refusals.append(answer)
            await asyncio.sleep(0.05)
    client.close()


async def test_saturated_event_loop_refuses_requests_and_answers_the_remainder(
    tiny_artifact: Path, redis_url: str, tmp_path: Path
) -> None:
    outcomes: Counter[str] = Counter()
    refusals: list[Answer] = []
    options = ["--artifact", str(tiny_artifact)]
    with run_service(tmp_path, *options, NEXTUP_REDIS_URL=redis_url, NEXTUP_REQUEST_DEADLINE_MS="30000") as service:
        port = int(service.url.rpartition(":")[2])
        await asyncio.gather(*(send_calls(port, outcomes, refusals) for _ in range(CLIENTS)))
        assert outcomes.total() == CLIENTS * CALLS
        assert set(outcomes) <= {"model", "popularity", "503"}, outcomes
        assert outcomes["model"] > 0
        assert refusals, "nothing was refused"
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refusals)
        assert all(answer.body["request_id"] == answer.headers["x-request-id"] for answer in refusals)
        rejected = read_samples(service.url, "nextup_rejected_total")["[('reason', 'overloaded')]"]
        assert rejected >= len(refusals)
        codes = read_samples(service.url, "nextup_http_requests_total")
        assert sum(n for labels, n in codes.items() if "'503'" in labels and "'/recommend'" in labels) == len(refusals)
        client = JsonClient([port])
        for _ in range(100):
            answer = await client.call("POST", "/recommend", {"history": ["i1"]}, timeout_s=TIMEOUT_S)
            assert answer.status == 200, "the gate is closed without load"
            await asyncio.sleep(0.01)
        client.close()
