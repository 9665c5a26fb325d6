"""The service as processes: metrics summed over workers, clean shutdown, and durable histories."""

import asyncio
import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import polars as pl
import pytest

from service_tests.support.nextup_process import (
    RunningService,
    find_free_port,
    read_samples,
    run_nextup,
    run_service,
)
from service_tests.support.waiting import wait_until

pytestmark = pytest.mark.process

EVENTS = 300
COPIES = 7


@pytest.fixture(scope="module")
def service(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with run_service(tmp_path_factory.mktemp("data"), "--artifact", str(tiny_artifact), "--workers", "2") as running:
        yield running


def count_recommendations(service: RunningService) -> float:
    return sum(read_samples(service.url, "nextup_recommendations_total").values())


def test_metrics_of_two_workers_are_summed(service: RunningService) -> None:
    expected = count_recommendations(service) + 40
    for _ in range(40):  # one connection per request, so that both workers get some
        assert httpx.post(f"{service.url}/recommend", json={"history": ["i1"]}, timeout=60).status_code == 200
    counts: set[float] = set()
    for _ in range(100):  # a worker publishes its counters twice a second
        counts = {count_recommendations(service) for _ in range(3)}
        if counts == {expected}:
            break
        time.sleep(0.1)
    assert counts == {expected}, "the same from every worker"
    (info,) = read_samples(service.url, "nextup_model_info").values()
    assert info == 1
    (resident,) = read_samples(service.url, "process_resident_memory_bytes").values()
    assert resident > 2 * 100_000_000, "two processes with torch in them"


def test_overview_of_every_worker_has_the_answers_of_all(service: RunningService) -> None:
    for _ in range(20):  # one connection per request, so that both workers get some
        assert httpx.post(f"{service.url}/recommend", json={"history": ["i1"]}, timeout=60).status_code == 200

    def is_complete() -> bool:
        answers = [httpx.get(f"{service.url}/overview", timeout=60).json() for _ in range(4)]
        counts = {answer["served_by"]["model"] for answer in answers}
        return len(counts) == 1 and min(counts) >= 20

    wait_until(is_complete, 60, "workers do not see the answers of each other")


@pytest.mark.anyio
async def test_concurrent_duplicate_events_are_stored_once_in_time_order(
    service: RunningService,
) -> None:
    events = [
        {"user_id": f"w{n % 10}", "item_id": f"i{n % 60 + 1}", "timestamp": 1_700_000_000 + n, "event_id": f"e{n}"}
        for n in range(EVENTS)
    ]
    submissions = events * COPIES
    random.Random(0).shuffle(submissions)
    statuses: list[str] = []
    queue = iter(submissions)

    async def submit(http: httpx.AsyncClient) -> None:
        for event in queue:
            response = await http.post("/events", json={"events": [event]})
            statuses.append(response.json()["results"][0]["status"])

    async with httpx.AsyncClient(base_url=service.url, limits=httpx.Limits(max_connections=32), timeout=60) as http:
        await asyncio.gather(*(submit(http) for _ in range(32)))
        histories = [(await http.get(f"/users/w{n}/history")).json() for n in range(10)]
    assert sorted(statuses) == ["duplicate"] * EVENTS * (COPIES - 1) + ["stored"] * EVENTS
    for n, history in enumerate(histories):
        expected = [1000 * (1_700_000_000 + event) for event in range(EVENTS) if event % 10 == n]
        assert [event["timestamp"] for event in history["events"]] == expected
        assert history["history_version"] == len(expected)


def find_workers(service: RunningService) -> list[str]:
    """List the ids of the worker processes; one that ends meanwhile is left out."""
    children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
    commands = {}
    for pid in children:
        with suppress(OSError):
            commands[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
    return [pid for pid, command in commands.items() if b"app.worker.process" in command]


def test_killed_worker_is_replaced_and_its_counters_are_kept(service: RunningService) -> None:
    before = count_recommendations(service)
    workers = find_workers(service)
    assert len(workers) == 2
    os.kill(int(workers[0]), 9)
    wait_until(lambda: len(set(find_workers(service)) - {workers[0]}) == 2, 30, "the worker is not replaced")
    assert httpx.post(f"{service.url}/recommend", json={"history": ["i1"]}, timeout=60).status_code == 200
    assert count_recommendations(service) >= before
    (info,) = read_samples(service.url, "nextup_model_info").values()
    assert info == 1


def test_commands_use_the_redis_of_a_running_service_and_histories_survive_it(
    tiny_artifact: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log.csv"
    times = [1_700_000_000 + n for n in range(1, 6)]
    rows = [(user, f"i{at - 1_700_000_000}", at) for user in ("ann", "bob") for at in times]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(log)
    data = tmp_path / "data"
    with run_service(data, "--artifact", str(tiny_artifact)) as running:
        loaded = run_nextup(data, "load", str(log))
        assert loaded.returncode == 0, loaded.stderr
        assert '"stored": 10, "duplicate": 0' in loaded.stdout
        before = httpx.post(f"{running.url}/recommend", json={"user_id": "ann"}, timeout=60).json()
        assert (before["served_by"], before["history_length"]) == ("model", 5)
    again = run_nextup(data, "load", str(log))
    assert '"stored": 0, "duplicate": 10' in again.stdout
    assert '"keys_removed": 1' in run_nextup(data, "erase", "bob").stdout
    dumped = run_nextup(data, "dump", "--out", str(tmp_path / "dump"))
    assert dumped.returncode == 0, dumped.stderr
    events = pl.read_parquet(tmp_path / "dump" / "*.parquet")
    assert events.select("user_id", "item_id").rows() == [("ann", f"i{n}") for n in range(1, 6)]
    assert events["timestamp"].to_list() == [1000 * at for at in times]
    with run_service(data, "--artifact", str(tiny_artifact)) as running:
        after = httpx.post(f"{running.url}/recommend", json={"user_id": "ann"}, timeout=60).json()
    assert after["items"] == before["items"]
    assert not list((data / "redis").glob("*.sock")), "no Redis is left running"


def test_failed_start_reports_the_reason_in_one_line(tmp_path: Path) -> None:
    without_artifact = run_nextup(tmp_path / "data", "serve", "--artifact", str(tmp_path / "nothing"))
    assert without_artifact.returncode == 1
    assert without_artifact.stderr.strip().startswith("nextup: error: ")
    assert "holds no artifact" in without_artifact.stderr
    exposed = run_nextup(tmp_path / "data", "serve", "--artifact", str(tmp_path), "--host", "0.0.0.0")
    assert "NEXTUP_ALLOW_ANONYMOUS" in exposed.stderr


@pytest.mark.parametrize(("workers", "model"), [("1", "in_process"), ("2", "in_process"), ("2", "dedicated")])
def test_service_exits_with_an_error_if_the_artifact_is_rejected(
    tiny_artifact: Path, tmp_path: Path, workers: str, model: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_artifact, broken)
    weights = broken / "model.safetensors"
    corrupt = bytearray(weights.read_bytes())
    corrupt[-1] ^= 1
    weights.write_bytes(corrupt)
    port = ["--port", str(find_free_port())]
    process = run_nextup(
        tmp_path / "data", "serve", "--artifact", str(broken), "--workers", workers, "--model-process", model, *port
    )
    assert process.returncode != 0
    assert "model.safetensors" in process.stderr
