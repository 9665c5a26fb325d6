"""A plain FastAPI service: one Redis read and one model run per request, in the handler.

Same artifact, predictor (with torch unless configured otherwise), histories, server and number of workers as nextup;
no batching, deadlines or metrics. Run by uvicorn with settings from the environment.
"""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from redis.asyncio import Redis

from app.bench.serve.echo import EchoItem, EchoRequest, EchoResponse
from app.environment import load_settings
from app.inference import Query, TopItems
from app.inference.servable import open_servable
from app.stores.keys import build_items_key
from app.stores.results import decode_history


def create_naive() -> FastAPI:
    settings = load_settings()
    assert settings.redis_url is not None, "the benchmark sets NEXTUP_REDIS_URL"
    url = settings.redis_url.get_secret_value()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads = settings.torch_threads or max(1, (os.cpu_count() or 1) // settings.worker_count)
        app.state.servable = open_servable(
            settings.artifact, device=settings.device, threads=threads, max_batch=1, native=settings.native
        )
        app.state.redis = Redis.from_url(url)
        yield
        await app.state.redis.aclose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/recommend")
    async def recommend(request: EchoRequest, http: Request) -> EchoResponse:
        history = decode_history(await http.app.state.redis.get(build_items_key(request.user_id)))
        query = Query(history.item_keys, request.k, times=history.times, request_time=int(time.time()))
        top = http.app.state.servable.run_batch([query])[0]
        if not isinstance(top, TopItems):
            raise top
        return EchoResponse(
            recommendation_id="",
            items=[EchoItem(item_id=i, score=s) for i, s in zip(top.item_ids, top.scores, strict=True)],
            served_by=top.source,
            reason=None,
            model_version=http.app.state.servable.version,
            history_length=len(history),
            history_version=history.version,
            unknown_items=[],
        )

    return app
