"""Routes of POST /recommend, /recommend/batch and /similar.

Plain requests to /recommend do not reach this module: `hot_path.py` answers them.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from app.errors import ServiceError
from app.http.bodies import convert_long_lists
from app.http.body_shapes import parse_entry
from app.http.dependencies import Deadline, DisconnectGuard, get_state
from app.http.field_problems import MAX_DETAILS, format_detail, list_field_problems
from app.http.middleware import INTERNAL_ERROR
from app.http.problems import declare_errors
from app.http.rate_limits import charge_batch
from app.http.routing import WholePathRoute
from app.inference import Engine
from app.recommend.batch_schemas import BatchRequest, BatchResponse
from app.recommend.fast_responses import build_items, encode_response
from app.recommend.schemas import (
    RecommendRequest,
    RecommendResponse,
    SimilarRequest,
    SimilarResponse,
)
from app.recommend.service import RecommendService
from app.recommend.similar import SimilarService
from app.recommend.versions import check_answer, check_version

log = logging.getLogger("nextup")
router = APIRouter(tags=["recommend"], route_class=WholePathRoute)
Service = Annotated[RecommendService, Depends(get_state("recommend"))]
EngineDependency = Annotated[Engine, Depends(get_state("engine"))]
Similar = Annotated[SimilarService, Depends(get_state("similar"))]
STEP_BYTES = 32_768
"""Bytes of a batch whose entries begin in one step of the event loop: some 5 ms of work."""
MIN_ENTRY_BYTES = 512
"""Bytes of an entry whose work is that of the smallest one."""
ERRORS = declare_errors(409, 503, 504)


# Responses are built as dicts and not validated again: the response models serve OpenAPI, and a test keeps them equal.
@router.post("/recommend", operation_id="recommend", response_model=RecommendResponse, responses=ERRORS)
async def recommend(
    body: RecommendRequest, request: Request, service: Service, engine: EngineDependency, deadline: Deadline
) -> Response:
    """Return the k items that the user will most likely want next."""
    check_version(engine, body.version)
    async with DisconnectGuard(request.scope, request.receive):
        recommendation = await service.recommend(body, deadline, request.state.stages, body.version)
    check_answer(engine, body.version, recommendation.top)
    request.state.outcome = recommendation.top.source, recommendation.reason
    return Response(encode_response(recommendation), media_type="application/json")


@router.post("/recommend/batch", operation_id="recommend_batch", response_model=BatchResponse, responses=ERRORS)
async def recommend_batch(body: BatchRequest, request: Request, service: Service, deadline: Deadline) -> Response:
    """Answer up to 256 requests; each has its own status, and an invalid request does not affect the others."""
    await charge_batch(request, len(body.requests))
    async with DisconnectGuard(request.scope, request.receive):
        responses = await _recommend_entries(service, body.requests, deadline, request)
    return Response(msgspec.json.encode({"responses": responses}), media_type="application/json")


@router.post(
    "/similar",
    operation_id="find_similar",
    response_model=SimilarResponse,
    responses=declare_errors(404, 503, 504),
)
async def similar(body: SimilarRequest, request: Request, service: Similar, deadline: Deadline) -> JSONResponse:
    """Return the items whose vectors are most similar to the vector of an item."""
    async with DisconnectGuard(request.scope, request.receive):
        top, details = await service.find(body, deadline, request.state.stages)
    return JSONResponse({"items": build_items(top, body, details), "model_version": top.version})


async def _recommend_entries(
    service: RecommendService, entries: Sequence[Any], deadline: float, request: Request
) -> list[msgspec.Raw]:
    """Answer all entries, a few of which begin in each step of the event loop."""
    tasks = []
    begun_bytes = 0
    async with asyncio.TaskGroup() as group:
        for entry in entries:
            tasks.append(group.create_task(_recommend_entry(service, entry, deadline, request)))
            begun_bytes += max(MIN_ENTRY_BYTES, len(bytes(entry)) if isinstance(entry, msgspec.Raw) else 0)
            if begun_bytes >= STEP_BYTES:
                begun_bytes = 0
                await asyncio.sleep(0)
    return [task.result() for task in tasks]


async def _recommend_entry(service: RecommendService, entry: Any, deadline: float, request: Request) -> msgspec.Raw:
    try:
        shape = await convert_long_lists(parse_entry(entry, RecommendRequest))
        body = RecommendRequest.model_validate(shape)
        engine: Engine = request.state.engine
        check_version(engine, body.version)
        recommendation = await service.recommend(body, deadline, version=body.version)
        check_answer(engine, body.version, recommendation.top)
        return msgspec.Raw(encode_response(recommendation, status=200))
    except ValidationError as error:
        answer = {
            "status": 422,
            "detail": format_detail(list_field_problems(error.errors(), RecommendRequest, MAX_DETAILS)),
        }
    except ServiceError as error:
        answer = {"status": error.status, "detail": error.public_detail}
    except Exception:  # an internal error of one entry must not fail the others
        log.exception("an entry of batch request %s failed", request.state.request_id)
        answer = {"status": 500, "detail": INTERNAL_ERROR}
    return msgspec.Raw(msgspec.json.encode(answer))
