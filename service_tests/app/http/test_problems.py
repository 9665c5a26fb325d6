"""Errors as callers see them: one media type, the field that is wrong, and no start without a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from app.errors import ServiceError
from app.main import create_app
from app.settings import Settings
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        (b"", "body", "Field required"),
        (b'{"user_id": "u",}', "body", "not JSON at character"),
        (b'{"user_id": "\xff"}', "body", "not JSON that can be read"),
        (b"[" * 100_000, "body", "not JSON"),
        (b'{"user_id": ' + b"9" * 5000 + b"}", "body", "not JSON"),
        (b'{"history": ["i1", {"x": 1}]}', "history.1", "string"),
        (b'{"user_id": "u", "k": "many"}', "k", "integer"),
    ],
)
async def test_a_body_that_is_wrong_is_422_and_says_where(
    body: bytes, field: str, detail: str, service: Service
) -> None:
    response = await service.http.post("/recommend", content=body, headers=JSON)
    problem = response.json()
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert problem["detail"].startswith(field)
    assert detail in problem["detail"]
    assert [error["field"] for error in problem.get("errors", [{"field": "body"}])] == [field]


async def test_a_part_of_a_batch_that_breaks_leaves_the_others_their_answers(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = service.state["recommend"]._store

    async def broken(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(store, "read_recent", broken)
    body = {"requests": [{"history": ["i1"], "k": 1}, {"user_id": "u"}, {"history": ["i2"], "k": 1}]}
    response = await service.http.post("/recommend/batch", json=body, headers={"X-Request-ID": "find-me"})
    assert [answer["status"] for answer in response.json()["responses"]] == [200, 500, 200]
    assert "secret" not in response.text
    assert "find-me" in caplog.text


async def test_routes_of_the_framework_are_counted_by_their_path(service: Service) -> None:
    line = 'nextup_http_requests_total{code="200",method="GET",route="/openapi.json"}'
    before = await service.read_metric(line)
    await service.http.get("/openapi.json")
    assert await service.read_metric(line) == before + 1


async def test_an_id_with_slashes_is_counted_under_its_template(service: Service) -> None:
    line = 'nextup_http_requests_total{code="404",method="GET",route="/items/{item_id}"}'
    before = await service.read_metric(line)
    assert (await service.http.get("/items/a%2Fb")).json()["detail"].endswith("has no item 'a/b'")
    assert await service.read_metric(line) == before + 1
    assert (await service.http.get("/users//history")).status_code == 422


async def test_filters_that_leave_nothing_are_told(service: Service) -> None:
    answer = await service.recommend(history=["i1"], categories=["no such"])
    assert (answer["items"], answer["served_by"], answer["reason"]) == ([], "model", "no_eligible_items")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"artifact": Path("/nowhere")}, "holds no artifact"), ({"redis_url": "redis://127.0.0.1:1"}, "does not answer")],
)
async def test_a_start_that_cannot_be_is_told_in_one_line(
    changes: dict[str, Any], reason: str, settings: Settings
) -> None:
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        told.append(message)

    app = create_app(settings.model_copy(update=changes))
    with pytest.raises(ServiceError):
        await app({"type": "lifespan", "state": {}}, receive, send)
    assert [message["type"] for message in told] == ["lifespan.startup.failed"]
    assert told[0]["message"].startswith("nextup does not start: ")
    assert reason in told[0]["message"]
    assert "\n" not in told[0]["message"]


@pytest.mark.filterwarnings("error")
def test_errors_are_declared_as_problems_and_as_nothing_else(settings: Settings) -> None:
    document = create_app(settings).openapi()
    schemas = document["components"]["schemas"]
    assert set(schemas["Problem"]["properties"]) == {"type", "title", "status", "detail", "request_id", "errors"}
    assert "HTTPValidationError" not in schemas, "the framework's own shape of errors is never sent"
    assert [name for name in schemas if "__" in name] == [], "two schemas share a name"
    answers = [
        (path, status, set(answer["content"]))
        for path, methods in document["paths"].items()
        for route in methods.values()
        for status, answer in route["responses"].items()
        if int(status) >= 400
    ]
    assert [answer for answer in answers if answer[2] != {"application/problem+json"}] == []
    used = {ref for ref in json.dumps(document).split('"') if ref.startswith("#/components/schemas/")}
    assert {ref.rsplit("/", 1)[1] for ref in used} <= set(schemas)


async def test_the_watch_tells_once_that_redis_left_and_once_that_it_is_back(
    service_with: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    redis = EmbeddedRedis.start(tmp_path / "redis")
    async with service_with(redis_url=redis.url, redis_timeout_ms=300) as service:
        redis.stop()
        for _ in range(3):
            await service.state["health_monitor"].poll()
        with EmbeddedRedis.start(tmp_path / "redis"):
            for _ in range(3):
                await service.state["health_monitor"].poll()
    told = [record.getMessage() for record in caplog.records if record.name == "nextup"]
    assert [line.split(":")[0] for line in told] == ["Redis stopped answering", "Redis answers again"]
