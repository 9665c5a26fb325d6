"""What is plain is answered in front of the framework; what is not gets to the framework as it came."""

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


def test_the_service_has_the_hot_path_between_its_middleware_and_the_framework(settings: Settings) -> None:
    layers: list[object] = [layer.cls for layer in create_app(settings).user_middleware]
    assert layers == [RequestMiddleware, HotPath]


@dataclass
class Application:
    """Stands where FastAPI stands, and keeps what gets to it."""

    reached: int = 0
    body: bytes = b""
    ended_with: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached += 1
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)
            self.ended_with.append(message["type"])


async def ask(service: Service, pieces: list[bytes], headers: list[tuple[bytes, bytes]], **changes: Any) -> Application:
    """One request to a hot path; with `leaves`, the caller is gone before the last piece."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces[:-1]]
    messages.append({"type": "http.request", "body": pieces[-1], "more_body": False})
    if changes.pop("leaves", False):
        messages[-1] = {"type": "http.disconnect"}
    state = {**service.state, "request_id": "r", "stages": {}}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/recommend",
        "root_path": "",
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
@pytest.mark.parametrize("pieces", [[BODY], [BODY[:9], b"", BODY[9:]], [b"", BODY], [BODY, b""]])
async def test_a_plain_request_never_gets_to_the_framework(
    pieces: list[bytes], more: list[tuple[bytes, bytes]], service: Service
) -> None:
    assert (await ask(service, pieces, HEAD + more)).reached == 0


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
async def test_an_unusual_head_gets_to_the_framework(
    headers: list[tuple[bytes, bytes]], changes: dict[str, Any], service: Service
) -> None:
    application = await ask(service, [BODY], headers, **changes)
    assert (application.reached, application.body) == (1, BODY)


@pytest.mark.parametrize("pieces", [[b'{"user_id": 5}'], [b'{"user', b'_id": ', b"5}"], [b""], [b"{", b""]])
async def test_a_body_that_is_handed_on_arrives_whole(pieces: list[bytes], service: Service) -> None:
    application = await ask(service, pieces, HEAD)
    assert (application.reached, application.body) == (1, b"".join(pieces))


async def test_a_caller_that_leaves_amid_its_body_is_left_to_the_framework(service: Service) -> None:
    application = await ask(service, [BODY, b"never sent"], HEAD, leaves=True)
    assert (application.reached, application.body, application.ended_with[-1]) == (1, BODY, "http.disconnect")
