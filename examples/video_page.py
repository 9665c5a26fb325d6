"""The row "next up" of a video page: loads further videos as the viewer scrolls, none of them twice.

    uvicorn --factory examples.video_page:create_app --port 8080

`POST /viewers/{viewer}/plays/{video}` returns the first videos, chosen after this play, and a cursor;
`GET /viewers/{viewer}/next?cursor=…` returns the next ones. `placement` may name defaults that editors change in the
service, such as filters and boosts.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

import nextup
from nextup.models import RecommendResponse

SERVICE = "http://127.0.0.1:8000"
ROW_SIZE = 6


class Video(BaseModel):
    video: str
    title: str


class Row(BaseModel):
    """Videos in order; `cursor` is None after the last ones."""

    recommendation_id: str
    videos: list[Video]
    cursor: str | None


def create_app(service: str = SERVICE, deadline_s: float = 2.0) -> FastAPI:
    """Create the site."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with nextup.AsyncClient(service, deadline_s=deadline_s) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/viewers/{viewer}/plays/{video}")
    async def play(viewer: str, video: str) -> Row:
        """Store a play, and return the videos that follow from it."""
        client: nextup.AsyncClient = app.state.client
        try:
            stored = await client.ingest_events(events=[{"user_id": viewer, "item_id": video, "type": "play"}])
            version = stored.results[0].history_version
            answer = await client.recommend(
                user_id=viewer,
                k=ROW_SIZE,
                include=["title"],
                paginate=True,
                min_history_version=version,
            )
        except nextup.NextupError as error:
            raise HTTPException(503, "no recommendations at the moment") from error
        return build_row(answer)

    @app.get("/viewers/{viewer}/next")
    async def load_more(viewer: str, cursor: str) -> Row:
        """Return the next videos of a row."""
        client: nextup.AsyncClient = app.state.client
        try:
            answer = await client.recommend(user_id=viewer, cursor=cursor, include=["title"])
        except nextup.InvalidRequest as error:  # the cursor has expired, or is that of another viewer
            raise HTTPException(410, "this row has expired; load the page again") from error
        except nextup.NextupError as error:
            raise HTTPException(503, "no recommendations at the moment") from error
        return build_row(answer)

    return app


def build_row(answer: RecommendResponse) -> Row:
    videos = [Video(video=item.item_id, title=item.title or item.item_id) for item in answer.items]
    return Row(recommendation_id=answer.recommendation_id, videos=videos, cursor=answer.next_cursor)
