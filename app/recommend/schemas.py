"""Request and response bodies of /recommend and /similar."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, WrapValidator, model_validator
from typing_extensions import TypeAliasType

from app.http.field_types import FIRST_PROBLEM, FROM_INTEGERS, Id, Ids, UnicodeText
from app.recommend.timed_history import HISTORY_SHAPE, MAX_TIMED_HISTORY, TimedItem, validate_history
from app.rules.fields import LIMITS_SHAPE, ROTATE_SHAPE, RULES_EXAMPLE, Boosts, Diversity, Limits, Promotions, Rotate
from app.rules.request_filter import FILTER, FILTER_SHAPE, FilterObject
from app.rules.settings import COLD_ITEMS, MAX_CATEGORIES, MAX_INCLUDE, MAX_PLACEMENT, ColdItems, ItemField

MAX_HISTORY, MAX_EXCLUDE, MAX_CANDIDATES = 10_000, 10_000, 100_000
MAX_VERSION = 128
MAX_CURSOR = 16_384
"""A cursor has 11 characters for each of at most 1,000 items, and up to 800 for the user's id and parameters."""
ExcludedIds = Annotated[Ids, Field(max_length=MAX_EXCLUDE), FIRST_PROBLEM, FROM_INTEGERS]
HistoryIds = Annotated[Ids, Field(max_length=MAX_HISTORY), FIRST_PROBLEM, FROM_INTEGERS]
TimedItems = Annotated[list[TimedItem], Field(max_length=MAX_TIMED_HISTORY)]
RequestHistory = Annotated[HistoryIds, WrapValidator(validate_history, json_schema_input_type=HistoryIds | TimedItems)]

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
ServedBy = TypeAliasType("ServedBy", Literal["model", "cache", "neighbours", "popularity"])
ExplainedBy = TypeAliasType("ExplainedBy", Literal["removal", "unsupported"])
"""Named types, so that OpenAPI defines them once."""

# FastAPI drops null from the document, so the example is an answer with a reason.
RECOMMENDATION_EXAMPLE: dict[str, Any] = {
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

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"user_id": "ada", "k": 5},
                {"user_id": "ada", **RULES_EXAMPLE},
                {"user_id": "ada", "placement": "home"},
            ]
        },
    )

    SHAPES: ClassVar[dict[str, Any]] = {
        "history": HISTORY_SHAPE,
        "filter": FILTER_SHAPE,
        "limit_per": LIMITS_SHAPE,
        "rotate": ROTATE_SHAPE,
    }

    user_id: Id | None = Field(default=None, description="user whose stored history is used, unless `history` is given")
    history: RequestHistory | None = Field(
        default=None,
        description="item ids, oldest first, or up to 2,000 events with times; used instead of the stored history",
    )
    k: int = Field(default=10, ge=1, description="number of items to return, at most NEXTUP_MAX_K")
    exclude_seen: bool = Field(default=True, description="exclude the items of the history")
    exclude: ExcludedIds = Field(default=[], description="item ids to exclude")
    candidates: Annotated[Ids, Field(max_length=MAX_CANDIDATES), FIRST_PROBLEM, FROM_INTEGERS] | None = Field(
        default=None, description="return only these items; unknown ids are ignored"
    )
    categories: Annotated[list[UnicodeText], FIRST_PROBLEM] = Field(
        default=[], max_length=MAX_CATEGORIES, description="return only items in at least one of these categories"
    )
    filter: FilterObject | None = Field(default=None, description=FILTER)
    boost: Boosts = []
    promote: Promotions = []
    limit_per: Limits = {}
    diversity: Diversity = 0.0
    rotate: Rotate = None
    cold_items: ColdItems = Field(default="include", description=COLD_ITEMS)
    placement: str | None = Field(
        default=None,
        max_length=MAX_PLACEMENT,
        description="name of a placement, which has defaults for the fields that this request does not have",
    )
    version: str | None = Field(
        default=None,
        max_length=MAX_VERSION,
        description="version that has to answer: the serving one, or one in memory for an experiment or as shadow "
        "version; 409 for others",
    )
    min_history_version: int | None = Field(
        default=None, ge=0, description="read your writes: 409 if the stored history has an older version"
    )
    explain: bool = Field(
        default=False,
        description="return for each item the history items that it rests on, and its title and categories",
    )
    include: Annotated[list[ItemField], FIRST_PROBLEM] = Field(
        default=[], max_length=MAX_INCLUDE, description="fields to return with each item"
    )
    paginate: bool = Field(default=False, description="return `next_cursor` with the items")
    cursor: str | None = Field(
        default=None,
        max_length=MAX_CURSOR,
        description="`next_cursor` of an answer: return the next items, none of which were in the pages before",
    )

    @model_validator(mode="after")
    def _require_user_or_history(self) -> Self:
        if self.user_id is None and self.history is None and self.cursor is None:
            raise ValueError("user_id or history is required")
        return self


class ReasonItem(BaseModel):
    """An item of the history that an answered item rests on."""

    item_id: str
    weight: float = Field(description="its share of the weights of all history items, 0 to 1")
    score_drop: float = Field(description="by how much the score falls if the item is removed from the history")


class NearestItem(BaseModel):
    """The item of the history that is most similar to an answered item."""

    item_id: str
    similarity: float = Field(description="cosine of the vectors of the two items")


class RecommendedItem(BaseModel):
    """One item of an answer."""

    item_id: str
    score: float
    title: str | None = Field(default=None, description='only with `"include": ["title"]` or `explain`')
    categories: list[str] | None = Field(default=None, description='only with `"include": ["categories"]` or `explain`')
    because: list[ReasonItem] | None = Field(
        default=None, description="only with `explain`: at most three items, the most important first"
    )
    nearest: NearestItem | None = Field(default=None, description="only with `explain`")


class AnswerExperiment(BaseModel):
    """The experiment that the user is in."""

    name: str
    variant: str = Field(description="variant of this user")
    served: bool = Field(
        description="whether the variant gave this answer; otherwise `served_by` and `model_version` did"
    )


class RecommendResponse(BaseModel):
    """Recommended items and how they were found."""

    model_config = ConfigDict(json_schema_extra={"examples": [RECOMMENDATION_EXAMPLE]})

    recommendation_id: str = Field(description="send it with the events that result from this recommendation")
    items: list[RecommendedItem] = Field(
        description="by descending score, ties in catalogue order, unless rules reorder them"
    )
    served_by: ServedBy = Field(description="source of the items")
    reason: Reason | None = Field(description="why the model did not answer, or why there are no items")
    model_version: str
    history_length: int = Field(description="number of items in the history")
    history_version: int | None = Field(description="null when the request contains its own history")
    unknown_items: list[str] = Field(description="items of the history that the model does not know, at most 100")
    explained_by: ExplainedBy | None = Field(
        default=None,
        description="only with `explain`: `removal`, or `unsupported` if the answer does not depend on the history",
    )
    next_cursor: str | None = Field(
        default=None,
        description="only with `paginate` or `cursor`: send it as `cursor` for the next items; null if there are none, "
        "or 1,000 items were returned",
    )
    experiment: AnswerExperiment | None = Field(
        default=None, description="only for users in the experiment that runs at the moment"
    )


class SimilarRequest(BaseModel):
    """Request for items that are similar to an item."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"item_id": "lantern-coast-3", "k": 1}]})

    SHAPES: ClassVar[dict[str, Any]] = {"filter": FILTER_SHAPE}

    item_id: Id = Field(description="item to compare with")
    k: int = Field(default=10, ge=1, description="number of items to return, at most NEXTUP_MAX_K")
    categories: Annotated[list[UnicodeText], FIRST_PROBLEM] = Field(
        default=[], max_length=MAX_CATEGORIES, description="return only items in at least one of these categories"
    )
    filter: FilterObject | None = Field(default=None, description=FILTER)
    exclude: ExcludedIds = Field(default=[], description="item ids to exclude")
    explain: bool = Field(default=False, description="the same as `include` with all fields")
    include: Annotated[list[ItemField], FIRST_PROBLEM] = Field(
        default=[], max_length=MAX_INCLUDE, description="fields to return with each item"
    )


class SimilarResponse(BaseModel):
    """Similar items."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"items": [{"item_id": "lantern-coast-4", "score": 0.93}], "model_version": "20261128-101500"}]
        }
    )

    items: list[RecommendedItem] = Field(description="by descending cosine similarity of item vectors")
    model_version: str
