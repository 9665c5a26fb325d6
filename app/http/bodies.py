"""Requests whose body is parsed in bounded time before FastAPI validates it."""

import asyncio
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request

from app.http.body_shapes import SMALL_BYTES, parse_shape
from app.http.field_types import MAX_IDS, convert_integers

STEP_IDS = 20_000
"""Most ids that one step of the event loop converts: some 2 ms."""


class BoundedRequest(Request):
    """A request whose JSON has been parsed."""

    def __init__(self, request: Request, body: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body = request._body
        self._parsed = body

    async def json(self) -> Any:
        return self._parsed


async def bound_body(request: Request, model: Any) -> Request:
    """Read the body of a request for `model`; InvalidRequest for a large one that does not have its shape."""
    content = await request.body()
    if len(content) <= SMALL_BYTES or not (isinstance(model, type) and issubclass(model, BaseModel)):
        return request
    shape = parse_shape(content, model)
    await asyncio.sleep(0)  # parsing and validation of a long body are two steps of the event loop
    return BoundedRequest(request, await convert_long_lists(shape))


async def convert_long_lists(shape: Any) -> Any:
    """Convert the integers of long lists of ids, which validation would do in one step of the event loop."""
    if isinstance(shape, dict):
        for name, values in shape.items():
            if isinstance(values, list) and len(values) > STEP_IDS:
                shape[name] = await _convert_list(values)
    return shape


async def _convert_list(values: list[Any]) -> list[Any]:
    converted: list[Any] = []
    for start in range(0, min(len(values), MAX_IDS), STEP_IDS):
        converted += convert_integers(values[start : start + STEP_IDS])
        await asyncio.sleep(0)
    return converted + values[len(converted) :]
