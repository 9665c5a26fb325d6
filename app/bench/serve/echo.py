"""Two reference servers that return a constant /recommend response, without model and store.

`create_echo`: FastAPI with pydantic models in and out, the cost of the framework alone.
`bare`: an ASGI function with a constant response, which shows how fast the generator itself is.
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
        return _build_response(request.user_id, request.k)

    return app


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def _build_response(user_id: str, k: int) -> EchoResponse:
    return EchoResponse(
        recommendation_id=user_id,
        items=[EchoItem(item_id=str(1000 + rank), score=10.0 - rank) for rank in range(k)],
        served_by="echo",
        reason=None,
        model_version="",
        history_length=0,
        history_version=0,
        unknown_items=[],
    )


BODY = json.dumps(_build_response("u", ITEMS).model_dump()).encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
