"""The two yardsticks that the service is measured beside, both answering what /recommend answers, without a thought.

`create_echo`: FastAPI with pydantic in and out, what the framework costs before any work is done.
`bare`: an ASGI function with a ready answer, all but free, which shows how fast the generator itself is.
Neither knows a model or a store.
"""

import json
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

ITEMS = 10


class EchoRequest(BaseModel):
    user_id: str
    k: int = ITEMS


class EchoItem(BaseModel):
    item_id: str
    score: float


class EchoResponse(BaseModel):
    recommendation_id: str
    items: list[EchoItem]
    served_by: str
    reason: str | None
    model_version: str
    history_length: int
    history_version: int
    unknown_items: list[str]


def create_echo() -> FastAPI:
    app = FastAPI()

    @app.post("/recommend")
    async def recommend(request: EchoRequest) -> EchoResponse:
        return _answer(request.user_id, request.k)

    return app


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def _answer(user_id: str, k: int) -> EchoResponse:
    return EchoResponse(
        recommendation_id=user_id,
        items=[EchoItem(item_id=str(1000 + place), score=10.0 - place) for place in range(k)],
        served_by="echo",
        reason=None,
        model_version="",
        history_length=0,
        history_version=0,
        unknown_items=[],
    )


BODY = json.dumps(_answer("u", ITEMS).model_dump()).encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
