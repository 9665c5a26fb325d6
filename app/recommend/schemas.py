"""The bodies of /recommend, /recommend/batch and /similar."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, model_validator

from app.http.field_types import Id

MAX_HISTORY, MAX_EXCLUDE, MAX_CANDIDATES, MAX_CATEGORIES, MAX_REQUESTS = 10_000, 10_000, 100_000, 100, 256

Reason = Literal[
    "unknown_user", "no_known_items", "overloaded", "model_unavailable", "store_unavailable", "no_eligible_items"
]


class RecommendRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"user_id": "ada", "k": 5}]})

    user_id: Id | None = Field(default=None, description="the stored history of this user is used")
    history: list[Id] | None = Field(
        default=None, max_length=MAX_HISTORY, description="or this one, oldest first; given both, this one"
    )
    k: int = Field(default=10, ge=1, description="how many; at most NEXTUP_MAX_K")
    exclude_seen: bool = Field(default=True, description="leave out what is in the history")
    exclude: list[Id] = Field(default=[], max_length=MAX_EXCLUDE)
    candidates: list[Id] | None = Field(
        default=None, max_length=MAX_CANDIDATES, description="only these may come back; unknown ones cannot"
    )
    categories: list[str] = Field(
        default=[], max_length=MAX_CATEGORIES, description="only items of one of these may come back"
    )
    min_history_version: int | None = Field(
        default=None, ge=0, description="read your writes: 409 if the stored history is older than this"
    )
    explain: bool = Field(default=False, description="titles and categories of the items with the answer")

    @model_validator(mode="after")
    def _somebody_is_asked_about(self) -> Self:
        if self.user_id is None and self.history is None:
            raise ValueError("user_id or history is needed")
        return self


class RecommendedItem(BaseModel):
    item_id: str
    score: float
    title: str | None = Field(default=None, description="with explain")
    categories: list[str] | None = Field(default=None, description="with explain")


class RecommendResponse(BaseModel):
    recommendation_id: str = Field(description="send it back with the events that follow from it")
    items: list[RecommendedItem] = Field(description="in falling score, ties by catalogue order")
    served_by: Literal["model", "popularity"]
    reason: Reason | None = Field(description="why it was not the model, or why there are no items")
    model_version: str
    history_length: int
    history_version: int | None = Field(description="null when the history came with the request")
    unknown_items: list[str] = Field(description="items of the history that the model does not know; at most 100")


class BatchRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    # Each is judged on its own, so that one that is wrong does not refuse the others.
    requests: Annotated[list[SkipValidation[RecommendRequest]], Field(min_length=1, max_length=MAX_REQUESTS)]


class BatchRecommendation(RecommendResponse):
    status: Literal[200]


class BatchError(BaseModel):
    status: int
    detail: str


class BatchResponse(BaseModel):
    responses: list[BatchRecommendation | BatchError] = Field(description="one per request, in their order")


class SimilarRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    item_id: Id
    k: int = Field(default=10, ge=1, description="how many; at most NEXTUP_MAX_K")
    categories: list[str] = Field(default=[], max_length=MAX_CATEGORIES)
    exclude: list[Id] = Field(default=[], max_length=MAX_EXCLUDE)
    explain: bool = False


class SimilarResponse(BaseModel):
    items: list[RecommendedItem] = Field(description="in falling cosine of item vectors")
    model_version: str
