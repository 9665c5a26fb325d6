"""The service as processes: workers that count together, a clean end, histories that outlive it."""

import asyncio
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service_tests.support.nextup_process import RunningService, find_free_port, run_nextup, run_service

EVENTS = 300
COPIES = 7


def samples(url: str, name: str) -> dict[str, float]:
    """Values of one metric by its labels."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").text)
    return {str(sorted(s.labels.items())): s.value for family in families for s in family.samples if s.name == name}


@pytest.fixture(scope="module")
def served(tiny_artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with run_service(tmp_path_factory.mktemp("served"), "--artifact", str(tiny_artifact), "--workers", "2") as running:
        yield running


def test_metrics_of_two_workers_are_summed(served: RunningService) -> None:
    before = sum(samples(served.url, "nextup_recommendations_total").values())
    for _ in range(40):  # a connection each, so that both workers get some
        assert httpx.post(f"{served.url}/recommend", json={"history": ["i1"]}).status_code == 200
    told: set[float] = set()
    for _ in range(100):  # a worker's numbers are seen from outside twice a second
        told = {sum(samples(served.url, "nextup_recommendations_total").values()) for _ in range(3)}
        if told == {before + 40}:
            break
        time.sleep(0.1)
    assert told == {before + 40}, "whichever worker answers"
    (info,) = samples(served.url, "nextup_model_info").values()
    assert info == 1
    (resident,) = samples(served.url, "process_resident_memory_bytes").values()
    assert resident > 2 * 100_000_000, "two processes with torch in them"


@pytest.mark.anyio
async def test_concurrent_shuffled_repeated_submissions_leave_each_event_once_in_time_order(
    served: RunningService,
) -> None:
    events = [
        {"user_id": f"w{n % 10}", "item_id": f"i{n % 60 + 1}", "timestamp": 1_700_000_000 + n, "event_id": f"e{n}"}
        for n in range(EVENTS)
    ]
    submissions = events * COPIES
    random.Random(0).shuffle(submissions)
    statuses: list[str] = []
    left = iter(submissions)

    async def client(http: httpx.AsyncClient) -> None:
        for event in left:
            answer = await http.post("/events", json={"events": [event]})
            statuses.append(answer.json()["results"][0]["status"])

    async with httpx.AsyncClient(base_url=served.url, limits=httpx.Limits(max_connections=32)) as http:
        await asyncio.gather(*(client(http) for _ in range(32)))
        stored = [(await http.get(f"/users/w{n}/history")).json() for n in range(10)]
    assert sorted(statuses) == ["duplicate"] * EVENTS * (COPIES - 1) + ["stored"] * EVENTS
    for n, history in enumerate(stored):
        expected = [1000 * (1_700_000_000 + event) for event in range(EVENTS) if event % 10 == n]
        assert [event["timestamp"] for event in history["events"]] == expected
        assert history["history_version"] == len(expected)


def test_a_killed_worker_is_replaced_and_its_counts_stay_true(served: RunningService) -> None:
    counted = sum(samples(served.url, "nextup_recommendations_total").values())
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(workers) == 2
    os.kill(int(workers[0]), 9)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            answer = httpx.post(f"{served.url}/recommend", json={"history": ["i1"]}, timeout=2)
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if answer.status_code == 200:
            break
    assert sum(samples(served.url, "nextup_recommendations_total").values()) >= counted
    (info,) = samples(served.url, "nextup_model_info").values()
    assert info == 1


def test_commands_join_the_redis_of_a_running_service_and_histories_outlive_it(
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
        before = httpx.post(f"{running.url}/recommend", json={"user_id": "ann"}).json()
        assert (before["served_by"], before["history_length"]) == ("model", 5)
    again = run_nextup(data, "load", str(log))
    assert '"stored": 0, "duplicate": 10' in again.stdout
    assert '"keys_removed": 2' in run_nextup(data, "erase", "bob").stdout
    dumped = run_nextup(data, "dump", "--out", str(tmp_path / "dump"))
    assert dumped.returncode == 0, dumped.stderr
    events = pl.read_parquet(tmp_path / "dump" / "*.parquet")
    assert events.select("user_id", "item_id").rows() == [("ann", f"i{n}") for n in range(1, 6)]
    assert events["timestamp"].to_list() == [1000 * at for at in times]
    with run_service(data, "--artifact", str(tiny_artifact)) as running:
        after = httpx.post(f"{running.url}/recommend", json={"user_id": "ann"}).json()
    assert after["items"] == before["items"]
    assert not list((data / "redis").glob("*.sock")), "nothing is left running"


def test_a_service_that_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    missing = run_nextup(tmp_path / "data", "serve", "--artifact", str(tmp_path / "nothing"))
    assert missing.returncode == 1
    assert missing.stderr.strip().startswith("nextup: error: ")
    assert "holds no artifact" in missing.stderr
    exposed = run_nextup(tmp_path / "data", "serve", "--artifact", str(tmp_path), "--host", "0.0.0.0")
    assert "NEXTUP_ALLOW_ANONYMOUS" in exposed.stderr


@pytest.mark.parametrize(("workers", "model"), [("1", "in_process"), ("2", "in_process"), ("2", "dedicated")])
def test_an_artifact_that_is_refused_ends_the_service_with_an_error(
    tiny_artifact: Path, tmp_path: Path, workers: str, model: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_artifact, broken)
    weights = broken / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    port = ["--port", str(find_free_port())]
    ended = run_nextup(
        tmp_path / "data", "serve", "--artifact", str(broken), "--workers", workers, "--model-process", model, *port
    )
    assert ended.returncode != 0
    assert "model.safetensors" in ended.stderr
