"""Settings of a placement: defaults for the fields of a request, stored under a name."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from app.http.field_types import FIRST_PROBLEM, UnicodeText
from app.rules.fields import LIMITS_SHAPE, ROTATE_SHAPE, RULES_EXAMPLE, RuleFields
from app.rules.request_filter import FILTER, FILTER_SHAPE, FilterObject

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
MAX_PLACEMENT = 64
"""Characters of a name."""
MAX_CATEGORIES, MAX_INCLUDE = 100, 8
ItemField = TypeAliasType("ItemField", Literal["title", "categories"])
ColdItems = TypeAliasType("ColdItems", Literal["include", "exclude"])
COLD_ITEMS = (
    "`exclude` returns only items that the model was trained on; `include` also new ones of the live catalogue, unless "
    "`explain` is set"
)
Request = TypeVar("Request", bound=BaseModel)


class PlacementSettings(RuleFields):
    """Defaults of a request; a field that the request has itself replaces the one here."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"k": 12, **RULES_EXAMPLE}]})
    SHAPES: ClassVar[Mapping[str, Any]] = {"filter": FILTER_SHAPE, "limit_per": LIMITS_SHAPE, "rotate": ROTATE_SHAPE}

    k: int = Field(default=10, ge=1, description="number of items to return, at most NEXTUP_MAX_K")
    exclude_seen: bool = Field(default=True, description="exclude the items of the history")
    categories: Annotated[list[UnicodeText], FIRST_PROBLEM] = Field(
        default=[], max_length=MAX_CATEGORIES, description="return only items in at least one of these categories"
    )
    filter: FilterObject | None = Field(default=None, description=FILTER)
    include: Annotated[list[ItemField], FIRST_PROBLEM] = Field(
        default=[], max_length=MAX_INCLUDE, description="fields to return with each item"
    )
    cold_items: ColdItems = Field(default="include", description=COLD_ITEMS)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Decode stored settings; ValueError if they are damaged, or have fields of a newer release."""
        return cls.model_validate_json(value)

    def encode(self) -> bytes:
        """Encode the fields that are set as JSON."""
        return self.model_dump_json(exclude_unset=True).encode()

    def complete(self, request: Request) -> Request:
        """Return the request with the fields of these settings that it does not have itself."""
        names = self.model_fields_set - request.model_fields_set
        return request.model_copy(update={name: getattr(self, name) for name in names})
