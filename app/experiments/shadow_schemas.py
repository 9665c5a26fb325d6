"""Requests and responses of /models/{version}/shadow."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MAX_SECONDS = 86_400


class ShadowRequest(BaseModel):
    """For how long a version answers which share of the requests in the background."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"seconds": 600, "share": 0.1}]})

    seconds: int = Field(default=600, ge=1, le=MAX_SECONDS)
    share: float = Field(default=0.1, gt=0, le=1, description="share of the requests that the model answers")


_RESULTS: dict[str, Any] = {
    "version": "20261128-101500-1b2c3d4e",
    "share": 0.1,
    "started_at": "2026-11-28T10:15:00Z",
    "ends_at": "2026-11-28T10:25:00Z",
    "running": True,
    "ready": True,
    "queries": 812,
    "errors": 0,
    "dropped": 3,
    "overlap": 0.61,
    "serving_ms": 1.4,
    "candidate_ms": 1.9,
    "score_difference": 0.3,
}


class ShadowResults(BaseModel):
    """Answers of the shadow version next to those that were sent, of all workers."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RESULTS]})

    version: str
    share: float
    started_at: datetime
    ends_at: datetime
    running: bool
    ready: bool = Field(description="whether the worker that answered has the version in memory")
    problem: str | None = Field(default=None, description="why not")
    queries: int = Field(description="requests that it answered or failed to answer")
    errors: int = Field(description="requests that it failed to answer; the log has the reason")
    dropped: int = Field(description="requests that it did not get, because others were waiting for the serving model")
    overlap: float | None = Field(description="mean share of the first 10 items of an answer that it answers too")
    serving_ms: float | None = Field(description="mean time of the batches that gave the answers")
    candidate_ms: float | None = Field(description="mean time of its queries, one at a time")
    score_difference: float | None = Field(description="mean difference of the scores of items that both answer")


class RemovedShadow(BaseModel):
    """The version that answers no request in the background any more."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": "20261128-101500-1b2c3d4e"}]})

    version: str
