"""POST /recommend, /recommend/batch and /similar: parse, one call, shape. Plain ones of the first never get here: see
`hot_path.py`.
"""

import asyncio
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, Response

from app.errors import ServiceError
from app.http.dependencies import Deadline, DisconnectGuard, state
from app.http.problems import declare_errors, format_field_problems
from app.recommend.fast_responses import build_response, encode_response, items
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
router = APIRouter(tags=["recommend"])
Service = Annotated[RecommendService, Depends(state("recommend"))]
ERRORS = declare_errors(409, 413, 415, 422, 500, 503, 504)


# Answers are shaped by hand and not validated again: the models below are for OpenAPI, and a test holds them together.
@router.post("/recommend", response_model=RecommendResponse, responses=ERRORS)
async def recommend(body: RecommendRequest, request: Request, service: Service, deadline: Deadline) -> Response:
    """The k items that the user will most likely want next."""
    async with DisconnectGuard(request.receive):
        found = await service.recommend(body, deadline, request.state.stages)
    request.state.answered = found.top.source, found.reason
    return Response(encode_response(found, explain=body.explain), media_type="application/json")


@router.post("/recommend/batch", response_model=BatchResponse, responses=ERRORS)
async def recommend_batch(body: BatchRequest, request: Request, service: Service, deadline: Deadline) -> JSONResponse:
    """Many requests at once; each has its own status, and a bad one does not refuse the others."""
    async with DisconnectGuard(request.receive):
        answers = await asyncio.gather(*(_one(service, given, deadline, request) for given in body.requests))
    return JSONResponse({"responses": answers})


@router.post("/similar", response_model=SimilarResponse, responses=declare_errors(404, 413, 415, 422, 500, 503, 504))
async def similar(body: SimilarRequest, request: Request, service: Service, deadline: Deadline) -> JSONResponse:
    """Items whose vectors are near that of an item."""
    async with DisconnectGuard(request.receive):
        top = await service.similar(body, deadline, request.state.stages)
    return JSONResponse({"items": items(top, explain=body.explain), "model_version": top.version})


async def _one(service: RecommendService, given: Any, deadline: float, request: Request) -> dict[str, Any]:
    try:
        body = RecommendRequest.model_validate(given)
        return {"status": 200} | build_response(await service.recommend(body, deadline), explain=body.explain)
    except ValidationError as error:
        detail = "; ".join(f"{e['field']}: {e['detail']}" for e in format_field_problems(error.errors())[:3])
        return {"status": 422, "detail": detail}
    except ServiceError as error:
        return {"status": error.status, "detail": error.detail}
    except Exception:  # of ours; the others still have their answers
        log.exception("one of the batch of request %s failed", request.state.request_id)
        return {"status": 500, "detail": "something went wrong here; the log has more under this request_id"}
