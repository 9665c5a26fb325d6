"""A Redis that hangs: every recommendation is answered in time, from the cache if it can be, and it heals alone."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.stores.redis.embedded import EmbeddedRedis
from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.redis_processes import RedisProcess
from service_tests.support.service_processes import find_processes
from service_tests.support.waiting import wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]

ARRANGEMENTS = {
    "one worker": ["--workers", "1"],
    "dedicated model process": ["--workers", "2", "--model-process", "dedicated"],
}
CLIENTS = 8
PATIENCE_S = 60.0
READ_S = 0.5
"""Longest read of the store: NEXTUP_STORE_DEADLINE_SHARE of the deadline of a second."""


def post_event(service: RunningService, user_id: str, number: int) -> httpx.Response:
    event = {"user_id": user_id, "item_id": f"i{number}", "timestamp": 1_700_000_000 + number, "event_id": str(number)}
    return httpx.post(f"{service.url}/events", json={"events": [event]}, timeout=30)


def recommend(service: RunningService, user_id: str = "u") -> httpx.Response:
    return httpx.post(f"{service.url}/recommend", json={"user_id": user_id, "k": 3}, timeout=30)


def is_answered_by_model(service: RunningService) -> bool:
    return bool(recommend(service).json().get("served_by") == "model")


def read_circuit(service: RunningService) -> float:
    return read_samples(service.url, "nextup_circuit_state")["[('circuit', 'store')]"]


def read_store_time(service: RunningService) -> tuple[float, float]:
    """Seconds that all reads of histories have taken, and their number."""
    label = "[('operation', 'recent')]"
    seconds, number = (
        read_samples(service.url, f"nextup_store_duration_seconds_{kind}")[label] for kind in ("sum", "count")
    )
    return seconds, number


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    process = RedisProcess(tmp_path / "external", {"save": ""})
    yield process
    process.stop()


@pytest.fixture(params=list(ARRANGEMENTS))
def service(
    request: pytest.FixtureRequest, redis: RedisProcess, tiny_artifact: Path, tmp_path: Path
) -> Iterator[RunningService]:
    url = f"redis://127.0.0.1:{redis.port}"
    options = ["--artifact", str(tiny_artifact), *ARRANGEMENTS[request.param]]
    with run_service(tmp_path / "data", *options, NEXTUP_REDIS_URL=url) as running:
        yield running


def test_hanging_redis_is_answered_from_the_cache_until_it_continues(
    service: RunningService, redis: RedisProcess
) -> None:
    for number in (1, 2):
        assert post_event(service, "u", number).status_code == 202
    expected = [recommend(service).json() for _ in range(8)]  # each worker has its own cache
    assert {answer["served_by"] for answer in expected} == {"model"}
    redis.pause()
    try:
        with ThreadPoolExecutor(CLIENTS) as clients:
            responses = list(clients.map(lambda _: recommend(service), range(6 * CLIENTS)))
        assert {response.status_code for response in responses} == {200}
        answers: list[dict[str, Any]] = [response.json() for response in responses]
        assert {answer["reason"] for answer in answers} == {"store_unavailable"}
        assert Counter(answer["served_by"] for answer in answers)["cache"] > len(answers) / 2
        assert {str(answer["items"]) for answer in answers if answer["served_by"] == "cache"} == {
            str(expected[0]["items"])
        }

        wait_until(lambda: read_circuit(service) > 0, PATIENCE_S, "the circuit does not open")
        before_s, before = read_store_time(service)
        for _ in range(20):
            assert recommend(service).status_code == 200
        after_s, after = read_store_time(service)
        assert after_s - before_s < (after - before) * READ_S / 2, "an open circuit costs no wait"
        assert recommend(service, "unheard").json()["served_by"] == "popularity"
        refused = post_event(service, "u", 3)
        assert (refused.status_code, refused.json()["title"]) == (503, "Store unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert httpx.get(f"{service.url}/livez", timeout=60).status_code == 200
        wait_until(
            lambda: httpx.get(f"{service.url}/readyz", timeout=60).status_code == 503, PATIENCE_S, "it stays ready"
        )
    finally:
        redis.resume()
    wait_until(lambda: is_answered_by_model(service), PATIENCE_S, "the model does not answer again")
    wait_until(lambda: read_circuit(service) == 0, PATIENCE_S, "the circuit of a worker stays open")
    wait_until(lambda: httpx.get(f"{service.url}/readyz", timeout=60).status_code == 200, PATIENCE_S, "it is not ready")
    assert post_event(service, "u", 3).json()["results"][0]["status"] in ("stored", "duplicate")
    service.process.send_signal(signal.SIGTERM)
    output = service.process.communicate(timeout=30)[0]
    assert f"the circuit of the store opened: no answer within {READ_S * 1000:.0f} ms" in output, output
    assert "the circuit of the store closed after" in output


def find_redis(service: RunningService) -> int:
    (pid,) = [*find_processes(service, b"redis-server"), *find_processes(service, b"valkey-server")]
    return pid


def test_embedded_redis_that_hangs_is_replaced_loses_nothing_and_does_not_delay_the_end(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    options = ["--artifact", str(tiny_artifact)]
    with run_service(tmp_path, *options, NEXTUP_STALL_S="600", NEXTUP_DRAIN_S="1") as service:
        for number in (1, 2):
            assert post_event(service, "u", number).status_code == 202
        expected = recommend(service).json()
        os.kill(find_redis(service), signal.SIGSTOP)
        statuses: Counter[int] = Counter()

        def count_restarts() -> float:
            statuses[recommend(service).status_code] += 1
            samples = read_samples(service.url, "nextup_restarts_total")
            return samples["[('process', 'redis'), ('reason', 'unresponsive')]"]

        wait_until(lambda: count_restarts() == 1, PATIENCE_S, "the server is not replaced")
        wait_until(lambda: is_answered_by_model(service), PATIENCE_S, "the model does not answer again")
        assert set(statuses) == {200}
        assert recommend(service).json()["items"] == expected["items"]
        assert [post_event(service, "u", n).json()["results"][0]["status"] for n in (2, 3)] == ["duplicate", "stored"]

        os.kill(find_redis(service), signal.SIGSTOP)
        started_at = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(timeout=40)
        assert time.monotonic() - started_at < 15, "a server that hangs is not given the time of one that works"
    assert EmbeddedRedis.find_running_url(tmp_path) is None
    assert "the embedded Redis did not answer for" in "\n".join(service.output)
