"""Error responses have one media type and name the invalid field; a failed startup states its reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.errors import ServiceError
from app.http.middleware import RequestMiddleware
from app.http.request_checks import RequestChecks
from app.main import create_app
from app.settings import Settings
from app.stores.history import HistoryStore
from app.stores.redis.embedded import EmbeddedRedis
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "field", "detail"),
    [
        (b"", "body", "Field required"),
        (b'{"user_id": "u",}', "body", "invalid JSON at character"),
        (b'{"user_id": "\xff"}', "body", "JSON cannot be decoded"),
        (b"[" * 4000, "body", "JSON cannot be decoded"),
        (b"[" * 100_000, "body", "Expected `object`, got `array`"),
        (b'{"user_id": ' + b"9" * 5000 + b"}", "user_id", "Integer value out of range"),
        (b'{"history": ["i1", {"x": 1}]}', "history.1", "string"),
        (b'{"user_id": "u", "k": "many"}', "k", "integer"),
        (b'{"user_id": ""}', "user_id", "String should have at least 1 character"),
        (b'{"user_id": "' + b"u" * 129 + b'"}', "user_id", "String should have at most 128 characters"),
    ],
)
async def test_invalid_body_gets_422_that_names_the_field(
    body: bytes, field: str, detail: str, service: Service
) -> None:
    response = await service.http.post("/recommend", content=body, headers=JSON)
    problem = response.json()
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert problem["detail"].startswith(field)
    assert detail in problem["detail"]
    assert [error["field"] for error in problem["errors"]] == [field]
    assert problem["type"] == "urn:nextup:problem:invalid-request"


async def test_failed_batch_entry_does_not_affect_the_others(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(HistoryStore, "read_recent", fail)
    body = {"requests": [{"history": ["i1"], "k": 1}, {"user_id": "u"}, {"history": ["i2"], "k": 1}]}
    response = await service.http.post("/recommend/batch", json=body, headers={"X-Request-ID": "find-me"})
    assert [answer["status"] for answer in response.json()["responses"]] == [200, 500, 200]
    assert "secret" not in response.text
    assert "find-me" in caplog.text


async def test_framework_routes_are_counted_by_path(service: Service) -> None:
    line = 'nextup_http_requests_total{code="200",method="GET",route="/openapi.json"}'
    before = await service.read_metric(line)
    await service.http.get("/openapi.json")
    assert await service.read_metric(line) == before + 1


async def test_id_with_slashes_is_counted_under_its_template(service: Service) -> None:
    line = 'nextup_http_requests_total{code="404",method="GET",route="/items/{item_id}"}'
    before = await service.read_metric(line)
    assert (await service.http.get("/items/a%2Fb")).json()["detail"].endswith("has no item 'a/b'")
    assert await service.read_metric(line) == before + 1
    assert (await service.http.get("/users//history")).status_code == 422


async def test_filters_without_matches_report_no_eligible_items(service: Service) -> None:
    answer = await service.recommend(history=["i1"], categories=["no such"])
    assert (answer["items"], answer["served_by"], answer["reason"]) == ([], "model", "no_eligible_items")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"artifact": Path("/nowhere")}, "holds no artifact"), ({"redis_url": "redis://127.0.0.1:x"}, "NEXTUP_REDIS_URL")],
)
async def test_failed_startup_reports_its_reason_in_one_line(
    changes: dict[str, Any], reason: str, settings: Settings
) -> None:
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        messages.append(message)

    app = create_app(settings.model_copy(update=changes))
    with pytest.raises(ServiceError):
        await app({"type": "lifespan", "state": {}}, receive, send)
    assert [message["type"] for message in messages] == ["lifespan.startup.failed"]
    assert messages[0]["message"].startswith("nextup failed to start: ")
    assert reason in messages[0]["message"]
    assert "\n" not in messages[0]["message"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            PermissionError(13, "Permission denied", "m/model.safetensors"),
            "m/model.safetensors: Permission denied; check",
        ),
        (OSError(5, "Input/output error"), "Input/output error; check the file"),
        (MemoryError(), "not enough memory; run fewer workers"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
        (RuntimeError("a fault of the program"), None),
    ],
)
async def test_error_of_the_system_during_startup_is_one_line(error: Exception, reason: str | None) -> None:
    messages: list[Message] = []

    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise error
        except Exception:
            await send({"type": "lifespan.startup.failed", "message": "Traceback"})

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        messages.append(message)

    middleware = RequestMiddleware(fail, checks=RequestChecks.from_settings(Settings()), max_body_bytes=1)
    await middleware({"type": "lifespan"}, receive, send)
    (message,) = (each["message"] for each in messages)
    expected = "Traceback" if reason is None else f"nextup failed to start: {reason}"
    assert message.startswith(expected)


@pytest.mark.filterwarnings("error")
def test_openapi_declares_errors_as_problems_only(settings: Settings) -> None:
    document = create_app(settings).openapi()
    schemas = document["components"]["schemas"]
    assert set(schemas["Problem"]["properties"]) == {"type", "title", "status", "detail", "request_id", "errors"}
    assert "HTTPValidationError" not in schemas, "the service never sends the framework's own error body"
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


async def test_health_monitor_logs_once_per_change_of_redis(
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
    lines = [record.getMessage() for record in caplog.records if record.name == "nextup"]
    assert [line.split(":")[0] for line in lines] == ["Redis stopped answering", "Redis answers again"]
