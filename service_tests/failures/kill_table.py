"""Kill the embedded Redis or the service at random moments under load, and check that nothing acknowledged is lost.

    python -m service_tests.failures.kill_table --kills 20 --victims redis service both

prints one JSON line per kind of victim. `both` are killed together, as by a machine that runs out of memory. SIGKILL
does not drop writes that the operating system has not synced, so this is no test of a power failure.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, get_args

import httpx
import polars as pl
from redis import Redis

from app.stores.redis.embedded import EmbeddedRedis
from service_tests.failures.event_comparison import FAULTS, compare_events, parse_history
from service_tests.failures.fail_over_http import FIRST_S
from service_tests.failures.retrying_load import RetryingLoad, list_expected_events
from service_tests.support.artifacts import write_tiny_artifact
from service_tests.support.nextup_process import COMMAND, find_free_port, make_environment, run_nextup

PLACES = ("history", "log")
Victim = Literal["redis", "service", "both"]
USERS = [f"u{number}" for number in range(200)]
RECOVERY_LIMIT_S = 90.0
MIN_UPTIME_S, MAX_UPTIME_S = 0.1, 2.0
"""Bounds of the random time between a recovery and the next kill."""
STOP_S = 30.0
ARCHIVE_S = 1.0
"""Seconds between two rounds of the archiver, so that kills meet it at work."""


@dataclass
class KilledService:
    """`nextup serve` with its embedded Redis on one port, started again by `start` as a service manager would."""

    folder: Path
    durability: str = "always"
    port: int = field(default_factory=find_free_port)

    def __post_init__(self) -> None:
        self.data_dir = self.folder / "data"
        self.url = f"http://127.0.0.1:{self.port}"
        self._artifact = write_tiny_artifact(self.folder / "artifact")
        self._variables = {
            "NEXTUP_DURABILITY": self.durability,
            "NEXTUP_HISTORY_MAX_EVENTS": "16000",
            "NEXTUP_ARCHIVE_S": str(ARCHIVE_S),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._open_log() as log:
            self._process = subprocess.Popen(
                [*COMMAND, "serve", "--port", str(self.port), "--artifact", str(self._artifact)],
                env=make_environment(self.data_dir, **self._variables),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, victim: Victim) -> None:
        """Kill the victim with SIGKILL; a killed service is started again immediately."""
        assert self._process is not None
        redis_pid = self._find_redis_pid() if victim != "service" else None
        if redis_pid is not None:
            os.kill(redis_pid, signal.SIGKILL)
        if victim != "redis":
            self._process.kill()
            self._process.wait()
            self.start()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        finally:
            self._process.kill()

    def read_log(self) -> str:
        return (self.folder / "service.log").read_text()

    def dump(self) -> pl.DataFrame:
        """Read all events with `nextup dump`, as a training would."""
        with tempfile.TemporaryDirectory(dir=self.folder) as out:
            result = run_nextup(self.data_dir, "dump", "--out", out, cwd=None, **self._variables)
            assert result.returncode == 0, result.stderr
            return pl.read_parquet(f"{out}/**/*.parquet")

    def _open_log(self) -> IO[bytes]:
        return (self.folder / "service.log").open("ab")

    def _find_redis_pid(self) -> int:
        url = EmbeddedRedis.find_running_url(self.data_dir)
        assert url is not None, "the embedded Redis runs"
        with Redis.from_url(url) as client:
            return int(client.info("server")["process_id"])


async def run_kills(
    service: KilledService, victim: Victim, kills: int, seed: int, events_per_s: float = 1000.0
) -> dict[str, object]:
    """Run load, kill `kills` times, and return the figures.

    AssertionError for an event that is rejected, or a service that does not return.
    """
    rng = random.Random(seed)
    users = [f"{victim}-{user}" for user in USERS]
    load = RetryingLoad(service.url, users, events_per_s=events_per_s)
    recovery_s: list[float] = []
    async with httpx.AsyncClient(base_url=service.url, timeout=5.0, trust_env=False) as http:
        await _wait_for_model(http, None)
        load.start()
        started_at = time.monotonic()
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(MIN_UPTIME_S, MAX_UPTIME_S))
            await asyncio.to_thread(service.kill, victim)
            killed_at = time.monotonic()
            await _wait_for_model(http, users[0])
            recovery_s.append(time.monotonic() - killed_at)
            load.raise_failures()
        await load.stop()
        seconds = time.monotonic() - started_at
        histories = {user: await _read_history(http, user) for user in users}
    events = await asyncio.to_thread(service.dump)
    expected = {user: list_expected_events(user, load.acknowledged[user]) for user in users}
    return {
        "victim": victim,
        "kills": kills,
        "durability": service.durability,
        "seed": seed,
        "events_per_s_offered": events_per_s,
        "events_per_s_between_outages": round(load.acknowledged.total() / (seconds - sum(recovery_s))),
        "calls_repeated": dict(load.errors),
        "duplicates": load.statuses["duplicate"],
        "acknowledged": load.acknowledged.total(),
        **{f"history_{fault}": count for fault, count in compare_events(expected, histories).items()},
        **{f"log_{fault}": count for fault, count in compare_events(expected, _group_by_user(events)).items()},
        "archive_files": len(list(service.data_dir.glob("events/**/*.parquet"))),
        "recovery_s": {"median": round(sorted(recovery_s)[kills // 2], 2), "max": round(max(recovery_s), 2)},
    }


def _group_by_user(events: pl.DataFrame) -> dict[str, list[tuple[str, int]]]:
    by_user: dict[str, list[tuple[str, int]]] = {}
    for user, item, time_value in events.select("user_id", "item_id", "timestamp").sort("timestamp").iter_rows():
        time_ms = time_value if isinstance(time_value, int) else round(time_value.timestamp() * 1000)
        by_user.setdefault(user, []).append((item, time_ms // 1000 - FIRST_S))
    return by_user


async def _read_history(http: httpx.AsyncClient, user: str) -> list[tuple[str, int]]:
    response = await http.get(f"/users/{user}/history")
    assert response.status_code == 200, response.text
    return parse_history(response.json())


async def _wait_for_model(http: httpx.AsyncClient, user: str | None) -> None:
    """Wait until the model answers for a stored history, or is ready if there is none yet."""
    body: dict[str, object] = {"history": ["i1", "i2"]} if user is None else {"user_id": user}
    async with asyncio.timeout(RECOVERY_LIMIT_S):
        while True:
            try:
                response = await http.post("/recommend", json={**body, "k": 3})
                if response.status_code == 200 and response.json()["served_by"] == "model":
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--victims", nargs="+", choices=get_args(Victim), default=["redis", "service"])
    parser.add_argument("--durability", choices=["everysec", "always"], default="always")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    is_lossless = True
    with tempfile.TemporaryDirectory(prefix="nextup-kills-") as folder:
        service = KilledService(Path(folder), arguments.durability)
        service.start()
        try:
            for victim in arguments.victims:
                figures = asyncio.run(run_kills(service, victim, arguments.kills, arguments.seed))
                print(json.dumps(figures), flush=True)
                is_lossless &= not any(figures[f"{place}_{fault}"] for place in PLACES for fault in FAULTS)
        finally:
            service.stop()
    return 0 if is_lossless else 1


if __name__ == "__main__":
    sys.exit(main())
