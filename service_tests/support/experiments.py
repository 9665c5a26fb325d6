"""Experiments on a service: start one, wait until its versions are loaded, and send feedback on answers."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from service_tests.support.service import Service

TIMEOUT_S = 60.0
PAUSE_S = 0.02
WHOLE_SHARE: dict[str, Any] = {"share": 1, "seconds": 600}
"""Body of a shadow that answers every request."""
Value = TypeVar("Value")


async def poll(read: Callable[[], Awaitable[Value]], is_expected: Callable[[Value], bool]) -> Value:
    """Read until the value is the expected one, and return it; TimeoutError after TIMEOUT_S."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            if is_expected(value := await read()):
                return value
            await asyncio.sleep(PAUSE_S)


@dataclass(frozen=True)
class Trial:
    service: Service

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 200) -> dict[str, Any]:
        response = await self.service.http.request(method, path, json=body)
        assert response.status_code == status, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def start(self, body: dict[str, Any], name: str = "home") -> dict[str, Any]:
        """Start an experiment and wait until all its versions can answer."""
        await self.call("PUT", f"/experiments/{name}", body)
        return await self.poll(
            f"/experiments/{name}", lambda state: all(variant["ready"] for variant in state["variants"])
        )

    async def start_shadow(self, version: str, **changes: Any) -> str:
        """Start a shadow version, wait until it can answer, and return its path."""
        path = f"/models/{version}/shadow"
        await self.call("PUT", path, WHOLE_SHARE | changes)
        await self.poll(path, lambda results: bool(results["ready"]))
        return path

    async def poll(self, path: str, is_expected: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read a path until the answer is the expected one, and return it."""
        return await poll(lambda: self.call("GET", path), is_expected)

    async def wait_for_release(self) -> None:
        """Wait until the serving version is the only one in memory."""

        async def count() -> int:
            return len(self.service.model.engine.residents)

        await poll(count, lambda number: number == 0)

    async def recommend(self, user_id: str, **body: Any) -> dict[str, Any]:
        """Recommend to a user of an experiment, whose history comes with the request."""
        return await self.service.recommend(user_id=user_id, history=["i7", "i9"], k=5, **body)

    async def send(self, answer: dict[str, Any], *types: str) -> None:
        """Send events of these types for the first item of an answer."""
        facts = {"user_id": "u", "recommendation_id": answer["recommendation_id"]}
        events = [{**facts, "item_id": answer["items"][0]["item_id"], "type": name} for name in types]
        response = await self.service.http.post("/events", json={"events": events})
        assert response.status_code == 202, response.text
