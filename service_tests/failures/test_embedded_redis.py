"""The embedded Redis of a running service dies: it is restarted, and callers see an outage that ends by itself."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from app.settings import Settings
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.support.nextup_process import RunningService, read_samples, run_service
from service_tests.support.service import run_service as run_service_in_process
from service_tests.support.versions import publish_versions, write_tiny_artifacts
from service_tests.support.waiting import wait_until, wait_until_async

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

ARRANGEMENTS = {
    "one worker": ["--workers", "1"],
    "two workers": ["--workers", "2"],
    "dedicated model process": ["--workers", "2", "--model-process", "dedicated"],
}
RECOVERY_S = 5.0
SLACK_S = 15.0
"""Allowance for a busy machine."""


def find_redis_pid(data_dir: Path) -> int:
    url = EmbeddedRedis.find_running_url(data_dir)
    assert url is not None, "the embedded Redis runs"
    with Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def post_event(service: RunningService, number: int) -> httpx.Response:
    event = {"user_id": "u", "item_id": f"i{number}", "timestamp": 1_700_000_000 + number, "event_id": str(number)}
    return httpx.post(f"{service.url}/events", json={"events": [event]}, timeout=60)


def recommend(service: RunningService) -> dict[str, Any]:
    response = httpx.post(f"{service.url}/recommend", json={"user_id": "u", "k": 3}, timeout=60)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def has_open_circuit(service: RunningService) -> bool:
    """Whether any worker does without Redis."""
    return read_samples(service.url, "nextup_circuit_state")["[('circuit', 'store')]"] > 0


def count_restarts(service: RunningService) -> dict[str, float]:
    samples = read_samples(service.url, "nextup_restarts_total")
    return {labels.split("'reason', '")[1][:-3]: value for labels, value in samples.items() if "'redis'" in labels}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    publish_versions(folder / "models", *write_tiny_artifacts(folder, 1))
    return folder / "models"


@pytest.fixture(params=list(ARRANGEMENTS))
def service(request: pytest.FixtureRequest, artifacts: Path, tmp_path: Path) -> Iterator[RunningService]:
    arguments = ["--artifact", str(artifacts), *ARRANGEMENTS[request.param]]
    with run_service(tmp_path / "data", *arguments, NEXTUP_DURABILITY="always") as running:
        yield running


@pytest.mark.slow
def test_killed_server_is_restarted_and_nothing_is_lost(service: RunningService, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    for number in (1, 2):
        assert post_event(service, number).status_code == 202
    answer = [recommend(service) for _ in range(8)][-1]  # each worker caches its own answers
    assert (answer["served_by"], answer["history_length"]) == ("model", 2)
    assert sum(count_restarts(service).values()) == 0

    folder, away = data_dir / "redis", data_dir / "away"
    folder.rename(away)  # no server starts meanwhile, as on a disk that is not mounted
    pid = int((away / "redis.log").read_text().split(":")[0].split()[-1])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: count_restarts(service)["start_failed"] >= 1, SLACK_S, "a restart failed")
    during = recommend(service)
    assert (during["served_by"], during["reason"]) == ("cache", "store_unavailable")
    refused = post_event(service, 3)
    assert (refused.status_code, refused.json()["title"]) == (503, "Store unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert httpx.get(f"{service.url}/livez", timeout=60).status_code == 200

    away.rename(folder)
    wait_until(lambda: recommend(service)["served_by"] == "model", RECOVERY_S + SLACK_S, "the model answers again")
    wait_until(lambda: not has_open_circuit(service), RECOVERY_S + SLACK_S, "every worker uses Redis again")
    assert recommend(service)["items"] == answer["items"]
    results = [post_event(service, number).json()["results"][0]["status"] for number in (1, 2, 3)]
    assert results == ["duplicate", "duplicate", "stored"]
    wait_until(
        lambda: httpx.get(f"{service.url}/readyz", timeout=60).status_code == 200, SLACK_S, "the service is ready"
    )
    restarts = count_restarts(service)
    assert (restarts["killed"], restarts["exited"]) == (1, 0)

    os.kill(find_redis_pid(data_dir), signal.SIGTERM)
    wait_until(lambda: count_restarts(service)["exited"] == 1, SLACK_S, "a server that exits is restarted too")
    wait_until(lambda: recommend(service)["served_by"] == "model", RECOVERY_S + SLACK_S, "the model answers again")
    service.process.send_signal(signal.SIGTERM)
    output = service.process.communicate(timeout=60)[0]
    assert "the embedded Redis was killed by SIGKILL; restarting in 0.1 s" in output
    assert "the embedded Redis did not start: " in output
    assert output.count("the embedded Redis answers again after") == 2
    assert "Traceback" not in output, output
    assert EmbeddedRedis.find_running_url(data_dir) is None, "the restarted server ends with the service"


@pytest.mark.anyio
async def test_server_of_an_application_without_the_serve_command_is_restarted(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_service_in_process(settings.with_changes(redis_url=None)) as service:
        await service.post_events("u", "i7", "i8")
        before = await service.recommend(user_id="u")
        pid = find_redis_pid(tmp_path)
        os.kill(pid, signal.SIGKILL)
        await wait_until_async(lambda: "answers again after" in caplog.text, SLACK_S, "the server is restarted")
        assert (await service.recommend(user_id="u"))["items"] == before["items"]
        assert find_redis_pid(tmp_path) != pid
    assert EmbeddedRedis.find_running_url(tmp_path) is None


@pytest.mark.anyio
async def test_service_stops_while_its_server_cannot_start(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with run_service_in_process(settings.with_changes(redis_url=None)):
        pid = find_redis_pid(tmp_path)
        (tmp_path / "redis").rename(tmp_path / "away")
        os.kill(pid, signal.SIGKILL)
        await wait_until_async(lambda: "did not start" in caplog.text, SLACK_S, "a restart failed")
    assert EmbeddedRedis.find_running_url(tmp_path) is None
