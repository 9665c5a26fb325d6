"""Responses of the models API."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Version(BaseModel):
    """One version; fields that only a loaded model knows are null or empty unless it is active."""

    version: str
    preset: str
    active: bool
    ready: bool = Field(
        description="whether the worker that answered has it in memory for requests that name it as `version`: the "
        "serving version, and those of an experiment or a shadow"
    )
    device: str | None = None
    dtype: str | None = None
    runner: str | None = Field(
        default=None, description="code that encodes histories: torch, or native with its instruction set"
    )
    num_items: int | None = None
    max_len: int | None = Field(default=None, description="newest items of a history that the model reads")
    created: str
    figures: dict[str, float] = Field(description="metrics on the test split, measured after training")
    bytes: dict[str, int] = Field(description="memory by part")
    disk_bytes: int = Field(description="size of all files of the artifact")
    scoring: dict[str, Any] = Field(description="scorers in use, and the timings that selected them")


_VERSION: dict[str, Any] = {
    "version": "20261128-101500",
    "preset": "blossom",
    "active": True,
    "ready": True,
    "device": "cpu",
    "dtype": "float32",
    "runner": "native avx2",
    "num_items": 3706,
    "max_len": 200,
    "created": "2026-11-28T10:15:00+00:00",
    "figures": {"ndcg@10": 0.17},
    "bytes": {"embedding": 98304},
    "disk_bytes": 412000,
    "scoring": {},
}


class Versions(BaseModel):
    """All versions of the repository."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"models": [_VERSION], "active": "20261128-101500", "target_version": "20261128-101500"}]
        }
    )

    models: list[Version]
    active: str = Field(description="version that serves in the worker that answered")
    target_version: str = Field(description="desired version; workers converge to it unless it fails to load")
    previous_version: str | None = Field(
        default=None, description="desired version before this one; activate it to roll back, or use `nextup rollback`"
    )
    repository: str | None = Field(
        default=None,
        description="folder of the versions on the service's machine; null unless the key has the scope admin",
    )


class VersionComparison(BaseModel):
    """Answers of a new version and of the serving one to the same queries."""

    serving_version: str
    queries: int = Field(description="queries that both versions were asked")
    recent_queries: int = Field(description="those of them that are requests of the last minute")
    errors: int = Field(
        description="queries that only the new version failed to answer; a version with one is rejected"
    )
    first_error: str | None
    overlap: float | None = Field(description="mean share of the serving version's items that the new one answers")
    serving_ms: float = Field(description="median time of a query with the serving version")
    candidate_ms: float = Field(description="the same with the new version")
    latency_ratio: float = Field(description="their ratio; the serving version counts as at least 2 ms")


class Activation(BaseModel):
    """Outcome of an activation."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"active": "20261128-101500", "target_version": "20261128-101500", "previous": "20261127-101500"}
            ]
        }
    )

    active: str = Field(description="version that now serves in the worker that answered")
    target_version: str = Field(description="desired version; the other workers converge to it")
    previous: str | None = Field(
        description="version that served before this one; activate it to roll back; null if there is none"
    )
    comparison: VersionComparison | None = Field(
        default=None, description="null if nothing was loaded, or if NEXTUP_SHADOW_REQUESTS is 0"
    )
