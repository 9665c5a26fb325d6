"""POST /recommend, /recommend/batch and /similar: parse, one call, shape."""

import asyncio
import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse

from app.dependencies import Deadline, state, while_connected
from app.errors import ServiceError
from app.inference import TopItems
from app.problems import declared, field_problems
from app.recommend.schemas import (
    BatchRequest,
    BatchResponse,
    RecommendRequest,
    RecommendResponse,
    SimilarRequest,
    SimilarResponse,
)
from app.recommend.service import Recommendation, RecommendService

log = logging.getLogger("nextup")
router = APIRouter(tags=["recommend"])
Service = Annotated[RecommendService, Depends(state("recommend"))]
ERRORS = declared(409, 413, 415, 422, 500, 503, 504)


# Answers are shaped by hand and not validated again: the models below are for OpenAPI, and a test holds them together.
@router.post("/recommend", response_model=RecommendResponse, responses=ERRORS)
async def recommend(body: RecommendRequest, request: Request, service: Service, deadline: Deadline) -> JSONResponse:
    """The k items that the user will most likely want next."""
    async with while_connected(request):
        found = await service.recommend(body, deadline, request.state.stages)
    return JSONResponse(_shaped(found, service, explain=body.explain))


@router.post("/recommend/batch", response_model=BatchResponse, responses=ERRORS)
async def recommend_batch(body: BatchRequest, request: Request, service: Service, deadline: Deadline) -> JSONResponse:
    """Many requests at once; each has its own status, and a bad one does not refuse the others."""
    async with while_connected(request):
        answers = await asyncio.gather(*(_one(service, given, deadline, request) for given in body.requests))
    return JSONResponse({"responses": answers})


@router.post("/similar", response_model=SimilarResponse, responses=declared(404, 413, 415, 422, 500, 503, 504))
async def similar(body: SimilarRequest, request: Request, service: Service, deadline: Deadline) -> JSONResponse:
    """Items whose vectors are near that of an item."""
    async with while_connected(request):
        top = await service.similar(body, deadline, request.state.stages)
    return JSONResponse({"items": _items(top, service, explain=body.explain), "model_version": service.model_version})


async def _one(service: RecommendService, given: Any, deadline: float, request: Request) -> dict[str, Any]:
    try:
        body = RecommendRequest.model_validate(given)
        return {"status": 200} | _shaped(await service.recommend(body, deadline), service, explain=body.explain)
    except ValidationError as error:
        detail = "; ".join(f"{e['field']}: {e['detail']}" for e in field_problems(error.errors())[:3])
        return {"status": 422, "detail": detail}
    except ServiceError as error:
        return {"status": error.status, "detail": error.detail}
    except Exception:  # of ours; the others still have their answers
        log.exception("one of the batch of request %s failed", request.state.request_id)
        return {"status": 500, "detail": "something went wrong here; the log has more under this request_id"}


def _shaped(found: Recommendation, service: RecommendService, *, explain: bool) -> dict[str, Any]:
    return {
        "recommendation_id": found.recommendation_id,
        "items": _items(found.top, service, explain=explain),
        "served_by": found.top.source,
        "reason": found.reason,
        "model_version": service.model_version,
        "history_length": found.history_length,
        "history_version": found.history_version,
        "unknown_items": found.unknown_items,
    }


def _items(top: TopItems, service: RecommendService, *, explain: bool) -> list[dict[str, Any]]:
    pairs = zip(top.item_ids, top.scores, strict=True)
    if not explain:
        return [{"item_id": item_id, "score": score} for item_id, score in pairs]
    return [{"item_id": item_id, "score": score} | service.description(item_id) for item_id, score in pairs]
