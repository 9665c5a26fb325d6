"""Response body of /overview."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_EXAMPLE: dict[str, Any] = {
    "version": "20261128-101500",
    "preset": "blossom",
    "loaded_at": 1790000000.0,
    "figures": {"model": {"ndcg@10": 0.052}, "baselines": {"markov": {"ndcg@10": 0.041}}},
    "requests_per_second": 52.5,
    "latency_seconds": {"p50": 0.0011, "p99": 0.0042},
    "served_by": {"model": 15690, "cache": 0, "neighbours": 0, "popularity": 60},
    "batch_size": 1.4,
    "memory": [{"part": "embedding", "bytes": 98304, "uncompressed_bytes": 949000}],
    "redis": {"bytes_per_user": 512.0, "users": 20000},
    "series": {"seconds": [1790000295.0, 1790000300.0], "requests_per_second": [52.0, 53.0]}
    | {"p50": [0.0011, 0.0011], "p99": [0.0042, 0.0041]},
}


class OfflineFigures(BaseModel):
    """Metrics on held-out events, by the name of the metric."""

    model: dict[str, float] = Field(description="of the serving version, measured after training")
    baselines: dict[str, dict[str, float]] = Field(
        description="of baselines on the same users, by their name; empty if the training had no comparison"
    )


class LatencyQuantiles(BaseModel):
    """Latencies that 50 % or 99 % of the requests do not exceed."""

    p50: float | None
    p99: float | None


class MemoryPart(BaseModel):
    """Memory of a part of the model."""

    part: str
    bytes: int
    uncompressed_bytes: int | None = Field(
        description="of full item vectors of the same width; null for parts that hold none"
    )


class RedisUsage(BaseModel):
    """Memory of histories in Redis."""

    bytes_per_user: float | None = Field(
        description="memory above that of an empty Redis, by users; null without users"
    )
    users: int | None = Field(description="users with a history, estimated from a sample of the keys; null if unknown")


class ActivitySeries(BaseModel):
    """The last five minutes in intervals of 5 s, oldest first; null where nothing was measured."""

    seconds: list[float] = Field(description="ends of the intervals, in Unix seconds")
    requests_per_second: list[float | None]
    p50: list[float | None] = Field(description="seconds")
    p99: list[float | None] = Field(description="seconds")


class Overview(BaseModel):
    """The serving version, and the last five minutes of all workers; null where unknown."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    version: str
    preset: str | None
    loaded_at: float | None = Field(description="when the version was loaded, in Unix seconds")
    figures: OfflineFigures
    requests_per_second: float | None = Field(
        description="mean of the last five minutes: requests for recommendations, events, users and items"
    )
    latency_seconds: LatencyQuantiles = Field(description="of POST /recommend in the last five minutes")
    served_by: dict[str, int] = Field(description="recommendations of the last five minutes by their source")
    batch_size: float | None = Field(description="mean number of queries in a batch of the last five minutes")
    memory: list[MemoryPart]
    redis: RedisUsage
    series: ActivitySeries
