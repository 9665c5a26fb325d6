"""Plain requests are answered before FastAPI; all others reach FastAPI unchanged."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.http.middleware import RequestMiddleware
from app.main import create_app
from app.recommend.hot_path import HotPath
from app.settings import Settings
from service_tests.support.service import Service

pytestmark = pytest.mark.anyio
HEAD = [(b"content-type", b"application/json")]
BODY = b'{"history": ["i7"], "k": 3}'


def test_hot_path_runs_between_middleware_and_framework(settings: Settings) -> None:
    layers: list[object] = [layer.cls for layer in create_app(settings).user_middleware]
    assert layers == [RequestMiddleware, HotPath]


@dataclass
class Application:
    """Stub of the framework that records the requests it receives."""

    reached: int = 0
    body: bytes = b""
    message_types: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached += 1
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
            self.message_types.append(message["type"])


async def send_request(
    service: Service, chunks: list[bytes], headers: list[tuple[bytes, bytes]], **changes: Any
) -> Application:
    """Send one request to a hot path; with `disconnects`, the client disconnects before the last chunk."""
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks[:-1]]
    messages.append({"type": "http.request", "body": chunks[-1], "more_body": False})
    if changes.pop("disconnects", False):
        messages[-1] = {"type": "http.disconnect"}
    state = {**service.state, "request_id": "r", "stages": {}}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/recommend",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "state": state,
    }

    async def receive() -> Message:
        return messages.pop(0)

    async def send(_: Message) -> None: ...

    application = Application()
    await HotPath(application)(scope | changes, receive, send)
    return application


@pytest.mark.parametrize("more", [[], [(b"x-request-deadline-ms", b"500")], [(b"accept", b"*/*")]])
@pytest.mark.parametrize("chunks", [[BODY], [BODY[:9], b"", BODY[9:]], [b"", BODY], [BODY, b""]])
async def test_plain_request_never_reaches_the_framework(
    chunks: list[bytes], more: list[tuple[bytes, bytes]], service: Service
) -> None:
    assert (await send_request(service, chunks, HEAD + more)).reached == 0


async def test_plain_request_with_a_path_prefix_never_reaches_the_framework(service: Service) -> None:
    changes = {"root_path": "/shop", "path": "/shop/recommend"}
    assert (await send_request(service, [BODY], HEAD, **changes)).reached == 0


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        ([], {}),
        ([(b"content-type", b"application/json;charset=utf-8")], {}),
        ([(b"content-type", b"text/plain"), *HEAD], {}),
        ([*HEAD, *HEAD], {}),
        ([*HEAD, (b"x-request-deadline-ms", b"5"), (b"x-request-deadline-ms", b"5")], {}),
        ([*HEAD, (b"x-request-deadline-ms", b"0")], {}),
        (HEAD, {"method": "PUT"}),
        (HEAD, {"path": "/recommend/"}),
        (HEAD, {"path": "/recommend/batch"}),
        (HEAD, {"root_path": "/behind"}),
    ],
)
async def test_unusual_headers_reach_the_framework(
    headers: list[tuple[bytes, bytes]], changes: dict[str, Any], service: Service
) -> None:
    application = await send_request(service, [BODY], headers, **changes)
    assert (application.reached, application.body) == (1, BODY)


@pytest.mark.parametrize("chunks", [[b'{"user_id": 5}'], [b'{"user', b'_id": ', b"5}"], [b""], [b"{", b""]])
async def test_forwarded_body_arrives_complete(chunks: list[bytes], service: Service) -> None:
    application = await send_request(service, chunks, HEAD)
    assert (application.reached, application.body) == (1, b"".join(chunks))


async def test_disconnect_within_the_body_is_forwarded(service: Service) -> None:
    application = await send_request(service, [BODY, b"not sent"], HEAD, disconnects=True)
    assert (application.reached, application.body, application.message_types[-1]) == (1, BODY, "http.disconnect")
