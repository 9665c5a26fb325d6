"""Routes of POST /recommend, /recommend/batch and /similar.

Plain requests to /recommend do not reach this module: `hot_path.py` answers them.
"""

import asyncio
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from app.errors import ServiceError
from app.http.dependencies import Deadline, DisconnectGuard, get_state
from app.http.field_problems import format_detail, list_field_problems
from app.http.middleware import INTERNAL_ERROR
from app.http.problems import declare_errors
from app.http.routing import WholePathRoute
from app.recommend.fast_responses import build_items, build_response, encode_response
from app.recommend.schemas import (
    BatchRequest,
    BatchResponse,
    RecommendRequest,
    RecommendResponse,
    SimilarRequest,
    SimilarResponse,
)
from app.recommend.service import RecommendService

log = logging.getLogger("nextup")
router = APIRouter(tags=["recommend"], route_class=WholePathRoute)
Service = Annotated[RecommendService, Depends(get_state("recommend"))]
ERRORS = declare_errors(409, 503, 504)


# Responses are built as dicts and not validated again: the response models serve OpenAPI, and a test keeps them equal.
@router.post("/recommend", operation_id="recommend", response_model=RecommendResponse, responses=ERRORS)
async def recommend(body: RecommendRequest, request: Request, service: Service, deadline: Deadline) -> Response:
    """Return the k items that the user will most likely want next."""
    async with DisconnectGuard(request.receive):
        recommendation = await service.recommend(body, deadline, request.state.stages)
    request.state.outcome = recommendation.top.source, recommendation.reason
    return Response(encode_response(recommendation, explain=body.explain), media_type="application/json")


@router.post("/recommend/batch", operation_id="recommend_batch", response_model=BatchResponse, responses=ERRORS)
async def recommend_batch(body: BatchRequest, request: Request, service: Service, deadline: Deadline) -> JSONResponse:
    """Answer up to 256 requests; each has its own status, and an invalid request does not affect the others."""
    async with DisconnectGuard(request.receive):
        entries = (_recommend_entry(service, entry, deadline, request) for entry in body.requests)
        responses = await asyncio.gather(*entries)
    return JSONResponse({"responses": responses})


@router.post(
    "/similar",
    operation_id="find_similar",
    response_model=SimilarResponse,
    responses=declare_errors(404, 503, 504),
)
async def similar(body: SimilarRequest, request: Request, service: Service, deadline: Deadline) -> JSONResponse:
    """Return the items whose vectors are most similar to the vector of an item."""
    async with DisconnectGuard(request.receive):
        top = await service.find_similar(body, deadline, request.state.stages)
    return JSONResponse({"items": build_items(top, explain=body.explain), "model_version": top.version})


async def _recommend_entry(service: RecommendService, entry: Any, deadline: float, request: Request) -> dict[str, Any]:
    try:
        body = RecommendRequest.model_validate(entry)
        return {"status": 200} | build_response(await service.recommend(body, deadline), explain=body.explain)
    except ValidationError as error:
        return {"status": 422, "detail": format_detail(list_field_problems(error.errors()))}
    except ServiceError as error:
        return {"status": error.status, "detail": error.public_detail}
    except Exception:  # an internal error of one entry must not fail the others
        log.exception("an entry of batch request %s failed", request.state.request_id)
        return {"status": 500, "detail": INTERNAL_ERROR}
