"""The live catalogue with real processes: all workers follow, also replaced ones, while Redis comes and goes."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from service_tests.support.nextup_process import RunningService, run_service
from service_tests.support.redis_processes import RedisProcess
from service_tests.support.service_processes import MODEL, WORKER, find_processes, is_running
from service_tests.support.waiting import wait_until

FOLLOW_S = 60.0
"""Most seconds until all workers follow a change; the aim of one second is measured and printed."""
ROUND = 8
"""Requests on new connections, which the supervisor hands to the workers by turns."""
BODY = {"history": ["i1", "i2"], "k": 59, "exclude_seen": False}
PLACEMENTS = ["in_process", "dedicated"]


@dataclass(frozen=True)
class Scene:
    service: RunningService
    redis: RedisProcess

    def put(self, *items: dict[str, Any]) -> None:
        response = httpx.put(f"{self.service.url}/items", json={"items": items}, timeout=60)
        assert response.status_code == 200, response.text

    def hide(self, *item_ids: str) -> None:
        self.put(*({"item_id": item_id, "available": False} for item_id in item_ids))

    def recommend(self) -> dict[str, Any]:
        response = httpx.post(f"{self.service.url}/recommend", json=BODY, timeout=60)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def list_items(self) -> set[str]:
        return {item["item_id"] for item in self.recommend()["items"]}

    def wait_for_all(self, hidden: Sequence[str], shown: Sequence[str], description: str) -> None:
        """Wait until a round of answers agrees; further rounds must agree as well."""
        started_at = time.monotonic()
        wait_until(lambda: not self.find_difference(hidden, shown), FOLLOW_S, description)
        print(f"{description}: all workers within {time.monotonic() - started_at:.2f} s")
        assert [self.find_difference(hidden, shown) for _ in range(3)] == [None] * 3, description

    def find_difference(self, hidden: Sequence[str], shown: Sequence[str]) -> Any:
        for number in range(ROUND):
            answer = self.recommend()
            items = {item["item_id"] for item in answer.pop("items")}
            if items & set(hidden) or not items >= set(shown):
                return number, items & set(hidden), set(shown) - items, answer
        return None


@contextmanager
def run_scene(
    folder: Path, artifact: Path, placement: Literal["in_process", "dedicated"], *, starts_redis: bool = True
) -> Iterator[Scene]:
    redis = RedisProcess(folder / "redis", {"appendonly": "yes", "appendfsync": "always", "save": ""})
    try:
        if not starts_redis:
            redis.kill()
        variables = {"NEXTUP_REDIS_URL": f"redis://127.0.0.1:{redis.port}", "NEXTUP_REDIS_TIMEOUT_MS": "2000"}
        options = ["--artifact", str(artifact), "--workers", "2", "--model-process", placement]
        wait_for = "/readyz" if starts_redis else "/livez"
        with run_service(folder / "data", *options, wait_for=wait_for, **variables) as service:
            yield Scene(service, redis)
    finally:
        redis.stop()


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_worker_follows_the_live_catalogue(
    tiny_artifact: Path, tmp_path: Path, placement: Literal["in_process", "dedicated"]
) -> None:
    with run_scene(tmp_path, tiny_artifact, placement) as scene:
        assert scene.list_items() >= {"i5", "i6", "i7", "i8"}
        scene.hide("i5")
        scene.wait_for_all(["i5"], ["i6", "i7", "i8"], "unavailable item")

        scene.redis.kill()
        assert all("i5" not in scene.list_items() for _ in range(ROUND)), "kept while Redis is away"
        refused = httpx.put(f"{scene.service.url}/items", json={"items": [{"item_id": "i6"}]}, timeout=60)
        assert (refused.status_code, refused.json()["title"]) == (503, "Store unavailable")
        assert scene.redis.start()
        wait_until(lambda: _is_ready(scene.service), 60, "readiness after the outage")
        scene.hide("i6")
        scene.wait_for_all(["i5", "i6"], ["i7", "i8"], "change after an outage")

        with scene.redis.connect() as client:
            client.flushall()
        scene.wait_for_all([], ["i5", "i6", "i7", "i8"], "flushed Redis")
        scene.hide("i7")
        scene.wait_for_all(["i7"], ["i5", "i6", "i8"], "change after a flush")

        killed = find_processes(scene.service, WORKER if placement == "in_process" else MODEL)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, killed)), 60, "the processes end")
        wait_until(lambda: _is_ready(scene.service), 60, "readiness of replacements")
        for _ in range(3):
            assert scene.find_difference(["i7"], ["i5", "i6", "i8"]) is None, "replacements know it when they serve"
    assert not [line for line in scene.service.output if "Traceback" in line]


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_service_that_starts_without_redis_follows_later(
    tiny_artifact: Path, tmp_path: Path, placement: Literal["in_process", "dedicated"]
) -> None:
    with run_scene(tmp_path, tiny_artifact, placement, starts_redis=False) as scene:
        wait_until(lambda: scene.list_items() >= {"i5", "i6"}, 60, "answers while Redis is away")
        assert scene.redis.start()
        wait_until(lambda: _is_ready(scene.service), 60, "readiness")
        scene.hide("i5")
        scene.wait_for_all(["i5"], ["i6"], "first change")


def _is_ready(service: RunningService) -> bool:
    try:
        return httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
