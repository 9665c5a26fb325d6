"""Request and response bodies of /recommend, /recommend/batch and /similar."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, model_validator
from typing_extensions import TypeAliasType

from app.http.field_types import Id

MAX_HISTORY, MAX_EXCLUDE, MAX_CANDIDATES, MAX_CATEGORIES, MAX_REQUESTS = 10_000, 10_000, 100_000, 100, 256

Reason = TypeAliasType(
    "Reason",
    Literal[
        "unknown_user",
        "no_known_items",
        "overloaded",
        "model_unavailable",
        "store_unavailable",
        "damaged_history",
        "no_eligible_items",
    ],
)
ServedBy = TypeAliasType("ServedBy", Literal["model", "popularity"])
"""Named types, so that OpenAPI defines them once."""

# FastAPI drops null from the document, so the example is an answer with a reason.
_RECOMMENDATION: dict[str, Any] = {
    "recommendation_id": "b3a0c9e4f1d24c7a",
    "items": [{"item_id": "lantern-coast-3", "score": 412.0}],
    "served_by": "popularity",
    "reason": "unknown_user",
    "model_version": "20261128-101500",
    "history_length": 0,
    "history_version": 0,
    "unknown_items": [],
}


class RecommendRequest(BaseModel):
    """Request for the next items of one user; `user_id` or `history` is required."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"user_id": "ada", "k": 5}]})

    user_id: Id | None = Field(default=None, description="user whose stored history is used, unless `history` is given")
    history: list[Id] | None = Field(
        default=None, max_length=MAX_HISTORY, description="item ids, oldest first; used instead of the stored history"
    )
    k: int = Field(default=10, ge=1, description="number of items to return, at most NEXTUP_MAX_K")
    exclude_seen: bool = Field(default=True, description="exclude the items of the history")
    exclude: list[Id] = Field(default=[], max_length=MAX_EXCLUDE, description="item ids to exclude")
    candidates: list[Id] | None = Field(
        default=None, max_length=MAX_CANDIDATES, description="return only these items; unknown ids are ignored"
    )
    categories: list[str] = Field(
        default=[], max_length=MAX_CATEGORIES, description="return only items in at least one of these categories"
    )
    min_history_version: int | None = Field(
        default=None, ge=0, description="read your writes: 409 if the stored history has an older version"
    )
    explain: bool = Field(default=False, description="include title and categories of each item")

    @model_validator(mode="after")
    def _require_user_or_history(self) -> Self:
        if self.user_id is None and self.history is None:
            raise ValueError("user_id or history is required")
        return self


class RecommendedItem(BaseModel):
    """One item of an answer."""

    item_id: str
    score: float
    title: str | None = Field(default=None, description="only with `explain`")
    categories: list[str] | None = Field(default=None, description="only with `explain`")


class RecommendResponse(BaseModel):
    """Recommended items and how they were found."""

    model_config = ConfigDict(json_schema_extra={"examples": [_RECOMMENDATION]})

    recommendation_id: str = Field(description="send it with the events that result from this recommendation")
    items: list[RecommendedItem] = Field(description="by descending score; ties in catalogue order")
    served_by: ServedBy = Field(description="source of the items")
    reason: Reason | None = Field(description="why popular items were returned instead, or why there are no items")
    model_version: str
    history_length: int = Field(description="number of items in the history")
    history_version: int | None = Field(description="null when the request contains its own history")
    unknown_items: list[str] = Field(description="items of the history that the model does not know, at most 100")


class BatchRequest(BaseModel):
    """Up to 256 requests."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"requests": [{"user_id": "ada", "k": 1}, {"k": 1}]}]}
    )

    # Each entry is validated separately, so that an invalid one does not reject the others.
    requests: Annotated[list[SkipValidation[RecommendRequest]], Field(min_length=1, max_length=MAX_REQUESTS)]


class BatchRecommendation(RecommendResponse):
    """Successful entry of a batch."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": 200, **_RECOMMENDATION}]})

    status: Literal[200]


class BatchError(BaseModel):
    """Failed entry of a batch."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": 422, "detail": "body: user_id or history is required"}]}
    )

    status: int = Field(description="HTTP status that the same single request would have")
    detail: str = Field(description="cause of the error")


class BatchResponse(BaseModel):
    """Responses to a batch."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "responses": [
                        {"status": 200, **_RECOMMENDATION},
                        {"status": 422, "detail": "k: Input should be a valid integer"},
                    ]
                }
            ]
        }
    )

    responses: list[BatchRecommendation | BatchError] = Field(description="one per request, in the same order")


class SimilarRequest(BaseModel):
    """Request for items that are similar to an item."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"item_id": "lantern-coast-3", "k": 1}]})

    item_id: Id = Field(description="item to compare with")
    k: int = Field(default=10, ge=1, description="number of items to return, at most NEXTUP_MAX_K")
    categories: list[str] = Field(
        default=[], max_length=MAX_CATEGORIES, description="return only items in at least one of these categories"
    )
    exclude: list[Id] = Field(default=[], max_length=MAX_EXCLUDE, description="item ids to exclude")
    explain: bool = Field(default=False, description="include title and categories of each item")


class SimilarResponse(BaseModel):
    """Similar items."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [{"item_id": "lantern-coast-4", "score": 0.93}], "model_version": "20261128-101500"}]
        }
    )

    items: list[RecommendedItem] = Field(description="by descending cosine similarity of item vectors")
    model_version: str
