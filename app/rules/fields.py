"""The rules of a request: boosts, promotions, limits per value and diversity, as JSON.

`RuleFields` is the base of every body that has them. Filters are parsed by the service, whose errors name the path.
"""

import json
from typing import Annotated, Any, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.http.field_types import FIRST_PROBLEM
from app.rules.request_filter import FilterObject

MAX_BOOSTS, MAX_PROMOTIONS, MAX_LIMITS = 5, 5, 4
MAX_ADD = 20.0
"""A factor of e^20 in odds is above any difference between two scores that matters."""
MAX_SLOTS, MAX_POSITION = 10, 1000
MAX_PER_VALUE = 1000
MAX_FIELD = 64
MAX_MINUTES = 10_080
"""A week."""
MAX_RULE_BYTES = 10_000
"""Of one boost or promotion in a large body: a filter and a few numbers."""
CHEAP: dict[str, Any] = {"attribute": "price", "lt": 50}
RULES_EXAMPLE: dict[str, Any] = {
    "boost": [{"filter": {"attribute": "brand", "eq": "Lumen"}, "add": 0.5}],
    "promote": [{"filter": CHEAP, "slots": 2, "positions": [1, 5]}],
    "limit_per": {"categories": 3},
    "diversity": 0.2,
    "rotate": {"minutes": 60, "penalty": 1.0},
}


class FilteredRule(BaseModel):
    """A rule for the items that match a filter."""

    model_config = ConfigDict(extra="forbid")

    filter: FilterObject = Field(description="the items that the rule is for, as in the field `filter` of a request")

    @model_validator(mode="before")
    @classmethod
    def _parse_unparsed(cls, value: Any) -> Any:
        """Parse an entry that a large body leaves unparsed, after its size is bounded."""
        if not isinstance(value, msgspec.Raw):
            return value
        if len(text := bytes(value)) > MAX_RULE_BYTES:
            raise ValueError(f"must have at most {MAX_RULE_BYTES:,} bytes (got {len(text):,})")
        return json.loads(text)


class BoostRule(FilteredRule):
    """Adds to the scores of the items that match."""

    model_config = ConfigDict(json_schema_extra={"examples": RULES_EXAMPLE["boost"]})

    add: float = Field(
        ge=-MAX_ADD,
        le=MAX_ADD,
        description="is added to the score, which is a logit: 0.5 makes an item e^0.5 = 1.65 times as likely, compared "
        "with items without the boost; negative values demote",
    )


class PromoteRule(FilteredRule):
    """Puts the best items that match at fixed positions."""

    model_config = ConfigDict(json_schema_extra={"examples": RULES_EXAMPLE["promote"]})

    slots: int = Field(default=1, ge=1, le=MAX_SLOTS, description="number of items")
    positions: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_POSITION)]], Field(max_length=MAX_SLOTS), FIRST_PROBLEM
    ] = Field(
        default=[],
        description="where they are, counted from 1 over all pages; as many as `slots`, or none for the first ones",
    )

    @model_validator(mode="after")
    def _check_positions(self) -> Self:
        if self.positions and "slots" not in self.model_fields_set:
            self.slots = len(self.positions)
        if self.positions and not len(set(self.positions)) == len(self.positions) == self.slots:
            different = len(set(self.positions))
            raise ValueError(
                f"positions must be as many as slots, each once (got {different} different for {self.slots} slots)"
            )
        return self


class RotateRule(BaseModel):
    """Lowers the scores of items that were shown to the user lately, and not clicked since."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [RULES_EXAMPLE["rotate"]]})

    minutes: int = Field(
        ge=1, le=MAX_MINUTES, description="how long ago an item may have been shown, at most NEXTUP_IMPRESSION_MINUTES"
    )
    penalty: float = Field(
        default=1.0,
        ge=0,
        le=MAX_ADD,
        description="is subtracted from the score, which is a logit: 1 makes an item e^-1 = 0.37 times as likely",
    )


LimitedName = Annotated[str, StringConstraints(min_length=1, max_length=MAX_FIELD)]
LimitPerValue = Annotated[int, Field(ge=1, le=MAX_PER_VALUE)]
Boosts = Annotated[
    list[BoostRule],
    Field(max_length=MAX_BOOSTS, description="add to the scores of items that match a filter"),
    FIRST_PROBLEM,
]
Promotions = Annotated[
    list[PromoteRule],
    Field(max_length=MAX_PROMOTIONS, description="put items that match a filter at fixed positions"),
    FIRST_PROBLEM,
]
Limits = Annotated[
    dict[LimitedName, LimitPerValue],
    Field(
        max_length=MAX_LIMITS,
        description='at most so many items per value: {"categories": 3}, or the name of an attribute; an item with '
        "several values counts for each",
    ),
]
Diversity = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        description="0: by score alone; 1: each item as unlike the ones before it as possible (maximal marginal "
        "relevance among the best 10 k)",
    ),
]
Rotate = Annotated[
    RotateRule | None,
    Field(
        description="put items that were shown to the user lately, and not clicked since, behind others; from events "
        "such as impression and click that name their recommendation"
    ),
]
ROTATE_SHAPE = dict[str, float] | None
"""Shape of the field `rotate` in a large body."""
LIMITS_SHAPE = dict[str, int]
"""Shape of the field `limit_per` in a large body."""


class RuleFields(BaseModel):
    """Rules that reorder an answer within the search, after its filters."""

    boost: Boosts = []
    promote: Promotions = []
    limit_per: Limits = {}
    diversity: Diversity = 0.0
    rotate: Rotate = None
