"""An erasure wins over a merge that is running: nothing of the erased user lives on in the target."""

import asyncio
import random
from pathlib import Path

import httpx
import polars as pl
import pytest

from service_tests.support.nextup_process import run_nextup, run_service

pytestmark = [pytest.mark.process, pytest.mark.anyio]
ROUNDS = 40
NUM_EVENTS = 40
FIRST_TIME = 1_700_000_000


async def merge_and_erase(http: httpx.AsyncClient, number: int, delay_s: float) -> tuple[int, int]:
    """Merge a user into another one and erase it meanwhile; return the removed keys and the events in the target."""
    source, target = f"source{number}", f"target{number}"
    events = [
        {"user_id": source, "item_id": f"i{position}", "timestamp": FIRST_TIME + position, "event_id": f"e{position}"}
        for position in range(NUM_EVENTS)
    ]
    events.append({"user_id": target, "item_id": "own", "timestamp": FIRST_TIME})
    response = await http.post("/events", json={"events": events})
    assert response.json()["stored"] == NUM_EVENTS + 1, response.text

    async def erase() -> httpx.Response:
        await asyncio.sleep(delay_s)
        return await http.delete(f"/users/{source}")

    merge = http.post(f"/users/{target}/merge", json={"from": source})
    merged, receipt = await asyncio.gather(merge, erase())
    assert (merged.status_code, receipt.status_code) == (200, 200), (merged.text, receipt.text)
    history = (await http.get(f"/users/{target}/history")).json()["events"]
    assert len(history) in (1, NUM_EVENTS + 1), "a part of a merge"
    assert merged.json()["stored"] == len(history) - 1
    assert (await http.get(f"/users/{source}/history")).json()["events"] == []
    return receipt.json()["keys_removed"], len(history) - 1


async def race(url: str) -> dict[int, tuple[int, int]]:
    results = {}
    choose = random.Random(7)
    limits = httpx.Limits(max_keepalive_connections=0)  # connections spread over the workers
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        for number in range(ROUNDS):
            results[number] = await merge_and_erase(http, number, choose.uniform(0, 0.006))
    return results


@pytest.mark.slow
async def test_receipt_of_an_erasure_holds_although_merges_were_running(tiny_artifact: Path, tmp_path: Path) -> None:
    with run_service(tmp_path, "--workers", "2", "--artifact", str(tiny_artifact)) as service:
        results = await race(service.url)
    living_on = {number for number, (keys_removed, events) in results.items() if keys_removed and events}
    assert not living_on, f"{len(living_on)} of {sum(keys > 0 for keys, _ in results.values())} receipts"

    assert run_nextup(tmp_path, "dump", "--out", str(tmp_path / "dump")).returncode == 0
    rows = pl.read_parquet(tmp_path / "dump" / "*.parquet").filter(pl.col("item_id") != "own")
    logged = dict(rows.group_by("user_id").len().iter_rows())
    assert logged == {f"target{number}": events for number, (_, events) in results.items() if events}
